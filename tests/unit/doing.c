/*
 * What a thread is doing now: see doing.h.
 */
#include "doing.h"

#include <stdio.h>
#include <sys/syscall.h>

#include "core/table.h"

int is_parked(green_t id)
{
    const struct thread *thread = table_find(id);

    return thread && atomic_load(&thread->state) == THREAD_PARKED;
}

int is_reading(green_t id, int fd)
{
    char path[64];
    unsigned long call, from;
    const struct thread *thread = table_find(id);
    const struct worker *worker = __atomic_load_n(&thread->worker, __ATOMIC_ACQUIRE);

    if (!worker) /* it has never run */
        return 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", worker->tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 1;
    const int known = fscanf(file, "%lu %lx", &call, &from) == 2;
    fclose(file);
    return known && call == SYS_read && from == (unsigned long)fd;
}
