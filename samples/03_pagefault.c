/*
 * A page fault that takes long, and what it does to the others.
 *
 * A reader touches memory that is not there yet: three pages that take 200 ms each (a FUSE file, or userfaultfd),
 * and then a file on the disk whose cache was dropped, page by page.  Beside it a heartbeat wants to run every
 * millisecond, and three others compute check sums.  The same program runs four times: in pure N:1, where the kernel
 * thread that waits for the page is the only one there is; with the monitor, which gives the processor of a blocked
 * kernel thread to another; on two processors; and in pure N:1 again, with the pages asked for beforehand by
 * green_prefault().
 *
 *     03_pagefault [picture [fuse|userfaultfd]]      pagefault.svg and whichever works when not given
 *
 * Everything about green threads is in the first half, up to measure_run(); the rest measures and prints.
 */
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include <green.h>
#include <green/debug.h>
#include <green/sched.h>

#include "common.h"
#include "common_slow.h"

#define RUNS 4
#define OTHERS 3
#define PERIOD_NS 1000000u
#define SLICE_US "1000"
#define UNIT_BYTES ((size_t)1 << 16) /* an other's unit of work: some 10 us */
#define DELAY_MS 200
#define QUIET_US 150000u /* before each fault: what the others do when nobody disturbs them */
#define FAULTS 3         /* of each kind */
#define COLD_PAGES 256u  /* of the file on the disk, touched at a time */
#define BEATS_MAX 20000

enum kind { SLOW, COLD, KINDS };

struct run {
    const char *name;
    const char *picture;
    unsigned procs;
    const char *monitor;
    bool prefault;
    unsigned index;
    int slow_file, cold_file; /* -1: none */
    bool userfaultfd;         /* in place of the slow file */
};

static const struct run *run;
static unsigned char text[UNIT_BYTES];
static atomic_bool stop;
static atomic_ulong units; /* made by the others */
static uint64_t beat_ns[BEATS_MAX];
static size_t beats;

/* How far everything is at some time. */
struct mark {
    uint64_t at_ns;
    uint64_t units;
    unsigned kernel_threads;
};

/* The reader waits for its pages from `start` to `end`; before that comes some quiet. */
struct window {
    struct mark quiet, start, end;
};
static struct window windows[KINDS][FAULTS];
static unsigned char *memory[KINDS]; /* NULL: there is none */

static void *heartbeat(void *arg)
{
    (void)arg;
    uint64_t due_ns = now_ns();
    while (!stop && beats < BEATS_MAX) {
        beat_ns[beats++] = now_ns();
        due_ns += PERIOD_NS;
        sleep_until(due_ns);
    }
    return NULL;
}

static void *other(void *arg)
{
    uLong check = crc32(0, text, UNIT_BYTES);
    while (!stop) {
        units += crc32(0, text, UNIT_BYTES) == check;
    }
    return arg;
}

/* Read a byte of each page.  They must be the right ones: `first` is the first page's number in its file. */
static void touch(const unsigned char *from, size_t pages, size_t first)
{
    for (size_t i = 0; i < pages; i++) {
        const volatile unsigned char *byte = from + i * PAGE_BYTES;
        must(*byte == slow_value(first + i) ? 0 : EBADMSG, "a page's content");
    }
}

static struct mark mark_now(void)
{
    struct mark mark = {.units = units};
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    must(tasks ? 0 : errno, "/proc/self/task");
    while ((task = readdir(tasks))) {
        mark.kernel_threads += task->d_name[0] != '.';
    }
    closedir(tasks);
    mark.at_ns = now_ns();
    return mark;
}

/* Leave the others in peace for a while; then touch pages that are not there. */
static void fault(struct window *window, const unsigned char *from, size_t pages, size_t first)
{
    window->quiet = mark_now();
    green_usleep(QUIET_US);
    window->start = mark_now();
    if (run->prefault) {
        MUST(green_prefault(from, pages * PAGE_BYTES)); /* parks: only this thread waits */
    }
    touch(from, pages, first);
    window->end = mark_now();
}

/* The picture shows the slow pages, or the file where there are none. */
static void *reader(void *arg)
{
    const size_t pages[KINDS] = {1, COLD_PAGES};
    for (unsigned kind = 0; kind < KINDS; kind++) {
        size_t first = run->index * FAULTS * pages[kind];
        for (unsigned i = 0; i < FAULTS && memory[kind]; i++, first += pages[kind]) {
            fault(&windows[kind][i], memory[kind] + first * PAGE_BYTES, pages[kind], first);
        }
        if (kind == SLOW && memory[SLOW]) {
            MUST(green_trace_stop());
        }
    }
    return arg;
}

static void run_threads(void)
{
    green_t beater = start_thread("heartbeat", heartbeat, NULL), others[OTHERS];
    for (unsigned i = 0; i < OTHERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "other %u", i + 1);
        others[i] = start_thread(name, other, NULL);
    }
    MUST(green_join(start_thread("reader", reader, NULL), NULL));
    stop = true;
    MUST(green_join(beater, NULL));
    for (unsigned i = 0; i < OTHERS; i++) {
        MUST(green_join(others[i], NULL));
    }
}

/*
 * From here on: what is measured, and how it is shown.
 */
struct kind_result {
    bool measured;
    uint64_t wait_ns; /* of the reader, on average */
    uint64_t gap_ns;  /* of the heartbeat, the longest in a wait: the median of the waits */
    double compute;   /* of the others, in percent of undisturbed */
    unsigned kernel_threads;
};

struct result {
    struct kind_result kind[KINDS];
    unsigned kernel_threads;
};

/* The longest time between two beats, of which at least a part lies in the window. */
static uint64_t longest_gap(const struct window *window)
{
    uint64_t longest = 0;
    for (size_t i = 1; i < beats; i++) {
        uint64_t gap = beat_ns[i] - beat_ns[i - 1];
        if (beat_ns[i] > window->start.at_ns && beat_ns[i - 1] < window->end.at_ns && gap > longest) {
            longest = gap;
        }
    }
    return longest;
}

static int compare_ns(const void *a, const void *b)
{
    const uint64_t *first = a, *second = b;
    return (*first > *second) - (*first < *second);
}

/* The gap is the median of the faults': a machine that is not ours alone stops us for some ms now and then. */
static struct kind_result judge(const struct window all[FAULTS])
{
    struct kind_result result = {.measured = true};
    uint64_t gaps[FAULTS], wait_ns = 0, quiet_ns = 0, made = 0, quiet_made = 0;
    for (unsigned i = 0; i < FAULTS; i++) {
        const struct window *window = &all[i];
        gaps[i] = longest_gap(window);
        wait_ns += window->end.at_ns - window->start.at_ns;
        made += window->end.units - window->start.units;
        quiet_ns += window->start.at_ns - window->quiet.at_ns;
        quiet_made += window->start.units - window->quiet.units;
        if (window->end.kernel_threads > result.kernel_threads) {
            result.kernel_threads = window->end.kernel_threads;
        }
    }
    qsort(gaps, FAULTS, sizeof *gaps, compare_ns);
    result.gap_ns = gaps[FAULTS / 2];
    result.wait_ns = wait_ns / FAULTS;
    result.compute = 100.0 * ((double)made / (double)wait_ns) / ((double)quiet_made / (double)quiet_ns);
    return result;
}

static unsigned char *map_file(int file, size_t pages)
{
    if (file < 0) {
        return NULL;
    }
    void *mapped = mmap(NULL, RUNS * FAULTS * pages * PAGE_BYTES, PROT_READ, MAP_SHARED, file, 0);
    must(mapped == MAP_FAILED ? errno : 0, "mmap");
    must(posix_madvise(mapped, RUNS * FAULTS * pages * PAGE_BYTES, POSIX_MADV_RANDOM), "madvise");
    return mapped;
}

/* The slow pages; returns their server, or -1 when it is none of this process's. */
static pid_t map_slow(void)
{
    pid_t server = -1;
    bool user_only = false;
    if (!run->userfaultfd) {
        memory[SLOW] = map_file(run->slow_file, 1);
        return server;
    }
    memory[SLOW] = slow_memory(RUNS * FAULTS, DELAY_MS, &server, &user_only);
    if (user_only && run->prefault) {
        memory[SLOW] = NULL; /* it could not be brought in by a system call */
    }
    return server;
}

/* One of the runs, in a child process. */
static void measure_run(const void *settings, void *measured)
{
    struct result *result = measured;
    run = settings;
    memory[COLD] = map_file(run->cold_file, COLD_PAGES);
    pid_t server = map_slow();
    char procs[16];
    snprintf(procs, sizeof procs, "%u", run->procs);
    must(setenv("GREEN_PROCS", procs, 1) || setenv("GREEN_MONITOR", run->monitor, 1) ||
                 setenv("GREEN_SLICE_US", SLICE_US, 1)
             ? errno
             : 0,
         "setenv");
    MUST(green_init(NULL));
    MUST(green_trace_start((size_t)1 << 17));
    run_threads();
    MUST(green_trace_stop());
    MUST(green_timeline(run->picture, run->name));
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (memory[kind]) {
            result->kind[kind] = judge(windows[kind]);
        }
        if (result->kind[kind].kernel_threads > result->kernel_threads) {
            result->kernel_threads = result->kind[kind].kernel_threads;
        }
    }
    if (server > 0) {
        slow_end(server);
    }
}

#define CELL_BYTES 24

static const char *const labels[KINDS][3] = {
    {"each slow page took the reader", "  heartbeat's longest gap", "  compute by the others"},
    {"the cold file took the reader", "  heartbeat's longest gap", "  compute by the others"},
};

static void print_row(const char *label, char cells[RUNS][CELL_BYTES])
{
    printf("%-32s%14s%17s%17s%20s\n", label, cells[0], cells[1], cells[2], cells[3]);
}

static void print_kind(const struct result results[RUNS], unsigned kind)
{
    char cells[3][RUNS][CELL_BYTES];
    for (unsigned i = 0; i < RUNS; i++) {
        const struct kind_result *result = &results[i].kind[kind];
        print_duration(cells[0][i], CELL_BYTES, result->wait_ns);
        print_duration(cells[1][i], CELL_BYTES, result->gap_ns);
        snprintf(cells[2][i], CELL_BYTES, "%.0f %%", result->compute);
        for (unsigned row = 0; row < 3 && !result->measured; row++) {
            strcpy(cells[row][i], "-");
        }
    }
    for (unsigned row = 0; row < 3; row++) {
        print_row(labels[kind][row], cells[row]);
    }
}

static void print_table(const struct result results[RUNS])
{
    char cells[RUNS][CELL_BYTES] = {"pure N:1", "N:1, monitor", "M:N, monitor", "N:1, prefault"};
    printf("\n");
    print_row("", cells);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        print_kind(results, kind);
    }
    for (unsigned i = 0; i < RUNS; i++) {
        snprintf(cells[i], CELL_BYTES, "%u", results[i].kernel_threads);
    }
    print_row("kernel threads", cells);
}

/* The others went on.  The limits leave room for a machine that is busy with other things. */
static bool went_on(const struct kind_result *result)
{
    return !result->measured || (result->compute > 30 && result->gap_ns < DELAY_MS * UINT64_C(1000000));
}

/* A page of FUSE stalls pure N:1 for all of its time; the wait for userfaultfd is interrupted by ticks. */
static bool stalled(const struct kind_result *result, bool userfaultfd)
{
    return !result->measured || userfaultfd ||
           (result->compute < 30 && result->gap_ns > DELAY_MS * UINT64_C(950000));
}

static bool as_promised(const struct result results[RUNS], bool userfaultfd)
{
    bool promised = stalled(&results[0].kind[SLOW], userfaultfd) && results[0].kernel_threads == 1 &&
                    results[1].kernel_threads > 1 && results[2].kernel_threads > 2 && results[3].kernel_threads == 2;
    for (unsigned i = 1; i < RUNS; i++) {
        promised = promised && went_on(&results[i].kind[SLOW]);
    }
    return promised;
}

/* The slow file, or whether it is to be userfaultfd.  Says what could not be had. */
static int choose_slow(const char *wanted, bool *userfaultfd, pid_t *server)
{
    int file = -1;
    *server = -1;
    *userfaultfd = false;
    if (!wanted || strcmp(wanted, "fuse") == 0) {
        file = slow_file(RUNS * FAULTS, DELAY_MS, server);
        if (file >= 0) {
            return file;
        }
        printf("No FUSE file here (%s)%s.\n", strerror(errno), wanted ? "" : "; userfaultfd instead");
    }
    if (!wanted || strcmp(wanted, "userfaultfd") == 0) {
        pid_t probe;
        bool user_only;
        *userfaultfd = slow_memory(1, 0, &probe, &user_only) != NULL;
        if (*userfaultfd) {
            slow_end(probe);
        } else {
            printf("No userfaultfd here (%s): without slow pages.\n", strerror(errno));
        }
    }
    return file;
}

static int choose_cold(void)
{
    int file = cold_file((size_t)RUNS * FAULTS * COLD_PAGES);
    if (file < 0) {
        printf("No file can be made in . or /var/tmp (%s): without a cold file.\n", strerror(errno));
    } else if (!cold_file_drop(file, (size_t)RUNS * FAULTS * COLD_PAGES)) {
        printf("The file system of . keeps its files in memory: without a cold file.\n");
        return -1;
    }
    return file;
}

int main(int argc, char **argv)
{
    struct run runs[RUNS] = {
        {"Pure N:1: a page fault stops everybody", "pagefault-1.svg", 1, "off", false, 0, -1, -1, false},
        {"N:1 and the monitor: it stops the reader", "pagefault-2.svg", 1, "on", false, 1, -1, -1, false},
        {"M:N and the monitor", "pagefault-3.svg", 2, "on", false, 2, -1, -1, false},
        {"N:1 and green_prefault", "pagefault-4.svg", 1, "off", true, 3, -1, -1, false},
    };
    const char *picture = argc > 1 ? argv[1] : "pagefault.svg", *parts[RUNS];
    pid_t server;
    bool userfaultfd;
    int slow = choose_slow(argc > 2 ? argv[2] : NULL, &userfaultfd, &server), cold = choose_cold();
    printf("A reader touches pages that are not there: three that take %d ms each (%s), and three times %u of a\n"
           "file on the disk that is in no cache.  A heartbeat wants to run every millisecond, and %d threads\n"
           "compute check sums: do they get a turn?\n",
           DELAY_MS, slow >= 0 ? "a FUSE file" : userfaultfd ? "userfaultfd" : "none here", COLD_PAGES, OTHERS);

    struct result results[RUNS] = {0};
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < RUNS; i++) {
        runs[i].slow_file = slow;
        runs[i].cold_file = cold;
        runs[i].userfaultfd = userfaultfd;
        parts[i] = runs[i].picture;
        if (in_child(measure_run, &runs[i], &results[i], sizeof results[i])) {
            return 1;
        }
    }
    must(stack_pictures(picture, parts, RUNS) ? errno : 0, picture);
    if (server > 0) {
        slow_end(server);
    }
    print_table(results);
    printf("\nCompute: while the reader waited, in percent of what the others do undisturbed; the reader itself has a\n"
           "share while it reads the cold file.  Picture, of the slow pages: %s.\n",
           picture);
    if (under_valgrind()) {
        printf("Under Valgrind a thread waits for its page with all others: this run shows no more than its errors.\n");
        return 0;
    }
    bool promised = as_promised(results, userfaultfd);
    printf("%s", promised ? "" : "THIS RUN DID NOT SHOW WHAT IT SHOULD: is the machine busy?\n");
    return !promised;
}
