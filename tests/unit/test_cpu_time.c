/*
 * The CPU time of each thread: what it has used, and nothing else.
 */
#include "doing.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(cpu_time, .timeout = LIMIT);

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    must(green_clock_gettime(clock, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static clockid_t clock_of(green_t thread)
{
    clockid_t clock;
    must(green_getcpuclockid(thread, &clock) == 0);
    return clock;
}

static void use(clockid_t clock, uint64_t ns)
{
    uint64_t end = read_clock(clock) + ns;
    while (read_clock(clock) < end)
        for (volatile int i = 0; i < 1000; i++)
            ;
}

static void *echo(void *arg)
{
    return arg;
}

static void *wait_at(void *sem)
{
    must(green_sem_wait(sem) == 0);
    return sem;
}

ON_BOTH(cpu_time, errors)
{
    clockid_t clock, *volatile none = NULL;
    struct timespec time, *volatile nowhere = NULL;
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    cr_assert_eq(green_getcpuclockid(0, &clock), ESRCH);
    cr_assert_eq(green_getcpuclockid(thread, none), EINVAL);
    cr_assert_eq(green_getcpuclockid(thread, &clock), 0);
    cr_assert_eq(green_clock_gettime(clock, &time), 0);
    cr_assert_eq(green_clock_gettime(clock, nowhere), -1);
    cr_assert_eq(errno, EFAULT);
    green_sem_post(&gate);
    join_result(thread);
    errno = 0;
    cr_assert_eq(green_clock_gettime(clock, &time), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_eq(green_getcpuclockid(thread, &clock), ESRCH);
    errno = 0;
    cr_assert_eq(green_clock_gettime(0x40ffffff, &time), -1);
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_eq(green_clock_gettime(12345, &time), -1);
    cr_assert_eq(errno, EINVAL);
    cr_assert_eq(green_clock_gettime(CLOCK_MONOTONIC, &time), 0);
}

/* libc's names for it. */
ON_BOTH(cpu_time, libc_knows_the_clock)
{
    clockid_t clock = clock_of(green_self());
    struct timespec time, resolution;
    use(clock, 1000000);
    uint64_t before = read_clock(clock);
    cr_assert_eq(clock_gettime(clock, &time), 0);
    cr_assert_geq((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec, before);
    cr_assert_eq(clock_getres(clock, &resolution), 0);
    cr_assert_eq(resolution.tv_sec, 0);
    cr_assert_eq(clock_getres(CLOCK_MONOTONIC, &resolution), 0);
    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time), 0);
    uint64_t own = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
    cr_assert_geq(own, before);
    cr_assert_leq(own, read_clock(clock));
}

static void *use_20_ms(void *ns)
{
    clockid_t clock = clock_of(green_self());
    use(clock, 20000000 - read_clock(clock));
    *(uint64_t *)ns = read_clock(clock);
    return NULL;
}

/*
 * Threads that take turns at every tick and change processors: together they have no more than the process, so nobody
 * was charged for another, and no less than a part of it; the rest is the monitor's, more of it on a slow machine.
 */
ON_BOTH(cpu_time, sums_up_across_preemption_and_migration)
{
    enum { COUNT = 10 };
    green_t threads[COUNT];
    uint64_t ns[COUNT], sum = 0;
    const uint64_t preemptions = stats_now().preemptions, own = read_clock(clock_of(green_self()));
    const uint64_t process = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(use_20_ms, &ns[i]);
    for (int i = 0; i < COUNT; i++) {
        join_result(threads[i]);
        cr_assert_geq(ns[i], 20000000);
        sum += ns[i];
    }
    sum += read_clock(clock_of(green_self())) - own;
    const uint64_t used = read_clock(CLOCK_PROCESS_CPUTIME_ID) - process;
    cr_assert_leq(sum, used);
    cr_assert_geq(sum, used / 10, "%llu of %llu", (unsigned long long)sum, (unsigned long long)used);
    cr_assert_gt(stats_now().preemptions, preemptions);
}

static void *yield_until(void *over)
{
    while (!atomic_load((atomic_bool *)over))
        green_yield();
    return NULL;
}

/* Two that yield to each other all the time have half each, however short their turns. */
ON_BOTH(cpu_time, of_threads_that_yield)
{
    atomic_bool over = false;
    clockid_t clocks[2];
    green_t threads[2];
    for (int i = 0; i < 2; i++) {
        threads[i] = spawn(yield_until, &over);
        clocks[i] = clock_of(threads[i]);
    }
    wait_for(read_clock(clocks[0]) > 10000000 && read_clock(clocks[1]) > 10000000);
    atomic_store(&over, true);
    join_result(threads[0]);
    join_result(threads[1]);
}

static int pipe_ends[2];

static void *block_in_the_kernel(void *arg)
{
    char byte;
    must(read(pipe_ends[0], &byte, 1) == 1);
    return arg;
}

/*
 * Neither a parked thread's clock nor that of one that is blocked in the kernel goes on.  On another processor it may
 * still be on its way there.
 */
static void stands_still(green_t thread)
{
    clockid_t clock = clock_of(thread), own = clock_of(green_self());
    uint64_t before;
    do {
        before = read_clock(clock);
        use(own, 2000000);
    } while (read_clock(clock) != before);
    for (int i = 0; i < 5; i++) {
        use(own, 2000000);
        green_usleep(1000);
    }
    cr_assert_eq(read_clock(clock), before);
}

ON_BOTH(cpu_time, stands_still_while_the_thread_waits)
{
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    wait_for(is_parked(thread));
    stands_still(thread);
    green_sem_post(&gate);
    join_result(thread);
    if (strcmp(green_monitor_source(), "off") == 0) /* then a blocked thread holds the only processor up */
        return;
    must(pipe(pipe_ends) == 0);
    thread = spawn(block_in_the_kernel, NULL);
    wait_for(is_reading(thread, pipe_ends[0]));
    stands_still(thread);
    must(write(pipe_ends[1], "x", 1) == 1);
    join_result(thread);
}

static _Atomic(clockid_t) clocks[STORM_THREADS];
static _Thread_local uint64_t seen[STORM_THREADS];

static void look_at_all(unsigned index, uint64_t round)
{
    if (round == 0)
        atomic_store(&clocks[index], clock_of(green_self()));
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        clockid_t clock = atomic_load(&clocks[i]);
        struct timespec time;
        if (!clock || green_clock_gettime(clock, &time) != 0) /* not begun, or joined */
            continue;
        uint64_t now = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
        must(now >= seen[i]);
        seen[i] = now;
    }
}

ON_BOTH(cpu_time, never_goes_backwards)
{
    storm(look_at_all);
}

static void *own_clock(void *arg)
{
    clockid_t clock = clock_of(green_self());
    struct timespec time;
    use(clock, 1000000);
    must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
    must(read_clock(clock) >= (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec);
    must(read_clock(clock) - ((uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec) < 1000000000);
    return arg;
}

ON_BOTH(cpu_time, of_bound_and_foreign_threads)
{
    green_attr_t attr;
    green_t thread;
    green_sem_t gate;
    pthread_t foreign;
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_create(&thread, &attr, own_clock, NULL), 0);
    join_result(thread);
    cr_assert_eq(pthread_create(&foreign, NULL, own_clock, NULL), 0);
    cr_assert_eq(pthread_join(foreign, NULL), 0);
    green_sem_init(&gate, 0, 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    read_clock(clock_of(thread));
    green_sem_post(&gate);
    join_result(thread);
}

/* POSIX: the clock of the child's only thread begins at 0. */
ON_BOTH(cpu_time, begins_anew_in_a_child)
{
    clockid_t clock = clock_of(green_self());
    use(clock, 300000000);
    uint64_t before = read_clock(clock);
    pid_t child = fork();
    if (child == 0) {
        uint64_t first = read_clock(clock_of(green_self()));
        must(first < before);
        use(clock_of(green_self()), 1000000);
        uint64_t ns = 0;
        join_result(spawn(use_20_ms, &ns));
        must(ns >= 20000000);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_geq(read_clock(clock), before);
}

ON_BOTH(cpu_time, a_structure_used_again_begins_at_0)
{
    clock_of(green_self());
    for (int i = 0; i < 5; i++) {
        uint64_t ns;
        join_result(spawn(use_20_ms, &ns));
        cr_assert_geq(ns, 20000000);
        green_sem_t gate;
        green_sem_init(&gate, 0, 0);
        green_t thread = spawn(wait_at, &gate);
        cr_assert_lt(read_clock(clock_of(thread)), 20000000);
        green_sem_post(&gate);
        join_result(thread);
        join_result(spawn(echo, NULL));
    }
}
