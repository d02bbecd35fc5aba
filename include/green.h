/*
 * libgreen: threads for C by the hundred thousand, preempted by a timer signal.
 *
 * Overview.  A green thread is to this library what a POSIX thread is to the kernel: it has a stack, an errno and a
 * libc of its own, may call any library, and is preempted at any instruction when its slice is over and others wait.
 * Threads run on *processors* (GREEN_PROCS of them, N:1 with one, M:N with several), each carried by a kernel thread,
 * and move between them freely.
 *
 * How to use it.  Write a POSIX threads program and put `green_` where `pthread_` (or `sem_`, `sched_`) stood: same
 * parameters, same constants, same error numbers.  The first call starts the library and makes the calling thread a
 * green one; green_init() of <green/sched.h> does so with settings of your own.  Compile with
 * `cc prog.c $(pkg-config --cflags --libs libgreen)`.
 *
 * Conventions.  Every call returns 0 or an error number and leaves errno alone, unless its POSIX twin sets errno,
 * which is then said.  "Blocks" means that the calling thread may be parked; the processor then runs another one.
 * "Signal handler: yes" means that a handler may call it even when it interrupted this library.  A kernel thread that
 * this library did not make may call everything: it joins on its first call, and where a green thread parks it sleeps
 * in the kernel.  ENOMEM from such a first call means that there was no memory to join with.  <green/cancel.h> lists
 * the cancellation points.
 *
 * References are to POSIX.1-2017.
 */
#ifndef GREEN_H
#define GREEN_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GREEN_VERSION_MAJOR 0
#define GREEN_VERSION_MINOR 1
#define GREEN_VERSION_PATCH 0

#define GREEN_API __attribute__((visibility("default")))

/*
 * Types.  All are opaque; the fields are here for their size and for static initialisation only.
 */

/* A thread's name: never 0, never given to another thread, so that a stale one is answered with ESRCH. */
typedef uint64_t green_t;

typedef struct {
    size_t __stack_bytes;
    int __detach_state;
    char __name[16];
    int __scope;
    int __inherit_sched;
    int __sched_policy;
    int __sched_priority;
    int __has_cpus;
    cpu_set_t __cpus;
    unsigned __weight; /* 0: the creator's */
    int __scope_set;
    void *__stack_addr;
    size_t __guard_bytes;
    uint64_t __reserved[5];
} green_attr_t;

/* Threads parked on an object, first come first woken. */
struct __green_queue {
    unsigned __lock;
    void *__head;
    void *__tail;
};

typedef struct {
    unsigned __state;
    struct __green_queue __queue;
} green_once_t;

/* A key: a name for a value that each thread has of its own. */
typedef unsigned green_key_t;

/*
 * Threads.
 */

#define GREEN_CREATE_JOINABLE 0
#define GREEN_CREATE_DETACHED 1

/* Threads at once, at most, of all kinds. */
#define GREEN_THREADS_MAX 16777216

/* The smallest stack in bytes: a signal frame with every vector register, and room to call printf. */
#define GREEN_STACK_MIN 16384

/*
 * Attributes: what green_create() is told about the new thread.  The defaults are joinable, no name, a guard of one
 * page, and the program's stack size (GREEN_STACK, 256 KiB).  None of these blocks.  Signal handler: yes.
 * Source: pthread_attr_*.
 *   EINVAL  a detach state that is none; a stack below GREEN_STACK_MIN or above 1 GiB; a null pointer
 *   ERANGE  setname_np: a name of more than 15 bytes; getname_np: a buffer that it does not fit
 */
GREEN_API int green_attr_init(green_attr_t *attr);
GREEN_API int green_attr_destroy(green_attr_t *attr);
GREEN_API int green_attr_setdetachstate(green_attr_t *attr, int state);
GREEN_API int green_attr_getdetachstate(const green_attr_t *attr, int *state);
GREEN_API int green_attr_setstacksize(green_attr_t *attr, size_t bytes);
GREEN_API int green_attr_getstacksize(const green_attr_t *attr, size_t *bytes);
GREEN_API int green_attr_setname_np(green_attr_t *attr, const char *name);
GREEN_API int green_attr_getname_np(const green_attr_t *attr, char *buffer, size_t bytes);

/*
 * A stack of the program's: `bytes` from `low` on, of any alignment, for one thread at a time.  All of it is a
 * multiplexed thread's; a bound one's begins with libc's block for it, as a POSIX thread's does.  It has no guard but
 * what the program makes.  The program may use it otherwise when it has joined the thread, and never when that is
 * detached.  Null as an address from get: the library provides the stack.  Neither blocks.  Signal handler: yes.
 * Source: pthread_attr_setstack, _getstack.
 *   EINVAL  a size below GREEN_STACK_MIN or above 1 GiB; a null address, or a stack beyond the end of memory
 */
GREEN_API int green_attr_setstack(green_attr_t *attr, void *low, size_t bytes);
GREEN_API int green_attr_getstack(const green_attr_t *attr, void **low, size_t *bytes);

/*
 * The guard below a stack of the library's: an overflow into it is reported and ends the program.  Up to a page (the
 * default), 0 included, costs nothing and is a page; for more, whole pages, the stack is mapped for this thread alone
 * and unmapped when it has ended, some 10 us.  get says what was set.  On a bound thread 0 is none.  Neither blocks.
 * Signal handler: yes.  Source: pthread_attr_setguardsize, _getguardsize.
 *   EINVAL  more than 1 GiB; a null pointer
 */
GREEN_API int green_attr_setguardsize(green_attr_t *attr, size_t bytes);
GREEN_API int green_attr_getguardsize(const green_attr_t *attr, size_t *bytes);

/*
 * Bound threads.  With GREEN_SCOPE_SYSTEM a thread has a kernel thread of its own: the kernel schedules it, beside the
 * processors and not counted among them; slices, ticks and the other threads' hogging do not concern it.  It costs what
 * a POSIX thread costs.  It may call everything, waits for multiplexed threads and is waited for by them; where those
 * park, it sleeps in the kernel.  green_yield() is sched_yield() there, a slice of its own (green_setslice_np) means
 * nothing, and its name is also the kernel's for it.  GREEN_SCOPE_PROCESS multiplexes.  It is the default, but for
 * attributes that ask for what only the kernel can give, a set of CPUs or a real-time policy: with these a thread is
 * bound unless its scope was set.  Neither blocks.  Signal handler: yes.  Source: pthread_attr_setscope, _getscope.
 *   EINVAL  another scope; a null pointer
 */
#define GREEN_SCOPE_PROCESS 0
#define GREEN_SCOPE_SYSTEM 1
GREEN_API int green_attr_setscope(green_attr_t *attr, int scope);
GREEN_API int green_attr_getscope(const green_attr_t *attr, int *scope);

/*
 * How the kernel shall schedule a thread, which is bound then (see green_attr_setscope()): with GREEN_EXPLICIT_SCHED by
 * the policy (SCHED_OTHER, SCHED_FIFO or SCHED_RR) and priority of the attributes, with GREEN_INHERIT_SCHED (default) as
 * it schedules the kernel thread that creates it, which for a multiplexed creator is a worker.  And on which CPUs:
 * `bytes` is the size of *cpus; 0 takes the set away again, and the creator's is inherited; get then says all.  None
 * blocks.  Signal handler: yes.  Source: pthread_attr_setinheritsched, _getinheritsched, _setschedpolicy,
 * _getschedpolicy, _setschedparam, _getschedparam, _setaffinity_np, _getaffinity_np.
 *
 * A multiplexed thread is scheduled by the library, which has priorities with GREEN_POLICY=priority and the like
 * (<green/policy.h>): the same calls then name one of SCHED_RR or SCHED_FIFO, 0 to 99, or SCHED_OTHER's 0, which is the
 * same as 0 of SCHED_RR; what is not explicit is the creator's.
 *   EINVAL  no such value; a priority that no policy has; a null pointer; a CPU above 1023 (setaffinity), or beyond
 *           `bytes` (getaffinity).  Whether this policy has the priority, and the machine the CPUs, green_create() finds
 *           out
 */
#define GREEN_INHERIT_SCHED 0
#define GREEN_EXPLICIT_SCHED 1
GREEN_API int green_attr_setinheritsched(green_attr_t *attr, int inherit);
GREEN_API int green_attr_getinheritsched(const green_attr_t *attr, int *inherit);
GREEN_API int green_attr_setschedpolicy(green_attr_t *attr, int policy);
GREEN_API int green_attr_getschedpolicy(const green_attr_t *attr, int *policy);
GREEN_API int green_attr_setschedparam(green_attr_t *attr, const struct sched_param *param);
GREEN_API int green_attr_getschedparam(const green_attr_t *attr, struct sched_param *param);
GREEN_API int green_attr_setaffinity_np(green_attr_t *attr, size_t bytes, const cpu_set_t *cpus);
GREEN_API int green_attr_getaffinity_np(const green_attr_t *attr, size_t bytes, cpu_set_t *cpus);

/*
 * The policy, priority and CPUs of a bound thread that runs, or of a kernel thread of the program's, which may also be
 * of the kernel's other policies (SCHED_BATCH, SCHED_IDLE).  Of a multiplexed thread, its policy and priority among those
 * of the library's, without what it has been lent.  They hold at once: one that runs and is no longer the most urgent
 * makes room.  A thread of SCHED_FIFO has no slices: an equal runs when it waits or yields.  green_setschedprio() makes
 * one of SCHED_OTHER with a priority above 0 one of SCHED_RR.  Round robin, the default, has no priorities: there a
 * multiplexed thread is of SCHED_OTHER, whose priority is 0.  Do not block but for a bound thread's start.  Signal
 * handler: no.
 * Source: pthread_setschedparam, _getschedparam, _setschedprio, _setaffinity_np, _getaffinity_np.
 *   ESRCH    no such thread, or it has ended
 *   ENOTSUP  of a multiplexed thread: CPUs; another policy than SCHED_OTHER, SCHED_RR where the library's policy is not
 *            round robin, and SCHED_FIFO where it is `priority`
 *   EINVAL   a policy, priority or set of CPUs that the kernel, or the library, refuses; a null pointer
 *   EPERM    the process may not (see sched(7): CAP_SYS_NICE, RLIMIT_RTPRIO)
 */
GREEN_API int green_setschedparam(green_t thread, int policy, const struct sched_param *param);
GREEN_API int green_getschedparam(green_t thread, int *policy, struct sched_param *param);
GREEN_API int green_setschedprio(green_t thread, int priority);
GREEN_API int green_setaffinity_np(green_t thread, size_t bytes, const cpu_set_t *cpus);
GREEN_API int green_getaffinity_np(green_t thread, size_t bytes, cpu_set_t *cpus);

/*
 * The attributes of a thread that lives: whether it is detached now, the stack it is on and its guard, its scope, name,
 * and for one with a kernel thread of its own its scheduling and CPUs.  To be destroyed by green_attr_destroy().  The
 * stack of a kernel thread of the program's is known to that one alone; to others it is null.  Does not block but for a
 * bound thread's start.  Signal handler: no.  Source: pthread_getattr_np.
 *   ESRCH   no such thread, or no longer; one with a kernel thread: it has ended
 *   EINVAL  a null pointer
 */
GREEN_API int green_getattr_np(green_t thread, green_attr_t *attr);

/*
 * The attributes of threads that are created without.  green_attr_init() does not look at them.  Do not block.  Signal
 * handler: no.  Source: pthread_setattr_default_np, pthread_getattr_default_np.
 *   EINVAL  attributes that were not initialised, or that name a stack; a null pointer
 */
GREEN_API int green_setattr_default_np(const green_attr_t *attr);
GREEN_API int green_getattr_default_np(green_attr_t *attr);

/*
 * Start a thread that runs start(arg) and ends with its result.  attr may be NULL.  The creator's floating-point
 * environment is inherited.  Does not block.  Signal handler: no.  Source: pthread_create.
 *   EINVAL   a null thread or start, or an attribute object that was not initialised; a priority that its policy has
 *            not; for a bound thread, no CPU of its set that the process may use, or a stack of the program's that is
 *            too small for libc
 *   EAGAIN   no more thread ids, or no more guard pages (see max_map_count on kernels before 6.13); no kernel thread, or
 *            no memory, for a bound thread
 *   ENOMEM   no memory for the stack or its thread-local storage
 *   EPERM    a bound thread of a policy that the process may not use
 *   ENOTSUP  with GREEN_SCOPE_PROCESS set: a set of CPUs; explicit scheduling by SCHED_RR where the library's policy is
 *            round robin, by SCHED_FIFO where it is not `priority`.  For a thread that is not bound: a weight, where the
 *            library's policy is round robin
 */
GREEN_API int green_create(green_t *thread, const green_attr_t *attr, void *(*start)(void *), void *arg);

/*
 * Wait for a thread's end and take its result (`result` may be NULL).  Blocks.  Signal handler: no.
 * Source: pthread_join.
 *   ESRCH    no such thread, or no longer
 *   EINVAL   it is detached, or somebody else is joining it
 *   EDEADLK  it is the caller, or it is joining the caller
 */
GREEN_API int green_join(green_t thread, void **result);

/*
 * The same as green_join() without waiting, or until a time of CLOCK_REALTIME, or of a given clock, that or
 * CLOCK_MONOTONIC.  After an error the thread can still be joined.  tryjoin does not block, the others do.  Signal
 * handler: no.  Source: pthread_tryjoin_np, _timedjoin_np, _clockjoin_np.  Errors as for green_join(), and
 *   EBUSY      tryjoin_np: it has not ended
 *   ETIMEDOUT  the time came first
 *   EINVAL     also a time that is none, a null one, an unknown clock
 *
 * Two threads that wait for each other are not told (EDEADLK) if one of them does so with a deadline.
 */
GREEN_API int green_tryjoin_np(green_t thread, void **result);
GREEN_API int green_timedjoin_np(green_t thread, void **result, const struct timespec *abstime);
GREEN_API int green_clockjoin_np(green_t thread, void **result, clockid_t clock, const struct timespec *abstime);

/*
 * Give up the thread's result: it is released when it ends.  Does not block.  Signal handler: no.
 * Source: pthread_detach.
 *   ESRCH   no such thread, or no longer
 *   EINVAL  it is detached already, or somebody is joining it
 */
GREEN_API int green_detach(green_t thread);

/*
 * End the calling thread with a result.  First its stack is unwound: cleanup handlers (<green/cancel.h>) and C++
 * destructors run; then thread_local and pthread_key destructors.  When the last thread ends, the process exits with
 * status 0.  Does not return.  Does not block, but what runs so may.  Signal handler: no.  Source: pthread_exit.
 */
GREEN_API void green_exit(void *result) __attribute__((noreturn));

/*
 * Returns the calling thread's name: what green_create() gave, and other calls take.  Does not block.  Signal handler:
 * yes, once the thread is known here.  Source: pthread_self.
 */
GREEN_API green_t green_self(void);

/* Non-zero when both name the same thread.  Does not block.  Signal handler: yes.  Source: pthread_equal. */
GREEN_API int green_equal(green_t a, green_t b);

/*
 * The name that a debugger, a trace and an overflow report show.  Neither blocks.  Signal handler: no.
 * Source: pthread_setname_np, _getname_np.
 *   ESRCH   no such thread, or no longer
 *   EINVAL  a null pointer
 *   ERANGE  setname_np: a name of more than 15 bytes; getname_np: a buffer that it does not fit
 */
GREEN_API int green_setname_np(green_t thread, const char *name);
GREEN_API int green_getname_np(green_t thread, char *buffer, size_t bytes);

/*
 * Let another ready thread run, if there is one.  sched_yield() itself, called by a green thread, does so, too, and
 * yields to other kernel threads when no thread is ready.  Always 0.  Does not block: the caller stays ready.  Signal
 * handler: no.  Source: sched_yield.
 */
GREEN_API int green_yield(void);
GREEN_API int green_sched_yield(void);

/*
 * The highest and the lowest priority of a policy of the kernel's, for threads that it schedules.  The rest of <sched.h>
 * is about processes (sched_setscheduler, _setparam, _rr_get_interval and their kin), whose twins would mean nothing for
 * a thread: see green_setschedparam().  Returns the priority, or -1 and sets errno.  Neither blocks.  Signal handler:
 * yes.  Source: sched_get_priority_max, _min.
 *   EINVAL  no policy of the kernel's
 */
GREEN_API int green_sched_get_priority_max(int policy);
GREEN_API int green_sched_get_priority_min(int policy);

/*
 * Functions to be called at each fork: before it, last registered first, and after it in the parent and in the child, in
 * order.  In the child the library is ready by then.  Any may be null.  pthread_atfork() is as good.  Does not block.
 * Signal handler: no.  Source: pthread_atfork.
 *   ENOMEM  no memory
 */
GREEN_API int green_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/*
 * Sleep.  The calling thread is parked, the processor is not.  A handler that runs on the thread ends the sleep.  What
 * is left of a duration is then written to rem, if that is not null.  With TIMER_ABSTIME in `flags`, `when` is a time
 * and not a duration.  All block.
 *
 * green_sleep() returns the seconds that are left, else 0.  green_usleep() and green_nanosleep() return 0, or -1 and set
 * errno.  green_clock_nanosleep() returns 0 or the error number.  Signal handler: no.
 * Source: sleep, usleep, nanosleep, clock_nanosleep.
 *   EINTR   a handler has run
 *   EINVAL  a time that is none; clock_nanosleep: a clock other than CLOCK_REALTIME and CLOCK_MONOTONIC
 */
GREEN_API unsigned green_sleep(unsigned seconds);
GREEN_API int green_usleep(unsigned microseconds);
GREEN_API int green_nanosleep(const struct timespec *duration, struct timespec *rem);
GREEN_API int green_clock_nanosleep(clockid_t clock, int flags, const struct timespec *when, struct timespec *rem);

/*
 * The clock of a thread's CPU time: what it has used, in user code and in system calls, on whatever processor, without
 * what it waited for anything.  green_clock_gettime() reads it, and every other clock as libc's does; it is
 * CLOCK_THREAD_CPUTIME_ID, too, of the thread that asks.  clock_gettime() and clock_getres() of libc's name know these
 * clocks as well where this library is linked; timers and sleeps do not.  A clock of a thread that has ended and been
 * joined is none any more (EINVAL), or after 64 other lives of its structure another's.
 *
 * What is counted.  Exactly what the kernel counts, across preemption and migration, from the thread's start in a program
 * that is linked with the shared library and refers to green_getcpuclockid(), itself or by a library it is linked with;
 * else from the first time that anybody asks for such a clock.  For a bound thread and a kernel thread of the program's
 * it is the kernel's own clock, from the start.  While accounts are kept each switch makes a system call: a yield takes
 * ten times as long.
 *
 * green_getcpuclockid() returns 0 or an error number, green_clock_gettime() 0, or -1 and sets errno.  Do not block but
 * for a bound thread's start.  Signal handler: green_clock_gettime().
 * Source: pthread_getcpuclockid, clock_gettime.
 *   ESRCH   getcpuclockid: no such thread, or no longer
 *   EINVAL  getcpuclockid: a null pointer; gettime: no such clock
 */
GREEN_API int green_getcpuclockid(green_t thread, clockid_t *clock);
GREEN_API int green_clock_gettime(clockid_t clock, struct timespec *time);

/*
 * Run routine() once, whoever comes first; the others wait until it has returned.  If it leaves by an exception or by
 * green_exit, the next caller runs it again.  Blocks.  Signal handler: no.  Source: pthread_once.
 *   EINVAL  a null pointer
 */
#define GREEN_ONCE_INIT {0, {0, 0, 0}}
GREEN_API int green_once(green_once_t *once, void (*routine)(void));

/*
 * Keys.  Each thread has a value for each key, a null pointer at first.  When a thread ends, a value that is not null is
 * set to null and given to the key's destructor, if it has one; that is repeated while destructors set values, up to
 * GREEN_DESTRUCTOR_ITERATIONS times.  No order among keys.  Deleting a key runs no destructor.  Keys of libc's
 * (pthread_key_create) work on green threads as well, and their destructors run in the same rounds.  The first set of a
 * thread, and of each further 32 keys, calls malloc: not in a critical section.  green_getspecific() returns the value,
 * the others 0 or an error number.  None blocks.  Signal handler: green_getspecific().
 * Source: pthread_key_create, _key_delete, _getspecific, _setspecific.
 *   EAGAIN  key_create: there are GREEN_KEYS_MAX
 *   ENOMEM  setspecific: no memory for the value
 *   EINVAL  no such key (green_getspecific() then returns a null pointer); a null pointer for the key
 */
#define GREEN_KEYS_MAX 1024
#define GREEN_DESTRUCTOR_ITERATIONS 4
GREEN_API int green_key_create(green_key_t *key, void (*destructor)(void *));
GREEN_API int green_key_delete(green_key_t key);
GREEN_API void *green_getspecific(green_key_t key);
GREEN_API int green_setspecific(green_key_t key, const void *value);

/*
 * The number of processors, at run time: 1 is N:1.  0 restores the program's default.  Takes effect at once for
 * growth; a processor that is taken away ends its thread's slice first.  green_setconcurrency() returns 0 or an error
 * number, green_getconcurrency() the number of processors.  Neither blocks.  Signal handler: no.
 * Source: pthread_setconcurrency, _getconcurrency.
 *   EINVAL  a negative level
 *   EAGAIN  more than 1,024; or no kernel thread could be made for it
 */
GREEN_API int green_setconcurrency(int level);
GREEN_API int green_getconcurrency(void);

#ifdef __cplusplus
}
#endif

#include <green/cancel.h>
#include <green/signal.h>
#include <green/sync.h>

#endif
