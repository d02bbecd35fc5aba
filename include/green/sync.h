/*
 * Synchronisation.  Included by <green.h>.
 *
 * Overview.  Mutexes, with attributes that decide what they do when their owner ends or has a low priority; condition
 * variables; semaphores, also by name; read-write locks; barriers; spin locks.  All work between green threads of both
 * scopes and kernel threads of the program's, as everything does.
 *
 * Between processes.  A mutex, condition variable, semaphore, read-write lock, barrier or spin lock that is initialised
 * as GREEN_PROCESS_SHARED works, in memory that several processes have mapped, among the threads of all of them; a named
 * semaphore always does.  All must use this library, and be of one PID namespace.
 *
 * A shared object differs from a private one.  Who waits for it sleeps in the kernel, as in any blocking call: its
 * processor goes to others, but each waiter keeps a kernel thread (GREEN_MAX_WORKERS).  Without the monitor and with one
 * processor nobody else runs meanwhile, until a tick.  A mutex, a unit of a semaphore, or a read-write lock goes to
 * whoever takes it first, and readers pass writers.  Nothing is known of a thread of another process but who it is: no
 * priority is inherited, and what a process holds when it ends stays held.  So a mutex that is robust or has a protocol
 * is refused.  destroy of a condition variable waits until nobody waits for it; EBUSY is not told.
 *
 * A process that is killed while it waits for a condition variable, semaphore or barrier still counts there: destroy
 * waits for it in vain, of a semaphore it tells EBUSY; and a wake-up that it was about to take is gone with it.  Before
 * Linux 5.16, or where a sandbox forbids futex_waitv(), a signal's handler may not end a wait that it ends otherwise.
 * Who may write the memory can break it for all, as with any memory that is shared.
 *
 * Conventions as in <green.h>.  Where a call takes a time, it is an absolute one: of CLOCK_REALTIME, or of the clock
 * that is given, that or CLOCK_MONOTONIC; it is looked at only when the call would have to wait.
 */
#ifndef GREEN_SYNC_H
#define GREEN_SYNC_H

#include <fcntl.h>

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Types.  All are opaque; the fields are here for their size and for static initialisation only.
 */

typedef struct {
    unsigned __state;
    unsigned __kind;
    unsigned __count;
    unsigned __since;
    uint64_t __owner;
    struct __green_queue __queue;
    uint64_t __reserved[2];
} green_mutex_t;

typedef struct {
    int __kind;
    int __protocol;
    int __robust;
    int __ceiling;
    int __shared;
} green_mutexattr_t;

typedef struct {
    clockid_t __clock;
    struct __green_queue __queue;
    uint64_t __inside;
    uint64_t __reserved[1];
} green_cond_t;

typedef struct {
    clockid_t __clock;
    int __shared;
    int __reserved[2];
} green_condattr_t;

typedef struct {
    unsigned __value;
    unsigned __noted;
    struct __green_queue __queue;
    uint64_t __reserved[1];
} green_sem_t;

typedef struct {
    unsigned __state;
    unsigned __reserved_word;
    uint64_t __owner;
    struct __green_queue __queue;
    uint64_t __reserved[1];
    uint64_t __passing;
} green_rwlock_t;

typedef struct {
    int __shared;
    int __kind;
    int __reserved[2];
} green_rwlockattr_t;

typedef struct {
    unsigned __count;
    unsigned __arrived;
    unsigned __round;
    struct __green_queue __queue;
    uint64_t __inside;
    uint64_t __reserved[1];
} green_barrier_t;

typedef struct {
    int __shared;
    int __reserved[3];
} green_barrierattr_t;

typedef struct {
    unsigned __shared;
    unsigned __word;
    green_mutex_t __mutex;
} green_spinlock_t;

/*
 * Who may use an object: the threads of this process (default), or those of every process that has its memory mapped:
 * see at the top.  None of these blocks.  Signal handler: yes.
 * Source: pthread_mutexattr_setpshared, _getpshared, pthread_condattr_setpshared, _getpshared,
 * pthread_rwlockattr_setpshared, _getpshared, pthread_barrierattr_setpshared, _getpshared.
 *   EINVAL  neither; a null pointer
 */
#define GREEN_PROCESS_PRIVATE 0
#define GREEN_PROCESS_SHARED 1
GREEN_API int green_mutexattr_setpshared(green_mutexattr_t *attr, int shared);
GREEN_API int green_mutexattr_getpshared(const green_mutexattr_t *attr, int *shared);
GREEN_API int green_condattr_setpshared(green_condattr_t *attr, int shared);
GREEN_API int green_condattr_getpshared(const green_condattr_t *attr, int *shared);
GREEN_API int green_rwlockattr_setpshared(green_rwlockattr_t *attr, int shared);
GREEN_API int green_rwlockattr_getpshared(const green_rwlockattr_t *attr, int *shared);
GREEN_API int green_barrierattr_setpshared(green_barrierattr_t *attr, int shared);
GREEN_API int green_barrierattr_getpshared(const green_barrierattr_t *attr, int *shared);

/*
 * Mutexes.
 */

#define GREEN_MUTEX_NORMAL 0
#define GREEN_MUTEX_RECURSIVE 1
#define GREEN_MUTEX_ERRORCHECK 2
#define GREEN_MUTEX_DEFAULT GREEN_MUTEX_NORMAL

#define GREEN_MUTEX_INITIALIZER {0, GREEN_MUTEX_NORMAL, 0, 0, 0, {0, 0, 0}, {0, 0}}
#define GREEN_RECURSIVE_MUTEX_INITIALIZER_NP {0, GREEN_MUTEX_RECURSIVE, 0, 0, 0, {0, 0, 0}, {0, 0}}
#define GREEN_ERRORCHECK_MUTEX_INITIALIZER_NP {0, GREEN_MUTEX_ERRORCHECK, 0, 0, 0, {0, 0, 0}, {0, 0}}

/*
 * A mutex's type.  GREEN_MUTEX_NORMAL knows no owner: who locks it twice waits for ever.  GREEN_MUTEX_RECURSIVE is locked
 * again by its owner, and open after as many unlocks.  GREEN_MUTEX_ERRORCHECK tells an owner that locks it again, and an
 * unlock by somebody else.  Protocols, robustness and sharing are below.  None of these blocks.  Signal
 * handler: yes.  Source: pthread_mutexattr_*.
 *   EINVAL  no such type; a null pointer
 */
GREEN_API int green_mutexattr_init(green_mutexattr_t *attr);
GREEN_API int green_mutexattr_destroy(green_mutexattr_t *attr);
GREEN_API int green_mutexattr_settype(green_mutexattr_t *attr, int type);
GREEN_API int green_mutexattr_gettype(const green_mutexattr_t *attr, int *type);

/*
 * Make a mutex, which is open, and end its use.  attr may be NULL: a normal mutex, as GREEN_MUTEX_INITIALIZER makes one.
 * Neither blocks.  Signal handler: no.  Source: pthread_mutex_init, _destroy.
 *   EBUSY   destroy: it is locked, or a thread that was woken is about to lock it
 *   EINVAL  a bad attribute object; a null pointer
 *   ENOTSUP  init: shared between processes, and robust or with a protocol
 */
GREEN_API int green_mutex_init(green_mutex_t *mutex, const green_mutexattr_t *attr);
GREEN_API int green_mutex_destroy(green_mutex_t *mutex);

/*
 * Lock.  A contended lock spins for a moment while its owner runs on another processor.  Waiters are woken in order;
 * one that finds the mutex taken by a newcomer is handed it by the first unlock that comes 0.1 ms later, so nobody
 * waits for ever.  abstime is an absolute time: of CLOCK_REALTIME for timedlock, of the given clock (that or
 * CLOCK_MONOTONIC) for clocklock.  trylock does not block, the others do.  Signal handler: no.  Source:
 * pthread_mutex_lock, _trylock, _timedlock, _clocklock.
 *   EBUSY      trylock: somebody holds it
 *   EDEADLK    an error-checking mutex is the caller's already
 *   EAGAIN     a recursive mutex is locked 2^32-1 times
 *   ETIMEDOUT  the time came first
 *   EINVAL     a time that is none, an unknown clock, a null pointer
 *   EOWNERDEAD, ENOTRECOVERABLE  a robust mutex only: see green_mutex_consistent()
 */
GREEN_API int green_mutex_lock(green_mutex_t *mutex);
GREEN_API int green_mutex_trylock(green_mutex_t *mutex);
GREEN_API int green_mutex_timedlock(green_mutex_t *mutex, const struct timespec *abstime);
GREEN_API int green_mutex_clocklock(green_mutex_t *mutex, clockid_t clock, const struct timespec *abstime);

/*
 * Unlock and wake the first waiter.  Does not block.  Signal handler: no.  Source: pthread_mutex_unlock.
 *   EINVAL  a null pointer
 *   EPERM   a recursive, error-checking or robust mutex, or one with a protocol, that the caller does not hold
 */
GREEN_API int green_mutex_unlock(green_mutex_t *mutex);

/*
 * Mutexes: what the owner's priority does.  GREEN_PRIO_INHERIT: it has at least that of whoever waits;
 * GREEN_PRIO_PROTECT: at least the mutex's ceiling; GREEN_PRIO_NONE (default): nothing.  This means something to
 * multiplexed threads under the policy `priority` (<green/policy.h>), where mutexes of every protocol inherit; under
 * any other a protocol is kept, told when asked for, and without effect.  A ceiling is a priority of SCHED_FIFO, of
 * which the lowest is the default; under `priority`, green_mutex_lock() and its kin fail with EINVAL for a thread that
 * has a higher one of its own.  None of these blocks.  Signal handler: yes.
 * Source: pthread_mutexattr_setprotocol, _getprotocol, _setprioceiling, _getprioceiling.
 *   EINVAL  no such protocol, no such priority, a null pointer
 */
#define GREEN_PRIO_NONE 0
#define GREEN_PRIO_INHERIT 1
#define GREEN_PRIO_PROTECT 2
GREEN_API int green_mutexattr_setprotocol(green_mutexattr_t *attr, int protocol);
GREEN_API int green_mutexattr_getprotocol(const green_mutexattr_t *attr, int *protocol);
GREEN_API int green_mutexattr_setprioceiling(green_mutexattr_t *attr, int ceiling);
GREEN_API int green_mutexattr_getprioceiling(const green_mutexattr_t *attr, int *ceiling);

/*
 * The ceiling of a GREEN_PRIO_PROTECT mutex.  set locks the mutex meanwhile, so it blocks, and may fail as
 * green_mutex_lock() does; after EOWNERDEAD the caller holds the mutex, and the ceiling is as it was.  `old` may be
 * null.  get does not block.  Signal handler: no.
 * Source: pthread_mutex_setprioceiling, _getprioceiling.
 *   EINVAL  a mutex of another protocol; no such priority; a null pointer
 */
GREEN_API int green_mutex_setprioceiling(green_mutex_t *mutex, int ceiling, int *old);
GREEN_API int green_mutex_getprioceiling(const green_mutex_t *mutex, int *ceiling);

/*
 * Mutexes: what the owner's end does.  A thread that ends, by any way, while it holds a GREEN_MUTEX_ROBUST mutex
 * opens it: who locks it next has it, and is told by EOWNERDEAD that what it guards may be half done.  He mends that
 * and says so by green_mutex_consistent(); if he unlocks it without, or waits for a condition variable with it,
 * nobody can lock it ever again: ENOTRECOVERABLE, and green_mutex_destroy() is all that is left.  A
 * GREEN_MUTEX_STALLED (default) one stays locked.  None of these blocks.  Signal handler: yes, but
 * not green_mutex_consistent().
 * Source: pthread_mutexattr_setrobust, _getrobust, pthread_mutex_consistent.
 *   EINVAL  neither of the two; a null pointer; from consistent also: the mutex is not robust, not the caller's, or
 *           nobody has ended with it
 */
#define GREEN_MUTEX_STALLED 0
#define GREEN_MUTEX_ROBUST 1
GREEN_API int green_mutexattr_setrobust(green_mutexattr_t *attr, int robust);
GREEN_API int green_mutexattr_getrobust(const green_mutexattr_t *attr, int *robust);
GREEN_API int green_mutex_consistent(green_mutex_t *mutex);

/*
 * Condition variables.
 */

#define GREEN_COND_INITIALIZER {CLOCK_REALTIME, {0, 0, 0}, 0, {0}}

/*
 * The clock of green_cond_timedwait(): CLOCK_REALTIME (default) or CLOCK_MONOTONIC.  None of these blocks.  Signal
 * handler: yes.  Source: pthread_condattr_*.
 *   EINVAL  another clock; a null pointer
 */
GREEN_API int green_condattr_init(green_condattr_t *attr);
GREEN_API int green_condattr_destroy(green_condattr_t *attr);
GREEN_API int green_condattr_setclock(green_condattr_t *attr, clockid_t clock);
GREEN_API int green_condattr_getclock(const green_condattr_t *attr, clockid_t *clock);

/*
 * Make a condition variable, and end its use.  attr may be NULL, as for GREEN_COND_INITIALIZER.  Threads that a
 * broadcast has woken do not count as waiting: destroy waits, if it must, until they have let go of the condition
 * variable, and never for the mutex.  init does not block, destroy may.  Signal handler: no.
 * Source: pthread_cond_init, _destroy.
 *   EBUSY   destroy: threads wait
 *   EINVAL  a bad attribute object; a null pointer
 */
GREEN_API int green_cond_init(green_cond_t *cond, const green_condattr_t *attr);
GREEN_API int green_cond_destroy(green_cond_t *cond);

/*
 * Unlock the mutex and wait, in one step as seen by whoever locks it next; lock it again before returning, also on
 * ETIMEDOUT.  A recursive mutex is released whole.  A signal handler that runs on the thread ends the wait with 0, so
 * keep the usual loop.  abstime is an absolute time: of the clock of the condition variable's attributes for
 * timedwait, of the given one (CLOCK_REALTIME or CLOCK_MONOTONIC) for clockwait.  All block.  Signal handler: no.
 * Source: pthread_cond_wait, _timedwait, _clockwait.
 *   ETIMEDOUT  the time came first
 *   EPERM      the mutex is of a type that knows its owner, and not the caller's
 *   EINVAL     a time that is none, an unknown clock, a null pointer
 *   EOWNERDEAD, ENOTRECOVERABLE  from locking a robust mutex again: held after the former, not after the latter
 */
GREEN_API int green_cond_wait(green_cond_t *cond, green_mutex_t *mutex);
GREEN_API int green_cond_timedwait(green_cond_t *cond, green_mutex_t *mutex, const struct timespec *abstime);
GREEN_API int green_cond_clockwait(green_cond_t *cond, green_mutex_t *mutex, clockid_t clock,
                                   const struct timespec *abstime);

/*
 * Wake the first waiter, or all.  Under the policy `priority` the first is the most urgent one.  Neither blocks.  Signal
 * handler: no.  Source: pthread_cond_signal, _broadcast.
 *   EINVAL  a null pointer
 */
GREEN_API int green_cond_signal(green_cond_t *cond);
GREEN_API int green_cond_broadcast(green_cond_t *cond);

/*
 * Semaphores.
 */

#define GREEN_SEM_VALUE_MAX 0x7fffffff

/*
 * Make a semaphore of that value, shared between processes unless `shared` is 0, and end its use.  Both return 0, or -1
 * and set errno.  init does not block, destroy may for a moment, until a post that is under way has let go.  Signal
 * handler: no.  Source: sem_init, _destroy.
 *   EINVAL  a value above GREEN_SEM_VALUE_MAX; a null pointer
 *   EBUSY   destroy: threads wait
 */
GREEN_API int green_sem_init(green_sem_t *sem, int shared, unsigned value);
GREEN_API int green_sem_destroy(green_sem_t *sem);

/*
 * Take one, or wait until one is given.  abstime is an absolute time: of CLOCK_REALTIME for timedwait, of the given
 * clock (that or CLOCK_MONOTONIC) for clockwait.  All return 0, or -1 and set errno.  wait, timedwait and clockwait
 * block, first come first served unless it is shared; under the policy `priority` the most urgent is first.  Signal
 * handler: green_sem_trywait().
 * Source: sem_wait, sem_trywait, sem_timedwait, sem_clockwait.
 *   EAGAIN     trywait: there is none
 *   EINTR      a handler without SA_RESTART has run
 *   ETIMEDOUT  the time came first
 *   EINVAL     a time that is none, an unknown clock, a null pointer
 */
GREEN_API int green_sem_wait(green_sem_t *sem);
GREEN_API int green_sem_trywait(green_sem_t *sem);
GREEN_API int green_sem_timedwait(green_sem_t *sem, const struct timespec *abstime);
GREEN_API int green_sem_clockwait(green_sem_t *sem, clockid_t clock, const struct timespec *abstime);

/*
 * Give one: the first waiter has it, or the value grows.  Returns 0, or -1 and sets errno.  Does not block.  Signal
 * handler: yes, whoever has set it, on a thread that has called this library before.  Source: sem_post.
 *   EOVERFLOW  the value is GREEN_SEM_VALUE_MAX
 *   EINVAL     a null pointer
 */
GREEN_API int green_sem_post(green_sem_t *sem);

/*
 * The value, as it is at this moment: 0 also while threads wait.  Returns 0, or -1 and sets errno.  Does not block.
 * Signal handler: yes.  Source: sem_getvalue.
 *   EINVAL  a null pointer
 */
GREEN_API int green_sem_getvalue(green_sem_t *sem, int *value);

/*
 * Read-write locks: many readers or one writer.
 *
 * The order.  Whoever cannot have the lock at once stands in one line, readers and writers alike, and the lock is
 * handed to the head of it: a writer alone, readers together with those right behind them.  A newcomer does not pass
 * the line, so neither readers nor writers can starve.  One exception: a thread that holds any read-write lock to
 * read passes those who wait, or reading twice with a writer in between would be a deadlock.  So read locks nest,
 * each with an unlock of its own.  An attribute (green_rwlockattr_setkind_np) makes it another rule.
 *
 * Under the policy `priority` (<green/policy.h>) the most urgent is at the head of the line, of equals a writer before
 * readers; and a reader passes when all in it are less urgent.
 */
#define GREEN_RWLOCK_INITIALIZER {0, 0, 0, {0, 0, 0}, {0}, 0}
/* The same, of the kind GREEN_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP. */
#define GREEN_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP {0, 0, 0, {0, 0, 0}, {0}, 2}

/*
 * Attributes, of which there is who may use it.  None of these blocks.  Signal handler: yes.
 * Source: pthread_rwlockattr_init, _destroy.
 *   EINVAL  a null pointer
 */
GREEN_API int green_rwlockattr_init(green_rwlockattr_t *attr);
GREEN_API int green_rwlockattr_destroy(green_rwlockattr_t *attr);

/*
 * The kind: which readers pass the line.  Writers never do.  GREEN_RWLOCK_...
 *   PREFER_WRITER_NP               (default) those that hold any read-write lock to read, as above
 *   PREFER_READER_NP               all, while others read: writers can starve, as they can with libc's default
 *   PREFER_WRITER_NONRECURSIVE_NP  none: nobody starves, but to read twice with a writer in between is a deadlock
 * So that a program which sets one of the first two may read twice, as with libc.  libc's default is PREFER_READER_NP: a
 * program relies on it when a thread that reads waits for another one to read as well, and must set it here.  Of a lock
 * that is shared between processes the kind means nothing.  Neither blocks.  Signal handler: yes.
 * Source: pthread_rwlockattr_setkind_np, _getkind_np.
 *   EINVAL  no such kind; a null pointer
 */
#define GREEN_RWLOCK_PREFER_READER_NP 0
#define GREEN_RWLOCK_PREFER_WRITER_NP 1
#define GREEN_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP 2
#define GREEN_RWLOCK_DEFAULT_NP GREEN_RWLOCK_PREFER_WRITER_NP
GREEN_API int green_rwlockattr_setkind_np(green_rwlockattr_t *attr, int kind);
GREEN_API int green_rwlockattr_getkind_np(const green_rwlockattr_t *attr, int *kind);

/*
 * Make a read-write lock, which is open, and end its use.  attr may be NULL, as for GREEN_RWLOCK_INITIALIZER.  Neither
 * blocks.  Signal handler: no.  Source: pthread_rwlock_init, pthread_rwlock_destroy.
 *   EBUSY   destroy: it is locked
 *   EINVAL  a null pointer
 */
GREEN_API int green_rwlock_init(green_rwlock_t *lock, const green_rwlockattr_t *attr);
GREEN_API int green_rwlock_destroy(green_rwlock_t *lock);

/*
 * Lock.  A signal's handler may run meanwhile; then the caller goes on waiting, where it was or before.  abstime is an
 * absolute time, of CLOCK_REALTIME where no clock is given.  tryrdlock and trywrlock do not block, the others do.
 * Signal handler: no.  Source: pthread_rwlock_rdlock, _tryrdlock, _timedrdlock, _clockrdlock, _wrlock, _trywrlock,
 * _timedwrlock, _clockwrlock.
 *   EBUSY      tryrdlock, trywrlock: it would have to wait
 *   EDEADLK    the caller has it to write.  (That it has it to read, and wants to write, is not found out.)
 *   EAGAIN     to read: there are 536,870,911 read locks
 *   ETIMEDOUT  the time came first
 *   EINVAL     a time that is none, an unknown clock, a null pointer
 */
GREEN_API int green_rwlock_rdlock(green_rwlock_t *lock);
GREEN_API int green_rwlock_tryrdlock(green_rwlock_t *lock);
GREEN_API int green_rwlock_timedrdlock(green_rwlock_t *lock, const struct timespec *abstime);
GREEN_API int green_rwlock_clockrdlock(green_rwlock_t *lock, clockid_t clock, const struct timespec *abstime);
GREEN_API int green_rwlock_wrlock(green_rwlock_t *lock);
GREEN_API int green_rwlock_trywrlock(green_rwlock_t *lock);
GREEN_API int green_rwlock_timedwrlock(green_rwlock_t *lock, const struct timespec *abstime);
GREEN_API int green_rwlock_clockwrlock(green_rwlock_t *lock, clockid_t clock, const struct timespec *abstime);

/*
 * Unlock, for reading or writing.  Does not block.  Signal handler: no.  Source: pthread_rwlock_unlock.
 *   EPERM   nobody has it, or another thread has it to write
 *   EINVAL  a null pointer
 */
GREEN_API int green_rwlock_unlock(green_rwlock_t *lock);

/*
 * Barriers: `count` threads wait for each other, again and again.  destroy waits until the last of a finished round has
 * let go of the barrier, so who was told may destroy it at once.  wait returns GREEN_BARRIER_SERIAL_THREAD to one of
 * them, the last to come, and 0 to the others; all else returns 0 or an error number.  wait blocks; a signal's handler
 * may run meanwhile.  Signal handler: no.  Source: pthread_barrier_init, _wait, _destroy.
 *   EBUSY   destroy: threads wait at it
 *   EINVAL  a count of 0, a null pointer
 */
#define GREEN_BARRIER_SERIAL_THREAD (-1)
GREEN_API int green_barrier_init(green_barrier_t *barrier, const green_barrierattr_t *attr, unsigned count);
GREEN_API int green_barrier_destroy(green_barrier_t *barrier);
GREEN_API int green_barrier_wait(green_barrier_t *barrier);

/*
 * Attributes, of which there is who may use it.  None of these blocks.  Signal handler: yes.
 * Source: pthread_barrierattr_init, _destroy.
 *   EINVAL  a null pointer
 */
GREEN_API int green_barrierattr_init(green_barrierattr_t *attr);
GREEN_API int green_barrierattr_destroy(green_barrierattr_t *attr);

/*
 * Spin locks, for a few instructions.  Whoever finds one taken spins while the holder runs on another processor, and
 * parks when it does not, be it preempted, blocked or asleep: so nobody spins out a slice that the holder needs, and
 * nobody hangs.  A GREEN_PROCESS_SHARED one knows no holder: there a waiter spins, then lets others run, and after
 * that sleeps for up to 1 ms at a time.  green_spin_lock() may block, the others do not.  Signal handler: no.
 * Source: pthread_spin_init, _destroy, _lock, _trylock, _unlock.
 *   EBUSY    trylock, destroy: somebody holds it
 *   EDEADLK  lock: the caller holds it (private ones)
 *   EPERM    unlock: the caller does not hold it (private ones); nobody does (shared ones)
 *   EINVAL   init: neither private nor shared; a null pointer
 */
GREEN_API int green_spin_init(green_spinlock_t *lock, int shared);
GREEN_API int green_spin_destroy(green_spinlock_t *lock);
GREEN_API int green_spin_lock(green_spinlock_t *lock);
GREEN_API int green_spin_trylock(green_spinlock_t *lock);
GREEN_API int green_spin_unlock(green_spinlock_t *lock);

/*
 * Named semaphores: who opens the same name has the same one, in any process.  A name is of up to 251 bytes after its
 * leading slash, which may be left out, and contains no other.  With O_CREAT two more arguments follow: a mode_t, of which
 * the bits of permission, less those of umask(2), say who may open it (whoever may must be able to read and write), and
 * the value as an unsigned int.  It is a file in /dev/shm, and not libc's semaphore of that name.  A semaphore stays, value
 * and all, also when no process runs that has it open, until it is unlinked and nobody has it open; or until the system
 * ends.  It is shared: see at the top.  Opened again, it has the same address, and is to be closed as often.  A child of
 * fork has open what its parent has.
 *
 * open returns the semaphore, or GREEN_SEM_FAILED and sets errno; close and unlink return 0, or -1 and set errno.  They
 * may block for a moment, waiting for each other.  Signal handler: no.  Source: sem_open, sem_close, sem_unlink.
 *   EEXIST        open: O_CREAT and O_EXCL, and there is one
 *   ENOENT        open: there is none, and no O_CREAT; unlink: there is none
 *   EACCES        open: its mode, or that of the folder, does not let the caller; unlink: it is somebody else's
 *   EINVAL        open: a name that is none, a value above GREEN_SEM_VALUE_MAX, or what has the file's name is no such
 *                 semaphore; close: not an open named one; a null pointer
 *   ELOOP         open: what has the file's name is a symbolic link
 *   ENAMETOOLONG  a longer name
 *   EMFILE, ENFILE, ENOMEM, ENOSPC  open: no descriptor, no memory
 *   ENOSYS        open: there is no /dev/shm
 */
#define GREEN_SEM_FAILED ((green_sem_t *)0)
GREEN_API green_sem_t *green_sem_open(const char *name, int flags, ...);
GREEN_API int green_sem_close(green_sem_t *sem);
GREEN_API int green_sem_unlink(const char *name);

#ifdef __cplusplus
}
#endif

#endif
