/*
 * The program's own use of the tick's signal.
 *
 * Ticks share SIGALRM with alarm(), setitimer() and the program's timers.  The handler is ours; what the program asks
 * for by sigaction() or signal() is kept here, and is what it gets when the signal is not a tick.  alarm(), timers
 * and kill() are signals of the process, which the kernel keeps apart from ticks; raise() is not, and is wrapped.
 * What another kernel thread sends to this one alone (pthread_kill) may be lost in a tick.
 */
#ifndef PROGRAM_SIGNAL_H
#define PROGRAM_SIGNAL_H

#include <signal.h>
#include <stdbool.h>

struct worker;

/* Install the tick's handler, keeping what the program had.  0 or EINVAL. */
int program_signal_init(int signal, const struct sigaction *tick_action);

/* The signal has come and is no tick: do as the program wished.  In a signal handler. */
void program_signal(int signal, siginfo_t *info, void *ucontext);

/* Take the signal that was held back on a worker, at depth > 0; false: there is none.  Then, at depth 0, deliver it. */
bool program_signal_take(struct worker *worker, siginfo_t *info);
void program_signal_deliver(siginfo_t *info);

#endif
