/*
 * Where glibc keeps what in struct pthread.
 *
 * What glibc exports for debuggers (_thread_db_*) is read from there; the rest follows from a real thread made with a
 * known stack: the offset of a value is where that value is found.  user_stack alone, a flag among flags, is a
 * constant that must hold 1 in a thread with its own stack and 0 in one without.  Anything unexpected leaves `known`
 * false, and the donor provider in charge.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "mem/tls.h"

enum { USER_STACK_OFFSET = 1554 }; /* glibc 2.34 to 2.36 on LP64 */

struct tls_layout tls_layout;

struct probe {
    void *stack;
    size_t bytes;
    bool with_stack;
    bool as_expected;
};

/* A field of struct pthread: nptl_db describes it as {bits, elements, offset}. */
static bool db_field(const char *symbol, size_t *offset)
{
    const uint32_t *field = dlsym(RTLD_DEFAULT, symbol);

    if (field)
        *offset = field[2];
    return field != NULL;
}

static bool db_size(const char *symbol, size_t *bytes)
{
    const uint32_t *size = dlsym(RTLD_DEFAULT, symbol);

    if (size)
        *bytes = *size;
    return size != NULL;
}

static bool read_exported(struct tls_layout *layout)
{
    typedef void get_info(size_t *, size_t *);
    get_info *static_info = (get_info *)dlsym(RTLD_DEFAULT, "_dl_get_tls_static_info");

    if (!static_info || !db_size("_thread_db_sizeof_pthread", &layout->pthread_bytes) ||
        !db_field("_thread_db_pthread_tid", &layout->tid) || !db_field("_thread_db_pthread_list", &layout->list))
        return false;
    static_info(&layout->static_bytes, &layout->align);
    layout->robust_prev = layout->tid + 8;
    layout->robust_head = layout->tid + 16;
    layout->user_stack = USER_STACK_OFFSET;
    return layout->robust_head + 24 <= layout->pthread_bytes && layout->user_stack < layout->pthread_bytes;
}

static void *word_at(const char *tp, size_t offset)
{
    void *word;

    memcpy(&word, tp + offset, sizeof word);
    return word;
}

/* Find the two words that hold the stack's address and size. */
static bool find_stackblock(struct tls_layout *layout, const char *tp, const struct probe *probe)
{
    for (size_t at = 0; at + 16 <= layout->pthread_bytes; at += 8)
        if (word_at(tp, at) == probe->stack && word_at(tp, at + 8) == (void *)probe->bytes) {
            layout->stackblock = at;
            layout->stackblock_bytes = at + 8;
            return true;
        }
    return false;
}

static bool find_resolver(struct tls_layout *layout, char *tp)
{
    char **pointer = dlsym(RTLD_DEFAULT, "__resp");

    if (!pointer || *pointer < tp || *pointer >= tp + layout->pthread_bytes)
        return false;
    layout->resolver_pointer = (char *)pointer - tp;
    layout->resolver = (size_t)(*pointer - tp);
    return true;
}

static void *probe_thread(void *arg)
{
    struct probe *probe = arg;
    struct tls_layout *layout = &tls_layout;
    char *tp = arch_thread_pointer();
    int tid;

    memcpy(&tid, tp + layout->tid, sizeof tid);
    probe->as_expected = tid == (int)syscall(SYS_gettid) && word_at(tp, 0) == tp && word_at(tp, 16) == tp &&
                         word_at(tp, layout->robust_head) == tp + layout->robust_head &&
                         word_at(tp, layout->robust_prev) == tp + layout->robust_head &&
                         tp[layout->user_stack] == (probe->with_stack ? 1 : 0);
    if (probe->with_stack)
        probe->as_expected = probe->as_expected && find_stackblock(layout, tp, probe) && find_resolver(layout, tp);
    return NULL;
}

static int run_probe(struct probe *probe)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    if (probe->with_stack)
        pthread_attr_setstack(&attr, probe->stack, probe->bytes);
    int error = pthread_create(&thread, &attr, probe_thread, probe);
    pthread_attr_destroy(&attr);
    return error ? error : pthread_join(thread, NULL);
}

int tls_layout_measure(void)
{
    struct stack stack;
    int error = stack_map(stack_class(65536), 0, &stack);

    if (error)
        return error;
    bool exported = read_exported(&tls_layout);
    struct probe own = {stack.low, stack.bytes, true, false}, libc = {NULL, 0, false, false};
    if (!exported) /* malloc must still learn that there are threads */
        tls_layout.pthread_bytes = 0;
    error = run_probe(&own);
    if (!error)
        error = run_probe(&libc);
    tls_layout.known = exported && own.as_expected && libc.as_expected;
    return error;
}

/* Above every tid the kernel gives (2^22) and below the flags of a futex word (2^30). */
int tls_unique_tid(void)
{
    static atomic_int last = 1 << 22;

    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}
