/*
 * Seeing a block.
 *
 * perf   The kernel writes a record at each switch of the kernel thread into a ring that it shares with us: out or in,
 *        by preemption or not, and when.  The last one says it all.  Allowed to everybody at perf_event_paranoid 2.
 * stat   The state in /proc, a thousand times as dear: S, D or T is blocked.  It has no date, so a block is dated when
 *        it is first seen.
 *
 * A thread that was woken but waits for a CPU still looks blocked in the ring.  Its processor is put to better use by
 * another worker meanwhile.
 */
#include "core/block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/sched.h"

struct record {
    struct perf_event_header header;
    uint64_t time;
};

static const char *_Atomic source = "none";

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* At the place of a former one, if there was: who still looks there sees an empty ring, or this one. */
static const void *ring_open(void **place)
{
    struct perf_event_attr attr;

    memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_DUMMY;
    attr.exclude_kernel = attr.exclude_hv = 1;
    attr.context_switch = 1;
    attr.sample_id_all = 1;
    attr.sample_type = PERF_SAMPLE_TIME;
    attr.use_clockid = 1;
    attr.clockid = CLOCK_MONOTONIC;
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return NULL;
    /* Read-only: the kernel overwrites. */
    void *ring = mmap(*place, 2 * page_bytes(), PROT_READ, *place ? MAP_SHARED | MAP_FIXED : MAP_SHARED, fd, 0);
    close(fd); /* the mapping keeps the event */
    if (ring == MAP_FAILED)
        return NULL;
    return *place = ring;
}

static int stat_open(const struct worker *worker)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", worker->tid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int block_open_stat(struct worker *worker)
{
    atomic_store(&worker->blocked_since, NEVER);
    worker->stat_fd = stat_open(worker);
    return worker->stat_fd < 0 ? errno : 0;
}

int block_open(struct worker *worker)
{
    int saved_errno = errno, error = 0;

    worker->stat_fd = -1;
    atomic_store(&worker->blocked_since, NEVER);
    worker->ring = settings.watch == GREEN_MONITOR_STAT ? NULL : ring_open(&worker->ring_place);
    if (!worker->ring)
        error = block_open_stat(worker);
    if (!error)
        atomic_store(&source, worker->ring ? "perf" : "stat");
    errno = saved_errno;
    return error;
}

void block_close(struct worker *worker)
{
    if (worker->ring) /* an empty ring in its place, for whoever looks at this moment */
        mmap(worker->ring_place, 2 * page_bytes(), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (worker->stat_fd >= 0)
        close(worker->stat_fd);
    worker->ring = NULL;
    worker->stat_fd = -1;
    atomic_store(&worker->blocked_since, NEVER);
}

const char *block_source_name(void)
{
    return atomic_load(&source);
}

/* The last switch; false when there was none.  Read again when the kernel has written meanwhile: it may be this very record. */
static bool ring_last(const struct perf_event_mmap_page *page, struct record *last)
{
    uint64_t head;

    do {
        head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
        const uint64_t bytes = __atomic_load_n(&page->data_size, __ATOMIC_RELAXED);
        if (head < sizeof *last || bytes == 0) /* 0: it has just been closed */
            return false;
        memcpy(last, (const char *)page + page->data_offset + (head - sizeof *last) % bytes, sizeof *last);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&page->data_head, __ATOMIC_RELAXED) != head);
    return last->header.type == PERF_RECORD_SWITCH;
}

static uint64_t ring_since(const struct perf_event_mmap_page *page)
{
    const unsigned out = PERF_RECORD_MISC_SWITCH_OUT, preempted = PERF_RECORD_MISC_SWITCH_OUT_PREEMPT;
    struct record last;

    return ring_last(page, &last) && (last.header.misc & (out | preempted)) == out ? last.time : NEVER;
}

bool block_runs_since(const struct worker *worker, uint64_t time)
{
    struct record last;

    return worker->ring && ring_last(worker->ring, &last) && !(last.header.misc & PERF_RECORD_MISC_SWITCH_OUT) &&
           last.time <= time;
}

/* The state, among those, stands behind the last parenthesis: a name may hold others. */
static bool stat_is(int fd, const char *states)
{
    char text[128];
    ssize_t bytes = pread(fd, text, sizeof text - 1, 0);

    if (bytes <= 0)
        return false;
    text[bytes] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] && strchr(states, end[2]);
}

static bool stat_blocked(int fd)
{
    return stat_is(fd, "SDTt");
}

bool block_remains(const struct worker *worker)
{
    int fd = stat_open(worker);

    if (fd < 0)
        return false;
    const bool ended = stat_is(fd, "ZX");
    close(fd);
    return ended;
}

bool block_now(const struct worker *worker)
{
    return worker->ring ? ring_since(worker->ring) != NEVER : worker->stat_fd >= 0 && stat_blocked(worker->stat_fd);
}

bool block_seen(const struct worker *worker)
{
    return worker->ring ? ring_since(worker->ring) != NEVER : atomic_load(&worker->blocked_since) != NEVER;
}

uint64_t block_since(struct worker *worker, uint64_t now)
{
    if (worker->ring)
        return ring_since(worker->ring);
    if (worker->stat_fd < 0 || !stat_blocked(worker->stat_fd)) {
        atomic_store(&worker->blocked_since, NEVER);
        return NEVER;
    }
    uint64_t switches = atomic_load_explicit(&worker->switches, memory_order_relaxed);
    if (atomic_load(&worker->blocked_since) == NEVER || worker->blocked_switches != switches)
        atomic_store(&worker->blocked_since, now);
    worker->blocked_switches = switches;
    return atomic_load(&worker->blocked_since);
}
