/* Thread structures by index and by id.  See table.c. */
#ifndef TABLE_H
#define TABLE_H

#include "core/thread.h"

/* A structure that nobody uses yet, or NULL: EAGAIN (no more indices) or ENOMEM. */
struct thread *table_new(int *error);

/* The living thread of that id, or the ended one that nobody has joined; NULL when there is none. */
struct thread *table_find(green_t id);

enum { TABLE_CHUNK = 256, TABLE_CHUNKS = 65536 }; /* 16,777,216 threads */
extern struct thread *_Atomic table_chunks[TABLE_CHUNKS];

static inline struct thread *table_at(uint32_t index)
{
    return atomic_load_explicit(&table_chunks[index / TABLE_CHUNK], memory_order_acquire) + index % TABLE_CHUNK;
}

uint32_t table_count(void);

/* In the child of a fork: nobody holds the table's lock. */
void table_fork_reset(void);

#endif
