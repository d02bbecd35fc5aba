/*
 * The ways back: of a blocked thread to a busy processor, to an idle one or to its own, and of one that said that it
 * would block.
 */
#include "blocking.h"
#include "core/sched.h"

#include <signal.h>
#include <stdlib.h>

TestSuite(blocking_return, .timeout = LIMIT);

/* The processor is busy: the thread stands in line. */
EVERY_WAY(blocking_return, return_to_a_busy_processor)
{
    crowd_start();
    while (stats_now().returns_queued < 10)
        nap(1000000);
    crowd_stop();
    struct green_stats stats = stats_now();
    cr_assert_leq(stats.returns_queued, stats.retakes);
}

static atomic_bool called_off;

/* Until somebody's processor has been taken. */
static void *run_until_retake(void *arg)
{
    const uint64_t *before = arg;
    while (stats_now().retakes == *before && !atomic_load(&called_off))
        ;
    return NULL;
}

/* Nobody has anything to do by then: the thread takes an idle one. */
EVERY_WAY(blocking_return, return_to_an_idle_processor)
{
    enum { OTHERS = 3 };
    green_t others[OTHERS];
    while (stats_now().returns_idle < 3) {
        uint64_t before = stats_now().retakes;
        atomic_store(&called_off, false);
        for (int i = 0; i < OTHERS; i++)
            others[i] = spawn(run_until_retake, &before);
        nap(20000000);
        atomic_store(&called_off, true);
        for (int i = 0; i < OTHERS; i++)
            join_result(others[i]);
    }
}

/*
 * It is back while the monitor makes up its mind: the thread keeps its processor.  That moment is as short as it can be, and
 * on one CPU it may not come for minutes.  So the monitor is off, and the test does what it would have begun.
 */
static void return_before_the_processor_is_gone(unsigned procs)
{
    struct green_config config = {.procs = procs, .preempt = GREEN_ON};
    uint32_t hold = HOLD_OWNED;
    setenv("GREEN_MONITOR", "off", 1);
    start_config(&config);
    struct worker *const worker = self_thread->worker;
    const struct proc *const proc = worker->proc;
    cr_assert(atomic_compare_exchange_strong(&worker->hold, &hold, HOLD_REVOKING));
    green_safepoint();
    cr_assert_eq(stats_now().retakes_cancelled, 1);
    cr_assert_eq(atomic_load(&worker->hold), HOLD_OWNED);
    cr_assert_eq(worker->proc, proc);
}

Test(blocking_return, return_before_the_processor_is_gone_on_1)
{
    return_before_the_processor_is_gone(1);
}

Test(blocking_return, return_before_the_processor_is_gone_on_2)
{
    return_before_the_processor_is_gone(2);
}

/* In a handler, on an alternate stack. */

static atomic_ulong handled;

static void block_in_handler(int signal)
{
    (void)signal;
    nap(20000000);
    green_safepoint(); /* into the library, perhaps without a processor */
    atomic_fetch_add(&handled, 1);
}

static void *raise_on_alternate_stack(void *arg)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, before;
    must(sigaltstack(&stack, &before) == 0);
    raise(SIGUSR1);
    must(sigaltstack(&before, NULL) == 0);
    free(stack.ss_sp);
    return arg;
}

static void handle_once(void)
{
    const unsigned long before = atomic_load(&handled);
    join_result(spawn(raise_on_alternate_stack, NULL));
    cr_assert_eq(atomic_load(&handled), before + 1);
}

/* To an idle processor, as soon as the others were done in time; and to busy ones. */
EVERY_WAY(blocking_return, return_on_an_alternate_stack)
{
    enum { OTHERS = 3 };
    struct sigaction action = {.sa_handler = block_in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    green_t others[OTHERS];
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    while (stats_now().returns_idle < 3) {
        uint64_t before = stats_now().retakes;
        atomic_store(&called_off, false);
        for (int i = 0; i < OTHERS; i++)
            others[i] = spawn(run_until_retake, &before);
        handle_once();
        atomic_store(&called_off, true);
        for (int i = 0; i < OTHERS; i++)
            join_result(others[i]);
    }
    crowd_start();
    for (uint64_t queued = stats_now().returns_queued; stats_now().returns_queued < queued + 3;)
        handle_once();
    crowd_stop();
}

/* Said beforehand: the processor goes at once, whatever the monitor sees. */
EVERY_WAY(blocking_return, announced_blocks)
{
    crowd_start();
    uint64_t queued = stats_now().returns_queued;
    wait_for(stats_now().workers_spare > 0);
    while (stats_now().returns_queued < queued + 20) {
        green_blocking_enter();
        unsigned long before = atomic_load(&crowd_counted);
        for (int i = 0; i < 1000 && atomic_load(&crowd_counted) == before; i++)
            nap(100000);
        green_blocking_leave();
    }
    crowd_stop();
}

/* Nobody waits: the processor stays, and so does the thread. */
EVERY_WAY(blocking_return, announced_alone)
{
    wait_for(stats_now().workers_spare > 0);
    for (int i = 0; i < 100; i++) {
        green_blocking_enter();
        nap(1000);
        green_blocking_leave();
    }
    cr_assert_eq(stats_now().workers_blocked, 0);
}
