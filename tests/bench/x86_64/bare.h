/*
 * The bare switch on x86-64: see bare.c.
 */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

/* AT_HWCAP2 bit 1: the kernel lets user code use wrfsbase. */
static inline int bare_usable(void)
{
    return (getauxval(AT_HWCAP2) & 2) != 0;
}

static inline uintptr_t bare_tls_base(void)
{
    uintptr_t base;

    __asm__("mov %%fs:0, %0" : "=r"(base));
    return base;
}

/* Six registers, the address that the switch returns to, and a word so that entry finds its stack as if called. */
static inline void *bare_first(void *top, void (*entry)(void))
{
    uintptr_t frame[8] = {0, 0, 0, 0, 0, 0, (uintptr_t)entry, 0};

    return memcpy((char *)top - sizeof frame, frame, sizeof frame);
}

void bare_switch(void **save, void *load, uintptr_t tls_base);

#endif
