/*
 * Condition variables: who is woken, when a wait ends, and that no wake-up is lost however a waiter is preempted.
 */
#include "unit.h"

#include <stdlib.h>

TestSuite(cond, .timeout = LIMIT);

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;

enum { WAITERS = 20 };

/* Guarded by mutex. */
static int waiting, woken, order[WAITERS];

static void *wait_once(void *arg)
{
    green_mutex_lock(&mutex);
    int place = waiting++;
    must(green_cond_wait(&cond, &mutex) == 0);
    order[woken++] = place;
    green_mutex_unlock(&mutex);
    return arg;
}

static int count_of(const int *counter)
{
    green_mutex_lock(&mutex);
    int count = *counter;
    green_mutex_unlock(&mutex);
    return count;
}

static void start_waiters(green_t *threads)
{
    for (int i = 0; i < WAITERS; i++)
        threads[i] = spawn(wait_once, NULL);
    wait_for(count_of(&waiting) == WAITERS);
}

/* Whoever counted itself under the mutex is queued by the time that another one holds it. */
ON_BOTH(cond, signal_wakes_the_first)
{
    green_t threads[WAITERS];
    start_waiters(threads);
    cr_assert_eq(green_cond_destroy(&cond), EBUSY);
    for (int i = 0; i < WAITERS; i++) {
        cr_assert_eq(count_of(&woken), i, "one signal, one thread");
        cr_assert_eq(green_cond_signal(&cond), 0);
        wait_for(count_of(&woken) > i);
    }
    for (int i = 0; i < WAITERS; i++) {
        join_result(threads[i]);
        cr_assert_eq(order[i], i);
    }
    cr_assert_eq(green_cond_destroy(&cond), 0);
}

ON_BOTH(cond, broadcast_wakes_all)
{
    green_t threads[WAITERS];
    cr_assert_eq(green_cond_broadcast(&cond), 0);
    start_waiters(threads);
    cr_assert_eq(count_of(&woken), 0, "a broadcast is not kept for later");
    cr_assert_eq(green_cond_broadcast(&cond), 0);
    for (int i = 0; i < WAITERS; i++)
        join_result(threads[i]);
    cr_assert_eq(woken, WAITERS);
}

/* The mutex must be the caller's again after every way out of a wait. */
static void check_held(void)
{
    cr_assert_eq(green_mutex_trylock(&mutex), EBUSY);
}

ON_BOTH(cond, timed)
{
    green_mutex_lock(&mutex);
    struct timespec when = time_after(CLOCK_REALTIME, 3000000);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_REALTIME, when));
    check_held();
    when = time_after(CLOCK_REALTIME, -3000000000);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, &when), ETIMEDOUT);
    check_held();
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (int i = 0; i < 2; i++) {
        when = time_after(clocks[i], 3000000);
        cr_assert_eq(green_cond_clockwait(&cond, &mutex, clocks[i], &when), ETIMEDOUT);
        cr_assert(time_reached(clocks[i], when));
        check_held();
    }
}

ON_BOTH(cond, clock_attribute)
{
    green_condattr_t attr;
    green_cond_t timed;
    clockid_t clock = -1;
    cr_assert_eq(green_condattr_init(&attr), 0);
    cr_assert_eq(green_condattr_getclock(&attr, &clock), 0);
    cr_assert_eq(clock, CLOCK_REALTIME);
    cr_assert_eq(green_condattr_setclock(&attr, CLOCK_PROCESS_CPUTIME_ID), EINVAL);
    cr_assert_eq(green_condattr_setclock(&attr, 12345), EINVAL);
    cr_assert_eq(green_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
    cr_assert_eq(green_condattr_getclock(&attr, &clock), 0);
    cr_assert_eq(clock, CLOCK_MONOTONIC);
    cr_assert_eq(green_cond_init(&timed, &attr), 0);
    cr_assert_eq(green_condattr_destroy(&attr), 0);
    green_mutex_lock(&mutex);
    struct timespec when = time_after(CLOCK_MONOTONIC, 3000000);
    cr_assert_eq(green_cond_timedwait(&timed, &mutex, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_MONOTONIC, when));
    cr_assert_eq(green_cond_destroy(&timed), 0);
}

ON_BOTH(cond, bad_arguments)
{
    green_cond_t *volatile none = NULL;
    green_condattr_t *volatile no_attr = NULL;
    green_mutex_t *volatile no_mutex = NULL, checked = GREEN_ERRORCHECK_MUTEX_INITIALIZER_NP;
    green_mutex_t recursive = GREEN_RECURSIVE_MUTEX_INITIALIZER_NP;
    const struct timespec *volatile no_time = NULL, late = {0, 1000000000}, early = {0, -1};
    cr_assert_eq(green_condattr_init(no_attr), EINVAL);
    cr_assert_eq(green_cond_init(none, NULL), EINVAL);
    cr_assert_eq(green_cond_destroy(none), EINVAL);
    cr_assert_eq(green_cond_signal(none), EINVAL);
    cr_assert_eq(green_cond_broadcast(none), EINVAL);
    cr_assert_eq(green_cond_wait(&cond, &checked), EPERM);
    cr_assert_eq(green_cond_wait(&cond, &recursive), EPERM);
    cr_assert_eq(green_cond_wait(&cond, no_mutex), EINVAL);
    green_mutex_lock(&mutex);
    cr_assert_eq(green_cond_wait(none, &mutex), EINVAL);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, no_time), EINVAL);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, &late), EINVAL);
    cr_assert_eq(green_cond_timedwait(&cond, &mutex, &early), EINVAL);
    cr_assert_eq(green_cond_clockwait(&cond, &mutex, CLOCK_THREAD_CPUTIME_ID, &early), EINVAL);
    check_held();
}

static green_mutex_t recursive = GREEN_RECURSIVE_MUTEX_INITIALIZER_NP;

static void *signal_recursive(void *arg)
{
    must(green_mutex_lock(&recursive) == 0);
    woken = 1;
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&recursive) == 0);
    return arg;
}

ON_BOTH(cond, recursive_mutex_is_released_whole)
{
    for (int i = 0; i < 3; i++)
        green_mutex_lock(&recursive);
    green_t thread = spawn(signal_recursive, NULL);
    while (!woken)
        cr_assert_eq(green_cond_wait(&cond, &recursive), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(green_mutex_unlock(&recursive), 0, "held as often as before");
    cr_assert_eq(green_mutex_unlock(&recursive), EPERM);
    join_result(thread);
}

enum { TURNS = 20000 };

static int turn;

static void *take_turns(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (int i = 0; i < TURNS; i++) {
        green_mutex_lock(&mutex);
        while (turn != me)
            must(green_cond_wait(&cond, &mutex) == 0);
        turn = 1 - me;
        green_cond_signal(&cond);
        green_mutex_unlock(&mutex);
    }
    return NULL;
}

ON_BOTH(cond, ping_pong)
{
    green_t a = spawn(take_turns, (void *)0), b = spawn(take_turns, (void *)1);
    join_result(a);
    join_result(b);
    cr_assert_eq(turn, 0);
}

enum { WAITS = 3000 };

/*
 * Announce itself, then burn a part of the slice that differs each time, so that ticks fall everywhere between
 * queueing and parking.
 */
static void *wait_many(void *arg)
{
    for (int i = 0; i < WAITS; i++) {
        green_mutex_lock(&mutex);
        waiting = 1;
        spin_ns((uint64_t)(i % 100) * 1000);
        while (waiting)
            must(green_cond_wait(&cond, &mutex) == 0);
        woken++;
        green_mutex_unlock(&mutex);
    }
    return arg;
}

/* A hog per processor brings the ticks.  Nobody signals twice: one lost wake-up, and the count stands still. */
ON_BOTH(cond, waiter_preempted_before_it_parks)
{
    green_t waiter = spawn(wait_many, NULL);
    start_hogs((unsigned)green_getconcurrency());
    while (count_of(&woken) < WAITS) {
        green_mutex_lock(&mutex);
        if (waiting)
            green_cond_signal(&cond);
        waiting = 0;
        green_mutex_unlock(&mutex);
        green_yield();
    }
    join_result(waiter);
    stop_hogs();
}

/* A bounded buffer; guarded by mutex.  Consumers give up after a moment and come back, producers wait. */
enum { ROOM = 4, ITEMS = 6000, SIDES = 4 };

static green_cond_t not_full = GREEN_COND_INITIALIZER;
static int stored;
static long produced, consumed;

static void *produce(void *arg)
{
    for (int i = 1; i <= ITEMS; i++) {
        green_mutex_lock(&mutex);
        while (stored == ROOM)
            must(green_cond_wait(&not_full, &mutex) == 0);
        stored++;
        produced++;
        green_cond_signal(&cond);
        green_mutex_unlock(&mutex);
    }
    return arg;
}

static void *consume(void *arg)
{
    green_mutex_lock(&mutex);
    while (consumed < (long)ITEMS * SIDES) {
        struct timespec soon = time_after(CLOCK_REALTIME, 50000 + consumed % 7 * 30000);
        int error = stored ? 0 : green_cond_timedwait(&cond, &mutex, &soon);
        must(error == 0 || error == ETIMEDOUT);
        if (!stored)
            continue;
        stored--;
        consumed++;
        green_cond_signal(&not_full);
    }
    green_mutex_unlock(&mutex);
    return arg;
}

ON_BOTH(cond, bounded_buffer_with_timeouts)
{
    green_t threads[2 * SIDES];
    for (int i = 0; i < 2 * SIDES; i++)
        threads[i] = spawn(i % 2 ? produce : consume, NULL);
    for (int i = 0; i < 2 * SIDES; i++)
        join_result(threads[i]);
    cr_assert_eq(produced, (long)ITEMS * SIDES);
    cr_assert_eq(consumed, produced);
    cr_assert_eq(stored, 0);
}

/*
 * Destroyed, and its memory used for something else, by who has woken everybody, some of whom are leaving by
 * themselves: their time comes just then.
 */
struct party {
    green_mutex_t mutex;
    green_cond_t *cond;
    int guests;
    bool over;
};

static void *wait_for_its_end(void *arg)
{
    struct party *party = arg;
    green_mutex_lock(&party->mutex);
    struct timespec soon = time_after(CLOCK_MONOTONIC, 20000 * ++party->guests);
    int error = 0;
    while (!party->over && !error)
        error = green_cond_clockwait(party->cond, &party->mutex, CLOCK_MONOTONIC, &soon);
    must(error == 0 || error == ETIMEDOUT);
    green_mutex_unlock(&party->mutex);
    return NULL;
}

static void end_a_party(unsigned index, uint64_t round)
{
    struct party party = {GREEN_MUTEX_INITIALIZER, malloc(sizeof(green_cond_t)), 0, false};
    green_t guests[4];
    must(party.cond && green_cond_init(party.cond, NULL) == 0);
    for (int i = 0; i < 4; i++)
        guests[i] = spawn(wait_for_its_end, &party);
    green_usleep((unsigned)(round + index) % 10 * 10);
    green_mutex_lock(&party.mutex);
    party.over = true;
    must(green_cond_broadcast(party.cond) == 0);
    must(green_cond_destroy(party.cond) == 0);
    memset(party.cond, 0xff, sizeof *party.cond);
    free(party.cond);
    green_mutex_unlock(&party.mutex);
    for (int i = 0; i < 4; i++)
        join_result(guests[i]);
}

ON_BOTH(cond, destroyed_after_a_broadcast)
{
    storm_of(4, 500, end_a_party);
}
