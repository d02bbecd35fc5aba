/*
 * Keys: values of each thread's own, with destructors.
 *
 * A key is an entry of one table, whose sequence number is odd while the key exists and counts its lives; a value
 * carries the number that its key had when it was set, so a value of a deleted key is nobody's when the entry is used
 * again, without a look at every thread.  A thread's values lie in blocks that are made when the first value of theirs is
 * set, and freed at its end, after the rounds of destructors that libc's keys have (tls_keys.c): both kinds in the same
 * rounds, so a destructor of either may set a value of the other.
 *
 * Rejected: a name for libc's keys.  The library needs one of those for itself, so a program would find one less than
 * PTHREAD_KEYS_MAX.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <green.h>

#include "base/base.h"
#include "mem/tls.h"

enum { BLOCK = 32, BLOCKS = GREEN_KEYS_MAX / BLOCK };

typedef void destructor(void *);

static struct {
    _Atomic uint32_t sequence;
    _Atomic(destructor *) run;
} keys[GREEN_KEYS_MAX];

struct value {
    void *value;
    uint32_t sequence;
};

struct values {
    struct value first[BLOCK];
    struct value *more[BLOCKS - 1];
};

static __thread struct values *own_values;

static bool exists(uint32_t sequence)
{
    return sequence & 1;
}

int green_key_create(green_key_t *key, destructor *run)
{
    if (!key)
        return EINVAL;
    for (unsigned i = 0; i < GREEN_KEYS_MAX; i++) {
        uint32_t sequence = atomic_load(&keys[i].sequence);
        if (exists(sequence) || !atomic_compare_exchange_strong(&keys[i].sequence, &sequence, sequence + 1))
            continue;
        atomic_store(&keys[i].run, run); /* nobody knows the key yet */
        *key = i;
        return 0;
    }
    return EAGAIN;
}

int green_key_delete(green_key_t key)
{
    if (key >= GREEN_KEYS_MAX)
        return EINVAL;
    uint32_t sequence = atomic_load(&keys[key].sequence);
    if (!exists(sequence) || !atomic_compare_exchange_strong(&keys[key].sequence, &sequence, sequence + 1))
        return EINVAL;
    return 0;
}

/* NULL: no value of its block was ever set. */
static struct value *find(struct values *values, unsigned key)
{
    if (!values)
        return NULL;
    struct value *block = key < BLOCK ? values->first : values->more[key / BLOCK - 1];
    return block ? &block[key % BLOCK] : NULL;
}

/* The same, made; NULL without memory. */
static struct value *make(unsigned key)
{
    struct values *values = own_values;

    if (!values)
        values = own_values = calloc(1, sizeof *values);
    if (values && key >= BLOCK && !values->more[key / BLOCK - 1])
        values->more[key / BLOCK - 1] = calloc(BLOCK, sizeof(struct value));
    return find(values, key);
}

void *green_getspecific(green_key_t key)
{
    if (unlikely(key >= GREEN_KEYS_MAX))
        return NULL;
    const struct value *value = find(own_values, key);
    return value && value->sequence == atomic_load_explicit(&keys[key].sequence, memory_order_relaxed) ? value->value
                                                                                                       : NULL;
}

int green_setspecific(green_key_t key, const void *pointer)
{
    if (key >= GREEN_KEYS_MAX)
        return EINVAL;
    const uint32_t sequence = atomic_load_explicit(&keys[key].sequence, memory_order_relaxed);
    if (!exists(sequence))
        return EINVAL;
    struct value *value = find(own_values, key);
    if (unlikely(!value)) {
        int saved_errno = errno;
        if (!pointer)
            return 0;
        if (!green_self()) /* a kernel thread of the program's joins, so that its end is noticed */
            return ENOMEM;
        value = make(key);
        errno = saved_errno;
        if (!value)
            return ENOMEM;
    }
    *value = (struct value){(void *)(uintptr_t)pointer, sequence};
    return 0;
}

static bool run_block(struct value *block, unsigned first_key)
{
    bool any = false;

    for (unsigned i = 0; block && i < BLOCK; i++) {
        void *pointer = block[i].value;
        destructor *run = atomic_load(&keys[first_key + i].run);
        if (!pointer)
            continue;
        block[i].value = NULL;
        if (block[i].sequence != atomic_load(&keys[first_key + i].sequence) || !run)
            continue;
        run(pointer);
        any = true;
    }
    return any;
}

bool tls_run_own_keys(void)
{
    struct values *values = own_values;

    if (likely(!values))
        return false;
    bool any = run_block(values->first, 0);
    for (unsigned i = 1; i < BLOCKS; i++)
        any |= run_block(values->more[i - 1], i * BLOCK);
    return any;
}

void tls_drop_own_keys(void)
{
    struct values *values = own_values;

    if (likely(!values))
        return;
    own_values = NULL;
    for (unsigned i = 1; i < BLOCKS; i++)
        free(values->more[i - 1]);
    free(values);
}
