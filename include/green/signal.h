/*
 * Signals, for each green thread as POSIX has them for each thread: a mask, a pending set, signals directed at it.
 * Included by <green.h>.
 *
 * How to use it.  Where a POSIX program says pthread_sigmask, pthread_kill, sigaction, sigwait ..., put `green_` before
 * the rest of the name.  On a green thread libc's own sigaction, signal, pthread_sigmask, sigprocmask, sigpending,
 * sigwait, sigwaitinfo, sigtimedwait, sigsuspend, sigaltstack and raise mean the same, so libraries may go on using
 * them; on a kernel thread that never called this library they are libc's.  Actions belong to the process: a signal
 * that has a handler, or was blocked or waited for by a green thread, is handled by the library from then on; a handler
 * for faults is only when green_sigaction() sets it.  What is sent by kill(), by alarm(), by timers or by other processes finds a thread
 * that does not block it: one that waits for it (green_sigwait) first, then one in green_sigsuspend, then the one that
 * runs where it arrives, then one that is ready or parked, then one that runs elsewhere.  When all block it, it stays
 * pending for the process, and a signalfd() may read it.
 *
 * Handlers run on the thread's own stack, or on its alternate one, and may be preempted.  They may call what is marked
 * so.  A parked thread is woken for its handler: green_sem_wait and its kin then fail with EINTR, unless the action
 * has SA_RESTART; sleeping, green_sigsuspend, green_sigwaitinfo and green_sigtimedwait always do; a condition
 * variable's wait returns 0; everything else goes on waiting.
 *
 * What differs from POSIX threads.  A kernel thread that a green thread makes by pthread_create() does not inherit the
 * mask.  SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS are blocked against green_kill and its
 * kin only.  Real-time signals that come from the kernel while several workers run may change places; those sent by
 * green_sigqueue() do not, unless their number was given to signalfd().
 *
 * signalfd() is libc's.  From its first call for a number on, the library's kernel threads block that number, and a
 * kernel thread of its own takes it for green threads that are open.  The tick's signal, what green_kill() and its kin
 * send to one thread, and what the system call without libc's name asks for, it does not read; nor anything under
 * Valgrind.  Blocked system calls are not ended by such a number (EINTR), whatever its action says.
 *
 * Conventions as in <green.h>.
 */
#ifndef GREEN_SIGNAL_H
#define GREEN_SIGNAL_H

#include <signal.h>

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A flag for sa_flags: the handler runs as a thread of its own, out of a few that are kept ready, and the thread that
 * the signal is for goes on.  So it may call everything, and may lock a mutex that the interrupted thread holds.
 * Several such handlers may run at once, of the same signal, too.  Every signal is blocked in it.
 */
#define GREEN_SA_THREAD 0x00100000

/*
 * The calling thread's mask.  No system call but the first time that a signal is blocked.  A signal that this opens
 * and that is pending is handled before the call returns.  A new thread has its creator's mask.  `set` may be null, and
 * the mask stays; so may `old`.  Does not block.  Signal handler: yes.  Source: pthread_sigmask.
 *   EINVAL  `how` is none of SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK
 */
GREEN_API int green_sigmask(int how, const sigset_t *set, sigset_t *old);

/*
 * What the process does on a signal: SA_SIGINFO, SA_RESTART, SA_RESETHAND, SA_NODEFER, SA_ONSTACK, SA_NOCLDSTOP,
 * SA_NOCLDWAIT, GREEN_SA_THREAD and sa_mask.  Returns 0, or -1 and sets errno.  Does not block.  Signal handler: yes,
 * but not with GREEN_SA_THREAD.  Source: sigaction.
 *   EINVAL  no such signal, or SIGKILL, SIGSTOP
 *   EAGAIN, ENOMEM  the threads for GREEN_SA_THREAD could not be made
 */
GREEN_API int green_sigaction(int signal_number, const struct sigaction *action, struct sigaction *old);

/*
 * Send a signal to a thread, and a value with it.  0 as a signal only asks whether the thread is there.  Standard
 * signals that are pending there already are not sent again.  To the caller itself: handled before the call returns,
 * unless blocked.  Do not block.  Signal handler: yes.  Source: pthread_kill, pthread_sigqueue, raise.
 *   ESRCH   no such thread, or no longer
 *   EINVAL  no such signal
 *   EAGAIN  a real-time signal, and as many as RLIMIT_SIGPENDING says are pending
 */
GREEN_API int green_kill(green_t thread, int signal_number);
GREEN_API int green_sigqueue_np(green_t thread, int signal_number, const union sigval value);
GREEN_API int green_raise(int signal_number);

/*
 * Send a signal and a value to a process, this or another.  Returns 0, or -1 and sets errno.  Does not block.  Signal
 * handler: yes.  Source: sigqueue.
 *   EAGAIN  as many signals as RLIMIT_SIGPENDING says are pending
 *   EINVAL  no such signal
 *   EPERM   the process may not send it to that one
 *   ESRCH   no such process
 */
GREEN_API int green_sigqueue(pid_t pid, int signal_number, const union sigval value);

/*
 * What is pending and blocked, for the thread and for the process.  Returns 0, or -1 and sets errno.  Does not block.
 * Signal handler: yes.  Source: sigpending.
 *   EFAULT  a null pointer
 */
GREEN_API int green_sigpending(sigset_t *set);

/*
 * Take a signal of the set, which should be blocked; wait for one if none is pending.  green_sigwait() goes on waiting
 * after a handler has run.  sigwait returns 0 or an error number; the others return the signal's number, or -1 and set
 * errno.  All block.  Signal handler: no.  Source: sigwait, sigwaitinfo, sigtimedwait.
 *   EAGAIN  sigtimedwait: the time is up
 *   EINTR   sigwaitinfo, sigtimedwait: a handler has run
 *   EINVAL  a time that is none, a null pointer
 */
GREEN_API int green_sigwait(const sigset_t *set, int *signal_number);
GREEN_API int green_sigwaitinfo(const sigset_t *set, siginfo_t *info);
GREEN_API int green_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *duration);

/*
 * Put another mask in place, wait until a handler has run, and put the old one back.  Always -1 with errno.  Blocks.
 * Signal handler: no.  Source: sigsuspend.
 *   EINTR   a handler has run
 *   EFAULT  a null pointer
 */
GREEN_API int green_sigsuspend(const sigset_t *mask);

/*
 * The stack on which the calling thread runs handlers with SA_ONSTACK.  A new thread has none.  Returns 0, or -1 and
 * sets errno.  Does not block.  Signal handler: yes.  Source: sigaltstack.
 *   EPERM   the thread is on it
 *   EINVAL  flags other than SS_DISABLE
 *   ENOMEM  it is too small for a signal's frame
 */
GREEN_API int green_sigaltstack(const stack_t *stack, stack_t *old);

#ifdef __cplusplus
}
#endif

#endif
