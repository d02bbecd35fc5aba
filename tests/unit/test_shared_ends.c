/*
 * Waits for objects that are shared between processes, and what ends them: handlers and cancellation, within a process.
 */
#include "shared.h"

#include <green/cancel.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

TestSuite(shared_ends, .timeout = LIMIT);

static _Atomic unsigned events;

static void *interrupted_wait(void *arg)
{
    must(green_sem_wait(&page->sem) == -1 && errno == EINTR);
    atomic_store(&page->done, true);
    return arg;
}

ON_BOTH(shared_ends, handler_ends_semaphore_wait)
{
    shared_make(GREEN_MUTEX_NORMAL);
    count_signals(SIGUSR1, 0);
    green_t waiter = spawn(interrupted_wait, NULL);
    while (!atomic_load(&page->done)) { /* it may come before the wait */
        green_kill(waiter, SIGUSR1);
        green_usleep(500);
    }
    join_result(waiter);
}

static void *restarted_wait(void *arg)
{
    must(green_sem_wait(&page->sem) == 0);
    return arg;
}

ON_BOTH(shared_ends, restarting_handler_does_not)
{
    shared_make(GREEN_MUTEX_NORMAL);
    count_signals(SIGUSR1, SA_RESTART);
    green_t waiter = spawn(restarted_wait, NULL);
    interrupt_often(waiter, SIGUSR1, 50);
    cr_assert_eq(green_sem_post(&page->sem), 0);
    join_result(waiter);
}

static void *woken_wait(void *arg)
{
    must(green_mutex_lock(&page->mutex) == 0);
    must(green_cond_wait(&page->cond, &page->mutex) == 0);
    must(green_mutex_unlock(&page->mutex) == 0);
    atomic_store(&page->done, true);
    return arg;
}

ON_BOTH(shared_ends, handler_ends_condition_wait)
{
    shared_make(GREEN_MUTEX_ERRORCHECK);
    count_signals(SIGUSR1, SA_RESTART);
    green_t waiter = spawn(woken_wait, NULL);
    while (!atomic_load(&page->done)) { /* it may come before the wait */
        green_kill(waiter, SIGUSR1);
        green_usleep(500);
    }
    join_result(waiter);
    cr_assert_eq(green_cond_destroy(&page->cond), 0);
}

static int cancel_type = GREEN_CANCEL_DEFERRED;

static void *wait_for_ever(void *arg)
{
    must(green_setcanceltype(cancel_type, NULL) == 0);
    atomic_fetch_add(&events, 1);
    green_sem_wait(&page->sem);
    return arg;
}

static void unlock_mutex(void *arg)
{
    must(green_mutex_unlock(arg) == 0);
    atomic_store(&page->done, true);
}

static void *wait_for_cond_for_ever(void *arg)
{
    must(green_mutex_lock(&page->mutex) == 0);
    green_cleanup_push(unlock_mutex, &page->mutex);
    must(green_setcanceltype(cancel_type, NULL) == 0);
    atomic_fetch_add(&events, 1);
    while (arg == NULL)
        green_cond_wait(&page->cond, &page->mutex);
    green_cleanup_pop(1);
    return arg;
}

static void cancel_waiter(void *(*routine)(void *), int round)
{
    const unsigned before = atomic_load(&events);
    green_t waiter = spawn(routine, NULL);
    wait_for(atomic_load(&events) != before);
    if (round % 3)
        green_usleep((unsigned)round % 3 * 300);
    must(green_cancel(waiter) == 0);
    must(join_result(waiter) == GREEN_CANCELED);
}

static void cancel_often(void)
{
    shared_make(GREEN_MUTEX_ERRORCHECK);
    for (int round = 0; round < 100; round++) {
        cancel_waiter(wait_for_ever, round);
        atomic_store(&page->done, false);
        cancel_waiter(wait_for_cond_for_ever, round);
        must(atomic_load(&page->done));
    }
    cr_assert_eq(green_sem_destroy(&page->sem), 0, "nobody is left in it");
    cr_assert_eq(green_cond_destroy(&page->cond), 0);
    cr_assert_eq(green_mutex_destroy(&page->mutex), 0);
}

ON_BOTH(shared_ends, waits_are_cancelled)
{
    cancel_often();
}

#ifndef __SANITIZE_THREAD__ /* which makes it wait */
ON_BOTH(shared_ends, asynchronous_cancellation_finds_them_whole)
{
    cancel_type = GREEN_CANCEL_ASYNCHRONOUS;
    cancel_often();
}
#endif

/* As in a sandbox, or before Linux 5.16. */
static void forbid_waiting_for_two_words(unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip_test("no filters of system calls here");
}

Test(shared_ends, waits_for_one_word_are_cancelled_on_1, .timeout = LIMIT)
{
    forbid_waiting_for_two_words(EPERM);
    start(1);
    cancel_often();
}

Test(shared_ends, waits_for_one_word_are_cancelled_on_2, .timeout = LIMIT)
{
    forbid_waiting_for_two_words(ENOSYS);
    start(2);
    cancel_often();
}
