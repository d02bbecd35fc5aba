/*
 * The program's actions, and what the kernel is told of them.
 *
 * A signal is ours from the first handler for it on, given to green_sigaction() or libc's sigaction(), or the first time
 * that a thread blocks it or waits for it; the tick's is from the start, and what the program gave a handler before.  A
 * fault's is ours by green_sigaction() only.  Then its action is in the table, libc's sigaction() and signal() mean the
 * table (libc.c), and the kernel's handler is ours when there is something to do: the program has a handler, or the default action
 * would hit a process that blocks the signal.  What is ignored is ignored by the kernel, too, and so in a program
 * that is executed.
 *
 * Actions are read by kernel threads that know no lock.  A version is odd during a write; a reader that sees it change
 * reads again.  The writer is at depth > 0, where handlers do not read.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <green/signal.h>

#include "base/kernel_signal.h"
#include "core/fault.h"
#include "core/table.h"
#include "core/tick.h"
#include "mem/interpose.h"
#include "signal/signal.h"

enum { KERNEL_FLAGS = SA_RESTART | SA_NOCLDSTOP | SA_NOCLDWAIT };

_Atomic uint64_t signal_seen;
_Atomic uint64_t signal_masked;
static _Atomic uint64_t ours; /* the kernel's handler is */
static struct sigaction tick_action;

/* Written under the signal lock. */
static struct sigaction actions[SIGNALS + 1];
static _Atomic unsigned version;

int signal_kernel_action(int number, const struct sigaction *action, struct sigaction *before)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);

    if (!real)
        real = (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT, "sigaction");
    return real(number, action, before);
}

bool signal_is_synchronous(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGTRAP ||
           signal == SIGSYS;
}

struct sigaction signal_action(int number)
{
    struct sigaction action;
    unsigned before;

    do {
        while ((before = atomic_load(&version)) & 1)
            arch_pause();
        action = actions[number];
        atomic_thread_fence(memory_order_acquire);
    } while (atomic_load(&version) != before);
    return action;
}

static void write_action(int number, const struct sigaction *action)
{
    atomic_fetch_add(&version, 1);
    actions[number] = *action;
    atomic_fetch_add(&version, 1);
}

void signal_reset_action(int number)
{
    struct sigaction action = actions[number];

    action.sa_handler = SIG_DFL;
    write_action(number, &action);
}

static bool ignored_by_default(int number)
{
    return number == SIGURG || number == SIGCHLD || number == SIGWINCH || number == SIGCONT;
}

enum verdict signal_verdict(int number, const struct sigaction *action)
{
    if (action->sa_handler == SIG_IGN)
        return VERDICT_DROP;
    if (action->sa_handler == SIG_DFL)
        return ignored_by_default(number) ? VERDICT_DROP : VERDICT_DEFAULT;
    return action->sa_flags & GREEN_SA_THREAD ? VERDICT_THREAD : VERDICT_HANDLER;
}

bool signal_is_ours(int number)
{
    return atomic_load_explicit(&ours, memory_order_relaxed) & signal_bit(number);
}

/* What the kernel shall do for an action of the program's. */
static struct sigaction kernel_action(int number, const struct sigaction *action)
{
    struct sigaction kernel = *action;
    const bool fault = signal_is_synchronous(number);

    kernel.sa_flags &= KERNEL_FLAGS;
    if (action->sa_handler == SIG_IGN ||
        (action->sa_handler == SIG_DFL && (fault || !(atomic_load(&signal_masked) & signal_bit(number)))))
        return kernel;
    if (action->sa_handler == SIG_DFL)
        kernel.sa_flags |= SA_RESTART;
    kernel.sa_flags |= SA_SIGINFO | (fault ? action->sa_flags & SA_ONSTACK : 0);
    kernel.sa_sigaction = fault ? signal_fault : signal_from_kernel;
    kernel.sa_mask = tick_action.sa_mask;
    return kernel;
}

/* Under the lock, the action written. */
static void install(int number)
{
    struct sigaction kernel = kernel_action(number, &actions[number]);

    if (number == settings.signal)
        return;
    if (kernel.sa_flags & SA_SIGINFO)
        atomic_fetch_or(&ours, signal_bit(number));
    else
        atomic_fetch_and(&ours, ~signal_bit(number));
    signal_kernel_action(number, &kernel, NULL);
    if (number == SIGSEGV && kernel.sa_handler == SIG_DFL)
        fault_init();
}

/* Under the lock: from now on it is in the table.  A program that had blocked it for all threads has it in theirs. */
static void see(int number)
{
    struct sigaction before;
    sigset_t one;

    if (atomic_load(&signal_seen) & signal_bit(number) || signal_kernel_action(number, NULL, &before) != 0)
        return;
    if (before.sa_flags & SA_SIGINFO && fault_is_ours(&before))
        before = (struct sigaction){.sa_handler = SIG_DFL};
    write_action(number, &before);
    atomic_fetch_or(&signal_seen, signal_bit(number));
    if (!sigismember(preempt_open_mask(), number))
        return;
    preempt_open(number);
    signal_set(&one, signal_bit(number));
    kernel_sigmask(SIG_UNBLOCK, &one, NULL);
}

void signal_see(int number)
{
    if (atomic_load(&signal_seen) & signal_bit(number) || signal_is_synchronous(number))
        return;
    see(number);
    install(number);
}

/* Faults are not deferred, so a mask makes no difference to what the kernel does. */
void signal_mask_first(uint64_t set)
{
    signals_lock();
    for (set &= ~atomic_load(&signal_masked); set; set &= set - 1) {
        const int number = signal_lowest(set);
        atomic_fetch_or(&signal_masked, signal_bit(number));
        if (signal_is_synchronous(number))
            continue;
        see(number);
        install(number);
    }
    signals_unlock();
}

/* Under the lock: what is ignored from now on does not stay pending. */
static void forget_pending(uint64_t bit)
{
    pending_discard(pending_of_process(), bit);
    for (uint32_t index = 0; index < table_count(); index++)
        if (atomic_load_explicit(&table_at(index)->sigpending, memory_order_relaxed) & bit)
            pending_discard(pending_of(table_at(index)), bit);
}

static void change(int number, const struct sigaction *action, struct sigaction *before)
{
    struct sigaction old;

    signals_lock();
    see(number);
    old = actions[number];
    if (action) {
        write_action(number, action);
        install(number);
        if (signal_verdict(number, action) == VERDICT_DROP)
            forget_pending(signal_bit(number));
    }
    signals_unlock();
    if (before)
        *before = old;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

int green_sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    struct sigaction copy;
    int error;

    if (!signal_valid(number) || (action && (number == SIGKILL || number == SIGSTOP)))
        return refuse(EINVAL);
    if (action)
        copy = *action;
    struct thread *self = enter();
    if (!self)
        return refuse(ENOMEM);
    if (action && copy.sa_handler != SIG_IGN && copy.sa_handler != SIG_DFL) {
        uint64_t mask = signal_bits(&copy.sa_mask) | signal_bit(number);
        if (mask & ~atomic_load(&signal_masked))
            signal_mask_first(mask);
        leave(self);
        error = copy.sa_flags & GREEN_SA_THREAD ? signal_threads_start() : 0;
        if (error)
            return refuse(error);
        enter();
    }
    change(number, action ? &copy : NULL, before);
    leave(self);
    return 0;
}

/*
 * Do as the default action does: end the process, or stop it.  Ticks that come while it is in place are lost, so when
 * the process goes on, every worker is sent one.
 */
void signal_default(int number)
{
    struct sigaction action, before;
    sigset_t one;

    if (ignored_by_default(number))
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    signal_kernel_action(number, &action, &before);
    syscall(SYS_tgkill, getpid(), gettid(), number);
    signal_set(&one, signal_bit(number));
    kernel_sigmask(SIG_UNBLOCK, &one, NULL);
    signal_kernel_action(number, &before, NULL);
    if (number == settings.signal)
        for (struct worker *worker = workers_all(); worker; worker = worker->next)
            tick_send(worker);
}

static bool has_handler(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

int signals_init(const struct sigaction *tick)
{
    struct sigaction before;

    if (atomic_load(&signal_seen)) /* by a start that failed later */
        return 0;
    tick_action = *tick;
    if (signal_kernel_action(settings.signal, tick, &before) != 0)
        return errno;
    pending_init();
    write_action(settings.signal, &before);
    atomic_fetch_or(&ours, signal_bit(settings.signal));
    atomic_fetch_or(&signal_masked, signal_bit(settings.signal) | SIGNALS_UNBLOCKABLE);
    atomic_store(&signal_seen, signal_bit(settings.signal));
    for (int number = 1; number <= SIGNALS; number++)
        if (signal_kernel_action(number, NULL, &before) == 0 && has_handler(&before))
            signal_see(number);
    return 0;
}

/* A writer that is not there any more may have been in the middle. */
void signal_table_fork_reset(void)
{
    if (atomic_load(&version) & 1)
        atomic_fetch_add(&version, 1);
}

bool signal_in_table(int number)
{
    return signal_valid(number) && atomic_load(&signal_seen) & signal_bit(number);
}
