/*
 * Waiting for signals: sigwait() and its kin take one without a handler, sigsuspend() waits for a handler to run.
 *
 * Who waits is on a list under the signal lock, under which it parks, too: the sender takes it off, hands the siginfo
 * over and wakes it, or finds it gone.
 */
#include <errno.h>

#include <green/signal.h>

#include "core/cancel.h"
#include "signal/signal.h"

/* Guarded by the signal lock; the longest waiting first. */
static struct thread *waiters;
static struct thread *suspended;

static void list_append(struct thread **list, struct thread *thread)
{
    while (*list)
        list = &(*list)->next_waiter;
    thread->next_waiter = NULL;
    *list = thread;
}

static void list_remove(struct thread **list, struct thread *thread)
{
    while (*list && *list != thread)
        list = &(*list)->next_waiter;
    if (*list)
        *list = thread->next_waiter;
}

struct thread *signal_waiter_of(uint64_t bit)
{
    for (struct thread *waiter = waiters; waiter; waiter = waiter->next_waiter)
        if (waiter->sigwaits & bit)
            return waiter;
    return NULL;
}

struct thread *signal_suspended_open(uint64_t bit)
{
    for (struct thread *thread = suspended; thread; thread = thread->next_waiter)
        if (!(signal_mask(thread) & bit))
            return thread;
    return NULL;
}

static void stop_waiting(struct thread *waiter)
{
    list_remove(&waiters, waiter);
    waiter->sigwaits = 0;
}

/* False: its time was up, or a handler is to run there. */
bool signal_hand_over(struct thread *self, struct thread *waiter, const siginfo_t *info)
{
    stop_waiting(waiter);
    if (!park_claim(waiter, WAKE_READY))
        return false;
    *waiter->siginfo = *info;
    signal_count(SIGNALS_WAITED); /* before it can look */
    signal_ready(self, waiter);
    return true;
}

bool signal_hand_to_waiter(struct thread *self, const siginfo_t *info)
{
    struct thread *waiter;

    while ((waiter = signal_waiter_of(signal_bit(info->si_signo))))
        if (signal_hand_over(self, waiter, info))
            return true;
    return false;
}

static int wait_parked(struct thread *self, uint64_t set, siginfo_t *info, uint64_t deadline)
{
    signal_watch(set);
    self->sigwaits = set;
    self->siginfo = info;
    list_append(&waiters, self);
    park_prepare(self, deadline);
    enum wake wake = park(self, &signal_lock, RANK_SIGNAL);
    if (wake == WAKE_READY)
        return 0;
    signals_lock();
    stop_waiting(self);
    signals_unlock();
    return wake == WAKE_SIGNAL ? EINTR : EAGAIN;
}

/* Pending here or in the kernel, the lowest number first. */
static bool take_pending(struct thread *self, uint64_t set, siginfo_t *info)
{
    const uint64_t here = set & (atomic_load(&self->sigpending) | atomic_load(&signal_process_set));
    const uint64_t lower = here ? signal_bit(signal_lowest(here)) - 1 : ~UINT64_C(0);

    return signal_take_from_kernel(self, set & lower & atomic_load(&signal_kept), info) || pending_take_for(self, set, info);
}

/* Once: 0, EAGAIN when the time is up, EINTR for a signal outside the set that has not been handled yet. */
static int wait_once(struct thread *self, uint64_t set, siginfo_t *info, uint64_t deadline)
{
    signals_lock();
    if (take_pending(self, set, info)) {
        signal_count(SIGNALS_WAITED);
        signals_unlock();
        return 0;
    }
    if (deadline == 0) {
        signals_unlock();
        return EAGAIN;
    }
    return wait_parked(self, set, info, deadline);
}

static int wait_for(const sigset_t *set, siginfo_t *info, uint64_t deadline, bool restarts)
{
    const uint64_t bits = signal_bits(set);
    struct thread *self = enter();
    siginfo_t taken;
    int error;

    if (!self)
        return ENOMEM;
    if (bits & ~atomic_load(&signal_masked))
        signal_mask_first(bits);
    cancel_point_begin(self);
    while ((error = wait_once(self, bits, &taken, deadline)) == EINTR)
        if (signal_interlude(self) != HANDLED_NONE && !restarts)
            break;
    cancel_point_end(self);
    leave(self);
    if (!error)
        *info = taken;
    return error;
}

int green_sigwait(const sigset_t *set, int *number)
{
    siginfo_t info;

    if (!set || !number)
        return EINVAL;
    int error = wait_for(set, &info, NEVER, true);
    if (!error)
        *number = info.si_signo;
    return error;
}

/* The number, or -1 and errno. */
static int result(int error, const siginfo_t *taken, siginfo_t *info)
{
    if (error) {
        errno = error;
        return -1;
    }
    if (info)
        *info = *taken;
    return taken->si_signo;
}

int green_sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
    siginfo_t taken;

    return result(set ? wait_for(set, &taken, NEVER, false) : EINVAL, &taken, info);
}

int green_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *duration)
{
    siginfo_t taken;
    uint64_t ns;

    if (!duration)
        return green_sigwaitinfo(set, info);
    int error = set && duration->tv_sec >= 0 ? clock_deadline(CLOCK_MONOTONIC, duration, &ns) : EINVAL;
    if (!error && ns > 0) {
        uint64_t now = clock_now();
        ns = ns < NEVER - 1 - now ? now + ns : NEVER - 1;
    }
    return result(error ? error : wait_for(set, &taken, ns, false), &taken, info);
}

static enum handled suspend_once(struct thread *self)
{
    signals_lock();
    signal_fetch(self, ~signal_mask(self));
    if (signal_due(self)) {
        signals_unlock();
    } else {
        list_append(&suspended, self);
        park_prepare(self, NEVER);
        cancel_point_only(self);
        park(self, &signal_lock, RANK_SIGNAL);
        cancel_point_end(self); /* it is acted upon with the old mask */
        signals_lock();
        list_remove(&suspended, self);
        signals_unlock();
    }
    return signal_interlude_within(self);
}

int green_sigsuspend(const sigset_t *mask)
{
    struct thread *self = mask ? enter() : NULL;

    if (self && unlikely(cancel_marked(self)))
        cancel_take_inside(self);
    if (!self) {
        errno = mask ? ENOMEM : EFAULT;
        return -1;
    }
    const uint64_t before = signal_mask(self), meanwhile = signal_bits(mask);
    if (meanwhile & ~atomic_load(&signal_masked))
        signal_mask_first(meanwhile);
    atomic_store(&self->sigmask, meanwhile);
    while (suspend_once(self) == HANDLED_NONE && !cancel_wanted(self))
        continue;
    atomic_store(&self->sigmask, before);
    leave(self);
    signal_mask_changed(self, meanwhile);
    cancel_point();
    errno = EINTR;
    return -1;
}

void signal_waiters_fork_reset(void)
{
    waiters = suspended = NULL;
}
