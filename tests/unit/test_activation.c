/*
 * Scheduler activations: what observers are told, in which order and where; and the invariant behind it, that as many
 * workers hold processors as there are processors in service.
 */
#include "unit.h"

#include <green/activation.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/activation.h"
#include "core/invariant.h"
#include "core/sched.h"

TestSuite(activation, .timeout = LIMIT);

enum { KINDS = 6, LOG = 1 << 16 };

/* What an observer saw; written in its calls, which do not overlap. */
struct log {
    atomic_bool inside;
    atomic_ulong calls, events, counts[KINDS]; /* by the number of the bit */
    uint64_t last_ns;
    struct green_activation_event kept[LOG];
};

static struct log log_a, log_b;

static unsigned bit(unsigned kind)
{
    return (unsigned)__builtin_ctz(kind);
}

static unsigned long counted(const struct log *log, unsigned kind)
{
    return atomic_load(&log->counts[bit(kind)]);
}

/* On a worker's own stack, one at a time, in order. */
static void note(const struct green_activation_event *events, size_t count, void *arg)
{
    struct log *log = arg;
    must(!atomic_exchange(&log->inside, true));
    must(self_thread->kind == THREAD_WORKER && self_thread->depth == 1);
    must(count >= 1 && count <= GREEN_ACTIVATION_BULK);
    for (size_t i = 0; i < count; i++) {
        must(events[i].time_ns >= log->last_ns && events[i].time_ns <= now_ns());
        log->last_ns = events[i].time_ns;
        unsigned long place = atomic_load(&log->events);
        if (place < LOG)
            log->kept[place] = events[i];
        atomic_fetch_add(&log->counts[bit(events[i].kind)], events[i].count);
        atomic_fetch_add(&log->events, 1);
    }
    atomic_fetch_add(&log->calls, 1);
    atomic_store(&log->inside, false);
}

static green_activation_t observe(unsigned kinds, struct log *log)
{
    green_activation_t registration;
    must(green_activation_register(&registration, kinds, note, log) == 0);
    return registration;
}

ON_BOTH(activation, bad_arguments)
{
    green_activation_t some[GREEN_ACTIVATION_OBSERVERS], more;
    cr_assert_eq(green_activation_register(NULL, GREEN_ACTIVATION_ALL, note, &log_a), EINVAL);
    cr_assert_eq(green_activation_register(&more, GREEN_ACTIVATION_ALL, NULL, &log_a), EINVAL);
    cr_assert_eq(green_activation_register(&more, 0, note, &log_a), EINVAL);
    cr_assert_eq(green_activation_register(&more, GREEN_ACTIVATION_LOST, note, &log_a), EINVAL);
    cr_assert_eq(green_activation_unregister(0), ESRCH);
    cr_assert_eq(green_activation_unregister(~UINT64_C(0)), ESRCH);
    for (int i = 0; i < GREEN_ACTIVATION_OBSERVERS; i++)
        some[i] = observe(GREEN_ACTIVATION_ADDED, &log_a);
    cr_assert_eq(green_activation_register(&more, GREEN_ACTIVATION_ALL, note, &log_a), EAGAIN);
    cr_assert_eq(green_activation_unregister(some[3]), 0);
    cr_assert_eq(green_activation_unregister(some[3]), ESRCH);
    more = observe(GREEN_ACTIVATION_BLOCKED, &log_a);
    cr_assert_neq(more, some[3], "used again");
    cr_assert_eq(green_activation_unregister(some[3]), ESRCH);
    cr_assert_eq(green_activation_unregister(more), 0);
    cr_assert_eq(atomic_load(&activation_kinds), GREEN_ACTIVATION_ADDED);
}

/* Events of two kinds about a thread take turns: the number of the first; `last` is the last event, 0 for none. */
static unsigned long turns(const struct log *log, green_t thread, unsigned first, unsigned then, unsigned *last)
{
    unsigned long count = 0, events = atomic_load(&log->events);
    *last = 0;
    for (unsigned long i = 0; i < events; i++) {
        if (log->kept[i].thread != thread || !(log->kept[i].kind & (first | then)))
            continue;
        must(log->kept[i].kind == (*last == first ? then : first));
        *last = log->kept[i].kind;
        count += *last == first;
    }
    return count;
}

static unsigned last_turn(const struct log *log, green_t thread)
{
    unsigned last;
    turns(log, thread, GREEN_ACTIVATION_BLOCKED, GREEN_ACTIVATION_UNBLOCKED, &last);
    return last;
}

static int pipe_ends[2];

static void *read_one(void *arg)
{
    char byte;
    must(read(pipe_ends[0], &byte, 1) == 1);
    return arg;
}

/* A thread that blocks in a call nobody wrapped: it is told when it does, and that it is back, in turns. */
ON_BOTH(activation, blocked_and_back)
{
    enum { ROUNDS = 20 };
    cr_assert_eq(pipe(pipe_ends), 0);
    observe(GREEN_ACTIVATION_BLOCKED | GREEN_ACTIVATION_UNBLOCKED, &log_a);
    start_hogs(3);
    for (int i = 0; i < ROUNDS; i++) {
        green_t reader = spawn(read_one, NULL);
        wait_for(last_turn(&log_a, reader) == GREEN_ACTIVATION_BLOCKED);
        cr_assert_eq(write(pipe_ends[1], "x", 1), 1);
        join_result(reader);
        wait_for(last_turn(&log_a, reader) == GREEN_ACTIVATION_UNBLOCKED);
    }
    stop_hogs();
    cr_assert_eq(counted(&log_a, GREEN_ACTIVATION_PREEMPTED), 0, "not asked for");
    cr_assert_eq(green_activation_lost(), 0);
}

static void *block_announced(void *arg)
{
    char byte;
    green_blocking_enter();
    must(read(pipe_ends[0], &byte, 1) == 1);
    green_blocking_leave();
    return arg;
}

/* Back to a processor that has nothing to do: told, too, though nobody waits for one. */
ON_BOTH(activation, announced_and_back_to_an_idle_processor)
{
    cr_assert_eq(pipe(pipe_ends), 0);
    observe(GREEN_ACTIVATION_ALL, &log_a);
    start_hogs(3);
    green_t reader = spawn(block_announced, NULL);
    wait_for(last_turn(&log_a, reader) == GREEN_ACTIVATION_BLOCKED);
    stop_hogs();
    cr_assert_eq(write(pipe_ends[1], "x", 1), 1);
    join_result(reader);
    wait_for(last_turn(&log_a, reader) == GREEN_ACTIVATION_UNBLOCKED);
}

/* Every preemption is told, or counted as lost. */
ON_BOTH(activation, every_preemption)
{
    green_activation_t registration = observe(GREEN_ACTIVATION_PREEMPTED, &log_a);
    uint64_t before = stats_now().preemptions;
    start_hogs(4);
    wait_for(stats_now().preemptions >= before + STORM_PREEMPTIONS);
    stop_hogs();
    wait_for(counted(&log_a, GREEN_ACTIVATION_PREEMPTED) + counted(&log_a, GREEN_ACTIVATION_LOST) ==
             stats_now().preemptions - before);
    cr_assert_eq(counted(&log_a, GREEN_ACTIVATION_LOST), green_activation_lost());
    cr_assert_geq(counted(&log_a, GREEN_ACTIVATION_PREEMPTED), 100);
    cr_assert_eq(green_activation_unregister(registration), 0);
    cr_assert_eq(atomic_load(&activation_kinds), 0);
    cr_assert_not(atomic_load(&activation_waits), "nothing is kept for nobody");
}

/* Processors that go into service and leave it: each in turn. */
ON_BOTH(activation, processors)
{
    static const int levels[] = {3, 1, 5, 2, 8, 1, 4};
    bool in_service[8] = {false};
    unsigned long first = stats_now().procs, from = 0;
    for (unsigned i = 0; i < first; i++)
        in_service[i] = true;
    observe(GREEN_ACTIVATION_ADDED | GREEN_ACTIVATION_REMOVED, &log_a);
    for (int i = 0; i < 7; i++) {
        cr_assert_eq(green_setconcurrency(levels[i]), 0);
        wait_for(first + counted(&log_a, GREEN_ACTIVATION_ADDED) ==
                 (unsigned long)levels[i] + counted(&log_a, GREEN_ACTIVATION_REMOVED));
    }
    for (; from < atomic_load(&log_a.events); from++) {
        const struct green_activation_event *event = &log_a.kept[from];
        cr_assert(event->proc >= 0 && event->proc < 8 && event->thread == 0);
        cr_assert_neq(in_service[event->proc], event->kind == GREEN_ACTIVATION_ADDED);
        in_service[event->proc] = event->kind == GREEN_ACTIVATION_ADDED;
    }
    for (int i = 0; i < 8; i++)
        cr_assert_eq(in_service[i], i < 4);
    cr_assert_eq(green_activation_lost(), 0);
}

/* Two observers see the same in the same order, the second from its registration on. */
ON_BOTH(activation, several_observers)
{
    unsigned long first = stats_now().procs;
    observe(GREEN_ACTIVATION_ALL, &log_a);
    cr_assert_eq(green_setconcurrency(3), 0);
    wait_for(first + counted(&log_a, GREEN_ACTIVATION_ADDED) == 3);
    green_activation_t second = observe(GREEN_ACTIVATION_ADDED | GREEN_ACTIVATION_REMOVED, &log_b);
    unsigned long added = counted(&log_a, GREEN_ACTIVATION_ADDED);
    start_hogs(4);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(green_setconcurrency(1), 0);
        wait_for(counted(&log_b, GREEN_ACTIVATION_REMOVED) == counted(&log_b, GREEN_ACTIVATION_ADDED) + 2);
        cr_assert_eq(green_setconcurrency(3), 0);
        wait_for(counted(&log_b, GREEN_ACTIVATION_REMOVED) == counted(&log_b, GREEN_ACTIVATION_ADDED));
    }
    stop_hogs();
    cr_assert_eq(green_activation_unregister(second), 0);
    cr_assert_eq(counted(&log_b, GREEN_ACTIVATION_ADDED), 10);
    cr_assert_eq(counted(&log_a, GREEN_ACTIVATION_ADDED), added + 10);
    cr_assert_eq(counted(&log_b, GREEN_ACTIVATION_PREEMPTED), 0, "not asked for");
}

static atomic_bool release, unregistered;
static atomic_int holding;
static green_activation_t held;

/* Holds its worker up, as an observer must not, with whoever is to run or sleeps there. */
static void hold_up(const struct green_activation_event *events, size_t count, void *arg)
{
    note(events, count, arg);
    must(green_activation_unregister(held) == EDEADLK);
    atomic_fetch_add(&holding, 1);
    while (!atomic_load(&release))
        ;
    atomic_fetch_sub(&holding, 1);
}

/* On a kernel thread of the test's, whom that does not concern. */
#define await(condition)   \
    do {                   \
        while (!(condition)) \
            usleep(200);   \
    } while (0)

enum { FLOOD = 1000 };

static void *fill_buffer(void *arg)
{
    await(atomic_load(&holding));
    struct thread *self = enter();
    for (int i = 0; i < FLOOD; i++)
        activation_event(GREEN_ACTIVATION_PREEMPTED, self, -1);
    leave(self);
    must(green_activation_lost() >= FLOOD - GREEN_ACTIVATION_KEPT);
    must(counted(&log_a, GREEN_ACTIVATION_PREEMPTED) <= GREEN_ACTIVATION_BULK);
    must(counted(&log_a, GREEN_ACTIVATION_LOST) == 0);
    atomic_store(&release, true);
    return arg;
}

/* While an observer does not return, events are kept, then counted. */
ON_BOTH(activation, a_full_buffer_is_counted)
{
    pthread_t filler;
    uint64_t before = stats_now().preemptions;
    cr_assert_eq(green_activation_register(&held, GREEN_ACTIVATION_PREEMPTED, hold_up, &log_a), 0);
    cr_assert_eq(pthread_create(&filler, NULL, fill_buffer, NULL), 0);
    start_hogs(6);
    wait_for(atomic_load(&release));
    stop_hogs();
    cr_assert_eq(pthread_join(filler, NULL), 0);
    wait_for(counted(&log_a, GREEN_ACTIVATION_PREEMPTED) + counted(&log_a, GREEN_ACTIVATION_LOST) ==
             stats_now().preemptions - before + FLOOD);
    cr_assert_eq(counted(&log_a, GREEN_ACTIVATION_LOST), green_activation_lost());
}

static void *unregister_held(void *arg)
{
    await(atomic_load(&holding));
    must(green_activation_unregister(held) == 0);
    must(atomic_load(&holding) == 0);
    atomic_store(&unregistered, true);
    return arg;
}

static void *release_later(void *arg)
{
    await(atomic_load(&holding));
    await(atomic_load(&activation_kinds) == 0);
    for (int i = 0; i < 20; i++) {
        usleep(300);
        must(!atomic_load(&unregistered));
    }
    atomic_store(&release, true);
    return arg;
}

static void spin_a_little(unsigned index, uint64_t round)
{
    (void)round;
    spin_ns(1000 * (1 + index));
}

/* Unregistering waits for the call, and none comes after it. */
ON_BOTH(activation, unregistering_waits_for_a_call)
{
    pthread_t threads[2];
    cr_assert_eq(green_activation_register(&held, GREEN_ACTIVATION_PREEMPTED, hold_up, &log_a), 0);
    cr_assert_eq(pthread_create(&threads[0], NULL, unregister_held, NULL), 0);
    cr_assert_eq(pthread_create(&threads[1], NULL, release_later, NULL), 0);
    start_hogs(3);
    wait_for(atomic_load(&unregistered));
    stop_hogs();
    unsigned long calls = atomic_load(&log_a.calls);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    storm_of(4, 50, spin_a_little);
    cr_assert_eq(atomic_load(&log_a.calls), calls);
}

static green_sem_t told;
static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static atomic_ulong woken;

static void wake_somebody(const struct green_activation_event *events, size_t count, void *arg)
{
    note(events, count, arg);
    must(green_sem_post(&told) == 0 && green_cond_broadcast(&cond) == 0);
}

static void *wait_to_be_told(void *arg)
{
    for (int i = 0; i < 100; i++) {
        must(green_sem_wait(&told) == 0);
        atomic_fetch_add(&woken, 1);
    }
    return arg;
}

static void *wait_for_broadcast(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    while (atomic_load(&woken) < 50)
        must(green_cond_wait(&cond, &mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    return arg;
}

/* What an observer may call wakes threads. */
ON_BOTH(activation, an_observer_wakes_threads)
{
    green_activation_t registration;
    green_sem_init(&told, 0, 0);
    green_t waiters[3] = {spawn(wait_to_be_told, NULL), spawn(wait_for_broadcast, NULL), spawn(wait_for_broadcast, NULL)};
    cr_assert_eq(green_activation_register(&registration, GREEN_ACTIVATION_ALL, wake_somebody, &log_a), 0);
    start_hogs(4);
    for (int i = 0; i < 3; i++)
        join_result(waiters[i]);
    stop_hogs();
    cr_assert_eq(green_activation_unregister(registration), 0);
    cr_assert_eq(atomic_load(&woken), 100);
}

/* The child of a fork has no observers, and may have its own. */
ON_BOTH(activation, fork)
{
    green_activation_t parents = observe(GREEN_ACTIVATION_ALL, &log_a);
    start_hogs(3);
    wait_for(counted(&log_a, GREEN_ACTIVATION_PREEMPTED) >= 10);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm((unsigned)LIMIT);
        must(green_activation_unregister(parents) == ESRCH);
        unsigned long calls = atomic_load(&log_a.calls);
        observe(GREEN_ACTIVATION_PREEMPTED, &log_b);
        start_hogs(3);
        wait_for(counted(&log_b, GREEN_ACTIVATION_PREEMPTED) >= 10);
        must(atomic_load(&log_a.calls) == calls);
        _exit(7);
    }
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0)
        green_usleep(1000);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    stop_hogs();
    cr_assert_eq(green_activation_unregister(parents), 0);
}

/* The invariant. */

static atomic_int on_proc[PROCS_MAX], most, running;

/* Nobody is taken off a processor in a critical section: whoever else is there has another worker. */
static void alone_on_its_processor(void)
{
    green_critical_enter();
    const unsigned index = self_thread->worker->proc->index;
    must(atomic_fetch_add(&on_proc[index], 1) == 0);
    int beside = atomic_fetch_add(&running, 1) + 1;
    if (beside > atomic_load(&most))
        atomic_store(&most, beside);
    spin_ns(2000);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_sub(&on_proc[index], 1);
    green_critical_leave();
}

static void look_at_the_invariant(void)
{
    struct thread *self = enter();
    lock_acquire(&sched_lock, RANK_SCHED);
    const char *violation = invariant_violation();
    lock_release(&sched_lock, RANK_SCHED);
    leave(self);
    if (violation)
        unit_fail(violation, __FILE__, __LINE__);
}

static void disturb(unsigned index, uint64_t round)
{
    static const int levels[] = {1, 3, 2, 5, 1, 8, 4};
    struct timespec time = {0, 50000 + index * 30000};
    if (index == 0 && round % 16 == 0)
        must(green_setconcurrency(levels[round / 16 % 7]) == 0);
    if (index % 3 == 1 && round % 4 == 0)
        nanosleep(&time, NULL); /* blocks its kernel thread */
    if (index % 3 == 2 && round % 4 == 0) {
        green_blocking_enter();
        nanosleep(&time, NULL);
        green_blocking_leave();
    }
    alone_on_its_processor();
    look_at_the_invariant();
    spin_ns(5000);
}

/* Blocking, preemption and a changing number of processors: as many workers hold one as there are. */
ON_BOTH(activation, invariant)
{
    green_activation_t registration = observe(GREEN_ACTIVATION_ALL, &log_a);
    unsigned long first = stats_now().procs;
    storm_of(12, STORM_PREEMPTIONS, disturb);
    cr_assert_eq(green_setconcurrency(2), 0);
    wait_for(stats_now().procs_retired > 0);
    look_at_the_invariant();
    if (strcmp(green_monitor_source(), "off") != 0)
        cr_assert_gt(stats_now().retakes + counted(&log_a, GREEN_ACTIVATION_BLOCKED), 0);
    cr_assert_leq(atomic_load(&most), 8);
    if (green_activation_lost() == 0) {
        wait_for(first + counted(&log_a, GREEN_ACTIVATION_ADDED) ==
                 2 + counted(&log_a, GREEN_ACTIVATION_REMOVED));
        wait_for(counted(&log_a, GREEN_ACTIVATION_BLOCKED) == counted(&log_a, GREEN_ACTIVATION_UNBLOCKED));
    }
    cr_assert_eq(green_activation_unregister(registration), 0);
}

/* The check sees what it is for. */
Test(activation, invariant_is_seen_to_break)
{
    start(1);
    struct thread *self = enter();
    struct worker *worker = self->worker;
    struct proc *proc = worker->proc;
    lock_acquire(&sched_lock, RANK_SCHED);
    const char *whole = invariant_violation();
    atomic_store(&worker->hold, HOLD_REVOKED);
    const char *revoked = invariant_violation();
    atomic_store(&worker->hold, HOLD_OWNED);
    atomic_store(&proc->worker, NULL);
    const char *nobody = invariant_violation();
    atomic_store(&proc->worker, worker);
    worker->proc = NULL;
    const char *other = invariant_violation();
    worker->proc = proc;
    lock_release(&sched_lock, RANK_SCHED);
    leave(self);
    cr_assert_null(whole);
    cr_assert_not_null(revoked);
    cr_assert_not_null(nobody);
    cr_assert_not_null(other);
}
