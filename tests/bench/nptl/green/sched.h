/* A kernel thread is preempted anywhere. */
#ifndef GREEN_SCHED_H
#define GREEN_SCHED_H

#define green_safepoint() ((void)0)

#endif
