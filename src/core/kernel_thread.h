/* What libc asks of the kernel thread, when a green thread stands on it.  See kernel_thread.c. */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* True on the process's first kernel thread. */
bool kernel_thread_is_first(void);

/* Take over the signal that setuid() and its like send to every kernel thread. */
void kernel_thread_init(void);

/* That signal, by which tick_send() ticks; 0 while it is not ours. */
int kernel_thread_signal(void);

/* libc's pthread_getattr_np. */
int kernel_thread_getattr(pthread_t thread, pthread_attr_t *attr);

#endif
