/* The program's action for the tick's signal.  See program_signal.h. */
#include "core/program_signal.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "core/sched.h"
#include "core/tick.h"
#include "mem/interpose.h"

static _Atomic int taken_signal; /* 0: none yet */
static struct sigaction ours;    /* constant once set */

/*
 * The program's action: read in a signal handler while another kernel thread may write.  A version is odd during a
 * write; a reader that sees it change reads again.  The writer has all signals blocked, so a reader waits for another
 * kernel thread only.
 */
static struct sigaction program_action;
static _Atomic unsigned program_version;

static struct sigaction read_action(void)
{
    struct sigaction action;
    unsigned before;

    do {
        while ((before = atomic_load(&program_version)) & 1)
            arch_pause();
        action = program_action;
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&program_version) != before);
    return action;
}

static void write_action(const struct sigaction *action)
{
    sigset_t all, mask;
    unsigned even;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    do
        even = atomic_load(&program_version) & ~1U;
    while (!atomic_compare_exchange_weak(&program_version, &even, even + 1));
    program_action = *action;
    atomic_store(&program_version, even + 2);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

int program_signal_init(int signal, const struct sigaction *tick_action)
{
    struct sigaction before;

    if (atomic_load(&taken_signal)) /* by a start that failed later */
        return 0;
    if (REAL(sigaction)(signal, tick_action, &before) != 0)
        return errno;
    write_action(&before);
    ours = *tick_action;
    atomic_store(&taken_signal, signal);
    return 0;
}

/*
 * Do as the default action does: nothing, end the process, or stop it.  Ticks that come while it is in place are lost,
 * so when the process goes on, every worker is sent one.
 */
static void default_action(int signal)
{
    struct sigaction action;
    sigset_t mask;

    if (signal == SIGURG || signal == SIGCHLD || signal == SIGWINCH || signal == SIGCONT)
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    REAL(sigaction)(signal, &action, NULL);
    REAL(raise)(signal);
    sigemptyset(&mask);
    sigaddset(&mask, signal);
    pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
    REAL(sigaction)(signal, &ours, NULL);
    for (struct worker *worker = workers_all(); worker; worker = worker->next)
        tick_send(worker);
}

/*
 * The thread is inside the runtime, whose locks the handler may need: hold the signal back, with the kernel blocking
 * the next, until leave(), or whoever runs here next, takes it.  Queueing it again was tried: the kernel drops it
 * when a tick is pending.
 */
static bool held_back(int signal, const siginfo_t *info, ucontext_t *interrupted)
{
    struct thread *self = self_thread;

    if (!self || self->depth == 0 || self->worker->own_safe)
        return false;
    self->worker->held_info = *info;
    self->worker->holds_signal = true;
    sigaddset(&interrupted->uc_sigmask, signal);
    self->worker->tick_blocked = true;
    self->worker->tick_pending = true;
    return true;
}

bool program_signal_take(struct worker *worker, siginfo_t *info)
{
    if (likely(!worker->holds_signal))
        return false;
    *info = worker->held_info;
    worker->holds_signal = false;
    return true;
}

static void run_handler(const struct sigaction *action, int signal, siginfo_t *info, void *ucontext)
{
    sigset_t blocked = action->sa_mask, mask;
    int saved_errno = errno;

    if (action->sa_flags & (int)SA_RESETHAND)
        write_action(&(struct sigaction){.sa_handler = SIG_DFL});
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&blocked, signal);
    pthread_sigmask(SIG_BLOCK, &blocked, &mask);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signal, info, ucontext);
    else
        action->sa_handler(signal);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = saved_errno;
}

void program_signal_deliver(siginfo_t *info)
{
    struct sigaction action = read_action();
    ucontext_t here;

    if (action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) /* it was not when the signal came */
        return;
    getcontext(&here);
    run_handler(&action, info->si_signo, info, &here);
}

void program_signal(int signal, siginfo_t *info, void *ucontext)
{
    struct sigaction action = read_action();

    if (action.sa_handler == SIG_IGN)
        return;
    if (action.sa_handler == SIG_DFL)
        default_action(signal);
    else if (!held_back(signal, info, ucontext))
        run_handler(&action, signal, info, ucontext);
}

/* In place of libc's. */
GREEN_API int sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
    if (signal != atomic_load(&taken_signal) || signal == 0)
        return REAL(sigaction)(signal, action, before);
    struct sigaction old = read_action();
    if (action)
        write_action(action);
    if (before)
        *before = old;
    return 0;
}

/*
 * The kernel drops a signal that finds another of its number pending on the same kernel thread, and that may be a
 * tick: so what raise() does, to run the handler before it returns, is done without the kernel.
 */
GREEN_API int raise(int signal_number)
{
    siginfo_t info;
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (signal_number == 0 || signal_number != atomic_load(&taken_signal) || sigismember(&mask, signal_number))
        return REAL(raise)(signal_number);
    struct sigaction action = read_action();
    if (action.sa_handler == SIG_DFL)
        default_action(signal_number);
    memset(&info, 0, sizeof info);
    info.si_signo = signal_number;
    info.si_code = SI_TKILL;
    info.si_pid = getpid();
    info.si_uid = getuid();
    program_signal_deliver(&info);
    return 0;
}

static sighandler_t set_handler(int signal, sighandler_t handler, int flags)
{
    struct sigaction action, before;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    return sigaction(signal, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

GREEN_API sighandler_t signal(int signal_number, sighandler_t handler)
{
    return set_handler(signal_number, handler, SA_RESTART);
}

/* What signal() is in a program compiled for System V or strict POSIX. */
GREEN_API sighandler_t __sysv_signal(int signal_number, sighandler_t handler)
{
    return set_handler(signal_number, handler, (int)(SA_RESETHAND | SA_NODEFER));
}
