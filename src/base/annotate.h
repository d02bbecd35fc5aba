/* What Valgrind and AddressSanitizer must be told.  Nothing at all when neither is there. */
#ifndef ANNOTATE_H
#define ANNOTATE_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/memcheck.h>
#define HAVE_VALGRIND 1
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

/* Frames are left by a jump. */
static inline void annotate_no_return(void)
{
#ifdef HAVE_ASAN
    __asan_handle_no_return();
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

#endif
