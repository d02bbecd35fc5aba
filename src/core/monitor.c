/*
 * The monitor: a kernel thread that looks for blocked workers while somebody waits, and gives their processors to
 * spare ones.  hold.c has the handshake, block.c how a block is seen.
 *
 * It watches busy processors where a thread waits (`ticking`), and those that have a deadline soon: a tick for the
 * deadline would interrupt the call that the worker is blocked in.  With nothing to watch it sleeps until the next
 * such deadline or until it is told of a waiter; else it looks every 20 us, and more and more rarely while nothing is
 * found, until it has had nothing to watch for a while: a processor that many sleepers wake for a moment each has
 * somebody waiting thousands of times a second.
 *
 * A processor is taken only when there is a spare worker to give it to.  Without one it stays where it is until one
 * has been made.  When that fails, or takes suspiciously long, the tick's signal gets the blocked thread off its
 * processor, at the price of an EINTR, and it stays off for a while (stuck.c); so the thread that holds the lock which
 * the making of a worker needs can run.
 *
 * The monitor is a kernel thread of no processor, and calls nothing that could wait for a green thread: no malloc, no
 * stdio, no pthread_create.
 */
#include "core/monitor.h"

#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/futex.h"
#include "core/block.h"
#include "core/cpu_time.h"
#include "core/hold.h"
#include "core/sched.h"
#include "core/stuck.h"
#include "core/tick.h"

#define BLOCK_NS UINT64_C(20000)   /* blocked for so long: a processor is worth its move */
#define LOOK_MIN_NS UINT64_C(20000)
#define LOOK_MAX_NS UINT64_C(1000000)
#define OVERDUE_MIN_NS UINT64_C(20000000)
#define RETURNS_NS UINT64_C(10000000)
#define AHEAD_NS UINT64_C(100000)  /* a deadline is watched from so long before it */
#define LATE_NS UINT64_C(200000)   /* and after so long its tick has met the worker in the kernel, and is lost */
enum { LOOKS_BEFORE_SLOWER = 50, OVERDUE_SLICES = 2 };

static struct {
    _Atomic uint32_t told;         /* futex: counts monitor_watch() that had to wake it */
    _Atomic uint64_t sleeps_until; /* ns; 0: it is awake, and sees by itself what comes */
    _Atomic uint32_t expects;      /* futex: 1 when a thread runs that has just been blocked, and may soon be again */
    _Atomic bool started;          /* its start was begun */
    _Atomic uint32_t running;      /* futex: 1 from its first look on */
    _Atomic uint64_t retakes;
    uint64_t round;                /* its own: counts looks */
} monitor;

/* What locks and other parts of the runtime expect of every kernel thread in it. */
static struct worker service;

uint64_t monitor_retakes(void)
{
    return atomic_load_explicit(&monitor.retakes, memory_order_relaxed);
}

const char *monitor_name(void)
{
    return atomic_load(&monitor.started) && settings.watch != GREEN_MONITOR_OFF ? block_source_name() : "off";
}

void monitor_watch(uint64_t deadline)
{
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t until = atomic_load_explicit(&monitor.sleeps_until, memory_order_relaxed);
    if (until == 0 || (deadline > AHEAD_NS && deadline - AHEAD_NS >= until))
        return;
    if (!atomic_compare_exchange_strong(&monitor.sleeps_until, &until, 0))
        return;
    atomic_fetch_add(&monitor.told, 1);
    futex_wake(&monitor.told, 1);
}

void monitor_expect(void)
{
    if (atomic_exchange(&monitor.expects, 1) == 0)
        futex_wake(&monitor.expects, 1);
}

bool monitor_runs(void)
{
    return atomic_load_explicit(&monitor.running, memory_order_relaxed) != 0;
}

void monitor_attend(struct proc *proc)
{
    if (!atomic_load(&monitor.running))
        return;
    atomic_store(&proc->ticking, true);
    monitor_watch(0);
}

static int depth_of(const struct thread *thread)
{
    return __atomic_load_n(&thread->depth, __ATOMIC_ACQUIRE);
}

/* A block of that date is worth the move by now. */
static bool is_old_enough(uint64_t since, uint64_t now)
{
    return since != NEVER && now >= since + BLOCK_NS;
}

/*
 * With hold REVOKING: everybody sees that from here on, or we see the depth of the worker's thread.  Whether it is
 * blocked, and since when, is looked at afresh: it may have come back in between.
 */
static bool may_revoke(struct worker *worker, uint64_t *since)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    uint64_t switches = atomic_load_explicit(&worker->switches, memory_order_acquire);
    int depth = depth_of(atomic_load_explicit(&worker->current, memory_order_acquire));
    if (depth > 0 || atomic_load_explicit(&worker->switches, memory_order_acquire) != switches)
        return false;
    uint64_t now = clock_now();
    *since = block_since(worker, now);
    return is_old_enough(*since, now);
}

static bool hand_over(struct worker *worker, uint64_t since)
{
    bool revoked = false;

    lock_acquire(&sched_lock, RANK_SCHED);
    struct worker *spare = spare_take();
    if (spare && !(revoked = worker_revoke(worker, spare, since)))
        spare_add(spare);
    if (revoked) /* before it can be back, and count that */
        atomic_fetch_add_explicit(&monitor.retakes, 1, memory_order_relaxed);
    lock_release(&sched_lock, RANK_SCHED);
    if (!spare || spares() == 0)
        spares_want();
    if (!spare && spares_late(clock_now()))
        stuck_tell(worker); /* off its processor, then */
    return revoked;
}

/* From a worker that looked blocked since then.  True when the processor has moved on. */
static bool retake(struct worker *worker, uint64_t since, uint64_t now)
{
    uint32_t owned = HOLD_OWNED, revoking = HOLD_REVOKING;

    if (!is_old_enough(since, now) ||
        depth_of(atomic_load_explicit(&worker->current, memory_order_acquire)) > 0 ||
        !atomic_compare_exchange_strong(&worker->hold, &owned, HOLD_REVOKING))
        return false;
    if (may_revoke(worker, &since) && hand_over(worker, since))
        return true;
    atomic_compare_exchange_strong(&worker->hold, &revoking, HOLD_OWNED);
    return false;
}

/* Of the process's first kernel thread the kernel keeps the remains, which answer as if alive, but say what they are. */
static bool is_first(const struct worker *worker)
{
    return worker->tid == getpid();
}

static bool has_ended(const struct worker *worker)
{
    if (is_first(worker))
        return block_remains(worker);
    return syscall(SYS_tgkill, getpid(), worker->tid, 0) != 0 && errno == ESRCH;
}

/*
 * The kernel thread has ended behind our back, by the exit system call: its processor goes to another worker.  Nobody
 * is there to shake hands with, and nobody comes back; the thread it ran is lost, as it never ended.
 */
static bool bury(struct worker *worker)
{
    bool dead;

    lock_acquire(&sched_lock, RANK_SCHED);
    dead = worker->proc && has_ended(worker);
    struct worker *spare = dead ? spare_take() : NULL;
    if (spare)
        worker_replace(worker, spare);
    lock_release(&sched_lock, RANK_SCHED);
    if (dead && (!spare || spares() == 0))
        spares_want();
    if (!spare)
        return false;
    worker_died(worker);
    return true;
}

/*
 * A thread may run for slices without a tick; one with a slice of its own has a clock with that period.  Not less than
 * a kernel tick or two: a clock that the kernel has throttled goes on only then.
 */
static uint64_t overdue_after(const struct worker *worker)
{
    uint64_t period = __atomic_load_n(&worker->clock_period, __ATOMIC_RELAXED), slice = settings.slice_us * NS_PER_US;
    uint64_t after = OVERDUE_SLICES * (period > slice ? period : slice);

    return after > OVERDUE_MIN_NS ? after : OVERDUE_MIN_NS;
}

/* The first kernel thread's clock does not go away with it, but stands still.  Looked into rarely: that costs a file. */
static bool may_be_remains(struct worker *worker, uint64_t used, uint64_t now)
{
    if (!is_first(worker) || (used == worker->used_last && now < worker->used_at + OVERDUE_MIN_NS))
        return false;
    const bool stands_still = used == worker->used_last;
    worker->used_last = used;
    worker->used_at = now;
    return stands_still;
}

/*
 * A thread that spends its time in the kernel without blocking has no ticks by perf: when it has run for slices and
 * none came, a signal ends its slice.  What it ran while nobody waited does not count, and one that is blocked loses
 * its processor instead, without a signal.  True when the worker turned out to be dead, and its processor has moved on.
 */
static bool end_overdue(struct worker *worker, bool blocked, uint64_t now)
{
    uint64_t ticks = atomic_load_explicit(&worker->count.ticks, memory_order_relaxed), used = kernel_time(worker->tid);

    if (used == 0)
        return bury(worker);
    const bool watched = worker->round_seen && worker->round_seen + 1 == monitor.round &&
                         ticks == worker->ticks_seen;

    worker->round_seen = monitor.round;
    if (watched && !blocked && may_be_remains(worker, used, now) && bury(worker))
        return true;
    if (watched && (used < worker->used_seen + overdue_after(worker) || blocked))
        return false;
    if (watched)
        tick_send(worker);
    worker->ticks_seen = ticks;
    worker->used_seen = used;
    return false;
}

struct look {
    bool waits; /* somebody does */
    bool found; /* a processor was taken */
    bool young; /* a block was seen that is not worth it yet */
    uint64_t next; /* when to look at the latest: ahead of a deadline, or at a block again */
};

static void look_until(struct look *look, uint64_t next)
{
    if (next < look->next)
        look->next = next;
}

/*
 * A block that is too young is looked at again when it is old enough, however rarely we look: what is seen by /proc has
 * no date, and two looks a millisecond apart may never meet the same block, when ticks end it.
 */
static void look_again(uint64_t since, uint64_t now, struct look *look)
{
    if (since == NEVER || now >= since + BLOCK_NS)
        return;
    look->young = true;
    look_until(look, since + BLOCK_NS);
}

/*
 * A deadline is late: the tick for it has met the worker in the kernel, or the kernel has not run the worker.  The clock is
 * kicked: it ticks in the program's code alone.  A signal follows when that has not helped and the worker has had a CPU all
 * the while, as it works in the kernel.  Sent at once, it would interrupt the call that a worker begins which got its CPU
 * back just now: 2 in 50,000 nanosleeps.
 */
static void tick_late(struct worker *worker, uint64_t now)
{
    if (tick_again(worker))
        worker->kicked_at = now;
    else if (settings.tick != GREEN_TICK_PERF && now >= worker->kicked_at + LATE_NS &&
             block_runs_since(worker, now - LATE_NS))
        tick_send(worker);
}

static void look_at(struct proc *proc, uint64_t now, struct look *look)
{
    struct worker *worker = atomic_load(&proc->worker);
    uint64_t deadline = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed);

    if (!worker || __atomic_load_n(&proc->idle, __ATOMIC_RELAXED))
        return;
    const uint64_t from = atomic_load_explicit(&proc->deadlines_from, memory_order_relaxed);
    if (deadline < from)
        deadline = from; /* its tick is not to come before */
    const bool soon = deadline != NEVER && deadline <= now + AHEAD_NS;
    const bool late = soon && now >= deadline + LATE_NS;
    const bool missed = soon && now >= deadline + OVERDUE_MIN_NS; /* by a worker that may be dead */
    const bool ticking = atomic_load_explicit(&proc->ticking, memory_order_relaxed);
    const uint64_t since = ticking || soon ? block_since(worker, now) : NEVER;
    if (ticking || missed || since != NEVER) {
        look->waits = true;
        if (retake(worker, since, now))
            look->found = true;
        else
            look_again(since, now, look);
        look->found |= end_overdue(worker, since != NEVER, now);
    }
    if (late)
        look_until(look, now + LATE_NS);
    else if (deadline != NEVER)
        look_until(look, soon || ticking ? deadline + LATE_NS : deadline - AHEAD_NS);
    if (late && since == NEVER)
        tick_late(worker, now);
}

/*
 * Where there is no clock that ticks on return: a worker that has lost its processor and runs is sent a tick.  Each look
 * costs a system call, so while nobody waits, it is taken rarely.  Without the lock: at worst a tick comes too much.
 */
static void look_for_returns(struct look *look, uint64_t now)
{
    for (struct worker *worker = workers_all(); worker; worker = worker->next)
        if (__atomic_load_n(&worker->returns, __ATOMIC_RELAXED) && atomic_load(&worker->hold) == HOLD_REVOKED) {
            look_until(look, now + RETURNS_NS);
            if (block_since(worker, now) == NEVER)
                tick_send(worker);
        }
}

static struct look look_round(void)
{
    struct look look = {false, false, false, NEVER};
    uint64_t now = clock_now();

    monitor.round++;
    for (unsigned i = 0; i < PROCS_MAX && proc_at(i); i++)
        look_at(proc_at(i), now, &look);
    if (atomic_load_explicit(&monitor.retakes, memory_order_relaxed) > 0)
        look_for_returns(&look, now);
    return look;
}

/* Sleep until told or the time, and how long.  Whoever has something to watch sees that we sleep, or we see what there is. */
static uint64_t sleep_until_told(uint64_t until)
{
    const uint64_t begun = clock_now();
    uint32_t told = atomic_load(&monitor.told);

    atomic_store(&monitor.sleeps_until, until);
    atomic_thread_fence(memory_order_seq_cst);
    struct look look = look_round();
    if (!look.waits && look.next >= until)
        futex_wait(&monitor.told, told, until);
    atomic_store(&monitor.sleeps_until, 0);
    return clock_now() - begun;
}

/*
 * A block that will be old enough in 20 us is not slept for: on a virtual machine the shortest sleep takes longer, and the
 * processor has nothing to do meanwhile.  Under Valgrind one thread runs at a time, and to spin would keep the others.
 */
static void wait_between(const struct look *look, uint64_t interval)
{
    const uint64_t wake = clock_now() + interval;

    if (!look->young || annotate_under_valgrind()) {
        futex_wait(&monitor.expects, 0, wake < look->next ? wake : look->next);
        return;
    }
    while (clock_now() < look->next)
        arch_pause();
}

struct pace {
    uint64_t interval; /* ns from a look to the next */
    unsigned looks;    /* so far at this interval */
};

static void pace_anew(struct pace *pace)
{
    *pace = (struct pace){LOOK_MIN_NS, 0};
}

static void pace_slower(struct pace *pace)
{
    if (++pace->looks < LOOKS_BEFORE_SLOWER || pace->interval == LOOK_MAX_NS)
        return;
    pace->looks = 0;
    pace->interval = 2 * pace->interval < LOOK_MAX_NS ? 2 * pace->interval : LOOK_MAX_NS;
}

static void *monitor_run(void *arg)
{
    struct pace pace = {LOOK_MIN_NS, 0};

    (void)arg;
    self_thread = &service.own;
    service.tid = gettid();
    service.kernel_tls = arch_thread_pointer();
    atomic_store(&monitor.running, 1);
    futex_wake(&monitor.running, INT_MAX);
    kernel_thread_prompt();
    for (;;) {
        struct look look = look_round();
        if (!look.waits) {
            if (sleep_until_told(look.next) >= LOOK_MAX_NS)
                pace_anew(&pace);
            continue;
        }
        if (look.found)
            pace_anew(&pace);
        else
            pace_slower(&pace);
        wait_between(&look, pace.interval);
        if (atomic_exchange(&monitor.expects, 0))
            pace_anew(&pace);
    }
    return NULL;
}

int monitor_start(void)
{
    if (settings.watch == GREEN_MONITOR_OFF || !settings.preempt || atomic_exchange(&monitor.started, true))
        return 0;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {
        settings.watch = GREEN_MONITOR_OFF;
        return 0; /* a kernel without: nobody's processor is taken */
    }
    service.own = (struct thread){.kind = THREAD_WORKER, .depth = 1, .worker = &service, .deadline = NEVER};
    int error = spares_start();
    if (!error)
        error = service_start(monitor_run);
    if (error) {
        atomic_store(&monitor.started, false);
        return error;
    }
    while (atomic_load(&monitor.running) == 0)
        futex_wait(&monitor.running, 0, NEVER);
    ticks_restart();
    return 0;
}

void monitor_fork_reset(void)
{
    memset(&monitor, 0, sizeof monitor);
    memset(&service, 0, sizeof service);
    spares_fork_reset();
    stuck_fork_reset();
}
