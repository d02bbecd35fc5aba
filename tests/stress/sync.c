/*
 * Every synchronisation object at once: threads of both scopes lock, wait, meet and end at random, and each object
 * keeps an account that must come out exact: what it guards is counted inside it, and what was counted on the way in
 * outside.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <green.h>
#include <green/sched.h>

#include "common.h"

enum { THREADS = 24, BOUND_EVERY = 4, UNITS = 3, MUTEXES = 4, MEETING = 3, ROOM = 5 };

struct actor {
    unsigned n;
    uint64_t random;
};

/* Counted by plain additions inside, and atomically outside. */
struct account {
    volatile long inside;
    atomic_long outside;
};

static struct {
    green_mutex_t mutex;
    struct account locks, deaths;
} robust[MUTEXES];
static green_mutex_t plain = GREEN_MUTEX_INITIALIZER, recursive = GREEN_RECURSIVE_MUTEX_INITIALIZER_NP;
static green_spinlock_t spin;
static green_rwlock_t rwlock = GREEN_RWLOCK_INITIALIZER;
static green_sem_t sem;
static green_mutex_t buffer_mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t not_empty = GREEN_COND_INITIALIZER, not_full = GREEN_COND_INITIALIZER;
static struct account by_plain, by_recursive, by_spin, by_writers;
static volatile long left, right; /* equal while nobody writes */
static long stored, put, got;     /* guarded by buffer_mutex */
static atomic_long sem_holders, meetings, serials, operations;

static void count(struct account *account)
{
    account->inside = account->inside + 1;
}

static void expect(struct account *account)
{
    atomic_fetch_add(&account->outside, 1);
}

/* Now and then the slice ends inside. */
static void dally(struct actor *actor)
{
    const unsigned rounds = stress_random(&actor->random) % 16 == 0 ? 20000 : 20;

    for (volatile unsigned i = 0; i < rounds; i++)
        continue;
}

static struct timespec soon(struct actor *actor)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += (long)(stress_random(&actor->random) % 300) * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* In one of three ways: 0, or the error that the way may have. */
static int lock_somehow(struct actor *actor, green_mutex_t *mutex)
{
    const struct timespec limit = soon(actor);
    const unsigned way = stress_random(&actor->random) % 3;
    const int error = way == 0   ? green_mutex_lock(mutex)
                      : way == 1 ? green_mutex_trylock(mutex)
                                 : green_mutex_clocklock(mutex, CLOCK_MONOTONIC, &limit);

    CHECK(error == 0 || error == EOWNERDEAD || (way == 1 && error == EBUSY) || (way == 2 && error == ETIMEDOUT));
    return error;
}

static void plain_mutex(struct actor *actor)
{
    if (lock_somehow(actor, &plain))
        return;
    expect(&by_plain);
    long seen = by_plain.inside;
    dally(actor);
    by_plain.inside = seen + 1;
    CHECK(green_mutex_unlock(&plain) == 0);
}

static void recursive_mutex(struct actor *actor)
{
    if (lock_somehow(actor, &recursive))
        return;
    CHECK(green_mutex_lock(&recursive) == 0);
    expect(&by_recursive);
    count(&by_recursive);
    CHECK(green_mutex_unlock(&recursive) == 0);
    dally(actor);
    CHECK(green_mutex_unlock(&recursive) == 0);
}

static void spin_lock(struct actor *actor)
{
    CHECK(green_spin_lock(&spin) == 0);
    long seen = by_spin.inside;
    dally(actor);
    by_spin.inside = seen + 1;
    CHECK(green_spin_unlock(&spin) == 0);
    expect(&by_spin);
}

static int rwlock_somehow(struct actor *actor, bool writes)
{
    const struct timespec limit = soon(actor);
    int error;

    switch (stress_random(&actor->random) % 3) {
    case 0:
        error = writes ? green_rwlock_wrlock(&rwlock) : green_rwlock_rdlock(&rwlock);
        CHECK(error == 0);
        return 0;
    case 1:
        error = writes ? green_rwlock_trywrlock(&rwlock) : green_rwlock_tryrdlock(&rwlock);
        CHECK(error == 0 || error == EBUSY);
        return error;
    default:
        error = writes ? green_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &limit)
                       : green_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &limit);
        CHECK(error == 0 || error == ETIMEDOUT);
        return error;
    }
}

static void read_write_lock(struct actor *actor)
{
    const bool writes = stress_random(&actor->random) % 4 == 0;

    if (rwlock_somehow(actor, writes))
        return;
    long seen = left;
    if (writes) {
        left = seen + 1;
        dally(actor);
        right = right + 1;
        count(&by_writers);
        expect(&by_writers);
    } else if (stress_random(&actor->random) % 4 == 0) {
        CHECK(green_rwlock_rdlock(&rwlock) == 0); /* again, whoever waits */
        CHECK(green_rwlock_unlock(&rwlock) == 0);
    }
    dally(actor);
    CHECK(writes || (left == seen && right == seen));
    CHECK(green_rwlock_unlock(&rwlock) == 0);
}

static void semaphore(struct actor *actor)
{
    const struct timespec limit = soon(actor);
    const unsigned way = stress_random(&actor->random) % 3;
    const int result = way == 0   ? green_sem_wait(&sem)
                       : way == 1 ? green_sem_trywait(&sem)
                                  : green_sem_clockwait(&sem, CLOCK_MONOTONIC, &limit);

    if (result) {
        CHECK(errno == (way == 1 ? EAGAIN : ETIMEDOUT));
        return;
    }
    CHECK(atomic_fetch_add(&sem_holders, 1) < UNITS);
    dally(actor);
    atomic_fetch_sub(&sem_holders, 1);
    CHECK(green_sem_post(&sem) == 0);
}

static void bounded_buffer(struct actor *actor)
{
    const struct timespec limit = soon(actor);
    const bool puts = stress_random(&actor->random) % 2;
    int error = 0;

    CHECK(green_mutex_lock(&buffer_mutex) == 0);
    while (!error && (puts ? stored == ROOM : stored == 0))
        error = green_cond_clockwait(puts ? &not_full : &not_empty, &buffer_mutex, CLOCK_MONOTONIC, &limit);
    CHECK(error == 0 || error == ETIMEDOUT);
    if (puts && stored < ROOM) {
        stored++;
        put++;
        green_cond_signal(&not_empty);
    } else if (!puts && stored > 0) {
        stored--;
        got++;
        stress_random(&actor->random) % 2 ? green_cond_signal(&not_full) : green_cond_broadcast(&not_full);
    }
    CHECK(green_mutex_unlock(&buffer_mutex) == 0);
}

static green_t start(void *(*routine)(void *), void *arg, bool bound)
{
    green_attr_t attr;
    green_t thread;

    CHECK(green_attr_init(&attr) == 0);
    CHECK(green_attr_setscope(&attr, bound ? GREEN_SCOPE_SYSTEM : GREEN_SCOPE_PROCESS) == 0);
    CHECK(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

/* Lock two robust mutexes in order, and end with some of them. */
static void lock_robust(struct actor *actor, unsigned at)
{
    int error;

    while ((error = lock_somehow(actor, &robust[at].mutex)) != 0 && error != EOWNERDEAD)
        green_yield();
    if (error) {
        count(&robust[at].deaths);
        CHECK(green_mutex_consistent(&robust[at].mutex) == 0);
    }
    count(&robust[at].locks);
    expect(&robust[at].locks);
}

static void *end_with_some(void *arg)
{
    struct actor actor = {0, (uint64_t)(uintptr_t)arg};
    const unsigned first = stress_random(&actor.random) % MUTEXES;

    for (unsigned at = first; at < MUTEXES; at++)
        lock_robust(&actor, at);
    dally(&actor);
    for (unsigned at = first; at < MUTEXES; at++) {
        if (stress_random(&actor.random) % 2)
            CHECK(green_mutex_unlock(&robust[at].mutex) == 0);
        else
            expect(&robust[at].deaths);
    }
    return NULL;
}

static void robust_mutexes(struct actor *actor)
{
    void *seed = (void *)(uintptr_t)stress_random(&actor->random);

    CHECK(green_join(start(end_with_some, seed, stress_random(&actor->random) % 8 == 0), NULL) == 0);
}

/* Who is told destroys the barrier, while the others may not have run yet. */
static void *meet(void *arg)
{
    green_barrier_t *barrier = arg;
    int result = green_barrier_wait(barrier);

    CHECK(result == 0 || result == GREEN_BARRIER_SERIAL_THREAD);
    if (result) {
        atomic_fetch_add(&serials, 1);
        CHECK(green_barrier_destroy(barrier) == 0);
        memset(barrier, 0xff, sizeof *barrier);
    }
    return NULL;
}

static void barriers(struct actor *actor)
{
    green_t threads[MEETING];
    green_barrier_t barrier;

    CHECK(green_barrier_init(&barrier, NULL, MEETING) == 0);
    for (unsigned i = 0; i < MEETING; i++)
        threads[i] = start(meet, &barrier, stress_random(&actor->random) % 16 == 0);
    for (unsigned i = 0; i < MEETING; i++)
        CHECK(green_join(threads[i], NULL) == 0);
    atomic_fetch_add(&meetings, 1);
}

/* A condition variable that is gone as soon as everybody has been told, whose own time may come at that very moment. */
struct party {
    green_mutex_t mutex;
    green_cond_t cond;
    int waiting;
    bool over;
};

static void *wait_for_party(void *arg)
{
    struct party *party = arg;
    struct actor actor = {0, (uintptr_t)&actor};
    const struct timespec limit = soon(&actor);
    int error = 0;

    CHECK(green_mutex_lock(&party->mutex) == 0);
    party->waiting++;
    while (!party->over && !error)
        error = green_cond_clockwait(&party->cond, &party->mutex, CLOCK_MONOTONIC, &limit);
    CHECK(error == 0 || error == ETIMEDOUT);
    party->waiting--;
    CHECK(green_mutex_unlock(&party->mutex) == 0);
    return NULL;
}

static void conditions(struct actor *actor)
{
    struct party party = {GREEN_MUTEX_INITIALIZER, GREEN_COND_INITIALIZER, 0, false};
    green_t threads[MEETING];

    for (unsigned i = 0; i < MEETING; i++)
        threads[i] = start(wait_for_party, &party, false);
    green_usleep(stress_random(&actor->random) % 300);
    CHECK(green_mutex_lock(&party.mutex) == 0);
    party.over = true;
    CHECK(green_cond_broadcast(&party.cond) == 0);
    CHECK(green_cond_destroy(&party.cond) == 0);
    memset(&party.cond, 0xff, sizeof party.cond);
    CHECK(green_mutex_unlock(&party.mutex) == 0);
    for (unsigned i = 0; i < MEETING; i++)
        CHECK(green_join(threads[i], NULL) == 0);
    CHECK(party.waiting == 0);
}

static void *act(void *arg)
{
    static void (*const steps[])(struct actor *) = {
        plain_mutex, plain_mutex,     plain_mutex,     recursive_mutex, recursive_mutex, spin_lock, spin_lock,
        semaphore,   semaphore,       bounded_buffer,  bounded_buffer,  bounded_buffer,  semaphore, read_write_lock,
        spin_lock,   read_write_lock, read_write_lock, robust_mutexes,  barriers,        conditions};
    struct actor *actor = arg;

    while (stress_goes_on()) {
        steps[stress_random(&actor->random) % (sizeof steps / sizeof *steps)](actor);
        atomic_fetch_add(&operations, 1);
    }
    return NULL;
}

static void check_account(const struct account *account)
{
    CHECK(account->inside == account->outside);
}

static void check_robust(void)
{
    struct actor actor = {0, 1};

    for (unsigned at = 0; at < MUTEXES; at++) {
        lock_robust(&actor, at);
        check_account(&robust[at].locks);
        check_account(&robust[at].deaths);
        CHECK(green_mutex_unlock(&robust[at].mutex) == 0);
        CHECK(green_mutex_destroy(&robust[at].mutex) == 0);
    }
}

/* In the end everything is free, and every account closes. */
static void check(void)
{
    int units;

    check_account(&by_plain);
    check_account(&by_recursive);
    check_account(&by_spin);
    check_account(&by_writers);
    CHECK(left == by_writers.inside && right == left);
    CHECK(put - got == stored && serials == meetings);
    CHECK(green_sem_getvalue(&sem, &units) == 0 && units == UNITS);
    CHECK(green_mutex_destroy(&plain) == 0 && green_mutex_destroy(&recursive) == 0);
    CHECK(green_spin_destroy(&spin) == 0 && green_rwlock_destroy(&rwlock) == 0 && green_sem_destroy(&sem) == 0);
    CHECK(green_cond_destroy(&not_empty) == 0 && green_cond_destroy(&not_full) == 0);
    check_robust();
}

static void prepare(void)
{
    green_mutexattr_t attr;

    CHECK(green_mutexattr_init(&attr) == 0 && green_mutexattr_setrobust(&attr, GREEN_MUTEX_ROBUST) == 0);
    for (unsigned at = 0; at < MUTEXES; at++)
        CHECK(green_mutex_init(&robust[at].mutex, &attr) == 0);
    CHECK(green_spin_init(&spin, GREEN_PROCESS_PRIVATE) == 0);
    CHECK(green_sem_init(&sem, 0, UNITS) == 0);
}

int main(int argc, char **argv)
{
    struct stress stress = stress_begin(argc, argv, "sync");
    static struct actor actors[THREADS];
    green_t threads[THREADS];

    prepare();
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){i, stress_generator(&stress, i)};
        threads[i] = start(act, &actors[i], i % BOUND_EVERY == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(green_join(threads[i], NULL) == 0);
    check();
    printf("sync: %ld locks, %ld writes, %ld meetings, %ld owners ended\n", by_plain.inside, by_writers.inside,
           atomic_load(&meetings), robust[0].deaths.inside);
    stress_end("sync", (uint64_t)operations);
    return 0;
}
