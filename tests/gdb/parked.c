/*
 * For tests/gdb/run: a thread of each kind, when a breakpoint in stop_here() is reached.  One is parked, one sleeps, one
 * has been preempted, and one runs.  Needs GREEN_PROCS=1.
 *
 * It ends in order, status 0, if the debugger left everything as it was.
 */
#include <green.h>

#include <stdatomic.h>
#include <stdio.h>

#define NOINLINE __attribute__((noinline))

static green_sem_t sem;
static atomic_ulong turns;
static atomic_bool done;
green_t parked, sleeping, preempted, running, unstarted; /* for the debugger */

NOINLINE static int wait_inside(green_sem_t *on)
{
    int error = green_sem_wait(on);
    atomic_signal_fence(memory_order_seq_cst); /* no tail call */
    return error;
}

static void *run_parked(void *arg)
{
    int error = wait_inside(arg);
    return error ? NULL : arg;
}

static void *run_sleeping(void *arg)
{
    for (;;)
        green_usleep(3600000000U);
    return arg;
}

NOINLINE static void hog_inside(void)
{
    while (!done)
        turns++;
}

static void *run_preempted(void *arg)
{
    hog_inside();
    return arg;
}

static void *run_unstarted(void *arg)
{
    return arg;
}

NOINLINE void stop_here(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* The hog has had the processor between its turns, so it stands in its tick; and so have all that were ahead of it. */
static void *run_running(void *arg)
{
    for (int i = 0; i < 3; i++)
        for (unsigned long seen = turns; turns == seen;)
            continue;
    green_create(&unstarted, NULL, run_unstarted, NULL);
    stop_here();
    done = 1;
    green_sem_post(&sem);
    return arg;
}

static int start(green_t *thread, const char *name, void *(*run)(void *))
{
    int error = green_create(thread, NULL, run, &sem);
    return error ? error : green_setname_np(*thread, name);
}

int main(void)
{
    if (green_sem_init(&sem, 0, 0) || start(&parked, "parked", run_parked) ||
        start(&sleeping, "sleeping", run_sleeping) || start(&preempted, "preempted", run_preempted) ||
        start(&running, "running", run_running))
        return 1;
    void *result = NULL;
    if (green_join(running, NULL) || green_join(preempted, NULL) || green_join(parked, &result))
        return 1;
    puts("as it was");
    return result != &sem;
}
