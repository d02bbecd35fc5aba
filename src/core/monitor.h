/* The monitor: takes processors away from workers that are blocked in the kernel.  See monitor.c. */
#ifndef MONITOR_H
#define MONITOR_H

#include "core/thread.h"

/* Start it, and the spare workers that it needs, if that is wanted and has not been done; at depth 0.  0, EAGAIN. */
int monitor_start(void);
void monitor_fork_reset(void);

/* Somebody waits for a processor that is busy, or will at `deadline` (ns; 0: now).  At depth > 0. */
void monitor_watch(uint64_t deadline);

/* It does, so a worker that is blocked needs no ticks. */
bool monitor_runs(void);

/* A thread that was blocked runs again: it may soon block once more, so do not look more rarely yet. */
void monitor_expect(void);

/* Somebody waits for that processor, or its worker cannot be signalled: watch it. */
void monitor_attend(struct proc *proc);

/* "perf", "stat", or "off". */
const char *monitor_name(void);
uint64_t monitor_retakes(void);

/* A spare worker is missing. */
void spares_want(void);
/* There was a call for more, and none came: none can be made, or its maker itself waits for somebody. */
bool spares_late(uint64_t now);
/* There are more than are kept.  With the sched lock held. */
void spares_surplus(void);
/* Beyond those that are kept, a spare worker ends that has not been used for so long.  Tests shorten it. */
extern uint64_t spares_quiet_ns;
int spares_start(void);
/* Around a fork, in the parent; in the child. */
void spares_fork_prepare(void);
void spares_fork_parent(void);
void spares_fork_reset(void);

#endif
