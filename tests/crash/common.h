/*
 * What several of the programs that must die do on their way.  Whatever returns int returns 0, or 1 after a failure.
 */
#ifndef CRASH_COMMON_H
#define CRASH_COMMON_H

#include <green.h>
#include <green/sched.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Have exit() write "atexit" to standard error. */
int say_at_exit(void);

/* green_init() with ticks every 100 us on so many processors, and so many threads that never end. */
int start_hogs(unsigned procs, unsigned hogs);

/* Run a routine, whose argument is NULL, as a thread of that scope (GREEN_SCOPE_...) to its end. */
int run_scoped(int scope, void *(*routine)(void *));

/* The same, of recursion without end, as a thread by the name of digger with a stack of 64 KiB. */
int overflow(int scope);

#ifdef __cplusplus
}
#endif

#endif
