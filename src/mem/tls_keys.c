/*
 * pthread_key values of green threads.
 *
 * libc keeps a thread's values in its TLS block and runs their destructors when a kernel thread ends, which a green
 * thread does not.  So the creation of keys is wrapped to learn the destructors, and they are run here, by libc's
 * rules: the value is set to NULL first, and rounds repeat while destructors set new ones,
 * PTHREAD_DESTRUCTOR_ITERATIONS times.  What is set after that is dropped: the block has a next thread.
 */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <threads.h>

#include "base/base.h"
#include "mem/interpose.h"
#include "mem/tls.h"

typedef void destructor(void *);

/* By key.  no_destructor for a key without: its values must still not reach the next thread. */
static _Atomic(destructor *) destructors[PTHREAD_KEYS_MAX];
static _Atomic unsigned keys_used; /* one more than the highest key */

static void no_destructor(void *value)
{
    (void)value;
}

static void note_key(unsigned key, destructor *run)
{
    unsigned used = atomic_load(&keys_used);

    if (key >= PTHREAD_KEYS_MAX)
        return;
    atomic_store(&destructors[key], run ? run : no_destructor);
    while (used <= key && !atomic_compare_exchange_weak(&keys_used, &used, key + 1))
        continue;
}

/* Take every value, for its destructor or, in the last round's wake, for nobody. */
static bool run_round(bool drop)
{
    unsigned used = atomic_load_explicit(&keys_used, memory_order_acquire);
    bool any = false;

    for (unsigned key = 0; key < used; key++) {
        destructor *run = atomic_load_explicit(&destructors[key], memory_order_relaxed);
        void *value = run ? pthread_getspecific(key) : NULL;
        if (value) {
            pthread_setspecific(key, NULL);
            if (!drop)
                run(value);
            any = true;
        }
    }
    return any;
}

void tls_run_key_destructors(void)
{
    bool any = true;

    for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && any; round++) {
        any = run_round(false);
        any |= tls_run_own_keys();
    }
    if (any)
        run_round(true);
    tls_drop_own_keys();
}

/* A sanitizer's value is its idea of the thread, and outlives it as the TLS block does. */
void tls_keys_init(void)
{
    for (unsigned key = 0; key < atomic_load(&keys_used); key++) {
        destructor *run = atomic_load(&destructors[key]);
        if (run && run != no_destructor && tls_in_sanitizer((const void *)run))
            atomic_store(&destructors[key], NULL);
    }
}

/* In place of libc's. */
GREEN_API int pthread_key_create(pthread_key_t *key, destructor *run)
{
    int error = REAL(pthread_key_create)(key, run);

    if (!error)
        note_key(*key, run);
    return error;
}

/* libstdc++'s name for it. */
GREEN_API int __pthread_key_create(pthread_key_t *key, destructor *run);
GREEN_API int __pthread_key_create(pthread_key_t *key, destructor *run)
{
    return pthread_key_create(key, run);
}

GREEN_API int pthread_key_delete(pthread_key_t key)
{
    if (key < PTHREAD_KEYS_MAX)
        atomic_store(&destructors[key], NULL);
    return REAL(pthread_key_delete)(key);
}

GREEN_API int tss_create(tss_t *key, tss_dtor_t run)
{
    int error = REAL(tss_create)(key, run);

    if (error == thrd_success)
        note_key(*key, run);
    return error;
}

GREEN_API void tss_delete(tss_t key)
{
    if (key < PTHREAD_KEYS_MAX)
        atomic_store(&destructors[key], NULL);
    REAL(tss_delete)(key);
}
