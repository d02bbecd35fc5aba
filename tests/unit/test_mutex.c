/*
 * Mutexes: every type and error number, timed locks, and exclusion under ticks.
 */
#include "unit.h"

#include <stdatomic.h>

TestSuite(mutex, .timeout = LIMIT);

/* Run a call on another thread and return what it returned. */
struct remote {
    int (*call)(green_mutex_t *);
    green_mutex_t *mutex;
};

static void *run_remote(void *arg)
{
    struct remote *remote = arg;
    return (void *)(intptr_t)remote->call(remote->mutex);
}

static int elsewhere(int (*call)(green_mutex_t *), green_mutex_t *mutex)
{
    struct remote remote = {call, mutex};
    return (int)(intptr_t)join_result(spawn(run_remote, &remote));
}

static void init_typed(green_mutex_t *mutex, int type)
{
    green_mutexattr_t attr;
    int found = -1;
    cr_assert_eq(green_mutexattr_init(&attr), 0);
    cr_assert_eq(green_mutexattr_settype(&attr, type), 0);
    cr_assert_eq(green_mutexattr_gettype(&attr, &found), 0);
    cr_assert_eq(found, type);
    cr_assert_eq(green_mutex_init(mutex, &attr), 0);
    cr_assert_eq(green_mutexattr_destroy(&attr), 0);
}

static void check_normal(green_mutex_t *mutex)
{
    cr_assert_eq(green_mutex_lock(mutex), 0);
    cr_assert_eq(green_mutex_trylock(mutex), EBUSY);
    cr_assert_eq(elsewhere(green_mutex_trylock, mutex), EBUSY);
    cr_assert_eq(green_mutex_destroy(mutex), EBUSY);
    cr_assert_eq(green_mutex_unlock(mutex), 0);
    cr_assert_eq(green_mutex_trylock(mutex), 0);
    cr_assert_eq(green_mutex_unlock(mutex), 0);
    cr_assert_eq(green_mutex_destroy(mutex), 0);
}

static void check_errorcheck(green_mutex_t *mutex)
{
    struct timespec soon = time_after(CLOCK_REALTIME, 1000000);
    cr_assert_eq(green_mutex_unlock(mutex), EPERM);
    cr_assert_eq(green_mutex_lock(mutex), 0);
    cr_assert_eq(green_mutex_lock(mutex), EDEADLK);
    cr_assert_eq(green_mutex_timedlock(mutex, &soon), EDEADLK);
    cr_assert_eq(green_mutex_trylock(mutex), EBUSY);
    cr_assert_eq(elsewhere(green_mutex_unlock, mutex), EPERM);
    cr_assert_eq(green_mutex_destroy(mutex), EBUSY);
    cr_assert_eq(green_mutex_unlock(mutex), 0);
    cr_assert_eq(green_mutex_unlock(mutex), EPERM);
    cr_assert_eq(green_mutex_destroy(mutex), 0);
}

static void check_recursive(green_mutex_t *mutex)
{
    cr_assert_eq(green_mutex_unlock(mutex), EPERM);
    cr_assert_eq(green_mutex_lock(mutex), 0);
    cr_assert_eq(green_mutex_lock(mutex), 0);
    cr_assert_eq(green_mutex_trylock(mutex), 0);
    for (int held = 3; held > 0; held--) {
        cr_assert_eq(elsewhere(green_mutex_trylock, mutex), EBUSY);
        cr_assert_eq(elsewhere(green_mutex_unlock, mutex), EPERM);
        cr_assert_eq(green_mutex_destroy(mutex), EBUSY);
        cr_assert_eq(green_mutex_unlock(mutex), 0);
    }
    cr_assert_eq(green_mutex_unlock(mutex), EPERM);
    cr_assert_eq(green_mutex_destroy(mutex), 0);
}

ON_BOTH(mutex, types)
{
    green_mutex_t mutex;
    init_typed(&mutex, GREEN_MUTEX_NORMAL);
    check_normal(&mutex);
    init_typed(&mutex, GREEN_MUTEX_ERRORCHECK);
    check_errorcheck(&mutex);
    init_typed(&mutex, GREEN_MUTEX_RECURSIVE);
    check_recursive(&mutex);
    cr_assert_eq(green_mutex_init(&mutex, NULL), 0);
    check_normal(&mutex);
}

ON_BOTH(mutex, static_initialisers)
{
    static green_mutex_t normal = GREEN_MUTEX_INITIALIZER;
    static green_mutex_t recursive = GREEN_RECURSIVE_MUTEX_INITIALIZER_NP;
    static green_mutex_t errorcheck = GREEN_ERRORCHECK_MUTEX_INITIALIZER_NP;
    check_normal(&normal);
    check_recursive(&recursive);
    check_errorcheck(&errorcheck);
}

ON_BOTH(mutex, bad_arguments)
{
    green_mutexattr_t attr, *volatile no_attr = NULL;
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER, *volatile none = NULL;
    const struct timespec *volatile no_time = NULL;
    int type;
    cr_assert_eq(green_mutexattr_init(no_attr), EINVAL);
    cr_assert_eq(green_mutexattr_init(&attr), 0);
    cr_assert_eq(green_mutexattr_settype(&attr, 3), EINVAL);
    cr_assert_eq(green_mutexattr_settype(&attr, -1), EINVAL);
    cr_assert_eq(green_mutexattr_settype(no_attr, GREEN_MUTEX_NORMAL), EINVAL);
    cr_assert_eq(green_mutexattr_gettype(no_attr, &type), EINVAL);
    cr_assert_eq(green_mutex_init(none, NULL), EINVAL);
    cr_assert_eq(green_mutex_destroy(none), EINVAL);
    cr_assert_eq(green_mutex_lock(none), EINVAL);
    cr_assert_eq(green_mutex_trylock(none), EINVAL);
    cr_assert_eq(green_mutex_unlock(none), EINVAL);
    green_mutex_lock(&mutex);
    cr_assert_eq(green_mutex_timedlock(&mutex, no_time), EINVAL);
    cr_assert_eq(green_mutex_timedlock(&mutex, &(struct timespec){0, 1000000000}), EINVAL);
    cr_assert_eq(green_mutex_timedlock(&mutex, &(struct timespec){0, -1}), EINVAL);
    cr_assert_eq(green_mutex_clocklock(&mutex, CLOCK_THREAD_CPUTIME_ID, &(struct timespec){0, 0}), EINVAL);
}

static void *lock_too_late(void *arg)
{
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    struct timespec when = time_after(CLOCK_REALTIME, 3000000);
    must(green_mutex_timedlock(arg, &when) == ETIMEDOUT);
    must(time_reached(CLOCK_REALTIME, when));
    for (int i = 0; i < 2; i++) {
        when = time_after(clocks[i], 3000000);
        must(green_mutex_clocklock(arg, clocks[i], &when) == ETIMEDOUT);
        must(time_reached(clocks[i], when));
        when = time_after(clocks[i], -5000000000);
        must(green_mutex_clocklock(arg, clocks[i], &when) == ETIMEDOUT);
    }
    return NULL;
}

static void *lock_in_time(void *arg)
{
    struct timespec when = time_after(CLOCK_REALTIME, 3600LL * 1000000000);
    must(green_mutex_timedlock(arg, &when) == 0);
    must(green_mutex_unlock(arg) == 0);
    return NULL;
}

ON_BOTH(mutex, timed)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    green_mutex_lock(&mutex);
    join_result(spawn(lock_too_late, &mutex));
    green_t thread = spawn(lock_in_time, &mutex);
    green_usleep(2000);
    green_mutex_unlock(&mutex);
    join_result(thread);
    struct timespec past = time_after(CLOCK_REALTIME, -1000000000);
    cr_assert_eq(green_mutex_timedlock(&mutex, &past), 0, "a free mutex needs no time");
}

static green_mutex_t shared = GREEN_MUTEX_INITIALIZER;
static atomic_int inside;
static uint64_t plain, sum[STORM_THREADS];

/* Stay long enough for a tick to fall inside now and then. */
static void in_section(unsigned index, uint64_t round)
{
    must(atomic_fetch_add(&inside, 1) == 0);
    uint64_t before = plain;
    if (round % 16 == 0)
        spin_ns(20000);
    plain = before + 1;
    sum[index]++;
    must(atomic_fetch_sub(&inside, 1) == 1);
}

static void lock_step(unsigned index, uint64_t round)
{
    must(green_mutex_lock(&shared) == 0);
    in_section(index, round);
    must(green_mutex_unlock(&shared) == 0);
}

static void mixed_step(unsigned index, uint64_t round)
{
    struct timespec soon = time_after(CLOCK_MONOTONIC, (int64_t)(round % 64) * 5000);
    int error = round % 3 == 0   ? green_mutex_lock(&shared)
                : round % 3 == 1 ? green_mutex_trylock(&shared)
                                 : green_mutex_clocklock(&shared, CLOCK_MONOTONIC, &soon);
    if (error) {
        must(error == (round % 3 == 1 ? EBUSY : ETIMEDOUT));
        return;
    }
    in_section(index, round);
    must(green_mutex_unlock(&shared) == 0);
}

static void check_storm(void (*step)(unsigned, uint64_t))
{
    uint64_t total = 0;
    storm(step);
    for (int i = 0; i < STORM_THREADS; i++)
        total += sum[i];
    cr_assert_eq(plain, total);
    cr_assert_eq(green_mutex_trylock(&shared), 0);
}

ON_BOTH(mutex, excludes_under_ticks)
{
    check_storm(lock_step);
}

ON_BOTH(mutex, timeouts_lose_nothing)
{
    check_storm(mixed_step);
}

ON_BOTH(mutex, recursive_excludes_under_ticks)
{
    init_typed(&shared, GREEN_MUTEX_RECURSIVE);
    check_storm(lock_step);
}

ON_BOTH(mutex, errorcheck_excludes_under_ticks)
{
    init_typed(&shared, GREEN_MUTEX_ERRORCHECK);
    check_storm(lock_step);
}

static atomic_bool enough;

static void *keep_locking(void *arg)
{
    while (!atomic_load(&enough)) {
        green_mutex_lock(&shared);
        spin_ns(50000);
        green_mutex_unlock(&shared);
    }
    return arg;
}

/* Two that hardly ever let go must not keep a third out for ever. */
ON_BOTH(mutex, nobody_waits_for_ever)
{
    green_t hogs[2] = {spawn(keep_locking, NULL), spawn(keep_locking, NULL)};
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(green_mutex_lock(&shared), 0);
        green_mutex_unlock(&shared);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++)
        join_result(hogs[i]);
}
