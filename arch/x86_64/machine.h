/* x86_64 System V.  See arch.h for the contract. */
#ifndef MACHINE_H
#define MACHINE_H

#include <ucontext.h>

#define ARCH_CACHE_LINE 64
#define ARCH_HWCAP2_TLS (1UL << 1) /* FSGSBASE: wrfsbase works in user mode */
#define ARCH_TLS_MODULE_OFFSET_SIGN (-1)

struct arch_context {
    void *sp;
    void *tls;
};

static inline void arch_pause(void)
{
    __builtin_ia32_pause();
}

static inline void *arch_thread_pointer(void)
{
    return __builtin_thread_pointer();
}

static inline uintptr_t arch_ucontext_sp(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

#endif
