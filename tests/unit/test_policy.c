/*
 * Policies: priorities and who is displaced, inheritance, fair shares, and a policy of the program's own.
 *
 * Where an order is asserted, slices are of 10 s, so that only priorities decide, and main, at priority 0 on the only
 * processor, runs again when everybody else is parked.
 */
#include "unit.h"

#include <green/policy.h>
#include <green/signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(policy, .timeout = LIMIT);

enum { LONG_SLICE_US = 10000000, ORDER_MAX = 64, SETUP = 50 };

static char order[ORDER_MAX];
static atomic_uint order_length;

static void note(char who)
{
    order[atomic_fetch_add(&order_length, 1)] = who;
}

static void start_policy(const char *name, unsigned procs, unsigned slice_us)
{
    struct green_config config = {.procs = procs, .slice_us = slice_us, .preempt = GREEN_ON};
    config.policy = green_policy_by_name(name);
    if (procs == 1) /* or the processor of a thread that waits for a page, or for memory, goes to one less urgent */
        config.monitor = GREEN_MONITOR_OFF;
    cr_assert(config.policy);
    start_config(&config);
    cr_assert_str_eq(green_policy_name(), name);
}

static green_t spawn_at(int priority, void *(*routine)(void *), void *arg)
{
    struct sched_param param = {.sched_priority = priority};
    green_attr_t attr;
    green_t thread;
    must(green_attr_init(&attr) == 0);
    must(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED) == 0);
    must(green_attr_setschedpolicy(&attr, SCHED_RR) == 0);
    must(green_attr_setschedparam(&attr, &param) == 0);
    must(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

static void main_at(int priority)
{
    must(green_setschedprio(green_self(), priority) == 0);
}

static int priority_of(green_t thread)
{
    struct sched_param param = {.sched_priority = -1};
    int policy = -1;
    must(green_getschedparam(thread, &policy, &param) == 0);
    must(policy == SCHED_RR);
    return param.sched_priority;
}

static unsigned weight_of(green_t thread)
{
    unsigned weight = 0;
    must(green_getweight_np(thread, &weight) == 0);
    return weight;
}

static void *wait_at(void *gate)
{
    green_sem_wait(gate);
    return NULL;
}

static void *note_arg(void *who)
{
    note(*(const char *)who);
    return NULL;
}

Test(policy, names)
{
    cr_assert_str_eq(green_policy_by_name("rr")->name, "rr");
    cr_assert_str_eq(green_policy_by_name("priority")->name, "priority");
    cr_assert_str_eq(green_policy_by_name("fair")->name, "fair");
    cr_assert_null(green_policy_by_name("unfair"));
    cr_assert_null(green_policy_by_name(NULL));
    start(1);
    cr_assert_str_eq(green_policy_name(), getenv("GREEN_POLICY") ? getenv("GREEN_POLICY") : "rr");
}

Test(policy, half_a_policy_is_refused)
{
    static const struct green_policy half = {.name = "half"};
    struct green_config config = {.policy = &half};
    cr_assert_eq(green_init(&config), EINVAL);
}

static void check_parameters(void)
{
    struct sched_param param = {.sched_priority = 7};
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn(wait_at, &gate);
    cr_assert_eq(priority_of(thread), 0);
    cr_assert_eq(weight_of(thread), GREEN_WEIGHT_DEFAULT);
    cr_assert_eq(green_setschedparam(thread, SCHED_RR, &param), 0);
    cr_assert_eq(priority_of(thread), 7);
    cr_assert_eq(green_setschedparam(thread, SCHED_FIFO, &param), ENOTSUP);
    cr_assert_eq(green_setschedparam(thread, SCHED_OTHER, &param), EINVAL);
    cr_assert_eq(green_setschedparam(thread, SCHED_RR, NULL), EINVAL);
    cr_assert_eq(green_setschedprio(thread, 100), EINVAL);
    cr_assert_eq(green_setschedprio(thread, -1), EINVAL);
    cr_assert_eq(green_setweight_np(thread, 10000), 0);
    cr_assert_eq(weight_of(thread), 10000);
    cr_assert_eq(green_setweight_np(thread, 0), EINVAL);
    cr_assert_eq(green_setweight_np(thread, 10001), EINVAL);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(green_setschedprio(thread, 1), ESRCH);
    cr_assert_eq(green_setweight_np(thread, 1), ESRCH);
    thread = spawn(wait_at, &gate); /* in the same structure */
    cr_assert_eq(priority_of(thread), 0);
    cr_assert_eq(weight_of(thread), GREEN_WEIGHT_DEFAULT);
    green_sem_post(&gate);
    join_result(thread);
}

static void check_attributes(void)
{
    struct sched_param param = {.sched_priority = 3};
    unsigned weight = 0;
    green_attr_t attr;
    green_t thread;
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    cr_assert_eq(green_attr_getweight_np(&attr, &weight), 0);
    cr_assert_eq(weight, GREEN_WEIGHT_DEFAULT);
    cr_assert_eq(green_attr_setschedparam(&attr, &param), 0);
    cr_assert_eq(green_attr_setweight_np(&attr, 55), 0);
    cr_assert_eq(green_attr_setweight_np(&attr, 0), EINVAL);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    cr_assert_eq(priority_of(thread), 0, "not explicit");
    cr_assert_eq(weight_of(thread), 55);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), EINVAL, "SCHED_OTHER has no priority 3");
    cr_assert_eq(green_attr_setschedpolicy(&attr, SCHED_FIFO), 0);
    cr_assert_eq(green_attr_setscope(&attr, GREEN_SCOPE_PROCESS), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), ENOTSUP);
    cr_assert_eq(green_attr_setschedpolicy(&attr, SCHED_RR), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
    cr_assert_eq(priority_of(thread), 3);
    cr_assert_eq(weight_of(thread), 55);
    param.sched_priority = 100;
    cr_assert_eq(green_attr_setschedparam(&attr, &param), 0);
    cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), EINVAL);
    green_sem_post(&gate);
    join_result(thread);
    main_at(4);
    thread = spawn(wait_at, &gate);
    cr_assert_eq(priority_of(thread), 4, "its creator's");
    green_sem_post(&gate);
    join_result(thread);
}

Test(policy, round_robin_has_no_parameters)
{
    struct sched_param param = {.sched_priority = 7};
    unsigned weight = 1;
    int how;
    green_attr_t attr;
    green_t thread;
    start_policy("rr", 1, TICK_US);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_RR, &param), ENOTSUP);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), EINVAL);
    cr_assert_eq(green_setschedprio(green_self(), 7), EINVAL);
    cr_assert_eq(green_setschedprio(green_self(), 0), 0);
    cr_assert_eq(green_getschedparam(green_self(), &how, &param), 0);
    cr_assert(how == SCHED_OTHER && param.sched_priority == 0);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), 0);
    cr_assert_eq(green_setweight_np(green_self(), 7), ENOTSUP);
    cr_assert_eq(green_getweight_np(green_self(), &weight), ENOTSUP);
    green_attr_init(&attr);
    green_attr_setweight_np(&attr, 7);
    cr_assert_eq(green_create(&thread, &attr, note_arg, "x"), ENOTSUP);
    green_attr_init(&attr);
    green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED);
    green_attr_setschedpolicy(&attr, SCHED_RR);
    green_attr_setscope(&attr, GREEN_SCOPE_PROCESS);
    cr_assert_eq(green_create(&thread, &attr, note_arg, "x"), ENOTSUP);
}

/* Whoever has a kernel thread of its own is the kernel's, whatever the policy. */
static void *as_the_kernel_says(void *gate)
{
    struct sched_param param;
    int how = -1;
    must(green_getschedparam(green_self(), &how, &param) == 0 && how == sched_getscheduler(0));
    must(green_setschedparam(green_self(), SCHED_BATCH, &(struct sched_param){0}) == 0);
    must(sched_getscheduler(0) == SCHED_BATCH);
    must(green_setschedprio(green_self(), 5) == EINVAL);
    must(green_setschedprio(green_self(), 0) == 0);
    must(sched_getscheduler(0) == SCHED_BATCH);
    must(green_setweight_np(green_self(), 5) == ENOTSUP);
    return wait_at(gate);
}

Test(policy, bound_threads_are_the_kernels)
{
    green_attr_t attr;
    green_sem_t gate;
    green_t thread;
    start_policy("priority", 1, TICK_US);
    main_at(5);
    green_sem_init(&gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_create(&thread, &attr, as_the_kernel_says, &gate), 0);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(priority_of(green_self()), 5);
}

Test(policy, parameters_with_priority)
{
    start_policy("priority", 1, TICK_US);
    check_parameters();
    check_attributes();
}

Test(policy, parameters_with_fair)
{
    start_policy("fair", 2, TICK_US);
    check_parameters();
    check_attributes();
}

Test(policy, order_is_by_priority_and_of_equals_by_age)
{
    static const char names[] = "abcdefg";
    static const int priorities[] = {2, 9, 2, 70, 9, 0, 70};
    green_t threads[7];
    start_policy("priority", 1, LONG_SLICE_US);
    main_at(99);
    for (int i = 0; i < 7; i++)
        threads[i] = spawn_at(priorities[i], note_arg, (void *)(uintptr_t)&names[i]);
    cr_assert_eq(order_length, 0);
    for (int i = 0; i < 7; i++)
        join_result(threads[i]);
    cr_assert_str_eq(order, "dgbeacf");
}

Test(policy, a_ready_thread_changes_its_place)
{
    start_policy("priority", 1, LONG_SLICE_US);
    main_at(99);
    green_t a = spawn_at(5, note_arg, "a"), b = spawn_at(4, note_arg, "b");
    cr_assert_eq(green_setschedprio(b, 6), 0);
    cr_assert_eq(order_length, 0);
    cr_assert_eq(green_setschedprio(green_self(), 5), 0); /* which b is above now, and a is not */
    cr_assert_str_eq(order, "b");
    join_result(a);
    join_result(b);
    cr_assert_str_eq(order, "ba");
}

/* Two processors: T1 and T2 compute, T1 at the lowest priority.  T2 wakes T3: it must be T1 that makes room. */
static struct {
    atomic_ulong count[2];
    atomic_bool wake, over;
    green_sem_t gate;
    unsigned long before, after;
} three;

static void *compute(void *index)
{
    int woken = 0;
    while (!atomic_load(&three.over)) {
        atomic_fetch_add(&three.count[(uintptr_t)index], 1);
        if ((uintptr_t)index == 1 && !woken && atomic_load(&three.wake)) {
            woken = 1;
            green_sem_post(&three.gate);
        }
    }
    return NULL;
}

static void *third(void *arg)
{
    green_sem_wait(&three.gate);
    unsigned long beside = atomic_load(&three.count[1]);
    while (atomic_load(&three.count[1]) == beside)
        ;
    three.before = atomic_load(&three.count[0]); /* T2 has a processor, T3 the other */
    beside = atomic_load(&three.count[1]);
    while (atomic_load(&three.count[1]) - beside < 1000000)
        ;
    three.after = atomic_load(&three.count[0]);
    return arg;
}

Test(policy, t3_displaces_t1_on_the_other_processor)
{
    struct green_config config = {.procs = 2, .slice_us = LONG_SLICE_US, .preempt = GREEN_ON};
    config.policy = green_policy_by_name("priority");
    config.monitor = GREEN_MONITOR_OFF; /* or, when T2 or T3 meets a page fault, its processor is T1's meanwhile */
    start_config(&config);
    green_sem_init(&three.gate, 0, 0);
    main_at(SETUP);
    green_t t1 = spawn_at(1, compute, (void *)0), t2 = spawn_at(2, compute, (void *)1);
    green_t t3 = spawn_at(3, third, NULL);
    wait_for(atomic_load(&three.count[0]) > 0 && atomic_load(&three.count[1]) > 0);
    atomic_store(&three.wake, true);
    join_result(t3);
    cr_assert_eq(three.after, three.before, "T1 ran beside T3");
    atomic_store(&three.over, true);
    join_result(t1);
    join_result(t2);
}

/* By an equal whose turn it would be, until a tick has come. */
static void check_section(void)
{
    for (int i = 0; i < 20; i++) {
        green_t other = spawn(note_arg, "x");
        uint64_t ticks = stats_now().ticks_deferred; /* one that is noted is the last until it is judged */
        green_critical_enter();
        unsigned before = atomic_load(&order_length);
        while (!before && stats_now().ticks_deferred == ticks)
            ;
        must(atomic_load(&order_length) == before);
        green_critical_leave();
        join_result(other);
        atomic_store(&order_length, 0);
    }
}

Test(policy, a_critical_section_is_not_displaced_by_priority)
{
    start_policy("priority", 1, TICK_US);
    check_section();
}

Test(policy, a_critical_section_is_not_displaced_by_fair)
{
    start_policy("fair", 1, TICK_US);
    check_section();
}

static atomic_bool high_ran;

static void *high(void *gate)
{
    green_sem_wait(gate);
    atomic_store(&high_ran, true);
    return NULL;
}

Test(policy, leaving_a_critical_section_makes_room_at_once)
{
    green_sem_t gate;
    start_policy("priority", 1, LONG_SLICE_US);
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_at(9, high, &gate); /* runs, and parks, before main goes on */
    green_critical_enter();
    green_sem_post(&gate);
    spin_ns(2000000);
    must(!atomic_load(&high_ran));
    green_critical_leave();
    cr_assert(atomic_load(&high_ran));
    join_result(thread);
}

/* Inheritance.  Each holds its own mutex, if any, and wants the next one's. */
struct party {
    char who;
    green_mutex_t *holds, *wants;
    green_sem_t gate;
    int64_t limit_ns;
};

static void *take_part(void *arg)
{
    struct party *party = arg;
    if (party->holds)
        must(green_mutex_lock(party->holds) == 0);
    green_sem_wait(&party->gate);
    if (party->wants && party->limit_ns) {
        struct timespec limit = time_after(CLOCK_REALTIME, party->limit_ns);
        must(green_mutex_timedlock(party->wants, &limit) == ETIMEDOUT);
    } else if (party->wants) {
        must(green_mutex_lock(party->wants) == 0);
    }
    if (party->wants && !party->limit_ns)
        must(green_mutex_unlock(party->wants) == 0);
    if (party->holds)
        must(green_mutex_unlock(party->holds) == 0);
    note(party->who);
    return NULL;
}

static green_t join_in(int priority, struct party *party)
{
    green_sem_init(&party->gate, 0, 0);
    return spawn_at(priority, take_part, party);
}

static void check_inversion(int type)
{
    green_mutexattr_t attr;
    green_mutex_t mutex;
    green_mutexattr_init(&attr);
    green_mutexattr_settype(&attr, type);
    green_mutex_init(&mutex, &attr);
    struct party low = {.who = 'l', .holds = &mutex}, middle = {.who = 'm'}, top = {.who = 'h', .wants = &mutex};
    start_policy("priority", 1, LONG_SLICE_US);
    green_t l = join_in(1, &low), m = join_in(2, &middle), h = join_in(3, &top);
    green_sem_post(&top.gate);
    main_at(SETUP);
    green_sem_post(&middle.gate);
    green_sem_post(&low.gate);
    main_at(0);
    cr_assert_str_eq(order, "hml", "the middle one ran before the mutex was open, or the low one kept what it was lent");
    join_result(l);
    join_result(m);
    join_result(h);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

Test(policy, inversion_is_answered_normal)
{
    check_inversion(GREEN_MUTEX_NORMAL);
}

Test(policy, inversion_is_answered_recursive)
{
    check_inversion(GREEN_MUTEX_RECURSIVE);
}

Test(policy, inversion_is_answered_errorcheck)
{
    check_inversion(GREEN_MUTEX_ERRORCHECK);
}

Test(policy, what_is_lent_goes_on_along_a_chain)
{
    green_mutex_t a = GREEN_MUTEX_INITIALIZER, b = GREEN_MUTEX_INITIALIZER;
    struct party first = {.who = '1', .holds = &a}, second = {.who = '2', .holds = &b, .wants = &a},
                 middle = {.who = 'm'}, top = {.who = 'h', .wants = &b};
    start_policy("priority", 1, LONG_SLICE_US);
    green_t t1 = join_in(1, &first), t2 = join_in(2, &second), m = join_in(3, &middle), h = join_in(4, &top);
    green_sem_post(&second.gate);
    green_sem_post(&top.gate);
    main_at(SETUP);
    green_sem_post(&middle.gate);
    green_sem_post(&first.gate);
    main_at(0);
    cr_assert_str_eq(order, "hm21");
    join_result(t1);
    join_result(t2);
    join_result(m);
    join_result(h);
}

Test(policy, what_was_lent_is_taken_back_after_a_timeout)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    struct party low = {.who = 'l', .holds = &mutex}, middle = {.who = 'm'},
                 top = {.who = 'h', .wants = &mutex, .limit_ns = 1000000};
    start_policy("priority", 1, LONG_SLICE_US);
    green_t l = join_in(1, &low), m = join_in(2, &middle), h = join_in(3, &top);
    green_sem_post(&top.gate);
    join_result(h);
    main_at(SETUP);
    green_sem_post(&low.gate);
    green_sem_post(&middle.gate);
    main_at(0);
    cr_assert_str_eq(order, "hml");
    join_result(l);
    join_result(m);
}

Test(policy, a_bound_thread_locks_what_others_wait_for)
{
    static green_mutex_t lock = GREEN_MUTEX_INITIALIZER;
    struct party holder = {.who = 'b', .holds = &lock}, waiter = {.who = 'w', .wants = &lock};
    green_attr_t attr;
    green_t bound;
    start_policy("priority", 1, TICK_US);
    green_sem_init(&holder.gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_create(&bound, &attr, take_part, &holder), 0);
    wait_for(green_mutex_trylock(&lock) == EBUSY || green_mutex_unlock(&lock) != 0);
    green_t thread = join_in(9, &waiter);
    green_sem_post(&waiter.gate);
    green_sem_post(&holder.gate);
    join_result(thread);
    join_result(bound);
    cr_assert_eq(green_mutex_destroy(&lock), 0);
}

/* Signals. */
static atomic_uint handled;

static void count_signal(int signal)
{
    (void)signal;
    atomic_fetch_add(&handled, 1);
}

static void handle(int signal)
{
    struct sigaction action = {.sa_handler = count_signal};
    must(green_sigaction(signal, &action, NULL) == 0);
}

Test(policy, a_signal_interrupts_the_wait_and_what_is_lent)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    struct party low = {.who = 'l', .holds = &mutex}, middle = {.who = 'm'}, top = {.who = 'h', .wants = &mutex};
    start_policy("priority", 1, LONG_SLICE_US);
    handle(SIGUSR1);
    green_t l = join_in(1, &low), m = join_in(2, &middle), h = join_in(3, &top);
    green_sem_post(&top.gate); /* waits for the mutex now */
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(green_kill(h, SIGUSR1), 0);
        cr_assert_eq(atomic_load(&handled), i, "it was woken, above main, and waits again");
    }
    main_at(SETUP);
    green_sem_post(&middle.gate);
    green_sem_post(&low.gate);
    main_at(0);
    cr_assert_str_eq(order, "hml");
    join_result(l);
    join_result(m);
    join_result(h);
}

static void *sleep_long(void *arg)
{
    must(green_sleep(1000) > 0);
    note('s');
    return arg;
}

Test(policy, whom_a_signal_wakes_is_above_who_runs)
{
    start_policy("priority", 1, LONG_SLICE_US);
    handle(SIGUSR1);
    green_t sleeper = spawn_at(9, sleep_long, NULL);
    cr_assert_eq(green_kill(sleeper, SIGUSR1), 0);
    cr_assert_str_eq(order, "s");
    join_result(sleeper);
}

/* Back from the kernel: the thread whose processor went to another. */
static int ends[2];

static void *read_one(void *arg)
{
    char byte;
    must(read(ends[0], &byte, 1) == 1);
    green_safepoint(); /* beyond which it has a processor */
    note(byte);
    return arg;
}

static void *write_and_compute(void *arg)
{
    must(write(ends[1], "r", 1) == 1);
    while (!atomic_load(&order_length))
        ;
    return arg;
}

Test(policy, who_is_back_from_the_kernel_displaces_the_less_urgent)
{
    struct green_config config = {.procs = 1, .slice_us = LONG_SLICE_US, .preempt = GREEN_ON};
    config.policy = green_policy_by_name("priority");
    config.monitor = GREEN_MONITOR_ON;
    start_config(&config);
    must(pipe(ends) == 0);
    green_t reader = spawn_at(9, read_one, NULL); /* blocks, and main goes on */
    green_t writer = spawn_at(5, write_and_compute, NULL);
    join_result(reader);
    join_result(writer);
}

struct waiter {
    char who;
    green_mutex_t *mutex;
};

static void *note_locked(void *arg)
{
    struct waiter *waiter = arg;
    must(green_mutex_lock(waiter->mutex) == 0);
    note(waiter->who);
    must(green_mutex_unlock(waiter->mutex) == 0);
    return NULL;
}

Test(policy, waiters_are_served_by_priority)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    struct waiter waiters[] = {{'a', &mutex}, {'b', &mutex}, {'c', &mutex}};
    green_t threads[3];
    start_policy("priority", 1, LONG_SLICE_US);
    green_mutex_lock(&mutex);
    for (int i = 0; i < 3; i++) /* each above what main has been lent by the one before */
        threads[i] = spawn_at(1 + i, note_locked, &waiters[i]);
    cr_assert_eq(order_length, 0);
    green_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
    cr_assert_str_eq(order, "cba");
}

/* Shares. */
static atomic_bool shares_over;
static atomic_ulong shares[2];

static void *share(void *index)
{
    while (!atomic_load(&shares_over))
        atomic_fetch_add_explicit(&shares[(uintptr_t)index], 1, memory_order_relaxed);
    return NULL;
}

Test(policy, fair_shares_follow_weights)
{
    start_policy("fair", 1, TICK_US);
    green_t light = spawn(share, (void *)0), heavy = spawn(share, (void *)1);
    green_setweight_np(heavy, 4 * GREEN_WEIGHT_DEFAULT);
    uint64_t until = stats_now().preemptions + 3000;
    wait_for(stats_now().preemptions >= until);
    double ratio = (double)atomic_load(&shares[1]) / (double)atomic_load(&shares[0]);
    atomic_store(&shares_over, true);
    join_result(light);
    join_result(heavy);
    cr_assert(ratio > 2.5 && ratio < 6, "4 to 1 became %.2f to 1", ratio);
}

/* A policy of ours: last in, first out; and it watches how it is called. */
static struct {
    struct green_task *top;
    atomic_int inside;
    unsigned long enqueued, picked, whys[GREEN_CHANGED + 1];
    uint64_t tickets;
    uint64_t ran;
} lifo;

static void lifo_enter(void)
{
    must(atomic_fetch_add(&lifo.inside, 1) == 0);
}

static void lifo_leave(void)
{
    atomic_fetch_sub(&lifo.inside, 1);
}

static void lifo_reset(void)
{
    lifo.top = NULL;
}

static void lifo_enqueue(struct green_task *task, enum green_why why)
{
    lifo_enter();
    task->next = lifo.top;
    lifo.top = task;
    lifo.enqueued++;
    lifo.tickets += task->weight;
    lifo.whys[why]++;
    lifo_leave();
}

static struct green_task *lifo_pick(unsigned processor)
{
    lifo_enter();
    struct green_task *task = lifo.top;
    must(task && processor < 1024);
    lifo.top = task->next;
    lifo.picked++;
    lifo.tickets -= task->weight; /* as when it was kept */
    lifo_leave();
    return task;
}

static void lifo_ran(struct green_task *task, uint64_t ns)
{
    lifo_enter();
    must(task->thread != 0 && task->ran_ns >= ns);
    lifo.ran += ns;
    lifo_leave();
}

static const struct green_policy lifo_policy = {
    .name = "lifo", .reset = lifo_reset, .enqueue = lifo_enqueue, .pick = lifo_pick, .ran = lifo_ran};

Test(policy, of_the_program)
{
    struct green_config config = {.procs = 1, .preempt = GREEN_OFF, .policy = &lifo_policy};
    green_t threads[3];
    start_config(&config);
    cr_assert_str_eq(green_policy_name(), "lifo");
    threads[0] = spawn(note_arg, "a");
    threads[1] = spawn(note_arg, "b");
    threads[2] = spawn(note_arg, "c");
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
    cr_assert_str_eq(order, "cba");
    cr_assert_eq(lifo.whys[GREEN_CREATED], 3);
    cr_assert_gt(lifo.whys[GREEN_WOKEN], 0, "main, by the end of whom it joined");
    cr_assert_eq(lifo.enqueued, lifo.picked);
    cr_assert_gt(lifo.ran, 0);
}

/* First in, first out, by the same functions but one: nobody starves in a storm. */
static void fifo_enqueue(struct green_task *task, enum green_why why)
{
    struct green_task **end = &lifo.top;
    lifo_enter();
    while (*end)
        end = &(*end)->next;
    task->next = NULL;
    *end = task;
    lifo.enqueued++;
    lifo.tickets += task->weight;
    lifo.whys[why]++;
    lifo_leave();
}

static const struct green_policy fifo_policy = {
    .name = "fifo", .reset = lifo_reset, .enqueue = fifo_enqueue, .pick = lifo_pick, .ran = lifo_ran};

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static uint64_t plain;
static atomic_ulong locked;
static _Atomic green_t stormers[STORM_THREADS];

static void work_step(unsigned index, uint64_t round)
{
    if (round % 4 == 0)
        must(green_setschedprio(green_self(), (int)((round / 4 + index) % 5)) == 0);
    if (round == 0)
        atomic_store(&stormers[index], green_self());
    green_t other = atomic_load(&stormers[(index + 1) % STORM_THREADS]);
    if (other && round % 8 == 1)
        must(green_setweight_np(other, (unsigned)(1 + (round + index) % 300)) != EINVAL); /* it may have ended */
    must(green_mutex_lock(&mutex) == 0);
    plain++;
    if (round % 16 == index)
        green_yield();
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&locked, 1);
    if (round % 32 == 0)
        join_result(spawn(wait_at, &(green_sem_t){.__value = 2}));
    if (round % 4 == 1)
        green_usleep(50);
}

static void check_storm(const struct green_policy *policy, unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = TICK_US, .preempt = GREEN_ON, .policy = policy};
    start_config(&config);
    main_at(9);
    storm(work_step);
    cr_assert_eq(plain, atomic_load(&locked));
    cr_assert_eq(stats_now().threads_live, 1);
}

Test(policy, storm_priority_on_1)
{
    check_storm(green_policy_by_name("priority"), 1);
}

Test(policy, storm_priority_on_2)
{
    check_storm(green_policy_by_name("priority"), 2);
}

Test(policy, storm_fair_on_1)
{
    check_storm(green_policy_by_name("fair"), 1);
}

Test(policy, storm_fair_on_3)
{
    check_storm(green_policy_by_name("fair"), 3);
}

Test(policy, storm_of_the_programs_on_2)
{
    check_storm(&fifo_policy, 2);
    cr_assert_eq(lifo.enqueued, lifo.picked);
    cr_assert_eq(lifo.tickets, 0, "a weight changed while the policy kept the thread");
    cr_assert_gt(lifo.whys[GREEN_SLICE_OVER], 0);
    cr_assert_gt(lifo.whys[GREEN_YIELDED], 0);
}

/* On one processor: with more, AddressSanitizer's allocator may be locked by another kernel thread at the fork. */
Test(policy, survives_fork)
{
    static const char name = 'c';
    green_sem_t gate;
    start_policy("priority", 1, TICK_US);
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_at(3, wait_at, &gate);
    pid_t child = fork();
    if (child == 0) {
        join_result(spawn_at(5, note_arg, (void *)(uintptr_t)&name));
        _exit(order[0] == 'c' ? 7 : 8);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %#x", (unsigned)status);
    green_sem_post(&gate);
    join_result(thread);
}
