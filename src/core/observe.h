/*
 * The window through which tools above the core (trace.c) watch the dispatcher.
 *
 * The core depends on no tool: it defines this pointer, a tool sets it, and while nobody watches a switch pays for
 * one load and one test.  Whoever clears the pointer must expect one more call from each worker that had read it
 * before.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <green.h>

/* Called by the dispatcher at each switch when not NULL: processor `proc` now runs `thread` (0: nobody).  Runs at
 * depth > 0 on the worker that holds the processor: it must not block, call malloc or any libc lock. */
extern void (*_Atomic observe_switch)(unsigned proc, green_t thread, const char *name);

#endif
