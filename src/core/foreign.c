/*
 * Kernel threads that the library did not make.
 *
 * On its first call such a thread gets a thread structure and a worker structure without a processor: it runs nobody
 * else, and where a green thread parks it sleeps on a futex, its own `wake`.  Both structures are kept for the next
 * such thread when this one ends.  Rejected: running the foreign call on a green thread on its behalf, which would
 * change whose mutex it locks.
 *
 * Bound threads are the same thing made by us (bound.c).  Structures that wait for the next use are on one list for
 * both: pushed by compare and swap, since a bound one is released inside the runtime, where libc's mutex must not be
 * taken; popped, at depth 0, under that mutex, so that nobody else can have popped what the compare and swap expects.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/alone.h"
#include "core/cancel.h"
#include "core/foreign.h"
#include "core/sched.h"
#include "core/signals.h"
#include "core/table.h"
#include "mem/interpose.h"
#include "mem/tls.h"
#include "sync/robust.h"

static pthread_mutex_t gone_mutex = PTHREAD_MUTEX_INITIALIZER; /* held to pop from `gone` */
static struct foreign *_Atomic gone;
static pthread_key_t key;
static bool key_made;

void foreign_give(struct thread *thread)
{
    struct foreign *foreign = foreign_of(thread);

    atomic_store_explicit(&thread->state, THREAD_FREE, memory_order_relaxed);
    foreign->next = atomic_load(&gone);
    while (!atomic_compare_exchange_weak(&gone, &foreign->next, foreign))
        continue;
}

/* libc sees to its own keys. */
static void own_keys_end(void)
{
    for (int round = 0; round < GREEN_DESTRUCTOR_ITERATIONS && tls_run_own_keys(); round++)
        continue;
    tls_drop_own_keys();
}

/* The kernel thread ends. */
static void leave_for_good(void *value)
{
    struct foreign *foreign = value;

    own_keys_end();
    robust_announce(foreign->thread);
    struct thread *self = enter();

    sync_thread_ends(self);
    signal_thread_ends(self);
    foreign_set_tid(foreign, TID_GONE);
    leave(self);
    do { /* from here on signals find a kernel thread that nobody knows, and are not held */
        self_thread = self;
        enter();
        signal_route_held(self->worker);
        self->depth--;
        self_thread = NULL;
        compiler_barrier();
    } while (signal_held(self->worker));
    life_end(foreign->thread);
    foreign_give(foreign->thread);
}

void foreign_init(void)
{
    if (!key_made)
        key_made = REAL(pthread_key_create)(&key, leave_for_good) == 0;
}

void foreign_fork_reset(struct thread *survivor)
{
    pthread_mutex_init(&gone_mutex, NULL);
    atomic_store(&gone, NULL);
    tids_fork_reset();
    if (survivor->kind == THREAD_FOREIGN) {
        survivor->worker->tid = gettid();
        foreign_set_tid(foreign_of(survivor), (uint32_t)gettid());
    }
}

/* By a thread of ours, or by a kernel thread that has none yet and works as its worker-to-be. */
static struct thread *new_thread(struct foreign *foreign, int *error)
{
    struct thread *self = self_thread, *thread;

    if (self) {
        enter();
        thread = table_new(error);
        leave(self);
        return thread;
    }
    foreign->worker.kernel_tls = arch_thread_pointer();
    compiler_barrier(); /* as in foreign_begin() */
    self_thread = &foreign->worker.own;
    thread = table_new(error);
    self_thread = NULL;
    return thread;
}

static struct foreign *foreign_new(int *error)
{
    struct foreign *foreign = mmap(NULL, sizeof *foreign, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *error = ENOMEM;
    if (foreign == MAP_FAILED)
        return NULL;
    foreign->worker.own.worker = &foreign->worker;
    foreign->worker.clock_fd = foreign->worker.stat_fd = -1;
    foreign->worker.own.depth = 1;
    foreign->thread = new_thread(foreign, error);
    if (!foreign->thread) {
        munmap(foreign, sizeof *foreign);
        return NULL;
    }
    foreign->thread->kind = THREAD_FOREIGN;
    foreign->thread->worker = &foreign->worker;
    return foreign;
}

struct foreign *foreign_take(int *error)
{
    pthread_mutex_lock(&gone_mutex);
    struct foreign *foreign = atomic_load(&gone);
    while (foreign && !atomic_compare_exchange_weak(&gone, &foreign, foreign->next))
        continue;
    pthread_mutex_unlock(&gone_mutex);
    return foreign ? foreign : foreign_new(error);
}

void foreign_begin(struct foreign *foreign)
{
    struct thread *thread = foreign->thread;

    queues_share_and_wait();
    foreign->worker.tid = gettid();
    atomic_store(&foreign->worker.sent, false); /* one to the kernel thread before may have died with it */
    foreign->worker.kernel_tls = arch_thread_pointer();
    thread->depth = thread->sections = 0;
    compiler_barrier(); /* the signal of setuid() may come as soon as it is known, and needs the block */
    self_thread = thread;
    enter();
    foreign_set_tid(foreign, (uint32_t)foreign->worker.tid);
    if (signal_marked(thread)) /* before there was a kernel thread to be told */
        thread->worker->tick_pending = true;
    leave(thread);
}

struct thread *foreign_adopt(void)
{
    int error;
    struct foreign *foreign = key_made ? foreign_take(&error) : NULL;

    if (!foreign)
        return NULL;
    struct thread *thread = foreign->thread;
    thread->bound = false;
    thread->stack = (struct stack){NULL, 0, 0};
    thread->name[0] = '\0';
    atomic_store(&thread->special, 0);
    signal_thread_begins(NULL, thread);
    life_begin(thread, true);
    atomic_store(&thread->state, THREAD_RUNNING);
    foreign_begin(foreign);
    if (pthread_setspecific(key, foreign) == 0)
        return thread;
    leave_for_good(foreign);
    return NULL;
}

static void foreign_sleep(struct thread *self)
{
    uint32_t wake;

    while ((wake = atomic_load(&self->wake)) == WAKE_WAITING || wake == WAKE_READY) {
        futex_wait(&self->wake, wake, wake == WAKE_WAITING ? self->deadline : NEVER);
        if (self->deadline != NEVER && clock_now() >= self->deadline)
            park_claim(self, WAKE_TIMEOUT);
    }
}

/* While it sleeps nothing is half done: signals are routed as they come. */
enum wake foreign_park(struct thread *self, struct lock *lock, enum lock_rank rank)
{
    int saved_errno = errno;
    const bool signal = parked_with_signal(self);

    if (lock)
        lock_release(lock, rank);
    if (signal)
        signal_found_parked(self);
    own_safe_begin(self->worker);
    foreign_sleep(self);
    own_safe_end(self->worker);
    atomic_store(&self->state, THREAD_RUNNING);
    if (cancel_at_once(self)) /* whoever asked has seen it PARKED, and has not interrupted it */
        self->worker->tick_pending = true;
    errno = saved_errno;
    if (unlikely(annotate_valgrind_races))
        annotate_valgrind_acquire(self);
    const enum wake outcome = park_outcome(self);
    return outcome == WAKE_GO ? WAKE_READY : outcome;
}

/* The claim has changed `wake`; the structure outlives the thread. */
void foreign_ready(struct thread *thread)
{
    uint32_t claimed = WAKE_READY;

    atomic_compare_exchange_strong(&thread->wake, &claimed, WAKE_GO);
    futex_wake(&thread->wake, 1);
}

void foreign_exit(void *result)
{
    if (self_thread) {
        cancel_point_end(self_thread);
        self_thread->ending = ENDING_UNWINDS;
        self_thread->result = result;
        leave(self_thread);
    }
    REAL(pthread_exit)(result);
    __builtin_unreachable();
}
