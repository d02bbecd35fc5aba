/*
 * Deadlines of parked threads, in order for each processor (base/deadlines.h), and sleeping.
 *
 * A thread is put on its processor's heap once it is off its stack, so a deadline that has come may make it ready at
 * once.  It is taken off by whoever expires it, or by itself after another woke it: `timer_proc` says whose heap it
 * is on, and is written under that heap's lock.  The claim of an expired thread is made under the lock, too: a thread
 * that finds itself off the heap can trust that no late expiry will hit its next wait.
 *
 * A deadline has a tick of its own while there are few: DEADLINE_BURST in a row, and one for each DEADLINE_GAP_NS in the
 * long run.  When there are more, one tick serves all that have come by then.  Else a hundred thousand sleepers, of
 * whom one wakes every microsecond, would have the processor spend its time on ticks.  And when more have come than were
 * served, or they are served more often than such ticks come, as the processor has nothing to run at times or switches,
 * a tick is but for the case that it ends to do so, and comes the later.
 */
#include <errno.h>

#include "core/cancel.h"
#include "core/policy.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/signals.h"

/* Lines of a stack that are fetched for a thread that has slept: below what it has saved, and of that and its callers'. */
enum { WARM_BELOW = 3, WARM_ABOVE = 6, LINE = 64 };

_Static_assert(offsetof(struct thread, wake) / LINE == (offsetof(struct thread, timer_proc) + sizeof(void *) - 1) / LINE,
               "what an expiry looks at is fetched as one line");

enum { DEADLINE_GAP_NS = 200000, DEADLINE_LONG_GAP_NS = 1000000, DEADLINE_BURST = 16 };

static struct thread *timer_thread(struct heap_node *node)
{
    return container_of(node, struct thread, timer);
}

static void publish_first(struct proc *proc)
{
    atomic_store_explicit(&proc->first_deadline, deadlines_first(&proc->timers), memory_order_relaxed);
}

void timer_add(struct proc *proc, struct thread *thread)
{
    lock_acquire(&proc->timers_lock, RANK_TIMERS);
    thread->timer.deadline = thread->deadline;
    atomic_store_explicit(&thread->timer_proc, proc, memory_order_relaxed);
    deadlines_insert(&proc->timers, &thread->timer);
    const bool first = thread->deadline < atomic_load_explicit(&proc->first_deadline, memory_order_relaxed);
    if (first)
        atomic_store_explicit(&proc->first_deadline, thread->deadline, memory_order_relaxed);
    lock_release(&proc->timers_lock, RANK_TIMERS);
    if (first && self_thread->kind != THREAD_WORKER) /* which sleeps until the first deadline, or prepares ticks itself */
        deadline_need(proc);
}

/* The heap the thread is on, locked; NULL when it is on none.  Heaps are merged when a processor retires. */
static struct proc *lock_timer_proc(struct thread *thread)
{
    struct proc *proc;

    while ((proc = atomic_load_explicit(&thread->timer_proc, memory_order_acquire))) {
        lock_acquire(&proc->timers_lock, RANK_TIMERS);
        if (atomic_load_explicit(&thread->timer_proc, memory_order_relaxed) == proc)
            return proc;
        lock_release(&proc->timers_lock, RANK_TIMERS);
    }
    return NULL;
}

void timer_cancel(struct thread *thread)
{
    struct proc *proc = lock_timer_proc(thread);

    if (!proc)
        return;
    deadlines_remove(&proc->timers, &thread->timer);
    atomic_store_explicit(&thread->timer_proc, NULL, memory_order_release);
    if (thread->timer.deadline <= atomic_load_explicit(&proc->first_deadline, memory_order_relaxed))
        publish_first(proc);
    lock_release(&proc->timers_lock, RANK_TIMERS);
}

/*
 * What a thread that has slept for long needs first when it runs.  Of a hundred thousand it is in no cache: without this a
 * timed wait takes twice the CPU time.
 */
static void warm(const struct run_list *woken)
{
    const ptrdiff_t own = (const char *)&self_thread - (const char *)arch_thread_pointer();

    for (const struct thread *thread = woken->head; thread; thread = thread->next) {
        const char *sp = thread->context.sp;
        for (int i = -WARM_BELOW; i < WARM_ABOVE; i++)
            __builtin_prefetch(sp + LINE * i, 1);
        __builtin_prefetch((const char *)thread->context.tls + own);
    }
}

/* Deadlines have been served, as many as could be: the tick for the next may come at once while there is a rest of the burst. */
static void pay(struct proc *proc, uint64_t now)
{
    const uint64_t least = now - DEADLINE_BURST * DEADLINE_GAP_NS;
    const bool more = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed) <= now;
    uint64_t from = atomic_load_explicit(&proc->deadlines_from, memory_order_relaxed);

    from = (from > least ? from : least) + DEADLINE_GAP_NS;
    if (more || (from > now && now < proc->deadlines_served + DEADLINE_GAP_NS))
        from = now + DEADLINE_LONG_GAP_NS;
    else if (from > now)
        from = now + DEADLINE_GAP_NS;
    atomic_store_explicit(&proc->deadlines_from, from, memory_order_relaxed);
    proc->deadlines_served = now;
}

void timers_expire(struct proc *proc, uint64_t now, unsigned most, struct run_list *woken)
{
    struct heap_node *node;

    lock_acquire(&proc->timers_lock, RANK_TIMERS);
    while (most-- > 0 && (node = deadlines_pop(&proc->timers, now))) {
        struct thread *thread = timer_thread(node);
        __builtin_prefetch(&thread->context, 1);
        bool claimed = park_claim(thread, WAKE_TIMEOUT);
        atomic_store_explicit(&thread->timer_proc, NULL, memory_order_release);
        if (claimed) {
            atomic_store_explicit(&thread->state, THREAD_READY, memory_order_relaxed);
            run_list_append(woken, thread);
        }
    }
    publish_first(proc);
    lock_release(&proc->timers_lock, RANK_TIMERS);
    pay(proc, now);
    warm(woken);
}

/* Half of the ring is enough for a while, and what is in it is still in the CPU's caches when it comes to run. */
static unsigned ring_room(const struct proc *proc)
{
    const uint32_t used = atomic_load_explicit(&proc->tail, memory_order_relaxed) -
                          atomic_load_explicit(&proc->head, memory_order_relaxed);

    return used < RING / 2 ? RING / 2 - used : 1;
}

void timers_fire(struct proc *proc)
{
    uint64_t first = atomic_load_explicit(&proc->first_deadline, memory_order_relaxed), now;
    struct run_list woken = {NULL, NULL};
    struct thread *thread;

    if (first == NEVER || first > (now = clock_now()))
        return;
    timers_expire(proc, now, ring_room(proc), &woken);
    while ((thread = run_list_pop(&woken)))
        if (policy_on)
            policy_enqueue(thread, GREEN_WOKEN);
        else
            runq_push(proc, thread);
    if (sched_shared)
        wake_for(proc);
}

void timers_move(struct proc *from, struct proc *to)
{
    struct heap_node *node;

    lock_acquire(&from->timers_lock, RANK_TIMERS);
    lock_acquire(&to->timers_lock, RANK_TIMERS_TO);
    while ((node = deadlines_pop(&from->timers, NEVER))) {
        atomic_store_explicit(&timer_thread(node)->timer_proc, to, memory_order_relaxed);
        deadlines_insert(&to->timers, node);
    }
    from->timers.next = 0; /* it was turned into the future */
    publish_first(from);
    publish_first(to);
    lock_release(&to->timers_lock, RANK_TIMERS_TO);
    lock_release(&from->timers_lock, RANK_TIMERS);
}

/* 0, EINTR when a handler has run, ENOMEM. */
static int sleep_until(uint64_t deadline)
{
    struct thread *self = enter();
    enum handled handled = HANDLED_NONE;

    if (!self)
        return ENOMEM;
    cancel_point_begin(self);
    do {
        park_prepare(self, deadline);
        if (park(self, NULL, RANK_QUEUE) != WAKE_SIGNAL)
            break;
        handled = signal_interlude(self);
    } while (handled == HANDLED_NONE);
    cancel_point_end(self);
    leave(self);
    return handled == HANDLED_NONE ? 0 : EINTR;
}

static uint64_t left_until(uint64_t deadline)
{
    uint64_t now = clock_now();

    return deadline > now ? deadline - now : 0;
}

/* The same for so long; what is left of it when it is interrupted, in ns, goes to *left. */
static int sleep_for(uint64_t ns, uint64_t *left)
{
    uint64_t now = clock_now(), deadline = ns < NEVER - 1 - now ? now + ns : NEVER - 1;
    int error = sleep_until(deadline);

    *left = error ? left_until(deadline) : 0;
    return error;
}

/* -1 and errno, as the older half of POSIX does it. */
static int with_errno(int error)
{
    if (error)
        errno = error;
    return error ? -1 : 0;
}

unsigned green_sleep(unsigned seconds)
{
    uint64_t left;

    sleep_for(seconds * NS_PER_SEC, &left);
    return (unsigned)((left + NS_PER_SEC - 1) / NS_PER_SEC);
}

int green_usleep(unsigned microseconds)
{
    uint64_t left;

    return with_errno(sleep_for(microseconds * NS_PER_US, &left));
}

int green_clock_nanosleep(clockid_t clock, int flags, const struct timespec *when, struct timespec *rem)
{
    uint64_t deadline, left;
    int error;

    if (flags & TIMER_ABSTIME) {
        error = clock_deadline(clock, when, &deadline);
        if (!error && left_until(deadline) == 0) /* who is late and catches up goes on at once */
            green_testcancel();
        else if (!error)
            error = sleep_until(deadline);
        return error;
    }
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    error = clock_deadline(CLOCK_MONOTONIC, when, &deadline);
    if (error || when->tv_sec < 0)
        return EINVAL;
    error = sleep_for(deadline, &left);
    if (error == EINTR && rem)
        *rem = clock_timespec(left);
    return error;
}

int green_nanosleep(const struct timespec *duration, struct timespec *rem)
{
    return with_errno(green_clock_nanosleep(CLOCK_MONOTONIC, 0, duration, rem));
}
