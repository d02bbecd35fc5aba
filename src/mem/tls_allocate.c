/*
 * The allocate provider: _dl_allocate_tls() makes static TLS and the dtv, the rest of struct pthread is filled in
 * here, as libc's own thread start would.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "mem/tls.h"

/* The head of struct pthread is ABI (the compiler reads the stack guard from it). */
enum { TCB_SELF = 0, TCB_POINTER = 16, TCB_MULTIPLE_THREADS = 24, TCB_GUARDS = 40, TCB_GUARDS_BYTES = 16 };

enum { RSEQ_CPU_ID = 4, RSEQ_REGISTRATION_FAILED = -2 };

extern const ptrdiff_t __rseq_offset __attribute__((weak));

static void *(*allocate_tls)(void *);

int tls_allocate_init(void)
{
    allocate_tls = (void *(*)(void *))dlsym(RTLD_DEFAULT, "_dl_allocate_tls");
    return allocate_tls && tls_layout.known ? 0 : ENOSYS;
}

static void put(char *tp, size_t offset, const void *value, size_t bytes)
{
    memcpy(tp + offset, value, bytes);
}

static void put_pointer(char *tp, size_t offset, const void *pointer)
{
    put(tp, offset, &pointer, sizeof pointer);
}

static void fill_pthread(char *tp, const struct stack *stack)
{
    const struct tls_layout *layout = &tls_layout;
    const char *creator = arch_thread_pointer();
    const int failed = RSEQ_REGISTRATION_FAILED;

    put_pointer(tp, TCB_SELF, tp);
    put_pointer(tp, TCB_POINTER, tp);
    put(tp, TCB_MULTIPLE_THREADS, &(int){1}, sizeof(int));
    put(tp, TCB_GUARDS, creator + TCB_GUARDS, TCB_GUARDS_BYTES);
    /* On no list of libc's, but fork unlinks it in the child: link it to itself. */
    put_pointer(tp, layout->list, tp + layout->list);
    put_pointer(tp, layout->list + 8, tp + layout->list);
    put(tp, layout->tid, &(int){tls_unique_tid()}, sizeof(int));
    put_pointer(tp, layout->robust_prev, tp + layout->robust_head);
    put_pointer(tp, layout->robust_head, tp + layout->robust_head);
    tp[layout->user_stack] = 1;
    put_pointer(tp, layout->stackblock, stack->low);
    put(tp, layout->stackblock_bytes, &stack->bytes, sizeof stack->bytes);
    if (&__rseq_offset)
        put(tp, (size_t)(__rseq_offset + RSEQ_CPU_ID), &failed, sizeof failed);
    *(void **)(void *)(tp + layout->resolver_pointer) = tp + layout->resolver;
}

int tls_allocate_create(const struct stack *stack, void **result)
{
    uintptr_t end = (uintptr_t)stack->low + stack->bytes - sizeof(struct tls_block) - tls_layout.pthread_bytes;
    char *tp = (char *)(end & ~(uintptr_t)(tls_layout.align - 1));

    if (!allocate_tls(tp))
        return ENOMEM;
    fill_pthread(tp, stack);
    *result = tp;
    return 0;
}
