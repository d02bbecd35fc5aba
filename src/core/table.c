/*
 * The thread table: thread structures by index, never unmapped and never used for anything else.
 *
 * So any thread may look at a structure whose thread has ended, and finds out by its generation.  An id is the
 * generation in the upper half and the index plus one in the lower.
 */
#include "core/table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "core/sched.h"

struct thread *_Atomic table_chunks[TABLE_CHUNKS];
static _Atomic uint32_t used;
static struct lock table_lock;

uint32_t table_count(void)
{
    return atomic_load_explicit(&used, memory_order_acquire);
}

static struct thread *new_chunk(uint32_t index)
{
    void *chunk = mmap(NULL, TABLE_CHUNK * sizeof(struct thread), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (chunk == MAP_FAILED)
        return NULL;
    atomic_store_explicit(&table_chunks[index / TABLE_CHUNK], chunk, memory_order_release);
    return chunk;
}

struct thread *table_new(int *error)
{
    struct thread *thread = NULL;

    lock_acquire(&table_lock, RANK_TABLE);
    uint32_t index = atomic_load(&used);
    if (index == (uint32_t)TABLE_CHUNK * TABLE_CHUNKS) {
        *error = EAGAIN;
    } else if (index % TABLE_CHUNK == 0 && !atomic_load(&table_chunks[index / TABLE_CHUNK]) && !new_chunk(index)) {
        *error = ENOMEM;
    } else {
        thread = table_at(index);
        thread->index = index;
        atomic_store(&thread->life, LIFE_FREE);
        atomic_store_explicit(&used, index + 1, memory_order_release);
    }
    lock_release(&table_lock, RANK_TABLE);
    return thread;
}

struct thread *table_find(green_t id)
{
    uint32_t index = (uint32_t)id - 1;

    if (index >= table_count())
        return NULL;
    struct thread *thread = table_at(index);
    uint64_t life = atomic_load_explicit(&thread->life, memory_order_acquire);
    return life >> 32 == id >> 32 && (uint32_t)life != LIFE_FREE ? thread : NULL;
}

void table_fork_reset(void)
{
    table_lock.word = 0;
}

/* The lock is for the thread's side of it, whichever that is. */
static int copy_name(char *to, size_t bytes, const char *from)
{
    int error = ERANGE;

    lock_acquire(&table_lock, RANK_TABLE);
    if (strnlen(from, bytes) < bytes) {
        strcpy(to, from);
        error = 0;
    }
    lock_release(&table_lock, RANK_TABLE);
    return error;
}

int green_setname_np(green_t id, const char *name)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    struct thread *thread = table_find(id);
    int error = !thread ? ESRCH : !name ? EINVAL : copy_name(thread->name, NAME_BYTES, name);
    leave(self);
    return error;
}

int green_getname_np(green_t id, char *buffer, size_t bytes)
{
    struct thread *self = enter();

    if (!self)
        return ENOMEM;
    const struct thread *thread = table_find(id);
    int error = !thread ? ESRCH : !buffer ? EINVAL : copy_name(buffer, bytes, thread->name);
    leave(self);
    return error;
}
