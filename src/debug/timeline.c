/*
 * The timeline: from the runs of a trace to columns of a picture.
 *
 * A trace may hold millions of runs, a picture has some thousand columns.  Time is cut into columns one pixel wide,
 * and a column keeps how long each thread ran in it; svg.c divides its height among them.  So the size of a picture
 * depends on its area alone, and shares stay right however short the runs are.  With many processors lanes become
 * lower and columns wider, so that the picture stays below about a megabyte.
 *
 * The threads that ran most get colours, the rest is gathered in one.  Colours go by name, so that pictures of
 * several runs of one program can be laid beside each other.
 *
 * Rejected: a rectangle for each run (10 MB for 100,000 of them, and most narrower than a pixel); the majority of a
 * column takes it (a thread that runs often and shortly is never seen).
 */
#include "debug/timeline.h"

#include <errno.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <green/debug.h>

/* A thread of the trace: on the list, and in the search tree by its id. */
struct seen {
    green_t id;
    struct seen *next;
    uint64_t busy_ns;
    unsigned colour;
    char name[40];
};

struct census {
    struct timeline *timeline;
    void *tree;
    struct seen *list;
};

static int by_id(const void *a, const void *b)
{
    green_t x = ((const struct seen *)a)->id;
    green_t y = ((const struct seen *)b)->id;
    return (x > y) - (x < y);
}

static int by_time(const void *a, const void *b)
{
    const struct seen *x = *(struct seen *const *)a;
    const struct seen *y = *(struct seen *const *)b;
    return x->busy_ns == y->busy_ns ? by_id(x, y) : x->busy_ns < y->busy_ns ? 1 : -1;
}

static int by_name(const void *a, const void *b)
{
    const struct seen *x = *(struct seen *const *)a;
    const struct seen *y = *(struct seen *const *)b;
    int order = strverscmp(x->name, y->name);
    return order ? order : by_id(x, y);
}

/* Cut a run to the window; false when nothing is left. */
static bool clip(const struct timeline *timeline, const struct green_run *run, uint64_t *start, uint64_t *end)
{
    const struct trace_window *window = &timeline->window;
    *start = run->start_ns > window->start_ns ? run->start_ns : window->start_ns;
    *end = run->end_ns < window->end_ns ? run->end_ns : window->end_ns;
    return *start < *end;
}

/* Names are anybody's bytes, and may be cut in the middle of a character: keep what is certainly text. */
static void set_name(struct seen *seen, const char *name)
{
    if (!*name) {
        snprintf(seen->name, sizeof seen->name, "thread %llu", (unsigned long long)seen->id);
        return;
    }
    size_t i = 0;
    for (; name[i] && i < sizeof seen->name - 1; i++) {
        seen->name[i] = name[i] < ' ' || name[i] > '~' ? '?' : name[i];
    }
    seen->name[i] = '\0';
}

static struct seen *find(struct census *census, green_t id)
{
    struct seen key = {.id = id};
    struct seen **found = tfind(&key, &census->tree, by_id);
    return found ? *found : NULL;
}

static struct seen *add(struct census *census, green_t id)
{
    struct seen *seen = calloc(1, sizeof *seen);
    if (!seen) {
        return NULL;
    }
    seen->id = id;
    if (!tsearch(seen, &census->tree, by_id)) {
        free(seen);
        return NULL;
    }
    seen->next = census->list;
    census->list = seen;
    census->timeline->threads++;
    return seen;
}

static int count_run(const struct green_run *run, void *arg)
{
    struct census *census = arg;
    uint64_t start, end;
    if (!clip(census->timeline, run, &start, &end)) {
        return 0;
    }
    struct seen *seen = find(census, run->thread);
    if (!seen) {
        seen = add(census, run->thread);
    }
    if (!seen) {
        return ENOMEM;
    }
    set_name(seen, run->name);
    seen->busy_ns += end - start;
    census->timeline->runs++;
    census->timeline->busy_ns += end - start;
    return 0;
}

static int colour_threads(struct census *census)
{
    struct timeline *timeline = census->timeline;
    struct seen **all = malloc((timeline->threads + 1) * sizeof(struct seen *));
    if (!all) {
        return ENOMEM;
    }
    size_t count = 0;
    for (struct seen *seen = census->list; seen; seen = seen->next) {
        all[count++] = seen;
    }
    qsort(all, count, sizeof *all, by_time);
    bool gathered = count > TIMELINE_COLOURS;
    unsigned coloured = gathered ? TIMELINE_COLOURS - 1 : (unsigned)count;
    qsort(all, coloured, sizeof *all, by_name);
    for (size_t i = 0; i < count; i++) {
        all[i]->colour = i < coloured ? (unsigned)i : coloured;
        struct timeline_thread *thread = &timeline->thread[all[i]->colour];
        thread->busy_ns += all[i]->busy_ns;
        memcpy(thread->name, all[i]->name, sizeof thread->name);
    }
    timeline->shown = coloured + gathered;
    timeline->gather = gathered ? coloured : TIMELINE_COLOURS;
    if (gathered) {
        snprintf(timeline->thread[coloured].name, sizeof timeline->thread[coloured].name, "%zu others",
                 count - coloured);
    }
    free(all);
    return 0;
}

/* Rectangles are what costs: at most one for every two pixels of a column, some 60,000 in all. */
static int lay_out(struct timeline *timeline)
{
    unsigned procs = timeline->window.procs;
    timeline->lane_px = procs <= 4 ? 48 : procs <= 16 ? 24 : procs <= 64 ? 12 : 6;
    unsigned strips = timeline->lane_px / 2 < TIMELINE_COLOURS ? timeline->lane_px / 2 : TIMELINE_COLOURS;
    unsigned column_px = 1 + TIMELINE_WIDTH_PX * procs * strips / 72000;
    timeline->columns = TIMELINE_WIDTH_PX / (column_px < 20 ? column_px : 20);
    uint64_t span = timeline->window.end_ns - timeline->window.start_ns;
    timeline->column_ns = span / timeline->columns + 1;
    timeline->busy = calloc((size_t)procs * timeline->columns, TIMELINE_COLOURS * sizeof(uint64_t));
    return timeline->busy ? 0 : ENOMEM;
}

static int spread_run(const struct green_run *run, void *arg)
{
    struct census *census = arg;
    struct timeline *timeline = census->timeline;
    uint64_t start, end;
    if (!clip(timeline, run, &start, &end)) {
        return 0;
    }
    unsigned colour = find(census, run->thread)->colour;
    while (start < end) {
        uint64_t column = (start - timeline->window.start_ns) / timeline->column_ns;
        uint64_t edge = timeline->window.start_ns + (column + 1) * timeline->column_ns;
        uint64_t stop = edge < end ? edge : end;
        timeline_column(timeline, run->proc, (unsigned)column)[colour] += stop - start;
        start = stop;
    }
    return 0;
}

static void forget(void *node)
{
    free(node);
}

static int reduce(struct timeline *timeline)
{
    struct census census = {.timeline = timeline};
    int error = green_trace_visit(count_run, &census);
    if (!error) {
        error = colour_threads(&census);
    }
    if (!error) {
        error = lay_out(timeline);
    }
    if (!error) {
        error = green_trace_visit(spread_run, &census);
    }
    tdestroy(census.tree, forget);
    return error;
}

static int save(const char *path, const struct timeline *timeline, const char *title)
{
    FILE *out = fopen(path, "we");
    if (!out) {
        return errno;
    }
    errno = 0;
    svg_draw(out, timeline, title);
    int error = ferror(out) ? errno : 0;
    if (fclose(out) && !error) {
        error = errno;
    }
    return error;
}

int green_timeline(const char *path, const char *title)
{
    struct timeline timeline = {0};
    int caller_errno = errno;
    int error = path ? trace_hold(&timeline.window) : EINVAL;
    if (error) {
        return error;
    }
    error = reduce(&timeline);
    trace_release();
    if (!error) {
        error = save(path, &timeline, title);
    }
    free(timeline.busy);
    errno = caller_errno;
    return error;
}
