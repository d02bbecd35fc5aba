/*
 * Threads, processors and workers: what they are and who may touch what.
 *
 * A thread's state says where it is and who owns its stack:
 *
 *   state     on which queue                          stack, context and plain fields belong to   leaves it by
 *   FREE      a bucket or the pool                    whoever holds it                            green_create
 *   READY     one run queue                           nobody; context is complete                 dispatch
 *   RUNNING   none                                    its worker                                  yield, park, exit, tick
 *   PARKED    at most one wait queue and one heap     nobody; context is complete                 ready()
 *   EXITED    none                                    nobody; the result waits for its joiner     join, detach
 *   LOST      none: it ran elsewhere at a fork, or    nobody, in this process                     never
 *             its kernel thread ended under it
 *
 * A foreign or bound thread keeps its stack in every state: it is RUNNING from its creation on and PARKED while it
 * sleeps on its futex.
 *
 * The state is for people and assertions; the scheduler goes by the queues.  A thread that has given its processor up
 * but still stands on its stack is in nobody's reach: what makes it reachable (its place on a queue, its wait queue's
 * lock) is handed to the thread that runs next, which does it once the stack is left: `worker->after`.  This is
 * Linux's finish_task_switch; marking the thread and letting others spin until it is off its stack was rejected,
 * since a preempted spinner costs a slice.
 *
 * depth counts the reasons why its thread must not be preempted: the runtime itself, and the program's critical
 * sections.  Plain, written by its thread alone; a signal handler on the same kernel thread reads it.
 */
#ifndef THREAD_H
#define THREAD_H

#include <stdatomic.h>
#include <stddef.h>

#include <signal.h>
#include <unwind.h>

#include <green.h>
#include <green/policy.h>

#include "base/base.h"
#include "base/deadlines.h"
#include "base/lock.h"
#include "mem/stack.h"

enum thread_state { THREAD_FREE, THREAD_READY, THREAD_RUNNING, THREAD_PARKED, THREAD_EXITED, THREAD_LOST };

enum thread_kind {
    THREAD_MULTIPLEXED, /* runs on processors */
    THREAD_FOREIGN,     /* a kernel thread of its own: the program's, or a bound thread's; parks in the kernel */
    THREAD_WORKER       /* a worker's own context; at depth 1 for ever */
};

/*
 * How a wait ended, or that it has not.  A foreign thread whose wait has ended stays where it is until it is told to
 * go: its waker is not done with the queue, nor with what it grants.
 */
enum wake { WAKE_NONE, WAKE_WAITING, WAKE_READY, WAKE_TIMEOUT, WAKE_SIGNAL, WAKE_GO };

/* Who takes a parked thread: see park_claim(). */
enum claim { CLAIM_NONE, CLAIM_ASKED, CLAIM_WAKER, CLAIM_SIGNAL };

/* Why a dispatch of the thread is not as most. */
enum special { SPECIAL_SLICE = 1, SPECIAL_SIGNAL = 2, SPECIAL_CANCEL = 4 };

/* How far the end of a thread has come; from the first on it cannot be cancelled.  See unwind.c. */
enum ending { ENDING_NOT, ENDING_UNWINDS, ENDING_DESTROYS };

/* Whose stack a thread is on. */
enum borrowed { STACK_OWN, STACK_PROGRAM, STACK_ALONE };

enum { NAME_BYTES = 16, RING = 256, PROCS_MAX = 1024, HELD_SIGNALS = 16 };

/*
 * What a switch touches is at the beginning of a thread; in a worker and a processor it begins here.  Of a load and an
 * earlier store at the same place of two pages the CPU believes at first that they are about the same memory, and the load
 * waits.  Threads begin at multiples of 256 bytes and both others with a page, so their halves of 256 bytes never meet:
 * 9.6 ns for every yield, not 9.7 to 10.6 depending on where in the table the threads are.
 */
#define SECOND_HALF __attribute__((aligned(128)))

struct proc;
struct worker;
struct signal_node;
struct signal_frame;

/* Whether a worker holds its processor; see hold.c.  Foreign kernel threads, which have none to lose, are OWNED. */
enum hold { HOLD_OWNED, HOLD_REVOKING, HOLD_REVOKED, HOLD_NONE };

struct thread {
    struct arch_context context CACHE_ALIGNED; /* complete while nobody runs it */
    struct worker *worker;       /* set by the dispatcher before the switch, as is proc */
    int depth;                   /* own */
    int sections;                /* own: of it, the program's critical sections */
    bool in_tick;                /* own: stands in the tick's handler */
    bool blocking;               /* own: between green_blocking_enter() and leave() */
    bool fresh_block;            /* own: has never run on its TLS block */
    bool unborn;                 /* has not started; of whoever holds it, then own */
    uint8_t kind;
    bool bound;                  /* foreign, but made by green_create() */
    uint8_t borrowed;            /* enum borrowed; constant in a life */
    uint8_t park_rank;           /* own: of the lock it parks under */
    uint8_t class;               /* of its stack, constant */
    _Atomic uint8_t state;
    _Atomic bool cancellable;    /* own; others look: it is in a call that a cancellation ends */
    uint8_t ending;              /* own: enum ending */
    _Atomic bool postpones;      /* own; others look: the asynchronous cancellation, see cancel.h */

    struct proc *proc;           /* its worker's while it runs: a load less on the way to the next thread */
    _Atomic uint32_t special;    /* enum special, ored */
    uint32_t line_place;         /* it comes before what the ring holds from there on; guarded as unborn_at */
    struct thread *next;         /* link of a run queue, a bucket or the pool */
    struct thread *prev;         /* in a processor's list of unborn ones; guarded by its lock, as is the next */
    struct proc *_Atomic unborn_at; /* whose list that is; NULL: it is on none */

    /* Waiting; guarded by the lock of the wait queue it is on. */
    struct thread *wait_next;
    struct thread *wait_prev;
    bool wait_queued;

    /* All that an expiry looks at, on a cache line. */
    _Atomic uint32_t wake;       /* enum wake; leaves WAITING by park_claim() */
    _Atomic uint32_t claim;      /* enum claim; back to NONE by the thread itself, at its next wait */
    uint64_t deadline;           /* ns, or NEVER */
    struct heap_node timer;      /* guarded by the lock of the heap it is on, as is the next */
    struct proc *_Atomic timer_proc; /* whose heap; NULL: on none */

    /* Waiting, the rest. */
    bool handoff;                /* it has lost once what it waited for: hand it over */
    bool granted;                /* it was handed over */
    bool woken;                  /* own: the mutex that it waits for counts on it, see mutex.c */
    unsigned passes;             /* own: unlocks of mutexes for which another was on its way */
    bool wait_writes;            /* it waits for a read-write lock to write */
    uint64_t lost_ns;            /* with handoff: since when */
    green_mutex_t *relocks;      /* in a condition's wait: the mutex that it locks then, unless it has got it already */
    unsigned read_locks;         /* own: read-write locks that it holds to read */
    green_mutex_t *robust;       /* own: the robust mutexes that it holds; see robust.c */

    /* Life. */
    _Atomic uint64_t life;       /* generation << 32 | LIFE_*, or the joiner's index */
    _Atomic uint64_t cancel;     /* generation << 32 | enum cancel: cancel.h */
    uint32_t index;              /* in the table, constant */
    void *(*start)(void *);
    void *arg;
    void *result;
    green_t join_id;             /* own: whom it joins */
    int join_error;              /* own: why it did not become a joiner */

    /* Scheduling. */
    _Atomic uint32_t slice_us;   /* 0: the program's */
    uint64_t used_ns;            /* of its worker, as are the next two; see slice.c */
    uint64_t used_epoch;
    uint64_t cpu_ns;             /* guarded by the lock of the account of the worker it last ran on: see cpu_time.c */
    uint64_t woken_ns;           /* when it last displaced another */
    bool displaced;              /* on `woken` to continue its slice, not because its deadline came */

    /* Memory, constant in a life. */
    struct stack stack;
    void *stack_top;
    struct stack own_stack;      /* while it is on another: see borrow.c */
    unsigned stack_note;         /* Valgrind's, likewise */

    struct once_frame *once;     /* own: the green_once() calls it is in */
    struct __green_cleanup *cleanups; /* own: its cleanup handlers, the last one pushed first */
    struct _Unwind_Exception unwinding; /* own: it outlives the frames that it unwinds */

    /* Signals; see signal/signal.h.  One bit for each, the lowest for signal 1. */
    _Atomic uint64_t sigmask;    /* own; others look */
    _Atomic uint64_t sigpending; /* directed at it; written under the signal lock, as is the next */
    struct signal_node *siginfos; /* of those pending, lowest number first */
    uint64_t sigwaits;           /* guarded by the signal lock, as are the next two: what sigwait() waits for */
    siginfo_t *siginfo;          /* where that is put */
    struct thread *next_waiter;  /* of those in sigwait(), or in sigsuspend() */
    struct signal_frame *frames; /* own: the handlers it is in, innermost first */
    unsigned handled;            /* own: since it was last cleared, enum handled */
    stack_t altstack;            /* own: what green_sigaltstack() set */
    uint32_t random;             /* own: of green_select(); 0: not begun */
    char name[NAME_BYTES];       /* guarded by the table's lock */

    /* For a policy other than the default; guarded by its lock, the last three by inherit.c's, as is how. */
    struct green_task task;
    struct heap_node task_node;  /* policy_fair.c's */
    uint64_t slice_left;         /* ns: it was displaced with so much left; 0: its next slice is a new one */
    bool queued;                 /* the policy keeps it */
    unsigned weight;             /* 0: the default */
    int effective;               /* its priority with what it was lent; task has both as the policy knows them */
    _Atomic int how;             /* SCHED_OTHER, SCHED_RR or SCHED_FIFO */
    int priority;                /* its own */
    void *waits_for;             /* green_mutex_t */
    void *lends;                 /* the first green_mutex_t that it holds and others wait for */
};

/* The low half of life when it is no index, and a bit beside that of a joiner with a deadline. */
enum { LIFE_JOINABLE = 0xffffffffU, LIFE_DETACHED = 0xfffffffeU, LIFE_EXITED = 0xfffffffdU, LIFE_FREE = 0xfffffffcU,
       LIFE_JOINED = 0xfffffffbU, LIFE_TIMED = 0x80000000U };

/* What the arriving side does for the thread that has left. */
typedef void after_fn(struct thread *left, void *arg);

struct run_list {
    struct thread *head;
    struct thread *tail;
};

/* The right to run green threads. */
struct proc {
    /* Counters, written by the owner. */
    struct {
        _Atomic uint64_t elected; /* dispatches by a tick that dispatches_of() does not see */
        _Atomic uint64_t preemptions, wakeup_preemptions, steals, idles, created, exited;
    } count;

    /* The ring: its owner pushes at the tail, everybody takes from the head. */
    _Atomic uint32_t head SECOND_HALF;
    _Atomic uint32_t tail CACHE_ALIGNED;
    _Atomic uint32_t until_global;  /* dispatches until the global queue is looked at first; written by the owner */
    _Atomic bool attention;         /* the next dispatch is a special one: see choose_specially() */
    bool slice_passed_on;           /* owner's: the slice began with runnext at the end of another */
    bool slice_unknown;             /* owner's: a slice began since the last look at the clock */
    struct thread *_Atomic runnext; /* readied last by the running thread: runs next, within the same slice */
    struct thread *_Atomic unborn_first; /* the head of `unborn`; written under its lock */
    _Atomic uint64_t rounds;        /* how often until_global came to 0; written by the owner */
    struct thread *_Atomic ring[RING];

    /* Threads that have not started stand in line here, oldest first. */
    struct lock unborn_lock CACHE_ALIGNED; /* taken only when sched_shared */
    struct run_list unborn;      /* guarded by unborn_lock, as is the next */
    unsigned unborn_count;

    /* Owner only. */
    /* Ahead of everybody: their deadlines came, or they waited behind such in the global queue; then whom they displaced. */
    struct run_list woken CACHE_ALIGNED;
    bool more_woken;             /* there were more than it takes */
    uint64_t slice_end;          /* ns */
    uint64_t accounted;          /* ns: up to here its time has been charged */
    unsigned quiet_ticks;        /* in a row with nobody waiting */
    bool taken;                  /* from a worker that is blocked; until another has prepared its ticks */
    unsigned slices_ended;
    uint32_t random;
    struct thread *bucket;       /* released threads of the default class */
    unsigned bucket_count;

    struct worker *_Atomic worker; /* who holds it */
    _Atomic bool ticking;        /* the slice is being watched */
    unsigned index;              /* constant */
    _Atomic bool retired;        /* guarded by the control lock; its worker sees it in dispatch */
    _Atomic bool returned;       /* a thread that was blocked here waits first in the global queue */
    _Atomic bool promised;       /* a worker is being made for it; set under the control lock */
    bool idle;                   /* guarded by the sched lock: on the idle list */
    struct proc *next_idle;      /* guarded by the sched lock */

    struct lock timers_lock;
    struct deadlines timers;     /* guarded by timers_lock */
    _Atomic uint64_t first_deadline; /* of timers, or earlier; written under timers_lock */
    _Atomic uint64_t deadlines_from; /* ns: no tick for a deadline sooner; written by the owner, see timer.c */
    uint64_t deadlines_served;   /* ns: when that was last; of the owner */

    /* A policy's. */
    struct thread *_Atomic running; /* whom the policy chose, or NULL; written under its lock, as is the next */
    _Atomic uint8_t displace;    /* enum displace: somebody else ought to run here */
    bool slice_short;            /* owner's: its slice ends sooner than most, and no tick is set for that yet */
};

/* A kernel thread that runs green threads. */
struct worker {
    struct thread own;           /* its own context */
    sigset_t mask_before;        /* of a kernel thread whose `held` was full */
    struct thread *left SECOND_HALF; /* whom the arriving side serves */
    after_fn *after;
    void *after_arg;
    struct proc *proc;           /* that it holds, or NULL */
    _Atomic uint32_t hold;       /* enum hold */
    struct thread *_Atomic current; /* whom it runs; written by itself before the switch, as is the next */
    _Atomic uint64_t switches;
    bool tick_blocked;           /* the kernel blocks the tick's signal here */
    volatile bool tick_pending;  /* a tick came at depth > 0 */
    volatile unsigned held_first, held_end; /* signals that came at depth > 0, until somebody leaves the runtime */
    green_sem_t *_Atomic posts;  /* posted at depth > 0; linked, the last first; see sem.c */
    siginfo_t held[HELD_SIGNALS];
    bool own_safe;               /* its own context holds no lock: the program's handlers may run on it */
    bool tells;                  /* its own context is in an observer of the program's, and holds no lock */
    bool spinning;               /* counted as looking for work */
    int tid;
    struct {
        struct lock lock;
        struct thread *of;
        uint64_t mark;           /* ns */
    } account;                   /* of CPU time: see cpu_time.c */
    void *kernel_tls;            /* the TLS block that libc and the kernel take for this kernel thread's */
    timer_t timer;               /* tick.c's, as are the next */
    _Atomic uint64_t tick_deadline;
    uint64_t armed;              /* ns: when the timer was asked to tick, or NEVER; by the holder, or under the sched lock */
    int clock_fd;                /* a perf event that ticks while user code runs; -1: none here */
    _Atomic bool sent;           /* a tick by tick_send(), which has not come */
    _Atomic uint32_t clock_kicked; /* ns, by others: its period, and it ticks, whatever the next three say; or 0 */
    bool clock_on, clock_ticked; /* guarded as armed is: it ticks; it has since its period was chosen */
    bool clock_aimed;            /* it was last set for a deadline */
    uint64_t clock_deadline;     /* ns: which that was, until a tick has come; or NEVER */
    uint64_t clock_period, clock_expires; /* ns; about when it ticks next */
    uint64_t clock_lag;          /* ns */
    bool returns;                /* without such: the monitor looks for its return; guarded by the sched lock */
    const void *ring;            /* block.c's, as are the next: the kernel's records of its switches, or NULL */
    void *ring_place;            /* where such are mapped; stays readable for ever */
    int stat_fd;
    struct thread *_Atomic stuck; /* stuck.c's */
    _Atomic uint64_t blocked_since;
    uint64_t blocked_switches; /* as the monitor saw it in /proc */
    uint64_t ticks_seen, used_seen, used_last, used_at, round_seen, kicked_at; /* the monitor's */
    stack_t altstack;
    bool altstack_made;          /* by us */
    bool listed;                 /* among all workers */
    bool adopted;                /* its kernel thread is the program's: it does not end before that */
    _Atomic bool ending;         /* taken off the spares to end */
    uint64_t spare_since;        /* ns; guarded by the sched lock */
    struct worker *next_ended;
    _Atomic uint32_t wake;       /* futex: 1 when told to go on */
    _Atomic uint32_t answers;    /* futex: counts the kernel threads that have begun, or could not */
    struct worker *next;         /* of all workers, or of the spares; guarded by the sched lock */
    struct worker *next_spare;
    uint32_t held_ranks;         /* debug builds: locks it holds */
    struct {
        _Atomic uint64_t ticks, deferred;
    } count;                     /* counters, written by itself */
    uint64_t cpu_seen;           /* ns: its CPU time when a policy was last told; by itself */
};

_Static_assert(sizeof(struct thread) % 256 == 0 && offsetof(struct thread, special) < 128 &&
                   offsetof(struct worker, left) % 256 == 128 && offsetof(struct worker, tick_pending) % 256 > 128 &&
                   offsetof(struct proc, head) % 256 == 128 && offsetof(struct proc, unborn_first) % 256 > 128,
               "what a switch touches is apart: SECOND_HALF");

/* The calling thread; NULL on a kernel thread that has not called yet.  Constant for the life of a TLS block. */
extern __thread struct thread *self_thread __attribute__((tls_model("initial-exec")));

/* Add to a counter that only its owner writes. */
static inline __attribute__((always_inline)) void count_up(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline green_t thread_id(const struct thread *thread)
{
    return (atomic_load_explicit(&thread->life, memory_order_relaxed) & ~UINT64_C(0xffffffff)) | (thread->index + 1);
}

#endif
