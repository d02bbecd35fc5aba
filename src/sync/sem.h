/* What the way out of the runtime must know of semaphores.  See sem.c. */
#ifndef SEM_H
#define SEM_H

struct worker;

/* What was posted on the worker by handlers that interrupted the runtime.  At depth > 0, with no lock held. */
void sem_deliver_posts(struct worker *worker);

#endif
