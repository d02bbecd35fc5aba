/*
 * Objects shared between processes: how they wait.
 *
 * Such an object holds no pointer, only words and identities that mean the same everywhere.  A waiter sleeps in the
 * kernel on one of the words, as libc's objects do, and its processor goes to others as at any blocking call
 * (green_blocking_enter()).  So each waiter keeps a kernel thread; a waiter that parks would need somebody in each
 * process who waits in its place.
 *
 * A wait that a cancellation ends is a system call as those of libc's are that it ends (core/cancel.h): a request
 * prevents it or ends it, and then it has taken no wake-up.  One that handlers end sleeps on two words at once
 * (futex_waitv, Linux 5.16), the second of which says what the thread's handlers were: the kernel looks at both before it
 * sleeps, and again when it restarts the call after a handler, so none is missed.  Where the kernel has no such call, or
 * a sandbox forbids it, a handler ends the wait only if it interrupts the sleep itself, and the kernel does not restart that.
 *
 * Each way to sleep takes at most one wake-up, and says so.
 *
 * Rejected: libc's own objects inside ours.  A green thread's tid, as libc sees it, is a number unique in its process
 * only, so recursive and error-checking mutexes of two processes would take one thread for the other; and their waits
 * end for nobody's green_cancel().
 */
#include "sync/shared.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/futex.h"
#include "core/cancel.h"
#include "core/fork.h"
#include "core/signals.h"

int shared_set(int *field, int shared)
{
    if (!shared_valid(shared))
        return EINVAL;
    *field = shared;
    return 0;
}

int shared_get(const int *field, int *shared)
{
    if (!shared)
        return EINVAL;
    *shared = *field;
    return 0;
}

/* A system call at the first use after a fork alone. */
static uint32_t process(void)
{
    static _Atomic uint64_t known; /* fork_count + 1 above, the process below */
    uint64_t word = atomic_load_explicit(&known, memory_order_relaxed);

    if (word >> 32 != fork_count + 1) {
        word = ((uint64_t)fork_count + 1) << 32 | (uint32_t)getpid();
        atomic_store_explicit(&known, word, memory_order_relaxed);
    }
    return (uint32_t)word;
}

uint64_t shared_identity(const struct thread *self)
{
    return (uint64_t)process() << 32 | (self->index + 1);
}

static const _Atomic uint64_t nobody_asks;

/* Both words, or the first alone if the kernel has it so: its result, or ARCH_NOT_MADE. */
static long sleep_on(const _Atomic uint64_t *unless, const struct futex_waitv waits[], unsigned count,
                     const struct timespec *until)
{
    static _Atomic bool one_alone;
    const long both[7] = {SYS_futex_waitv, (long)waits, count, 0, (long)until, CLOCK_MONOTONIC};
    const long one[7] = {SYS_futex, (long)waits->uaddr, FUTEX_WAIT_BITSET, (long)waits->val, (long)until, 0,
                         (long)FUTEX_BITSET_MATCH_ANY};
    long result = -ENOSYS;

    /* Valgrind (3.19) knows no such call, and says so at length. */
    if (count > 1 && !atomic_load_explicit(&one_alone, memory_order_relaxed) && !annotate_under_valgrind()) {
        result = arch_syscall_unless(unless, both);
        if (result == -ENOSYS || result == -EPERM)
            atomic_store_explicit(&one_alone, true, memory_order_relaxed);
    }
    return result == -ENOSYS || result == -EPERM || result == -ENOMEM ? arch_syscall_unless(unless, one) : result;
}

/* The processor goes to others meanwhile, unless the caller is in a section of its own, which decides that. */
static long sleep_aside(struct thread *self, bool cancels, const struct futex_waitv waits[], unsigned count,
                        uint64_t deadline)
{
    const struct timespec time = clock_timespec(deadline);
    const bool aside = self->depth == 0 && !self->blocking;

    if (aside)
        green_blocking_enter();
    atomic_store_explicit(&self->cancellable, cancels, memory_order_relaxed);
    compiler_barrier(); /* who requests it looks at that afterwards */
    const long result = sleep_on(cancels ? &self->cancel : &nobody_asks, waits, count, deadline == NEVER ? NULL : &time);
    compiler_barrier();
    cancel_point_end(self);
    if (aside)
        green_blocking_leave();
    return result;
}

static bool is_asked(const struct thread *self)
{
    return cancel_is(self, CANCEL_REQUESTED, CANCEL_REQUESTED | CANCEL_DISABLED);
}

int shared_wait(struct thread *self, void *word, uint32_t value, uint64_t deadline, enum shared_ends ends)
{
    const unsigned handled = __atomic_load_n(&self->handled, __ATOMIC_RELAXED);
    const struct futex_waitv waits[] = {
        {.val = value, .uaddr = (uintptr_t)word, .flags = FUTEX_32},
        {.val = handled, .uaddr = (uintptr_t)&self->handled, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    const bool cancels = ends & SHARED_ENDS_CANCEL && self->depth == 0 && !self->ending &&
                         cancel_is(self, 0, CANCEL_DISABLED);

    if ((ends & SHARED_ENDS_INTERRUPT && handled & HANDLED_INTERRUPT) || (ends & SHARED_ENDS_HANDLER && handled))
        return EINTR;
    const int errno_before = errno;
    const long result = sleep_aside(self, cancels, waits, ends & SHARED_ENDS_BY_HANDLERS ? 2 : 1, deadline);
    errno = errno_before;
    if (result >= 0)
        return 0;
    if (result == -ETIMEDOUT)
        return ETIMEDOUT;
    return cancels && (result == ARCH_NOT_MADE || result == -EINTR) && is_asked(self) ? ECANCELED : EAGAIN;
}

void shared_wake(void *word, int count)
{
    futex_call(word, FUTEX_WAKE, (uint32_t)count, NULL);
}

/* Their number; and above it, that the last one is to tell who destroys. */
#define DESTROYER (UINT64_C(1) << 31)

void shared_come(uint64_t *inside)
{
    __atomic_fetch_add(inside, 1, __ATOMIC_SEQ_CST);
}

void shared_leave(uint64_t *inside)
{
    if (__atomic_sub_fetch(inside, 1, __ATOMIC_SEQ_CST) == DESTROYER)
        shared_wake(inside, 1);
}

bool shared_inside(const uint64_t *inside)
{
    return __atomic_load_n(inside, __ATOMIC_SEQ_CST) != 0;
}

void shared_await(struct thread *self, uint64_t *inside)
{
    uint64_t now = __atomic_or_fetch(inside, DESTROYER, __ATOMIC_SEQ_CST);

    for (; now != DESTROYER; now = __atomic_load_n(inside, __ATOMIC_SEQ_CST))
        shared_wait(self, inside, (uint32_t)now, NEVER, SHARED_ENDS_NOT);
}
