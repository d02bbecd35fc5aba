/*
 * The trace: who ran on which processor, when.
 *
 * The dispatcher calls record_switch() at each switch (core/observe.h).  A processor's switches go to its own ring,
 * which only the worker that holds the processor writes: no lock, no atomic read-modify-write on shared words.  One
 * record is written per switch; the end of a run is the next record's start, and an idle processor is a record of
 * nobody.
 *
 * A hook may be in progress on another worker when the trace stops.  It raises its ring's `busy` before it looks at
 * `recording`, and green_trace_stop() lowers `recording` before it looks at `busy`, both sequentially consistent:
 * either the hook sees that it is too late and writes nothing, or stop sees the hook and waits for it, some 50 ns.
 * After that nobody writes, and the rings may be read, or unmapped by the next start.  The rings' heads are static,
 * so the latest of hooks finds one.
 *
 * Rings are made at the start for the processors there are then; one that is added later is not recorded, as its
 * ring would have to be mapped inside the dispatcher.  What a processor ran before its first switch is not known,
 * and shows as idle.
 *
 * Rejected: a table of names beside records of 24 bytes (a thread may be gone, or renamed, when its name is asked
 * for); a lock around start, stop and visit (a visitor may block, or call us).
 */
#include "debug/trace.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <green/debug.h>

#include "core/observe.h"

#define PROCS_MAX 1024
#define RECORDS_MAX ((size_t)1 << 26)
#define NAME_BYTES sizeof(((struct green_run *)0)->name)

struct record {
    uint64_t start_ns;
    green_t thread; /* 0: nobody */
    char name[NAME_BYTES];
};

struct ring {
    _Alignas(64) atomic_bool busy; /* its processor's worker is in record_switch() */
    uint64_t next;                 /* records written since the start; the next goes to next % room */
    struct record *records;        /* NULL: not recorded */
};

static struct ring rings[PROCS_MAX];
static atomic_bool recording;

/* Who uses the rings: TRACING, else the number of readers. */
#define TRACING (-1)
static atomic_int users;

/* Constant while there are users. */
static size_t room; /* records in each ring */
static unsigned procs;
static uint64_t trace_start_ns;
static uint64_t trace_end_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void record_switch(unsigned proc, green_t thread, const char *name)
{
    if (proc >= PROCS_MAX) {
        return;
    }
    struct ring *ring = &rings[proc];
    atomic_store(&ring->busy, true);
    if (atomic_load(&recording) && ring->records) {
        struct record *record = &ring->records[ring->next % room];
        record->start_ns = now_ns();
        record->thread = thread;
        size_t length = 0;
        while (name && name[length] && length < NAME_BYTES - 1) {
            record->name[length] = name[length];
            length++;
        }
        record->name[length] = '\0';
        ring->next++;
    }
    atomic_store_explicit(&ring->busy, false, memory_order_release);
}

static void unmap_rings(void)
{
    for (unsigned i = 0; i < procs; i++) {
        munmap(rings[i].records, room * sizeof(struct record));
        rings[i].records = NULL;
        rings[i].next = 0;
    }
    procs = 0;
}

static int map_rings(unsigned count, size_t records)
{
    room = records;
    for (procs = 0; procs < count; procs++) {
        void *at = mmap(NULL, records * sizeof(struct record), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
        if (at == MAP_FAILED) {
            unmap_rings();
            return ENOMEM;
        }
        rings[procs].records = at;
    }
    return 0;
}

/* The child has none of the workers that might be in the hook; it starts with tracing off. */
static void after_fork(void)
{
    switch_observe(NULL);
    if (atomic_exchange(&recording, false)) {
        trace_end_ns = now_ns();
    }
    for (unsigned i = 0; i < PROCS_MAX; i++) {
        atomic_store(&rings[i].busy, false);
    }
    atomic_store(&users, 0);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork);
}

int green_trace_start(size_t records)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (records == 0 || records > RECORDS_MAX) {
        return EINVAL;
    }
    int nobody = 0;
    if (!atomic_compare_exchange_strong(&users, &nobody, TRACING)) {
        return EBUSY;
    }
    pthread_once(&once, watch_forks);
    unmap_rings();
    int level = green_getconcurrency();
    int error = map_rings(level < PROCS_MAX ? (unsigned)level : PROCS_MAX, records);
    if (error) {
        atomic_store(&users, 0);
        return error;
    }
    trace_start_ns = now_ns();
    switch_observe(record_switch); /* before `recording`, which lets a stop come and clear it */
    atomic_store(&recording, true);
    return 0;
}

int green_trace_stop(void)
{
    if (!atomic_exchange(&recording, false)) {
        return 0;
    }
    switch_observe(NULL);
    for (unsigned i = 0; i < procs; i++) {
        while (atomic_load(&rings[i].busy)) {
            sched_yield(); /* the hook cannot be on this worker */
        }
    }
    trace_end_ns = now_ns();
    atomic_store(&users, 0);
    return 0;
}

static int reader_enter(void)
{
    int count = atomic_load(&users);
    do {
        if (count == TRACING) {
            return EBUSY;
        }
    } while (!atomic_compare_exchange_weak(&users, &count, count + 1));
    return 0;
}

void trace_release(void)
{
    atomic_fetch_sub(&users, 1);
}

static uint64_t oldest(const struct ring *ring)
{
    return ring->next > room ? ring->next - room : 0;
}

static int visit_ring(unsigned proc, int (*visit)(const struct green_run *run, void *arg), void *arg)
{
    const struct ring *ring = &rings[proc];
    int stop = 0;
    for (uint64_t i = oldest(ring); i < ring->next && !stop; i++) {
        const struct record *record = &ring->records[i % room];
        if (record->thread) {
            struct green_run run = {.thread = record->thread, .start_ns = record->start_ns, .proc = proc};
            run.end_ns = i + 1 < ring->next ? ring->records[(i + 1) % room].start_ns : trace_end_ns;
            memcpy(run.name, record->name, sizeof run.name);
            stop = visit(&run, arg);
        }
    }
    return stop;
}

int green_trace_visit(int (*visit)(const struct green_run *run, void *arg), void *arg)
{
    int error = reader_enter();
    if (error) {
        return error;
    }
    int stop = 0;
    for (unsigned i = 0; i < procs && !stop; i++) {
        stop = visit_ring(i, visit, arg);
    }
    trace_release();
    return stop;
}

int trace_hold(struct trace_window *window)
{
    int error = reader_enter();
    if (error) {
        return error;
    }
    if (!procs) {
        trace_release();
        return ENODATA;
    }
    *window = (struct trace_window){.start_ns = trace_start_ns, .end_ns = trace_end_ns, .procs = procs};
    for (unsigned i = 0; i < procs; i++) {
        const struct ring *ring = &rings[i];
        if (ring->next > room && ring->records[oldest(ring) % room].start_ns > window->start_ns) {
            window->start_ns = ring->records[oldest(ring) % room].start_ns;
        }
    }
    return 0;
}
