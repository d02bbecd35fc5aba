/*
 * Scheduler activations: be told what becomes of threads and processors.
 *
 * How to use it.  green_activation_register() names a function and the events it is for; from then on it is called
 * with arrays of them, as they come.  A program that schedules work of its own over the library's threads (how many
 * may start, which one to prefer) learns so that one of them is blocked in the kernel, in a call that nobody wrapped,
 * and that it is back.
 *
 * Observers are called on a worker's own stack, between two threads: not on a thread.  Calls never overlap, whatever
 * worker makes them, and the events are in order, each observer's from one call to the next.  A worker that has
 * something to tell does so before it runs the next thread; when another worker is at it, that one tells this, too.
 *
 * What an observer may do.  It holds up a processor, and it is never preempted, nor is its processor taken when it
 * blocks.  So it must be short, must not block, and must not take a lock, as malloc and stdio do: the lock's holder may
 * wait for this very processor.  It may use what is async-signal-safe in libc, atomic operations, green_sem_post(),
 * green_cond_signal(), green_cond_broadcast(), green_stats() and green_activation_register(); nothing else of this
 * library, green_self() included, as no thread calls.  It must not leave by longjmp() or an exception.  32 KiB of stack
 * are there for it.  For more, let it post a semaphore that a thread of yours waits on.
 *
 * (Anderson et al., Scheduler Activations, SOSP 1991.)
 */
#ifndef GREEN_ACTIVATION_H
#define GREEN_ACTIVATION_H

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One bit for each. */
enum green_activation_kind {
    GREEN_ACTIVATION_BLOCKED = 1,   /* the thread is blocked in the kernel, and its processor has gone to another worker */
    GREEN_ACTIVATION_UNBLOCKED = 2, /* it is back, and runs on an idle processor or waits for one */
    GREEN_ACTIVATION_PREEMPTED = 4, /* a tick has taken it off its processor; it waits to go on */
    GREEN_ACTIVATION_ADDED = 8,     /* the processor has gone into service, and has a worker */
    GREEN_ACTIVATION_REMOVED = 16,  /* it has left service: see green_setconcurrency() */
    GREEN_ACTIVATION_ALL = 31,
    GREEN_ACTIVATION_LOST = 32      /* `count` events that followed the last one were not kept: too many came at a time */
};

enum { GREEN_ACTIVATION_OBSERVERS = 8, /* at most, registered at a time */
       GREEN_ACTIVATION_KEPT = 256,    /* events that wait for a call at most; those beyond are counted */
       GREEN_ACTIVATION_BULK = 64 };   /* events in one call at most */

struct green_activation_event {
    uint64_t time_ns; /* when it was noticed (CLOCK_MONOTONIC) */
    green_t thread;   /* 0: it is about a processor */
    uint64_t count;   /* of LOST; else 1 */
    uint32_t kind;    /* enum green_activation_kind */
    int32_t proc;     /* BLOCKED, PREEMPTED: that it was on.  UNBLOCKED: that it runs on; -1: it waits.  LOST: -1 */
};

/* `count` is at least 1; the events are the caller's again when the function returns. */
typedef void green_activation_fn(const struct green_activation_event *events, size_t count, void *arg);

/* A registration.  One that is over is never used again. */
typedef uint64_t green_activation_t;

/*
 * Call `call` with arg for the kinds of event in `kinds`, ored, that happen from here on.  LOST comes unasked, and may
 * stand for events of other kinds.  While nobody is registered for a kind, an event costs one load.
 *
 * A processor that has nothing to do is still in service.  A thread that blocks is noticed only when somebody waits
 * for its processor, as it is only then that it loses it; one whose kernel thread has ended without a word is BLOCKED
 * for ever.  Bound threads and kernel threads of the program's are not observed.  The child of a fork has no observers.
 * Does not block.  Signal handler: no.
 *   EINVAL  no place for the registration, no function, no kind, or one that is unknown
 *   EAGAIN  GREEN_ACTIVATION_OBSERVERS are registered
 *   ENOMEM  a first call on this kernel thread, and no memory to take it in
 */
GREEN_API int green_activation_register(green_activation_t *registration, unsigned kinds, green_activation_fn *call,
                                        void *arg);

/*
 * End a registration, and wait for a call that is under way: after this none is, and none comes, so what `arg` points
 * to may go.  Blocks in the kernel for as long as that call takes.  Not a cancellation point.  Signal handler: no.
 *   ESRCH    there is no such registration
 *   EDEADLK  an observer calls
 *   ENOMEM   as green_activation_register()
 */
GREEN_API int green_activation_unregister(green_activation_t registration);

/* Returns how many events were counted as LOST since the start of the process.  Does not block.  Signal handler: yes. */
GREEN_API uint64_t green_activation_lost(void);

#ifdef __cplusplus
}
#endif

#endif
