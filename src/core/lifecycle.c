/*
 * The life of a thread: from its creation to its end.  Joining is join.c; life.h has the word that both change; what
 * green_exit() and cancellation do before thread_finish() is unwind.c.
 *
 * A thread that ends is announced from off its stack: only then may its joiner release it.  When the joiner already
 * waits, the ending thread switches straight to it, and has left its stack by the time the joiner runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/annotate.h"
#include "core/attr_default.h"
#include "core/borrow.h"
#include "core/life.h"
#include "core/policy.h"
#include "core/pool.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "core/table.h"
#include "mem/tls.h"
#include "sync/once.h"
#include "sync/robust.h"

/* Threads made and ended where no processor counts them. */
static _Atomic uint64_t created_outside;
static _Atomic uint64_t exited_outside;
static _Atomic bool main_exited;

void life_begin(struct thread *thread, bool detached)
{
    uint64_t generation = (life_of(thread) >> 32) + 1;

    atomic_store_explicit(&thread->cancel, generation << 32, memory_order_relaxed);
    thread->ending = ENDING_NOT;
    atomic_store_explicit(&thread->postpones, false, memory_order_relaxed);
    thread->cleanups = NULL;
    atomic_store_explicit(&thread->life, generation << 32 | (detached ? LIFE_DETACHED : LIFE_JOINABLE),
                          memory_order_release);
}

void thread_is_service(void)
{
    atomic_fetch_add(&exited_outside, 1);
}

uint64_t threads_created(void)
{
    uint64_t sum = atomic_load(&created_outside);

    for (unsigned i = 0; i < PROCS_MAX && proc_at(i); i++)
        sum += atomic_load(&proc_at(i)->count.created);
    return sum;
}

/* main is one that nobody created. */
uint64_t threads_live(void)
{
    uint64_t exited = atomic_load(&exited_outside);

    for (unsigned i = 0; i < PROCS_MAX && proc_at(i); i++)
        exited += atomic_load(&proc_at(i)->count.exited);
    return threads_created() + 1 - exited;
}

void threads_fork_reset(struct thread *survivor)
{
    uint64_t life = life_of(survivor);

    if ((uint32_t)life < LIFE_JOINED) /* its joiner is lost */
        life_change(survivor, &life, LIFE_JOINABLE);
    atomic_store(&created_outside, 0);
    atomic_store(&exited_outside, 0);
    atomic_store(&main_exited, survivor->bound || (survivor->kind == THREAD_MULTIPLEXED && survivor->stack_top));
}

void thread_created(const struct thread *creator)
{
    struct proc *proc = creator->worker->proc;

    if (proc)
        count_up(&proc->count.created);
    else
        atomic_fetch_add(&created_outside, 1);
}

void thread_not_created(void)
{
    atomic_fetch_sub(&created_outside, 1); /* below 0, perhaps: only the sum of all counters means something */
}

static void thread_main(void)
{
    struct thread *self = self_thread;

    switch_arrived(self);
    self->unborn = false;
    if (self->fresh_block) {
        self->fresh_block = false;
        tls_first_run();
    }
    leave(self);
    annotate_acquire(self);
    arch_call_last(thread_finish, self->start(self->arg));
}

void thread_init(struct thread *thread, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    thread->start = start;
    thread->arg = arg;
    thread->used_ns = thread->woken_ns = thread->cpu_ns = 0;
    thread->once = NULL;
    atomic_store_explicit(&thread->slice_us, 0, memory_order_relaxed);
    atomic_store_explicit(&thread->special, 0, memory_order_relaxed);
    atomic_store_explicit(&thread->wake, WAKE_NONE, memory_order_relaxed);
    thread->name[0] = '\0';
    if (attr)
        memcpy(thread->name, attr->__name, sizeof thread->name);
    life_begin(thread, attr && attr->__detach_state == GREEN_CREATE_DETACHED);
}

/* Make a structure from the pool the thread that is asked for. */
static void prepare(struct thread *thread, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    void *tp = thread->context.tls;

    if (!thread->fresh_block) {
        annotate_stack_reuse(thread->stack.low, thread->stack.bytes); /* its block, too: a signal stack may be there */
        tls_refresh(tp);
    }
    *(struct thread **)tls_translate(tp, &self_thread) = thread;
    thread->depth = 1;
    thread->unborn = true;
    thread->kind = THREAD_MULTIPLEXED;
    arch_context_init(&thread->context, thread->stack_top, tp, thread_main);
    thread_init(thread, attr, start, arg);
}

/*
 * Enter, and before there is a second thread start what several need.  Not once it is ready: the creator could lose
 * its processor to it inside pthread_create(), and it might wait in the kernel for a lock that this holds, unseen by
 * the monitor that is only being made.
 */
static struct thread *enter_to_create(void)
{
    struct thread *self = enter();

    if (likely(!self || !atomic_load_explicit(&procs_missing, memory_order_relaxed)))
        return self;
    leave(self);
    const int saved_errno = errno;
    if (procs_complete() != 0) /* threads run on the processors there are */
        atomic_store(&procs_missing, false);
    errno = saved_errno;
    return enter();
}

/* A structure on the stack that is asked for, at depth 1; NULL, with an error and at depth 0. */
static struct thread *take(struct thread *self, const green_attr_t *attr, int *error)
{
    const bool borrows = attr && stack_is_borrowed(attr);
    const unsigned class = !attr ? settings.class : borrows ? 0 : stack_class(attr->__stack_bytes);
    struct thread *thread = pool_take(self->worker->proc, class);

    if (unlikely(!thread)) {
        leave(self);
        thread = pool_build(class, error);
        if (!thread)
            return NULL;
        enter();
    }
    if (likely(!borrows))
        return thread;
    *error = stack_borrow(thread, attr);
    if (!*error)
        return thread;
    pool_release(self->worker->proc, thread);
    leave(self);
    return NULL;
}

static __attribute__((noinline)) int create_by_default(green_t *id, void *(*start)(void *), void *arg)
{
    green_attr_t attr;
    int error = green_getattr_default_np(&attr);

    return error ? error : green_create(id, &attr, start, arg);
}

int green_create(green_t *id, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    int error;

    if (unlikely(!attr && atomic_load_explicit(&attr_default_set, memory_order_relaxed)))
        return create_by_default(id, start, arg);
    if (!id || !start || (attr && !attr_valid(attr)))
        return EINVAL;
    if (unlikely(attr && attr_wants_kernel_thread(attr)))
        return bound_create(id, attr, start, arg);
    struct thread *self = enter_to_create();
    if (!self)
        return ENOMEM;
    if (unlikely(attr && (error = policy_attributes(attr)))) { /* what the kernel could give to a bound one */
        leave(self);
        return error;
    }
    struct thread *thread = take(self, attr, &error);
    if (unlikely(!thread))
        return error;
    prepare(thread, attr, start, arg);
    signal_thread_begins(self, thread);
    if (unlikely(policy_on))
        policy_prepare(thread, self, attr);
    *id = thread_id(thread);
    thread_created(self);
    annotate_release_inside(self, thread);
    ready(self, thread);
    leave(self);
    return 0;
}

void life_end(struct thread *thread)
{
    atomic_store_explicit(&thread->life, life_with(life_of(thread), LIFE_FREE), memory_order_release);
}

void life_release(struct proc *proc, struct thread *thread)
{
    life_end(thread);
    if (unlikely(thread->borrowed))
        stack_return(thread);
    if (thread->bound)
        foreign_give(thread);
    else if (thread->stack_top)
        pool_release(proc, thread);
    else /* main's stack and block are not ours */
        atomic_store(&thread->state, THREAD_LOST);
}

/*
 * The joiner may go on, and release the thread, once it finds EXITED: when a signal has it, at once.  So that comes after
 * the claim, which could otherwise hit its next wait.
 */
static void wake_joiner(struct thread *left, struct thread *joiner)
{
    const bool claimed = park_claim(joiner, WAKE_READY);

    atomic_store_explicit(&left->state, THREAD_EXITED, memory_order_release);
    if (claimed)
        ready(self_thread, joiner);
}

bool life_announce(struct thread *left)
{
    uint64_t life = life_of(left);
    uint32_t low;

    for (;;) {
        low = (uint32_t)life;
        if (low < LIFE_TIMED) {
            if (!life_change(left, &life, LIFE_JOINED))
                continue; /* taken back */
            wake_joiner(left, table_at(low));
            return false;
        }
        atomic_store_explicit(&left->state, THREAD_EXITED, memory_order_release);
        if (unlikely(life_is_timed(life))) {
            if (life_end_timed(left)) /* and its structure may have a new life */
                return false;
            life = life_of(left);
        } else if (low != LIFE_JOINABLE || life_change(left, &life, LIFE_EXITED)) {
            break;
        }
        atomic_store_explicit(&left->state, THREAD_RUNNING, memory_order_relaxed); /* a joiner has come, or has gone */
    }
    if (low == LIFE_DETACHED)
        life_release(left->worker->proc, left);
    return low == LIFE_DETACHED; /* LIFE_JOINED: by a joiner that a signal has: see claim_joiner() */
}

/* The thread is off its stack. */
static void after_exit(struct thread *left, void *arg)
{
    (void)arg;
    life_announce(left);
}

static void after_exit_to_joiner(struct thread *left, void *arg)
{
    (void)arg;
    atomic_store_explicit(&left->state, THREAD_EXITED, memory_order_release);
}

/*
 * The joiner that waits for the thread, when it can be switched to: not where a policy chooses.  One that a signal has
 * woken finds that its wait was over, and lets the thread get off its stack.
 */
static struct thread *claim_joiner(struct thread *thread)
{
    uint64_t life = life_of(thread);
    struct thread *joiner = (uint32_t)life < LIFE_TIMED ? table_at((uint32_t)life) : NULL;

    if (!joiner || joiner->kind != THREAD_MULTIPLEXED || policy_on || !life_change(thread, &life, LIFE_JOINED))
        return NULL;
    return park_claim(joiner, WAKE_READY) ? joiner : NULL;
}

/* Counted before the check, so that of two last threads at least one sees that nobody is left. */
static void exit_process_if_last(struct thread *self)
{
    static atomic_flag ending = ATOMIC_FLAG_INIT;

    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load(&main_exited) || threads_live() > 0 || atomic_flag_test_and_set(&ending))
        return;
    self->depth = 0;
    exit(0);
}

void thread_exits(struct thread *self)
{
    atomic_fetch_add(&exited_outside, 1);
    exit_process_if_last(self);
}

void thread_finish(void *result)
{
    struct thread *self = enter();

    self->ending = ENDING_DESTROYS;
    self->depth = self->sections = 0; /* whatever it is in */
    once_abandon(self);
    tls_run_destructors();
    robust_announce(self);
    annotate_release(self);
    self = enter();
    self->result = result;
    sync_thread_ends(self);
    signal_thread_ends(self);
    if (!self->stack_top)
        atomic_store(&main_exited, true);
    count_up(&self->worker->proc->count.exited);
    struct thread *joiner = claim_joiner(self);
    if (joiner)
        switch_to(self, joiner, after_exit_to_joiner, NULL);
    exit_process_if_last(self);
    switch_to(self, choose(self->worker), after_exit, NULL);
    __builtin_unreachable();
}

green_t green_self(void)
{
    struct thread *self = enter();

    if (!self)
        return 0;
    green_t id = thread_id(self);
    leave(self);
    return id;
}

int green_equal(green_t a, green_t b)
{
    return a == b;
}
