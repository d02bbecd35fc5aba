/*
 * What libc keeps of a thread in its block, and frees when a kernel thread ends.
 *
 * A green thread's block goes on to another thread, with the caches of malloc, which are worth keeping.  But the locale
 * that the thread has chosen (and the program may free), the resolver's settings, with what they refer to, and an error of
 * dlopen() that nobody asked for are not the next one's: it begins with what a thread of libc's begins with.
 *
 * libc's own way there, __libc_thread_freeres(), is hidden, and would give malloc's caches up as well.  Most threads have
 * none of these, so all that they pay for are three tests; at the end, and not at the next beginning, since the locale
 * and the resolver's settings are then freed when the thread that made them is over.
 */
#include <dlfcn.h>
#include <locale.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

#include "base/base.h"
#include "mem/tls.h"

/* glibc's; elsewhere the state is not the thread's own. */
static void (*resolver_close)(struct __res_state *);

void tls_libc_init(void)
{
    resolver_close = (void (*)(struct __res_state *))dlsym(RTLD_DEFAULT, "__res_nclose");
}

/* As after res_init(), and no socket left open; or the program has only set something. */
static __attribute__((noinline)) void resolver_forget(struct __res_state *state)
{
    if (state->nscount)
        resolver_close(state);
    memset(state, 0, sizeof *state);
}

void tls_libc_forget(void)
{
    struct __res_state *state = __res_state();

    if (unlikely(uselocale((locale_t)0) != LC_GLOBAL_LOCALE))
        uselocale(LC_GLOBAL_LOCALE);
    while (unlikely(dlerror() != NULL)) /* the second call frees what the first one gave */
        continue;
    if (unlikely(state->options || state->nscount || state->retry || state->retrans) && resolver_close)
        resolver_forget(state);
}
