/*
 * A trace reduced to what a picture can show; timeline.c makes it, svg.c draws it.
 */
#ifndef DEBUG_TIMELINE_H
#define DEBUG_TIMELINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "debug/trace.h"

#define TIMELINE_COLOURS 16
#define TIMELINE_WIDTH_PX 1100

/* A thread with a colour of its own, or all those that have none. */
struct timeline_thread {
    char name[40];
    uint64_t busy_ns;
};

struct timeline {
    struct trace_window window;
    size_t threads;  /* in the trace, coloured or not */
    uint64_t runs;
    uint64_t busy_ns;
    unsigned shown;  /* entries of thread[] */
    unsigned gather; /* the entry that stands for several threads; TIMELINE_COLOURS: there is none */
    struct timeline_thread thread[TIMELINE_COLOURS];

    unsigned lane_px;
    unsigned columns; /* each TIMELINE_WIDTH_PX / columns wide */
    uint64_t column_ns;
    uint64_t *busy; /* [proc][column][thread] in ns */
};

static inline uint64_t *timeline_column(const struct timeline *timeline, unsigned proc, unsigned column)
{
    return &timeline->busy[((size_t)proc * timeline->columns + column) * TIMELINE_COLOURS];
}

/* Returns with the stream's error flag set when something went wrong. */
void svg_draw(FILE *out, const struct timeline *timeline, const char *title);

#endif
