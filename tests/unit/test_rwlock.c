/*
 * Read-write locks: every error number, the order, and that what they guard stays whole.
 */
#include "mixed.h"
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>

TestSuite(rwlock, .timeout = LIMIT);

static green_rwlock_t lock = GREEN_RWLOCK_INITIALIZER;

/* Run a call on another thread and return what it returned; when it has locked, it unlocks again. */
struct remote {
    int (*call)(green_rwlock_t *);
    green_rwlock_t *lock;
};

static void *run_remote(void *arg)
{
    struct remote *remote = arg;
    int error = remote->call(remote->lock);
    if (!error && remote->call != green_rwlock_unlock)
        must(green_rwlock_unlock(remote->lock) == 0);
    return (void *)(intptr_t)error;
}

static int elsewhere(int (*call)(green_rwlock_t *))
{
    struct remote remote = {call, &lock};
    return (int)(intptr_t)join_result(spawn(run_remote, &remote));
}

static int timed_out(int (*call)(green_rwlock_t *, const struct timespec *))
{
    struct timespec when = time_after(CLOCK_REALTIME, 2000000);
    int error = call(&lock, &when);
    must(error != ETIMEDOUT || time_reached(CLOCK_REALTIME, when));
    return error;
}

static int timed_read(green_rwlock_t *which)
{
    return which == &lock ? timed_out(green_rwlock_timedrdlock) : EINVAL;
}

static int timed_write(green_rwlock_t *which)
{
    return which == &lock ? timed_out(green_rwlock_timedwrlock) : EINVAL;
}

static int clock_read(green_rwlock_t *which)
{
    struct timespec when = time_after(CLOCK_MONOTONIC, 2000000);
    int error = green_rwlock_clockrdlock(which, CLOCK_MONOTONIC, &when);
    must(error != ETIMEDOUT || time_reached(CLOCK_MONOTONIC, when));
    return error;
}

static int clock_write(green_rwlock_t *which)
{
    struct timespec when = time_after(CLOCK_MONOTONIC, 2000000);
    int error = green_rwlock_clockwrlock(which, CLOCK_MONOTONIC, &when);
    must(error != ETIMEDOUT || time_reached(CLOCK_MONOTONIC, when));
    return error;
}

ON_BOTH(rwlock, readers_share)
{
    cr_assert_eq(green_rwlock_rdlock(&lock), 0);
    cr_assert_eq(elsewhere(green_rwlock_rdlock), 0);
    cr_assert_eq(elsewhere(green_rwlock_tryrdlock), 0);
    cr_assert_eq(elsewhere(timed_read), 0);
    cr_assert_eq(elsewhere(clock_read), 0);
    cr_assert_eq(elsewhere(green_rwlock_trywrlock), EBUSY);
    cr_assert_eq(elsewhere(timed_write), ETIMEDOUT);
    cr_assert_eq(elsewhere(clock_write), ETIMEDOUT);
    cr_assert_eq(green_rwlock_destroy(&lock), EBUSY);
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    cr_assert_eq(elsewhere(green_rwlock_wrlock), 0);
    cr_assert_eq(green_rwlock_destroy(&lock), 0);
}

ON_BOTH(rwlock, a_writer_is_alone)
{
    cr_assert_eq(green_rwlock_wrlock(&lock), 0);
    cr_assert_eq(green_rwlock_wrlock(&lock), EDEADLK);
    cr_assert_eq(green_rwlock_rdlock(&lock), EDEADLK);
    cr_assert_eq(timed_read(&lock), EDEADLK);
    cr_assert_eq(timed_write(&lock), EDEADLK);
    cr_assert_eq(green_rwlock_tryrdlock(&lock), EBUSY);
    cr_assert_eq(green_rwlock_trywrlock(&lock), EBUSY);
    cr_assert_eq(elsewhere(green_rwlock_tryrdlock), EBUSY);
    cr_assert_eq(elsewhere(green_rwlock_trywrlock), EBUSY);
    cr_assert_eq(elsewhere(timed_read), ETIMEDOUT);
    cr_assert_eq(elsewhere(timed_write), ETIMEDOUT);
    cr_assert_eq(elsewhere(clock_read), ETIMEDOUT);
    cr_assert_eq(elsewhere(clock_write), ETIMEDOUT);
    cr_assert_eq(elsewhere(green_rwlock_unlock), EPERM);
    cr_assert_eq(green_rwlock_destroy(&lock), EBUSY);
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    cr_assert_eq(green_rwlock_unlock(&lock), EPERM);
    cr_assert_eq(elsewhere(timed_write), 0);
    cr_assert_eq(elsewhere(clock_write), 0);
    cr_assert_eq(elsewhere(green_rwlock_trywrlock), 0);
}

ON_BOTH(rwlock, bad_arguments)
{
    green_rwlock_t *volatile none = NULL;
    green_rwlockattr_t attr, *volatile no_attr = NULL;
    const struct timespec *volatile no_time = NULL, late = {0, 1000000000}, early = {0, -1};
    int shared = -1, *volatile nowhere = NULL;
    cr_assert_eq(green_rwlockattr_init(no_attr), EINVAL);
    cr_assert_eq(green_rwlockattr_init(&attr), 0);
    cr_assert_eq(green_rwlockattr_getpshared(&attr, &shared), 0);
    cr_assert_eq(shared, GREEN_PROCESS_PRIVATE);
    cr_assert_eq(green_rwlockattr_getpshared(&attr, nowhere), EINVAL);
    cr_assert_eq(green_rwlockattr_setpshared(&attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_rwlockattr_setpshared(&attr, 2), EINVAL);
    cr_assert_eq(green_rwlockattr_setpshared(&attr, GREEN_PROCESS_PRIVATE), 0);
    cr_assert_eq(green_rwlock_init(&lock, &attr), 0);
    cr_assert_eq(green_rwlockattr_destroy(&attr), 0);
    cr_assert_eq(green_rwlockattr_destroy(no_attr), EINVAL);
    cr_assert_eq(green_rwlock_init(none, NULL), EINVAL);
    cr_assert_eq(green_rwlock_destroy(none), EINVAL);
    cr_assert_eq(green_rwlock_rdlock(none), EINVAL);
    cr_assert_eq(green_rwlock_wrlock(none), EINVAL);
    cr_assert_eq(green_rwlock_tryrdlock(none), EINVAL);
    cr_assert_eq(green_rwlock_trywrlock(none), EINVAL);
    cr_assert_eq(green_rwlock_unlock(none), EINVAL);
    cr_assert_eq(green_rwlock_timedrdlock(&lock, no_time), 0, "a lock that is free needs no time");
    cr_assert_eq(green_rwlock_timedwrlock(&lock, no_time), EINVAL);
    cr_assert_eq(green_rwlock_timedwrlock(&lock, &late), EINVAL);
    cr_assert_eq(green_rwlock_timedwrlock(&lock, &early), EINVAL);
    cr_assert_eq(green_rwlock_clockwrlock(&lock, CLOCK_THREAD_CPUTIME_ID, &early), EINVAL);
    cr_assert_eq(green_rwlock_clockrdlock(&lock, CLOCK_THREAD_CPUTIME_ID, &early), EINVAL);
}

/* The count of readers is above two bits of the state. */
ON_BOTH(rwlock, as_many_readers_as_fit)
{
    lock.__state = (536870911U - 1) * 4;
    cr_assert_eq(green_rwlock_rdlock(&lock), 0);
    cr_assert_eq(green_rwlock_rdlock(&lock), EAGAIN);
    cr_assert_eq(green_rwlock_tryrdlock(&lock), EAGAIN);
    cr_assert_eq(timed_read(&lock), EAGAIN);
    cr_assert_eq(green_rwlock_trywrlock(&lock), EBUSY);
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    cr_assert_eq(green_rwlock_rdlock(&lock), 0);
}

/* Cooperative, so that who stands where in the line is known. */
enum { LINE = 8 };

static atomic_int places, served[LINE], together, together_most;

static void *stand_in_line(void *arg)
{
    int place = (int)(intptr_t)arg;
    const bool writes = place % 3 == 0;
    must((writes ? green_rwlock_wrlock(&lock) : green_rwlock_rdlock(&lock)) == 0);
    served[places++] = place;
    must(!writes || together == 0);
    together++;
    together_most = together > together_most ? together : together_most;
    green_yield();
    together--;
    must(green_rwlock_unlock(&lock) == 0);
    return arg;
}

/* W r r W r r W r: each writer alone, the readers behind it together, nobody out of turn. */
Test(rwlock, first_come_first_served)
{
    green_t threads[LINE];
    start_cooperative();
    green_rwlock_wrlock(&lock);
    for (intptr_t i = 0; i < LINE; i++) {
        threads[i] = spawn(stand_in_line, (void *)i);
        green_yield();
    }
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    cr_assert_eq(green_rwlock_tryrdlock(&lock), EBUSY, "the line comes first");
    for (int i = 0; i < LINE; i++)
        join_result(threads[i]);
    for (int i = 0; i < LINE; i++)
        cr_assert_eq(served[i], i);
    cr_assert_eq(together_most, 2);
    cr_assert_eq(green_rwlock_destroy(&lock), 0);
}

static atomic_int state_of_writer;

static void *write_once(void *arg)
{
    atomic_store(&state_of_writer, 1);
    must(green_rwlock_wrlock(&lock) == 0);
    atomic_store(&state_of_writer, 2);
    must(green_rwlock_unlock(&lock) == 0);
    return arg;
}

static void wait_for_line(void)
{
    wait_for(lock.__state & 2);
}

/* With a writer in line: a reader that has the lock may have it again, another one may not. */
ON_BOTH(rwlock, reads_nest_past_a_writer)
{
    green_rwlock_rdlock(&lock);
    green_t writer = spawn(write_once, NULL);
    wait_for_line();
    cr_assert_eq(elsewhere(green_rwlock_tryrdlock), EBUSY, "a newcomer");
    cr_assert_eq(elsewhere(timed_read), ETIMEDOUT);
    cr_assert_eq(green_rwlock_rdlock(&lock), 0);
    cr_assert_eq(green_rwlock_tryrdlock(&lock), 0);
    cr_assert_eq(timed_read(&lock), 0);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(atomic_load(&state_of_writer), 1);
        cr_assert_eq(green_rwlock_unlock(&lock), 0);
    }
    join_result(writer);
    cr_assert_eq(green_rwlock_unlock(&lock), EPERM);
}

static void *read_once(void *arg)
{
    must(green_rwlock_rdlock(&lock) == 0);
    must(green_rwlock_unlock(&lock) == 0);
    return arg;
}

/* A writer that gives up lets those go that waited for it. */
ON_BOTH(rwlock, readers_behind_a_writer_that_gives_up)
{
    struct remote remote = {clock_write, &lock};
    green_rwlock_rdlock(&lock);
    for (int i = 0; i < 20; i++) {
        green_t writer = spawn(run_remote, &remote);
        green_t reader = spawn(read_once, NULL);
        cr_assert_eq((int)(intptr_t)join_result(writer), ETIMEDOUT);
        join_result(reader);
    }
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    cr_assert_eq(green_rwlock_destroy(&lock), 0, "nobody is left in line");
}

static atomic_int handled;

static void on_signal(int number)
{
    must(number == SIGUSR1);
    atomic_fetch_add(&handled, 1);
}

/* A handler runs on the waiter, which goes on waiting. */
ON_BOTH(rwlock, a_signal_does_not_end_the_wait)
{
    struct sigaction action = {.sa_handler = on_signal};
    must(green_sigaction(SIGUSR1, &action, NULL) == 0);
    green_rwlock_rdlock(&lock);
    green_t writer = spawn(write_once, NULL);
    for (int i = 1; i <= 10; i++) {
        wait_for_line();
        cr_assert_eq(green_kill(writer, SIGUSR1), 0);
        wait_for(atomic_load(&handled) == i);
        cr_assert_eq(atomic_load(&state_of_writer), 1);
    }
    cr_assert_eq(green_rwlock_unlock(&lock), 0);
    join_result(writer);
    cr_assert_eq(green_rwlock_destroy(&lock), 0);
}

/* Two words that are equal unless a writer is at work; guarded by lock. */
static volatile long left, right;
static atomic_long writes, readers, writers;

static int lock_in_some_way(bool writing, uint64_t round)
{
    struct timespec soon = time_after(CLOCK_MONOTONIC, (int64_t)(round % 50) * 10000);
    switch (round % 3) {
    case 0:
        return writing ? green_rwlock_wrlock(&lock) : green_rwlock_rdlock(&lock);
    case 1:
        return writing ? green_rwlock_trywrlock(&lock) : green_rwlock_tryrdlock(&lock);
    default:
        return writing ? green_rwlock_clockwrlock(&lock, CLOCK_MONOTONIC, &soon)
                       : green_rwlock_clockrdlock(&lock, CLOCK_MONOTONIC, &soon);
    }
}

static void write_or_read(unsigned index, uint64_t round)
{
    const bool writing = (index + round) % 4 == 0;
    int error = lock_in_some_way(writing, round);
    must(error == 0 || error == (round % 3 == 1 ? EBUSY : ETIMEDOUT));
    if (error)
        return;
    if (writing) {
        must(atomic_fetch_add(&writers, 1) == 0 && atomic_load(&readers) == 0);
        left = left + 1;
        spin_ns(round % 16 ? 200 : 20000);
        right = right + 1;
        atomic_fetch_add(&writes, 1);
        atomic_fetch_sub(&writers, 1);
    } else {
        atomic_fetch_add(&readers, 1);
        must(atomic_load(&writers) == 0);
        long seen = left;
        spin_ns(round % 16 ? 200 : 20000);
        must(seen == right);
        atomic_fetch_sub(&readers, 1);
    }
    must(green_rwlock_unlock(&lock) == 0);
}

ON_BOTH(rwlock, excludes_under_ticks)
{
    storm(write_or_read);
    cr_assert_eq(left, atomic_load(&writes));
    cr_assert_eq(right, left);
    cr_assert_eq(green_rwlock_destroy(&lock), 0);
}

/* Each turn of a kernel thread may be a wake-up by the kernel, which takes milliseconds on a busy machine. */
enum { MIXED_ROUNDS = 400 };

static void *write_and_read_often(void *arg)
{
    for (uint64_t i = 0; i < MIXED_ROUNDS; i++)
        write_or_read(0, 3 * i);
    return arg;
}

ON_BOTH(rwlock, between_all_kinds_of_threads)
{
    run_mixed(write_and_read_often, NULL);
    cr_assert_eq(left, atomic_load(&writes));
    cr_assert_eq(left, MIXED * MIXED_ROUNDS / 4, "every fourth is to write, and each was waited for");
}

/* Readers who never leave it free together: without an order a writer would wait for ever. */
static atomic_bool over;

static void *read_for_ever(void *arg)
{
    while (!atomic_load(&over)) {
        green_rwlock_rdlock(&lock);
        spin_ns(100000);
        green_rwlock_unlock(&lock);
    }
    return arg;
}

ON_BOTH(rwlock, writers_do_not_starve)
{
    green_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = spawn(read_for_ever, NULL);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(elsewhere(green_rwlock_wrlock), 0);
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}
