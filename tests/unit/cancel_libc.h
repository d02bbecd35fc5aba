/*
 * What the tests of cancellation in libc's calls share.
 */
#ifndef UNIT_CANCEL_LIBC_H
#define UNIT_CANCEL_LIBC_H

#include "cancel.h"

#include <sys/un.h>

/* Each way to run: processors, threads' scope, and where ticks come from. */

#define IN(suite, name, way, threads_scope, ...) \
    Test(suite, name##_##way) \
    { \
        struct green_config config = {.slice_us = TICK_US, .preempt = GREEN_ON, __VA_ARGS__}; \
        start_config(&config); \
        suite##_##name(threads_scope); \
    }
#define EVERYWHERE(suite, name) \
    static void suite##_##name(int scope); \
    IN(suite, name, on_1, GREEN_SCOPE_PROCESS, .procs = 1) \
    IN(suite, name, on_2, GREEN_SCOPE_PROCESS, .procs = 2) \
    IN(suite, name, by_timer_on_1, GREEN_SCOPE_PROCESS, .procs = 1, .tick = GREEN_TICK_TIMER) \
    IN(suite, name, by_timer_on_2, GREEN_SCOPE_PROCESS, .procs = 2, .tick = GREEN_TICK_TIMER) \
    IN(suite, name, alone, GREEN_SCOPE_PROCESS, .procs = 1, .monitor = GREEN_MONITOR_OFF) \
    IN(suite, name, bound, GREEN_SCOPE_SYSTEM, .procs = 2) \
    static void suite##_##name(int scope)

extern char folder[]; /* a template for mkdtemp() */

/* A socket in the folder that listens, and one that connects to it. */
int bound_listener(const char *name, int backlog, struct sockaddr_un *address);
int client_of(const struct sockaddr_un *address);

/* It sleeps in the kernel, in a call that can be cancelled; or parks in it; or a tick has thrown it out, and it waits. */
int is_blocked(green_t id);

/* A cleanup handler that counts in `passed`. */
void pass(void *arg);

#endif
