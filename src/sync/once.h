/* What green_exit() must know of green_once(). */
#ifndef ONCE_H
#define ONCE_H

struct thread;

/* The thread ends inside routines of green_once(): the next caller of each runs it again. */
void once_abandon(struct thread *self);

#endif
