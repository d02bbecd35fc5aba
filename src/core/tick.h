/*
 * Tick sources: who sends a worker its signal, and how a handler knows that it is a tick.
 *
 * timer    a POSIX timer for each worker, aimed at its kernel thread.  The kernel raises it from an interrupt: exact,
 * 20 us
 *          of a processor's time each.  A timer is set for one deadline at a time, so workers never tick in phase.
 * monitor  a kernel thread of our own sleeps until the first deadline of all and queues a signal to each worker that
 * is due.
 *          A third of the cost, but late by the monitor's own wake-up when all processors compute.
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

/* Signal the worker at that time (ns); a later call replaces an earlier one.  For the worker itself, at depth > 0. */
void tick_set(struct worker *worker, uint64_t deadline);

/* Signal it no more.  With the sched lock held: the worker has, or is about to have, no processor. */
void tick_clear(struct worker *worker);

/*
 * The worker is blocked in the kernel, its processor gone: signal it as soon as it runs the program again, and not
 * before.  With the sched lock held.
 */
void tick_on_return(struct worker *worker);

/* Signal it now, from any kernel thread. */
void tick_send(struct worker *worker);

bool tick_is_ours(const siginfo_t *info);

/* Around fork: the source is gone in the child, until tick_source_start(). */
void tick_fork_reset(void);

const char *tick_source_name(void);

#endif
