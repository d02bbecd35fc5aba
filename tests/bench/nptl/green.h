/*
 * The kernel's threads under libgreen's names: with this file before include/ on the search path the rows of
 * tests/bench are ordinary POSIX programs.  Renames and nothing else, so that both are measured by the same code.
 */
#ifndef GREEN_H
#define GREEN_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#define green_t pthread_t
#define green_attr_t pthread_attr_t
#define green_mutex_t pthread_mutex_t
#define green_cond_t pthread_cond_t

#define green_sigmask pthread_sigmask
#define green_sigaction sigaction
#define green_kill pthread_kill

#define GREEN_MUTEX_INITIALIZER PTHREAD_MUTEX_INITIALIZER
#define GREEN_COND_INITIALIZER PTHREAD_COND_INITIALIZER

#define green_create pthread_create
#define green_join pthread_join
#define green_yield sched_yield
#define green_clock_nanosleep clock_nanosleep
#define green_attr_init pthread_attr_init
#define green_attr_setstacksize pthread_attr_setstacksize
#define green_mutex_lock pthread_mutex_lock
#define green_mutex_unlock pthread_mutex_unlock
#define green_cond_wait pthread_cond_wait
#define green_cond_signal pthread_cond_signal
#define green_cond_broadcast pthread_cond_broadcast

#endif
