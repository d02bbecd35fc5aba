/*
 * Starting the library: settings, environment, what is refused and how it is said.
 */
#include "unit.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/kernel_sched.h"

static const char *const variables[] = {"GREEN_PROCS", "GREEN_SLICE_US", "GREEN_PREEMPT",
                                        "GREEN_TICK",  "GREEN_SIGNAL",   "GREEN_STACK"};

static void clear_environment(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
}

/* Call green_init() and keep what it writes on standard error. */
static int init_heard(const struct green_config *config, char *heard, size_t bytes)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    must(file && saved >= 0);
    dup2(fileno(file), STDERR_FILENO);
    int error = green_init(config);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    heard[fread(heard, 1, bytes - 1, file)] = '\0';
    fclose(file);
    return error;
}

static int is_one_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end && end > text && end[1] == '\0';
}

TestSuite(init, .init = clear_environment, .timeout = LIMIT);

static size_t default_stack(void)
{
    green_attr_t attr;
    size_t bytes;
    cr_assert_eq(green_attr_init(&attr), 0);
    cr_assert_eq(green_attr_getstacksize(&attr, &bytes), 0);
    return bytes;
}

Test(init, defaults)
{
    cpu_set_t cpus;
    cr_assert_eq(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    cr_assert_eq(green_init(NULL), 0);
    struct green_stats stats = stats_now();
    cr_assert_geq(stats.procs, 1);
    cr_assert_leq(stats.procs, (uint64_t)CPU_COUNT(&cpus));
    cr_assert_eq((int)stats.procs, green_getconcurrency());
    cr_assert_eq(stats.threads_live, 1);
    cr_assert(!strcmp(green_tick_source(), "perf") || !strcmp(green_tick_source(), "timer"));
    cr_assert(!strcmp(green_tls_provider(), "allocate") || !strcmp(green_tls_provider(), "donor"));
    cr_assert_eq(default_stack(), 262144);
}

Test(init, first_call_starts_it)
{
    cr_assert_neq(green_self(), 0);
    cr_assert_eq(stats_now().threads_live, 1);
    cr_assert_eq(green_init(NULL), EBUSY);
}

Test(init, second_is_busy)
{
    cr_assert_eq(green_init(NULL), 0);
    cr_assert_eq(green_init(NULL), EBUSY);
    struct green_config config = {.procs = 3};
    cr_assert_eq(green_init(&config), EBUSY);
    cr_assert_neq(green_self(), 0);
}

Test(init, environment)
{
    setenv("GREEN_PROCS", "3", 1);
    setenv("GREEN_TICK", "monitor", 1);
    setenv("GREEN_STACK", "65536", 1);
    setenv("GREEN_SLICE_US", "500", 1);
    setenv("GREEN_PREEMPT", "1", 1);
    cr_assert_eq(green_init(NULL), 0);
    cr_assert_eq(stats_now().procs, 3);
    cr_assert_str_eq(green_tick_source(), "monitor");
    cr_assert_eq(default_stack(), 65536);
}

Test(init, environment_turns_preemption_off)
{
    setenv("GREEN_PREEMPT", "0", 1);
    cr_assert_eq(green_init(NULL), 0);
    cr_assert_str_eq(green_tick_source(), "off");
}

Test(init, auto_is_the_timer_without_the_monitor)
{
    setenv("GREEN_TICK", "auto", 1);
    setenv("GREEN_MONITOR", "off", 1);
    cr_assert_eq(green_init(NULL), 0);
    cr_assert_str_eq(green_tick_source(), "timer");
}

static void *return_itself(void *arg)
{
    return arg;
}

Test(init, monitor_sees_by_the_state)
{
    setenv("GREEN_MONITOR", "stat", 1);
    cr_assert_eq(green_init(NULL), 0);
    cr_assert_str_eq(green_monitor_source(), "off", "not before there are threads");
    join_result(spawn(return_itself, NULL));
    cr_assert_str_eq(green_monitor_source(), "stat");
}

Test(init, settings_win_over_environment)
{
    setenv("GREEN_PROCS", "3", 1);
    setenv("GREEN_PREEMPT", "0", 1);
    struct green_config config = {.procs = 2, .preempt = GREEN_ON, .tick = GREEN_TICK_MONITOR, .stack_bytes = 131072};
    cr_assert_eq(green_init(&config), 0);
    cr_assert_eq(stats_now().procs, 2);
    cr_assert_str_eq(green_tick_source(), "monitor");
}

Test(init, bad_environment)
{
    static const char *const bad[][2] = {
        {"GREEN_PROCS", "banana"},  {"GREEN_PROCS", "0"},       {"GREEN_PROCS", "1025"},
        {"GREEN_PROCS", "-1"},      {"GREEN_PROCS", "2x"},      {"GREEN_PROCS", "99999999999999999999"},
        {"GREEN_SLICE_US", "99"},   {"GREEN_SLICE_US", "10ms"}, {"GREEN_SLICE_US", "10000001"},
        {"GREEN_PREEMPT", "2"},     {"GREEN_PREEMPT", "maybe"}, {"GREEN_TICK", "sundial"},
        {"GREEN_SIGNAL", "0"},      {"GREEN_SIGNAL", "9"},      {"GREEN_SIGNAL", "1000"},
        {"GREEN_MONITOR", "maybe"}, {"GREEN_MONITOR", "2"},     {"GREEN_MAX_WORKERS", "0"},
        {"GREEN_STACK", "16383"},   {"GREEN_STACK", "256K!"},   {"GREEN_STACK", "1073741825"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char heard[1024];
        setenv(bad[i][0], bad[i][1], 1);
        cr_assert_eq(init_heard(NULL, heard, sizeof heard), EINVAL, "%s=%s", bad[i][0], bad[i][1]);
        cr_assert(is_one_line(heard), "%s=%s: <%s>", bad[i][0], bad[i][1], heard);
        cr_assert_not_null(strstr(heard, bad[i][0]), "%s=%s: <%s>", bad[i][0], bad[i][1], heard);
        unsetenv(bad[i][0]);
    }
    cr_assert_eq(green_init(NULL), 0, "a refused start must leave nothing behind");
}

Test(init, bad_settings)
{
    struct {
        const char *field;
        struct green_config config;
    } bad[] = {
        {"procs", {.procs = 1025}},
        {"slice", {.slice_us = 99}},
        {"slice", {.slice_us = 10000001}},
        {"preempt", {.preempt = (enum green_switch)3}},
        {"tick", {.tick = (enum green_tick)4}},
        {"tick", {.tick = (enum green_tick)1000}},
        {"signal", {.signal = SIGKILL}},
        {"signal", {.signal = -1}},
        {"signal", {.signal = 1000}},
        {"monitor", {.monitor = (enum green_monitor)5}},
        {"max_workers", {.max_workers = UINT_MAX}},
        {"stack", {.stack_bytes = 16383}},
        {"stack", {.stack_bytes = ((size_t)1 << 30) + 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char heard[1024];
        cr_assert_eq(init_heard(&bad[i].config, heard, sizeof heard), EINVAL, "%s, row %zu", bad[i].field, i);
        cr_assert(is_one_line(heard), "%s, row %zu: <%s>", bad[i].field, i, heard);
        cr_assert_not_null(strcasestr(heard, bad[i].field), "row %zu: <%s>", i, heard);
    }
}

Test(init, good_start_says_nothing)
{
    char heard[1024];
    cr_assert_eq(init_heard(NULL, heard, sizeof heard), 0);
    cr_assert_str_empty(heard);
}

static atomic_bool seen;

static void *set_seen(void *arg)
{
    atomic_store(&seen, true);
    return arg;
}

Test(init, other_signal)
{
    struct green_config config = {.procs = 1, .slice_us = TICK_US, .preempt = GREEN_ON, .signal = SIGRTMIN + 3};
    start_config(&config);
    do { /* again, if the processor was not taken from this thread by a tick, but as it was thought to be blocked */
        atomic_store(&seen, false);
        green_t thread = spawn(set_seen, NULL);
        while (!atomic_load(&seen))
            ;
        join_result(thread);
    } while (stats_now().preemptions == 0);
    cr_assert_str_eq(green_tick_source(), "timer", "ticks of a signal that queues would pile up");
}

static void *own_kernel_sched(void *kept)
{
    must(kernel_sched_get(kept) == 0);
    return kept;
}

/* Started where the kernel's slice was that of `before`: no longer one, and all else as it was. */
static void check_kernel_slices(const struct kernel_sched *before, uint64_t ns)
{
    struct kernel_sched found[2];
    start(1);
    own_kernel_sched(&found[0]);
    join_result(spawn(own_kernel_sched, &found[1]));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(found[i].runtime, ns);
        cr_assert_eq(found[i].policy, before->policy);
        cr_assert_eq(found[i].nice, before->nice);
        cr_assert_eq(found[i].flags, before->flags);
    }
}

/* Since Linux 6.12; before, it says 0. */
Test(init, short_slices_of_the_kernel)
{
    struct kernel_sched before;
    must(nice(3) >= 0);
    own_kernel_sched(&before);
    check_kernel_slices(&before, before.runtime && before.policy == SCHED_OTHER ? 100000 : before.runtime);
}

Test(init, slices_of_another_policy_are_left_alone)
{
    const struct sched_param param = {.sched_priority = 0};
    struct kernel_sched before;
    must(sched_setscheduler(0, SCHED_BATCH, &param) == 0);
    own_kernel_sched(&before);
    check_kernel_slices(&before, before.runtime);
}
