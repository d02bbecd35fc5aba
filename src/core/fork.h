/* The runtime across fork.  See fork.c. */
#ifndef FORK_H
#define FORK_H

/* Register with libc, once for the life of the process and its children.  0 or ENOMEM. */
int fork_init(void);

#endif
