/* How the kernel schedules the calling kernel thread: sched_getattr() and sched_setattr(), which older libcs do not have. */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's struct sched_attr, which some libcs have as well. */
struct kernel_sched {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period; /* ns */
};

/* 0, or -1 and errno. */
static inline int kernel_sched_get(struct kernel_sched *sched)
{
    *sched = (struct kernel_sched){.size = sizeof *sched}; /* Valgrind does not see what the kernel writes */
    return (int)syscall(SYS_sched_getattr, 0, sched, sizeof *sched, 0);
}

static inline int kernel_sched_set(const struct kernel_sched *sched)
{
    return (int)syscall(SYS_sched_setattr, 0, sched, 0);
}

#endif
