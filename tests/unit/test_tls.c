/*
 * Thread-local storage: errno, __thread in the program and in libraries opened before and after threads exist, on
 * threads that change kernel threads and are preempted all the time.
 */
#include "unit.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

TestSuite(tls, .timeout = LIMIT);

static void errno_step(unsigned index, uint64_t round)
{
    int mine = (int)(index * 1000 + round % 1000 + 1);
    errno = mine;
    for (int i = 0; i < 2000; i++)
        must(errno == mine);
    if (round % 4 == 0) {
        must(close(-1) == -1 && errno == EBADF);
        errno = mine;
        green_yield();
        must(errno == mine);
    }
}

ON_BOTH(tls, errno_is_a_threads_own)
{
    errno = 77;
    storm(errno_step);
    cr_assert_eq(errno, 77, "green calls leave errno alone");
}

static __thread unsigned initialised = 123456;
static __thread uint64_t zeroed[300];
static __thread _Alignas(64) int aligned = -1;

static void own_step(unsigned index, uint64_t round)
{
    uint64_t mine = index * 1000000 + round;
    if (round == 0)
        must(initialised == 123456 && zeroed[0] == 0 && zeroed[299] == 0 && aligned == -1);
    else
        must(zeroed[299] == mine - 1);
    must((uintptr_t)&aligned % 64 == 0);
    initialised = index;
    zeroed[0] = zeroed[299] = mine;
    for (int i = 0; i < 1000; i++)
        must(initialised == index && zeroed[0] == mine);
    if (round % 16 == 0)
        green_yield();
    must(initialised == index && zeroed[0] == mine && zeroed[299] == mine);
}

ON_BOTH(tls, program)
{
    initialised = 99;
    storm(own_step);
    cr_assert_eq(initialised, 99);
}

static void *find_fresh(void *arg)
{
    must(initialised == 123456 && zeroed[0] == 0 && zeroed[150] == 0 && aligned == -1);
    initialised = 1;
    zeroed[0] = zeroed[150] = 2;
    aligned = 3;
    errno = 4;
    return arg;
}

/* A thread that is given the block of one that ended must find the initial values again. */
ON_BOTH(tls, is_fresh_in_every_thread)
{
    enum { COUNT = 20 };
    green_t threads[COUNT];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < COUNT; i++)
            threads[i] = spawn(find_fresh, NULL);
        for (int i = 0; i < COUNT; i++)
            join_result(threads[i]);
    }
}

static int *(*value_of)(void);
static char *(*zeroes_of)(void);
static long *(*aligned_of)(void);

static void *open_library(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.so", TEST_DSO_DIR, name);
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        fprintf(stderr, "%s\n", dlerror());
    must(library);
    return library;
}

/* POSIX's way to make a function of what dlsym() returns. */
static void find(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    must(address);
    memcpy(function, &address, sizeof address);
}

static void open_dynamic(void)
{
    void *library = open_library("tls_dynamic");
    find(library, "dynamic_value", &value_of);
    find(library, "dynamic_zeroes", &zeroes_of);
    find(library, "dynamic_aligned", &aligned_of);
}

static void dynamic_step(unsigned index, uint64_t round)
{
    int mine = (int)(index + 100);
    if (round == 0) {
        must(*value_of() == 42 && zeroes_of()[0] == 0 && zeroes_of()[2999] == 0 && *aligned_of() == 7);
        *value_of() = mine;
        zeroes_of()[2999] = (char)index;
    }
    must((uintptr_t)aligned_of() % 64 == 0);
    for (int i = 0; i < 1000; i++)
        must(*value_of() == mine && zeroes_of()[2999] == (char)index);
    if (round % 16 == 0)
        green_yield();
}

/* Twice, so that the second time the blocks are used ones. */
ON_BOTH(tls, library_opened_before_threads)
{
    open_dynamic();
    storm_of(STORM_THREADS, STORM_PREEMPTIONS / 2, dynamic_step);
    storm_of(STORM_THREADS, STORM_PREEMPTIONS / 2, dynamic_step);
    cr_assert_eq(*value_of(), 42);
}

/* Touched, so that main has a block of it when the library starts. */
static void use_library_opened_first(unsigned procs)
{
    open_dynamic();
    cr_assert_eq((*value_of())++, 42);
    start(procs);
    for (int i = 0; i < 2; i++)
        storm_of(STORM_THREADS, STORM_PREEMPTIONS / 2, dynamic_step);
    cr_assert_eq(*value_of(), 43);
    cr_assert_eq(zeroes_of()[2999], 0);
}

Test(tls, library_opened_before_the_start_on_1)
{
    use_library_opened_first(1);
}

Test(tls, library_opened_before_the_start_on_2)
{
    use_library_opened_first(2);
}

enum { WITNESSES = 10 };

static green_sem_t opened;
static atomic_int at_gate;

static void wait_for_the_library(void)
{
    atomic_fetch_add(&at_gate, 1);
    green_sem_wait(&opened);
}

static void *look_at_dynamic(void *arg)
{
    wait_for_the_library();
    for (uint64_t round = 0; round < 50; round++)
        dynamic_step((unsigned)(uintptr_t)arg, round);
    return NULL;
}

static void run_witnesses(void *(*witness)(void *), void (*open)(void))
{
    green_t threads[WITNESSES];
    green_sem_init(&opened, 0, 0);
    atomic_store(&at_gate, 0);
    for (uintptr_t i = 0; i < WITNESSES; i++)
        threads[i] = spawn(witness, (void *)i);
    wait_for(atomic_load(&at_gate) == WITNESSES);
    open();
    for (int i = 0; i < WITNESSES; i++)
        green_sem_post(&opened);
    for (int i = 0; i < WITNESSES; i++)
        join_result(threads[i]);
}

ON_BOTH(tls, library_opened_while_threads_exist)
{
    run_witnesses(look_at_dynamic, open_dynamic);
}

static long *(*static_zero_of)(void);

static void open_static(void)
{
    void *library = open_library("tls_static");
    find(library, "static_value", &value_of);
    find(library, "static_zero", &static_zero_of);
}

static void *look_at_static(void *arg)
{
    int mine = (int)(intptr_t)arg;
    wait_for_the_library();
    must(*value_of() == 4242 && *static_zero_of() == 0);
    *value_of() = mine;
    *static_zero_of() = mine;
    for (int i = 0; i < 50; i++) {
        spin_ns(20000);
        must(*value_of() == mine && *static_zero_of() == mine);
        green_yield();
    }
    return NULL;
}

/* Threads that were there already see the initial value; so do those made, and those made of used blocks, later. */
ON_BOTH(tls, static_library_opened_while_threads_exist)
{
    run_witnesses(look_at_static, open_static);
    cr_assert_eq(*value_of(), 4242);
    run_witnesses(look_at_static, open_static);
}

static void *open_and_close(void *arg)
{
    for (int i = 0; i < 30; i++) {
        int *(*value)(void);
        void *library = open_library("tls_dynamic");
        find(library, "dynamic_value", &value);
        must(*value() >= 42);
        ++*value();
        must(dlclose(library) == 0);
    }
    return arg;
}

/* Opening, using and closing from many threads at once: the loader's own lock is held across ticks. */
ON_BOTH(tls, opened_by_many)
{
    green_t threads[STORM_THREADS];
    for (int i = 0; i < STORM_THREADS; i++)
        threads[i] = spawn(open_and_close, NULL);
    for (int i = 0; i < STORM_THREADS; i++)
        join_result(threads[i]);
}

static __thread pid_t last_kernel_thread;
static atomic_int moves;
static _Atomic(uintptr_t) addresses[64];

static void move_step(unsigned index, uint64_t round)
{
    pid_t now = gettid();
    uintptr_t address = (uintptr_t)&last_kernel_thread;
    if (round == 0)
        atomic_store(&addresses[index], address);
    must(atomic_load(&addresses[index]) == address);
    if (round > 0 && now != last_kernel_thread)
        atomic_fetch_add(&moves, 1);
    last_kernel_thread = now;
    if (index == 0)
        must(green_setconcurrency(1 + (int)(round % 2)) == 0);
    green_yield();
}

/* The premise of all of the above: threads do change kernel threads, and their variables do not move. */
Test(tls, threads_change_kernel_threads)
{
    start(2);
    while (atomic_load(&moves) < 100)
        storm_of(STORM_THREADS, 50, move_step);
}
