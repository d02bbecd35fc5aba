/*
 * signalfd(): what a descriptor is to read must be pending in the kernel.
 *
 * A signal that nobody is open to is held in this library, where no descriptor finds it.  So the numbers that were
 * ever given to signalfd() are kept out: every kernel thread of ours has them blocked, for ever, and the kernel holds
 * what comes.  A thread is open to such a number as to any other, by the word that is its mask.
 *
 *   signal_kept  the numbers; only grows, as nobody says which descriptor was the last one
 *   watched      of these, somebody may be open to them or wait for them: a kernel thread of its own, the receiver,
 *                takes them from the kernel and routes them
 *
 * Invariant: while a thread is open to a kept number, or waits for it, it is watched.  Who opens or waits says so under
 * the signal lock; who finds under that lock that nobody is open (route.c) ends the watch and gives the signal to the
 * kernel again, with what came with it.  Opening takes what the kernel has in the same breath, so it is handled before
 * green_sigmask() returns, and a change that opens a kept number costs system calls.
 *
 * Kernel masks are closed by a tick to each worker: in the frame of every handler of ours, and where a worker opens its
 * mask.  But one that is blocked in the kernel is left alone, and kernel threads that are not ours are not known.  A
 * kernel thread that has the number open yet is interrupted by it once, closes it and hands the signal back; so nothing
 * is lost while some are open, though one may overtake another, or be on its way for some 50 us.  A closed number
 * cannot be a kick either: a tick is sent instead, after which a blocked call goes on.
 *
 * Rejected: closing and opening the workers' masks for every number, as its last open thread closes and its first one
 * opens.  The kernel then gives the signal to any other kernel thread of the process that is open (a library's; a
 * worker that has not heard yet), whose handler has it in hand for some 50 us: green_sigmask() returned before it was
 * handled, and in a third of the runs two of them changed places.  And each frame of a preempted thread would have to
 * be told what was opened meanwhile.
 *
 * Not seen: the system call without libc's name; a signal for one green thread, which is pending here; the tick's own
 * number, and those of faults.  Under Valgrind nothing is kept, as it takes no mask from a frame.
 */
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <green/sched.h>
#include <green/signal.h>

#include "base/annotate.h"
#include "base/barrier.h"
#include "base/kernel_signal.h"
#include "core/tick.h"
#include "mem/interpose.h"
#include "signal/signal.h"

_Atomic uint64_t signal_kept;

/* Given to signalfd(), perhaps before the library ran. */
static _Atomic uint64_t asked;

/* Guarded by the signal lock. */
static uint64_t watched;
static int watch_fd = -1;
static bool started;
static green_sem_t receiver_ready;

static void set_watched(uint64_t bits)
{
    int saved_errno = errno;

    if (bits != watched)
        syscall(SYS_signalfd4, watch_fd, &bits, sizeof bits, SFD_CLOEXEC | SFD_NONBLOCK); /* and wakes the receiver */
    watched = bits;
    errno = saved_errno;
}

uint64_t signal_watched(void)
{
    return watched;
}

void signal_watch(uint64_t bits)
{
    set_watched(watched | (bits & atomic_load(&signal_kept)));
}

void signal_frame_close(ucontext_t *frame)
{
    uint64_t bits; /* the kernel's frame has no room for more */

    memcpy(&bits, &frame->uc_sigmask, sizeof bits);
    bits |= atomic_load_explicit(&signal_kept, memory_order_relaxed);
    memcpy(&frame->uc_sigmask, &bits, sizeof bits);
}

/* In a handler of ours they are blocked anyway, and its frame is closed. */
static void close_here(void)
{
    sigset_t set;

    signal_set(&set, atomic_load(&signal_kept));
    kernel_sigmask(SIG_BLOCK, &set, NULL);
}

bool signal_take_from_kernel(struct thread *self, uint64_t wanted, siginfo_t *info)
{
    const struct timespec now = {0, 0};
    int saved_errno = errno;
    bool again;
    long number;

    do {
        number = wanted ? syscall(SYS_rt_sigtimedwait, &wanted, info, &now, sizeof wanted) : 0;
        again = number < 0 && errno == EINTR;
        if (number > 0 && signal_is_kick(info)) { /* sent before the number was kept */
            self->worker->tick_pending = true;
            again = true;
        }
    } while (again);
    errno = saved_errno;
    return number > 0;
}

void signal_fetch(struct thread *self, uint64_t opened)
{
    const uint64_t bits = opened & atomic_load_explicit(&signal_kept, memory_order_relaxed);
    siginfo_t info;

    if (likely(!bits))
        return;
    signal_watch(bits);
    while (signal_take_from_kernel(self, bits, &info))
        if (!signal_hand_to_waiter(self, &info) && pending_add(pending_of_process(), &info, true) == COALESCED)
            signal_count(SIGNALS_COALESCED);
}

uint64_t signal_kernel_has(void)
{
    uint64_t pending = 0;

    if (!atomic_load_explicit(&signal_kept, memory_order_relaxed))
        return 0;
    close_here(); /* the kernel tells of what is blocked where it is asked */
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    return pending & atomic_load(&signal_kept);
}

/*
 * What has come from the kernel is older than what that still has of its number, and goes before it.  Of two standard
 * ones the kernel's stays.
 */
static void gather(struct thread *self, int number, bool older)
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
    while (older && signal_take_from_kernel(self, bit, &info))
        pending_add(pending_of_process(), &info, true);
}

/* Named by the caller's kernel thread, the kernel lets the caller pass on what others, or itself, have sent. */
bool signal_queue_to_process(const siginfo_t *info)
{
    int saved_errno = errno;
    const bool sent = syscall(SYS_rt_sigqueueinfo, gettid(), info->si_signo, info) == 0;

    errno = saved_errno;
    return sent;
}

void signal_keep(struct thread *self, int number, bool older)
{
    const uint64_t bit = signal_bit(number);
    siginfo_t info;

    if (likely(!(atomic_load_explicit(&signal_kept, memory_order_relaxed) & bit)))
        return;
    set_watched(watched & ~bit);
    close_here();
    gather(self, number, older);
    while (pending_take(pending_of_process(), bit, &info)) {
        if (!signal_queue_to_process(&info)) { /* beyond the kernel's limit: it stays here */
            pending_add(pending_of_process(), &info, true);
            break;
        }
        signal_count(SIGNALS_RETURNED);
    }
}

/* It lives on a kernel thread of its own, which no signal shall find. */
static void *receive(void *arg)
{
    struct pollfd poll = {.events = POLLIN};
    sigset_t all;

    sigfillset(&all);
    kernel_sigmask(SIG_SETMASK, &all, NULL);
    green_sem_post(&receiver_ready);
    for (;;) {
        struct thread *self = enter();
        poll.fd = watch_fd;
        leave(self);
        ppoll(&poll, 1, NULL, NULL);
        self = enter();
        signal_route_watched(self);
        leave(self);
    }
    return arg;
}

static int make_receiver(void)
{
    green_sem_init(&receiver_ready, 0, 0);
    int error = signal_services_start("signal receiver", GREEN_SCOPE_SYSTEM, receive, 1);
    started = !error;
    while (!error && green_sem_wait(&receiver_ready) != 0)
        continue;
    return error;
}

/* At depth 0: 0 or an error. */
static int start_receiver(void)
{
    const uint64_t none = 0;
    struct thread *self = enter();
    int error = 0;

    if (!self)
        return ENOMEM;
    signals_lock();
    const bool first = !started;
    if (watch_fd < 0)
        watch_fd = (int)syscall(SYS_signalfd4, -1, &none, sizeof none, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watch_fd < 0)
        error = errno;
    else
        started = true;
    signals_unlock();
    leave(self);
    return !error && first ? make_receiver() : error;
}

/* Under the lock: from now on it is kept.  A number that is blocked everywhere never passes through our hands. */
static void keep_number(struct thread *self, int number)
{
    const uint64_t bit = signal_bit(number);

    if (signal_waiter_of(bit) || signal_somebody_open(self, bit))
        signal_watch(bit);
    else
        signal_keep(self, number, true);
}

/* Who has no processor is blocked in the kernel: a tick would end its call. */
static void close_elsewhere(const struct thread *self)
{
    for (struct worker *worker = workers_all(); worker; worker = worker->next)
        if (worker != self->worker && worker->tid && atomic_load(&worker->hold) != HOLD_REVOKED)
            tick_send(worker);
}

static int keep(uint64_t bits)
{
    int error = start_receiver();

    if (error)
        return error;
    struct thread *self = enter();
    signal_mask_first(bits);
    signals_lock();
    bits &= ~atomic_load(&signal_kept);
    atomic_fetch_or(&signal_kept, bits);
    close_here();
    close_elsewhere(self);
    heavy_barrier();
    for (; bits; bits &= bits - 1)
        keep_number(self, signal_lowest(bits));
    signals_unlock();
    leave(self);
    return 0;
}

static bool can_be_kept(int number)
{
    return signal_valid(number) && number != settings.signal && !signal_is_synchronous(number);
}

/* Where no worker is the library does not run yet. */
static int keep_asked(void)
{
    uint64_t bits = 0;

    if (!workers_all() || annotate_under_valgrind())
        return 0;
    for (int number = 1; number <= SIGNALS; number++)
        if (can_be_kept(number))
            bits |= signal_bit(number);
    bits &= atomic_load(&asked) & ~atomic_load(&signal_kept);
    return bits ? keep(bits) : 0;
}

int signals_start(void)
{
    return keep_asked();
}

GREEN_API int signalfd(int fd, const sigset_t *mask, int flags)
{
    const int made = REAL(signalfd)(fd, mask, flags);

    if (made < 0)
        return made;
    atomic_fetch_or(&asked, signal_bits(mask));
    const int error = keep_asked();
    if (!error)
        return made;
    if (fd < 0)
        close(made);
    errno = error;
    return -1;
}

/* The descriptor is the parent's, too, and its set must not be changed; nothing is pending. */
void signal_kept_fork_reset(const struct thread *survivor)
{
    if (watch_fd < 0)
        return;
    close(watch_fd);
    watched = atomic_load(&signal_kept) & ~signal_mask(survivor);
    watch_fd = (int)syscall(SYS_signalfd4, -1, &watched, sizeof watched, SFD_CLOEXEC | SFD_NONBLOCK);
}

void signal_kept_fork_finish(void)
{
    if (started)
        make_receiver();
}
