/*
 * Strict priorities: a line for each, and a bit for each line in which somebody stands.
 *
 * Who is displaced stands at the head of its line and goes on with its slice (POSIX, SCHED_RR); everybody else goes to
 * the tail.  Nothing keeps a low priority from starving: that is what strict means.  SCHED_FIFO, without slices, is
 * policy.c's affair.
 */
#include <string.h>

#include "core/policy.h"

enum { LINES = GREEN_PRIORITY_MAX + 1, WORD = 64 };

static struct line {
    struct green_task *head, *tail;
} lines[LINES];
static uint64_t occupied[(LINES + WORD - 1) / WORD];

static void reset(void)
{
    memset(lines, 0, sizeof lines);
    memset(occupied, 0, sizeof occupied);
}

static void enqueue(struct green_task *task, enum green_why why)
{
    struct line *line = &lines[task->priority];
    const bool first = why == GREEN_DISPLACED;

    task->prev = first ? NULL : line->tail;
    task->next = first ? line->head : NULL;
    if (task->prev)
        task->prev->next = task;
    else
        line->head = task;
    if (task->next)
        task->next->prev = task;
    else
        line->tail = task;
    occupied[task->priority / WORD] |= UINT64_C(1) << task->priority % WORD;
}

static void drop(struct green_task *task)
{
    struct line *line = &lines[task->priority];

    if (task->prev)
        task->prev->next = task->next;
    else
        line->head = task->next;
    if (task->next)
        task->next->prev = task->prev;
    else
        line->tail = task->prev;
    if (!line->head)
        occupied[task->priority / WORD] &= ~(UINT64_C(1) << task->priority % WORD);
}

static struct green_task *pick(unsigned processor)
{
    size_t word = sizeof occupied / sizeof *occupied;

    (void)processor;
    while (word-- > 0) {
        if (!occupied[word])
            continue;
        struct green_task *best = lines[word * WORD + WORD - 1 - (size_t)__builtin_clzll(occupied[word])].head;
        drop(best);
        return best;
    }
    return NULL;
}

static bool preempts(const struct green_task *ready, const struct green_task *running)
{
    return ready->priority > running->priority;
}

const struct green_policy policy_priority = {
    .name = "priority",
    .reset = reset,
    .enqueue = enqueue,
    .pick = pick,
    .remove = drop,
    .preempts = preempts,
    .inherit = true,
};
