/*
 * What libc keeps of a thread in its block, and frees when a kernel thread ends.
 *
 * A green thread's block goes on to another thread, with the caches of malloc, which are worth keeping.  But the locale
 * that the thread has chosen (and the program may free), the resolver's settings, with what they refer to, and an error of
 * dlopen() that nobody asked for are not the next one's: it begins with what a thread of libc's begins with.
 *
 * libc's own way there, __libc_thread_freeres(), is hidden, and would give malloc's caches up as well.  Most threads have
 * none of these, so all that they pay for are three tests, of the resolver's settings without a call; at the end, and not
 * at the next beginning, since the locale and the settings are then freed when the thread that made them is over.
 */
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

#include "arch.h"
#include "base/base.h"
#include "mem/tls.h"

/* glibc's; elsewhere the state is not the thread's own. */
#pragma weak __res_nclose

/* From the thread pointer; the same in all blocks. */
static ptrdiff_t errno_offset, h_errno_offset, resolver_offset;

void tls_libc_init(void)
{
    char *tp = arch_thread_pointer();

    errno_offset = (char *)&errno - tp;
    h_errno_offset = (char *)&h_errno - tp;
    resolver_offset = (char *)__res_state() - tp;
}

void tls_libc_refresh(void *tp)
{
    *(int *)((char *)tp + errno_offset) = 0;
    *(int *)((char *)tp + h_errno_offset) = 0;
}

/* As after res_init(), and no socket left open; or the program has only set something. */
static __attribute__((noinline)) void resolver_forget(struct __res_state *state)
{
    if (state->nscount)
        __res_nclose(state);
    memset(state, 0, sizeof *state);
}

void tls_libc_forget(void)
{
    struct __res_state *state = (void *)((char *)arch_thread_pointer() + resolver_offset);

    if (unlikely(uselocale((locale_t)0) != LC_GLOBAL_LOCALE))
        uselocale(LC_GLOBAL_LOCALE);
    while (unlikely(dlerror() != NULL)) /* the second call frees what the first one gave */
        continue;
    if (unlikely(state->options || state->nscount || state->retry || state->retrans) && __res_nclose)
        resolver_forget(state);
}
