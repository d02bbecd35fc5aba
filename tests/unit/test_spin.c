/*
 * Spin locks: error numbers, exclusion, and that a holder who does not run holds nobody up for ever.
 */
#include "mixed.h"
#include "unit.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(spin, .timeout = LIMIT);

static green_spinlock_t lock;

static void *try_elsewhere(void *arg)
{
    int error = green_spin_trylock(arg);
    if (!error)
        must(green_spin_unlock(arg) == 0);
    return (void *)(intptr_t)error;
}

static void *unlock_elsewhere(void *arg)
{
    return (void *)(intptr_t)green_spin_unlock(arg);
}

static int on_another(void *(*routine)(void *))
{
    return (int)(intptr_t)join_result(spawn(routine, &lock));
}

ON_BOTH(spin, private_errors)
{
    cr_assert_eq(green_spin_init(&lock, GREEN_PROCESS_PRIVATE), 0);
    cr_assert_eq(green_spin_unlock(&lock), EPERM);
    cr_assert_eq(green_spin_lock(&lock), 0);
    cr_assert_eq(green_spin_lock(&lock), EDEADLK);
    cr_assert_eq(green_spin_trylock(&lock), EBUSY);
    cr_assert_eq(on_another(try_elsewhere), EBUSY);
    cr_assert_eq(on_another(unlock_elsewhere), EPERM);
    cr_assert_eq(green_spin_destroy(&lock), EBUSY);
    cr_assert_eq(green_spin_unlock(&lock), 0);
    cr_assert_eq(on_another(try_elsewhere), 0);
    cr_assert_eq(green_spin_destroy(&lock), 0);
}

ON_BOTH(spin, shared_errors)
{
    cr_assert_eq(green_spin_init(&lock, GREEN_PROCESS_SHARED), 0);
    cr_assert_eq(green_spin_unlock(&lock), EPERM);
    cr_assert_eq(green_spin_lock(&lock), 0);
    cr_assert_eq(green_spin_trylock(&lock), EBUSY);
    cr_assert_eq(on_another(try_elsewhere), EBUSY);
    cr_assert_eq(green_spin_destroy(&lock), EBUSY);
    cr_assert_eq(green_spin_unlock(&lock), 0);
    cr_assert_eq(green_spin_destroy(&lock), 0);
}

ON_BOTH(spin, bad_arguments)
{
    green_spinlock_t *volatile none = NULL;
    cr_assert_eq(green_spin_init(none, GREEN_PROCESS_PRIVATE), EINVAL);
    cr_assert_eq(green_spin_init(&lock, 2), EINVAL);
    cr_assert_eq(green_spin_destroy(none), EINVAL);
    cr_assert_eq(green_spin_lock(none), EINVAL);
    cr_assert_eq(green_spin_trylock(none), EINVAL);
    cr_assert_eq(green_spin_unlock(none), EINVAL);
}

/* Without ticks, and with a holder that sleeps, a spinner that never lets go of the processor would hang. */
static void *lock_and_sleep(void *arg)
{
    must(green_spin_lock(&lock) == 0);
    *(atomic_bool *)arg = true;
    green_usleep(3000);
    must(green_spin_unlock(&lock) == 0);
    return arg;
}

static void check_holder_off_processor(int shared)
{
    atomic_bool held = false;
    start_cooperative();
    green_spin_init(&lock, shared);
    green_t holder = spawn(lock_and_sleep, &held);
    while (!atomic_load(&held))
        green_yield();
    cr_assert_eq(green_spin_lock(&lock), 0);
    cr_assert_eq(green_spin_unlock(&lock), 0);
    join_result(holder);
}

Test(spin, holder_sleeps)
{
    check_holder_off_processor(GREEN_PROCESS_PRIVATE);
}

Test(spin, holder_of_a_shared_one_sleeps)
{
    check_holder_off_processor(GREEN_PROCESS_SHARED);
}

static volatile long counter;
static atomic_long expected;

static void count(unsigned index, uint64_t round)
{
    must(green_spin_lock(&lock) == 0);
    long seen = counter;
    if ((round + index) % 8 == 0)
        spin_ns(5000);
    counter = seen + 1;
    must(green_spin_unlock(&lock) == 0);
    atomic_fetch_add(&expected, 1);
}

static void check_storm(int shared)
{
    green_spin_init(&lock, shared);
    storm(count);
    cr_assert_eq(counter, atomic_load(&expected));
    cr_assert_eq(green_spin_destroy(&lock), 0);
}

ON_BOTH(spin, excludes_under_ticks)
{
    check_storm(GREEN_PROCESS_PRIVATE);
}

ON_BOTH(spin, shared_excludes_under_ticks)
{
    check_storm(GREEN_PROCESS_SHARED);
}

static void *count_often(void *arg)
{
    for (uint64_t i = 0; i < 3000; i++)
        count(0, i);
    return arg;
}

ON_BOTH(spin, between_all_kinds_of_threads)
{
    green_spin_init(&lock, GREEN_PROCESS_PRIVATE);
    run_mixed(count_often, NULL);
    cr_assert_eq(counter, MIXED * 3000);
}

/* Two processes, one lock and one counter. */
struct page {
    green_spinlock_t lock;
    volatile long counter;
};

static void count_in(struct page *page)
{
    for (int i = 0; i < 3000; i++) {
        must(green_spin_lock(&page->lock) == 0);
        long seen = page->counter;
        if (i % 64 == 0)
            spin_ns(20000);
        page->counter = seen + 1;
        must(green_spin_unlock(&page->lock) == 0);
    }
}

ON_BOTH(spin, between_processes)
{
    int status;
    struct page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(page, MAP_FAILED);
    cr_assert_eq(green_spin_init(&page->lock, GREEN_PROCESS_SHARED), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    count_in(page);
    if (child == 0)
        _exit(0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(page->counter, 6000);
}
