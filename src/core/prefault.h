/* green_prefault()'s helpers.  See prefault.c. */
#ifndef PREFAULT_H
#define PREFAULT_H

#include <stdint.h>

/* A helper that has had nothing to do for so long ends; tests change it. */
extern uint64_t prefault_idle_ns;

/* In the child of a fork: there are no helpers, and nobody waits for one. */
void prefault_fork_reset(void);

#endif
