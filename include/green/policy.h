/*
 * Scheduling policies: who runs next, when somebody else had better, and a thread's priority and weight.
 *
 * Overview.  A policy orders the threads that are ready.  Three come with the library:
 *
 *   rr        work-stealing round robin, a queue for each processor; the default, and by far the fastest
 *   priority  a ready thread never waits while one of lower priority runs: not on this processor, and not on another,
 *             which is signalled then.  Equals take turns by slices, but for those of SCHED_FIFO, who go on.
 *             green_mutex lends the priority of those who wait to the one who holds it; and mutexes, condition variables,
 *             semaphores and read-write locks go to the most urgent who waits, and of equals to the first
 *   fair      processor time in proportion to weights, by virtual deadlines
 *
 * How to use it.  Name one in GREEN_POLICY, or in green_config.policy by green_policy_by_name(), and give threads their
 * priorities (green_setschedparam() and its likes, in <green.h>) or weights.  Or write one: fill in a struct green_policy
 * and name it in green_config.policy.  Every policy but rr keeps both for all threads, and shows them to its functions.
 *
 * Limits.  Every policy but rr keeps all ready threads behind one lock and reads the clock at each switch: a switch
 * costs several times as much, and many processors wait for each other.  Nothing is stolen, and fork-join trees are
 * not gone through depth first: a tree is as many threads at once as it is broad.  A critical section's holder, and
 * code inside the library, is never displaced: it is when it leaves.  Priorities are lent through green_mutex alone.
 * Channels, and what is shared between processes, serve who came first; locks inside libc and pthread mutexes know
 * nothing of priorities.  One that changes while its thread waits for something but a mutex counts from the next wait
 * on.  Bound threads are the kernel's: they have none of these priorities, and lend none.
 */
#ifndef GREEN_POLICY_H
#define GREEN_POLICY_H

#include <stdbool.h>

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GREEN_PRIORITY_MIN 0 /* and the default */
#define GREEN_PRIORITY_MAX 99
#define GREEN_WEIGHT_MIN 1
#define GREEN_WEIGHT_MAX 10000
#define GREEN_WEIGHT_DEFAULT 100

/* What a policy sees of a thread.  Its own fields are 0 when the thread is created. */
struct green_task {
    green_t thread;
    int priority;            /* with what it has been lent; more is more urgent */
    unsigned weight;
    uint64_t ran_ns;         /* CPU time that it has had, by its kernel thread's clock; 0 without ran() */
    struct green_task *next; /* the policy's own, as are all that follow */
    struct green_task *prev;
    uint64_t key[2];
    void *data;
};

/* Why a thread is ready. */
enum green_why {
    GREEN_CREATED,
    GREEN_WOKEN,      /* what it waited for has come */
    GREEN_YIELDED,
    GREEN_SLICE_OVER,
    GREEN_DISPLACED,  /* by another that is more urgent, in the middle of its slice: it continues that slice later */
    GREEN_RETURNED,   /* it was blocked in the kernel, and its processor went to another */
    GREEN_CHANGED     /* its priority or weight was, while it was ready */
};

/*
 * A policy.  Its functions are called one at a time, under a lock of the library's, on any kernel thread, with
 * preemption held off.  They must not block, allocate, print, or call this library, and should take no longer than a
 * switch does.  remove, preempts, slice_us and ran may be NULL.
 */
struct green_policy {
    const char *name;
    /* Forget every thread: at the start, and in the child of a fork. */
    void (*reset)(void);
    /* It is ready: keep it until pick() or remove(). */
    void (*enqueue)(struct green_task *task, enum green_why why);
    /* Who of the kept runs next on that processor; it is kept no more.  Called only while some are: never NULL then. */
    struct green_task *(*pick)(unsigned processor);
    /* Give up one that is kept, whose priority or weight changes: it is enqueued again.  NULL: it shows its
     * new ones from when it is picked. */
    void (*remove)(struct green_task *task);
    /* Whether the ready one ought to run now in the other's place.  NULL: nobody is displaced before his slice is over. */
    bool (*preempts)(const struct green_task *ready, const struct green_task *running);
    /* Its next slice in microseconds, 100 to 10,000,000; 0, or NULL: as without. */
    unsigned (*slice_us)(const struct green_task *task);
    /* It has had so much CPU time since the last time; called before it is enqueued.  NULL saves a system call a switch. */
    void (*ran)(struct green_task *task, uint64_t ns);
    /* Who holds a green_mutex has at least the priority of those who wait for it; who waits is served by priority. */
    bool inherit;
    uint64_t reserved[4];
};

/*
 * Returns the policy of a name, "rr", "priority" or "fair"; NULL when there is none of that name.  Does not block.  Signal
 * handler: yes.
 */
GREEN_API const struct green_policy *green_policy_by_name(const char *name);

/* Returns the name of the program's policy.  Does not block.  Signal handler: yes. */
GREEN_API const char *green_policy_name(void);

/*
 * A multiplexed thread's weight, 1 to 10,000: its share beside the others'.  A new thread has its creator's unless its
 * attributes tell; main's is 100.  Attributes that do not tell say 100; a bound thread has no weight, and theirs means
 * nothing to it.  Do not block.  Signal handler: yes, but not the calls that
 * name a thread.
 *   ESRCH    no such thread, or it has ended
 *   ENOTSUP  a thread that is not multiplexed; where the policy is round robin, any
 *   EINVAL   no such weight; a null pointer
 */
GREEN_API int green_setweight_np(green_t thread, unsigned weight);
GREEN_API int green_getweight_np(green_t thread, unsigned *weight);
GREEN_API int green_attr_setweight_np(green_attr_t *attr, unsigned weight);
GREEN_API int green_attr_getweight_np(const green_attr_t *attr, unsigned *weight);

#ifdef __cplusplus
}
#endif

#endif
