/*
 * green_prefault: helpers, kernel threads that wait for pages in place of green threads.
 *
 * The caller looks by itself (mem/populate.c).  Only when something may be missing does it hand the range to a helper
 * and park; its processor goes on with the others.  A kernel thread of the program's own needs no helper: nobody else
 * runs on it.
 *
 * There are as many helpers as requests that wait or are served at the same time, up to HELPERS_MAX; further requests
 * queue up.  One is created by the caller that would otherwise find none, and ends when it has had nothing to do for
 * prefault_idle_ns.  When the kernel refuses to make the only one, the caller serves the queue itself: slower, but
 * never in vain.  The invariant, under the lock: while the queue is not empty there is a helper, or one is being made;
 * and a helper does not end with requests in the queue.
 *
 * A helper is in the runtime as a worker's own context is: at depth 1 for ever, with all signals blocked.  It holds no
 * processor and is on no list of workers, so nobody but itself looks at its structure, which lies on its stack: unlike
 * a kernel thread of the program's (foreign.c) it needs nothing that could be refused, and its creator need not wait
 * until it has started.
 *
 * A request lies on its caller's stack.  It is done once `done` is set under the lock; whoever sets it does not touch
 * it afterwards.  The caller parks under the same lock, so it is off its stack before it can be made ready.
 *
 * Rejected: a green thread on a processor of its own instead of a plain kernel thread, since it would need a worker
 * to block, which is the thing to be avoided; and io_uring's MADVISE, which is refused in most containers.
 */
#include "core/prefault.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/cancel.h"
#include "core/sched.h"
#include "core/signals.h"
#include "mem/populate.h"
#include "mem/tls.h"

enum { HELPERS_MAX = 16, STACK_BYTES = 65536 };

uint64_t prefault_idle_ns = NS_PER_SEC;

struct request {
    struct request *next;
    uintptr_t at;
    uintptr_t end;
    struct thread *waiter; /* parked; NULL: not yet */
    bool done;
    int error;
};

/* Guarded by its lock, but for `work`, on which idle helpers sleep. */
static struct {
    struct lock lock;
    struct request *first;
    struct request *last;
    unsigned queued;
    unsigned helpers;
    unsigned idle; /* of these, will look at the queue next: asleep, or about to, or still being made */
    _Atomic uint32_t work;
} pool;

static struct request *dequeue(void)
{
    struct request *request = pool.first;

    if (request) {
        pool.first = request->next;
        pool.queued--;
    }
    return request;
}

/* True when the caller shall make a helper, and has been counted on for it. */
static bool enqueue(struct request *request)
{
    lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    if (pool.first)
        pool.last->next = request;
    else
        pool.first = request;
    pool.last = request;
    pool.queued++;
    atomic_fetch_add(&pool.work, 1);
    const bool wake = pool.idle > 0, make = pool.queued > pool.idle && pool.helpers < HELPERS_MAX;
    if (make) {
        pool.helpers++;
        pool.idle++;
    }
    lock_release(&pool.lock, RANK_OPEN_QUEUE);
    if (wake)
        futex_wake(&pool.work, 1);
    return make;
}

/* Tell who asked.  A helper is idle again before that one can ask more. */
static void finish(struct thread *self, struct request *request, int error, bool helper)
{
    lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    struct thread *waiter = request->waiter;
    request->error = error;
    request->done = true;
    if (waiter && !park_claim(waiter, WAKE_READY)) /* a signal has it: it will see that it is done */
        waiter = NULL;
    pool.idle += helper;
    lock_release(&pool.lock, RANK_OPEN_QUEUE);
    if (waiter)
        ready(self, waiter);
}

/* A helper's next request; NULL: it is to end, and is no longer counted. */
static struct request *next_request(void)
{
    const uint64_t deadline = clock_now() + prefault_idle_ns;
    struct request *request;

    lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    while (!(request = dequeue()) && clock_now() < deadline) {
        uint32_t seen = atomic_load(&pool.work);
        lock_release(&pool.lock, RANK_OPEN_QUEUE);
        futex_wait(&pool.work, seen, deadline);
        lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    }
    pool.idle--;
    if (!request)
        pool.helpers--;
    lock_release(&pool.lock, RANK_OPEN_QUEUE);
    return request;
}

static void *helper_main(void *arg)
{
    struct worker worker = {.own = {.kind = THREAD_WORKER, .depth = 1, .worker = &worker, .deadline = NEVER},
                            .tid = gettid(),
                            .kernel_tls = arch_thread_pointer()};
    struct request *request;

    self_thread = &worker.own;
    prctl(PR_SET_NAME, "green-prefault");
    while ((request = next_request()))
        finish(&worker.own, request, populate(request->at, request->end), true);
    self_thread = NULL;
    return arg;
}

/* Calls pthread_create: at depth 0. */
static bool helper_make(void)
{
    sigset_t all;
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES + tls_bytes());
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attr, &all);
    int error = pthread_create(&thread, &attr, helper_main, NULL);
    pthread_attr_destroy(&attr);
    return error == 0;
}

/* The helper that was counted on does not come.  If there is no other, its work is the caller's. */
static void do_without(struct thread *self)
{
    struct request *request;

    lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    pool.idle--;
    pool.helpers--;
    while (pool.helpers == 0 && (request = dequeue())) {
        lock_release(&pool.lock, RANK_OPEN_QUEUE);
        leave(self);
        int error = populate(request->at, request->end);
        enter();
        finish(self, request, error, false);
        lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    }
    lock_release(&pool.lock, RANK_OPEN_QUEUE);
}

static void await(struct thread *self, struct request *request)
{
    lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
    while (!request->done) {
        park_prepare(self, NEVER);
        request->waiter = self;
        const bool signal = park(self, &pool.lock, RANK_OPEN_QUEUE) == WAKE_SIGNAL;
        lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
        request->waiter = NULL;
        if (signal) {
            lock_release(&pool.lock, RANK_OPEN_QUEUE);
            signal_interlude(self); /* delegate() has postponed the rest */
            lock_acquire(&pool.lock, RANK_OPEN_QUEUE);
        }
    }
    lock_release(&pool.lock, RANK_OPEN_QUEUE);
}

/* On a green thread: have a helper do it, with which it shares its stack until then. */
static int delegate(struct thread *self, uintptr_t at, uintptr_t end)
{
    struct request request = {.at = at, .end = end};
    const bool before = cancel_postpone(self);

    if (enqueue(&request)) {
        leave(self);
        bool made = helper_make();
        enter();
        if (!made)
            do_without(self);
    }
    await(self, &request);
    cancel_postpone_end(self, before);
    return request.error;
}

static int bring_in(uintptr_t at, uintptr_t end)
{
    struct thread *self = enter();

    if (self && self->kind == THREAD_MULTIPLEXED) {
        int error = delegate(self, at, end);
        leave(self);
        return error;
    }
    if (self)
        leave(self);
    return populate(at, end);
}

int green_prefault(const void *addr, size_t bytes)
{
    const uintptr_t page = (uintptr_t)getpagesize(), in_page = page - 1;
    uintptr_t at = (uintptr_t)addr & ~in_page, last = (uintptr_t)addr + bytes - 1;
    uintptr_t end = (last & ~in_page) + page;
    int saved_errno = errno, error;

    if (bytes == 0)
        return 0;
    if (end <= at || last < (uintptr_t)addr) /* beyond the end of all addresses */
        return ENOMEM;
    if (!populate_look(&at, end, &error))
        error = bring_in(at, end);
    errno = saved_errno;
    return error;
}

void prefault_fork_reset(void)
{
    memset(&pool, 0, sizeof pool);
}
