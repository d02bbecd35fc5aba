/*
 * Settings: what green_init() is told, else the environment, else the default.  Anything that is not acceptable is
 * said in one line on standard error, with what is, and the start fails.
 */
#include "core/config.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy.h"
#include "core/sched.h"
#include "mem/tls.h"

enum { DEFAULT_STACK = 262144, DEFAULT_SLICE_US = 10000, DEFAULT_WORKERS = 10000 };

struct settings settings = {.stack_bytes = DEFAULT_STACK, .slice_us = DEFAULT_SLICE_US, .signal = SIGALRM};

static int refuse(const char *name, const char *value, const char *accepted)
{
    fprintf(stderr, "libgreen: %s=%s is not acceptable: %s\n", name, value, accepted);
    return EINVAL;
}

/* A number within limits from a setting, else from the environment, else *value as it is. */
static int number(const char *name, unsigned long set, unsigned long low, unsigned long high, unsigned long *value)
{
    const char *text = getenv(name);
    char accepted[64], given[32], *end;

    snprintf(accepted, sizeof accepted, "a number from %lu to %lu", low, high);
    if (set) {
        snprintf(given, sizeof given, "%lu", set);
        *value = set;
        return set < low || set > high ? refuse(name, given, accepted) : 0;
    }
    if (!text)
        return 0;
    errno = 0;
    *value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || *value < low || *value > high)
        return refuse(name, text, accepted);
    return 0;
}

/* One of some words: its place in the list, from a setting that is not 0, else from the environment, else 0. */
static int word(const char *name, unsigned set, const char *const *words, const char *accepted, unsigned *value)
{
    const char *text = getenv(name);

    *value = set;
    if (set || !text) {
        for (unsigned i = 0; i <= set; i++)
            if (!words[i])
                return refuse(name, "(a value of struct green_config)", accepted);
        return 0;
    }
    for (*value = 0; words[*value]; ++*value)
        if (strcmp(words[*value], text) == 0)
            return 0;
    return refuse(name, text, accepted);
}

/* The CPU time a cgroup allows, in CPUs, at least 1; UINT_MAX when there is no limit. */
static unsigned cgroup_cpus(void)
{
    unsigned long quota, period;
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");

    if (!file)
        return UINT_MAX;
    int found = fscanf(file, "%lu %lu", &quota, &period);
    fclose(file);
    if (found != 2 || period == 0)
        return UINT_MAX;
    return quota < period ? 1 : (unsigned)((quota + period - 1) / period);
}

static unsigned usable_cpus(void)
{
    cpu_set_t set;
    unsigned cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    unsigned limit = cgroup_cpus();

    return cpus < limit ? cpus : limit;
}

static bool can_be_tick(int signal)
{
    return signal != SIGKILL && signal != SIGSTOP && signal != SIGSEGV && (signal < 32 || signal >= SIGRTMIN);
}

static int load_numbers(const struct green_config *config)
{
    const unsigned cpus = usable_cpus();
    unsigned long procs = cpus < PROCS_MAX ? cpus : PROCS_MAX, slice = DEFAULT_SLICE_US, signal = SIGALRM,
                  stack = DEFAULT_STACK, workers = DEFAULT_WORKERS;
    int error = number("GREEN_PROCS", config->procs, 1, PROCS_MAX, &procs);

    if (!error)
        error = number("GREEN_SLICE_US", config->slice_us, SLICE_MIN_US, SLICE_MAX_US, &slice);
    if (!error)
        error = number("GREEN_SIGNAL", (unsigned long)config->signal, 1, (unsigned long)SIGRTMAX, &signal);
    if (!error && !can_be_tick((int)signal))
        error = refuse("GREEN_SIGNAL", strsignal((int)signal), "a signal that can be caught and is not SIGSEGV");
    if (!error)
        error = number("GREEN_STACK", config->stack_bytes, GREEN_STACK_MIN, STACK_CLASS_MAX, &stack);
    if (!error)
        error = number("GREEN_MAX_WORKERS", config->max_workers, 1, INT_MAX, &workers);
    settings.max_workers = (unsigned)workers;
    settings.cpus = cpus;
    settings.procs = (unsigned)procs;
    settings.slice_us = (unsigned)slice;
    settings.signal = (int)signal;
    settings.stack_bytes = stack;
    settings.class = stack_class(stack);
    return error;
}

static int load_policy(const struct green_policy *policy)
{
    if (policy != &policy_rr && (!policy->name || !policy->reset || !policy->enqueue || !policy->pick))
        return refuse("GREEN_POLICY", "(of struct green_config)", "a policy with a name, reset, enqueue and pick");
    policy_set(policy);
    return 0;
}

static int load_words(const struct green_config *config)
{
    static const char *const switches[] = {"", "1", "0", NULL};
    static const char *const ticks[] = {"auto", "timer", "monitor", "perf", NULL};
    static const char *const providers[] = {"auto", "allocate", "donor", NULL};
    static const char *const policies[] = {"rr", "priority", "fair", NULL};
    static const char *const monitors[] = {"", "on", "off", "perf", "stat", NULL};
    unsigned preempt, tick, tls, monitor, policy = 0;
    int error = word("GREEN_PREEMPT", config->preempt, switches, "1 or 0", &preempt);

    if (!error)
        error = word("GREEN_TICK", config->tick, ticks, "timer, monitor, perf or auto", &tick);
    if (!error)
        error = word("GREEN_MONITOR", config->monitor, monitors, "on, off, perf or stat", &monitor);
    if (!error)
        error = word("GREEN_TLS", 0, providers, "allocate, donor or auto", &tls);
    if (!error && !config->policy)
        error = word("GREEN_POLICY", 0, policies, "rr, priority or fair", &policy);
    if (!error)
        error = load_policy(config->policy ? config->policy : green_policy_by_name(policies[policy]));
    if (error)
        return error;
    settings.preempt = preempt != GREEN_OFF;
    settings.tick = (int)tick;
    settings.watch = (int)monitor;
    settings.tls = (int)tls;
    return 0;
}

int config_load(const struct green_config *config)
{
    const struct green_config defaults = {0};
    int error = load_numbers(config ? config : &defaults);

    return error ? error : load_words(config ? config : &defaults);
}
