/* The runtime across fork.  See fork.c. */
#ifndef FORK_H
#define FORK_H

/* Register with libc, once for the life of the process and its children.  0 or ENOMEM. */
int fork_init(void);

/* How many forks there are between the first process and this one: what was said of a thread before the last is void. */
extern unsigned fork_count;

#endif
