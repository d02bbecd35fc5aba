/* The interface of tls.h: the choice of a provider, its trial, and what both have in common. */
#include "mem/tls.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/rseq.h>
#include <locale.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/base.h"

enum { RSEQ_SIGNATURE = 0x53053053, STACK_ALIGN = 64 };

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

bool arch_fast_tls;

static int (*provider_create)(const struct stack *, void **);
static _Atomic(struct tls_block *) blocks;
static void (*call_tls_dtors)(void);

struct tls_block *tls_blocks(void)
{
    return atomic_load(&blocks);
}

const char *tls_provider_name(void)
{
    return provider_create == tls_allocate_create ? "allocate" : "donor";
}

size_t tls_bytes(void)
{
    return tls_layout.static_bytes + tls_layout.align + sizeof(struct tls_block) + STACK_ALIGN;
}

void *tls_stack_top(const void *tp)
{
    uintptr_t below = (uintptr_t)tp + tls_layout.pthread_bytes - tls_layout.static_bytes;

    return (void *)(below & ~(uintptr_t)(STACK_ALIGN - 1));
}

int tls_create(const struct stack *stack, void **tp, void **top)
{
    int error = provider_create(stack, tp);

    if (error)
        return error;
    *top = tls_stack_top(*tp);
    struct tls_block *block = (void *)((char *)stack->low + stack->bytes - sizeof *block);
    block->tp = *tp;
    block->next = atomic_load(&blocks);
    while (!atomic_compare_exchange_weak(&blocks, &block->next, block))
        continue;
    return 0;
}

/* Points ctype at the locale, as libc's thread start does. */
void tls_first_run(void)
{
    uselocale(LC_GLOBAL_LOCALE);
}

void tls_refresh(void *tp)
{
    tls_modules_refresh(tp);
    tls_libc_refresh(tp);
}

void tls_run_destructors(void)
{
    if (call_tls_dtors)
        call_tls_dtors();
    tls_run_key_destructors();
    tls_dynamic_release();
    tls_libc_forget();
}

void tls_unregister_rseq(void *tp)
{
    if (!&__rseq_offset || __rseq_size == 0)
        return;
    struct rseq *area = (void *)((char *)tp + __rseq_offset);
    int saved_errno = errno;
    syscall(SYS_rseq, area, sizeof *area > 32 ? 32 : sizeof *area, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE);
    errno = saved_errno;
    area->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
}

/*
 * The trial: a first thread on a block of the provider's, and the parts of libc that fail first when the block is
 * wrong.
 */
static struct arch_context trial_home, trial_away;
static bool trial_passed;

static void trial_run(void)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t mutex;

    tls_first_run();
    tls_libc_init();
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attr);
    bool locked = pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == 0;
    char *memory = malloc(100);
    errno = ERANGE;
    trial_passed = locked && memory && isalpha('a') && errno == ERANGE && (void *)pthread_self() == trial_away.tls;
    free(memory);
    arch_switch(&trial_away, &trial_home);
}

static int trial(void)
{
    struct stack stack;
    void *tp, *top;
    int error = stack_map(stack_class(65536), tls_bytes(), &stack);

    if (!error)
        error = tls_create(&stack, &tp, &top);
    if (error)
        return error;
    trial_home.tls = arch_thread_pointer();
    arch_context_init(&trial_away, top, tp, trial_run);
    arch_switch(&trial_home, &trial_away);
    return trial_passed ? 0 : ENOSYS;
}

static bool needs_donor(void)
{
    return dlsym(RTLD_DEFAULT, "__asan_init") || dlsym(RTLD_DEFAULT, "__tsan_init");
}

int tls_init(enum tls_choice choice)
{
    arch_fast_tls = getauxval(AT_HWCAP2) & ARCH_HWCAP2_TLS;
    int error = tls_layout_measure();

    if (error)
        return error;
    call_tls_dtors = (void (*)(void))dlsym(RTLD_DEFAULT, "__call_tls_dtors");
    tls_keys_init();
    error = tls_modules_init();
    if (error)
        return error;
    if (choice == TLS_AUTO)
        choice = needs_donor() ? TLS_DONOR : TLS_ALLOCATE;
    if (choice == TLS_ALLOCATE && tls_allocate_init() == 0) {
        provider_create = tls_allocate_create;
        error = trial();
        if (error != ENOSYS)
            return error;
    }
    provider_create = tls_donor_create;
    return trial();
}
