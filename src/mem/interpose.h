/*
 * Calling what libc has behind a name that this library takes over.
 *
 * A few of libc's functions must know of green threads, and programs and libraries call them under libc's name; each
 * is wrapped where its subject is kept, and exported without a symbol version so that every reference binds to it.
 */
#ifndef INTERPOSE_H
#define INTERPOSE_H

#include <dlfcn.h>

#include <green.h>

/* The next definition of a function that is declared here, looked up once. */
#define REAL(function) \
    ({ \
        static __typeof__(&function) found_; \
        __typeof__(&function) real_ = __atomic_load_n(&found_, __ATOMIC_RELAXED); \
        if (!real_) { \
            real_ = (__typeof__(&function))dlsym(RTLD_NEXT, #function); \
            __atomic_store_n(&found_, real_, __ATOMIC_RELAXED); \
        } \
        real_; \
    })

#endif
