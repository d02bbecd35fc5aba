/* What a fork must know of named semaphores.  See sem_named.c. */
#ifndef SEM_NAMED_H
#define SEM_NAMED_H

/* In the child. */
void sem_named_fork_reset(void);

#endif
