/* The kernel's futex, private to the process. */
#ifndef FUTEX_H
#define FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

/* One call for both operations; errno is the caller's to save. */
static inline long futex_call(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *time)
{
    return syscall(SYS_futex, word, operation, value, time, NULL, FUTEX_BITSET_MATCH_ANY);
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
