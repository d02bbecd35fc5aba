/*
 * libc's names for a thread's signals, on green threads, and handlers that were set by them.
 */
#include "doing.h"
#include "signals.h"

#include <pthread.h>
#include <unistd.h>

#include "base/kernel_signal.h"

TestSuite(signal_libc, .timeout = LIMIT);

static atomic_int handled;
static green_t handled_by;

static void count_handled(int number)
{
    (void)number;
    handled_by = green_self();
    atomic_fetch_add(&handled, 1);
}

static void handle_by_libc(int number)
{
    struct sigaction action = {.sa_handler = count_handled};
    must(sigaction(number, &action, NULL) == 0);
}

static bool kernel_blocks(int number)
{
    sigset_t kernel;
    must(kernel_sigmask(SIG_SETMASK, NULL, &kernel) == 0);
    return sigismember(&kernel, number);
}

/* The masks are the threads' own, however often they move, and the kernel's is never touched. */
static void masks_step(unsigned index, uint64_t round)
{
    const int mine = SIGRTMIN + (int)index % 8;
    sigset_t set = set_of(mine), old;
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    if (round % 4 == 0)
        green_yield();
    must(sigprocmask(SIG_SETMASK, NULL, &old) == 0);
    for (int number = SIGRTMIN; number < SIGRTMIN + 8; number++) {
        must(sigismember(&old, number) == (number == mine));
        must(!kernel_blocks(number));
    }
}

ON_BOTH(signal_libc, masks_are_the_threads)
{
    sigset_t set = set_of(SIGUSR1);
    cr_assert_eq(pthread_sigmask(99, &set, NULL), EINVAL);
    cr_assert_eq(sigprocmask(99, &set, NULL), -1);
    cr_assert_eq(errno, EINVAL);
    storm(masks_step);
}

ON_BOTH(signal_libc, pending_and_waiting)
{
    sigset_t set = set_of(SIGUSR1), pending;
    siginfo_t info;
    int number = 0;
    cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    cr_assert_eq(raise(SIGUSR1), 0);
    cr_assert_eq(sigpending(&pending), 0);
    cr_assert(sigismember(&pending, SIGUSR1));
    cr_assert_eq(sigwait(&set, &number), 0);
    cr_assert_eq(number, SIGUSR1);
    cr_assert_eq(raise(SIGUSR1), 0);
    cr_assert_eq(sigwaitinfo(&set, &info), SIGUSR1);
    struct timespec zero = {0, 0};
    cr_assert_eq(sigtimedwait(&set, &info, &zero), -1);
    cr_assert_eq(errno, EAGAIN);
}

static void *suspend(void *arg)
{
    sigset_t none;
    sigemptyset(&none);
    must(sigsuspend(&none) == -1 && errno == EINTR);
    must(handled_by == green_self());
    return arg;
}

ON_BOTH(signal_libc, suspend_waits_for_a_handler)
{
    sigset_t set = set_of(SIGUSR1);
    handle_by_libc(SIGUSR1);
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    green_t thread = spawn(suspend, NULL);
    must(kill(getpid(), SIGUSR1) == 0);
    join_result(thread);
    cr_assert_eq(atomic_load(&handled), 1);
}

/* Whoever set it: a parked thread is woken for its handler. */
static void *wait_interrupted(void *waiting)
{
    green_sem_t never;
    must(green_sem_init(&never, 0, 0) == 0);
    atomic_store((atomic_bool *)waiting, true);
    must(green_sem_wait(&never) == -1 && errno == EINTR);
    must(handled_by == green_self());
    return NULL;
}

static void interrupt_a_wait(void)
{
    atomic_bool waiting = false;
    green_t thread = spawn(wait_interrupted, &waiting);
    wait_for(atomic_load(&waiting));
    sigset_t set = set_of(SIGUSR1);
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0); /* not this thread, then */
    wait_for(is_parked(thread));
    must(kill(getpid(), SIGUSR1) == 0);
    join_result(thread);
    cr_assert_eq(atomic_load(&handled), 1);
}

ON_BOTH(signal_libc, a_handler_by_sigaction_ends_a_wait)
{
    handle_by_libc(SIGUSR1);
    interrupt_a_wait();
}

ON_BOTH(signal_libc, a_handler_by_signal_ends_a_wait)
{
    must(__sysv_signal(SIGUSR1, count_handled) == SIG_DFL);
    interrupt_a_wait();
}

/* The library starts with the first call that needs it. */
Test(signal_libc, a_handler_from_before_the_start)
{
    handle_by_libc(SIGUSR1);
    start(1);
    interrupt_a_wait();
}

ON_BOTH(signal_libc, alternate_stack_is_the_threads)
{
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, old;
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    cr_assert_eq(green_sigaltstack(NULL, &old), 0);
    cr_assert_eq(old.ss_sp, memory);
    must(kernel_sigaltstack(NULL, &old) == 0);
    cr_assert_neq(old.ss_sp, memory, "the worker's is for overflows");
}

/* A kernel thread that has nothing to do with the library has the kernel's. */
static void *change_the_kernels(void *arg)
{
    sigset_t set = set_of(SIGUSR1), pending;
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0 && kernel_blocks(SIGUSR1));
    must(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
    must(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0 && !kernel_blocks(SIGUSR1));
    return arg;
}

ON_BOTH(signal_libc, foreign_threads_have_the_kernels)
{
    pthread_t thread;
    must(pthread_create(&thread, NULL, change_the_kernels, NULL) == 0);
    must(pthread_join(thread, NULL) == 0);
}
