/*
 * The program's own use of the tick's signal.
 *
 * Ticks share SIGALRM with alarm(), setitimer() and the program's timers.  The handler is ours; what the program asks
 * for by sigaction() or signal() is kept here, and is what it gets when the signal is not a tick.
 */
#ifndef PROGRAM_SIGNAL_H
#define PROGRAM_SIGNAL_H

#include <signal.h>

/* Install the tick's handler, keeping what the program had.  0 or EINVAL. */
int program_signal_init(int signal, const struct sigaction *tick_action);

/* The signal has come and is no tick: do as the program wished.  In a signal handler. */
void program_signal(int signal, siginfo_t *info, void *ucontext);

#endif
