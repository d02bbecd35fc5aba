/*
 * What the trace tells the timeline beyond green_trace_visit().
 */
#ifndef DEBUG_TRACE_H
#define DEBUG_TRACE_H

#include <stdint.h>

/* The part of the trace that every processor's ring still covers. */
struct trace_window {
    uint64_t start_ns;
    uint64_t end_ns;
    unsigned procs;
};

/* Keep the trace as it is until trace_release().  EBUSY while one is running, ENODATA when there is none. */
int trace_hold(struct trace_window *window);
void trace_release(void);

#endif
