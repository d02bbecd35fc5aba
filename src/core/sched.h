/*
 * The scheduler inside: entering and leaving the runtime, choosing who runs, parking and readying.
 *
 * Rules.  Runtime code runs at depth > 0: every call raises it first (enter) and lowers it last (leave), and leaving
 * is a safe point.  Only dispatch.c chooses; only park() and ready() move a thread between running and waiting.
 */
#ifndef SCHED_H
#define SCHED_H

#include <green/sched.h>

#include "base/annotate.h"
#include "core/thread.h"

/* Settings, constant after the start but for procs. */
struct settings {
    unsigned procs;
    unsigned cpus; /* that the process may use */
    unsigned slice_us;
    bool preempt;
    int tick;       /* enum green_tick: the source */
    int watch;      /* enum green_monitor: how blocked workers are seen */
    unsigned max_workers;
    int signal;
    unsigned class; /* the default stack's */
    size_t stack_bytes;
    int tls; /* enum tls_choice */
};
extern struct settings settings;

/* Several processors take from each other's queues: their fast paths need atomic operations. */
extern bool sched_shared;

/*
 * The only processor, unless sched_shared.  A switch waits until all is loaded that leads to the next thread, each from
 * what was loaded before: that begins with this, and not with the thread, its worker and a pointer.
 */
extern struct proc first_proc;

/* Another policy than work-stealing round robin; see policy.h.  sched_shared is set, too. */
extern bool policy_on;

/*
 * Enter the runtime.  NULL when the calling kernel thread could not be taken in for want of memory.  The first entry
 * of all starts the library, if there is memory for that; else the next tries again.
 */
struct thread *enter_slow(void);

/* hold.c: depth was raised; make sure of the processor.  May switch, and come back on another worker. */
void hold_regain(struct thread *self);
static inline void hold_processor(struct thread *self)
{
    compiler_barrier();
    if (unlikely(atomic_load_explicit(&self->worker->hold, memory_order_acquire) != HOLD_OWNED))
        hold_regain(self);
}

/*
 * The same for a signal's handler that does without a processor: when there is one, it is not taken from here on.
 * False: there is none.
 */
static inline bool hold_keep(struct worker *worker)
{
    uint32_t revoking = HOLD_REVOKING;

    compiler_barrier();
    return atomic_load(&worker->hold) == HOLD_OWNED ||
           atomic_compare_exchange_strong(&worker->hold, &revoking, HOLD_OWNED) || revoking == HOLD_OWNED;
}

static inline __attribute__((always_inline)) struct thread *enter(void)
{
    struct thread *self = self_thread;

    if (unlikely(!self))
        self = enter_slow();
    if (unlikely(!self))
        return NULL;
    self->depth++;
    hold_processor(self);
    return self;
}

/* Take the tick that was noted. */
void preempt_deferred(struct thread *self);

static inline void leave(struct thread *self)
{
    compiler_barrier();
    self->depth--;
    compiler_barrier();
    if (unlikely(self->worker->tick_pending) && self->depth == 0)
        preempt_deferred(self);
}

/* The calling thread, known to the library, at the depth it is at; NULL: no memory. */
static inline struct thread *known_self(void)
{
    struct thread *self = self_thread;

    if (unlikely(!self) && (self = enter()))
        leave(self);
    return self;
}

/* The same as annotate_release() and annotate_acquire(), at depth 1, of which the caller is let out for that. */
static inline void annotate_release_inside(struct thread *self, void *object)
{
    if (!annotate_finds_races())
        return;
    leave(self);
    annotate_release(object);
    enter();
}

static inline void annotate_acquire_inside(struct thread *self, void *object)
{
    if (!annotate_finds_races())
        return;
    leave(self);
    annotate_acquire(object);
    enter();
}

/* dispatch.c */

/* The first act of a thread that never ran, in place of the rest of switch_to(). */
void switch_arrived(struct thread *self);
/* Who runs next on the worker's processor: a ready thread, or the worker's own context. */
struct thread *choose(struct worker *worker);
/* The same, but first of all the target, when it has not started yet. */
struct thread *choose_target(struct worker *worker, struct thread *target);
/* As choose(), but NULL instead of the worker's own context. */
struct thread *choose_ready(struct proc *proc);
enum { GLOBAL_EVERY = 61 }; /* dispatches from one look at the global queue to the next: a prime */
uint64_t dispatches_of(const struct proc *proc);
/* Put the thread that left at the tail of its processor's queue. */
void after_requeue(struct thread *left, void *arg);

/*
 * Park self until ready() or its deadline.  Its wake is WAITING, set under `lock` together with its place in a queue,
 * or without a lock when only the deadline can end the wait.  The lock is released once self can be resumed.
 * Returns WAKE_READY, WAKE_TIMEOUT, or WAKE_SIGNAL: then signal_interlude() follows, and the wait begins anew or
 * fails.  Unless it is WAKE_READY, self may still be on its wait queue.
 */
enum wake park(struct thread *self, struct lock *lock, enum lock_rank rank);

/*
 * The same for a thread on several queues: `release` lets go of all their locks.  What it reads may lie on the thread's
 * stack only until the last is released.  Wakers claim it by park_claim_rivals(), as each holds another lock.
 */
enum wake park_on_several(struct thread *self, void (*release)(void *arg), void *arg);

/*
 * Announce a wait; before it is put on a queue.  A claim stands until here: a thread that a signal has woken may still
 * be on the queue of its last wait, and must not be claimed again.
 */
static inline void park_prepare(struct thread *self, uint64_t deadline)
{
    self->deadline = deadline;
    atomic_store_explicit(&self->claim, CLAIM_NONE, memory_order_relaxed);
    atomic_store_explicit(&self->wake, WAKE_WAITING, memory_order_release);
}

/*
 * Claim a waiter: true for whoever shall ready() it.  Without a deadline there is no rival but a signal's, as the
 * holders of its queue's lock take turns; and a signal, hardly ever sent, announces itself (`claim` is ASKED), passes
 * a heavy barrier, and looks at `wake`.  So either it sees that we have come, or we see that it has: then who moves
 * `claim` on has the thread.  Rejected: a compare and swap of `wake` each time, a tenth of the cost of a wake-up.
 *
 * A foreign thread, for which a wake-up is a system call, is simply whose compare and swap of `wake` succeeds: it
 * sleeps on that word, where the store of a waker that has lost would hide what the signal has put there.
 */
bool park_claim_contended(struct thread *waiter);
static inline bool park_claim_from_signal(struct thread *waiter)
{
    compiler_barrier();
    if (likely(atomic_load_explicit(&waiter->claim, memory_order_relaxed) == CLAIM_NONE))
        return true;
    return park_claim_contended(waiter);
}

/* With rivals: its deadline, or wakers that hold the locks of other queues that it is on; and for foreign threads. */
static inline bool park_claim_rivals(struct thread *waiter, enum wake how)
{
    uint32_t waiting = WAKE_WAITING;

    return atomic_compare_exchange_strong_explicit(&waiter->wake, &waiting, how, memory_order_acq_rel,
                                                   memory_order_relaxed) &&
           park_claim_from_signal(waiter);
}

static inline bool park_claim(struct thread *waiter, enum wake how)
{
    if (waiter->deadline != NEVER || unlikely(waiter->kind == THREAD_FOREIGN))
        return park_claim_rivals(waiter, how);
    atomic_store_explicit(&waiter->wake, how, memory_order_relaxed);
    return park_claim_from_signal(waiter);
}

/* The same for a signal, under the signal lock.  Then `how` it was woken is WAKE_SIGNAL. */
bool park_claim_for_signal(struct thread *waiter);

/* By the thread itself, once it runs again: how its wait ended. */
static inline enum wake park_outcome(struct thread *self)
{
    if (unlikely(atomic_load_explicit(&self->claim, memory_order_relaxed) == CLAIM_SIGNAL))
        return WAKE_SIGNAL;
    return atomic_load_explicit(&self->wake, memory_order_relaxed);
}

/* The thread that has parked is off its stack, and can be resumed.  A signal, or its cancellation, may have come while it
 * was on its way. */
static inline bool parked_with_signal(struct thread *left)
{
    atomic_store_explicit(&left->state, THREAD_PARKED, memory_order_release);
    compiler_barrier();
    return unlikely(atomic_load_explicit(&left->special, memory_order_relaxed) & (SPECIAL_SIGNAL | SPECIAL_CANCEL));
}

/* Make a claimed thread run: soon, in the slice of the caller ... */
void ready(struct thread *self, struct thread *thread);
/* ... or whenever a processor has time for it, by who has none or may lose it ... */
void ready_globally(struct thread *thread);
/* ... or in its turn, for one of many. */
void ready_last(struct thread *self, struct thread *thread);

extern struct lock sched_lock;

/* worker.c: the worker's own context; returns when the worker is to end */
void worker_run(void);
/* A thread was made ready (on that processor's queue, or NULL: the global one): make somebody see it in time. */
void wake_for(struct proc *pushed_to);
/* Make a processor's worker look around, asleep or busy. */
void proc_kick(struct proc *proc);
void spinners_forget(void);
/* Nothing is locked or half done in between: signals are routed as they come.  First those that came before. */
void own_safe_begin(struct worker *worker);
void own_safe_end(struct worker *worker);

/* worker_thread.c: the kernel thread under it */
/* Make the kernel thread that `runs` is on a worker that holds proc, its own context not run yet.  0 or an error. */
int worker_adopt(struct proc *proc, struct thread *runs);
/*
 * A new kernel thread for proc, or, when that is NULL, a spare one: calls pthread_create, at depth 0, and waits until it
 * has started.  `step`, when not NULL, is SPAWN_STARTS once it exists.  0, EAGAIN, ENOMEM.
 */
enum spawn_step { SPAWN_NOT, SPAWN_CREATES, SPAWN_STARTS };
int worker_spawn(struct proc *proc, _Atomic uint32_t *step);
/* By the monitor: its kernel thread has ended without a word, and its processor has gone. */
void worker_died(struct worker *worker);
struct worker *workers_all(void);
unsigned workers_count(void);
void workers_forget(void);

/* procs.c: the set of processors */
struct proc *proc_at(unsigned index);
unsigned procs_count(void);
/* Set their number.  The surplus retires itself; for more, procs_start_missing() follows at depth 0.  0 or ENOMEM. */
int procs_set(unsigned count);
/* Give workers to processors that have none. */
int procs_start_missing(void);
/* The same, and start what only a process with several threads needs.  0, EAGAIN, ENOMEM. */
int procs_complete(void);
extern _Atomic bool procs_missing;
/* By its worker: the processor leaves service, unless it has been wanted again meanwhile. */
void proc_retire(struct worker *worker);
void procs_fork_reset(void);

/* timer.c: deadlines of parked threads. */
void timer_add(struct proc *proc, struct thread *thread);
void timer_cancel(struct thread *thread);
/* Claim those whose time has come, at most so many and the first first, and append them to `woken`. */
void timers_expire(struct proc *proc, uint64_t now, unsigned most, struct run_list *woken);
/* The same when nobody runs who could be displaced: to the ring, where other processors see them. */
void timers_fire(struct proc *proc);
void timers_move(struct proc *from, struct proc *to);

/* monitor.c, spares.c: a kernel thread of ours, all signals blocked.  0, EAGAIN, ENOMEM. */
int service_start(void *(*run)(void *));
/* The calling kernel thread's sleeps end on time, and it runs soon after it could. */
void kernel_thread_prompt(void);

/* slice.c */
enum { SLICE_MIN_US = 100, SLICE_MAX_US = 10000000 };
/* The thread's slice, in ns. */
uint64_t slice_ns(const struct thread *thread);
/* Is that over which runs there?  A tick that comes a little sooner will do: else there would be another for the rest. */
static inline bool slice_ended(const struct proc *proc, uint64_t now)
{
    return now + SLICE_MIN_US * NS_PER_US / 2 >= proc->slice_end;
}
/* Somebody waits: watch the slice of the thread that runs. */
void slice_watch(struct proc *proc, const struct thread *runs);
/* The processor begins to run threads at `now`. */
void slice_begin(struct proc *proc, const struct thread *thread, uint64_t now);
/* A tick has come, at depth 1: who runs now? */
void slice_judge(struct thread *self);
/* The thread has run on the processor until `now`. */
void use_charge(struct proc *proc, struct thread *thread, uint64_t now);
/* A tick for the first of those who sleep. */
void deadline_need(struct proc *proc);
bool somebody_waits(const struct proc *proc);
/* A thread is about to run: its slice is watched if others wait.  A tick from here on is noted, and judged by it. */
void ticks_prepare(struct proc *proc, const struct thread *next);
/* The monitor runs: from here on ticks may come from a clock.  At depth 0. */
void ticks_restart(void);

/* preempt.c */
int preempt_init(void);
void preempt_stop(void);
void tick_unblock(struct worker *worker);
/* A stack pointer within a stack of the thread's, as far as that is known. */
bool on_own_stack(const struct thread *self, uintptr_t sp);
/* A stack pointer within the worker's alternate signal stack. */
bool on_worker_altstack(const struct worker *worker, uintptr_t sp);

/* foreign.c */
struct foreign;
struct thread *foreign_adopt(void);
enum wake foreign_park(struct thread *self, struct lock *lock, enum lock_rank rank);
void foreign_ready(struct thread *thread);
void foreign_exit(void *result) __attribute__((noreturn));

void foreign_init(void);
/* In the child of a fork, by its only thread. */
void foreign_fork_reset(struct thread *survivor);
/* A bound thread that has ended, when nobody can name it any more.  Takes no lock. */
void foreign_give(struct thread *thread);

/* bound.c: green_create() of a bound thread, the arguments known to be valid. */
int bound_create(green_t *id, const green_attr_t *attr, void *(*start)(void *), void *arg);
/*
 * One that has ended is about to be released, by its joiner or detacher, at depth 1, alone with it: see to it that its
 * kernel thread leaves a stack of the program's, and wait for that if the program may use the stack from here on.
 */
void bound_part(struct thread *self, struct thread *ended, bool wait);

/* join_timed.c: in the child of a fork */
void join_timed_fork_reset(void);

/* lifecycle.c */
uint64_t threads_created(void);
uint64_t threads_live(void);
void threads_fork_reset(struct thread *survivor);
/* By its creator, at depth > 0: count a thread that is to start, and take that back when it did not. */
void thread_created(const struct thread *creator);
void thread_not_created(void);
/* By a bound thread that ends: count that; when it was the last thread, end the process. */
void thread_exits(struct thread *self);
/* What every new thread is given: name, start, id. */
void thread_init(struct thread *thread, const green_attr_t *attr, void *(*start)(void *), void *arg);
/* The thread has ended and nobody stands on it: tell its joiner, or release it, which is what true says. */
bool life_announce(struct thread *thread);
/* A thread of the library's own has been made, which does not keep the process alive. */
void thread_is_service(void);
/* Give a structure a new life: a new id, joinable or detached. */
void life_begin(struct thread *thread, bool detached);
/* The calling thread's stack is unwound, or was left by return: run destructors, and end. */
void thread_finish(void *result) __attribute__((noreturn));
/* Nobody can name it any more. */
void life_end(struct thread *thread);

#endif
