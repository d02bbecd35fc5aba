/*
 * The pool: threads that have ended, kept whole (structure, stack, TLS block) for the next of their stack's size.
 *
 * The pool is three lists: a round of the reaper turns what came since the last one old, and trims what was old
 * already, so a stack's pages go back after one to two rounds without use.  The newest are reused first.
 *
 * Each processor keeps a bucket of the default size, and exchanges half a bucket with the pool at a time, so creating
 * and ending threads takes no lock in the common case.
 */
#ifndef POOL_H
#define POOL_H

#include "core/thread.h"

/* A thread that has been used before, or NULL.  proc may be NULL. */
struct thread *pool_take(struct proc *proc, unsigned class);

/* A new one.  Calls malloc: at depth 0.  NULL with EAGAIN or ENOMEM. */
struct thread *pool_build(unsigned class, int *error);

/* The thread has ended, off its stack, and nobody can name it any more.  proc may be NULL. */
void pool_release(struct proc *proc, struct thread *thread);

/* The processor's bucket goes to the pool. */
void pool_flush(struct proc *proc);

/* In the child of a fork: keep what was in the pool, and give up every thread but the survivor. */
void pool_fork_reset(const struct thread *survivor);

/*
 * The reaper's round, by the service thread: what has lain in the pool for a round is trimmed.  When to come again
 * (ns); NEVER until spares_want().
 */
uint64_t pool_reap(uint64_t now);

/* Stacks in use or kept; and times that one was trimmed. */
uint64_t pool_stacks(void);
uint64_t pool_trimmed(void);

#endif
