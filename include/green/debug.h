/*
 * See inside: a trace of which thread ran where and when, and its picture.
 *
 * How to use it.  green_trace_start(), the part of interest, green_trace_stop(), green_timeline("timeline.svg",
 * NULL).  While it is off, tracing costs one test of a variable per switch; while it is on, one clock reading and 32
 * bytes.
 */
#ifndef GREEN_DEBUG_H
#define GREEN_DEBUG_H

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Record up to `records` runs (one for each time that a thread was on a processor) per processor; when the room is
 * full the oldest are overwritten.  What an earlier trace holds is dropped.  Does not block.  Signal handler: no.
 *   EINVAL  0 or more than 2^26 records
 *   EBUSY   a trace is running
 *   ENOMEM  no memory for them
 */
GREEN_API int green_trace_start(size_t records);

/* Stop recording; what was recorded stays.  Always 0.  Does not block.  Signal handler: no. */
GREEN_API int green_trace_stop(void);

/* One run: a thread on a processor from start_ns to end_ns (CLOCK_MONOTONIC). */
struct green_run {
    green_t thread;
    uint64_t start_ns;
    uint64_t end_ns;
    unsigned proc;
    char name[16];
};

/*
 * Call visit() for each recorded run, processor by processor, oldest first, until it returns non-zero.  Returns that
 * number; 0 at the end; or an error number.  Does not block, but visit() may.  Signal handler: no.
 *   EBUSY  a trace is running
 */
GREEN_API int green_trace_visit(int (*visit)(const struct green_run *run, void *arg), void *arg);

/*
 * Write the trace as an SVG picture: a lane for each processor, a colour for each thread.  `title` may be NULL.
 * Blocks in the kernel.  Signal handler: no.  Errors of opening and writing the file, and
 *   EBUSY    a trace is running
 *   ENODATA  there is none
 *   ENOMEM   no memory
 *   EINVAL   a null path
 */
GREEN_API int green_timeline(const char *path, const char *title);

#ifdef __cplusplus
}
#endif

#endif
