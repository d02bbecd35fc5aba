/*
 * When the wait queues' locks begin to be taken.
 *
 * A program of one processor has one thread at a time that is inside the runtime and holds it: nobody preempts it
 * there, nor takes its processor (hold.c).  What is changed only so needs no lock, and the locks of wait queues (ranks
 * up to RANK_QUEUE) are left out.  Threads that have lost their processor run the program's code beside it, at depth 0,
 * and get no further than enter(); what they read or change there, as a mutex's state, is atomic as ever.
 *
 * That ends with a second processor, which only a thread on the first one makes; and with the first kernel thread that
 * is no worker.  It says so, passes a heavy barrier, and waits until it has seen every worker outside: without a
 * processor, or at the depth of the program's critical sections, or asleep, or in an observer of the program's. Whoever
 * was inside before has then come out, and who goes in takes the locks.  So its first call waits for some microseconds;
 * nobody inside waits for it, unless it is to serve the fault of a page that a channel copies to.  It does not end
 * again: a program that has had a foreign thread will have more.  tests/model/alone.pml checks this.
 *
 * Rejected: a lock that is biased towards the processor and taken from it one by one, a store and a load at each turn
 * with a compiler's barrier between, and a search for who is inside all the same; and leaving out the locks of
 * semaphores, too, which signal handlers post on workers that sleep and may have lost their processor.
 */
#include "core/alone.h"

#include "base/barrier.h"
#include "base/futex.h"
#include "core/hold.h"
#include "core/sched.h"

#define LOOK_AGAIN_NS UINT64_C(50000)
enum { LOOKS = 100 }; /* until it sleeps for so long */

/* Nobody is inside who came before. */
static _Atomic bool settled;

void queues_share(void)
{
    atomic_store(&queues_shared, true);
    atomic_store(&settled, true);
}

/*
 * At some moment during the call.  `current` may be left behind, and be anywhere: then the count of switches has
 * changed, as it does before anybody can resume the thread.  One that is about to run is at depth 1.
 */
static bool is_outside(const struct worker *worker)
{
    const uint32_t hold = atomic_load(&worker->hold);
    const uint64_t switches = atomic_load(&worker->switches);
    const struct thread *thread = atomic_load(&worker->current);

    if (hold == HOLD_NONE || hold == HOLD_REVOKED)
        return true;
    if (thread == &worker->own)
        return __atomic_load_n(&worker->own_safe, __ATOMIC_ACQUIRE) ||
               __atomic_load_n(&worker->tells, __ATOMIC_ACQUIRE);
    const int depth = __atomic_load_n(&thread->depth, __ATOMIC_ACQUIRE);
    const int sections = __atomic_load_n(&thread->sections, __ATOMIC_ACQUIRE);
    return depth <= sections && atomic_load(&worker->switches) == switches;
}

/* It is seen by chance in between, in a program that hardly does anything else than switch. */
static void await_outside(const struct worker *worker)
{
    _Atomic uint32_t word = 0;

    for (unsigned looks = 1; !is_outside(worker); looks++) {
        if (looks % LOOKS)
            arch_pause();
        else
            futex_wait(&word, 0, clock_now() + LOOK_AGAIN_NS);
    }
}

void queues_share_and_wait(void)
{
    if (atomic_load(&settled))
        return;
    atomic_store(&queues_shared, true);
    heavy_barrier();
    for (const struct worker *worker = workers_all(); worker; worker = worker->next)
        await_outside(worker);
    heavy_barrier(); /* what they have done is seen */
    atomic_store(&settled, true);
}
