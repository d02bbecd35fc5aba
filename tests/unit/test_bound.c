/*
 * Bound threads: kernel threads of their own, with the life of any green thread.
 */
#include "bound.h"

#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(bound, .timeout = LIMIT);

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
static green_sem_t may_end;

static void *stay(void *arg)
{
    atomic_store(&its_tid, gettid());
    for (int i = 0; i < 100; i++) {
        green_yield();
        if (i % 10 == 0)
            green_usleep(300);
        must(gettid() == atomic_load(&its_tid));
    }
    must(green_sem_wait(&may_end) == 0);
    must(gettid() == atomic_load(&its_tid));
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
    green_sem_init(&may_end, 0, 0);
    green_t thread = spawn_bound(stay, &its_tid);
    cr_assert_eq(stats_now().threads_live, 2);
    cr_assert_eq(stats_now().workers, workers);
    green_sem_post(&may_end);
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

static atomic_int unwound;

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
