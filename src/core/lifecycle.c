/*
 * The life of a thread: create, exit, join, detach.
 *
 * One word says how a life ends: its generation, and joinable, detached, exited, joined (exited, and its joiner
 * knows), free, or the index of its joiner.  All change it by compare and swap, so a stale id never reaches a later
 * life in the same structure, and a joiner that backs out is not woken as well.
 *
 * A thread that ends is announced from off its stack: only then may its joiner release it.  When the joiner already
 * waits, the ending thread switches straight to it, and has left its stack by the time the joiner runs.  A joiner,
 * too, enters itself from off its own stack: from then on it may be resumed.  When its target has not started, the
 * joiner switches straight to that one (runq.h says why), which cannot end before it has entered the joiner.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/annotate.h"
#include "core/pool.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/switch.h"
#include "core/table.h"
#include "mem/tls.h"
#include "sync/once.h"

/* Threads made and ended where no processor counts them. */
static _Atomic uint64_t created_outside;
static _Atomic uint64_t exited_outside;
static _Atomic bool main_exited;

static uint64_t life_of(const struct thread *thread)
{
    return atomic_load_explicit(&thread->life, memory_order_acquire);
}

static uint64_t life_with(uint64_t life, uint32_t low)
{
    return (life & ~UINT64_C(0xffffffff)) | low;
}

static bool life_change(struct thread *thread, uint64_t *life, uint32_t low)
{
    return atomic_compare_exchange_strong(&thread->life, life, life_with(*life, low));
}

void life_begin(struct thread *thread, bool detached)
{
    uint64_t generation = (life_of(thread) >> 32) + 1;

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
    green_exit(self->start(self->arg));
}

void thread_init(struct thread *thread, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    thread->start = start;
    thread->arg = arg;
    thread->used_ns = thread->woken_ns = 0;
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
        annotate_stack_reuse(thread->stack.low, (size_t)((char *)thread->stack_top - (char *)thread->stack.low));
        tls_refresh(tp);
    }
    *(struct thread **)tls_translate(tp, &self_thread) = thread;
    *(int *)tls_translate(tp, &errno) = 0;
    thread->depth = 1;
    thread->unborn = true;
    thread->kind = THREAD_MULTIPLEXED;
    arch_context_init(&thread->context, thread->stack_top, tp, thread_main);
    thread_init(thread, attr, start, arg);
}

static bool attr_valid(const green_attr_t *attr)
{
    return attr->__stack_bytes >= GREEN_STACK_MIN && attr->__stack_bytes <= STACK_CLASS_MAX &&
           (attr->__detach_state == GREEN_CREATE_JOINABLE || attr->__detach_state == GREEN_CREATE_DETACHED) &&
           (attr->__scope == GREEN_SCOPE_PROCESS || attr->__scope == GREEN_SCOPE_SYSTEM) &&
           memchr(attr->__name, 0, sizeof attr->__name);
}

/* What only the kernel can give. */
static bool attr_asks_kernel(const green_attr_t *attr)
{
    return attr->__inherit_sched == GREEN_EXPLICIT_SCHED || attr->__has_cpus;
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
    if (procs_complete() != 0) /* threads run on the processors there are */
        atomic_store(&procs_missing, false);
    return enter();
}

int green_create(green_t *id, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    int error;

    if (!id || !start || (attr && !attr_valid(attr)))
        return EINVAL;
    if (unlikely(attr && attr->__scope == GREEN_SCOPE_SYSTEM))
        return bound_create(id, attr, start, arg);
    if (unlikely(attr && attr_asks_kernel(attr)))
        return ENOTSUP;
    struct thread *self = enter_to_create();
    if (!self)
        return ENOMEM;
    unsigned class = attr ? stack_class(attr->__stack_bytes) : settings.class;
    struct thread *thread = pool_take(self->worker->proc, class);
    if (unlikely(!thread)) {
        leave(self);
        thread = pool_build(class, &error);
        if (!thread)
            return error;
        enter();
    }
    prepare(thread, attr, start, arg);
    signal_thread_begins(self, thread);
    *id = thread_id(thread);
    thread_created(self);
    ready(self, thread);
    leave(self);
    return 0;
}

void life_end(struct thread *thread)
{
    atomic_store_explicit(&thread->life, life_with(life_of(thread), LIFE_FREE), memory_order_release);
}

static void release(struct proc *proc, struct thread *thread)
{
    life_end(thread);
    if (thread->bound)
        foreign_give(thread);
    else if (thread->stack_top)
        pool_release(proc, thread);
    else /* main's stack and block are not ours */
        atomic_store(&thread->state, THREAD_LOST);
}

/* The thread is off its stack. */
static void after_exit(struct thread *left, void *arg)
{
    uint64_t life = life_of(left);

    (void)arg;
    atomic_store_explicit(&left->state, THREAD_EXITED, memory_order_release);
    for (;;) {
        uint32_t low = (uint32_t)life;
        if (low == LIFE_DETACHED) {
            release(left->worker->proc, left);
            return;
        }
        if (low == LIFE_JOINED) /* by a joiner that a signal has: see claim_joiner() */
            return;
        if (!life_change(left, &life, low == LIFE_JOINABLE ? LIFE_EXITED : LIFE_JOINED))
            continue;
        if (low != LIFE_JOINABLE && park_claim(table_at(low), WAKE_READY))
            ready(self_thread, table_at(low));
        return;
    }
}

void life_announce(struct thread *thread)
{
    after_exit(thread, NULL);
}

static void after_exit_to_joiner(struct thread *left, void *arg)
{
    (void)arg;
    atomic_store_explicit(&left->state, THREAD_EXITED, memory_order_release);
}

/*
 * The joiner that waits for the thread, when it can be switched to.  One that a signal has woken finds that its wait
 * was over, and lets the thread get off its stack.
 */
static struct thread *claim_joiner(struct thread *thread)
{
    uint64_t life = life_of(thread);
    struct thread *joiner = (uint32_t)life < LIFE_JOINED ? table_at((uint32_t)life) : NULL;

    if (!joiner || joiner->kind != THREAD_MULTIPLEXED || !life_change(thread, &life, LIFE_JOINED))
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

void green_exit(void *result)
{
    struct thread *self = enter();

    if (!self || self->kind == THREAD_FOREIGN)
        foreign_exit(result);
    self->depth = 0; /* whatever sections it is in */
    once_abandon(self);
    tls_run_destructors();
    self = enter();
    self->result = result;
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

/*
 * Two threads that join each other: whoever sees both entries takes back that of the one with the higher index, in a
 * word that both would change, so just one of them is told.  True when it is the joiner itself.
 */
static bool backs_out(struct thread *target, struct thread *joiner)
{
    uint64_t of_target = life_of(target), of_joiner = life_of(joiner);

    if ((uint32_t)of_target != joiner->index || (uint32_t)of_joiner != target->index)
        return false;
    if (joiner->index > target->index)
        return life_change(target, &of_target, LIFE_JOINABLE);
    if (life_change(joiner, &of_joiner, LIFE_JOINABLE)) {
        target->join_error = EDEADLK;
        if (park_claim(target, WAKE_READY))
            ready(self_thread, target);
    }
    return false;
}

/* Become the joiner of `target`, whom join_id names: 0, EALREADY when it has ended, ESRCH, EDEADLK or EINVAL. */
static int life_join(struct thread *target, struct thread *joiner)
{
    uint64_t life = life_of(target);

    for (;;) {
        uint32_t low = (uint32_t)life;
        if (life >> 32 != joiner->join_id >> 32)
            return ESRCH;
        if (low != LIFE_JOINABLE && low != LIFE_EXITED)
            return EINVAL;
        if (!life_change(target, &life, low == LIFE_EXITED ? LIFE_JOINED : joiner->index))
            continue;
        if (low == LIFE_EXITED)
            return EALREADY;
        return backs_out(target, joiner) ? EDEADLK : 0;
    }
}

/* Its target may end, and wake it, from life_join() on; a signal may take it once `wake` says that it waits. */
static void after_join(struct thread *left, void *arg)
{
    struct thread *target = arg;
    uint32_t none = WAKE_NONE;

    int error = life_join(target, left);

    if (error) { /* else it may run already */
        left->join_error = error;
        park_claim(left, WAKE_READY);
        ready(self_thread, left);
        return;
    }
    atomic_compare_exchange_strong(&left->wake, &none, WAKE_WAITING);
    compiler_barrier();
    if (unlikely(signal_marked(left)))
        signal_found_parked(left);
}

static enum wake join_park_foreign(struct thread *self, struct thread *target)
{
    park_prepare(self, NEVER);
    int error = life_join(target, self);

    if (!error)
        return foreign_park(self, NULL, RANK_QUEUE);
    self->join_error = error;
    return WAKE_READY;
}

/* Once, until the target has ended or a signal comes.  An ended one is never waited for. */
static enum wake join_park(struct thread *self, struct thread *target)
{
    if ((uint32_t)life_of(target) == LIFE_EXITED || self->kind == THREAD_FOREIGN)
        return join_park_foreign(self, target);
    self->deadline = NEVER; /* as park_prepare() does, but that `wake` follows in after_join() */
    atomic_store_explicit(&self->claim, CLAIM_NONE, memory_order_relaxed);
    atomic_store_explicit(&self->wake, WAKE_NONE, memory_order_release);
    atomic_store_explicit(&self->state, THREAD_PARKED, memory_order_relaxed);
    switch_to(self, choose_target(self->worker, target), after_join, target);
    return park_outcome(self);
}

/*
 * A signal has interrupted the wait: take the joiner's entry back, so that no end of the target wakes a thread that
 * runs handlers.  False when it was too late, and the wait is over; the target is off its stack then.
 */
static bool join_take_back(struct thread *self, struct thread *target)
{
    uint64_t life = life_of(target);

    while ((uint32_t)life == self->index)
        if (life_change(target, &life, LIFE_JOINABLE))
            return true;
    if ((uint32_t)life != LIFE_JOINED)
        return true; /* somebody else has, for a deadlock: then it is found again */
    while (atomic_load_explicit(&target->state, memory_order_acquire) != THREAD_EXITED) {
        leave(self);
        green_yield();
        enter();
    }
    return false;
}

/* Wait until the target has ended: 0, ESRCH, EINVAL or EDEADLK. */
static int join_wait(struct thread *self, struct thread *target)
{
    self->join_error = 0;
    while (join_park(self, target) == WAKE_SIGNAL && join_take_back(self, target)) {
        green_t join_id = self->join_id;
        signal_interlude(self); /* whose handlers may join others */
        self->join_id = join_id;
        self->join_error = 0;
    }
    return self->join_error == EALREADY ? 0 : self->join_error;
}

static int join(struct thread *self, green_t id, void **result)
{
    struct thread *target = table_find(id);

    if (!target)
        return ESRCH;
    if (target == self)
        return EDEADLK;
    self->join_id = id;
    int error = join_wait(self, target);
    if (error)
        return error;
    if (result)
        *result = target->result;
    release(self->worker->proc, target);
    return 0;
}

int green_join(green_t id, void **result)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    int error = join(self, id, result);
    leave(self);
    return error;
}

static int detach(struct thread *self, struct thread *target, green_t id)
{
    uint64_t life = life_of(target);

    for (;;) {
        uint32_t low = (uint32_t)life;
        if (life >> 32 != id >> 32)
            return ESRCH;
        if (low != LIFE_JOINABLE && low != LIFE_EXITED)
            return EINVAL;
        if (!life_change(target, &life, LIFE_DETACHED))
            continue;
        if (low == LIFE_EXITED)
            release(self->worker->proc, target);
        return 0;
    }
}

int green_detach(green_t id)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *target = table_find(id);
    int error = target ? detach(self, target, id) : ESRCH;
    leave(self);
    return error;
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
