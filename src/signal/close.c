/*
 * Signals that nobody is open to: the kernel keeps them.
 *
 * When a signal for the process comes, no thread is open to it and none waits for it, then its number is closed: the
 * kernel thread blocks it, and the signal is given back to the kernel, which offers it to the next kernel thread.
 * There the same happens, until all have it closed or one that the library does not know takes it: a pthread of the
 * program's that is open, sigwait(), a signalfd.  So from the second signal on nobody is interrupted, the kernel
 * coalesces or queues, shows it as pending, and hands it to a program that is executed.
 *
 *   signal_closed   numbers that workers block, as nobody is open; written under the signal lock
 *   worker->closed  those that the kernel blocks on this kernel thread for that reason; its own, but others look
 *
 * Closing.  The router sets the number's bit, passes a heavy barrier, and looks for an open thread once more; a thread
 * stores its mask, and looks at the bit.  One of the two sees the other (route.c).
 *
 * Opening.  Who is open to a closed number clears its bit, opens its own kernel thread, where the kernel delivers at
 * once what it keeps, and sends a tick to the workers that have it closed.  A worker writes its `closed` before it
 * looks at the bits again; the opener clears the bit, passes a heavy barrier, and looks at `closed`: no worker stays
 * closed.  But one that is blocked in the kernel is left alone, as a signal would end its call: it opens as it returns.
 * A bound or foreign thread opens when it changes its mask.
 *
 * A preempted thread may go on elsewhere, so no frame of ours may carry one worker's mask to another: at the start of
 * a handler the frame is stripped of what was closed there, and at its end is given what is closed where it ends.
 *
 * The tick's signal is never closed, and nothing is under Valgrind, which takes no mask from a frame: such a signal
 * stays pending in the library.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/barrier.h"
#include "core/tick.h"
#include "signal/signal.h"

_Atomic uint64_t signal_closed;

static uint64_t closed_on(const struct worker *worker)
{
    return atomic_load_explicit(&worker->closed, memory_order_relaxed);
}

static void set_closed_on(struct worker *worker, uint64_t bits)
{
    atomic_store_explicit(&worker->closed, bits, memory_order_relaxed);
    compiler_barrier();
}

uint64_t signal_kernel_mask(struct worker *worker, uint64_t base)
{
    uint64_t closed;

    do {
        closed = atomic_load_explicit(&signal_closed, memory_order_relaxed);
        set_closed_on(worker, closed & ~base);
    } while (atomic_load_explicit(&signal_closed, memory_order_relaxed) != closed);
    return base | closed;
}

static uint64_t frame_mask(const ucontext_t *frame)
{
    uint64_t bits;

    memcpy(&bits, &frame->uc_sigmask, sizeof bits); /* the kernel's frame has no room for more */
    return bits;
}

void signal_frame_strip(const struct worker *worker, ucontext_t *frame)
{
    const uint64_t base = frame_mask(frame) & ~closed_on(worker);

    memcpy(&frame->uc_sigmask, &base, sizeof base);
}

void signal_frame_dress(struct worker *worker, ucontext_t *frame)
{
    const uint64_t mask = signal_kernel_mask(worker, frame_mask(frame) & ~closed_on(worker));

    memcpy(&frame->uc_sigmask, &mask, sizeof mask);
}

void signal_open_here(struct worker *worker)
{
    const uint64_t stale = closed_on(worker) & ~atomic_load(&signal_closed);
    sigset_t set;

    if (!stale)
        return;
    if (worker->tick_blocked) { /* all is blocked here, perhaps for want of room: who opens that sees to this */
        worker->tick_pending = true;
        return;
    }
    set_closed_on(worker, closed_on(worker) & ~stale);
    signal_set(&set, stale);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool signal_closable(int number)
{
    return number != settings.signal && signal_is_ours(number) && !signal_is_synchronous(number) &&
           !annotate_under_valgrind();
}

/* In a handler they are blocked anyway, and the frame has the mask that counts. */
static void close_here(struct worker *worker, uint64_t bits)
{
    sigset_t set, before;

    if ((closed_on(worker) & bits) == bits)
        return;
    signal_set(&set, bits);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    set_closed_on(worker, closed_on(worker) | (bits & ~signal_bits(&before)));
}

/* The kernel tells of those only that are blocked where it is asked. */
uint64_t signal_kernel_keeps(struct thread *self)
{
    const uint64_t closed = atomic_load(&signal_closed);
    sigset_t pending;

    if (!closed)
        return 0;
    close_here(self->worker, closed);
    sigpending(&pending);
    return signal_bits(&pending) & closed;
}

bool signal_take_from_kernel(struct thread *self, uint64_t wanted, siginfo_t *info)
{
    const struct timespec now = {0, 0};
    int saved_errno = errno;
    long number;
    bool kick;

    do {
        number = syscall(SYS_rt_sigtimedwait, &wanted, info, &now, sizeof wanted);
        kick = number > 0 && signal_is_kick(info);
        if (kick)
            self->worker->tick_pending = true; /* which makes it look as well */
    } while (kick || (number < 0 && errno == EINTR));
    errno = saved_errno;
    return number > 0;
}

/*
 * What has come from the kernel is older than what the kernel still has of its number: it goes before that.  Of a
 * standard signal the one that the kernel has stays.
 */
static void gather(struct thread *self, int number, bool from_kernel)
{
    const uint64_t bit = signal_bit(number);
    siginfo_t info, ours;

    if (number < SIGRTMIN) {
        if (!signal_take_from_kernel(self, bit, &info))
            return;
        pending_take(pending_of_process(), bit, &ours);
        pending_add(pending_of_process(), &info, true);
        signal_count(SIGNALS_COALESCED);
        return;
    }
    while (from_kernel && signal_take_from_kernel(self, bit, &info))
        pending_add(pending_of_process(), &info, true);
}

/* Named by the caller's kernel thread, the kernel lets the caller pass on what others, or itself, have sent. */
bool signal_queue_to_process(const siginfo_t *info)
{
    return syscall(SYS_rt_sigqueueinfo, gettid(), info->si_signo, info) == 0;
}

void signal_give_to_kernel(struct thread *self, int number, bool from_kernel)
{
    const uint64_t bit = signal_bit(number);
    int saved_errno = errno;
    siginfo_t info;

    if (!(atomic_load(&signal_closed) & bit))
        return;
    close_here(self->worker, bit);
    gather(self, number, from_kernel);
    while (pending_take(pending_of_process(), bit, &info)) {
        if (!signal_queue_to_process(&info)) { /* beyond the kernel's limit: it stays here */
            pending_add(pending_of_process(), &info, true);
            break;
        }
        signal_count(SIGNALS_RETURNED);
    }
    errno = saved_errno;
}

/* A worker without a processor is blocked in the kernel, or sleeps as a spare: that one has a depth. */
static bool may_be_told(const struct worker *worker)
{
    return worker->tid != 0 && atomic_load(&worker->hold) != HOLD_REVOKED;
}

void signal_open(struct thread *self, uint64_t opened)
{
    const uint64_t bits = atomic_load(&signal_closed) & opened;

    if (bits) {
        atomic_fetch_and(&signal_closed, ~bits);
        heavy_barrier();
        signal_count(SIGNALS_OPENED);
    }
    signal_open_here(self->worker);
    for (struct worker *worker = bits ? workers_all() : NULL; worker; worker = worker->next)
        if (worker != self->worker && closed_on(worker) & bits && may_be_told(worker))
            tick_send(worker);
}

/* The same where nothing is locked; what that brings is routed. */
void signal_open_own(struct thread *self)
{
    signals_lock();
    signal_open(self, ~signal_mask(self));
    signals_unlock();
    signal_route_held(self->worker);
}

/* A bound thread's kernel thread has the mask of its creator's, where something may have been closed. */
void signal_kernel_thread_begins(struct worker *worker)
{
    sigset_t mask;

    atomic_store(&worker->closed, 0);
    if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0 || !(signal_bits(&mask) & signals_ours()))
        return;
    signal_set(&mask, signal_kernel_mask(worker, signal_bits(&mask) & ~signals_ours()));
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* The child's kernel thread has its parent's mask, and nothing is pending. */
void signal_close_fork_reset(struct worker *worker)
{
    atomic_store(&signal_closed, 0);
    signal_open_here(worker);
}
