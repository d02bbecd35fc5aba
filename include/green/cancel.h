/*
 * Cancellation: ending another thread where it can be ended, and what a thread does before it ends.  Included by
 * <green.h>.
 *
 * How to use it.  As pthread_cancel() and its kin, `green_` in place of `pthread_`.  A request is acted upon when its
 * thread has cancellation enabled, which it has at first, and is at a cancellation point; with the asynchronous type
 * anywhere.  The thread then ends as by green_exit(GREEN_CANCELED): cleanup handlers and the destructors of what is on
 * its stack run, the last one made first, then destructors of thread_local objects and of thread-specific data; and
 * green_join() gives GREEN_CANCELED.
 *
 * Cancellation points, whether they would wait or not: green_join, _timedjoin_np and _clockjoin_np, green_cond_wait,
 * _timedwait and _clockwait, green_sem_wait, _timedwait and _clockwait, green_sleep, _usleep, _nanosleep and
 * _clock_nanosleep, green_sigwait, _sigwaitinfo, _sigtimedwait and _sigsuspend, green_chan_send, _timedsend,
 * _clocksend, _recv, _timedrecv and _clockrecv, green_select and _clockselect, and green_testcancel.  Of this library's
 * calls nothing else is: not green_mutex_lock, and not green_yield.  A thread that was woken for what it waited for
 * returns with it, and is cancelled at its next point; one that is cancelled took nothing: a unit, a signal of a
 * condition or of the process goes to another.  When a wait for a condition is cancelled, the mutex is locked again
 * before the first handler runs.  A thread whose green_join() is cancelled leaves the other one joinable.  In a critical
 * section (green_critical_enter) nothing is a cancellation point.
 *
 * With the asynchronous type a thread ends in any other wait, too: for a mutex, a read-write lock, a barrier, another
 * thread's green_once().  What it waited for goes to the next waiter, or is its own already when it ends; which of the
 * two it is, a handler can ask of a mutex that knows its owner.  Who ends in green_barrier_wait() has not arrived.
 *
 * Of libc's calls, under their own names, are cancellation points of green threads, bound ones included:
 *   time       sleep usleep nanosleep clock_nanosleep pause
 *   files      open openat creat close read write pread pwrite readv writev preadv pwritev (and these with 64) fsync
 *              fdatasync msync fcntl (F_SETLKW, F_OFD_SETLKW) lockf (F_LOCK) tcdrain
 *   sockets    accept accept4 connect recv recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg
 *   waiting    poll ppoll select pselect epoll_wait epoll_pwait
 *   processes  wait waitpid waitid wait3 wait4 msgrcv msgsnd mq_receive mq_timedreceive mq_send mq_timedsend
 *   signals    sigsuspend sigwait sigwaitinfo sigtimedwait, which are green_sigsuspend and its like
 * A call that has its result when the request comes returns it, and the next point ends the thread: no byte, descriptor
 * or child's status is lost.  close() is cancelled before it closes, or not at all.  What libc does with these calls
 * itself, in stdio, system() or getaddrinfo(), is no cancellation point; nor is what a program calls under other names
 * (syscall(), and what _FORTIFY_SOURCE makes of some of these calls).  Nor are they with AddressSanitizer and
 * ThreadSanitizer (make SANITIZE=...), which have these names themselves.
 *
 * C++: catch (...) sees the unwinding, and must end with `throw;`, else the program is ended; so it is by a function
 * that is noexcept, as destructors are.  Code that is cancelled asynchronously must have no destructors to run, and C
 * code no __attribute__((cleanup)): compilers take only calls for places that may throw.
 *
 * Kernel threads of the program's own can be cancelled, too: they end as by pthread_exit(PTHREAD_CANCELED).  In libc's
 * calls they are pthread_cancel()'s, as ever.
 */
#ifndef GREEN_CANCEL_H
#define GREEN_CANCEL_H

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What green_join() gives for a cancelled thread; no pointer to an object. */
#define GREEN_CANCELED ((void *)-1)

#define GREEN_CANCEL_ENABLE 0
#define GREEN_CANCEL_DISABLE 1
#define GREEN_CANCEL_DEFERRED 0
#define GREEN_CANCEL_ASYNCHRONOUS 1

/*
 * Ask a thread to end.  Does not wait until it has.  One that has ended and was not joined is still there, and stays as
 * it is.  Does not block.  Signal handler: yes.  Source: pthread_cancel.
 *   ESRCH  no such thread, or no longer
 */
GREEN_API int green_cancel(green_t thread);

/*
 * Whether, and where, the calling thread may be cancelled.  What held before goes to *before, which may be null.  A
 * new thread begins with GREEN_CANCEL_ENABLE and GREEN_CANCEL_DEFERRED.  With the asynchronous type on, only these and
 * green_cancel() may be called.  Neither blocks.  Signal handler: yes.
 * Source: pthread_setcancelstate, pthread_setcanceltype.
 *   EINVAL  no such state, no such type
 */
GREEN_API int green_setcancelstate(int state, int *before);
GREEN_API int green_setcanceltype(int type, int *before);

/* A cancellation point, and nothing else.  Does not block.  Signal handler: no.  Source: pthread_testcancel. */
GREEN_API void green_testcancel(void);

/*
 * Cleanup handlers: green_cleanup_push(routine, arg) and green_cleanup_pop(execute) stand in one block, as an
 * opening and a closing brace do.  routine(arg) is called when the block is left by green_exit() or a cancellation, in
 * C++ by any exception, and by green_cleanup_pop() when `execute` is not 0.  Leaving the block in another way (return,
 * goto, longjmp) is undefined in C.  Neither blocks, but what is called may.  Signal handler: no.
 * Source: pthread_cleanup_push, pthread_cleanup_pop.
 */
struct __green_cleanup {
    struct __green_cleanup *__below;
    void *__libc; /* where libc runs them, else null */
    void (*__routine)(void *);
    void *__arg;
    void *__reserved[2];
};

/* What the macros call; not for programs.  Neither blocks, but what is called may.  Signal handler: no. */
GREEN_API void green_cleanup_enter_np(struct __green_cleanup *cleanup, void (*routine)(void *), void *arg);
GREEN_API void green_cleanup_leave_np(struct __green_cleanup *cleanup, int execute);

#ifdef __cplusplus
}
#endif

/* A push within a push declares the same name again, on purpose. */
#define __GREEN_CLEANUP_VARIABLE(declaration) \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wshadow\"") declaration \
    _Pragma("GCC diagnostic pop")

#if defined(__cplusplus) && defined(__EXCEPTIONS)

/* A handler that is popped may be a cancellation point. */
#if __cplusplus >= 201103L
#define __GREEN_CLEANUP_THROWS noexcept(false)
#else
#define __GREEN_CLEANUP_THROWS
#endif

class __green_cleanup_scope {
    struct __green_cleanup __cleanup;
    int __execute;

public:
    __green_cleanup_scope(void (*__routine)(void *), void *__arg) : __execute(1)
    {
        green_cleanup_enter_np(&__cleanup, __routine, __arg);
    }
    ~__green_cleanup_scope() __GREEN_CLEANUP_THROWS
    {
        green_cleanup_leave_np(&__cleanup, __execute);
    }
    void __set(int __on)
    {
        __execute = __on;
    }
};

#define green_cleanup_push(routine, arg) \
    do { \
        __GREEN_CLEANUP_VARIABLE(__green_cleanup_scope __green_scope(routine, arg);)
#define green_cleanup_pop(execute) \
        __green_scope.__set(execute); \
    } while (0)

#elif defined(__EXCEPTIONS)

/* C whose frames the compiler can clean up: the handler keeps its place among __attribute__((cleanup)) variables. */
struct __green_cleanup_scope {
    struct __green_cleanup __cleanup;
    int __execute;
};

static inline void __green_cleanup_end(struct __green_cleanup_scope *__scope)
{
    green_cleanup_leave_np(&__scope->__cleanup, __scope->__execute);
}

#define green_cleanup_push(routine, arg) \
    do { \
        __GREEN_CLEANUP_VARIABLE( \
            struct __green_cleanup_scope __green_scope __attribute__((__cleanup__(__green_cleanup_end)));) \
        __green_scope.__execute = 1; \
        green_cleanup_enter_np(&__green_scope.__cleanup, routine, arg)
#define green_cleanup_pop(execute) \
        __green_scope.__execute = (execute); \
    } while (0)

#else

#define green_cleanup_push(routine, arg) \
    do { \
        __GREEN_CLEANUP_VARIABLE(struct __green_cleanup __green_scope;) \
        green_cleanup_enter_np(&__green_scope, routine, arg)
#define green_cleanup_pop(execute) \
        green_cleanup_leave_np(&__green_scope, (execute)); \
    } while (0)

#endif

#endif
