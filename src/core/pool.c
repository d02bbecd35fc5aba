/* The pool of ended threads.  See pool.h. */
#include "core/pool.h"

#include <errno.h>

#include "core/monitor.h"
#include "core/sched.h"
#include "core/table.h"
#include "mem/tls.h"

enum { BUCKET = 64 };
#define ROUND_NS (2 * NS_PER_SEC)

static struct lock pool_lock;
static struct thread *pool[STACK_CLASSES], *old[STACK_CLASSES], *trimmed[STACK_CLASSES]; /* guarded by pool_lock */
static struct thread *unbuilt[STACK_CLASSES]; /* guarded by pool_lock: memory ran out before they were complete */
static _Atomic uint64_t stacks, trims;
static _Atomic bool reaper_called;
static uint64_t next_round; /* the reaper's own */

uint64_t pool_stacks(void)
{
    return atomic_load_explicit(&stacks, memory_order_relaxed);
}

static struct thread *pop(struct thread **list)
{
    struct thread *thread = *list;

    if (thread)
        *list = thread->next;
    return thread;
}

static void push(struct thread **list, struct thread *thread)
{
    thread->next = *list;
    *list = thread;
}

/* With the lock held. */
static struct thread *pop_pool(unsigned class)
{
    struct thread *thread = pop(&pool[class]);

    if (!thread)
        thread = pop(&old[class]);
    return thread ? thread : pop(&trimmed[class]);
}

/* Something lies in the pool that the reaper has not seen. */
static void call_reaper(void)
{
    if (unlikely(!atomic_load_explicit(&reaper_called, memory_order_relaxed)) && !atomic_exchange(&reaper_called, true))
        spares_want();
}

static struct thread *pop_locked(struct thread **list)
{
    lock_acquire(&pool_lock, RANK_POOL);
    struct thread *thread = pop(list);
    lock_release(&pool_lock, RANK_POOL);
    return thread;
}

static void push_locked(struct thread **list, struct thread *thread)
{
    lock_acquire(&pool_lock, RANK_POOL);
    push(list, thread);
    lock_release(&pool_lock, RANK_POOL);
}

static void fill_bucket(struct proc *proc)
{
    struct thread *thread;

    lock_acquire(&pool_lock, RANK_POOL);
    while (proc->bucket_count < BUCKET / 2 && (thread = pop_pool(settings.class))) {
        push(&proc->bucket, thread);
        proc->bucket_count++;
    }
    lock_release(&pool_lock, RANK_POOL);
}

static void empty_bucket(struct proc *proc, unsigned keep)
{
    lock_acquire(&pool_lock, RANK_POOL);
    for (; proc->bucket_count > keep; proc->bucket_count--)
        push(&pool[settings.class], pop(&proc->bucket));
    lock_release(&pool_lock, RANK_POOL);
    call_reaper();
}

static struct thread *take_from_pool(unsigned class)
{
    lock_acquire(&pool_lock, RANK_POOL);
    struct thread *thread = pop_pool(class);
    lock_release(&pool_lock, RANK_POOL);
    return thread;
}

struct thread *pool_take(struct proc *proc, unsigned class)
{
    if (!proc || class != settings.class)
        return take_from_pool(class);
    if (!proc->bucket)
        fill_bucket(proc);
    struct thread *thread = pop(&proc->bucket);
    if (thread)
        proc->bucket_count--;
    return thread;
}

void pool_release(struct proc *proc, struct thread *thread)
{
    atomic_store_explicit(&thread->state, THREAD_FREE, memory_order_relaxed);
    if (!proc || thread->class != settings.class) {
        push_locked(&pool[thread->class], thread);
        call_reaper();
        return;
    }
    push(&proc->bucket, thread);
    if (++proc->bucket_count > BUCKET)
        empty_bucket(proc, BUCKET / 2);
}

void pool_flush(struct proc *proc)
{
    empty_bucket(proc, 0);
}

uint64_t pool_trimmed(void)
{
    return atomic_load_explicit(&trims, memory_order_relaxed);
}

/* One at a time: while one is being trimmed, the others can be had. */
static void trim_old(unsigned class)
{
    struct thread *thread;

    while ((thread = pop_locked(&old[class]))) {
        stack_trim(&thread->stack, thread->stack_top);
        atomic_fetch_add_explicit(&trims, 1, memory_order_relaxed);
        push_locked(&trimmed[class], thread);
    }
}

uint64_t pool_reap(uint64_t now)
{
    bool more = false;

    if (!atomic_load(&reaper_called))
        return NEVER;
    if (now < next_round)
        return next_round;
    atomic_store(&reaper_called, false); /* what is pushed from here on calls again */
    for (unsigned class = 0; class < STACK_CLASSES; class++) {
        trim_old(class);
        lock_acquire(&pool_lock, RANK_POOL);
        old[class] = pool[class];
        pool[class] = NULL;
        more |= old[class] != NULL;
        lock_release(&pool_lock, RANK_POOL);
    }
    next_round = now + ROUND_NS;
    if (more)
        atomic_store(&reaper_called, true);
    return more ? next_round : NEVER;
}

/* A structure with a stack, but perhaps without a TLS block; at depth > 0. */
static struct thread *begin(unsigned class, int *error)
{
    struct thread *thread = pop_locked(&unbuilt[class]);

    if (!thread)
        thread = table_new(error);
    if (!thread)
        return NULL;
    thread->class = (uint8_t)class;
    if (!thread->stack.low)
        *error = stack_map(class, tls_bytes(), &thread->stack);
    if (!*error)
        return thread;
    push_locked(&unbuilt[class], thread);
    return NULL;
}

struct thread *pool_build(unsigned class, int *error)
{
    struct thread *self = enter();
    int saved_errno = errno;

    *error = 0;
    struct thread *thread = begin(class, error);
    leave(self);
    if (thread)
        *error = tls_create(&thread->stack, &thread->context.tls, &thread->stack_top); /* calls malloc */
    errno = saved_errno;
    if (!thread)
        return NULL;
    if (*error) {
        self = enter();
        push_locked(&unbuilt[class], thread);
        leave(self);
        return NULL;
    }
    thread->fresh_block = true;
    atomic_fetch_add_explicit(&stacks, 1, memory_order_relaxed);
    return thread;
}

/* A thread that ran elsewhere is gone, and its TLS block may be half way through malloc: neither is used again. */
static void lose(struct thread *thread)
{
    uint64_t generation = atomic_load(&thread->life) >> 32;

    atomic_store(&thread->life, generation << 32 | LIFE_FREE);
    atomic_store(&thread->state, THREAD_LOST);
}

void pool_fork_reset(const struct thread *survivor)
{
    pool_lock.word = 0;
    atomic_store(&reaper_called, false);
    for (unsigned class = 0; class < STACK_CLASSES; class++)
        pool[class] = old[class] = trimmed[class] = unbuilt[class] = NULL;
    for (uint32_t index = 0; index < table_count(); index++) {
        struct thread *thread = table_at(index);
        if (thread == survivor)
            continue;
        if (atomic_load(&thread->state) == THREAD_FREE && thread->stack_top)
            push(&pool[thread->class], thread);
        else
            lose(thread);
    }
}
