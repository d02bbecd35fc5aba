/*
 * What the core must know of signals, done by src/signal/.
 *
 * A signal of the program's reaches a thread in two steps.  Whoever learns of it (the kernel's handler, green_kill)
 * records it, chooses a thread and makes that one pass a safe point: SPECIAL_SIGNAL is set, and a parked thread is
 * woken, a ready one sees the mark when it is dispatched, a running one is sent a signal.  At the safe point, the way
 * out of the runtime or of the tick's handler, the thread runs its handlers itself, on its own stack, at depth 0.
 */
#ifndef SIGNALS_H
#define SIGNALS_H

#include <stdbool.h>
#include <ucontext.h>

#include "core/thread.h"

/* What a thread did for signals meanwhile: whether a wait goes on. */
enum handled { HANDLED_NONE = 0, HANDLED_RESTART = 1, HANDLED_INTERRUPT = 2 };

static inline bool signal_marked(const struct thread *thread)
{
    return atomic_load_explicit(&thread->special, memory_order_relaxed) & SPECIAL_SIGNAL;
}

/* Signals have come that nobody has routed yet, or semaphores were posted by a handler that interrupted the runtime. */
static inline bool signal_held(const struct worker *worker)
{
    return worker->held_first != worker->held_end || atomic_load_explicit(&worker->posts, memory_order_relaxed);
}

/* Make the tick's handler ours, keeping what the program had as the table's.  0 or an error. */
int signals_init(const struct sigaction *tick_action);

/* libc's sigaction: what the kernel does, not what the table says.  Do as the default action does. */
int signal_kernel_action(int signal, const struct sigaction *action, struct sigaction *before);
void signal_default(int signal);

/* The library runs: what was asked of signals before.  At depth 0; 0 or an error. */
int signals_start(void);

/*
 * Numbers that kernel threads of ours block, for signalfd(), and that a handler of ours puts into its frame: see
 * signal/signalfd.c.
 */
extern _Atomic uint64_t signal_kept;
void signal_frame_close(ucontext_t *frame);

/* The kernel's handler for a signal that is no tick. */
void signal_from_kernel(int signal, siginfo_t *info, void *ucontext);

/* Route what was held on the worker, and deliver what was posted.  At depth > 0, with no lock held. */
void signal_route_held(struct worker *worker);

/* Run the handlers that are due, at depth 0; in a signal handler with what that was given, else with NULL. */
void signal_run(struct thread *self, ucontext_t *interrupted);

/* The same at depth 1 in the kernel's handler, where the kernel blocks signals; they are open meanwhile. */
void signal_run_in_handler(struct thread *self, ucontext_t *interrupted);

/* A wait was ended for a signal (WAKE_SIGNAL): run its handlers, at depth 1.  What that means for the wait. */
enum handled signal_interlude(struct thread *self);
/* The same, but that the thread is not cancelled in it by the asynchronous type: cancel_postpone(). */
enum handled signal_interlude_within(struct thread *self);

/* A thread that has parked was marked while it was on its way: wake it again if it must be.  No lock is held. */
void signal_found_parked(struct thread *left);

/* A new thread gets its creator's mask; nothing is pending for it. */
void signal_thread_begins(struct thread *creator, struct thread *thread);
/* Its last act before it leaves its stack: what it was chosen for goes to others. */
void signal_thread_ends(struct thread *self);

struct green_stats;
void signal_stats(struct green_stats *stats);

void signal_fork_reset(struct thread *survivor);
/* The rest of it, at depth 0. */
void signal_fork_finish(void);

/*
 * Around a switch outside of a handler of ours: what the kernel blocks here beyond what it does between threads, and
 * to have that blocked where the thread goes on.
 */
uint64_t preempt_mask_leave(struct thread *self);
void preempt_mask_arrive(struct thread *self, uint64_t mask);

/* The bottom of preempt.c's handler, for handlers other than the tick's; at depth 0, kernel signals blocked. */
void preempt_handler_end(struct thread *self, ucontext_t *interrupted);
/* What the kernel thread of a worker blocks between threads. */
const sigset_t *preempt_open_mask(void);
/* What it blocks in a handler of ours: all but faults. */
const sigset_t *preempt_closed_mask(void);
/* Block that. */
void preempt_close(void);
/* Take the ticks that were noted, and route what was held, at depth 0. */
void preempt_take_ticks(struct thread *self);
/* That signal, which the program had blocked when it started, is open from now on. */
void preempt_open(int signal);
/* The signals that nothing but a fault makes: never blocked in the kernel. */
bool signal_is_synchronous(int signal);

#endif
