/* green_prefault()'s helpers.  See prefault.c. */
#ifndef PREFAULT_H
#define PREFAULT_H

/* In the child of a fork: there are no helpers, and nobody waits for one. */
void prefault_fork_reset(void);

#endif
