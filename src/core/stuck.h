/* See stuck.c. */
#ifndef STUCK_H
#define STUCK_H

#include "core/sched.h"

/* The worker's thread is blocked and cannot lose its processor: by the monitor. */
void stuck_tell(struct worker *worker);

/* How often that was so, in this process; counted before the call can end. */
uint64_t stuck_told(void);

/* With the tick that is being judged, and the thread in that tick's handler: once. */
bool stuck_taken(struct thread *self);

/* Sleep; the thread's depth is raised. */
void stuck_give_way(struct thread *self);

void stuck_fork_reset(void);

#endif
