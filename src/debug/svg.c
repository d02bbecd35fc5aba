/*
 * The timeline as SVG: one self-contained picture, legible without scripts, small enough to mail.
 *
 * Every coordinate is a whole pixel, so that neighbouring columns with the same strip join into one rectangle and no
 * locale puts a comma into a number.  A thread's rectangles in a lane are one path.  In a column threads lie in the
 * order of the legend from the bottom up, so that one which runs all the time is a band.
 */
#include "debug/timeline.h"

#define LEFT_PX 60
#define TOP_PX 66
#define PICTURE_PX (LEFT_PX + TIMELINE_WIDTH_PX + 40)
#define LEGEND_COLUMNS 5
#define LEGEND_ROW_PX 22
#define IDLE_COLOUR "#eceff2"

static const char *const colours[TIMELINE_COLOURS] = {
    "#0a9b4a", "#d92b2b", "#3b6fb6", "#f2a93b", "#8e5bb0", "#27b3c4", "#e377b8", "#8c6239",
    "#7fb2e5", "#b5bd2f", "#5a4fcf", "#f58b6b", "#1f7a74", "#c9a0dc", "#5f7d2b", "#8a939c",
};

static const char *colour_of(const struct timeline *timeline, unsigned thread)
{
    return colours[thread == timeline->gather ? TIMELINE_COLOURS - 1 : thread];
}

static unsigned lane_y(const struct timeline *timeline, unsigned proc)
{
    unsigned gap = timeline->lane_px >= 24 ? 8 : 2;
    return TOP_PX + proc * (timeline->lane_px + gap);
}

static void text(FILE *out, const char *from)
{
    for (; *from; from++) {
        switch (*from) {
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '&': fputs("&amp;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*from >= '\0' && *from < ' ' ? ' ' : *from, out);
        }
    }
}

/*
 * Divide a column's height by the time that each thread had.  A thread that ran too little for a pixel is drawn
 * nevertheless, at the expense of the one that ran most: to see that it ran matters more than a pixel of the other.
 */
static void divide(const struct timeline *timeline, const uint64_t *busy, unsigned height[TIMELINE_COLOURS])
{
    unsigned lane = timeline->lane_px;
    unsigned least = lane >= 24 ? 2 : 1;
    uint64_t total = 0;
    unsigned used = 0;
    unsigned most = 0;
    for (unsigned i = 0; i < timeline->shown; i++) {
        total += busy[i];
        height[i] = (unsigned)((double)busy[i] / (double)timeline->column_ns * lane);
        if (busy[i] && height[i] < least) {
            height[i] = least;
        }
        used += height[i];
        most = busy[i] > busy[most] ? i : most;
    }
    unsigned whole = (unsigned)((double)total / (double)timeline->column_ns * lane + 0.5);
    if (used < whole) {
        height[most] += whole - used;
    }
    for (; used > lane; used--) {
        for (unsigned i = 0; i < timeline->shown; i++) {
            most = height[i] > height[most] ? i : most;
        }
        height[most]--;
    }
}

struct strip {
    unsigned y, height;
};

static struct strip find_strip(const struct timeline *timeline, unsigned proc, unsigned column, unsigned thread)
{
    unsigned height[TIMELINE_COLOURS];
    divide(timeline, timeline_column(timeline, proc, column), height);
    unsigned below = 0;
    for (unsigned i = 0; i < thread; i++) {
        below += height[i];
    }
    return (struct strip){lane_y(timeline, proc) + timeline->lane_px - below - height[thread], height[thread]};
}

static void draw_thread(FILE *out, const struct timeline *timeline, unsigned proc, unsigned thread)
{
    unsigned column_px = TIMELINE_WIDTH_PX / timeline->columns;
    fprintf(out, "<path fill=\"%s\" d=\"", colour_of(timeline, thread));
    for (unsigned column = 0, next; column < timeline->columns; column = next) {
        struct strip strip = find_strip(timeline, proc, column, thread);
        for (next = column + 1; next < timeline->columns; next++) {
            struct strip other = find_strip(timeline, proc, next, thread);
            if (other.height != strip.height || (strip.height && other.y != strip.y)) {
                break;
            }
        }
        if (strip.height) {
            unsigned width = (next - column) * column_px;
            fprintf(out, "M%u %uh%uv%uh-%uz", LEFT_PX + column * column_px, strip.y, width, strip.height, width);
        }
    }
    fputs("\"><title>", out);
    text(out, timeline->thread[thread].name);
    fputs("</title></path>\n", out);
}

static void draw_lane(FILE *out, const struct timeline *timeline, unsigned proc)
{
    unsigned y = lane_y(timeline, proc);
    fprintf(out, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"" IDLE_COLOUR "\"/>\n", LEFT_PX, y,
            TIMELINE_WIDTH_PX, timeline->lane_px);
    if (timeline->lane_px >= 12 || proc % 8 == 0) {
        fprintf(out, "<text x=\"%u\" y=\"%u\" text-anchor=\"end\" font-size=\"13\">P%u</text>\n", LEFT_PX - 8,
                y + timeline->lane_px / 2 + 5, proc);
    }
    for (unsigned thread = 0; thread < timeline->shown; thread++) {
        draw_thread(out, timeline, proc, thread);
    }
}

/* A length of time in the unit that suits `scale`. */
static void duration(FILE *out, uint64_t ns, uint64_t scale)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "\u00b5s"}, {1, "ns"}};
    unsigned i = 0;
    while (scale < units[i].ns / 10) {
        i++;
    }
    fprintf(out, "%.*f %s", scale % units[i].ns != 0, (double)ns / (double)units[i].ns, units[i].name);
}

/* The roundest step, 1, 2 or 5 times a power of ten, that gives at most twelve marks. */
static uint64_t axis_step(uint64_t span)
{
    for (uint64_t power = 1;; power *= 10) {
        for (unsigned i = 0; i < 3; i++) {
            uint64_t step = power * (uint64_t[]){1, 2, 5}[i];
            if (span / step < 12) {
                return step;
            }
        }
    }
}

static void draw_axis(FILE *out, const struct timeline *timeline)
{
    uint64_t span = timeline->window.end_ns - timeline->window.start_ns;
    uint64_t step = axis_step(span);
    double px_per_ns = TIMELINE_WIDTH_PX / ((double)timeline->column_ns * timeline->columns);
    unsigned bottom = lane_y(timeline, timeline->window.procs);
    for (uint64_t at = 0; at <= span; at += step) {
        unsigned x = LEFT_PX + (unsigned)((double)at * px_per_ns);
        fprintf(out, "<path stroke=\"#000\" stroke-opacity=\".25\" d=\"M%u %uV%u\"/>", x, TOP_PX - 4, bottom);
        fprintf(out, "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\" font-size=\"12\" fill=\"#444\">", x,
                bottom + 15);
        duration(out, at, step);
        fputs("</text>\n", out);
    }
}

static void draw_legend_entry(FILE *out, const struct timeline *timeline, unsigned entry, const char *colour,
                              const char *name, uint64_t ns)
{
    unsigned x = LEFT_PX + entry % LEGEND_COLUMNS * (TIMELINE_WIDTH_PX / LEGEND_COLUMNS);
    unsigned y = lane_y(timeline, timeline->window.procs) + 34 + entry / LEGEND_COLUMNS * LEGEND_ROW_PX;
    double span = (double)(timeline->window.end_ns - timeline->window.start_ns) * timeline->window.procs;
    fprintf(out, "<rect x=\"%u\" y=\"%u\" width=\"14\" height=\"14\" rx=\"2\" fill=\"%s\"", x, y, colour);
    fputs(" stroke=\"#000\" stroke-opacity=\".2\"/>", out);
    fprintf(out, "<text x=\"%u\" y=\"%u\" font-size=\"13\">", x + 20, y + 12);
    text(out, name);
    fprintf(out, " <tspan font-weight=\"bold\">%.1f %%</tspan></text>\n", span > 0 ? 100 * (double)ns / span : 0);
}

static unsigned legend_rows(const struct timeline *timeline)
{
    return (timeline->shown + LEGEND_COLUMNS) / LEGEND_COLUMNS; /* idle is one more entry */
}

static void draw_legend(FILE *out, const struct timeline *timeline)
{
    uint64_t span = (timeline->window.end_ns - timeline->window.start_ns) * timeline->window.procs;
    for (unsigned i = 0; i < timeline->shown; i++) {
        draw_legend_entry(out, timeline, i, colour_of(timeline, i), timeline->thread[i].name,
                          timeline->thread[i].busy_ns);
    }
    draw_legend_entry(out, timeline, timeline->shown, IDLE_COLOUR, "idle",
                      span > timeline->busy_ns ? span - timeline->busy_ns : 0);
    fprintf(out, "<text x=\"%u\" y=\"%u\" font-size=\"11\" fill=\"#666\">", LEFT_PX,
            lane_y(timeline, timeline->window.procs) + 46 + legend_rows(timeline) * LEGEND_ROW_PX);
    fputs("Percent of all processors' time.  A column is ", out);
    duration(out, timeline->column_ns, timeline->column_ns);
    fputs(" wide, its height divided by the time that each thread had in it.</text>\n", out);
}

static void draw_title(FILE *out, const struct timeline *timeline, const char *title)
{
    uint64_t span = timeline->window.end_ns - timeline->window.start_ns;
    fprintf(out, "<text x=\"%u\" y=\"28\" font-size=\"19\" font-weight=\"bold\">", LEFT_PX);
    text(out, title ? title : "Which thread ran where");
    fprintf(out, "</text>\n<text x=\"%u\" y=\"48\" font-size=\"13\" fill=\"#555\">%u processor%s, ", LEFT_PX,
            timeline->window.procs, timeline->window.procs == 1 ? "" : "s");
    fprintf(out, "%zu threads, %llu runs in ", timeline->threads, (unsigned long long)timeline->runs);
    duration(out, span, span);
    fputs("</text>\n", out);
}

void svg_draw(FILE *out, const struct timeline *timeline, const char *title)
{
    unsigned height = lane_y(timeline, timeline->window.procs) + 60 + legend_rows(timeline) * LEGEND_ROW_PX;
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\"",
            PICTURE_PX, height, PICTURE_PX, height);
    fputs(" font-family=\"Helvetica,Arial,'DejaVu Sans',sans-serif\" fill=\"#111\"", out);
    fputs(" shape-rendering=\"crispEdges\">\n", out);
    fprintf(out, "<rect width=\"%u\" height=\"%u\" fill=\"#fff\"/>\n", PICTURE_PX, height);
    draw_title(out, timeline, title);
    for (unsigned proc = 0; proc < timeline->window.procs; proc++) {
        draw_lane(out, timeline, proc);
    }
    draw_axis(out, timeline);
    draw_legend(out, timeline);
    fputs("</svg>\n", out);
}
