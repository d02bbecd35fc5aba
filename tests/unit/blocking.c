/*
 * What the tests of blocked threads share: see blocking.h.
 */
#include "blocking.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

bool interruptible;
atomic_ulong interruptions;
atomic_ulong crowd_counted;

static atomic_bool crowd_over;
static green_t crowd[CROWD];
static int blocked_pipe[2];

/* Nobody has perf from here on. */
static void refuse_perf(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

static void *nothing(void *arg)
{
    return arg;
}

void start_watched(const char *how, unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = 1000, .preempt = GREEN_ON};

    interruptible = strcmp(how, "refused") == 0;
    if (interruptible)
        refuse_perf();
    else
        setenv("GREEN_MONITOR", how, 1);
    if (!interruptible)
        config.tick = GREEN_TICK_PERF; /* deadlines by the timer may meet a call that has just begun */
    start_config(&config);
    join_result(spawn(nothing, NULL)); /* the monitor runs when there is a second thread */
    const char *seen = strcmp(how, "perf") == 0 ? "perf" : "stat";
    cr_assert_str_eq(green_monitor_source(), seen, "GREEN_MONITOR=%s: by %s", how, green_monitor_source());
}

void nap(long ns)
{
    struct timespec left = {0, ns};
    must(uninterrupted(nanosleep(&left, &left)) == 0);
}

static void *count_on(void *arg)
{
    while (!atomic_load(&crowd_over))
        atomic_fetch_add(&crowd_counted, 1);
    return arg;
}

void crowd_start(void)
{
    atomic_store(&crowd_over, false);
    for (int i = 0; i < CROWD; i++)
        crowd[i] = spawn(count_on, NULL);
}

void crowd_stop(void)
{
    atomic_store(&crowd_over, true);
    for (int i = 0; i < CROWD; i++)
        join_result(crowd[i]);
}

static void *wait_for_a_byte(void *arg)
{
    char byte;
    must(uninterrupted(read(blocked_pipe[0], &byte, 1)) == 1);
    return arg;
}

void spawn_blocked(green_t *threads, unsigned count)
{
    cr_assert_eq(pipe(blocked_pipe), 0);
    for (unsigned i = 0; i < count; i++)
        threads[i] = spawn(wait_for_a_byte, threads);
}

void start_blocked(green_t *threads, unsigned count)
{
    spawn_blocked(threads, count);
    wait_for(stats_now().workers_blocked == count);
}

void end_blocked(green_t *threads, unsigned count)
{
    char bytes[count];
    memset(bytes, 'x', count);
    must(write(blocked_pipe[1], bytes, count) == (ssize_t)count);
    for (unsigned i = 0; i < count; i++)
        must(join_result(threads[i]) == threads);
    close(blocked_pipe[0]);
    close(blocked_pipe[1]);
}
