/*
 * Scheduling: start the library with settings of your own, hold preemption off, look at the counters.
 *
 * Everything here has a default that suits most programs; a program that only includes <green.h> never needs this
 * page.
 */
#ifndef GREEN_SCHED_H
#define GREEN_SCHED_H

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A switch that has a default: on and off are said, unset is not. */
enum green_switch { GREEN_DEFAULT = 0, GREEN_ON = 1, GREEN_OFF = 2 };

/* Where ticks come from. */
enum green_tick {
    GREEN_TICK_DEFAULT = 0,
    GREEN_TICK_TIMER = 1,  /* timer_create() for each worker: exact, no extra kernel thread */
    GREEN_TICK_MONITOR = 2, /* one kernel thread signals the workers in turn: cheaper, but later by its own wake-up */
    GREEN_TICK_PERF = 3    /* a perf event for each worker, which ticks in the program's code alone: no call is ever
                              interrupted (EINTR).  The timer where perf is refused */
};

/*
 * The monitor, a kernel thread that gives the processor of a thread that is blocked in the kernel to another worker.
 * Without it, and with one processor, the process has one kernel thread, and a page fault or a blocking call stops
 * everybody until the next tick at least.
 */
enum green_monitor {
    GREEN_MONITOR_DEFAULT = 0,
    GREEN_MONITOR_ON = 1,   /* by perf where that is allowed, else by the state in /proc */
    GREEN_MONITOR_OFF = 2,
    GREEN_MONITOR_PERF = 3, /* as on */
    GREEN_MONITOR_STAT = 4  /* by the state in /proc alone */
};

struct green_policy; /* of <green/policy.h> */

/*
 * Settings.  A field that is 0 takes its environment variable, and where there is none, the default.  Set the whole
 * structure to zero first, so that fields of later versions keep their defaults.
 */
struct green_config {
    unsigned procs;            /* GREEN_PROCS: processors, 1 to 1,024; the CPUs it may use, cgroup quota included */
    unsigned slice_us;         /* GREEN_SLICE_US: slice in microseconds, 100 to 10,000,000; 10,000 */
    enum green_switch preempt; /* GREEN_PREEMPT: 1 or 0; off is a cooperative scheduler; on */
    enum green_tick tick;      /* GREEN_TICK: timer, monitor, perf or auto (the default: perf where it is allowed and
                                  the monitor is on, else timer) */
    int signal;                /* GREEN_SIGNAL: the tick's signal, by number; SIGALRM.  From SIGRTMIN on: no perf ticks */
    size_t stack_bytes;        /* GREEN_STACK: a thread's stack in bytes, 16,384 to 1 GiB; 262,144 */
    enum green_monitor monitor; /* GREEN_MONITOR: on, off, perf or stat; on.  It needs preempt to be on */
    unsigned max_workers;      /* GREEN_MAX_WORKERS: kernel threads that run green threads at most; 10,000 */
    const struct green_policy *policy; /* GREEN_POLICY: rr, priority or fair; rr.  See <green/policy.h> */
    uint64_t reserved[6];
};

/*
 * Start the library: optional, once, before any other call.  `config` may be NULL.  The calling thread becomes a green
 * thread, on the stack and the thread-local storage it has.  When another call is the first, a setting that is not
 * acceptable ends the program with the line that says which; and short of memory, threads or timers that call fails
 * with ENOMEM, and the next tries again.  Does not block.  Signal handler: no.
 *   EBUSY   it runs already
 *   EINVAL  a setting or an environment variable that is not acceptable; one line on standard error says which
 *   EAGAIN, ENOMEM  no kernel thread, timer or memory
 */
GREEN_API int green_init(const struct green_config *config);

/*
 * A critical section: the tick is noted and taken when the outermost one is left.  Sections nest.  The caller stays
 * on its processor unless it blocks.  Keep it short, and do not call malloc, stdio or green_create() inside, nor what
 * blocks in the kernel: a lock of libc's may be held by a thread that waits for this very processor.  Do not block.
 * Signal handler: yes.
 */
GREEN_API void green_critical_enter(void);
GREEN_API void green_critical_leave(void);

/*
 * The code between the two is about to block in the kernel: when somebody waits for the processor, it goes to another
 * worker at once, not when the monitor has noticed.  Any other call of this library in between ends the section.
 * Sections do not nest, and are not for critical sections; debug builds stop at either.  Leaving blocks: it waits for a
 * processor.  Signal handler: no.
 */
GREEN_API void green_blocking_enter(void);
GREEN_API void green_blocking_leave(void);

/* Take a tick that was noted, if one was and no critical section is open.  Does not block.  Signal handler: yes. */
GREEN_API void green_safepoint(void);

/*
 * A thread's own slice in microseconds, 100 to 10,000,000; 0 is the program's, in both calls.  Holds from its next
 * slice.  Neither blocks.  Signal handler: no.
 *   ESRCH   no such thread, or no longer
 *   EINVAL  no such slice; a null pointer
 */
GREEN_API int green_setslice_np(green_t thread, unsigned slice_us);
GREEN_API int green_getslice_np(green_t thread, unsigned *slice_us);

/*
 * Bring the pages of a range in, whole pages from the first byte's to the last byte's, without holding up this
 * processor: when some are missing, a kernel thread of the library's waits for them while the calling thread is
 * parked.  An access then does not wait for a disk, a network or a userfaultfd, unless the kernel has evicted the
 * page meanwhile: then it is a page fault as any other (mlock() prevents that).  Private writable anonymous memory is
 * allocated, as if written to; everything else is brought in as if read, and a private mapping of a file is copied
 * only when written to.
 *
 * 0 bytes are always in.  Never raises SIGSEGV or SIGBUS.  After an error some pages may have been brought in.  Up to 16
 * such kernel threads are created on demand, whatever GREEN_MONITOR says, and end when idle for a second; further
 * callers wait for one.  Where the kernel refuses to create the first, the caller's processor waits after all.  On a
 * kernel thread of the program's own that thread waits.  (Modelled on mlock() and MADV_POPULATE_READ.)  Blocks, unless
 * nothing is missing.  Not a cancellation point.  Signal handler: no.
 *   ENOMEM  some of the range is not mapped; or there is no memory, for the pages or for the request
 *   EFAULT  some of it cannot be read: PROT_NONE, a guard, beyond its file's end, an I/O error, or memory of a
 *           userfaultfd for user-mode faults alone
 */
GREEN_API int green_prefault(const void *addr, size_t bytes);

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the structure's name is the function's, as stat's is */
#endif

/*
 * Counters since the start, summed over processors without stopping them: each is exact, but not all of the same
 * instant.
 */
struct green_stats {
    uint64_t switches;         /* times that a next thread was looked for */
    uint64_t preemptions;      /* of these, by a tick */
    uint64_t wakeup_preemptions; /* of these, for a thread whose deadline had come */
    uint64_t ticks;            /* tick signals handled */
    uint64_t ticks_deferred;   /* of these, noted in a critical section or in the library itself */
    uint64_t steals;           /* threads taken from another processor's queue */
    uint64_t idles;            /* times a processor went to sleep */
    uint64_t threads_created;
    uint64_t threads_live;     /* now, the main thread included, foreign ones not */
    uint64_t stacks_mapped;    /* stacks in use or kept for reuse, now */
    uint64_t workers;          /* kernel threads that run green threads, now */
    uint64_t procs;            /* processors, now */
    uint64_t retakes;          /* processors taken from workers that were blocked in the kernel */
    uint64_t stacks_trimmed;   /* times that an unused stack's pages went back to the system */
    uint64_t retakes_cancelled; /* given up at the last moment: the thread came back */
    uint64_t returns_idle;     /* threads that came back without a processor and took an idle one */
    uint64_t returns_queued;   /* threads that came back without one and had to stand in line */
    uint64_t procs_idle;       /* of procs, now: with nothing to do, or not started yet */
    uint64_t procs_running;    /* of procs, now */
    uint64_t procs_blocked;    /* of procs, now: with a thread that is blocked in the kernel; as far as the monitor sees */
    uint64_t procs_retired;    /* made once and out of service, now: see green_setconcurrency() */
    uint64_t workers_blocked;  /* of workers, now: their processor went to another */
    uint64_t workers_spare;    /* of workers, now: waiting for a processor */
    uint64_t signals_here;     /* signals taken by the thread that they interrupted, or that sent them to itself */
    uint64_t signals_woken;    /* for which a ready or parked thread was made to run its handler */
    uint64_t signals_directed; /* for which a thread on another worker was interrupted */
    uint64_t signals_held;     /* kept for the process, as nobody was open */
    uint64_t signals_handled;  /* handlers started */
    uint64_t signals_waited;   /* taken by green_sigwait and its kin */
    uint64_t signals_coalesced; /* not sent, as one of the number was pending */
    uint64_t signals_discarded; /* ignored, or pending for a thread that has ended */
    uint64_t signals_pending;  /* now, but for those that the kernel keeps */
    uint64_t signals_returned; /* given back to the kernel, which keeps them for a signalfd as nobody is open */
    uint64_t calls_interrupted; /* ticks sent into blocking calls as there was no spare worker; each may be an EINTR */
    uint64_t reserved[6];
};

/*
 * Read the counters; all are 0 before the library runs.  Does not block.  Signal handler: yes, once the library runs.
 */
GREEN_API void green_stats(struct green_stats *stats);

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/*
 * What was chosen at the start: how a thread's thread-local storage is made ("allocate" or "donor"), how blocked workers
 * are seen ("perf", "stat" or "off"), and where the ticks of slices come from ("timer", "monitor", "perf" or "off").
 * Each returns a constant string.  None blocks.  Signal handler: yes, once the library runs.
 */
GREEN_API const char *green_tls_provider(void);
GREEN_API const char *green_monitor_source(void);
GREEN_API const char *green_tick_source(void);

#ifdef __cplusplus
}
#endif

#endif
