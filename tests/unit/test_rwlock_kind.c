/*
 * Read-write locks: the kinds, which say who passes a writer that waits.
 */
#include "unit.h"

static green_rwlock_t lock = GREEN_RWLOCK_INITIALIZER;

static void *write_once(void *arg)
{
    must(green_rwlock_wrlock(&lock) == 0);
    must(green_rwlock_unlock(&lock) == 0);
    return arg;
}

static int read_for_a_moment(void)
{
    const struct timespec when = time_after(CLOCK_REALTIME, 2000000);
    return green_rwlock_timedrdlock(&lock, &when);
}

/* By a thread that reads nothing yet, and unlocks again. */
static void *try_once(void *arg)
{
    int *error = arg;
    if ((*error = green_rwlock_tryrdlock(&lock)) == 0)
        must(green_rwlock_unlock(&lock) == 0);
    return NULL;
}

static void *read_in_time(void *arg)
{
    int *error = arg;
    if ((*error = read_for_a_moment()) == 0)
        must(green_rwlock_unlock(&lock) == 0);
    return NULL;
}

static int result_of(void *(*routine)(void *))
{
    int error = -1;
    join_result(spawn(routine, &error));
    return error;
}

/* Whether a newcomer, and one that reads already, passes a writer that waits. */
static void check_passing(bool newcomer, bool holder)
{
    cr_assert_eq(green_rwlock_rdlock(&lock), 0);
    green_t writer = spawn(write_once, NULL);
    wait_for(lock.__queue.__head != NULL);
    cr_assert_eq(result_of(try_once), newcomer ? 0 : EBUSY);
    cr_assert_eq(result_of(read_in_time), newcomer ? 0 : ETIMEDOUT);
    cr_assert_eq(green_rwlock_tryrdlock(&lock), holder ? 0 : EBUSY);
    cr_assert_eq(read_for_a_moment(), holder ? 0 : ETIMEDOUT);
    for (int i = 0; i < (holder ? 3 : 1); i++)
        cr_assert_eq(green_rwlock_unlock(&lock), 0);
    join_result(writer);
    cr_assert_eq(green_rwlock_destroy(&lock), 0);
}

static void init_of_kind(int kind)
{
    green_rwlockattr_t attr;
    int now = -1;
    cr_assert_eq(green_rwlockattr_init(&attr), 0);
    cr_assert_eq(green_rwlockattr_setkind_np(&attr, kind), 0);
    cr_assert(green_rwlockattr_getkind_np(&attr, &now) == 0 && now == kind);
    cr_assert_eq(green_rwlock_init(&lock, &attr), 0);
    cr_assert_eq(green_rwlockattr_destroy(&attr), 0);
}

ON_BOTH(rwlock_kind, kinds)
{
    check_passing(false, true);
    init_of_kind(GREEN_RWLOCK_PREFER_READER_NP);
    check_passing(true, true);
    init_of_kind(GREEN_RWLOCK_PREFER_WRITER_NP);
    check_passing(false, true);
    init_of_kind(GREEN_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    check_passing(false, false);
    lock = (green_rwlock_t)GREEN_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    check_passing(false, false);
}

ON_BOTH(rwlock_kind, no_kinds)
{
    green_rwlockattr_t attr, *volatile no_attr = NULL;
    int kind = -1, *volatile nowhere = NULL;
    cr_assert_eq(green_rwlockattr_init(&attr), 0);
    cr_assert(green_rwlockattr_getkind_np(&attr, &kind) == 0 && kind == GREEN_RWLOCK_DEFAULT_NP);
    cr_assert_eq(green_rwlockattr_setkind_np(&attr, 3), EINVAL);
    cr_assert_eq(green_rwlockattr_setkind_np(&attr, -1), EINVAL);
    cr_assert_eq(green_rwlockattr_setkind_np(no_attr, 0), EINVAL);
    cr_assert_eq(green_rwlockattr_getkind_np(no_attr, &kind), EINVAL);
    cr_assert_eq(green_rwlockattr_getkind_np(&attr, nowhere), EINVAL);
    cr_assert(green_rwlockattr_getkind_np(&attr, &kind) == 0 && kind == GREEN_RWLOCK_DEFAULT_NP);
}
