/*
 * The kernel thread under a worker.
 *
 * Most workers are pthreads of ours; their own context runs on the pthread's stack.  One is not: the kernel thread
 * that main() ran on when the library started, and in the child of a fork the one that called fork.  Its stack and
 * TLS block belong to a green thread from then on, so this worker's context gets a stack and a block of its own,
 * while libc and the kernel keep taking that thread's block for the kernel thread's: `kernel_tls`.
 *
 * Workers are never freed: the monitor and signal handlers may look at one at any time.  When a kernel thread ends, its
 * worker gives back all that costs something, and waits for the next kernel thread, in the list of all workers still.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/futex.h"
#include "base/kernel_sched.h"
#include "base/kernel_signal.h"
#include "core/block.h"
#include "core/cpu_time.h"
#include "core/hold.h"
#include "core/policy.h"
#include "core/sched.h"
#include "core/tick.h"
#include "mem/tls.h"

enum { OWN_STACK_BYTES = 65536, ALT_STACK_BYTES = 65536 };

/*
 * The least slice that the kernel gives.  With its own (1.4 ms on two CPUs) a worker that is back from a blocked call waits
 * for so long where the one that took its processor over has its CPU: a nap of 0.2 ms beside a hog took 1.8 ms at the
 * median, and 0.4 ms with this.  Where kernel threads do not compete for a CPU nothing ends with a slice.
 */
#define KERNEL_SLICE_NS UINT64_C(100000)

/* Pushed once, never removed. */
static struct worker *_Atomic all_workers;
/* Without a kernel thread. */
static struct worker *_Atomic ended_workers;
static _Atomic unsigned worker_count;

struct worker *workers_all(void)
{
    return atomic_load(&all_workers);
}

unsigned workers_count(void)
{
    return atomic_load(&worker_count);
}

void workers_forget(void)
{
    for (const struct worker *worker = workers_all(); worker; worker = worker->next) {
        if (worker->clock_fd >= 0)
            close(worker->clock_fd);
        if (worker->stat_fd >= 0)
            close(worker->stat_fd);
    }
    atomic_store(&all_workers, NULL);
    atomic_store(&ended_workers, NULL);
    atomic_store(&worker_count, 0);
    hold_forget();
    spinners_forget();
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void ended_push(struct worker *first, struct worker *last)
{
    last->next_ended = atomic_load(&ended_workers);
    while (!atomic_compare_exchange_weak(&ended_workers, &last->next_ended, first))
        continue;
}

/* All are taken and the rest put back: one that is taken, used and put back again meanwhile would deceive a swap. */
static struct worker *ended_take(void)
{
    struct worker *worker = atomic_exchange(&ended_workers, NULL), *last;

    if (!worker || !worker->next_ended)
        return worker;
    for (last = worker->next_ended; last->next_ended; last = last->next_ended)
        continue;
    ended_push(worker->next_ended, last);
    return worker;
}

/* One that has ended is in the list of all already, and counted anew when it is published. */
static struct worker *worker_again(void)
{
    struct worker *worker = ended_take();

    if (!worker)
        return NULL;
    atomic_store(&worker->ending, false);
    worker->account.of = NULL;
    atomic_store(&worker->wake, 0);
    worker->cpu_seen = 0;
    worker->tick_blocked = worker->tick_pending = false; /* signals that it still holds are routed when it sleeps */
    return worker;
}

static struct worker *worker_new(void)
{
    struct worker *worker = worker_again();

    if (worker)
        return worker;
    worker = map(sizeof *worker);
    if (!worker)
        return NULL;
    worker->own.kind = THREAD_WORKER;
    worker->own.depth = 1;
    worker->own.worker = worker;
    worker->own.deadline = NEVER;
    worker->hold = HOLD_NONE;
    worker->clock_fd = worker->stat_fd = -1;
    atomic_store(&worker->blocked_since, NEVER);
    worker->current = &worker->own;
    atomic_store(&worker->tick_deadline, NEVER);
    return worker;
}

static void worker_publish(struct worker *worker)
{
    if (!worker->listed) {
        worker->listed = true;
        worker->next = atomic_load(&all_workers);
        while (!atomic_compare_exchange_weak(&all_workers, &worker->next, worker))
            continue;
    }
    atomic_fetch_add(&worker_count, 1);
}

/* Stack overflows are reported from here: the stack they happened on has no room. */
static int alternate_stack(struct worker *worker)
{
    stack_t now;

    if (kernel_sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE)) {
        worker->altstack = now; /* a sanitizer's, or the program's */
        return 0;
    }
    worker->altstack = (stack_t){.ss_sp = map(ALT_STACK_BYTES), .ss_flags = 0, .ss_size = ALT_STACK_BYTES};
    if (!worker->altstack.ss_sp)
        return ENOMEM;
    worker->altstack_made = true;
    return kernel_sigaltstack(&worker->altstack, NULL) == 0 ? 0 : errno;
}

/* Linux before 6.12 says 0 ns, and knows no wishes. */
static void ask_for_short_slices(void)
{
    struct kernel_sched sched;

    if (kernel_sched_get(&sched) != 0 || sched.policy != SCHED_OTHER || sched.runtime <= KERNEL_SLICE_NS)
        return;
    sched.runtime = KERNEL_SLICE_NS;
    kernel_sched_set(&sched); /* refused: as before */
}

void kernel_thread_prompt(void)
{
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* ns */
    ask_for_short_slices();
}

/* What a kernel thread needs, on that kernel thread. */
static int worker_prepare(struct worker *worker, void *kernel_tls)
{
    worker->tid = gettid();
    worker->kernel_tls = kernel_tls;
    tls_unregister_rseq(kernel_tls);
    kernel_thread_prompt();
    int error = alternate_stack(worker);
    if (!error)
        error = tick_worker_start(worker);
    if (!error && settings.preempt && settings.watch != GREEN_MONITOR_OFF)
        block_open(worker); /* else it is not watched */
    return error;
}

/* The first act of an own context on a stack of ours. */
static void own_start(void)
{
    tls_first_run();
    switch_arrived(self_thread);
    worker_run();
}

int worker_adopt(struct proc *proc, struct thread *runs)
{
    struct worker *worker = worker_new();
    struct thread *own;
    void *tp;

    if (!worker)
        return ENOMEM;
    own = &worker->own;
    worker->adopted = true;
    int error = stack_map(stack_class(OWN_STACK_BYTES), tls_bytes(), &own->stack);
    if (!error)
        error = tls_create(&own->stack, &tp, &own->stack_top);
    if (!error)
        error = worker_prepare(worker, arch_thread_pointer());
    if (error)
        return error;
    *(struct thread **)tls_translate(tp, &self_thread) = own;
    arch_context_init(&own->context, own->stack_top, tp, own_start);
    worker_give(worker, proc);
    worker_publish(worker);
    runs->worker = worker;
    runs->proc = proc;
    if (policy_on)
        policy_runs(proc, runs);
    atomic_store(&worker->current, runs);
    cpu_time_adopt(worker, runs);
    return 0;
}

enum { SPAWN_WAITING, SPAWN_DONE, SPAWN_FAILED };

struct spawn {
    struct worker *worker;
    struct proc *proc;
    _Atomic uint32_t state;
    int error;
};

/*
 * The spawner's memory may be gone as soon as it has seen the state.  So it sleeps on a word of the worker's, which only
 * counts, as the worker may be another's by then: to wake by a word that is gone is harmless, but a read to Valgrind.
 */
static void spawn_answer(struct spawn *spawn, uint32_t state)
{
    struct worker *worker = spawn->worker;

    atomic_store(&spawn->state, state);
    atomic_fetch_add(&worker->answers, 1);
    futex_wake(&worker->answers, INT32_MAX);
}

static void spawn_await(struct spawn *spawn, uint32_t seen)
{
    while (atomic_load(&spawn->state) == SPAWN_WAITING)
        futex_wait(&spawn->worker->answers, seen, NEVER);
}

/*
 * The kernel thread ends: give back what the worker holds.  It is off every list but that of all; once it is among the
 * ended ones it may be somebody else's.
 */
static void worker_end(struct worker *worker)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    sigset_t all;

    sigfillset(&all);
    kernel_sigmask(SIG_SETMASK, &all, NULL);
    tick_worker_stop(worker);
    block_close(worker);
    if (worker->altstack_made) {
        kernel_sigaltstack(&none, NULL);
        munmap(worker->altstack.ss_sp, worker->altstack.ss_size);
        worker->altstack_made = false;
    }
    worker->tid = 0;
    self_thread = NULL;
    atomic_fetch_sub(&worker_count, 1);
    ended_push(worker, worker);
}

/*
 * Its own context and its alternate stack died in the middle of something; the structure is not used again, since the
 * lost thread points to it.
 */
void worker_died(struct worker *worker)
{
    struct thread *lost = atomic_load(&worker->current);

    tick_worker_stop(worker);
    block_close(worker);
    worker->tid = 0;
    worker->account.of = NULL;
    atomic_store(&lost->state, THREAD_LOST);
    atomic_store(&worker->hold, HOLD_NONE);
    atomic_fetch_sub(&worker_count, 1);
}

static void *worker_main(void *arg)
{
    struct spawn *spawn = arg;
    struct worker *worker = spawn->worker;

    worker->own.context.tls = worker->kernel_tls = arch_thread_pointer();
    compiler_barrier(); /* whoever finds the worker, in the signal of setuid(), finds its block */
    self_thread = &worker->own;
    spawn->error = worker_prepare(worker, arch_thread_pointer());
    if (spawn->error) {
        self_thread = NULL;
        spawn_answer(spawn, SPAWN_FAILED);
        return NULL;
    }
    lock_acquire(&sched_lock, RANK_SCHED);
    if (spawn->proc)
        worker_enlist(worker, spawn->proc);
    else
        spare_add(worker);
    lock_release(&sched_lock, RANK_SCHED);
    worker_publish(worker); /* first: who closes a number after this finds it in the list */
    tick_unblock(worker); /* whatever its creator had blocked */
    spawn_answer(spawn, SPAWN_DONE);
    worker_run();
    worker_end(worker);
    return NULL;
}

static int create_kernel_thread(struct spawn *spawn)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, OWN_STACK_BYTES + tls_bytes());
    int error = pthread_create(&thread, &attr, worker_main, spawn);
    pthread_attr_destroy(&attr);
    return error;
}

int service_start(void *(*run)(void *))
{
    sigset_t all;
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attr, &all);
    int error = pthread_create(&thread, &attr, run, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

int worker_spawn(struct proc *proc, _Atomic uint32_t *step)
{
    struct spawn spawn = {worker_new(), proc, SPAWN_WAITING, 0};

    if (!spawn.worker)
        return ENOMEM;
    const uint32_t seen = atomic_load(&spawn.worker->answers);
    spawn.error = create_kernel_thread(&spawn);
    if (step)
        atomic_store(step, SPAWN_STARTS);
    if (!spawn.error)
        spawn_await(&spawn, seen);
    if (spawn.error)
        ended_push(spawn.worker, spawn.worker);
    return spawn.error;
}

#ifdef GREEN_DEBUG
uint32_t *lock_held_ranks(void)
{
    return &self_thread->worker->held_ranks;
}
#endif
