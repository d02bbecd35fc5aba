/*
 * The CPU time of each thread: what the kernel counts for a kernel thread, divided among the green threads it ran.
 *
 * While accounts are kept, each switch reads the CPU-time clock of its worker's kernel thread and charges what has
 * passed since the last switch to the thread that leaves.  So a thread has what the kernel has seen it use, in user code
 * and in system calls, wherever it ran; none of what it waited, preempted, blocked in the kernel, or for a CPU that
 * another process had.  The sum over all threads and the workers' own contexts is the sum over the workers' kernel
 * threads, to the nanosecond.
 *
 *   worker->account    whom the time since `mark` belongs to; NULL: nobody, no switch was seen yet
 *   thread->cpu_ns     up to the last switch away from it
 *
 * All are guarded by the worker's lock; a thread's own by that of the worker it last ran on, which a reader looks at
 * again once it has the lock.
 *
 * Reading that clock is a system call, some ten times what a switch costs; so accounts are kept from the start only for
 * programs that refer to green_getcpuclockid(), which their relocations say, and otherwise from the first time that
 * somebody asks.  Switches pay for a test that they make anyway (switch_watch).  Rejected: the time stamp counter at
 * each switch of every program, half the cost of a switch, for a time that is not the CPU's but the wall clock's; and
 * accounts by sampling at ticks, which do not see a thread that yields.
 *
 * A clock's id says which thread it is of: a flag no clock of the kernel's has, six bits of the generation, and the
 * index.  clock_gettime() is taken over to know them, and to know whose CLOCK_THREAD_CPUTIME_ID is.  A thread with a
 * kernel thread of its own has the kernel's clock.
 */
#include "core/cpu_time.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/linked.h"
#include "core/foreign.h"
#include "core/life.h"
#include "core/observe.h"
#include "core/sched.h"
#include "core/table.h"
#include "mem/interpose.h"

enum { CLOCK_OURS = 0x40000000, INDEX_BITS = 24, GENERATION_MASK = 0x3f };

_Static_assert((uint64_t)TABLE_CHUNK * TABLE_CHUNKS <= UINT64_C(1) << INDEX_BITS, "every index fits a clock's id");

static bool watching(void)
{
    return atomic_load_explicit(&switch_watch, memory_order_relaxed) & WATCH_CPU_TIME;
}

uint64_t kernel_time(int tid)
{
    struct timespec time = {0, 0};

    syscall(SYS_clock_gettime, kernel_clock_of(tid), &time); /* libc's would be looked up, and waited for in its lock */
    return (uint64_t)time.tv_sec * NS_PER_SEC + (uint64_t)time.tv_nsec;
}

static uint64_t since_mark(const struct worker *worker)
{
    uint64_t now = kernel_time(worker->tid);

    return now > worker->account.mark ? now - worker->account.mark : 0;
}

void cpu_time_switch(struct worker *worker, struct thread *next)
{
    lock_acquire(&worker->account.lock, RANK_ACCOUNT);
    const uint64_t now = kernel_time(worker->tid);
    if (worker->account.of)
        worker->account.of->cpu_ns += now - worker->account.mark;
    worker->account.of = next;
    worker->account.mark = now;
    lock_release(&worker->account.lock, RANK_ACCOUNT);
}

static void account_open(struct worker *worker, struct thread *runs, uint64_t mark)
{
    lock_acquire(&worker->account.lock, RANK_ACCOUNT);
    if (!worker->account.of) {
        worker->account.of = runs;
        worker->account.mark = mark;
    }
    lock_release(&worker->account.lock, RANK_ACCOUNT);
}

/* A worker that is just switching has either seen that we watch, or says already whom it will run. */
static void watch(void)
{
    if (watching())
        return;
    atomic_fetch_or(&switch_watch, WATCH_CPU_TIME);
    heavy_barrier();
    for (struct worker *worker = workers_all(); worker; worker = worker->next)
        if (worker->tid)
            account_open(worker, atomic_load(&worker->current), kernel_time(worker->tid));
}

void cpu_time_init(void)
{
    clock_now(); /* finds libc's function, which no tick's handler should have to do */
    if (linked_against("green_getcpuclockid"))
        atomic_fetch_or(&switch_watch, WATCH_CPU_TIME);
}

/* Its past is the thread's, in the child of a fork from there on. */
void cpu_time_adopt(struct worker *worker, struct thread *runs)
{
    runs->cpu_ns = 0;
    if (watching())
        account_open(worker, runs, 0);
}

static uint64_t time_of(struct thread *thread)
{
    struct worker *worker;

    while ((worker = __atomic_load_n(&thread->worker, __ATOMIC_ACQUIRE))) {
        lock_acquire(&worker->account.lock, RANK_ACCOUNT);
        const uint64_t ns = thread->cpu_ns + (worker->account.of == thread ? since_mark(worker) : 0);
        const bool settled = __atomic_load_n(&thread->worker, __ATOMIC_ACQUIRE) == worker;
        lock_release(&worker->account.lock, RANK_ACCOUNT);
        if (settled)
            return ns;
    }
    return 0; /* it has never run */
}

static clockid_t clock_of(const struct thread *thread, green_t id)
{
    return (clockid_t)(CLOCK_OURS | (id >> 32 & GENERATION_MASK) << INDEX_BITS | thread->index);
}

static struct thread *thread_of(clockid_t clock)
{
    const uint32_t index = (uint32_t)clock & ((1U << INDEX_BITS) - 1);

    if (index >= table_count())
        return NULL;
    struct thread *thread = table_at(index);
    const uint64_t life = life_of(thread);
    return (uint32_t)life != LIFE_FREE && clock_of(thread, life) == clock ? thread : NULL;
}

int green_getcpuclockid(green_t id, clockid_t *clock)
{
    if (!clock)
        return EINVAL;
    int error = kernel_clock(id, clock);
    if (error != ENOTSUP)
        return error;
    struct thread *self = enter();
    const struct thread *thread = table_find(id);
    watch();
    if (thread)
        *clock = clock_of(thread, id);
    leave(self);
    return thread ? 0 : ESRCH;
}

/* Of a clock of ours: 0, EINVAL. */
static int read_clock(clockid_t clock, struct timespec *time)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    watch();
    struct thread *thread = clock == CLOCK_THREAD_CPUTIME_ID ? self : thread_of(clock);
    if (thread)
        *time = clock_timespec(time_of(thread));
    leave(self);
    return thread ? 0 : EINVAL;
}

static bool is_ours(clockid_t clock)
{
    return clock > 0 && clock & CLOCK_OURS;
}

static bool is_divided(clockid_t clock)
{
    return is_ours(clock) ||
           (clock == CLOCK_THREAD_CPUTIME_ID && self_thread && self_thread->kind == THREAD_MULTIPLEXED);
}

static inline int read_any(clockid_t clock, struct timespec *time)
{
    if (likely(!is_divided(clock)))
        return REAL(clock_gettime)(clock, time);
    int error = time ? read_clock(clock, time) : EFAULT;
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int green_clock_gettime(clockid_t clock, struct timespec *time)
{
    return read_any(clock, time);
}

/* In place of libc's. */
GREEN_API int clock_gettime(clockid_t clock, struct timespec *time)
{
    return read_any(clock, time);
}

GREEN_API int clock_getres(clockid_t clock, struct timespec *resolution)
{
    return REAL(clock_getres)(is_ours(clock) ? CLOCK_THREAD_CPUTIME_ID : clock, resolution);
}
