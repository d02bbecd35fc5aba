/* The kernel's futex, private to the process. */
#ifndef FUTEX_H
#define FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

/*
 * One call for both operations.  It leaves errno alone: whoever changes the word between the caller's look and the
 * kernel's makes it fail, and that is no more the program's concern than who sleeps here.
 */
static inline void futex_call(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *time)
{
    const int saved_errno = errno;

    syscall(SYS_futex, word, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
    errno = saved_errno;
}

/* Sleep while *word == value, until woken, a signal, or the deadline (ns, or NEVER).  Says not which. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t deadline)
{
    struct timespec time = clock_timespec(deadline);

    futex_call(word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline == NEVER ? NULL : &time);
}

static inline void futex_wake(_Atomic uint32_t *word, int count)
{
    futex_call(word, FUTEX_WAKE_PRIVATE, (uint32_t)count, NULL);
}

#endif
