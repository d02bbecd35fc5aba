/*
 * Cancellation: 64 threads that wait in every way, hold things, and are cancelled at random moments, their ticks 100 us
 * apart; each is replaced by a new one.  What they took must be back, what they made must be gone, and no wake-up may be
 * lost: counted, to the last one.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <green.h>
#include <green/sched.h>

#include "common.h"
#include "common_primitives.h"

enum { CANCELLERS = 4, SLOTS = 16, UNITS = 5, SURVIVORS = 2, BOUND_EVERY = 13, BLOCK = 100 };
/* Each life has two threads beside it at most; the library keeps some more, and some for each processor. */
enum { STACKS_MAX = 4 * CANCELLERS * SLOTS, STACKS_KEPT = 64, SLACK_BYTES = 2 << 20 };

static struct stress stress;
static pthread_key_t key;
static green_sem_t units;
static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER, checked;
static green_cond_t not_empty = GREEN_COND_INITIALIZER;
static long tokens;          /* guarded by mutex, as are the next two */
static long put, taken;
static int stopping;
static long counter;         /* guarded by checked */
static atomic_long expected_counter;
static atomic_long lives, ends, cancelled, exits, values_made, values_destroyed, blocks, children, children_joined;
static atomic_long sections_begun, sections_ended, units_taken, units_back, operations;

struct life {
    uint64_t random;
    unsigned n;
};

static void unlock(void *arg)
{
    CHECK(green_mutex_unlock(arg) == 0);
}

static struct timespec soon(struct life *life)
{
    return stress_soon(&life->random);
}

static void other_primitives(struct life *life)
{
    primitives_step(&life->random);
}

static void unit_back(void *arg)
{
    (void)arg;
    atomic_fetch_add(&units_back, 1);
    CHECK(green_sem_post(&units) == 0);
}

/* A unit, held across cancellation points. */
static void hold_unit(struct life *life)
{
    const struct timespec limit = soon(life);

    if (stress_random(&life->random) % 2) {
        CHECK(green_sem_wait(&units) == 0);
    } else if (green_sem_clockwait(&units, CLOCK_MONOTONIC, &limit) != 0) {
        CHECK(errno == ETIMEDOUT);
        return;
    }
    atomic_fetch_add(&units_taken, 1);
    green_cleanup_push(unit_back, NULL);
    if (stress_random(&life->random) % 2)
        green_usleep(stress_random(&life->random) % 200);
    else
        green_yield();
    green_cleanup_pop(1);
}

/* One signal for each token, never a broadcast: one that is lost leaves a token and everybody asleep. */
static void put_token(struct life *life)
{
    (void)life;
    CHECK(green_mutex_lock(&mutex) == 0);
    tokens++;
    put++;
    CHECK(green_cond_signal(&not_empty) == 0);
    CHECK(green_mutex_unlock(&mutex) == 0);
}

static void take_token(struct life *life)
{
    const struct timespec limit = soon(life);
    const bool timed = stress_random(&life->random) % 2;
    int error = 0;

    CHECK(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(unlock, &mutex);
    while (tokens == 0 && !error)
        error = timed ? green_cond_clockwait(&not_empty, &mutex, CLOCK_MONOTONIC, &limit)
                      : green_cond_wait(&not_empty, &mutex);
    CHECK(error == 0 || (timed && error == ETIMEDOUT));
    if (tokens > 0) {
        tokens--;
        taken++;
    }
    green_cleanup_pop(1);
}

/* It is no cancellation point, so nothing is left locked or half done. */
static void lock_mutex(struct life *life)
{
    const struct timespec limit = soon(life);

    if (stress_random(&life->random) % 2) {
        CHECK(green_mutex_lock(&checked) == 0);
    } else if (green_mutex_clocklock(&checked, CLOCK_MONOTONIC, &limit) != 0) {
        return;
    }
    long before = counter;
    green_yield();
    counter = before + 1;
    atomic_fetch_add(&expected_counter, 1);
    CHECK(green_mutex_unlock(&checked) == 0);
}

static void release(void *arg)
{
    for (int i = 0; i < BLOCK; i++)
        CHECK(((unsigned char *)arg)[i] == 0x5a);
    free(arg);
    atomic_fetch_sub(&blocks, 1);
}

static void sleep_with_memory(struct life *life)
{
    void *block = malloc(BLOCK);

    CHECK(block);
    atomic_fetch_add(&blocks, 1);
    memset(block, 0x5a, BLOCK);
    green_cleanup_push(release, block);
    green_usleep(stress_random(&life->random) % 1000);
    green_cleanup_pop(1);
}

static void *child(void *arg)
{
    const uint32_t way = (uint32_t)(uintptr_t)arg % 4;

    if (way == 0)
        green_usleep((uint32_t)(uintptr_t)arg % 300);
    else if (way == 1)
        green_exit(arg);
    else if (way == 2)
        green_testcancel();
    return arg;
}

static void *sleeping_child(void *arg)
{
    green_usleep(4000000000U);
    return arg;
}

/* Cancelled in green_join(), one cancels the child, and joins it after all. */
static void end_child(void *arg)
{
    void *result;

    CHECK(green_cancel(*(green_t *)arg) == 0);
    CHECK(green_join(*(green_t *)arg, &result) == 0);
    atomic_fetch_add(&children_joined, 1);
}

static void join_child(struct life *life)
{
    void *arg = (void *)(uintptr_t)(stress_random(&life->random) | 1U << 31), *result;
    const bool sleeps = stress_random(&life->random) % 4 == 0;
    green_t thread;

    CHECK(green_create(&thread, NULL, sleeps ? sleeping_child : child, arg) == 0);
    atomic_fetch_add(&children, 1);
    green_cleanup_push(end_child, &thread);
    if (sleeps)
        CHECK(green_cancel(thread) == 0);
    CHECK(green_join(thread, &result) == 0);
    green_cleanup_pop(0);
    CHECK(result == (sleeps ? GREEN_CANCELED : arg));
    CHECK(green_cancel(thread) == ESRCH);
    atomic_fetch_add(&children_joined, 1);
}

/* Here a request must wait: all of it is done, or none. */
static void be_disabled(struct life *life)
{
    int before;

    CHECK(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0 && before == GREEN_CANCEL_ENABLE);
    atomic_fetch_add(&sections_begun, 1);
    hold_unit(life);
    green_usleep(stress_random(&life->random) % 100);
    green_testcancel();
    atomic_fetch_add(&sections_ended, 1);
    CHECK(green_setcancelstate(GREEN_CANCEL_ENABLE, &before) == 0 && before == GREEN_CANCEL_DISABLE);
}

static void compute_asynchronously(struct life *life)
{
    const uint32_t turns = stress_random(&life->random) % 30000;
    int before;

    CHECK(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, &before) == 0);
    for (volatile uint32_t i = 0; i < turns; i++)
        continue;
    CHECK(green_setcanceltype(GREEN_CANCEL_DEFERRED, &before) == 0);
    CHECK(before == GREEN_CANCEL_ASYNCHRONOUS);
}

static void leave(struct life *life)
{
    if (stress_random(&life->random) % 64 == 0)
        green_exit(life);
    green_testcancel();
}

/* Weighted by their number. */
static void (*const mix[])(struct life *) = {
    hold_unit,  hold_unit,  put_token,   put_token,        put_token,  take_token,
    take_token, lock_mutex, lock_mutex,  sleep_with_memory, join_child, be_disabled,
    leave,      compute_asynchronously, other_primitives, other_primitives, other_primitives, other_primitives,
    other_primitives, other_primitives,
};

static void count_end(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ends, 1);
}

static void value_destroyed(void *value)
{
    free(value);
    atomic_fetch_add(&values_destroyed, 1);
}

static void *live(void *arg)
{
    struct life *life = arg;
    long *value;

    green_cleanup_push(count_end, NULL);
    atomic_fetch_add(&lives, 1);
    value = malloc(sizeof *value);
    CHECK(value && !pthread_getspecific(key) && pthread_setspecific(key, value) == 0);
    atomic_fetch_add(&values_made, 1);
    for (;;) {
        mix[stress_random(&life->random) % (sizeof mix / sizeof *mix)](life);
        atomic_fetch_add(&operations, 1);
    }
    green_cleanup_pop(0);
    return NULL;
}

static void begin_life(struct life *life, green_t *thread)
{
    green_attr_t attr;

    green_attr_init(&attr);
    if (life->n % BOUND_EVERY == 0)
        green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    CHECK(green_create(thread, &attr, live, life) == 0);
}

/* Whoever was cancelled before its first turn has not counted itself; and some had ended by themselves. */
static void end_life(const struct life *life, green_t thread)
{
    void *result;

    CHECK(green_cancel(thread) == 0);
    CHECK(green_join(thread, &result) == 0);
    CHECK(result == GREEN_CANCELED || result == life);
    atomic_fetch_add(result == life ? &exits : &cancelled, 1);
}

static void *cancel_at_random(void *arg)
{
    const unsigned first = (unsigned)(uintptr_t)arg * SLOTS;
    struct life lives_here[SLOTS];
    green_t threads[SLOTS];
    uint64_t random = stress_generator(&stress, 1000 + first);

    for (unsigned i = 0; i < SLOTS; i++) {
        lives_here[i] = (struct life){.random = stress_generator(&stress, first + i), .n = first + i};
        begin_life(&lives_here[i], &threads[i]);
    }
    while (stress_goes_on()) {
        const unsigned i = stress_random(&random) % SLOTS;
        green_usleep(stress_random(&random) % 400);
        end_life(&lives_here[i], threads[i]);
        begin_life(&lives_here[i], &threads[i]);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        end_life(&lives_here[i], threads[i]);
    return NULL;
}

/* Nobody cancels these: they take what is left. */
static void *survive(void *arg)
{
    CHECK(green_mutex_lock(&mutex) == 0);
    for (;;) {
        while (tokens == 0 && !stopping)
            CHECK(green_cond_wait(&not_empty, &mutex) == 0);
        if (tokens == 0)
            break;
        tokens--;
        taken++;
    }
    CHECK(green_mutex_unlock(&mutex) == 0);
    return arg;
}

static long tokens_left(void)
{
    CHECK(green_mutex_lock(&mutex) == 0);
    long left = tokens;
    CHECK(green_mutex_unlock(&mutex) == 0);
    return left;
}

static void end_survivors(const green_t *survivors)
{
    while (tokens_left() > 0) /* for ever, when a signal was lost */
        green_usleep(1000);
    CHECK(green_mutex_lock(&mutex) == 0);
    stopping = 1;
    CHECK(green_cond_broadcast(&not_empty) == 0);
    CHECK(green_mutex_unlock(&mutex) == 0);
    for (unsigned i = 0; i < SURVIVORS; i++)
        CHECK(green_join(survivors[i], NULL) == 0);
}

static void prepare(void)
{
    green_mutexattr_t attr;

    CHECK(green_mutexattr_init(&attr) == 0 && green_mutexattr_settype(&attr, GREEN_MUTEX_ERRORCHECK) == 0);
    CHECK(green_mutex_init(&checked, &attr) == 0);
    CHECK(pthread_key_create(&key, value_destroyed) == 0);
    CHECK(green_sem_init(&units, 0, UNITS) == 0);
    primitives_prepare();
}

static void account(void)
{
    int value;

    CHECK(green_sem_getvalue(&units, &value) == 0 && value == UNITS && units_taken == units_back);
    CHECK(green_sem_destroy(&units) == 0 && green_cond_destroy(&not_empty) == 0);
    CHECK(green_mutex_destroy(&mutex) == 0 && green_mutex_destroy(&checked) == 0);
    CHECK(put == taken && tokens == 0);
    CHECK(counter == expected_counter);
    CHECK(blocks == 0 && values_made == values_destroyed);
    CHECK(children == children_joined);
    CHECK(sections_begun == sections_ended);
    CHECK(lives == ends && lives == cancelled + exits);
}

/*
 * What is mapped for threads and allocated, while all slots are full.  Once everybody has lived a few times it does not
 * grow but by chance: the caches of libc's malloc, of which each pooled thread has one.
 */
struct memory {
    uint64_t stacks;
    size_t allocated;
};

static struct memory measure_memory(void)
{
    struct green_stats stats;

    green_stats(&stats);
    return (struct memory){stats.stacks_mapped, stress_under_valgrind() ? 0 : mallinfo2().uordblks};
}

static void check_memory(const struct memory *early)
{
    const struct memory now = measure_memory();
    struct green_stats stats;

    green_stats(&stats);
    printf("cancel: %llu stacks and %zu kB a third through, %llu and %zu in the end; %llu thread live\n",
           (unsigned long long)early->stacks, early->allocated / 1024, (unsigned long long)now.stacks,
           now.allocated / 1024, (unsigned long long)stats.threads_live);
    CHECK(stats.threads_live == 1);
    CHECK(now.stacks <= STACKS_MAX + STACKS_KEPT * stats.procs);
    CHECK(now.allocated <= early->allocated + SLACK_BYTES);
}

int main(int argc, char **argv)
{
    struct memory memory_early;
    green_t cancellers[CANCELLERS], survivors[SURVIVORS];

    stress = stress_begin(argc, argv, "cancel");
    prepare();
    for (unsigned i = 0; i < SURVIVORS; i++)
        CHECK(green_create(&survivors[i], NULL, survive, NULL) == 0);
    for (unsigned i = 0; i < CANCELLERS; i++)
        CHECK(green_create(&cancellers[i], NULL, cancel_at_random, (void *)(uintptr_t)i) == 0);
    green_sleep(stress.seconds / 3);
    memory_early = measure_memory();
    for (unsigned i = 0; i < CANCELLERS; i++)
        CHECK(green_join(cancellers[i], NULL) == 0);
    end_survivors(survivors);
    account();
    primitives_account();
    check_memory(&memory_early);
    printf("cancel: %ld cancelled, %ld ended, %ld children, %ld units, %ld tokens\n", (long)cancelled, (long)exits,
           (long)children, (long)units_taken, put);
    stress_end("cancel", (uint64_t)operations);
    return 0;
}
