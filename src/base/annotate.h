/*
 * What Valgrind and the sanitizers must be told.  Nothing at all when none is there.
 *
 * ThreadSanitizer (clang, SANITIZE=thread).  Its state of a thread lies in the TLS block, and each green thread has one of
 * a donor's (mem/tls_donor.c): so to it green threads are threads, of which it knows all, and switching between them is
 * nothing to it, as it is when the kernel does; its fibers, which take turns on one block, are not needed.  It sees only
 * the program's code.  The library's is compiled without it, for two reasons: a tick comes anywhere, also within
 * ThreadSanitizer, and the way from there to the next thread must not call it once more (base/unseen.c); and the
 * scheduler's protocols rest on compiler and heavy barriers that it does not know.  So synchronisation is announced here,
 * call by call.  Where that says too much (a send is ordered with all receives before it, not with the one that made room
 * for it), some races go unseen; it never says too little, so there is no false alarm.
 *
 * Limits.  Handlers of signals and asynchronous cancellation wait for the thread to call the library.  A race is
 * reported with the thread's number, its stack and that of the other access, but the creator it names is whoever had
 * the block made.  An atomic is a lock of its own: a thread in a critical section, or one that is more urgent, or any
 * without the monitor, may wait for ever for a preempted thread that is within the same atomic; and a policy of the
 * program's, which ticks call, may not use any.  Threads whose block has been the same one after the other are one to
 * it.  Of C that is left by green_exit() or cancellation it must know the frames: -fexceptions.  About 8,000 threads at
 * a time.  In the child of a fork it is off.
 *
 * Helgrind and DRD know kernel threads alone, and each instruction of them, the library's as well.  Under them a thread
 * that leaves a worker releases itself, and is acquired where it goes on, so that it is not taken for several; what
 * synchronises is announced as above; and what the library does itself is left out by src/debug/libgreen.supp, which
 * names the shared library.  Limits: what threads do one after the other on the same worker is in order to these tools.
 * So a race is found only where the two accesses were on different workers, with no thread that went from the one to the
 * other in between; a locked mutex is no lock to them, and they know of no wrong order of locks.  DRD (3.19) takes a kernel
 * thread to have one stack, and fails an assertion of its own when the program ends.
 */
#ifndef ANNOTATE_H
#define ANNOTATE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/memcheck.h>
#define HAVE_VALGRIND 1
#ifndef GREEN_TSAN
#define HAVE_HELGRIND 1
#endif
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifdef GREEN_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* [low, low + bytes) is a stack: a switch to it is no overflow of the old one.  A number for it. */
static inline unsigned annotate_stack(void *low, size_t bytes)
{
#ifdef HAVE_VALGRIND
    return (unsigned)VALGRIND_STACK_REGISTER(low, (char *)low + bytes);
#else
    (void)low;
    (void)bytes;
    return 0;
#endif
}

/* It is no stack any more, but memory. */
static inline void annotate_stack_gone(unsigned number, void *low, size_t bytes)
{
#ifdef HAVE_VALGRIND
    VALGRIND_STACK_DEREGISTER(number);
    VALGRIND_MAKE_MEM_UNDEFINED(low, bytes);
#else
    (void)number;
    (void)low;
    (void)bytes;
#endif
}

/* Bytes of stack that a kernel thread has at least. */
static inline size_t annotate_stack_least(void)
{
#ifdef GREEN_TSAN
    return 262144; /* pthread_create() complains of less */
#else
    return 0;
#endif
}

/* pthread_create() comes back when the new thread has begun. */
static inline bool annotate_create_awaits(void)
{
#ifdef GREEN_TSAN
    return true;
#else
    return false;
#endif
}

/* Frames are left by a jump. */
static inline void annotate_no_return(void)
{
#ifdef HAVE_ASAN
    __asan_handle_no_return();
#endif
}

/* ThreadSanitizer keeps a stack of the calls, too: then it jumps. */
#ifdef GREEN_TSAN
void __interceptor_siglongjmp(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));
#endif
static inline void annotate_longjmp(struct __jmp_buf_tag *env, int value)
{
#ifdef GREEN_TSAN
    __interceptor_siglongjmp(env, value);
#else
    (void)env;
    (void)value;
#endif
}

static inline bool annotate_under_valgrind(void)
{
#ifdef HAVE_VALGRIND
    return RUNNING_ON_VALGRIND;
#else
    return false;
#endif
}

/*
 * A handler of the kernel's begins, which may switch.  The kernel has emptied the floating-point registers, as no call may
 * find any on the x87's stack; Valgrind leaves there what the interrupted thread had, and the stack overflows in the end.
 */
static inline void annotate_handler_begins(void)
{
    if (unlikely(annotate_under_valgrind()))
        arch_floating_point_empty();
}

/* A stack whose frames were left without returning is used afresh. */
static inline void annotate_stack_reuse(void *low, size_t bytes)
{
#ifdef HAVE_ASAN
    __asan_unpoison_memory_region(low, bytes);
#else
    (void)low;
    (void)bytes;
#endif
}

/* Under Helgrind or DRD. */
#ifdef HAVE_HELGRIND
extern bool annotate_valgrind_races;
void annotate_valgrind_release(void *object);
void annotate_valgrind_acquire(void *object);
#else
static const bool annotate_valgrind_races = false;
static inline void annotate_valgrind_release(void *object)
{
    (void)object;
}
static inline void annotate_valgrind_acquire(void *object)
{
    (void)object;
}
#endif

static inline bool annotate_finds_races(void)
{
#ifdef GREEN_TSAN
    return true;
#else
    return unlikely(annotate_valgrind_races);
#endif
}

/*
 * The code that a signal interrupts may be ThreadSanitizer's, in the middle of what it does for a thread; and most of what
 * a program does calls it.  To be preempted there is nothing to it, as kernel threads are; but no instrumented code may
 * run on the thread before it has gone on.  So handlers of the program's wait until the thread calls the library; but one
 * that is in a system call of the library's is known to be there.
 */
static inline bool annotate_is_anywhere(void)
{
#ifdef GREEN_TSAN
    return true;
#else
    return false;
#endif
}

/*
 * Synchronisation, for detectors of races.  At depth 0: they have locks of their own, and a thread that has one may be
 * waiting for this processor.
 */

/* What the caller has done so far happens before what those do who acquire the object from here on. */
static inline void annotate_release(void *object)
{
#ifdef GREEN_TSAN
    __tsan_release(object);
#else
    if (annotate_finds_races())
        annotate_valgrind_release(object);
#endif
}

static inline void annotate_acquire(void *object)
{
#ifdef GREEN_TSAN
    __tsan_acquire(object);
#else
    if (annotate_finds_races())
        annotate_valgrind_acquire(object);
#endif
}

/*
 * The caller has the lock, for itself or shared with others; it is about to let go of it; the lock is one no more.  To
 * Helgrind and DRD, who have locked and unlock it are kernel threads: to them it is no lock.
 */
static inline void annotate_locked(void *lock, bool shared)
{
#ifdef GREEN_TSAN
    const unsigned flags = shared ? __tsan_mutex_read_lock : 0;
    __tsan_mutex_pre_lock(lock, flags);
    __tsan_mutex_post_lock(lock, flags, 0);
#else
    (void)shared;
    annotate_acquire(lock);
#endif
}

static inline void annotate_unlocks(void *lock, bool shared)
{
#ifdef GREEN_TSAN
    const unsigned flags = shared ? __tsan_mutex_read_lock : 0;
    __tsan_mutex_pre_unlock(lock, flags);
    __tsan_mutex_post_unlock(lock, flags);
#else
    (void)shared;
    annotate_release(lock);
#endif
}

static inline void annotate_lock_gone(void *lock)
{
#ifdef GREEN_TSAN
    __tsan_mutex_destroy(lock, 0);
#else
    (void)lock;
#endif
}

#endif
