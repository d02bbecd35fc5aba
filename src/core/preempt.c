/*
 * Preemption: the tick's handler, and the signal masks around it.
 *
 * The handler runs on the interrupted thread's stack and switches inside the handler: the kernel's frame holds every
 * register, and the thread resumes by returning from it, on whatever worker that is.  There is no rule about where
 * the program counter is: every thread has a libc of its own.  Rejected: preempting only outside libc (a thread that
 * holds a libc lock and calls back into the program was then never preempted), and switching after the handler by
 * rewriting the interrupted context (the vector registers would have to be saved by hand).
 *
 * The signal stays blocked in the handler, else ticks nest until the stack overflows, and with it the others that may
 * lead to a switch.  So a worker whose thread was preempted has them blocked: a thread that was itself preempted opens
 * them by its own sigreturn, any other one by a system call (tick_unblock), which also restores the mask the program
 * started with.
 *
 * A tick at depth > 0 is noted in the worker, not in the thread: the thread may be leaving.  Whoever lowers its depth
 * to 0 next on that worker takes it, and it is judged anew then (slice.c).
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/kernel_signal.h"
#include "core/cancel.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/tick.h"

/* The process ends: ticks are ignored from here on. */
static volatile bool stopped;

/* What the program had when it started, the tick's signal open: the mask of a worker between threads. */
static sigset_t open_mask;

/* And within a handler of ours. */
static sigset_t closed_mask;

void preempt_take_ticks(struct thread *self)
{
    while (self->worker->tick_pending && self->depth == 0) {
        self->depth++;
        hold_processor(self);
        slice_judge(self);
        if (unlikely(signal_held(self->worker)))
            signal_route_held(self->worker);
        if (self->worker->tick_blocked)
            tick_unblock(self->worker);
        compiler_barrier();
        self->depth--;
        compiler_barrier();
    }
}

void preempt_deferred(struct thread *self)
{
    do {
        preempt_take_ticks(self);
        if (unlikely(signal_marked(self)))
            signal_run(self, NULL);
        if (unlikely(cancel_at_once(self)))
            cancel_take(self);
    } while (self->worker->tick_pending && self->depth == 0);
}

static bool within(uintptr_t at, const void *low, size_t bytes)
{
    return at - (uintptr_t)low < bytes;
}

/* Its alternate stack is its own, too; a worker's is not. */
bool on_own_stack(const struct thread *self, uintptr_t sp)
{
    return !self->stack.low || within(sp, self->stack.low, self->stack.bytes) ||
           within(sp, self->altstack.ss_sp, self->altstack.ss_size);
}

bool on_worker_altstack(const struct worker *worker, uintptr_t sp)
{
    return within(sp, worker->altstack.ss_sp, worker->altstack.ss_size);
}

/* In a handler of the program's, on its alternate stack, or on a stack that the program made: later. */
static void postpone(struct thread *self)
{
    struct worker *worker = self->worker;
    uint32_t revoking = HOLD_REVOKING;

    self->depth++;
    compiler_barrier();
    atomic_compare_exchange_strong(&worker->hold, &revoking, HOLD_OWNED);
    tick_came(worker); /* REVOKED, it is the worker's to say, too: the monitor did, and is done */
    tick_need(worker, TICK_SLICE, clock_now() + slice_ns(self));
    compiler_barrier();
    self->depth--;
}

/*
 * The end of a handler that interrupted a thread at depth 0, the tick noted if one came.  The thread may come back on
 * another worker, where signals may be open.  They are closed again, as its sigreturn gives the kernel thread that
 * worker's alternate stack, and it must not be preempted once more before.  The sigreturn opens them, so the worker is
 * said to be open before the depth is 0.
 */
void preempt_handler_end(struct thread *self, ucontext_t *ucontext)
{
    const bool nested = self->in_tick;
    const bool anywhere = annotate_is_anywhere() && !arch_ucontext_in_call(ucontext);

    do {
        self->worker->tick_blocked = true; /* at the start by the kernel, then by us */
        self->depth++;
        self->in_tick = true;
        hold_processor(self);
        while (self->worker->tick_pending)
            slice_judge(self);
        if (unlikely(signal_held(self->worker)))
            signal_route_held(self->worker);
        if (unlikely(signal_marked(self) || cancel_at_once(self)) && !anywhere)
            signal_run_in_handler(self, ucontext);
        if (!self->worker->tick_blocked)
            preempt_close();
        self->in_tick = nested;
        self->worker->tick_blocked = false;
        signal_frame_close(ucontext); /* the frame may be older than what is closed */
        if (self->kind != THREAD_FOREIGN)
            ucontext->uc_stack = self->worker->altstack;
        compiler_barrier();
        self->depth--;
        compiler_barrier();
    } while (self->worker->tick_pending);
    if (anywhere && (signal_marked(self) || cancel_at_once(self)))
        self->worker->tick_pending = true;
    cancel_skip_call(self, ucontext);
}

/*
 * A signal of the program's may stand for a tick as well: the kernel drops a tick that finds one pending on the same
 * kernel thread.  And a tick may be sent to make the thread look at its signals.
 */
static void on_tick(int signal, siginfo_t *info, void *ucontext)
{
    struct thread *self = self_thread;

    annotate_handler_begins();
    if (unlikely(!tick_is_ours(info)))
        signal_from_kernel(signal, info, ucontext);
    if (!self || stopped)
        return;
    signal_frame_close(ucontext);
    count_up(&self->worker->count.ticks);
    if (self->depth > 0) {
        count_up(&self->worker->count.deferred);
        self->worker->tick_pending = true;
        return;
    }
    int saved_errno = errno;
    const uintptr_t sp = arch_ucontext_sp(ucontext);
    if (on_own_stack(self, sp) || (!on_worker_altstack(self->worker, sp) &&
                                   atomic_load(&self->worker->hold) == HOLD_REVOKED)) {
        self->worker->tick_pending = true;
        preempt_handler_end(self, ucontext);
    } else if (self->kind != THREAD_FOREIGN) {
        postpone(self);
        cancel_skip_call(self, ucontext);
    }
    errno = saved_errno;
}

static uint64_t first_word(const sigset_t *set)
{
    uint64_t bits; /* all that the kernel has */

    memcpy(&bits, set, sizeof bits);
    return bits;
}

void tick_unblock(struct worker *worker)
{
    const bool foreign = self_thread->kind == THREAD_FOREIGN; /* whose mask is its own */
    sigset_t mask = foreign ? worker->mask_before : open_mask;
    const uint64_t bits = first_word(&mask) | atomic_load_explicit(&signal_kept, memory_order_relaxed);

    memcpy(&mask, &bits, sizeof bits);
    worker->tick_blocked = false;
    kernel_sigmask(SIG_SETMASK, &mask, NULL);
}

/*
 * A handler that the library does not know, of a fault by libc's sigaction(), is called by the kernel, which blocks what
 * the action says.  When it calls the library and is preempted there, that goes with its thread, as a frame would take it,
 * and does not stay for who runs here next.
 */
uint64_t preempt_mask_leave(struct thread *self)
{
    struct worker *worker = self->worker;
    sigset_t now;

    if (worker->tick_blocked || self->kind != THREAD_MULTIPLEXED)
        return 0;
    kernel_sigmask(SIG_SETMASK, NULL, &now);
    const uint64_t more = first_word(&now) & ~first_word(&open_mask) & ~atomic_load(&signal_kept);
    worker->tick_blocked = more != 0;
    return more;
}

void preempt_mask_arrive(struct thread *self, uint64_t mask)
{
    sigset_t set;

    if (likely(!mask))
        return;
    if (signal_held(self->worker))
        signal_route_held(self->worker); /* before there are more than it can hold */
    if (self->worker->tick_blocked)
        tick_unblock(self->worker);
    sigemptyset(&set);
    memcpy(&set, &mask, sizeof mask);
    kernel_sigmask(SIG_BLOCK, &set, NULL);
}

const sigset_t *preempt_open_mask(void)
{
    return &open_mask;
}

void preempt_open(int signal)
{
    sigdelset(&open_mask, signal);
}

const sigset_t *preempt_closed_mask(void)
{
    return &closed_mask;
}

/* kernel_sigmask() would leave libc's own signals open. */
void preempt_close(void)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &closed_mask, NULL, sizeof(uint64_t));
}

/*
 * Faults are not blocked: the kernel ends a process for one that is.  libc's own signals, which sigfillset() leaves out,
 * are: one of them makes a call end that a handler has just gone back to (kernel_thread.c).
 */
static void set_closed_mask(void)
{
    memset(&closed_mask, 0xff, sizeof closed_mask);
    for (int signal = 1; signal < SIGRTMIN; signal++)
        if (signal_is_synchronous(signal) && signal != settings.signal)
            sigdelset(&closed_mask, signal);
}

void preempt_stop(void)
{
    stopped = true;
}

int preempt_init(void)
{
    struct sigaction action;
    sigset_t tick;

    sigemptyset(&tick);
    sigaddset(&tick, settings.signal);
    kernel_sigmask(SIG_UNBLOCK, &tick, NULL);
    kernel_sigmask(SIG_SETMASK, NULL, &open_mask);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_tick;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    set_closed_mask();
    action.sa_mask = closed_mask; /* no other handler meets a tick before it has raised depth */
    return signals_init(&action);
}
