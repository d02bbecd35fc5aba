/*
 * The donor provider: a real pthread, created on our stack, gives up its kernel thread; its block is ours.
 *
 * Before it leaves, the kernel must forget the addresses it knows of the block: the rseq area, the robust list and
 * the tid that it would clear.  libc keeps the block on its list of threads, which brings the static TLS of libraries
 * opened later; the tid there is made unique, so that a setuid() that signals every listed thread meets nobody.
 *
 * Signals are blocked in the new thread alone, by its attribute.  Were they blocked around the call, no tick could
 * come while it waits for a lock of libc's, and the holder may be a thread that waits for this processor.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/futex.h"
#include "mem/tls.h"

struct donation {
    _Atomic uint32_t done;
    void *tp;
};

/* Where the kernel may write what it would have written into the block. */
static struct {
    void *head[3];
    int tid;
} nobody;

static void *donate(void *arg)
{
    struct donation *donation = arg;
    char *tp = arch_thread_pointer();

    tls_unregister_rseq(tp);
    syscall(SYS_set_robust_list, nobody.head, sizeof nobody.head);
    syscall(SYS_set_tid_address, &nobody.tid);
    if (tls_layout.tid) {
        int tid = tls_unique_tid();
        memcpy(tp + tls_layout.tid, &tid, sizeof tid);
    }
    errno = 0;
    donation->tp = tp;
    arch_leave_kernel_thread((uint32_t *)&donation->done);
}

int tls_donor_create(const struct stack *stack, void **tp)
{
    struct donation donation = {0, NULL};
    sigset_t all;
    pthread_attr_t attr;
    pthread_t thread;

    nobody.head[0] = nobody.head;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstack(&attr, stack->low, stack->bytes - sizeof(struct tls_block));
    sigfillset(&all);
    pthread_attr_setsigmask_np(&attr, &all);
    int error = pthread_create(&thread, &attr, donate, &donation);
    pthread_attr_destroy(&attr);
    if (error)
        return error;
    while (!atomic_load(&donation.done))
        futex_wait(&donation.done, 0, NEVER);
    *tp = donation.tp;
    return 0;
}
