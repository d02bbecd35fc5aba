/* Threads of every kind at one object: multiplexed and bound green ones, and kernel threads of the program's. */
#ifndef MIXED_H
#define MIXED_H

enum { MIXED_EACH = 3, MIXED = 3 * MIXED_EACH };

/* Run routine(arg) on MIXED threads until all have returned. */
void run_mixed(void *(*routine)(void *), void *arg);

#endif
