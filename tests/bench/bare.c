/*
 * The floor under every user-level yield: two stacks that switch to each other, with no scheduler between them.
 * What the CPU needs for it is in a folder of its name:
 *
 *   bare.h  int bare_usable(void)                           may this machine move the TLS base without a system call?
 *           uintptr_t bare_tls_base(void)                   the TLS base of this thread
 *           void *bare_first(void *top, void (*entry)(void))   the stack pointer of a context that has not run
 *   bare.S  void bare_switch(void **save, void *load, uintptr_t tls_base)
 *
 * The TLS base is written at each switch with the value it has: as dear as a new one, and libc stays usable.
 */
#include "bare.h"

#include <stdio.h>
#include <string.h>

#include "bench.h"

static void *here, *there;
static uintptr_t tls_base;
static char stack[65536] __attribute__((aligned(16)));

static void answer(void)
{
    for (;;)
        bare_switch(&there, here, tls_base);
}

static void batch(unsigned ops)
{
    for (unsigned i = 0; i < ops / 2; i++)
        bare_switch(&here, there, tls_base);
}

int main(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "yield") != 0) {
        fprintf(stderr, "usage: %s yield\n", argv[0]);
        return 2;
    }
    if (!bare_usable()) {
        fprintf(stderr, "bench: bare: this machine moves the TLS base by a system call only\n");
        return 3;
    }
    tls_base = bare_tls_base();
    there = bare_first(stack + sizeof stack, answer);
    bench_report_switch("yield", batch, 100000);
    return 0;
}
