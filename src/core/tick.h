/*
 * Tick sources: who sends a worker its signal, and how a handler knows that it is a tick.
 *
 * timer    a POSIX timer for each worker, aimed at its kernel thread.  The kernel raises it from an interrupt: exact,
 *          20 us of a processor's time each.  A timer is set for one deadline at a time, so workers never tick in phase.
 * monitor  a kernel thread of our own sleeps until the first deadline of all and queues a signal to each worker that
 *          is due.  A third of the cost, but late by the monitor's own wake-up when all processors compute.
 * perf     a perf event for each worker that counts the time in which it runs the program's code, and signals after so
 *          much of it: such a tick interrupts no system call, not even one that is about to begin.  It is lost when
 *          the worker is in the kernel at that moment.  It ticks on at its period until told otherwise: a steady slice
 *          costs no system call.
 * auto     perf where it is allowed and the monitor is on, else the timer.  The monitor notices a deadline that was
 *          missed in the kernel, and kicks the clock; and a worker that stays in the kernel, but not blocked, it signals.
 * A periodic timer was rejected: it goes on when nobody waits, and cannot serve the deadlines of sleeping threads.
 */
#ifndef TICK_H
#define TICK_H

#include <signal.h>

#include "core/thread.h"

/* Start the source: 0, EAGAIN, ENOMEM. */
int tick_source_start(void);

/* Give a worker, on its own kernel thread, what it needs to be ticked: 0, EAGAIN, ENOMEM. */
int tick_worker_start(struct worker *worker);
/* Give it back; the worker has no processor and its signals are blocked. */
void tick_worker_stop(struct worker *worker);

/* What a tick is for: the end of a slice may be about right, a deadline is met as well as can be. */
enum tick_kind { TICK_SLICE, TICK_DEADLINE };

/* Signal the worker at that time (ns) at the latest.  For the worker itself, at depth > 0, as the next three. */
void tick_need(struct worker *worker, enum tick_kind kind, uint64_t when);
/* A tick came: what is needed will be said anew. */
void tick_came(struct worker *worker);
/* No more, if that is cheap. */
void tick_stop(struct worker *worker);
/* Is one to come by then? */
bool tick_comes_by(const struct worker *worker, uint64_t when);

/* By the timer, which interrupts system calls, signal it no more.  With the sched lock held: it loses its processor. */
void tick_disarm(struct worker *worker);

/* Signal it no more.  With the sched lock held: the worker has, or is about to have, no processor. */
void tick_clear(struct worker *worker);

/*
 * The worker is blocked in the kernel, its processor gone: signal it as soon as it runs the program again, and not
 * before.  With the sched lock held.
 */
void tick_on_return(struct worker *worker);

/* Signal it soon, from any kernel thread; without interrupting a call, where that can be had. */
void tick_kick(struct worker *worker);

/* Its tick is overdue: kick it, where a tick can get lost.  False when that was done, and has not helped so far. */
bool tick_again(struct worker *worker);

/* Signal it now, from any kernel thread, which never gets lost. */
void tick_send(struct worker *worker);
/* The signal that asks for it has come, and its handler calls this. */
void tick_received(struct worker *worker);
/* It shall not for a while, in the worker itself: the next program, if there is to be one, does not know it. */
void tick_hold_back(struct worker *worker);
void tick_let_come(struct worker *worker);

bool tick_is_ours(const siginfo_t *info);

/* Around fork: the source is gone in the child, until tick_source_start(). */
void tick_fork_reset(void);

const char *tick_source_name(void);

#endif
