/* The trace of who ran, and its picture. */
#include <green/debug.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

enum { ROUNDS = 50 };

static void *yield_often(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        green_yield();
    return arg;
}

struct census {
    green_t watched;
    unsigned proc;
    uint64_t latest_ns;
    int runs, of_watched, disorder;
};

/* Processor by processor, and on each one run after the other. */
static int note(const struct green_run *run, void *arg)
{
    struct census *census = arg;
    if (run->proc != census->proc) {
        census->disorder += run->proc < census->proc;
        census->latest_ns = 0;
    }
    census->disorder += run->start_ns < census->latest_ns || run->end_ns < run->start_ns;
    census->disorder += run->thread == census->watched && strcmp(run->name, "watched") != 0;
    census->proc = run->proc;
    census->latest_ns = run->end_ns;
    census->of_watched += run->thread == census->watched;
    census->runs++;
    return 0;
}

static int stop_at_second(const struct green_run *run, void *arg)
{
    int *seen = arg;
    return run->thread && ++*seen == 2 ? 77 : 0;
}

/* Two threads that take turns while it is recorded; the first one's name. */
static green_t record(void)
{
    green_attr_t attr;
    green_t threads[2];
    green_attr_init(&attr);
    green_attr_setname_np(&attr, "watched");
    cr_assert_eq(green_trace_start(1 << 16), 0);
    cr_assert_eq(green_create(&threads[0], &attr, yield_often, NULL), 0);
    cr_assert_eq(green_create(&threads[1], NULL, yield_often, NULL), 0);
    green_join(threads[0], NULL);
    green_join(threads[1], NULL);
    cr_assert_eq(green_trace_stop(), 0);
    return threads[0];
}

ON_BOTH(trace, runs_are_recorded_in_order)
{
    struct census census = {.watched = record()};
    int seen = 0;
    cr_assert_eq(green_trace_visit(note, &census), 0);
    cr_assert_eq(census.disorder, 0);
    cr_assert_gt(census.of_watched, 0);
    cr_assert_gt(census.runs, census.of_watched);
    cr_assert_eq(green_trace_visit(stop_at_second, &seen), 77);
    cr_assert_eq(seen, 2);
}

ON_BOTH(trace, oldest_are_overwritten)
{
    struct census census = {0};
    green_t thread;
    cr_assert_eq(green_trace_start(4), 0);
    cr_assert_eq(green_create(&thread, NULL, yield_often, NULL), 0);
    green_join(thread, NULL);
    green_trace_stop();
    cr_assert_eq(green_trace_visit(note, &census), 0);
    cr_assert_leq(census.runs, 4 * green_getconcurrency());
    cr_assert_eq(census.disorder, 0);
}

ON_BOTH(trace, what_is_running_is_not_read)
{
    int seen = 0;
    cr_assert_eq(green_trace_start(16), 0);
    cr_assert_eq(green_trace_start(16), EBUSY);
    cr_assert_eq(green_trace_visit(stop_at_second, &seen), EBUSY);
    cr_assert_eq(green_timeline("/dev/null", NULL), EBUSY);
    cr_assert_eq(green_trace_stop(), 0);
    cr_assert_eq(green_trace_stop(), 0, "a second stop does no harm");
    cr_assert_eq(seen, 0);
}

ON_BOTH(trace, errors)
{
    cr_assert_eq(green_trace_start(0), EINVAL);
    cr_assert_eq(green_trace_start(((size_t)1 << 26) + 1), EINVAL);
    cr_assert_eq(green_timeline("/dev/null", NULL), ENODATA);
    cr_assert_eq(green_timeline(NULL, NULL), EINVAL);
    record();
    cr_assert_eq(green_timeline("/nowhere/timeline.svg", NULL), ENOENT);
    cr_assert_eq(green_timeline("/dev/full", NULL), ENOSPC);
}

/* The picture is a whole SVG file that shows the title, escaped, and names the thread. */
ON_BOTH(trace, picture)
{
    char path[] = "/tmp/green-trace-XXXXXX", *text = NULL;
    size_t room = 0;
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    record();
    int error = green_timeline(path, "a <title> of mine");
    FILE *picture = fdopen(file, "r");
    cr_assert_not_null(picture);
    unlink(path);
    cr_assert_eq(error, 0);
    cr_assert_geq(getdelim(&text, &room, EOF, picture), 0);
    cr_assert_not_null(strstr(text, "<svg"));
    cr_assert_not_null(strstr(text, "a &lt;title&gt; of mine"));
    cr_assert_not_null(strstr(text, "watched"));
    cr_assert_not_null(strstr(text, "</svg>"));
    free(text);
    fclose(picture);
}
