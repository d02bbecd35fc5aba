/*
 * The process as a whole while threads run: fork, spawn, popen, setuid.
 */
#include "unit.h"

#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(process, .timeout = LIMIT);

extern char **environ;

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static int counter;

static void *count_a_little(void *arg)
{
    for (int i = 0; i < 100; i++) {
        green_mutex_lock(&mutex);
        counter++;
        green_mutex_unlock(&mutex);
        spin_ns(2000);
    }
    return arg;
}

/* What a child does: threads, ticks, sleep, malloc and join, from nothing. */
static int use_threads_afresh(void)
{
    enum { COUNT = 6 };
    green_t threads[COUNT];
    green_mutex_init(&mutex, NULL);
    counter = 0;
    must(stats_now().threads_live == 1);
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(count_a_little, NULL);
    green_usleep(500);
    for (int i = 0; i < COUNT; i++)
        join_result(threads[i]);
    free(malloc(100000));
    return counter == COUNT * 100 ? 42 : 1;
}

static void *fork_and_wait(void *arg)
{
    pid_t child = fork();
    must(child >= 0);
    if (child == 0)
        _exit(use_threads_afresh());
    check_exit_status(child, 42);
    return arg;
}

ON_BOTH(process, child_uses_threads_afresh)
{
    fork_and_wait(NULL);
    join_result(spawn(fork_and_wait, NULL));
    cr_assert_eq(stats_now().threads_live, 1);
}

static atomic_bool over;

static void *busy_with_malloc(void *arg)
{
    while (!atomic_load(&over))
        free(malloc(1000));
    return arg;
}

/* In the midst of others that hold libc's locks at every instant. */
static void among_busy_threads(void *(*routine)(void *), int times)
{
    green_t busy[4];
    for (int i = 0; i < 4; i++)
        busy[i] = spawn(busy_with_malloc, NULL);
    for (int i = 0; i < times; i++)
        join_result(spawn(routine, NULL));
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++)
        join_result(busy[i]);
}

/* AddressSanitizer's malloc takes no care of its locks at a fork: what another thread holds stays held in the child. */
#if !defined(__SANITIZE_ADDRESS__)
ON_BOTH(process, fork_among_busy_threads)
{
    among_busy_threads(fork_and_wait, 20);
}
#endif

static void *fork_twice(void *arg)
{
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        fork_and_wait(NULL);
        _exit(7);
    }
    check_exit_status(child, 7);
    return arg;
}

ON_BOTH(process, grandchild)
{
    join_result(spawn(fork_twice, NULL));
}

static void *spawn_a_program(void *arg)
{
    char *arguments[] = {"sh", "-c", "exit 3", NULL};
    pid_t child;
    must(posix_spawnp(&child, "sh", NULL, NULL, arguments, environ) == 0);
    check_exit_status(child, 3);
    return arg;
}

ON_BOTH(process, posix_spawn)
{
    among_busy_threads(spawn_a_program, 20);
}

/* A tick may interrupt a read; stdio then reports EINTR unless the call was restarted, which ours are. */
static void *read_from_a_program(void *arg)
{
    char line[64] = "";
    FILE *pipe = popen("echo from the pipe", "r");
    must(pipe);
    must(fgets(line, sizeof line, pipe) && !strcmp(line, "from the pipe\n"));
    must(pclose(pipe) == 0);
    return arg;
}

ON_BOTH(process, popen)
{
    among_busy_threads(read_from_a_program, 20);
}

static void setuid_step(unsigned index, uint64_t round)
{
    if (index < 2 && round % 16 == 0) {
        must(setuid(getuid()) == 0);
        must(setgid(getgid()) == 0);
    }
    spin_ns(20000);
}

/* glibc signals every kernel thread that it knows, and waits for all of them. */
ON_BOTH(process, setuid_while_threads_run)
{
    storm(setuid_step);
}

static void *wait_in_the_kernel(void *arg)
{
    char byte;
    must(read(*(int *)arg, &byte, 1) == 1 && byte == 'x');
    return arg;
}

/* Without the monitor the reader keeps its processor, and its slice ends in the system call. */
Test(process, blocking_read_is_restarted)
{
    int ends[2];
    setenv("GREEN_MONITOR", "off", 1);
    start(2);
    cr_assert_eq(pipe(ends), 0);
    green_t reader = spawn(wait_in_the_kernel, &ends[0]), busy = spawn(busy_with_malloc, NULL);
    uint64_t target = stats_now().preemptions + 20;
    while (stats_now().preemptions < target)
        green_usleep(200);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    join_result(reader);
    atomic_store(&over, true);
    join_result(busy);
}

static green_mutex_t cond_mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static green_sem_t sem;

static void *lock_here(void *pid)
{
    must(green_mutex_lock(&mutex) == 0);
    must(getpid() == (intptr_t)pid);
    must(green_mutex_unlock(&mutex) == 0);
    return pid;
}

static void *take_here(void *pid)
{
    must(green_sem_wait(&sem) == 0);
    must(getpid() == (intptr_t)pid);
    return pid;
}

static void *wait_here(void *pid)
{
    must(green_mutex_lock(&cond_mutex) == 0);
    must(green_cond_wait(&cond, &cond_mutex) == 0);
    must(getpid() == (intptr_t)pid);
    must(green_mutex_unlock(&cond_mutex) == 0);
    return pid;
}

static green_t start_waiter(void *(*routine)(void *), const struct __green_queue *queue)
{
    void *last = queue->__tail;
    green_t thread = spawn(routine, (void *)(intptr_t)getpid());
    wait_for(__atomic_load_n(&queue->__tail, __ATOMIC_RELAXED) != last);
    return thread;
}

static void start_waiters(green_t threads[3])
{
    threads[0] = start_waiter(lock_here, &mutex.__queue);
    threads[1] = start_waiter(take_here, &sem.__queue);
    threads[2] = start_waiter(wait_here, &cond.__queue);
}

/* One wake-up each: it must come to the thread of this process. */
static void wake_waiters(const green_t threads[3])
{
    must(green_mutex_unlock(&mutex) == 0);
    must(green_sem_post(&sem) == 0);
    must(green_cond_signal(&cond) == 0);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
}

/* Behind those that were lost, or with nobody but them. */
static int wake_past_the_lost(int own_too)
{
    green_t threads[3];
    int value;
    if (own_too) {
        start_waiters(threads);
        wake_waiters(threads);
        return 42;
    }
    must(green_mutex_unlock(&mutex) == 0);
    must(green_sem_post(&sem) == 0);
    must(green_sem_getvalue(&sem, &value) == 0 && value == 1);
    must(green_cond_broadcast(&cond) == 0);
    must(green_cond_destroy(&cond) == 0);
    return use_threads_afresh();
}

/* On one processor, so that a thread in a queue is also parked: a fork before that would copy a locked queue. */
Test(process, lost_waiters_do_not_run_in_the_child)
{
    green_t threads[3];
    start(1);
    green_sem_init(&sem, 0, 0);
    cr_assert_eq(green_mutex_lock(&mutex), 0);
    start_waiters(threads);
    for (int own_too = 0; own_too < 2; own_too++) {
        pid_t child = fork_mortal();
        if (child == 0)
            _exit(wake_past_the_lost(own_too));
        check_exit_status(child, 42);
    }
    wake_waiters(threads);
}

static void *fork_and_return(void *arg)
{
    pid_t child = fork_mortal();
    if (child > 0)
        check_exit_status(child, 0);
    return arg;
}

/* The child's last thread ends: so does the child, and whoever joined that thread goes on in the parent alone. */
ON_BOTH(process, joined_thread_returns_in_the_child)
{
    pid_t parent = getpid();
    for (int i = 0; i < 10; i++) {
        join_result(spawn(fork_and_return, NULL));
        must(getpid() == parent);
    }
}

static void *fork_and_exit(void *arg)
{
    pid_t child = fork_mortal();
    if (child == 0)
        green_exit(arg);
    check_exit_status(child, 0);
    must(green_sem_post(&sem) == 0);
    return arg;
}

ON_BOTH(process, detached_thread_exits_in_the_child)
{
    pid_t parent = getpid();
    green_sem_init(&sem, 0, 0);
    for (int i = 0; i < 10; i++) {
        must(green_detach(spawn(fork_and_exit, NULL)) == 0);
        must(green_sem_wait(&sem) == 0);
        must(getpid() == parent);
    }
}
