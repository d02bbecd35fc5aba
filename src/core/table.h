/* Thread structures by index and by id.  See table.c. */
#ifndef TABLE_H
#define TABLE_H

#include "core/thread.h"

/* A structure that nobody uses yet, or NULL: EAGAIN (no more indices) or ENOMEM. */
struct thread *table_new(int *error);

/* The living thread of that id, or the ended one that nobody has joined; NULL when there is none. */
struct thread *table_find(green_t id);

struct thread *table_at(uint32_t index);
uint32_t table_count(void);

/* In the child of a fork: nobody holds the table's lock. */
void table_fork_reset(void);

#endif
