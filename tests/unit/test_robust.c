/*
 * Mutex attributes, and what a robust mutex says when its owner has ended.
 */
#include "unit.h"

#include <green/policy.h>
#include <pthread.h>
#include <stdatomic.h>

TestSuite(robust, .timeout = LIMIT);

static green_mutex_t mutex;

typedef int set_fn(green_mutexattr_t *, int);
typedef int get_fn(const green_mutexattr_t *, int *);

static void check_attribute(set_fn *set, get_fn *get, int first, int last, int initial)
{
    green_mutexattr_t attr, *volatile none = NULL;
    int value = -7, *volatile nowhere = NULL;
    cr_assert_eq(green_mutexattr_init(&attr), 0);
    cr_assert_eq(get(&attr, &value), 0);
    cr_assert_eq(value, initial);
    for (int i = first; i <= last; i++) {
        cr_assert_eq(set(&attr, i), 0);
        cr_assert_eq(get(&attr, &value), 0);
        cr_assert_eq(value, i);
        cr_assert_eq(green_mutex_init(&mutex, &attr), 0);
    }
    cr_assert_eq(set(&attr, first - 1), EINVAL);
    cr_assert_eq(set(&attr, last + 1), EINVAL);
    cr_assert_eq(set(none, first), EINVAL);
    cr_assert_eq(get(none, &value), EINVAL);
    cr_assert_eq(get(&attr, nowhere), EINVAL);
    cr_assert_eq(get(&attr, &value), 0);
    cr_assert_eq(value, last, "a value that is none changes nothing");
    cr_assert_eq(green_mutexattr_destroy(&attr), 0);
}

Test(robust, attributes)
{
    const int lowest = sched_get_priority_min(SCHED_FIFO), highest = sched_get_priority_max(SCHED_FIFO);
    check_attribute(green_mutexattr_settype, green_mutexattr_gettype, GREEN_MUTEX_NORMAL, GREEN_MUTEX_ERRORCHECK,
                    GREEN_MUTEX_DEFAULT);
    check_attribute(green_mutexattr_setprotocol, green_mutexattr_getprotocol, GREEN_PRIO_NONE, GREEN_PRIO_PROTECT,
                    GREEN_PRIO_NONE);
    check_attribute(green_mutexattr_setrobust, green_mutexattr_getrobust, GREEN_MUTEX_STALLED, GREEN_MUTEX_ROBUST,
                    GREEN_MUTEX_STALLED);
    check_attribute(green_mutexattr_setprioceiling, green_mutexattr_getprioceiling, lowest, highest, lowest);
}

Test(robust, sharing_is_an_attribute)
{
    green_mutexattr_t attr, *volatile none = NULL;
    green_condattr_t cond_attr, *volatile no_cond_attr = NULL;
    int shared = -1, *volatile nowhere = NULL;
    green_mutexattr_init(&attr);
    cr_assert_eq(green_mutexattr_setpshared(&attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_mutexattr_setpshared(&attr, 2), EINVAL);
    cr_assert_eq(green_mutexattr_setpshared(none, GREEN_PROCESS_PRIVATE), EINVAL);
    cr_assert_eq(green_mutexattr_setpshared(&attr, GREEN_PROCESS_PRIVATE), 0);
    cr_assert_eq(green_mutexattr_getpshared(&attr, &shared), 0);
    cr_assert_eq(shared, GREEN_PROCESS_PRIVATE);
    cr_assert_eq(green_mutexattr_getpshared(&attr, nowhere), EINVAL);
    green_condattr_init(&cond_attr);
    cr_assert_eq(green_condattr_setpshared(&cond_attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_condattr_setpshared(&cond_attr, 2), EINVAL);
    cr_assert_eq(green_condattr_setpshared(no_cond_attr, GREEN_PROCESS_PRIVATE), EINVAL);
    cr_assert_eq(green_condattr_setpshared(&cond_attr, GREEN_PROCESS_PRIVATE), 0);
    shared = -1;
    cr_assert_eq(green_condattr_getpshared(&cond_attr, &shared), 0);
    cr_assert_eq(shared, GREEN_PROCESS_PRIVATE);
    cr_assert_eq(green_condattr_getpshared(&cond_attr, nowhere), EINVAL);
}

static void make(int type, int protocol, int robust)
{
    green_mutexattr_t attr;
    must(green_mutexattr_init(&attr) == 0);
    must(green_mutexattr_settype(&attr, type) == 0);
    must(green_mutexattr_setprotocol(&attr, protocol) == 0);
    must(green_mutexattr_setprioceiling(&attr, 12) == 0);
    must(green_mutexattr_setrobust(&attr, robust) == 0);
    must(green_mutex_init(&mutex, &attr) == 0);
}

ON_BOTH(robust, ceilings)
{
    green_mutex_t *volatile none = NULL;
    int ceiling = -1, old = -1, *volatile nowhere = NULL;
    make(GREEN_MUTEX_ERRORCHECK, GREEN_PRIO_PROTECT, GREEN_MUTEX_STALLED);
    cr_assert_eq(green_mutex_getprioceiling(&mutex, &ceiling), 0);
    cr_assert_eq(ceiling, 12);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 40, &old), 0);
    cr_assert_eq(old, 12);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 41, nowhere), 0, "who does not ask is not told");
    cr_assert_eq(green_mutex_getprioceiling(&mutex, &ceiling), 0);
    cr_assert_eq(ceiling, 41);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 0, &old), EINVAL);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 100, &old), EINVAL);
    cr_assert_eq(green_mutex_setprioceiling(none, 12, &old), EINVAL);
    cr_assert_eq(green_mutex_getprioceiling(&mutex, nowhere), EINVAL);
    cr_assert_eq(green_mutex_getprioceiling(none, &ceiling), EINVAL);
    cr_assert_eq(green_mutex_lock(&mutex), 0);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 12, &old), EDEADLK);
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
    cr_assert_eq(green_mutex_unlock(&mutex), EPERM, "a ceiling does not change the type");
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_INHERIT, GREEN_MUTEX_STALLED);
    cr_assert_eq(green_mutex_getprioceiling(&mutex, &ceiling), EINVAL);
    cr_assert_eq(green_mutex_setprioceiling(&mutex, 12, &old), EINVAL);
    cr_assert_eq(green_mutex_lock(&mutex), 0);
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
    cr_assert_eq(green_mutex_unlock(&mutex), EPERM);
}

static atomic_bool ran;

static void *run_at_once(void *arg)
{
    atomic_store(&ran, true);
    return arg;
}

/* Its ceiling is above the other's priority, and its own below. */
static void *create_under_a_ceiling(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    green_t other = spawn_at(10, run_at_once, NULL);
    must(!atomic_load(&ran));
    must(green_mutex_unlock(&mutex) == 0);
    must(atomic_load(&ran));
    join_result(other);
    return arg;
}

static void *lock_above_the_ceiling(void *arg)
{
    must(green_mutex_lock(&mutex) == EINVAL);
    must(green_mutex_trylock(&mutex) == EINVAL);
    return arg;
}

Test(robust, ceilings_protect)
{
    struct green_config config = {
        .procs = 1, .slice_us = TICK_US, .preempt = GREEN_ON, .policy = green_policy_by_name("priority")};
    start_config(&config);
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_PROTECT, GREEN_MUTEX_STALLED); /* at 12 */
    for (int i = 0; i < 100; i++) {
        atomic_store(&ran, false);
        join_result(spawn_at(3, create_under_a_ceiling, NULL));
    }
    join_result(spawn_at(13, lock_above_the_ceiling, NULL));
}

static void *end_with_it(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    return arg;
}

static void *exit_with_it(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    green_exit(arg);
}

/* It is the caller's, inconsistent; mend it. */
static void mend(int error)
{
    cr_assert_eq(error, EOWNERDEAD);
    cr_assert_eq(green_mutex_trylock(&mutex), EBUSY);
    cr_assert_eq(green_mutex_consistent(&mutex), 0);
    cr_assert_eq(green_mutex_consistent(&mutex), EINVAL, "once");
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
    cr_assert_eq(green_mutex_lock(&mutex), 0);
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
}

ON_BOTH(robust, next_owner_is_told)
{
    struct timespec when = time_after(CLOCK_REALTIME, 1000000000);
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    join_result(spawn(end_with_it, NULL));
    mend(green_mutex_lock(&mutex));
    join_result(spawn(exit_with_it, NULL));
    mend(green_mutex_trylock(&mutex));
    join_result(spawn_in(GREEN_SCOPE_SYSTEM, end_with_it, NULL));
    mend(green_mutex_timedlock(&mutex, &when));
    join_result(spawn_in(GREEN_SCOPE_SYSTEM, exit_with_it, NULL));
    mend(green_mutex_clocklock(&mutex, CLOCK_REALTIME, &when));
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

static void *outsider(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    return arg;
}

ON_BOTH(robust, kernel_thread_of_the_programs)
{
    pthread_t thread;
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    must(pthread_create(&thread, NULL, outsider, NULL) == 0);
    must(pthread_join(thread, NULL) == 0);
    mend(green_mutex_lock(&mutex));
}

ON_BOTH(robust, every_type)
{
    for (int type = GREEN_MUTEX_NORMAL; type <= GREEN_MUTEX_ERRORCHECK; type++) {
        make(type, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
        cr_assert_eq(green_mutex_unlock(&mutex), EPERM);
        cr_assert_eq(green_mutex_consistent(&mutex), EINVAL, "nobody has ended with it");
        join_result(spawn(end_with_it, NULL));
        cr_assert_eq(green_mutex_consistent(&mutex), EINVAL, "not the caller's");
        cr_assert_eq(green_mutex_lock(&mutex), EOWNERDEAD);
        if (type == GREEN_MUTEX_RECURSIVE) {
            cr_assert_eq(green_mutex_lock(&mutex), 0);
            cr_assert_eq(green_mutex_unlock(&mutex), 0);
        }
        if (type == GREEN_MUTEX_ERRORCHECK)
            cr_assert_eq(green_mutex_lock(&mutex), EDEADLK);
        cr_assert_eq(green_mutex_consistent(&mutex), 0);
        cr_assert_eq(green_mutex_destroy(&mutex), EBUSY);
        cr_assert_eq(green_mutex_unlock(&mutex), 0);
        cr_assert_eq(green_mutex_unlock(&mutex), EPERM);
        cr_assert_eq(green_mutex_destroy(&mutex), 0);
    }
}

ON_BOTH(robust, not_for_others)
{
    green_mutex_t *volatile none = NULL, plain = GREEN_MUTEX_INITIALIZER;
    cr_assert_eq(green_mutex_consistent(none), EINVAL);
    cr_assert_eq(green_mutex_consistent(&plain), EINVAL);
    make(GREEN_MUTEX_ERRORCHECK, GREEN_PRIO_NONE, GREEN_MUTEX_STALLED);
    join_result(spawn(end_with_it, NULL));
    cr_assert_eq(green_mutex_trylock(&mutex), EBUSY, "stalled");
}

/* An owner may end after another: it is still inconsistent. */
ON_BOTH(robust, two_owners_end)
{
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    join_result(spawn(end_with_it, NULL));
    cr_assert_eq(green_mutex_lock(&mutex), EOWNERDEAD);
    green_mutex_consistent(&mutex);
    green_mutex_unlock(&mutex);
    join_result(spawn(end_with_it, NULL));
    mend(green_mutex_lock(&mutex));
}

enum { WAITERS = 8 };

static atomic_int waiting, told;

static void *lock_in_vain(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    must(green_mutex_lock(&mutex) == ENOTRECOVERABLE);
    return arg;
}

static void check_lost(void)
{
    struct timespec when = time_after(CLOCK_REALTIME, 1000000000);
    cr_assert_eq(green_mutex_lock(&mutex), ENOTRECOVERABLE);
    cr_assert_eq(green_mutex_trylock(&mutex), ENOTRECOVERABLE);
    cr_assert_eq(green_mutex_timedlock(&mutex, &when), ENOTRECOVERABLE);
    cr_assert_eq(green_mutex_unlock(&mutex), EPERM);
    cr_assert_eq(green_mutex_consistent(&mutex), EINVAL);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

ON_BOTH(robust, unlocked_without_mending_it_is_lost)
{
    green_t threads[WAITERS];
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    join_result(spawn(end_with_it, NULL));
    cr_assert_eq(green_mutex_lock(&mutex), EOWNERDEAD);
    for (int i = 0; i < WAITERS; i++)
        threads[i] = spawn(lock_in_vain, NULL);
    wait_for(atomic_load(&waiting) == WAITERS && mutex.__state & 2);
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
    for (int i = 0; i < WAITERS; i++)
        join_result(threads[i]);
    check_lost();
}

static void *hold_until_all_wait(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_store((atomic_bool *)arg, true);
    wait_for(atomic_load(&waiting) == WAITERS);
    green_usleep(1000);
    return arg; /* with it */
}

static void *be_told_and_end(void *arg)
{
    atomic_fetch_add(&waiting, 1);
    must(green_mutex_lock(&mutex) == EOWNERDEAD);
    must(green_mutex_consistent(&mutex) == 0);
    atomic_fetch_add(&told, 1);
    return arg; /* with it */
}

/* Those who wait when the owner ends: one after the other is told. */
ON_BOTH(robust, waiters_are_woken_by_the_end)
{
    green_t threads[WAITERS];
    atomic_bool held = false;
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    green_t first = spawn(hold_until_all_wait, &held);
    wait_for(atomic_load(&held));
    for (int i = 0; i < WAITERS; i++)
        threads[i] = i % 2 ? spawn_in(GREEN_SCOPE_SYSTEM, be_told_and_end, NULL) : spawn(be_told_and_end, NULL);
    for (int i = 0; i < WAITERS; i++)
        join_result(threads[i]);
    join_result(first);
    cr_assert_eq(atomic_load(&told), WAITERS);
    mend(green_mutex_lock(&mutex));
}

static green_cond_t cond = GREEN_COND_INITIALIZER;

static void *wait_with_it(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&waiting, 1);
    int error = green_cond_wait(&cond, &mutex);
    must(error != EOWNERDEAD || green_mutex_consistent(&mutex) == 0);
    must((error != 0 && error != EOWNERDEAD) || green_mutex_unlock(&mutex) == 0);
    return (void *)(intptr_t)error + (arg ? 1 : 0);
}

static void *signal_and_end(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    must(green_cond_signal(&cond) == 0);
    return arg; /* with it */
}

ON_BOTH(robust, condition_variable_passes_it_on)
{
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    green_t waiter = spawn(wait_with_it, NULL);
    wait_for(atomic_load(&waiting) == 1);
    join_result(spawn(signal_and_end, NULL));
    cr_assert_eq((int)(intptr_t)join_result(waiter), EOWNERDEAD);
    cr_assert_eq(green_mutex_lock(&mutex), 0);
    cr_assert_eq(green_mutex_unlock(&mutex), 0);
}

/* Waiting unlocks it. */
ON_BOTH(robust, waiting_without_mending_loses_it)
{
    struct timespec when = time_after(CLOCK_REALTIME, 1000000);
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    join_result(spawn(end_with_it, NULL));
    cr_assert_eq(green_mutex_lock(&mutex), EOWNERDEAD);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, &when), ENOTRECOVERABLE);
    check_lost();
}

/* Owners end at random, with several mutexes in any order. */
enum { MUTEXES = 5 };

static struct {
    green_mutex_t mutex;
    volatile long counter, ended;
} guarded[MUTEXES];
static atomic_long locked[MUTEXES], ended_with[MUTEXES];

static void lock_guarded(int at)
{
    int error = green_mutex_lock(&guarded[at].mutex);
    must(error == 0 || error == EOWNERDEAD);
    if (error) {
        guarded[at].ended++;
        must(green_mutex_consistent(&guarded[at].mutex) == 0);
    }
    guarded[at].counter++;
    atomic_fetch_add(&locked[at], 1);
}

static void *lock_two_and_perhaps_end(void *arg)
{
    const unsigned n = (unsigned)(intptr_t)arg;
    const int a = (int)(n % MUTEXES), b = (int)((n / MUTEXES) % MUTEXES);
    lock_guarded(a < b ? a : b);
    if (a != b)
        lock_guarded(a < b ? b : a);
    spin_ns(n % 16 ? 500 : 20000);
    if (n % 3 != 0)
        must(green_mutex_unlock(&guarded[a].mutex) == 0);
    else
        atomic_fetch_add(&ended_with[a], 1);
    if (a != b && n % 5 != 0)
        must(green_mutex_unlock(&guarded[b].mutex) == 0);
    else if (a != b)
        atomic_fetch_add(&ended_with[b], 1);
    return NULL;
}

static void start_and_join(unsigned index, uint64_t round)
{
    join_result(spawn(lock_two_and_perhaps_end, (void *)(intptr_t)(round * 7 + index)));
}

ON_BOTH(robust, owners_end_under_ticks)
{
    make(GREEN_MUTEX_NORMAL, GREEN_PRIO_NONE, GREEN_MUTEX_ROBUST);
    for (int i = 0; i < MUTEXES; i++)
        guarded[i].mutex = mutex;
    storm(start_and_join);
    for (int i = 0; i < MUTEXES; i++) {
        lock_guarded(i);
        cr_assert_eq(guarded[i].counter, atomic_load(&locked[i]));
        cr_assert_eq(guarded[i].ended, atomic_load(&ended_with[i]));
        cr_assert_eq(green_mutex_unlock(&guarded[i].mutex), 0);
    }
}
