/*
 * Which thread a signal goes to, and how that thread comes to see it.
 *
 * Four cases, counted: the thread that the kernel interrupted, or that sends it to itself, takes it on the spot; one
 * that is ready or parked is marked, and woken; one that runs on another worker is sent a signal of the same number
 * there ("kick"), which carries nothing but interrupts, with or without EINTR as the program's action says; and when
 * nobody is open it stays pending for the process: here, or in the kernel when a signalfd may read it (signalfd.c, also for
 * why not always).  A thread in sigwait() for it comes before all of these, then one
 * in sigsuspend().
 *
 * A signal to one thread is pending there whoever is open.
 *
 * All of it is done under one lock, for the whole process: a signal costs microseconds in the kernel, so no program
 * sends enough of them for several workers to wait for each other here; a mask's change, which is frequent, takes the
 * lock only when something is pending.  Rejected: a lock for each thread, since choosing one for the process's signal
 * looks at all of them, and moving a signal from one set to another would take two.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <green/signal.h>

#include "base/barrier.h"
#include "base/futex.h"
#include "core/runq.h"
#include "core/table.h"
#include "core/tick.h"
#include "signal/signal.h"

/* Its address marks a kick. */
static char kick_mark;

bool signal_is_kick(const siginfo_t *info)
{
    return info->si_code == SI_QUEUE && info->si_value.sival_ptr == &kick_mark;
}

void signal_fill_info(siginfo_t *info, int number, int code)
{
    memset(info, 0, sizeof *info);
    info->si_signo = number;
    info->si_code = code;
    info->si_pid = getpid();
    info->si_uid = getuid();
}

/* One that is lost because the kernel has such a one pending there does no harm: that one does the same. */
static void kick(const struct worker *worker, int number)
{
    siginfo_t info;
    int saved_errno = errno;
    long error = -1;

    if (number != settings.signal && signal_is_ours(number) && !(atomic_load(&signal_kept) & signal_bit(number))) {
        signal_fill_info(&info, number, SI_QUEUE);
        info.si_value.sival_ptr = &kick_mark;
        error = syscall(SYS_rt_tgsigqueueinfo, info.si_pid, worker->tid, number, &info);
    }
    if (error)
        tick_send((struct worker *)(uintptr_t)worker);
    errno = saved_errno;
}

/*
 * A worker that sleeps may lose its processor at any time, and a thread that is back from the kernel may have none:
 * they leave the queue of a processor alone.
 */
void signal_ready(struct thread *self, struct thread *thread)
{
    if (thread->kind != THREAD_FOREIGN && (self->kind == THREAD_WORKER || !hold_keep(self->worker))) {
        atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
        global_push_one(thread);
        wake_for(NULL);
        return;
    }
    ready(self, thread);
}

void signal_resume(struct thread *self, struct thread *thread)
{
    if (thread->kind == THREAD_FOREIGN)
        futex_wake(&thread->wake, 1); /* and no more: it may have seen it already, and wait anew */
    else
        signal_ready(self, thread);
}

/* Marked, and the barrier passed: from here on it sees the mark when it is dispatched, or is running now. */
static void wake(struct thread *self, struct thread *thread, int number)
{
    if (park_claim_for_signal(thread)) {
        signal_resume(self, thread);
        signal_count(SIGNALS_WOKEN);
    } else if (atomic_load(&thread->state) == THREAD_RUNNING) {
        kick(thread->worker, number);
        signal_count(SIGNALS_DIRECTED);
    } else {
        signal_count(SIGNALS_WOKEN);
    }
}

static void mark(struct thread *self, struct thread *thread)
{
    atomic_fetch_or(&thread->special, SPECIAL_SIGNAL);
    if (thread == self)
        self->worker->tick_pending = true;
    else
        heavy_barrier();
}

/*
 * An open thread would get it: what needs no thread is done here.  The number whose default action is to follow once
 * the lock is released goes to *fatal.  False: a handler is to run on a thread.
 */
static bool dispose(struct thread *self, struct pending from, int number, int *fatal)
{
    struct sigaction action = signal_action(number);
    enum verdict verdict = signal_verdict(number, &action);
    siginfo_t info;

    if (verdict == VERDICT_HANDLER || !pending_take(from, signal_bit(number), &info))
        return false;
    if (verdict == VERDICT_THREAD)
        return signal_threads_post(self, &info, &action) || pending_add(from, &info, true) == QUEUE_FULL;
    if (verdict == VERDICT_DEFAULT)
        *fatal = number;
    signal_count(SIGNALS_DISCARDED);
    return true;
}

static void end_if(int fatal)
{
    if (fatal)
        signal_default(fatal);
}

/* Under the lock: 0, EAGAIN, ESRCH. */
static int to_thread(struct thread *self, struct thread *thread, green_t id, const siginfo_t *info, bool forced,
                     int *fatal)
{
    const uint64_t bit = signal_bit(info->si_signo);
    siginfo_t back;

    if (id && atomic_load(&thread->life) >> 32 != id >> 32)
        return ESRCH;
    signal_see(info->si_signo);
    if (thread->sigwaits & bit && signal_hand_over(self, thread, info))
        return 0;
    if (atomic_load(&thread->state) == THREAD_EXITED) {
        signal_count(SIGNALS_DISCARDED);
        return 0;
    }
    enum queued queued = pending_add(pending_of(thread), info, forced);
    if (queued == QUEUE_FULL)
        return EAGAIN;
    if (queued == COALESCED) {
        signal_count(SIGNALS_COALESCED);
        return 0;
    }
    mark(self, thread);
    if (id && atomic_load(&thread->life) >> 32 != id >> 32) { /* its next life has nothing to do with it */
        pending_take(pending_of(thread), bit, &back);
        return ESRCH;
    }
    if (signal_mask(thread) & bit || dispose(self, pending_of(thread), info->si_signo, fatal))
        return 0;
    if (thread == self)
        signal_count(SIGNALS_HERE);
    else
        wake(self, thread, info->si_signo);
    return 0;
}

int signal_to_thread(struct thread *self, struct thread *thread, green_t id, const siginfo_t *info, bool forced)
{
    int fatal = 0;

    signals_lock();
    int error = to_thread(self, thread, id, info, forced, &fatal);
    signals_unlock();
    end_if(fatal);
    return error;
}

static bool is_open(struct thread *thread, uint64_t bit)
{
    const unsigned state = atomic_load_explicit(&thread->state, memory_order_relaxed);
    const bool alive = (uint32_t)atomic_load_explicit(&thread->life, memory_order_relaxed) != LIFE_FREE;

    if (!alive || signal_mask(thread) & bit)
        return false;
    return state == THREAD_READY || state == THREAD_RUNNING || (state == THREAD_PARKED && thread->depth == 1);
}

/* One that is ready or parked rather than one that runs elsewhere. */
static struct thread *search(uint64_t bit)
{
    struct thread *running = NULL;

    for (uint32_t index = 0; index < table_count(); index++) {
        struct thread *thread = table_at(index);
        if (!is_open(thread, bit))
            continue;
        if (atomic_load_explicit(&thread->state, memory_order_relaxed) != THREAD_RUNNING)
            return thread;
        running = thread;
    }
    return running;
}

static struct thread *choose_for(struct thread *self, uint64_t bit)
{
    struct thread *thread = signal_suspended_open(bit);

    if (thread)
        return thread;
    if (self->kind != THREAD_WORKER && !(signal_mask(self) & bit))
        return self;
    return search(bit);
}

bool signal_somebody_open(struct thread *self, uint64_t bit)
{
    return choose_for(self, bit) != NULL;
}

/*
 * Make a thread look at what is pending for the process; false: nobody is open.  Two looks, the second one after a
 * barrier: a thread that opens its mask meanwhile either is seen then or sees the signal.  `older` than what the kernel
 * has, if it keeps it.
 */
static bool route(struct thread *self, int number, bool older, int *fatal)
{
    const uint64_t bit = signal_bit(number);

    for (bool again = false;;) {
        struct thread *thread = choose_for(self, bit);
        if (!thread) {
            if (again) {
                signal_keep(self, number, older);
                return false;
            }
            heavy_barrier();
            again = true;
            continue;
        }
        if (dispose(self, pending_of_process(), number, fatal))
            return true;
        mark(self, thread);
        if (thread == self) {
            signal_count(SIGNALS_HERE);
            return true;
        }
        if (signal_mask(thread) & bit)
            continue;
        wake(self, thread, number);
        return true;
    }
}

static int to_process(struct thread *self, const siginfo_t *info, bool forced, int *fatal)
{
    if (signal_hand_to_waiter(self, info))
        return 0;
    enum queued queued = pending_add(pending_of_process(), info, forced);
    if (queued == COALESCED)
        signal_count(SIGNALS_COALESCED);
    if (queued == QUEUED && !route(self, info->si_signo, forced, fatal))
        signal_count(SIGNALS_HELD);
    return queued == QUEUE_FULL ? EAGAIN : 0;
}

int signal_to_process(struct thread *self, const siginfo_t *info, bool forced)
{
    int fatal = 0;

    signals_lock();
    int error = to_process(self, info, forced, &fatal);
    signals_unlock();
    end_if(fatal);
    return error;
}

void signal_route_again(struct thread *self, uint64_t closed)
{
    uint64_t set = atomic_load(&signal_process_set) & closed;
    int fatal = 0; /* it would have been done when the signal came, to whom was open then */

    for (; set; set &= set - 1)
        route(self, signal_lowest(set), true, &fatal);
}

/* Under one lock, so who opens finds it in the kernel, or here, and never on its way. */
void signal_route_watched(struct thread *self)
{
    siginfo_t info;
    int fatal = 0;

    signals_lock();
    while (!fatal && signal_take_from_kernel(self, signal_watched(), &info))
        to_process(self, &info, true, &fatal);
    signals_unlock();
    end_if(fatal);
}

/* The thread must not end or be reused meanwhile, or its id is checked under the lock. */
static int send_to_thread(green_t id, const siginfo_t *info)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *thread = table_find(id);
    int error = thread ? 0 : ESRCH;
    if (thread && info->si_signo != 0)
        error = signal_to_thread(self, thread, id, info, false);
    leave(self);
    return error;
}

int green_kill(green_t id, int number)
{
    siginfo_t info;

    if (number != 0 && !signal_valid(number))
        return EINVAL;
    signal_fill_info(&info, number, SI_TKILL);
    return send_to_thread(id, &info);
}

int green_sigqueue_np(green_t id, int number, const union sigval value)
{
    siginfo_t info;

    if (number != 0 && !signal_valid(number))
        return EINVAL;
    signal_fill_info(&info, number, SI_QUEUE);
    info.si_value = value;
    return send_to_thread(id, &info);
}

static int send_to_process(const siginfo_t *info)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = signal_to_process(self, info, false);
    leave(self);
    return error;
}

/* SIGKILL and SIGSTOP are the kernel's, and so is what the program has never given to the table: its action is. */
int green_sigqueue(pid_t pid, int number, const union sigval value)
{
    siginfo_t info;

    if (pid != getpid() || !signal_valid(number) ||
        !(atomic_load(&signal_seen) & ~SIGNALS_UNBLOCKABLE & signal_bit(number)))
        return sigqueue(pid, number, value);
    signal_fill_info(&info, number, SI_QUEUE);
    info.si_value = value;
    int error = send_to_process(&info);
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int green_raise(int number)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    green_t id = thread_id(self);
    leave(self);
    return green_kill(id, number);
}
