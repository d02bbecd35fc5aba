/*
 * What the tests of signals share: a handler that notes what came where, and short forms of the calls.  Each file has
 * its own.
 */
#ifndef UNIT_SIGNALS_H
#define UNIT_SIGNALS_H

#include "unit.h"

#include <signal.h>
#include <stdatomic.h>

enum { LOG = 64 };

static struct {
    int number[LOG];
    int value[LOG];
    green_t thread[LOG];
    atomic_int count;
} seen;

static inline void note(int number, siginfo_t *info, void *context)
{
    must(context != NULL && info->si_signo == number);
    int at = atomic_load(&seen.count);
    must(at < LOG);
    seen.number[at] = number;
    seen.value[at] = info->si_value.sival_int;
    seen.thread[at] = green_self();
    atomic_fetch_add(&seen.count, 1);
}

static inline void handle_with(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    must(green_sigaction(number, &action, NULL) == 0);
}

static inline void handle(int number)
{
    handle_with(number, note, 0);
}

static inline sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static inline void change(int how, int number)
{
    sigset_t set = set_of(number);
    must(green_sigmask(how, &set, NULL) == 0);
}

static inline bool pends(int number)
{
    sigset_t set;
    must(green_sigpending(&set) == 0);
    return sigismember(&set, number);
}

static inline void queue(green_t thread, int number, int value)
{
    must(green_sigqueue_np(thread, number, (union sigval){.sival_int = value}) == 0);
}

#endif
