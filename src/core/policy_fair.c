/*
 * Fair shares by virtual deadlines (after Stoica and Abdel-Wahab's EEVDF, 1995).
 *
 * A thread's virtual time (key[0]) is the processor time it has had, divided by its weight: threads that always wait
 * keep theirs together, and so have time in proportion to their weights.  Its virtual deadline is the virtual time at
 * which it would have had one more slice; the earliest deadline runs next, so a heavy thread also waits for less.
 *
 * Who was away takes up at the virtual time of those who were not, `now_virtual`: it is owed nothing for its absence,
 * and what it had too much is not forgiven.  Rejected: EEVDF's second condition, that a thread which has had more than
 * its share is not eligible at all: it bounds the lag of threads with slices of their own more tightly, and needs an
 * augmented tree where a heap does.
 */
#include "core/policy.h"

enum { SCALE = 1024 };

static struct heap ready_tasks;
static uint64_t now_virtual;

static struct thread *thread_of(const struct green_task *task)
{
    return (struct thread *)((uintptr_t)task - offsetof(struct thread, task));
}

static uint64_t to_virtual(uint64_t ns, const struct green_task *task)
{
    return ns * SCALE / task->weight;
}

static uint64_t deadline_of(const struct green_task *task)
{
    return task->key[0] + to_virtual(slice_ns(thread_of(task)), task);
}

static void reset(void)
{
    ready_tasks.root = NULL;
}

static void ran(struct green_task *task, uint64_t ns)
{
    task->key[0] += to_virtual(ns, task);
}

static void enqueue(struct green_task *task, enum green_why why)
{
    if (why == GREEN_CREATED || why == GREEN_WOKEN || why == GREEN_RETURNED)
        if (task->key[0] < now_virtual)
            task->key[0] = now_virtual;
    thread_of(task)->task_node.deadline = deadline_of(task);
    if (why == GREEN_YIELDED) /* let others run who are due about now */
        thread_of(task)->task_node.deadline += to_virtual(slice_ns(thread_of(task)), task);
    heap_insert(&ready_tasks, &thread_of(task)->task_node);
}

static void drop(struct green_task *task)
{
    heap_remove(&ready_tasks, &thread_of(task)->task_node);
}

static struct green_task *pick(unsigned processor)
{
    struct green_task *task = &container_of(ready_tasks.root, struct thread, task_node)->task;

    (void)processor;
    drop(task);
    if (task->key[0] > now_virtual)
        now_virtual = task->key[0];
    return task;
}

static bool preempts(const struct green_task *ready, const struct green_task *running)
{
    return deadline_of(ready) < deadline_of(running);
}

const struct green_policy policy_fair = {
    .name = "fair",
    .reset = reset,
    .enqueue = enqueue,
    .pick = pick,
    .remove = drop,
    .preempts = preempts,
    .ran = ran,
};
