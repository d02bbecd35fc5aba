/* The monitor: takes processors away from workers that are blocked in the kernel.  See monitor.c. */
#ifndef MONITOR_H
#define MONITOR_H

#include "core/thread.h"

/* Start it, and the spare workers that it needs, if that is wanted and has not been done; at depth 0.  0, EAGAIN. */
int monitor_start(void);
void monitor_fork_reset(void);

/* Somebody waits for a processor that is busy, or will at `deadline` (ns; 0: now).  At depth > 0. */
void monitor_watch(uint64_t deadline);

/*
 * Somebody waits for that processor, whose worker may be blocked: true when it is, and will lose it; false when a tick
 * can be sent and meets no system call, or there is no monitor.
 */
bool monitor_take(struct proc *proc, struct worker *worker);

/* "perf", "stat", or "off". */
const char *monitor_name(void);
uint64_t monitor_retakes(void);

/* A spare worker is missing. */
void spares_want(void);
int spares_start(void);
void spares_fork_reset(void);

#endif
