/*
 * Cancellation of the asynchronous type, of threads that wait: for whatever it is, and with nothing lost.
 */
#include "cancel.h"

#include <setjmp.h>
#include <sys/mman.h>

#include <green/signal.h>

TestSuite(cancel_async, .timeout = LIMIT);

enum { ROUNDS = 300, BYTES = 64 * 4096 };

static const struct timespec far = {.tv_sec = 4000000000};

static green_rwlock_t rwlock = GREEN_RWLOCK_INITIALIZER;
static green_barrier_t barrier;
static green_once_t once = GREEN_ONCE_INIT;

static void sem_gate(void)
{
    must(green_sem_wait(&gate) == 0);
}

static void lock(void)
{
    green_mutex_lock(&mutex);
}

static void lock_until_far(void)
{
    green_mutex_timedlock(&mutex, &far);
}

static void read_lock(void)
{
    green_rwlock_rdlock(&rwlock);
}

static void write_lock(void)
{
    green_rwlock_wrlock(&rwlock);
}

static void write_lock_until_far(void)
{
    green_rwlock_timedwrlock(&rwlock, &far);
}

static void arrive(void)
{
    green_barrier_wait(&barrier);
}

static void run_once(void)
{
    green_once(&once, sem_gate);
}

/* None of them comes back while hold_all() holds. */
static void (*const waits[])(void) = {lock,       lock_until_far,       read_lock, write_lock_until_far,
                                      write_lock, arrive,         run_once};
enum { WAITS = sizeof waits / sizeof *waits };

static void *runs_once(void *arg)
{
    run_once();
    return arg;
}

static green_t hold_all(void)
{
    must(green_mutex_lock(&mutex) == 0);
    must(green_rwlock_wrlock(&rwlock) == 0);
    must(green_barrier_init(&barrier, NULL, 2) == 0);
    green_t runner = spawn(runs_once, NULL);
    wait_for(is_parked(runner));
    return runner;
}

static void *arrives(void *arg)
{
    must(green_barrier_wait(&barrier) != EINVAL);
    return arg;
}

/* Everything is as if those who were cancelled had never come: the last destroys succeed. */
static void release_all(green_t runner)
{
    must(green_mutex_unlock(&mutex) == 0 && green_mutex_destroy(&mutex) == 0);
    must(green_rwlock_unlock(&rwlock) == 0 && green_rwlock_destroy(&rwlock) == 0);
    green_t other = spawn(arrives, NULL);
    arrives(NULL);
    join_result(other);
    must(green_barrier_destroy(&barrier) == 0);
    must(green_sem_post(&gate) == 0);
    join_result(runner);
}

static void *reach_asynchronously(void *wait)
{
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    return reach(wait);
}

ON_ALL(cancel_async, ends_where_it_waits)
{
    green_t runner = hold_all();
    for (int round = 1; round <= 10 * WAITS; round++) {
        green_t thread = spawn_in(scope, reach_asynchronously, (void *)&waits[round % WAITS]);
        wait_for(atomic_load(&reached) == round && is_parked(thread));
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round);
    }
    release_all(runner);
}

/* On its way into the wait, or there. */
ON_ALL(cancel_async, ends_on_its_way)
{
    green_t runner = hold_all();
    for (int round = 1; round <= ROUNDS; round++) {
        green_t thread = spawn_in(scope, reach_asynchronously, (void *)&waits[round % WAITS]);
        wait_for(atomic_load(&reached) == round);
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round);
    }
    release_all(runner);
}

ON_ALL(cancel_async, ends_at_the_points)
{
    start_target();
    for (int round = 1; round <= 4 * POINTS; round++) {
        green_t thread = spawn_in(scope, reach_asynchronously, (void *)&points[round % POINTS]);
        wait_for(atomic_load(&reached) == round && (round % POINTS == POINT_TESTCANCEL || is_parked(thread)));
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round);
    }
    end_target();
}

static void *lock_disabled(void *arg)
{
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    must(green_mutex_lock(&mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&passed, 1);
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    must(0);
    return arg;
}

ON_ALL(cancel_async, disabled_it_waits)
{
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn_in(scope, lock_disabled, NULL);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    cancel_in_vain(thread);
    must(green_mutex_unlock(&mutex) == 0);
    check_cancelled(thread);
}

/* A handler runs within the wait, which is left by it or goes on. */

static __thread sigjmp_buf back;
static atomic_int leaves;

static void handler(int number)
{
    (void)number;
    must(green_mutex_lock(&mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    if (atomic_load(&leaves))
        siglongjmp(back, 1);
}

static void *wait_and_hog(void *arg)
{
    green_mutex_t own = GREEN_MUTEX_INITIALIZER;

    must(green_mutex_lock(&own) == 0);
    green_cleanup_push(count_pass, &passed);
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    if (sigsetjmp(back, 1) == 0) {
        atomic_fetch_add(&reached, 1);
        green_cond_wait(&cond, &own);
    }
    atomic_fetch_add(&reached, 1);
    for (;;)
        continue;
    green_cleanup_pop(0);
    return arg;
}

ON_ALL(cancel_async, among_handlers)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    must(green_sigaction(SIGUSR2, &action, NULL) == 0);
    for (int round = 0; round < 20; round++) {
        atomic_store(&reached, 0);
        atomic_store(&leaves, round % 2);
        green_t thread = spawn_in(scope, wait_and_hog, NULL);
        wait_for(atomic_load(&reached) == 1 && is_parked(thread));
        must(green_kill(thread, SIGUSR2) == 0);
        wait_for(atomic_load(&reached) == 2);
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round + 1);
        cr_assert_eq(green_cond_destroy(&cond), 0);
    }
}

static void *prefault_for_ever(void *memory)
{
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    for (;;) {
        must(green_prefault(memory, BYTES) == 0);
        must(madvise(memory, BYTES, MADV_DONTNEED) == 0);
    }
    return NULL;
}

/* Its helper is done with its stack by the time it ends. */
ON_ALL(cancel_async, ends_after_a_prefault)
{
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED);
    for (int round = 1; round <= ROUNDS; round++) {
        green_t thread = spawn_in(scope, prefault_for_ever, memory);
        wait_for(atomic_load(&reached) == round);
        for (int i = 0; i < round % 5; i++)
            green_yield();
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
    }
    must(munmap(memory, BYTES) == 0);
}
