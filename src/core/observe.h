/*
 * The window through which tools above the core (trace.c) watch the dispatcher.
 *
 * The core depends on no tool: it defines this pointer, a tool sets it, and while nobody watches a switch pays for
 * one load and one test, of a word that says who does.  Whoever clears the pointer must expect one more call from each
 * worker that had read it before.
 */
#ifndef OBSERVE_H
#define OBSERVE_H

#include <stdatomic.h>

#include <green.h>

/* Called by the dispatcher at each switch when not NULL: processor `proc` now runs `thread` (0: nobody).  Runs at
 * depth > 0 on the worker that holds the processor: it must not block, call malloc or any libc lock. */
typedef void observer_fn(unsigned proc, green_t thread, const char *name);
extern observer_fn *_Atomic observe_switch;

/* Set the pointer, or clear it. */
void switch_observe(observer_fn *observer);

/* What a switch must do besides: enum watch, ored. */
enum watch { WATCH_OBSERVER = 1, WATCH_CPU_TIME = 2, WATCH_RACES = 4 };
extern _Atomic uint32_t switch_watch;

#endif
