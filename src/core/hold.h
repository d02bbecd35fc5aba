/* Who holds which processor.  See hold.c for the protocol. */
#ifndef HOLD_H
#define HOLD_H

#include "core/thread.h"

/* All but the first four functions with the sched lock held. */

bool procs_idle(void);
unsigned procs_idle_count(void);
unsigned spares(void);
/* In the child of a fork: nobody holds anything. */
void hold_forget(void);

void idle_add(struct proc *proc);
void idle_remove(struct proc *proc);
/* What became of those who came back; read without the lock. */
struct hold_counts {
    _Atomic uint64_t cancelled, idle, queued;
};
extern struct hold_counts hold_counts;
/* Any processor whose worker sleeps, or NULL. */
struct proc *idle_any(void);

/* Any worker without a processor, or NULL. */
struct worker *spare_any(void);
/* The same, off the list. */
struct worker *spare_take(void);
/* Put a worker back that was taken. */
void spare_add(struct worker *worker);

enum { SPARES_KEPT = 4 }; /* however long they have not been used */
/* Take one off that has been a spare for so long and is not to be kept; NULL: none, and when the next will be. */
struct worker *spare_surplus(uint64_t now, uint64_t quiet_ns, uint64_t *next);

/* To a worker that is not on the list and has none; wakes it. */
void worker_give(struct worker *worker, struct proc *proc);
/* The same of a processor that had none: it is in service from here on. */
void worker_enlist(struct worker *worker, struct proc *proc);
/* By the worker, in its own context: it has no processor from here on, and is on the list. */
void worker_give_up(struct worker *worker);

/*
 * Take the processor away from a worker whose hold is REVOKING and that has been blocked since then (ns): false when
 * it has cancelled that.
 */
bool worker_revoke(struct worker *worker, struct worker *spare, uint64_t since);

/* The same whatever its hold, for a worker that says so itself, or whose kernel thread has ended. */
void worker_replace(struct worker *worker, struct worker *spare);

/* By the worker, for its thread, which is about to block: the same to itself.  Takes the lock.  False without a spare. */
bool worker_hand_over(struct worker *worker);

#endif
