/*
 * Signals, emulated per thread: what the files of this folder share.
 *
 * One lock guards all that is pending, who waits for what, and the actions.  It is taken at depth > 0 only, and the
 * kernel's handler, which may interrupt its holder, does nothing at depth > 0 but note what came.  So everything
 * here is ordinary code under a lock, and the program's handlers run outside of it.  Rejected: a top half free of
 * locks, which would have to choose among threads that change under its eyes.
 *
 * Two words are read without the lock: a thread's mask, which it alone writes, and what is pending.  A sender stores
 * the latter, passes a heavy barrier and reads the mask; a thread stores its mask and reads what is pending.  One of
 * the two sees the other, and changing a mask takes two plain stores and loads.
 *
 * What is pending for the process stays so until a thread takes it: choosing a thread only makes that one look.  One
 * that closes its mask, or ends, before it has looked has the rest chosen again.
 *
 * Kernel masks stay open even when every thread masks a signal: it is pending here then, and who opens handles it before
 * the mask's change returns.  But what a program reads from a signalfd must be the kernel's: signalfd.c, where it also
 * stands why all others are not.
 */
#ifndef SIGNAL_INTERNAL_H
#define SIGNAL_INTERNAL_H

#include <signal.h>
#include <string.h>

#include "core/sched.h"
#include "core/signals.h"

enum { SIGNALS = 64 };

/* The kernel's and libc's own: SIGKILL, SIGSTOP, 32 and 33. */
#define SIGNALS_UNBLOCKABLE \
    (UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1) | UINT64_C(1) << 31 | UINT64_C(1) << 32)

static inline uint64_t signal_bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

static inline int signal_lowest(uint64_t set)
{
    return __builtin_ctzll(set) + 1;
}

static inline bool signal_valid(int number)
{
    return number >= 1 && number <= SIGNALS && !(signal_bit(number) & UINT64_C(3) << 31);
}

/* The table says what is done for it. */
bool signal_in_table(int number);

/* The first word of a set is all that the kernel has, too. */
static inline uint64_t signal_bits(const sigset_t *set)
{
    uint64_t bits;

    memcpy(&bits, set, sizeof bits);
    return bits & ~SIGNALS_UNBLOCKABLE;
}

static inline void signal_set(sigset_t *set, uint64_t bits)
{
    memset(set, 0, sizeof *set);
    memcpy(set, &bits, sizeof bits);
}

static inline uint64_t signal_mask(const struct thread *thread)
{
    return atomic_load_explicit(&thread->sigmask, memory_order_relaxed);
}

extern struct lock signal_lock;

static inline void signals_lock(void)
{
    lock_acquire(&signal_lock, RANK_SIGNAL);
}

static inline void signals_unlock(void)
{
    lock_release(&signal_lock, RANK_SIGNAL);
}

/* queue.c: what is pending.  All under the lock but the reading of the words. */
struct pending {
    _Atomic uint64_t *set;
    struct signal_node **list;
};

extern _Atomic uint64_t signal_process_set;
struct pending pending_of(struct thread *thread);
struct pending pending_of_process(void);
enum queued { QUEUED, COALESCED, QUEUE_FULL };
/* `forced`: it cannot be refused any more, as it has come from the kernel. */
enum queued pending_add(struct pending to, const siginfo_t *info, bool forced);
/* Take the first of the lowest number that is wanted; false: there is none. */
bool pending_take(struct pending from, uint64_t wanted, siginfo_t *info);
/* From the thread, or else from the process. */
bool pending_take_for(struct thread *thread, uint64_t wanted, siginfo_t *info);
void pending_discard(struct pending from, uint64_t which);
void pending_init(void);
void pending_fork_reset(void);

static inline uint64_t signal_due(struct thread *thread)
{
    return (atomic_load_explicit(&thread->sigpending, memory_order_relaxed) |
            atomic_load_explicit(&signal_process_set, memory_order_relaxed)) &
           ~signal_mask(thread);
}

/* table.c: what the program wants done. */
enum verdict { VERDICT_HANDLER, VERDICT_THREAD, VERDICT_DROP, VERDICT_DEFAULT };
struct sigaction signal_action(int number);
enum verdict signal_verdict(int number, const struct sigaction *action);
/* Under the lock: take what libc's sigaction() has set before. */
void signal_see(int number);
/* SA_RESETHAND, under the lock. */
void signal_reset_action(int number);
/* The kernel's handler for it is ours. */
bool signal_is_ours(int number);
extern _Atomic uint64_t signal_seen;   /* the table has an action for it */
extern _Atomic uint64_t signal_masked; /* it may be blocked: its default action is ours to do */
/* Make it so; at depth > 0 and without the lock. */
void signal_mask_first(uint64_t set);

void signal_table_fork_reset(void);

/*
 * signalfd.c: numbers that the kernel keeps while nobody is open, for who reads them from a descriptor.  Under the lock.
 */
extern _Atomic uint64_t signal_kept; /* only grows */
/* Of these, somebody may be open to them. */
uint64_t signal_watched(void);
void signal_watch(uint64_t bits);
/* `self` has opened them: what the kernel has is pending for the process now. */
void signal_fetch(struct thread *self, uint64_t opened);
/* The first of the lowest number that the kernel has, of those that are wanted; they are blocked, or kept. */
bool signal_take_from_kernel(struct thread *self, uint64_t wanted, siginfo_t *info);
/* Nobody is open: of a kept number all that is pending for the process goes to the kernel. */
void signal_keep(struct thread *self, int number, bool older);
bool signal_queue_to_process(const siginfo_t *info);
/* What the kernel has of the kept numbers. */
uint64_t signal_kernel_has(void);
void signal_kept_fork_reset(const struct thread *survivor);
void signal_kept_fork_finish(void);

/* A mask that was `before` opens what is pending, or may be. */
static inline bool signal_opens(struct thread *thread, uint64_t before)
{
    return signal_due(thread) ||
           (atomic_load_explicit(&signal_kept, memory_order_relaxed) & before & ~signal_mask(thread));
}

/* route.c: to whom. */
int signal_to_thread(struct thread *self, struct thread *thread, green_t id, const siginfo_t *info, bool forced);
int signal_to_process(struct thread *self, const siginfo_t *info, bool forced);
/* The receiver's: take what the kernel has of the watched numbers. */
void signal_route_watched(struct thread *self);
/* Under the lock. */
bool signal_somebody_open(struct thread *self, uint64_t bit);
/* Under the lock: those pending for the process that `self` has closed to go to others. */
void signal_route_again(struct thread *self, uint64_t closed);
/* Make a claimed thread run, from wherever a signal is routed. */
void signal_ready(struct thread *self, struct thread *thread);
/* The same for one that park_claim_for_signal() has given. */
void signal_resume(struct thread *self, struct thread *thread);
bool signal_is_kick(const siginfo_t *info);
void signal_fill_info(siginfo_t *info, int number, int code);

/* deliver.c */
/* The thread has changed its mask: at depth 0 what that opens is handled. */
void signal_mask_changed(struct thread *self, uint64_t before);
struct signal_frame {
    struct signal_frame *below;
    uint64_t mask; /* to come back to */
    bool on_altstack;
    bool postpones; /* the thread's, of the call that was interrupted */
};
void signal_call_handler(struct thread *self, const struct sigaction *action, siginfo_t *info, ucontext_t *context);

/* wait.c; under the lock. */
bool signal_hand_over(struct thread *self, struct thread *waiter, const siginfo_t *info);
bool signal_hand_to_waiter(struct thread *self, const siginfo_t *info);
struct thread *signal_waiter_of(uint64_t bit);
struct thread *signal_suspended_open(uint64_t bit);
void signal_waiters_fork_reset(void);

/* thread_handler.c: GREEN_SA_THREAD. */
/* At depth 0: have the threads ready.  0 or an error. */
int signal_threads_start(void);
/* Under the lock; false: there are no such threads. */
bool signal_threads_post(struct thread *self, const siginfo_t *info, const struct sigaction *action);
void signal_threads_fork_reset(void);
void signal_threads_fork_finish(void);
/* At depth 0: threads of the library's own, which block every signal and do not keep the process alive. */
int signal_services_start(const char *name, int scope, void *(*routine)(void *), int count);

/* sync.c: the kernel's handler for faults. */
void signal_fault(int number, siginfo_t *info, void *context);

enum counter { SIGNALS_HERE, SIGNALS_WOKEN, SIGNALS_DIRECTED, SIGNALS_HELD, SIGNALS_HANDLED, SIGNALS_WAITED,
               SIGNALS_COALESCED, SIGNALS_DISCARDED, SIGNALS_RETURNED, SIGNAL_COUNTERS };
extern _Atomic uint64_t signal_counters[SIGNAL_COUNTERS];

static inline void signal_count(enum counter counter)
{
    atomic_fetch_add_explicit(&signal_counters[counter], 1, memory_order_relaxed);
}

#endif
