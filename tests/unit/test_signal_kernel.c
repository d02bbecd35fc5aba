/*
 * Signals that nobody is open to are kept by the kernel: it shows them as pending, coalesces or queues them, hands them
 * to who asks for them outside of the library and to a program that is executed, and gives them to who opens.
 */
#include "signals.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signal_kernel, .timeout = LIMIT);

/* A line of a status file, a set of signals; all of them for a thread that has ended. */
static uint64_t status_of(const char *path, const char *line)
{
    char text[256];
    uint64_t bits = UINT64_MAX;
    FILE *file = fopen(path, "r");
    while (file && fgets(text, sizeof text, file))
        if (strncmp(text, line, strlen(line)) == 0)
            bits = strtoull(text + strlen(line) + 1, NULL, 16);
    if (file)
        fclose(file);
    return bits;
}

static bool kernel_keeps(int number)
{
    return status_of("/proc/self/status", "ShdPnd") >> (number - 1) & 1;
}

static bool blocked_everywhere(int number)
{
    DIR *tasks = opendir("/proc/self/task");
    uint64_t blocked = UINT64_MAX;
    must(tasks != NULL);
    for (const struct dirent *task; (task = readdir(tasks));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        if (task->d_name[0] != '.')
            blocked &= status_of(path, "SigBlk");
    }
    closedir(tasks);
    return blocked >> (number - 1) & 1;
}

/* The kernel has offered it to each kernel thread in turn, and has it for good; who still handles it has it not. */
static void wait_until_kept(int number)
{
    wait_for(blocked_everywhere(number) && kernel_keeps(number));
}

static uint64_t closed_count(void)
{
    return stats_now().signals_closed;
}

/* By main, the only thread. */
static void block_and_kill(int number)
{
    change(SIG_BLOCK, number);
    must(kill(getpid(), number) == 0);
    wait_until_kept(number);
}

ON_BOTH(signal_kernel, shows_it_and_gives_it_back)
{
    handle(SIGUSR1);
    const uint64_t before = closed_count();
    block_and_kill(SIGUSR1);
    cr_assert_eq(closed_count(), before + 1);
    cr_assert_eq(stats_now().signals_pending, 0, "the library has none");
    cr_assert_eq(stats_now().signals_held, 1);
    cr_assert(pends(SIGUSR1) && !pends(SIGUSR2));
    cr_assert_eq(seen.count, 0);
    const uint64_t opened = stats_now().signals_opened;
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1, "before the mask's change returns");
    cr_assert_eq(stats_now().signals_opened, opened + 1);
    cr_assert(!kernel_keeps(SIGUSR1) && !pends(SIGUSR1));
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(atomic_load(&seen.count) == 2);
}

/* From the second on nothing comes here at all. */
ON_BOTH(signal_kernel, coalesces_and_queues)
{
    handle(SIGUSR1);
    handle(SIGRTMIN + 1);
    block_and_kill(SIGUSR1);
    block_and_kill(SIGRTMIN + 1);
    const struct green_stats before = stats_now();
    for (int i = 0; i < 20; i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i}) == 0);
        must(green_sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 200 + i}) == 0);
    }
    cr_assert_eq(stats_now().signals_closed, before.signals_closed);
    cr_assert_eq(stats_now().signals_coalesced, before.signals_coalesced, "not by the library");
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
    change(SIG_UNBLOCK, SIGRTMIN + 1);
    wait_for(atomic_load(&seen.count) == 42);
}

/* With one kernel thread none can overtake another. */
Test(signal_kernel, keeps_their_order)
{
    struct green_config config = {.procs = 1, .slice_us = TICK_US, .monitor = GREEN_MONITOR_OFF};
    start_config(&config);
    handle(SIGRTMIN + 1);
    change(SIG_BLOCK, SIGRTMIN + 1);
    for (int i = 0; i < 40; i++)
        if (i % 3)
            must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
        else
            must(green_sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) == 0);
    change(SIG_UNBLOCK, SIGRTMIN + 1);
    wait_for(atomic_load(&seen.count) == 40);
    for (int i = 0; i < 40; i++)
        cr_assert_eq(seen.value[i], i, "%d at place %d", seen.value[i], i);
}

ON_BOTH(signal_kernel, signalfd_takes_it)
{
    struct signalfd_siginfo info;
    sigset_t set = set_of(SIGRTMIN + 2);
    handle(SIGRTMIN + 2);
    block_and_kill(SIGRTMIN + 2);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    must(fd >= 0);
    cr_assert_eq(read(fd, &info, sizeof info), (ssize_t)sizeof info);
    cr_assert_eq((int)info.ssi_signo, SIGRTMIN + 2);
    cr_assert_eq((int)info.ssi_pid, getpid());
    cr_assert_eq(info.ssi_code, SI_USER);
    cr_assert(!kernel_keeps(SIGRTMIN + 2));
    change(SIG_UNBLOCK, SIGRTMIN + 2);
    cr_assert_eq(seen.count, 0);
    must(green_raise(SIGRTMIN + 2) == 0);
    cr_assert_eq(seen.count, 1);
    close(fd);
}

static void *sigwaits_in_the_kernel(void *arg)
{
    sigset_t set = set_of(SIGUSR2);
    int number = 0;
    (void)arg;
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    must(sigwait(&set, &number) == 0);
    return (void *)(intptr_t)number;
}

/* A kernel thread that has never called the library. */
ON_BOTH(signal_kernel, sigwait_elsewhere_takes_it)
{
    pthread_t thread;
    void *result;
    handle(SIGUSR2);
    block_and_kill(SIGUSR2);
    must(pthread_create(&thread, NULL, sigwaits_in_the_kernel, NULL) == 0);
    must(pthread_join(thread, &result) == 0);
    cr_assert_eq((intptr_t)result, SIGUSR2);
    change(SIG_UNBLOCK, SIGUSR2);
    cr_assert_eq(seen.count, 0);
}

static atomic_int handled_at;

static void note_tid(int number)
{
    (void)number;
    atomic_store(&handled_at, gettid());
}

static void *spins_until_handled(void *arg)
{
    while (!atomic_load(&handled_at))
        ;
    atomic_store((atomic_int *)arg, gettid());
    return NULL;
}

/* It is an open thread of the process, if not one of the library's. */
ON_BOTH(signal_kernel, unknown_kernel_thread_that_is_open_handles_it)
{
    struct sigaction action = {.sa_handler = note_tid};
    atomic_int tid = 0;
    pthread_t thread;
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    must(pthread_create(&thread, NULL, spins_until_handled, &tid) == 0);
    change(SIG_BLOCK, SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    must(pthread_join(thread, NULL) == 0);
    cr_assert_eq(atomic_load(&handled_at), atomic_load(&tid));
}

ON_BOTH(signal_kernel, green_sigwait_takes_it)
{
    sigset_t set = set_of(SIGRTMIN + 3);
    siginfo_t info;
    handle(SIGRTMIN + 3);
    block_and_kill(SIGRTMIN + 3);
    cr_assert_eq(green_sigtimedwait(&set, &info, &(struct timespec){0, 0}), SIGRTMIN + 3);
    cr_assert_eq(info.si_pid, getpid());
    cr_assert_eq(green_sigtimedwait(&set, &info, &(struct timespec){0, 1000000}), -1);
    cr_assert_eq(errno, EAGAIN);
    must(kill(getpid(), SIGRTMIN + 3) == 0);
    cr_assert_eq(green_sigwaitinfo(&set, &info), SIGRTMIN + 3, "closed or open, it comes to who waits");
}

ON_BOTH(signal_kernel, sigsuspend_opens_it)
{
    sigset_t none;
    sigemptyset(&none);
    handle(SIGUSR1);
    block_and_kill(SIGUSR1);
    cr_assert_eq(green_sigsuspend(&none), -1);
    cr_assert_eq(seen.count, 1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_until_kept(SIGUSR1);
    cr_assert_eq(seen.count, 1, "closed once more");
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 2);
}

/* Whichever worker the thread that opens is on, it takes it, on its way in or kept. */
static void *opens_in_turn(void *arg)
{
    const int before = atomic_load(&seen.count);
    change(SIG_UNBLOCK, SIGUSR1);
    wait_for(atomic_load(&seen.count) == before + 1);
    must(seen.thread[before] == green_self());
    change(SIG_BLOCK, SIGUSR1);
    return arg;
}

ON_BOTH(signal_kernel, any_thread_opens_it)
{
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    start_hogs(3);
    for (int i = 0; i < 20; i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        join_result(spawn(opens_in_turn, NULL));
    }
    stop_hogs();
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 20);
}

static void *reads_pipe(void *arg)
{
    char byte;
    return (void *)(intptr_t)(read(*(int *)arg, &byte, 1) == 1 ? 0 : errno);
}

/* One that is closed while its thread is blocked in the kernel is open again when the thread is told of a signal. */
ON_BOTH(signal_kernel, blocked_worker_opens_as_it_returns)
{
    int ends[2];
    must(pipe(ends) == 0);
    handle_with(SIGUSR1, note, SA_RESTART);
    change(SIG_BLOCK, SIGUSR1);
    green_t thread = spawn(reads_pipe, &ends[0]);
    for (int i = 0; i < 3; i++) {
        green_usleep(2000);
        must(kill(getpid(), SIGUSR1) == 0);
        wait_until_kept(SIGUSR1);
        change(SIG_UNBLOCK, SIGUSR1);
        cr_assert_eq(seen.count, i + 1);
        change(SIG_BLOCK, SIGUSR1);
    }
    must(write(ends[1], "x", 1) == 1);
    cr_assert_eq((intptr_t)join_result(thread), 0);
}

/* The new program finds it pending, and what was sent to the thread alone as well.  (A shell would clear its mask.) */
static void exec_in_child(void)
{
    handle(SIGUSR1);
    handle(SIGUSR2);
    handle(SIGALRM);
    change(SIG_BLOCK, SIGUSR1);
    change(SIG_BLOCK, SIGUSR2);
    change(SIG_BLOCK, SIGALRM);
    must(kill(getpid(), SIGUSR1) == 0);
    must(kill(getpid(), SIGALRM) == 0);
    must(green_raise(SIGUSR2) == 0);
    must(execl("/no/such/program", "x", (char *)NULL) == -1 && errno == ENOENT);
    cr_assert(pends(SIGUSR1) && pends(SIGUSR2) && pends(SIGALRM));
    cr_assert_eq(seen.count, 0);
    execl("/bin/grep", "grep", "-E", "SigPnd|ShdPnd|SigBlk", "/proc/self/status", (char *)NULL);
    abort();
}

static uint64_t set_after(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    must(at != NULL);
    return strtoull(at + strlen(line) + 1, NULL, 16);
}

static bool has(uint64_t set, int number)
{
    return set >> (number - 1) & 1;
}

ON_BOTH(signal_kernel, exec_hands_it_over)
{
    char text[512] = "";
    int ends[2], status;
    must(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        must(dup2(ends[1], 1) == 1);
        exec_in_child();
    }
    close(ends[1]);
    size_t length = 0;
    for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    must(waitpid(child, &status, 0) == child && status == 0);
    const uint64_t pending = set_after(text, "SigPnd:") | set_after(text, "ShdPnd:");
    cr_assert(has(pending, SIGUSR1) && has(pending, SIGUSR2) && has(pending, SIGALRM), "%s", text);
    cr_assert(has(set_after(text, "SigBlk:"), SIGUSR1));
}

/* The child of a fork starts open. */
ON_BOTH(signal_kernel, child_of_a_fork_is_open)
{
    int status;
    handle(SIGUSR1);
    block_and_kill(SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        must(!pends(SIGUSR1));
        change(SIG_UNBLOCK, SIGUSR1);
        must(seen.count == 0);
        must(kill(getpid(), SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == 1);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child);
    cr_assert_eq(status, 0);
    change(SIG_UNBLOCK, SIGUSR1);
    cr_assert_eq(seen.count, 1);
}

/* No system call while nothing comes: as many changes as one likes close and open nothing. */
ON_BOTH(signal_kernel, changes_alone_cost_nothing)
{
    handle(SIGUSR1);
    block_and_kill(SIGUSR1);
    change(SIG_UNBLOCK, SIGUSR1);
    const struct green_stats before = stats_now();
    for (int i = 0; i < 100000; i++) {
        change(SIG_BLOCK, SIGUSR1);
        change(SIG_UNBLOCK, SIGUSR1);
    }
    cr_assert_eq(stats_now().signals_closed, before.signals_closed);
    cr_assert_eq(stats_now().signals_opened, before.signals_opened);
    cr_assert_eq(stats_now().signals_returned, before.signals_returned);
}
