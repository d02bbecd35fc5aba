/* The tick sources.  See tick.h. */
#include "core/tick.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/kernel_thread.h"
#include "core/monitor.h"
#include "core/sched.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/*
 * The clock's shortest period: how long a thread that is back from the kernel runs without a processor.  In the kernel, where
 * it does not tick, it takes a part of the time; so it is kicked more gently where the worker may be there.  20 us were
 * rejected: on a virtual machine, where each such interrupt takes half of that, the next one meets the kernel's way out
 * of the last, and the handler does not get to where it stops the clock: back from a block in 1,100 and not in 300 us.
 */
enum { CLOCK_MIN_NS = 50000, CLOCK_AGAIN_NS = 100000, LAG_STEP_NS = 250, LAG_MAX_NS = 100000 };

/* Its address marks a signal as a tick. */
static char tick_mark;

/* The ticker: told by `changed` that a deadline earlier than the one it sleeps for was set. */
static struct {
    _Atomic uint32_t changed;
    _Atomic uint64_t sleeps_until;
    _Atomic bool running;
} ticker;

static bool is_any_clock(int fd)
{
    const struct worker *worker = workers_all();

    while (worker && worker->clock_fd != fd)
        worker = worker->next;
    return worker != NULL;
}

/*
 * Valgrind delivers a signal that came during a system call even if another one of the same number, which it finds just
 * after the call, has been given to the thread before (after tgkill(), say).  So a tick may come before the first
 * instruction of a tick's handler, which then runs on another worker.
 */
static bool is_clock(int fd)
{
    return fd >= 0 && self_thread &&
           (self_thread->worker->clock_fd == fd || (annotate_under_valgrind() && is_any_clock(fd)));
}

bool tick_is_ours(const siginfo_t *info)
{
    if (info->si_code == POLL_IN || info->si_code == POLL_HUP)
        return is_clock(info->si_fd);
    return (info->si_code == SI_TIMER || info->si_code == SI_QUEUE) && info->si_value.sival_ptr == &tick_mark;
}

static bool has_clock(const struct worker *worker)
{
    return worker->clock_fd >= 0 && settings.watch != GREEN_MONITOR_OFF &&
           (settings.tick == GREEN_TICK_PERF || settings.tick == GREEN_TICK_DEFAULT);
}

/* Not before the monitor runs: a worker that is blocked must be ticked until then, as what it waits for is another's. */
static bool on_clock(const struct worker *worker)
{
    return has_clock(worker) && monitor_runs();
}

const char *tick_source_name(void)
{
    const struct worker *any = workers_all();

    while (any && !any->tid) /* one that has ended */
        any = any->next;
    if (!settings.preempt)
        return "off";
    if (settings.tick == GREEN_TICK_MONITOR)
        return "monitor";
    return any && has_clock(any) ? "perf" : "timer";
}

static bool queue(const struct worker *worker, int signal, void *value)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_value.sival_ptr = value;
    return syscall(SYS_rt_tgsigqueueinfo, info.si_pid, worker->tid, signal, &info) == 0;
}

/*
 * By way of libc's signal, which queues: one of the program's number is dropped when one is pending, and since Linux 6.13
 * that one, too, when it is a timer's and the timer is set anew.  One at a time, as a worker may be in an uninterruptible
 * call for long.
 */
void tick_send(struct worker *worker)
{
    const int saved_errno = errno;

    if (!atomic_exchange(&worker->sent, true) &&
        (!kernel_thread_signal() || !queue(worker, kernel_thread_signal(), worker))) {
        atomic_store(&worker->sent, false); /* too many may be queued */
        queue(worker, settings.signal, &tick_mark);
    }
    errno = saved_errno;
}

/* Nobody sets the timer before the tick comes, which is when this handler returns. */
void tick_received(struct worker *worker)
{
    const int saved_errno = errno;

    atomic_store(&worker->sent, false);
    queue(worker, settings.signal, &tick_mark);
    errno = saved_errno;
}

void tick_hold_back(struct worker *worker)
{
    atomic_store(&worker->sent, true);
}

void tick_let_come(struct worker *worker)
{
    atomic_store(&worker->sent, false);
    worker->tick_pending = true;
}

/* Signal the workers that are due; the first deadline of the others. */
static uint64_t ticker_round(uint64_t now)
{
    uint64_t first = NEVER;

    for (struct worker *worker = workers_all(); worker; worker = worker->next) {
        uint64_t deadline = atomic_load(&worker->tick_deadline);
        if (deadline <= now) {
            if (atomic_compare_exchange_strong(&worker->tick_deadline, &deadline, NEVER))
                queue(worker, settings.signal, &tick_mark);
        } else if (deadline < first) {
            first = deadline;
        }
    }
    return first;
}

static void *ticker_run(void *arg)
{
    (void)arg;
    for (;;) {
        uint32_t seen = atomic_load(&ticker.changed);
        atomic_store(&ticker.sleeps_until, 0); /* awake: it will see what is set from here on */
        uint64_t first = ticker_round(clock_now());
        atomic_store(&ticker.sleeps_until, first);
        if (ticker_round(clock_now()) >= first)
            futex_wait(&ticker.changed, seen, first);
    }
    return NULL;
}

int tick_source_start(void)
{
    if (!settings.preempt || settings.tick != GREEN_TICK_MONITOR || atomic_exchange(&ticker.running, true))
        return 0;
    int error = service_start(ticker_run);
    if (error)
        atomic_store(&ticker.running, false);
    return error;
}

/*
 * A clock that runs while the worker runs the program's code, and signals when it has for a period: such a signal
 * never meets a system call, so it interrupts none.  Not with a signal that queues: where a worker needs longer for each
 * than the period (under Valgrind, say), they fill the quota of all the user's processes.
 */
static int clock_open(struct worker *worker)
{
    struct perf_event_attr attr;
    struct f_owner_ex owner = {F_OWNER_TID, worker->tid};

    memset(&attr, 0, sizeof attr);
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_CPU_CLOCK;
    attr.sample_period = CLOCK_MIN_NS;
    attr.disabled = attr.exclude_kernel = attr.exclude_hv = 1;
    int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETSIG, settings.signal) == 0 && fcntl(fd, F_SETOWN_EX, &owner) == 0 &&
        fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) == 0)
        return fd;
    close(fd);
    return -1;
}

int tick_worker_start(struct worker *worker)
{
    struct sigevent event;

    atomic_store(&worker->tick_deadline, NEVER);
    atomic_store(&worker->sent, false);
    worker->armed = NEVER;
    worker->clock_fd = settings.preempt && settings.signal < SIGRTMIN ? clock_open(worker) : -1;
    if (!settings.preempt || settings.tick == GREEN_TICK_MONITOR)
        return 0;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = settings.signal;
    event.sigev_value.sival_ptr = &tick_mark;
    event.sigev_notify_thread_id = worker->tid;
    return timer_create(CLOCK_MONOTONIC, &event, &worker->timer) == 0 ? 0 : errno;
}

void tick_worker_stop(struct worker *worker)
{
    if (settings.preempt && settings.tick != GREEN_TICK_MONITOR)
        timer_delete(worker->timer);
    if (worker->clock_fd >= 0)
        close(worker->clock_fd);
    worker->clock_fd = -1;
    worker->clock_on = false;
    worker->clock_period = 0;
}

static void timer_need(struct worker *worker, uint64_t when)
{
    const struct itimerspec setting = {{0, 0}, clock_timespec(when ? when : 1)};

    if (when >= worker->armed)
        return;
    worker->armed = when;
    if (settings.tick != GREEN_TICK_MONITOR) {
        timer_settime(worker->timer, TIMER_ABSTIME, &setting, NULL);
        return;
    }
    atomic_store(&worker->tick_deadline, when);
    if (when < atomic_load(&ticker.sleeps_until)) {
        atomic_fetch_add(&ticker.changed, 1);
        futex_wake(&ticker.changed, 1);
    }
}

static bool clock_start(struct worker *worker, uint64_t now, uint64_t period)
{
    if (ioctl(worker->clock_fd, PERF_EVENT_IOC_PERIOD, &period) != 0 ||
        (!worker->clock_on && ioctl(worker->clock_fd, PERF_EVENT_IOC_ENABLE, 0) != 0))
        return false;
    worker->clock_on = true;
    worker->clock_ticked = worker->clock_aimed = false;
    worker->clock_deadline = NEVER;
    worker->clock_period = period;
    worker->clock_expires = now + period;
    return true;
}

/*
 * A kick is a short period, which the worker may be about to overwrite with another: so it is said before and after it
 * is set, and whoever sets another looks again when that is done, and kicks himself.  A tick answers it.
 */
static uint32_t clock_kicked(struct worker *worker)
{
    return unlikely(atomic_load_explicit(&worker->clock_kicked, memory_order_relaxed) > 0) ?
               atomic_exchange(&worker->clock_kicked, 0) : 0;
}

/*
 * Does the clock, as it is, serve?  For a slice a period that is about right does, and after a tick one that is shorter
 * than needed does not.  For a deadline, a tick that comes so long before it that the next can still be in time, but after
 * a tick only when few more will come before it; and when it is too near to be aimed at, a clock that ticks as fast as it
 * can.
 */
static bool clock_serves(const struct worker *worker, enum tick_kind kind, uint64_t when, uint64_t period)
{
    if (!worker->clock_on)
        return false;
    if (kind == TICK_DEADLINE && period == CLOCK_MIN_NS)
        return worker->clock_period == CLOCK_MIN_NS;
    if (kind == TICK_DEADLINE)
        return worker->clock_expires + 2 * CLOCK_MIN_NS <= when &&
               (!worker->clock_ticked || worker->clock_period >= period / 2);
    return worker->clock_period <= period + period / 16 &&
           (!worker->clock_ticked || worker->clock_period >= period - period / 16);
}

/* A program may have closed the descriptor, as daemons close all: then the timer serves. */
static void clock_need(struct worker *worker, enum tick_kind kind, uint64_t when)
{
    if (kind == TICK_DEADLINE && worker->clock_on && worker->clock_deadline == when &&
        !atomic_load_explicit(&worker->clock_kicked, memory_order_relaxed))
        return;
    const uint64_t now = clock_now(), from = now + (kind == TICK_DEADLINE ? worker->clock_lag : 0);
    const uint64_t period = when > from + CLOCK_MIN_NS ? when - from : CLOCK_MIN_NS;

    if (clock_kicked(worker)) {
        clock_start(worker, now, CLOCK_MIN_NS);
    } else if (clock_serves(worker, kind, when, period)) {
        worker->clock_ticked = false;
    } else if (!clock_start(worker, now, period)) {
        timer_need(worker, when);
    } else {
        worker->clock_aimed = kind == TICK_DEADLINE && period > CLOCK_MIN_NS;
        worker->clock_deadline = kind == TICK_DEADLINE ? when : NEVER;
        if (clock_kicked(worker))
            clock_start(worker, now, CLOCK_MIN_NS);
    }
}

/*
 * What the kernel takes from the clock's end to the tick: the median of what was seen, by which the next deadline is aimed
 * at earlier.  Some 20 us on a virtual machine, where the interrupt in which it sends the signal is dear.
 */
static void clock_learn_lag(struct worker *worker, uint64_t now)
{
    const uint64_t lag = now - worker->clock_expires;

    if (now < worker->clock_expires || lag > LAG_MAX_NS)
        return;
    if (lag > worker->clock_lag)
        worker->clock_lag += LAG_STEP_NS;
    else if (worker->clock_lag >= LAG_STEP_NS)
        worker->clock_lag -= LAG_STEP_NS;
}

static void clock_stop(struct worker *worker)
{
    if (clock_kicked(worker) || worker->clock_on)
        ioctl(worker->clock_fd, PERF_EVENT_IOC_DISABLE, 0);
    worker->clock_on = false;
    if (clock_kicked(worker))
        clock_start(worker, clock_now(), CLOCK_MIN_NS);
}

void tick_need(struct worker *worker, enum tick_kind kind, uint64_t when)
{
    int saved_errno = errno;

    if (!settings.preempt)
        return;
    if (on_clock(worker))
        clock_need(worker, kind, when);
    else
        timer_need(worker, when);
    errno = saved_errno;
}

void tick_came(struct worker *worker)
{
    worker->armed = worker->clock_deadline = NEVER;
    worker->clock_ticked = true;
    const uint32_t kicked = clock_kicked(worker);
    if (unlikely(kicked > 0)) {
        worker->clock_on = true;
        worker->clock_aimed = false;
        worker->clock_period = kicked;
    }
    const uint64_t now = clock_now();
    if (worker->clock_aimed)
        clock_learn_lag(worker, now);
    worker->clock_aimed = false;
    worker->clock_expires = now + worker->clock_period;
}

void tick_stop(struct worker *worker)
{
    int saved_errno = errno;

    clock_stop(worker);
    errno = saved_errno;
}

bool tick_comes_by(const struct worker *worker, uint64_t when)
{
    return on_clock(worker) ? worker->clock_on && worker->clock_expires <= when : worker->armed <= when;
}

void tick_disarm(struct worker *worker)
{
    const struct itimerspec never = {{0, 0}, {0, 0}};
    int saved_errno = errno;

    if (worker->armed != NEVER && settings.tick == GREEN_TICK_MONITOR)
        atomic_store(&worker->tick_deadline, NEVER);
    else if (worker->armed != NEVER)
        timer_settime(worker->timer, 0, &never, NULL);
    worker->armed = NEVER;
    errno = saved_errno;
}

void tick_clear(struct worker *worker)
{
    int saved_errno = errno;

    tick_disarm(worker);
    worker->returns = false;
    clock_stop(worker);
    errno = saved_errno;
}

static void clock_kick(struct worker *worker, uint32_t ns)
{
    const uint64_t period = ns;
    int saved_errno = errno;

    atomic_store(&worker->clock_kicked, ns);
    ioctl(worker->clock_fd, PERF_EVENT_IOC_PERIOD, &period);
    ioctl(worker->clock_fd, PERF_EVENT_IOC_ENABLE, 0);
    atomic_store(&worker->clock_kicked, ns);
    errno = saved_errno;
}

void tick_kick(struct worker *worker)
{
    if (on_clock(worker))
        clock_kick(worker, CLOCK_MIN_NS);
    else
        tick_send(worker);
}

bool tick_again(struct worker *worker)
{
    if (!on_clock(worker))
        return true;
    if (atomic_load_explicit(&worker->clock_kicked, memory_order_relaxed) > 0)
        return false;
    clock_kick(worker, CLOCK_AGAIN_NS);
    return true;
}

void tick_on_return(struct worker *worker)
{
    int saved_errno = errno;

    worker->returns = worker->clock_fd < 0 || !clock_start(worker, clock_now(), CLOCK_MIN_NS);
    errno = saved_errno;
}

void tick_fork_reset(void)
{
    atomic_store(&ticker.running, false);
    atomic_store(&self_thread->worker->sent, false);
}
