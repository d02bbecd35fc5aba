/*
 * The set of processors.
 *
 * Processors are made once and kept; `count` says how many are in service, always those with the lowest indices.
 * Fewer: the others are marked, and their workers, at the next dispatch, give everything away and wait for another
 * processor.  More: a processor without a worker gets a spare one or a new kernel thread.  Changes are made under the
 * control lock.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/activation.h"
#include "core/alone.h"
#include "core/hold.h"
#include "core/invariant.h"
#include "core/monitor.h"
#include "core/runq.h"
#include "core/sched.h"
#include "core/tick.h"

/* At the beginning of a page, as the others are: see SECOND_HALF. */
struct proc first_proc __attribute__((aligned(4096)));
static struct proc *_Atomic procs[PROCS_MAX];
static _Atomic unsigned count;
static struct lock control_lock;

/* A processor in service has no worker, or a service has not been started. */
_Atomic bool procs_missing;

struct proc *proc_at(unsigned index)
{
    return atomic_load_explicit(&procs[index], memory_order_acquire);
}

unsigned procs_count(void)
{
    return atomic_load_explicit(&count, memory_order_acquire);
}

static struct proc *proc_new(unsigned index)
{
    struct proc *proc = &first_proc;

    if (index > 0)
        proc = mmap(NULL, sizeof *proc, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (proc == MAP_FAILED)
        return NULL;
    proc->index = index;
    proc->until_global = GLOBAL_EVERY;
    proc->attention = true;
    proc->random = index * 2654435761U + 1;
    atomic_store(&proc->first_deadline, NEVER);
    atomic_store(&procs[index], proc);
    return proc;
}

/* The flag first, then the call for attention: see settle_attention(). */
static void retire_mark(struct proc *proc)
{
    atomic_store(&proc->retired, true);
    atomic_store(&proc->attention, true);
}

int procs_set(unsigned wanted)
{
    int error = 0;

    lock_acquire(&control_lock, RANK_CONTROL);
    unsigned now = procs_count();
    if (wanted > 1 || policy_on || annotate_valgrind_races) { /* then who leaves is always seen to from off its stack */
        queues_share();
        sched_shared = true; /* on the only processor there is, or there are several already */
    }
    for (unsigned i = now; i < wanted && !error; i++) {
        if (!proc_at(i) && !proc_new(i)) {
            error = ENOMEM;
            wanted = i;
        } else {
            atomic_store(&proc_at(i)->retired, false);
            if (!atomic_load(&proc_at(i)->worker))
                atomic_store(&procs_missing, true);
        }
    }
    for (unsigned i = wanted; i < now; i++)
        retire_mark(proc_at(i));
    atomic_store(&count, wanted);
    lock_release(&control_lock, RANK_CONTROL);
    for (unsigned i = wanted; i < now; i++)
        proc_kick(proc_at(i));
    return error;
}

void proc_retire(struct worker *worker)
{
    struct proc *proc = worker->proc;

    lock_acquire(&control_lock, RANK_CONTROL);
    if (atomic_load(&proc->retired)) {
        timers_move(proc, proc_at(0));
        atomic_store(&proc->ticking, false);
        proc->quiet_ticks = 0;
        lock_acquire(&sched_lock, RANK_SCHED);
        atomic_store(&proc->worker, NULL);
        worker_give_up(worker);
        activation_event(GREEN_ACTIVATION_REMOVED, NULL, (int)proc->index);
        invariant_assert();
        lock_release(&sched_lock, RANK_SCHED);
    }
    lock_release(&control_lock, RANK_CONTROL);
    proc_kick(proc_at(0)); /* its first deadline may be an earlier one now */
}

/* A processor that needs a worker and now has one promised; NULL when none does. */
static struct proc *claim_missing(struct worker **spare)
{
    struct proc *found = NULL;

    lock_acquire(&control_lock, RANK_CONTROL);
    for (unsigned i = 0; i < procs_count() && !found; i++)
        if (!atomic_load(&proc_at(i)->worker) && !proc_at(i)->promised)
            found = proc_at(i);
    if (found) {
        lock_acquire(&sched_lock, RANK_SCHED);
        *spare = spare_take();
        if (*spare)
            worker_enlist(*spare, found); /* which wakes it */
        else
            found->promised = true;
        lock_release(&sched_lock, RANK_SCHED);
    } else {
        atomic_store(&procs_missing, false);
    }
    lock_release(&control_lock, RANK_CONTROL);
    return found;
}

int procs_start_missing(void)
{
    struct worker *spare;
    struct proc *proc;
    int error = 0;

    for (;;) {
        struct thread *self = enter();
        proc = claim_missing(&spare);
        leave(self);
        if (!proc)
            return 0;
        if (spare)
            continue;
        error = worker_spawn(proc, NULL);
        if (error) /* another may have found that none is, thanks to the promise */
            atomic_store(&procs_missing, true);
        proc->promised = false;
        if (error)
            return error;
    }
}

int procs_complete(void)
{
    int error = procs_start_missing();

    if (!error)
        error = tick_source_start();
    return error ? error : monitor_start();
}

/* In the child of a fork there is one processor with one worker again; the others wait to be started. */
void procs_fork_reset(void)
{
    for (unsigned i = 0; i < PROCS_MAX && proc_at(i); i++)
        atomic_store(&procs[i], NULL);
    atomic_store(&count, 0);
    atomic_store(&procs_missing, false);
    sched_shared = false;
    memset(&first_proc, 0, sizeof first_proc);
    control_lock.word = 0;
}

/* On a processor's own thread, as the first growth must be (sched_shared). */
static int set_and_start(unsigned level)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    unsigned before = procs_count();
    int error = procs_set(level);
    leave(self);
    if (!error)
        error = procs_start_missing();
    if (error) {
        self = enter();
        procs_set(before < level ? before : level);
        leave(self);
        error = EAGAIN;
    }
    return error;
}

struct request {
    unsigned level;
    int error;
};

static void *set_on_green_thread(void *arg)
{
    struct request *request = arg;

    request->error = set_and_start(request->level);
    return NULL;
}

int green_setconcurrency(int level)
{
    struct thread *self = enter();
    green_t helper;

    if (!self)
        return EAGAIN;
    bool foreign = !self->worker->proc;
    leave(self);
    if (level < 0)
        return EINVAL;
    if (level > PROCS_MAX)
        return EAGAIN;
    struct request request = {level ? (unsigned)level : settings.procs, 0};
    if (!foreign)
        return set_and_start(request.level);
    if (green_create(&helper, NULL, set_on_green_thread, &request) != 0)
        return EAGAIN;
    green_join(helper, NULL);
    return request.error;
}

int green_getconcurrency(void)
{
    struct thread *self = enter();

    if (self)
        leave(self);
    return self ? (int)procs_count() : 1;
}
