/*
 * A handler that the kernel calls, as the library does not know it: what it blocks is blocked wherever it goes, and
 * nowhere else.  Those are the handlers of faults that libc's sigaction() sets; here one is sent.
 */
#include "doing.h"
#include "signals.h"

#include <sys/syscall.h>
#include <unistd.h>

TestSuite(signal_kernel, .timeout = LIMIT);

static int ends[2];
static green_sem_t posted;
static atomic_int sleeper, held_on;

static bool kernel_blocks(int number)
{
    uint64_t mask;
    must(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask) == 0);
    return mask >> (number - 1) & 1;
}

static void handle_in_the_kernel(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART, .sa_mask = set_of(SIGUSR1)};
    must(green_sem_init(&posted, 0, 0) == 0);
    must(sigaction(SIGSYS, &action, NULL) == 0);
}

static void posts(int number)
{
    must(green_sem_post(&posted) == 0);
    must(kernel_blocks(number) && kernel_blocks(SIGUSR1) && !kernel_blocks(SIGALRM));
    atomic_store(&held_on, gettid());
}

static void *reads_with_tid(void *arg)
{
    char byte;
    atomic_store(&sleeper, gettid());
    must(read(ends[0], &byte, 1) == 1);
    must(!kernel_blocks(SIGSYS) && !kernel_blocks(SIGUSR1));
    return arg;
}

/* Its processor is gone when it posts. */
ON_BOTH(signal_kernel, handler_without_a_processor)
{
    must(pipe(ends) == 0);
    handle_in_the_kernel(posts);
    start_hogs(3);
    uint64_t before = stats_now().retakes;
    green_t thread = spawn(reads_with_tid, NULL);
    wait_for(atomic_load(&sleeper) != 0);
    if (strcmp(green_monitor_source(), "off") != 0)
        wait_for(stats_now().retakes > before && is_reading(thread, ends[0]));
    must(tgkill(getpid(), atomic_load(&sleeper), SIGSYS) == 0);
    must(green_sem_wait(&posted) == 0);
    wait_for(atomic_load(&held_on) != 0);
    must(write(ends[1], "x", 1) == 1);
    join_result(thread);
    stop_hogs();
}

/*
 * It is preempted as it leaves the library, now and then, and others run where it was.  The signal may go to whom the
 * thread ran on just before, or come upon a tick's handler: then it is sent again.
 */
static atomic_bool handler_over;
static _Thread_local volatile bool raising;

static void asks_and_asks(int number)
{
    if (!raising || kernel_blocks(SIGALRM))
        return;
    raising = false;
    const uint64_t target = stats_now().preemptions + STORM_PREEMPTIONS;
    while (stats_now().preemptions < target) {
        for (int i = 0; i < 200; i++)
            must(green_kill(green_self(), 0) == 0);
        must(kernel_blocks(number) && kernel_blocks(SIGUSR1) && !kernel_blocks(SIGALRM));
    }
    atomic_store(&handler_over, true);
}

static void *looks_at_its_mask(void *arg)
{
    while (!atomic_load(&handler_over))
        must(!kernel_blocks(SIGUSR1) && !kernel_blocks(SIGSYS));
    return arg;
}

static void *raises(void *arg)
{
    raising = true;
    while (raising)
        must(tgkill(getpid(), gettid(), SIGSYS) == 0);
    must(atomic_load(&handler_over));
    must(!kernel_blocks(SIGSYS) && !kernel_blocks(SIGUSR1));
    return arg;
}

ON_BOTH(signal_kernel, handler_is_preempted)
{
    green_t threads[3];
    handle_in_the_kernel(asks_and_asks);
    for (int i = 0; i < 3; i++)
        threads[i] = spawn(looks_at_its_mask, NULL);
    join_result(spawn(raises, NULL));
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
}
