/*
 * Barriers and read-write locks shared between processes.
 */
#include "shared.h"

TestSuite(shared_meet, .timeout = LIMIT);

#ifdef SHARED_FORKS
static void *meet(void *arg)
{
    for (int i = 0; i < SHARED_MEETINGS; i++) {
        atomic_fetch_add(&page->arrived[i], 1);
        int result = green_barrier_wait(&page->barrier);
        must(result == 0 || result == GREEN_BARRIER_SERIAL_THREAD);
        must(atomic_load(&page->arrived[i]) == 2 * SHARED_THREADS);
        if (result != 0)
            atomic_fetch_add(&page->serial, 1);
    }
    return arg;
}

ON_BOTH(shared_meet, barrier_meets)
{
    green_barrierattr_t attr;
    shared_make(GREEN_MUTEX_NORMAL);
    must(green_barrierattr_init(&attr) == 0);
    cr_assert_eq(green_barrierattr_setpshared(&attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_barrier_init(&page->barrier, &attr, 2 * SHARED_THREADS), 0);
    shared_on_both_sides(meet);
    cr_assert_eq(atomic_load(&page->serial), SHARED_MEETINGS);
    cr_assert_eq(green_barrier_destroy(&page->barrier), 0);
}

static void *read_and_write(void *arg)
{
    for (int i = 0; i < SHARED_ROUNDS; i++) {
        const bool writes = (i + (intptr_t)arg) % 3 == 0;
        must((writes ? green_rwlock_wrlock(&page->lock) : green_rwlock_rdlock(&page->lock)) == 0);
        must(page->count == page->twin);
        if (writes) {
            page->count++;
            must(green_rwlock_rdlock(&page->lock) == EDEADLK);
            page->twin++;
        }
        must(green_rwlock_unlock(&page->lock) == 0);
    }
    return arg;
}

ON_BOTH(shared_meet, rwlock_excludes_writers)
{
    green_rwlockattr_t attr;
    shared_make(GREEN_MUTEX_NORMAL);
    must(green_rwlockattr_init(&attr) == 0);
    cr_assert_eq(green_rwlockattr_setpshared(&attr, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_rwlock_init(&page->lock, &attr), 0);
    shared_on_both_sides(read_and_write);
    cr_assert_eq(page->count, page->twin);
    cr_assert_eq(page->count, 2 * SHARED_THREADS * SHARED_ROUNDS / 3);
    cr_assert_eq(green_rwlock_unlock(&page->lock), EPERM);
    cr_assert_eq(green_rwlock_rdlock(&page->lock), 0);
    cr_assert_eq(green_rwlock_tryrdlock(&page->lock), 0);
    cr_assert_eq(green_rwlock_trywrlock(&page->lock), EBUSY);
    const struct timespec soon = time_after(CLOCK_REALTIME, 2000000);
    cr_assert_eq(green_rwlock_timedwrlock(&page->lock, &soon), ETIMEDOUT);
    cr_assert_eq(green_rwlock_destroy(&page->lock), EBUSY);
    cr_assert_eq(green_rwlock_unlock(&page->lock), 0);
    cr_assert_eq(green_rwlock_unlock(&page->lock), 0);
    cr_assert_eq(green_rwlock_destroy(&page->lock), 0);
}
#endif
