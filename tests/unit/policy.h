/*
 * What the tests of policies share: an order of events, and short forms of the calls.
 *
 * Where an order is asserted, slices are of 10 s, so that only priorities decide, and main, at priority 0 on the only
 * processor, runs again when everybody else is parked.
 */
#ifndef UNIT_POLICY_H
#define UNIT_POLICY_H

#include "unit.h"

#include <green/policy.h>
#include <stdatomic.h>

/* SETUP: main's priority while it puts threads in their places. */
enum { LONG_SLICE_US = 10000000, ORDER_MAX = 64, SETUP = 50 };

/* Note oneself; who has done so, in order; and how many. */
void note(char who);
const char *noted(void);
extern atomic_uint order_length;

void start_policy(const char *name, unsigned procs, unsigned slice_us);
void main_at(int priority);
int priority_of(green_t thread);

/* Of threads: wait for a unit of the semaphore; note the first character of a string. */
void *wait_at(void *gate);
void *note_arg(void *who);

#endif
