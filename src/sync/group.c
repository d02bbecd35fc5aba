/*
 * Task groups.
 *
 * Groups form trees, and the mutex of a tree's root guards all that is in it: a failure or a deadline stops a whole
 * branch in one step, and a task that is being spawned is either refused or is there to be stopped.  One mutex for each
 * group was rejected: stopping would have to hold those of a branch all at once, while its tasks end.
 *
 * A task's end is accounted by the destructor of a pthread key, whose value is the task: it runs however the thread ends,
 * by returning, by green_exit() or by being unwound.  The thread then is on its group's list of ended ones until somebody
 * has joined it: whoever waits for the group, so that the wait ends after the threads' last destructors; or who spawns
 * the next task, so that a group which lives for long does not keep what is over.  The latter joins only who has left its
 * stack already: it must not wait for a destructor that may need what the spawner holds.
 *
 * A deadline has no thread or timer of its own: the thread that waits for a group, of which there is one as a rule, wakes
 * up for it.  stop_one() is the only place where a group's tasks are asked to end.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <green/cancel.h>
#include <green/group.h>

#include "core/life.h"
#include "core/sched.h"
#include "core/table.h"

struct task {
    struct green_group *group; /* constant, as are the next two */
    int (*work)(void *);
    void *arg;
    green_t thread;            /* guarded by the tree's mutex */
    int failure;               /* its own, until it has ended */
    struct task *next;         /* of those that run, or of those that have ended */
    struct task *prev;         /* of those that run */
};

struct green_group {
    struct green_group *root;   /* constant, as are the next two */
    struct green_group *parent;
    green_chan_t *stop_chan;
    green_mutex_t mutex;        /* of the root: guards what follows, in the whole tree */
    green_cond_t changed;       /* nothing runs, nothing is left, or there is an earlier deadline */
    struct green_group *children;
    struct green_group *next_child, *prev_child;
    struct task *runs;          /* who has not ended */
    struct task *ended;         /* not joined yet, first come first */
    struct task *ended_last;
    size_t running;
    size_t left;                /* spawned and not joined */
    int failure;                /* the first */
    _Atomic int stopped;        /* written under the mutex, as is the next */
    _Atomic uint64_t deadline;  /* ns; never later than the parent's */
};

static green_once_t key_once = GREEN_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void lock(struct green_group *group)
{
    green_mutex_lock(&group->root->mutex);
}

static void unlock(struct green_group *group)
{
    green_mutex_unlock(&group->root->mutex);
}

static uint64_t deadline_of(const struct green_group *group)
{
    return atomic_load_explicit(&group->deadline, memory_order_relaxed);
}

static bool is_stopped(const struct green_group *group)
{
    return atomic_load_explicit(&group->stopped, memory_order_acquire) != 0;
}

static bool is_late(const struct green_group *group)
{
    const uint64_t deadline = deadline_of(group);

    return deadline != NEVER && clock_now() >= deadline;
}

/* The next in a branch, who is above before who is below; NULL after the last. */
static struct green_group *next_in_branch(struct green_group *group, const struct green_group *top)
{
    if (group->children)
        return group->children;
    while (group != top && !group->next_child)
        group = group->parent;
    return group == top ? NULL : group->next_child;
}

/* With the mutex held, as in all that follow. */
static void stop_one(struct green_group *group, int why)
{
    if (is_stopped(group))
        return;
    if (!group->failure)
        group->failure = why;
    atomic_store_explicit(&group->stopped, 1, memory_order_release);
    green_chan_close(group->stop_chan); /* first: who waits on it returns */
    for (struct task *task = group->runs; task; task = task->next)
        green_cancel(task->thread);
    green_cond_broadcast(&group->changed); /* its deadline means nothing any more */
}

/* Stop a branch: the top for its reason, and who is below for theirs. */
static void stop_branch(struct green_group *top, int why, int why_below)
{
    for (struct green_group *group = top; group; group = next_in_branch(group, top))
        stop_one(group, group == top ? why : why_below);
}

/* The groups below are as late: no deadline is later than one above it. */
static void stop_if_late(struct green_group *group)
{
    if (!is_stopped(group) && is_late(group))
        stop_branch(group, ETIMEDOUT, ETIMEDOUT);
}

static void runs_add(struct green_group *group, struct task *task)
{
    task->prev = NULL;
    task->next = group->runs;
    if (group->runs)
        group->runs->prev = task;
    group->runs = task;
}

static void runs_remove(struct green_group *group, struct task *task)
{
    if (task->prev)
        task->prev->next = task->next;
    else
        group->runs = task->next;
    if (task->next)
        task->next->prev = task->prev;
}

static void ended_append(struct green_group *group, struct task *task)
{
    task->next = NULL;
    if (group->ended)
        group->ended_last->next = task;
    else
        group->ended = task;
    group->ended_last = task;
}

/* The destructor of the key: the task's thread ends. */
static void task_ended(void *arg)
{
    struct task *task = arg;
    struct green_group *group = task->group;

    lock(group);
    runs_remove(group, task);
    ended_append(group, task);
    if (task->failure && !is_stopped(group))
        stop_branch(group, task->failure, ECANCELED);
    if (--group->running == 0)
        green_cond_broadcast(&group->changed);
    unlock(group);
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, task_ended);
}

/* On its first call a kernel thread of the program's joins the library, for which there may be no memory. */
static bool caller_is_known(void)
{
    struct thread *self = enter();

    if (self)
        leave(self);
    return self != NULL;
}

green_group_t *green_group_self(void)
{
    if (!caller_is_known())
        return NULL;
    green_once(&key_once, make_key);
    const struct task *task = key_error ? NULL : pthread_getspecific(key);
    return task ? task->group : NULL;
}

static void *run_task(void *arg)
{
    struct task *task = arg;

    task->failure = pthread_setspecific(key, task);
    if (task->failure) {
        task_ended(task);
        return NULL;
    }
    task->failure = ECANCELED; /* unless it returns */
    task->failure = task->work(task->arg);
    return NULL;
}

static void add_child(struct green_group *parent, struct green_group *group)
{
    lock(parent);
    group->next_child = parent->children;
    if (parent->children)
        parent->children->prev_child = group;
    parent->children = group;
    atomic_store(&group->deadline, deadline_of(parent));
    if (is_stopped(parent))
        stop_one(group, ECANCELED);
    unlock(parent);
}

static void remove_child(struct green_group *parent, struct green_group *group)
{
    if (group->prev_child)
        group->prev_child->next_child = group->next_child;
    else
        parent->children = group->next_child;
    if (group->next_child)
        group->next_child->prev_child = group->prev_child;
}

static struct green_group *group_new(struct green_group *parent)
{
    struct green_group *group = calloc(1, sizeof *group);

    if (!group || green_chan_create(&group->stop_chan, 0, 0) != 0) {
        free(group);
        return NULL;
    }
    green_mutex_init(&group->mutex, NULL);
    green_cond_init(&group->changed, NULL);
    group->root = parent ? parent->root : group;
    group->parent = parent;
    atomic_store(&group->deadline, NEVER);
    return group;
}

int green_group_create(green_group_t **group, green_group_t *parent)
{
    if (!group)
        return EINVAL;
    if (!caller_is_known())
        return ENOMEM;
    if (!parent)
        parent = green_group_self();
    if (key_error)
        return key_error;
    struct green_group *made = group_new(parent);
    if (!made)
        return ENOMEM;
    if (parent)
        add_child(parent, made);
    *group = made;
    return 0;
}

int green_group_destroy(green_group_t *group)
{
    if (!group)
        return EINVAL;
    if (!caller_is_known())
        return ENOMEM;
    lock(group);
    const bool used = group->left > 0 || group->children;
    if (!used && group->parent)
        remove_child(group->parent, group);
    unlock(group);
    if (used)
        return EBUSY;
    green_chan_destroy(group->stop_chan);
    free(group);
    return 0;
}

int green_group_setdeadline(green_group_t *group, clockid_t clock, const struct timespec *abstime)
{
    uint64_t deadline;

    if (!group || clock_deadline(clock, abstime, &deadline) != 0)
        return EINVAL;
    if (!caller_is_known())
        return ENOMEM;
    lock(group);
    for (struct green_group *each = group; each; each = next_in_branch(each, group))
        if (deadline < deadline_of(each)) {
            atomic_store_explicit(&each->deadline, deadline, memory_order_relaxed);
            green_cond_broadcast(&each->changed);
        }
    unlock(group);
    return 0;
}

/* Join a task that has ended, and forget it.  The mutex is released meanwhile. */
static void reap(struct green_group *group, struct task *task)
{
    unlock(group);
    green_join(task->thread, NULL);
    free(task);
    lock(group);
    if (--group->left == 0)
        green_cond_broadcast(&group->changed);
}

/* Joining it does not wait. */
static bool is_gone(const struct task *task)
{
    struct thread *self = enter();
    const struct thread *thread = table_find(task->thread);
    const bool gone = thread && (uint32_t)life_of(thread) == LIFE_EXITED;

    leave(self);
    return gone;
}

/* Two for each that is spawned, at the most: then they do not pile up. */
static void reap_gone(struct green_group *group)
{
    for (int i = 0; i < 2 && group->ended && is_gone(group->ended); i++) {
        struct task *task = group->ended;
        group->ended = task->next;
        reap(group, task);
    }
}

static int start(struct green_group *group, const green_attr_t *attr, struct task *task)
{
    stop_if_late(group);
    if (is_stopped(group))
        return ECANCELED;
    int error = green_create(&task->thread, attr, run_task, task);
    if (error)
        return error;
    runs_add(group, task);
    group->running++;
    group->left++;
    reap_gone(group);
    return 0;
}

/*
 * Its tasks may use what lies on the stack of the thread that waits, and the mutex is held: no cancellation until then.
 * The same for a thread that joins others while it spawns one.
 */
static int without_cancellation(void)
{
    int before;

    green_setcancelstate(GREEN_CANCEL_DISABLE, &before);
    return before;
}

int green_group_spawn(green_group_t *group, const green_attr_t *attr, int (*work)(void *), void *arg)
{
    if (!group || !work || (attr && attr->__detach_state != GREEN_CREATE_JOINABLE))
        return EINVAL;
    struct task *task = caller_is_known() ? malloc(sizeof *task) : NULL;
    if (!task)
        return ENOMEM;
    *task = (struct task){.group = group, .work = work, .arg = arg};
    const int before = without_cancellation();
    lock(group);
    int error = start(group, attr, task);
    unlock(group);
    green_setcancelstate(before, NULL);
    if (error)
        free(task);
    return error;
}

/* Until something has changed, or the deadline has come. */
static void wait_for_change(struct green_group *group)
{
    const uint64_t deadline = is_stopped(group) ? NEVER : deadline_of(group);
    const struct timespec time = clock_timespec(deadline);

    if (deadline == NEVER)
        green_cond_wait(&group->changed, &group->root->mutex);
    else if (green_cond_clockwait(&group->changed, &group->root->mutex, CLOCK_MONOTONIC, &time) == ETIMEDOUT)
        stop_if_late(group);
}

static void wait_for_all(struct green_group *group)
{
    while (group->left > 0) {
        struct task *task = group->ended;
        if (task) {
            group->ended = task->next;
            reap(group, task);
        } else {
            wait_for_change(group);
        }
    }
}

/* A task of the group, or of one below it, waits for itself. */
static bool is_own_branch(const struct green_group *group)
{
    const struct green_group *own = green_group_self();

    while (own && own != group)
        own = own->parent;
    return own != NULL;
}

int green_group_wait(green_group_t *group, int *failure)
{
    if (!group)
        return EINVAL;
    if (!caller_is_known())
        return ENOMEM;
    if (is_own_branch(group))
        return EDEADLK;
    const int before = without_cancellation();
    lock(group);
    wait_for_all(group);
    if (failure)
        *failure = group->failure;
    unlock(group);
    green_setcancelstate(before, NULL);
    return 0;
}

int green_group_stop(green_group_t *group)
{
    if (!group)
        return EINVAL;
    if (!caller_is_known())
        return ENOMEM;
    lock(group);
    stop_branch(group, ECANCELED, ECANCELED);
    unlock(group);
    return 0;
}

int green_group_stopped(green_group_t *group)
{
    if (!group && !(group = green_group_self()))
        return 0;
    if (is_stopped(group))
        return 1;
    if (!is_late(group))
        return 0;
    if (!caller_is_known())
        return 1;
    lock(group);
    if (group->running > 0)
        stop_if_late(group);
    unlock(group);
    return 1;
}

green_chan_t *green_group_stop_chan(green_group_t *group)
{
    if (!group)
        group = green_group_self();
    return group ? group->stop_chan : NULL;
}
