/* Is a worker blocked in the kernel?  For the monitor. */
#ifndef BLOCK_H
#define BLOCK_H

#include "core/thread.h"

/* On the worker's own kernel thread: 0, or an error when there is no way to see. */
int block_open(struct worker *worker);
/* The same, by /proc alone. */
int block_open_stat(struct worker *worker);
void block_close(struct worker *worker);

/* Since when (CLOCK_MONOTONIC, ns); NEVER when it is not.  A look without a system call where perf is allowed. */
uint64_t block_since(struct worker *worker, uint64_t now);

/* The same, for others than the monitor: is it? */
bool block_now(const struct worker *worker);

/* Without a system call, from a signal handler, too: by the ring, else what the monitor saw last. */
bool block_seen(const struct worker *worker);

/* It has had a CPU at least since then, without a break; false when that cannot be told. */
bool block_runs_since(const struct worker *worker, uint64_t time);

/* Its kernel thread has ended and is still known to the kernel, as the process's first is. */
bool block_remains(const struct worker *worker);

/* "perf", "stat": what the last worker got. */
const char *block_source_name(void);

#endif
