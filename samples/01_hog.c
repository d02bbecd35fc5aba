/*
 * One thread that never yields, and what it does to the others.
 *
 * The hog compresses a large file with zlib, a library that knows nothing of green threads, in a single call.  Beside
 * it a heartbeat wants to run every millisecond, and eight others compute check sums.  The same program runs three
 * times: with a cooperative scheduler on one processor, with preemption on one, and with preemption on two.
 *
 *     01_hog [file [picture]]      the C library and timeline.svg when not given
 *
 * Everything about green threads is in the first half, up to measure_run(); the rest measures and prints.
 */
#define _GNU_SOURCE 1 /* dladdr */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <green.h>
#include <green/debug.h>
#include <green/sched.h>

#include "common.h"

#define OTHERS 8
#define THREADS (OTHERS + 2)
#define PERIOD_NS 1000000u
#define HOG_BYTES ((size_t)12 << 20)
#define UNIT_BYTES ((size_t)1 << 20) /* an other's unit of work: about 0.2 ms */
#define BEATS_MAX 60000
#define AFTER_US 200000 /* how long a run goes on when the hog has finished */

static unsigned char *text; /* the file */
static uLong unit_check;    /* what a unit of work must yield */

struct run {
    const char *name;
    const char *picture;
    unsigned procs;
    bool cooperative;
};

static const struct run *run;
static atomic_bool stop;
static uint64_t origin_ns, hog_start_ns, hog_end_ns;
static uLong hog_check; /* of what it made */
static uint64_t lateness_ns[BEATS_MAX];
static size_t beats;
static atomic_ulong units, hog_units; /* made by the others in all, and while the hog ran */

/* Compress the file, and never yield. */
static void *hog(void *arg)
{
    (void)arg;
    uLongf bytes = compressBound(HOG_BYTES);
    unsigned char *packed = malloc(bytes);
    hog_units = units;
    hog_start_ns = now_ns();
    MUST(packed ? compress2(packed, &bytes, text, HOG_BYTES, 6) : Z_MEM_ERROR);
    hog_end_ns = now_ns();
    hog_units = units - hog_units;
    hog_check = crc32(0, packed, (uInt)bytes);
    free(packed);
    return NULL;
}

/* Wake up every millisecond, and note how late.  Beats that fell due while nobody let us run come late, not never. */
static void *heartbeat(void *arg)
{
    (void)arg;
    while (!stop && beats < BEATS_MAX) {
        uint64_t due_ns = origin_ns + beats * PERIOD_NS;
        sleep_until(due_ns);
        lateness_ns[beats++] = now_ns() - due_ns;
    }
    return NULL;
}

/* Compute.  A cooperative scheduler depends on yields like this one in every loop of every library. */
static void *other(void *arg)
{
    (void)arg;
    while (!stop) {
        units += crc32(0, text, UNIT_BYTES) == unit_check;
        if (run->cooperative) {
            green_yield();
        }
    }
    return NULL;
}

/* Let all of them run until the hog has finished, and a moment longer.  threads: heartbeat, others, hog. */
static void run_threads(green_t threads[THREADS])
{
    origin_ns = now_ns();
    threads[0] = start_thread("heartbeat", heartbeat, NULL);
    green_usleep(3000); /* it beats before the others come */
    for (unsigned i = 0; i < OTHERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "other %u", i + 1);
        threads[1 + i] = start_thread(name, other, NULL);
    }
    threads[THREADS - 1] = start_thread("hog", hog, NULL);
    MUST(green_join(threads[THREADS - 1], NULL));
    green_usleep(AFTER_US);
    stop = true;
    for (unsigned i = 0; i < THREADS - 1; i++) {
        MUST(green_join(threads[i], NULL));
    }
}

/*
 * From here on: what is measured while the hog ran, and how it is shown.
 */
struct result {
    uint64_t hog_ns;
    size_t due, made; /* heartbeats; made: less than a period late */
    uint64_t late_p50_ns, late_p99_ns, late_max_ns;
    double share[THREADS]; /* of all processors, in percent */
    uint64_t units;
    uint64_t preemptions;
    uLong check;
    double cost; /* in percent */
};

struct shares {
    const green_t *threads;
    uint64_t busy_ns[THREADS];
};

/* Add a run's time, as far as it lies in the hog's life. */
static int add_run(const struct green_run *ran, void *arg)
{
    struct shares *shares = arg;
    uint64_t start_ns = ran->start_ns > hog_start_ns ? ran->start_ns : hog_start_ns;
    uint64_t end_ns = ran->end_ns < hog_end_ns ? ran->end_ns : hog_end_ns;
    for (unsigned i = 0; i < THREADS && start_ns < end_ns; i++) {
        if (green_equal(ran->thread, shares->threads[i])) {
            shares->busy_ns[i] += end_ns - start_ns;
        }
    }
    return 0;
}

static void judge_heartbeat(struct result *result)
{
    size_t first = (hog_start_ns - origin_ns + PERIOD_NS - 1) / PERIOD_NS;
    size_t end = (hog_end_ns - origin_ns + PERIOD_NS - 1) / PERIOD_NS;
    end = end < BEATS_MAX ? end : BEATS_MAX;
    for (size_t i = beats; i < end; i++) { /* never made: late by now */
        lateness_ns[i] = now_ns() - (origin_ns + i * PERIOD_NS);
    }
    result->due = end - first;
    for (size_t i = first; i < end; i++) {
        result->made += lateness_ns[i] < PERIOD_NS;
    }
    sort_values(lateness_ns + first, result->due);
    result->late_p50_ns = percentile(lateness_ns + first, result->due, 50);
    result->late_p99_ns = percentile(lateness_ns + first, result->due, 99);
    result->late_max_ns = percentile(lateness_ns + first, result->due, 100);
}

/* One of the three runs, in a child process. */
static void measure_run(const void *settings, void *measured)
{
    struct result *result = measured;
    green_t threads[THREADS];
    run = settings;
    start_library(run->procs, !run->cooperative);
    MUST(green_trace_start((size_t)1 << 18));
    run_threads(threads);
    MUST(green_trace_stop());
    MUST(green_timeline(run->picture, run->name));

    struct shares shares = {.threads = threads};
    MUST(green_trace_visit(add_run, &shares));
    result->hog_ns = hog_end_ns - hog_start_ns;
    for (unsigned i = 0; i < THREADS; i++) {
        result->share[i] = 100.0 * (double)shares.busy_ns[i] / ((double)result->hog_ns * run->procs);
    }
    judge_heartbeat(result);
    struct green_stats stats;
    green_stats(&stats);
    result->preemptions = stats.preemptions;
    result->units = hog_units;
    result->check = hog_check;
}

/* The work by which cost_of_preemption() is measured. */
static void *compress_some(void *arg)
{
    uLongf bytes = compressBound(HOG_BYTES / 3);
    unsigned char *packed = malloc(bytes);
    MUST(packed ? compress2(packed, &bytes, text, HOG_BYTES / 3, 6) : Z_MEM_ERROR);
    free(packed);
    return arg;
}

#define RUNS 3
#define CELL_BYTES 40

static const char *const labels[] = {
    "the hog took",
    "heartbeats due while it ran",
    "  made / missed",
    "  late by: p50 / p99",
    "  late by: at most",
    "share of the processors: the hog",
    "  the heartbeat",
    "  each of the 8 others",
    "check sums made by the others",
    "preemptions",
    "cost of preemption",
};
#define ROWS (sizeof labels / sizeof *labels)

static void fill_column(char cell[ROWS][CELL_BYTES], const struct result *result)
{
    char p50[16], p99[16];
    double least = 100, most = 0;
    for (unsigned i = 1; i <= OTHERS; i++) {
        least = result->share[i] < least ? result->share[i] : least;
        most = result->share[i] > most ? result->share[i] : most;
    }
    print_duration(cell[0], CELL_BYTES, result->hog_ns);
    snprintf(cell[1], CELL_BYTES, "%zu", result->due);
    snprintf(cell[2], CELL_BYTES, "%zu / %zu", result->made, result->due - result->made);
    print_duration(p50, sizeof p50, result->late_p50_ns);
    print_duration(p99, sizeof p99, result->late_p99_ns);
    snprintf(cell[3], CELL_BYTES, "%s / %s", p50, p99);
    print_duration(cell[4], CELL_BYTES, result->late_max_ns);
    snprintf(cell[5], CELL_BYTES, "%.1f %%", result->share[THREADS - 1]);
    snprintf(cell[6], CELL_BYTES, "%.1f %%", result->share[0]);
    snprintf(cell[7], CELL_BYTES, "%.1f to %.1f %%", least, most);
    snprintf(cell[8], CELL_BYTES, "%lu", result->units);
    snprintf(cell[9], CELL_BYTES, "%llu", (unsigned long long)result->preemptions);
    snprintf(cell[10], CELL_BYTES, result->preemptions ? "%.1f %%" : "none", result->cost);
}

static void print_table(const struct result results[RUNS])
{
    char cells[RUNS][ROWS][CELL_BYTES];
    for (unsigned i = 0; i < RUNS; i++) {
        fill_column(cells[i], &results[i]);
    }
    printf("\n%-34s%18s%20s%20s\n", "", "cooperative N:1", "preemptive N:1", "preemptive M:N");
    for (unsigned row = 0; row < ROWS; row++) {
        printf("%-34s%18s%20s%20s\n", labels[row], cells[0][row], cells[1][row], cells[2][row]);
    }
}

/*
 * Whether what the table claims came true.  The limits leave room for a machine that is busy with other things, and
 * for the one heartbeat that falls due just before the hog ends.
 */
static bool as_promised(const struct result results[RUNS])
{
    bool promised = results[0].made <= 1 && results[0].units == 0 && results[0].preemptions == 0;
    for (unsigned i = 1; i < RUNS; i++) {
        promised = promised && results[i].made && results[i].units && results[i].preemptions;
    }
    return promised && results[0].check == results[1].check && results[0].check == results[2].check;
}

int main(int argc, char **argv)
{
    const struct run runs[RUNS] = {
        {"Cooperative, one processor: the hog keeps everybody off", "timeline-1.svg", 1, true},
        {"Preemptive, one processor: everybody has a turn", "timeline-2.svg", 1, false},
        {"Preemptive, two processors", "timeline-3.svg", 2, false},
    };
    Dl_info library;
    must(dladdr((void *)puts, &library) ? 0 : ENOENT, "name of the C library");
    const char *path = argc > 1 ? argv[1] : library.dli_fname;
    const char *picture = argc > 2 ? argv[2] : "timeline.svg";
    text = read_file(path, HOG_BYTES);
    unit_check = crc32(0, text, UNIT_BYTES);
    printf("A hog compresses %zu MiB of %s with zlib in one call, and never yields.\n"
           "A heartbeat wants to run every millisecond, and 8 threads compute check sums: do they get a turn?\n",
           HOG_BYTES >> 20, path);

    struct result results[RUNS] = {0};
    const char *parts[RUNS];
    for (unsigned i = 0; i < RUNS; i++) {
        parts[i] = runs[i].picture;
        if (in_child(measure_run, &runs[i], &results[i], sizeof results[i]) ||
            (!runs[i].cooperative && cost_of_preemption(runs[i].procs, compress_some, &results[i].cost))) {
            return 1;
        }
    }
    must(stack_pictures(picture, parts, RUNS) ? errno : 0, picture);
    print_table(results);
    printf("\nWithout preemption nobody else ran until the hog had finished.  With it the heartbeats came, every\n"
           "thread had its share, and zlib made the same bytes; a second processor (M:N) let the hog finish sooner.\n"
           "Picture: %s.  Cost: the same work with and without preemption; some tenths of it are noise.\n",
           picture);
    bool promised = as_promised(results);
    printf("%s", promised ? "" : "THIS RUN DID NOT SHOW THAT: is the machine busy?\n");
    return !promised;
}
