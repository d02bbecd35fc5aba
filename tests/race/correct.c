/*
 * Whatever two threads share here is ordered by one of the library's means, each in a function of its own, and often
 * enough to be preempted within it: a detector of races must find nothing.  Run by tests/race/run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <green.h>
#include <green/chan.h>

enum { THREADS = 4, ROUNDS = 200 };

#define CHECK(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))

static void failed(int line, const char *condition)
{
    fprintf(stderr, "tests/race/correct.c:%d: %s does not hold\n", line, condition);
    exit(1);
}

/* Run by several threads, with their numbers; and what each has written is read after it was joined. */
static int written[THREADS];

static void together(void *(*run)(void *))
{
    green_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        written[i] = -i;
        CHECK(green_create(&threads[i], NULL, run, &written[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(green_join(threads[i], NULL) == 0);
        CHECK(written[i] == ROUNDS - i);
    }
}

static int number_of(const int *own)
{
    return (int)(own - written);
}

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static int under_mutex;

static void *lock_mutex(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        if (i % 3 > 0 || green_mutex_trylock(&mutex) != 0)
            CHECK(green_mutex_lock(&mutex) == 0);
        under_mutex++;
        if (i % 10 == 0)
            green_yield();
        CHECK(green_mutex_unlock(&mutex) == 0);
        ++*own;
    }
    return NULL;
}

/* Recursive and robust: some end with it. */
static green_mutex_t strict;
static int under_strict;

static void *lock_strict(void *arg)
{
    int *own = arg, error;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK((error = green_mutex_lock(&strict)) == 0 || error == EOWNERDEAD);
        CHECK(error == 0 || green_mutex_consistent(&strict) == 0);
        CHECK(green_mutex_lock(&strict) == 0);
        under_strict++;
        CHECK(green_mutex_unlock(&strict) == 0);
        ++*own;
        under_strict++;
        if (i + 1 < ROUNDS || number_of(own) % 2 == 0)
            CHECK(green_mutex_unlock(&strict) == 0);
    }
    return NULL;
}

static green_cond_t turned = GREEN_COND_INITIALIZER;
static int turn, turns_taken;

static void *take_turns(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK(green_mutex_lock(&mutex) == 0);
        while (turn != number_of(own))
            CHECK(green_cond_wait(&turned, &mutex) == 0);
        turns_taken++;
        turn = (turn + 1) % THREADS;
        CHECK(green_cond_broadcast(&turned) == 0);
        CHECK(green_mutex_unlock(&mutex) == 0);
        ++*own;
    }
    return NULL;
}

static green_sem_t unit;
static int with_unit;

static void *take_unit(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK(green_sem_wait(&unit) == 0);
        with_unit++;
        if (i % 10 == 0)
            green_yield();
        CHECK(green_sem_post(&unit) == 0);
        ++*own;
    }
    return NULL;
}

static green_rwlock_t rwlock = GREEN_RWLOCK_INITIALIZER;
static int under_rwlock;

static void *read_and_write(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK(green_rwlock_rdlock(&rwlock) == 0);
        const int before = under_rwlock;
        if (i % 10 == 0)
            green_yield();
        CHECK(before == under_rwlock);
        CHECK(green_rwlock_unlock(&rwlock) == 0);
        CHECK(green_rwlock_wrlock(&rwlock) == 0);
        under_rwlock++;
        CHECK(green_rwlock_unlock(&rwlock) == 0);
        ++*own;
    }
    return NULL;
}

/* In each round one writes, and all read. */
static green_barrier_t barrier;
static int of_round;

static void *meet(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        if (i % THREADS == number_of(own))
            of_round = i;
        green_barrier_wait(&barrier);
        CHECK(of_round == i);
        green_barrier_wait(&barrier);
        ++*own;
    }
    return NULL;
}

static green_once_t once = GREEN_ONCE_INIT;
static int made_once;

static void make_once(void)
{
    green_yield();
    made_once++;
}

static void *use_once(void *arg)
{
    CHECK(green_once(&once, make_once) == 0);
    CHECK(made_once == 1);
    *(int *)arg += ROUNDS;
    return NULL;
}

/* Pieces of memory go round, from the even to the odd by one channel and back by the other, and whoever has one writes. */
static green_chan_t *there, *back;

static void *pass(void *arg)
{
    int *own = arg, *piece;

    for (int i = 0; i < ROUNDS; i++) {
        if (number_of(own) % 2 == 0) {
            CHECK((piece = malloc(sizeof *piece)) != NULL);
            *piece = i;
            CHECK(green_chan_send(there, &piece) == 0);
            CHECK(green_chan_recv(back, &piece) == 0);
            CHECK(*piece < 0);
            free(piece);
        } else {
            struct green_case cases[] = {{.op = GREEN_RECV, .chan = there, .element = &piece}};
            CHECK((i % 2 ? green_chan_recv(there, &piece) : green_select(cases, 1, NULL)) == 0);
            *piece = -1 - *piece;
            CHECK(green_chan_send(back, &piece) == 0);
        }
        ++*own;
    }
    return NULL;
}

static green_spinlock_t spin;
static int under_spin;

static void *lock_spin(void *arg)
{
    int *own = arg;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK(green_spin_lock(&spin) == 0);
        under_spin++;
        CHECK(green_spin_unlock(&spin) == 0);
        ++*own;
    }
    return NULL;
}

static void locks(void)
{
    green_mutexattr_t attr;

    together(lock_mutex);
    CHECK(under_mutex == THREADS * ROUNDS);
    CHECK(green_mutexattr_init(&attr) == 0);
    CHECK(green_mutexattr_settype(&attr, GREEN_MUTEX_RECURSIVE) == 0);
    CHECK(green_mutexattr_setrobust(&attr, GREEN_MUTEX_ROBUST) == 0);
    CHECK(green_mutex_init(&strict, &attr) == 0);
    together(lock_strict);
    CHECK(under_strict == 2 * THREADS * ROUNDS);
    together(take_turns);
    CHECK(turns_taken == THREADS * ROUNDS);
    together(read_and_write);
    CHECK(under_rwlock == THREADS * ROUNDS);
    CHECK(green_spin_init(&spin, GREEN_PROCESS_PRIVATE) == 0);
    together(lock_spin);
    CHECK(under_spin == THREADS * ROUNDS);
}

int main(void)
{
    locks();
    CHECK(green_sem_init(&unit, 0, 1) == 0);
    together(take_unit);
    CHECK(with_unit == THREADS * ROUNDS);
    CHECK(green_barrier_init(&barrier, NULL, THREADS) == 0);
    together(meet);
    together(use_once);
    for (size_t capacity = 0; capacity < 3; capacity += 2) {
        CHECK(green_chan_create(&there, sizeof(int *), capacity) == 0);
        CHECK(green_chan_create(&back, sizeof(int *), capacity) == 0);
        together(pass);
        CHECK(green_chan_destroy(there) == 0);
        CHECK(green_chan_destroy(back) == 0);
    }
    puts("correct");
    return 0;
}
