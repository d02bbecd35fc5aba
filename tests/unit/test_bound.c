/*
 * Bound threads: kernel threads of their own, with the life and the synchronisation of any green thread, scheduled by
 * the kernel as they were asked to be.
 */
#include "kinds.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(bound, .timeout = LIMIT);

static int create_error(const green_attr_t *attr, void *(*routine)(void *))
{
    green_t thread;
    int error = green_create(&thread, attr, routine, NULL);
    if (!error)
        join_result(thread);
    return error;
}

static void *nothing(void *arg)
{
    return arg;
}

Test(bound, scope_is_kept_and_checked)
{
    green_attr_t attr, *volatile none = NULL;
    int scope = -1, *volatile nowhere = NULL;
    green_attr_init(&attr);
    cr_assert_eq(green_attr_getscope(&attr, &scope), 0);
    cr_assert_eq(scope, GREEN_SCOPE_PROCESS);
    cr_assert_eq(green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM), 0);
    cr_assert_eq(green_attr_getscope(&attr, &scope), 0);
    cr_assert_eq(scope, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_attr_setscope(&attr, 2), EINVAL);
    cr_assert_eq(green_attr_setscope(none, GREEN_SCOPE_SYSTEM), EINVAL);
    cr_assert_eq(green_attr_getscope(&attr, nowhere), EINVAL);
    attr.__scope = 7;
    cr_assert_eq(create_error(&attr, nothing), EINVAL);
}

/* It stays on one kernel thread, which no other thread ever runs on. */
static atomic_int its_tid;

static void *stay(void *arg)
{
    atomic_store(&its_tid, gettid());
    for (int i = 0; i < 100; i++) {
        green_yield();
        if (i % 10 == 0)
            green_usleep(300);
        must(gettid() == atomic_load(&its_tid));
    }
    atomic_store(&its_tid, 0);
    return arg;
}

static void elsewhere(unsigned index, uint64_t round)
{
    (void)index;
    (void)round;
    must(gettid() != atomic_load(&its_tid));
    spin_ns(5000);
}

ON_BOTH(bound, has_a_kernel_thread_of_its_own)
{
    uint64_t workers = stats_now().workers;
    green_t thread = spawn_bound(stay, &its_tid);
    cr_assert_eq(stats_now().threads_live, 2);
    cr_assert_eq(stats_now().workers, workers);
    storm_of(4, 200, elsewhere);
    cr_assert_eq(join_result(thread), &its_tid);
    cr_assert_eq(stats_now().threads_live, 1);
}

static atomic_bool over;

static void *end_the_hog(void *arg)
{
    atomic_store(&over, true);
    return arg;
}

static void *hog(void *arg)
{
    while (!atomic_load(&over))
        ;
    return arg;
}

/* Without ticks a thread that never yields keeps every multiplexed one from running. */
Test(bound, runs_while_the_only_processor_is_hogged)
{
    start_cooperative();
    green_t thread = spawn_bound(end_the_hog, NULL);
    hog(NULL);
    join_result(thread);
}

Test(bound, runs_while_all_processors_are_hogged)
{
    struct green_config config = {.procs = 2, .preempt = GREEN_OFF};
    start_config(&config);
    green_t hogs[2] = {spawn(hog, NULL), spawn(hog, NULL)};
    green_t thread = spawn_bound(end_the_hog, NULL);
    for (int i = 0; i < 2; i++)
        join_result(hogs[i]);
    join_result(thread);
}

static green_sem_t gate;

static void *wait_at_gate(void *arg)
{
    must(green_sem_wait(&gate) == 0);
    return arg;
}

ON_BOTH(bound, stale_ids)
{
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_bound(wait_at_gate, &gate);
    green_sem_post(&gate);
    cr_assert_eq(join_result(thread), &gate);
    cr_assert_eq(green_join(thread, NULL), ESRCH);
    cr_assert_eq(green_detach(thread), ESRCH);
    green_t next = spawn_bound(wait_at_gate, NULL); /* in the same structure */
    cr_assert_neq(next, thread);
    cr_assert_eq(green_join(thread, NULL), ESRCH);
    green_sem_post(&gate);
    join_result(next);
}

ON_BOTH(bound, detached)
{
    green_attr_t attr = bound_attr();
    green_sem_init(&gate, 0, 0);
    green_t born, later = spawn_bound(wait_at_gate, NULL);
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_create(&born, &attr, wait_at_gate, NULL), 0);
    cr_assert_eq(green_join(born, NULL), EINVAL);
    cr_assert_eq(green_detach(later), 0);
    cr_assert_eq(green_detach(later), EINVAL);
    green_sem_post(&gate);
    green_sem_post(&gate);
    wait_for(green_detach(born) == ESRCH && green_detach(later) == ESRCH);
    cr_assert_eq(stats_now().threads_live, 1);
}

static green_t partner;

static void *join_partner(void *error)
{
    must(green_sem_wait(&gate) == 0);
    *(int *)error = green_join(partner, NULL);
    return error;
}

static void *join_self(void *arg)
{
    must(green_join(green_self(), NULL) == EDEADLK);
    return arg;
}

/* Of two that join each other one is told. */
ON_BOTH(bound, deadlock)
{
    int error = -1;
    join_result(spawn_bound(join_self, NULL));
    green_sem_init(&gate, 0, 0);
    partner = green_self();
    green_t thread = spawn_bound(join_partner, &error);
    green_sem_post(&gate);
    int own = green_join(thread, NULL);
    if (own == EDEADLK) { /* then it waits for this thread, which ends with the process */
        cr_assert_eq(error, -1);
        return;
    }
    cr_assert_eq(own, 0);
    cr_assert_eq(error, EDEADLK);
}

static int unwound;

static void count_unwinding(void *arg)
{
    (void)arg;
    unwound++;
}

static void leave_from_below(void *result, int posix)
{
    pthread_cleanup_push(count_unwinding, NULL);
    if (posix)
        pthread_exit(result);
    else
        green_exit(result);
    pthread_cleanup_pop(0);
}

static void *exit_green(void *arg)
{
    leave_from_below(arg, 0);
    return NULL;
}

static void *exit_posix(void *arg)
{
    green_critical_enter(); /* an end puts an end to it */
    leave_from_below(arg, 1);
    return NULL;
}

ON_BOTH(bound, exit_unwinds_and_keeps_the_result)
{
    cr_assert_eq(join_result(spawn_bound(exit_green, &unwound)), &unwound);
    cr_assert_eq(join_result(spawn_bound(exit_posix, &over)), &over);
    cr_assert_eq(unwound, 2);
}

static pthread_key_t key;
static green_t destroyed_by;
static int destroyed;

/* Comes back as often as it may, as the thread that it belongs to. */
static void destroy(void *value)
{
    must(green_self() == destroyed_by);
    must(green_usleep(200) == 0);
    destroyed++;
    must(pthread_setspecific(key, value) == 0);
}

static void *set_key(void *arg)
{
    must(pthread_getspecific(key) == NULL);
    destroyed_by = green_self();
    must(pthread_setspecific(key, &key) == 0);
    return arg;
}

ON_BOTH(bound, key_destructors_run_before_the_join)
{
    int rounds = (int)sysconf(_SC_THREAD_DESTRUCTOR_ITERATIONS);
    cr_assert_eq(pthread_key_create(&key, destroy), 0);
    for (int i = 1; i <= 3; i++) {
        join_result(spawn_bound(set_key, NULL));
        cr_assert_eq(destroyed, i * rounds);
    }
    join_result(spawn(set_key, NULL)); /* the same for those whose block is used again */
    join_result(spawn(set_key, NULL));
    cr_assert_eq(destroyed, 5 * rounds);
}

static green_once_t once = GREEN_ONCE_INIT;
static int tries;

static void exit_once(void)
{
    if (++tries == 1)
        green_exit(NULL);
}

static void *call_once(void *arg)
{
    must(green_once(&once, exit_once) == 0);
    return arg;
}

ON_BOTH(bound, exit_within_once)
{
    cr_assert_null(join_result(spawn_bound(call_once, &once)));
    cr_assert_eq(join_result(spawn_bound(call_once, &once)), &once);
    cr_assert_eq(tries, 2);
}

static void *own_names(void *names)
{
    must(green_getname_np(green_self(), names, 16) == 0);
    must(prctl(PR_GET_NAME, (char *)names + 16) == 0);
    return NULL;
}

ON_BOTH(bound, name_is_the_kernels_too)
{
    green_attr_t attr = bound_attr();
    green_t thread;
    char names[32];
    green_attr_setname_np(&attr, "bound by name");
    cr_assert_eq(green_create(&thread, &attr, own_names, names), 0);
    join_result(thread);
    cr_assert_str_eq(names, "bound by name");
    cr_assert_str_eq(names + 16, "bound by name");
}

static void *use_stack(void *bytes)
{
    size_t size = *(size_t *)bytes;
    char room[size];
    memset(room, 0x5a, size);
    __asm__ volatile("" : : "r"(room) : "memory");
    return bytes;
}

ON_BOTH(bound, stack_is_as_large_as_asked)
{
    for (size_t bytes = 65536; bytes <= (size_t)16 << 20; bytes *= 4) {
        green_attr_t attr = bound_attr();
        green_t thread;
        size_t use = bytes - 16384;
        green_attr_setstacksize(&attr, bytes);
        cr_assert_eq(green_create(&thread, &attr, use_stack, &use), 0);
        cr_assert_eq(join_result(thread), &use);
    }
}

/*
 * Synchronisation, among threads of all three kinds.
 */

enum { EACH = 3 };

static void run_all_kinds(void *(*routine)(void *))
{
    struct foreigner foreigners[EACH];
    green_t bound[EACH], multiplexed[EACH];
    for (int i = 0; i < EACH; i++) {
        start_foreigner(&foreigners[i], routine, &foreigners[i]);
        bound[i] = spawn_bound(routine, &bound[i]);
        multiplexed[i] = spawn(routine, &multiplexed[i]);
    }
    for (int i = 0; i < EACH; i++) {
        cr_assert_eq(join_result(bound[i]), &bound[i]);
        cr_assert_eq(join_result(multiplexed[i]), &multiplexed[i]);
        end_foreigner(&foreigners[i]);
    }
}

ON_BOTH(bound, mutex)
{
    cr_assert_eq(contend_for_mutex(run_all_kinds), 3 * EACH * LOCKS_EACH);
}

ON_BOTH(bound, sem)
{
    cr_assert_eq(contend_for_sem(run_all_kinds), 2);
}

ON_BOTH(bound, cond)
{
    cr_assert_eq(contend_for_cond(run_all_kinds, 3 * EACH), 3 * EACH * MEETINGS);
}

ON_BOTH(bound, timed_waits)
{
    contend_in_vain(run_all_kinds);
}

static void *echo(void *arg)
{
    spin_ns(20000);
    return arg;
}

/* Each kind creates and joins threads of both. */
static void *create_and_join(void *arg)
{
    for (int i = 0; i < 30; i++) {
        green_t bound = spawn_bound(echo, &i), multiplexed = spawn(echo, &arg);
        must(join_result(multiplexed) == &arg);
        must(join_result(bound) == &i);
    }
    return arg;
}

ON_BOTH(bound, create_and_join)
{
    run_all_kinds(create_and_join);
    wait_for(stats_now().threads_live == 1);
}

/* Ticks are not for it: its own system calls are never interrupted. */
static void *sleep_undisturbed(void *arg)
{
    struct timespec pause = {0, 200000};
    for (int i = 0; i < 1000; i++)
        must(nanosleep(&pause, NULL) == 0);
    return arg;
}

ON_BOTH(bound, is_not_ticked)
{
    uint64_t before = stats_now().preemptions;
    start_hogs(3);
    join_result(spawn_bound(sleep_undisturbed, NULL));
    stop_hogs();
    cr_assert_gt(stats_now().preemptions, before);
}

ON_BOTH(bound, a_thousand)
{
    enum { AT_ONCE = 20 };
    green_t threads[AT_ONCE], before = 0;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            threads[i] = spawn_bound(i % 2 ? echo : exit_green, &threads[i]);
        cr_assert_neq(threads[0], before);
        before = threads[0];
        for (int i = 0; i < AT_ONCE; i++)
            cr_assert_eq(join_result(threads[i]), &threads[i]);
    }
    cr_assert_eq(stats_now().threads_live, 1);
    wait_for(kernel_threads() < AT_ONCE); /* they end a little after they are joined */
}

/*
 * The kernel's scheduling.
 */

static cpu_set_t process_cpus(void)
{
    cpu_set_t cpus;
    must(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    return cpus;
}

static void *own_cpus(void *cpus)
{
    must(sched_getaffinity(0, sizeof(cpu_set_t), cpus) == 0);
    return cpus;
}

ON_BOTH(bound, affinity_by_attribute)
{
    cpu_set_t all = process_cpus(), kept, found;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        green_attr_t attr = bound_attr();
        green_t thread;
        cpu_set_t one;
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof one, &one), 0);
        cr_assert_eq(green_attr_getaffinity_np(&attr, sizeof kept, &kept), 0);
        cr_assert(CPU_EQUAL(&kept, &one));
        cr_assert_eq(green_create(&thread, &attr, own_cpus, &found), 0);
        join_result(thread);
        cr_assert(CPU_EQUAL(&found, &one));
    }
    join_result(spawn_bound(own_cpus, &found));
    cr_assert(CPU_EQUAL(&found, &all));
}

ON_BOTH(bound, affinity_attribute_is_checked)
{
    green_attr_t attr = bound_attr(), plain;
    char large[sizeof(cpu_set_t) + 8] = {0};
    cpu_set_t set;
    const cpu_set_t *volatile none = NULL;
    cr_assert_eq(green_attr_getaffinity_np(&attr, sizeof set, &set), 0);
    cr_assert_eq(CPU_COUNT(&set), CPU_SETSIZE);
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof set, none), EINVAL);
    large[sizeof large - 1] = 1;
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof large, (cpu_set_t *)(void *)large), EINVAL);
    CPU_ZERO(&set);
    cr_assert_eq(green_attr_setaffinity_np(&attr, sizeof set, &set), 0);
    cr_assert_eq(create_error(&attr, nothing), EINVAL, "a thread that may run nowhere");
    CPU_SET(1, &set);
    green_attr_init(&plain);
    green_attr_setaffinity_np(&plain, sizeof set, &set);
    cr_assert_eq(create_error(&plain, nothing), ENOTSUP);
    cr_assert_eq(green_attr_setaffinity_np(&plain, 0, none), 0);
    cr_assert_eq(create_error(&plain, nothing), 0);
    cr_assert_eq(stats_now().threads_live, 1);
}

/* Set from outside, of one that runs and of one that perhaps does not yet. */
ON_BOTH(bound, affinity_at_run_time)
{
    cpu_set_t all = process_cpus(), one, found;
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    green_sem_init(&gate, 0, 0);
    for (int i = 0; i < 50; i++) {
        green_t thread = spawn_bound(wait_at_gate, NULL);
        cr_assert_eq(green_setaffinity_np(thread, sizeof one, &one), 0);
        cr_assert_eq(green_getaffinity_np(thread, sizeof found, &found), 0);
        cr_assert(CPU_EQUAL(&found, &one));
        CPU_ZERO(&found);
        cr_assert_eq(green_setaffinity_np(thread, sizeof found, &found), EINVAL);
        green_sem_post(&gate);
        join_result(thread);
        cr_assert_eq(green_setaffinity_np(thread, sizeof all, &all), ESRCH);
    }
    cr_assert_eq(green_setaffinity_np(green_self(), sizeof all, &all), ENOTSUP);
    cr_assert_eq(green_getaffinity_np(green_self(), sizeof all, &all), ENOTSUP);
    found = process_cpus();
    cr_assert_eq(CPU_COUNT(&found), CPU_COUNT(&all), "the workers' CPUs are as they were");
}

/* One that has ended and has not been joined has a name, but no kernel thread. */
ON_BOTH(bound, affinity_of_an_ended_thread)
{
    cpu_set_t all = process_cpus();
    green_t thread = spawn_bound(nothing, &all);
    wait_for(green_setaffinity_np(thread, sizeof all, &all) == ESRCH);
    cr_assert_eq(join_result(thread), &all);
}

static void *own_policy(void *scheduler)
{
    struct sched_param param;
    int *pair = scheduler;
    pair[0] = sched_getscheduler(0);
    must(sched_getparam(0, &param) == 0);
    pair[1] = param.sched_priority;
    return scheduler;
}

static green_attr_t scheduled(int policy, int priority)
{
    green_attr_t attr = bound_attr();
    struct sched_param param = {.sched_priority = priority};
    must(green_attr_setinheritsched(&attr, GREEN_EXPLICIT_SCHED) == 0);
    must(green_attr_setschedpolicy(&attr, policy) == 0);
    must(green_attr_setschedparam(&attr, &param) == 0);
    return attr;
}

static void policy_of_new(const green_attr_t *attr, int found[2])
{
    green_t thread;
    must(green_create(&thread, attr, own_policy, found) == 0);
    join_result(thread);
}

/* SCHED_BATCH is allowed to everybody: by it one sees what is inherited and what is not. */
static void *inherit_or_not(void *arg)
{
    struct sched_param param = {0};
    green_attr_t inherits = bound_attr(), explicit = scheduled(SCHED_OTHER, 0);
    int found[2], policy;
    must(green_setschedparam(green_self(), SCHED_BATCH, &param) == 0);
    must(green_getschedparam(green_self(), &policy, &param) == 0 && policy == SCHED_BATCH);
    must(sched_getscheduler(0) == SCHED_BATCH);
    policy_of_new(&inherits, found);
    must(found[0] == SCHED_BATCH);
    policy_of_new(&explicit, found);
    must(found[0] == SCHED_OTHER && found[1] == 0);
    return arg;
}

ON_BOTH(bound, policy_is_inherited_or_explicit)
{
    join_result(spawn_bound(inherit_or_not, NULL));
    cr_assert_eq(sched_getscheduler(0), SCHED_OTHER);
}

static bool may_be_realtime(void)
{
    struct sched_param param = {.sched_priority = 1}, normal = {0};
    bool may = sched_setscheduler(0, SCHED_FIFO, &param) == 0;
    must(sched_setscheduler(0, SCHED_OTHER, &normal) == 0);
    return may;
}

/* Where the machine allows it: where it does not, that is what must be said. */
ON_BOTH(bound, realtime_by_attribute)
{
    static const int policies[] = {SCHED_FIFO, SCHED_RR};
    bool may = may_be_realtime();
    for (int i = 0; i < 2; i++) {
        green_attr_t attr = scheduled(policies[i], 3);
        int found[2];
        if (may) {
            policy_of_new(&attr, found);
            cr_assert_eq(found[0], policies[i]);
            cr_assert_eq(found[1], 3);
        } else {
            cr_assert_eq(create_error(&attr, nothing), EPERM);
        }
    }
}

ON_BOTH(bound, realtime_needs_privilege)
{
    struct rlimit none = {0, 0};
    green_attr_t attr = scheduled(SCHED_FIFO, 3);
    struct sched_param param = {.sched_priority = 3};
    green_sem_init(&gate, 0, 0);
    green_t thread = spawn_bound(wait_at_gate, NULL);
    cr_assert_eq(setrlimit(RLIMIT_RTPRIO, &none), 0);
    if (geteuid() == 0)
        cr_assert_eq(setuid(65534), 0);
    cr_assert_eq(create_error(&attr, nothing), EPERM);
    cr_assert_eq(green_setschedparam(thread, SCHED_FIFO, &param), EPERM);
    green_sem_post(&gate);
    join_result(thread);
    cr_assert_eq(stats_now().threads_live, 1);
}

ON_BOTH(bound, scheduling_is_checked)
{
    green_attr_t attr = bound_attr(), plain;
    struct sched_param param = {.sched_priority = -1}, *volatile none = NULL;
    int value = -1;
    cr_assert_eq(green_attr_getinheritsched(&attr, &value), 0);
    cr_assert_eq(value, GREEN_INHERIT_SCHED);
    cr_assert_eq(green_attr_getschedpolicy(&attr, &value), 0);
    cr_assert_eq(value, SCHED_OTHER);
    cr_assert_eq(green_attr_getschedparam(&attr, &param), 0);
    cr_assert_eq(param.sched_priority, 0);
    cr_assert_eq(green_attr_setinheritsched(&attr, 2), EINVAL);
    cr_assert_eq(green_attr_setschedpolicy(&attr, 99), EINVAL);
    cr_assert_eq(green_attr_setschedparam(&attr, none), EINVAL);
    attr = scheduled(SCHED_FIFO, 1000);
    cr_assert_eq(create_error(&attr, nothing), EINVAL);
    attr = scheduled(SCHED_OTHER, 1);
    cr_assert_eq(create_error(&attr, nothing), EINVAL);
    green_attr_init(&plain);
    green_attr_setinheritsched(&plain, GREEN_EXPLICIT_SCHED);
    cr_assert_eq(create_error(&plain, nothing), ENOTSUP);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, &param), ENOTSUP);
    cr_assert_eq(green_setschedparam(green_self(), SCHED_OTHER, none), EINVAL);
    cr_assert_eq(green_setschedparam(0, SCHED_OTHER, &param), ESRCH);
}

/* A sanitizer's own mappings are terabytes: no limit that lets it live could be reached. */
#if !defined(__SANITIZE_ADDRESS__)
ON_BOTH(bound, no_memory_is_eagain)
{
    green_attr_t attr = bound_attr();
    join_result(spawn_bound(nothing, NULL));
    struct rlimit limit = {(rlim_t)1 << 30, RLIM_INFINITY};
    green_attr_setstacksize(&attr, (size_t)1 << 30);
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(create_error(&attr, nothing), EAGAIN);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    join_result(spawn_bound(nothing, NULL));
    cr_assert_eq(stats_now().threads_live, 1);
}
#endif

/*
 * The process as a whole.
 */

/*
 * AddressSanitizer's malloc takes no care of its locks at a fork, and a bound thread that was joined a moment ago may
 * still be in it.
 */
#if !defined(__SANITIZE_ADDRESS__)

static void run_both_kinds(void *(*routine)(void *))
{
    green_t threads[] = {spawn(routine, NULL), spawn_bound(routine, NULL), spawn(routine, NULL)};
    green_usleep(500);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
}

/* What a child does: threads of both kinds, from nothing. */
static int use_threads_afresh(void)
{
    cpu_set_t cpus;
    must(stats_now().threads_live == 1);
    must(green_getaffinity_np(green_self(), sizeof cpus, &cpus) == 0); /* it is still bound, to another tid */
    return contend_for_mutex(run_both_kinds) == 3 * LOCKS_EACH ? 42 : 1;
}

static void *fork_and_wait(void *arg)
{
    pid_t child = fork_mortal();
    if (child == 0)
        exit(use_threads_afresh());
    check_exit_status(child, 42);
    return arg;
}

ON_BOTH(bound, fork)
{
    start_hogs(2);
    for (int i = 0; i < 5; i++)
        join_result(spawn_bound(fork_and_wait, NULL));
    stop_hogs();
}

static void *fork_and_return(void *arg)
{
    pid_t child = fork_mortal();
    if (child > 0)
        check_exit_status(child, 0);
    else if (arg)
        join_result(spawn(nothing, NULL)); /* so that it is not the only kernel thread there */
    return arg;
}

/* It is the child's last thread: with it the child ends. */
ON_BOTH(bound, returns_in_the_child)
{
    pid_t parent = getpid();
    for (int i = 0; i < 5; i++) {
        join_result(spawn_bound(fork_and_return, NULL));
        join_result(spawn_bound(fork_and_return, &parent));
        must(getpid() == parent);
    }
}

static void *fork_a_child_that_binds(void *arg)
{
    pid_t child = fork_mortal();
    if (child == 0)
        _exit(join_result(spawn_bound(nothing, &gate)) == &gate ? 42 : 1);
    check_exit_status(child, 42);
    return arg;
}

ON_BOTH(bound, child_of_a_multiplexed_thread)
{
    green_sem_init(&gate, 0, 0);
    green_t waits = spawn_bound(wait_at_gate, NULL);
    join_result(spawn(fork_a_child_that_binds, NULL));
    green_sem_post(&gate);
    join_result(waits);
}

#endif

/* glibc signals every kernel thread that it knows, and waits for all of them. */
static void *be_myself(void *arg)
{
    for (int i = 0; i < 200; i++) {
        must(setuid(getuid()) == 0);
        spin_ns(5000);
    }
    return arg;
}

ON_BOTH(bound, setuid_while_threads_come_and_go)
{
    green_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = i % 2 ? spawn_bound(be_myself, NULL) : spawn(be_myself, NULL);
    create_and_join(NULL);
    for (int i = 0; i < 4; i++)
        join_result(threads[i]);
}
