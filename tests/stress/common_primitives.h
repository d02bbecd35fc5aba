/*
 * Steps for threads that are cancelled at random: each takes something of one kind of synchronisation object, may be
 * cancelled while it waits for it and while it has it, and gives it back by a cleanup handler if not by itself.
 */
#ifndef STRESS_COMMON_PRIMITIVES_H
#define STRESS_COMMON_PRIMITIVES_H

#include <stdint.h>
#include <time.h>

/* By one thread, before the first step. */
void primitives_prepare(void);

/* One step, chosen at random, of a thread of its own generator.  Leaves cancellation as it found it: enabled, deferred. */
void primitives_step(uint64_t *random);

/* When all threads have ended: every account closes, and every object is free. */
void primitives_account(void);

/* A moment within 300 us from now, by CLOCK_MONOTONIC. */
struct timespec stress_soon(uint64_t *random);

#endif
