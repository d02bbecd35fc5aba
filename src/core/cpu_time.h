/* The CPU time of each thread.  See cpu_time.c. */
#ifndef CPU_TIME_H
#define CPU_TIME_H

#include "core/thread.h"

/* Before there is a worker: keep accounts from the start, if the program is going to ask. */
void cpu_time_init(void);

/* The kernel thread of the process, which ran `runs` all its life, has become a worker's. */
void cpu_time_adopt(struct worker *worker, struct thread *runs);

/*
 * What the kernel has counted for a kernel thread, in ns: 0 when that has ended.  In the library CLOCK_THREAD_CPUTIME_ID
 * would be the green thread's.
 */
uint64_t kernel_time(int tid);

/* By the dispatcher, at each switch while accounts are kept: the worker runs `next` from here on. */
void cpu_time_switch(struct worker *worker, struct thread *next);

#endif
