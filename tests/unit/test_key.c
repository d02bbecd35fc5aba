/*
 * Keys: values of each thread's own, destructors and their rounds.
 */
#include "unit.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

TestSuite(key, .timeout = LIMIT);

static atomic_int destroyed;
static green_key_t key, other;
static pthread_key_t libc_key;

static void count(void *value)
{
    must(value != NULL && green_getspecific(key) == NULL);
    atomic_fetch_add(&destroyed, 1);
}

static void *use(void *arg)
{
    must(green_getspecific(key) == NULL);
    must(green_setspecific(key, arg) == 0);
    for (int i = 0; i < 20; i++) {
        green_yield();
        must(green_getspecific(key) == arg);
    }
    return arg;
}

ON_BOTH(key, is_each_threads_own)
{
    enum { COUNT = 100 };
    green_t threads[COUNT];
    cr_assert_eq(green_key_create(&key, count), 0);
    green_setspecific(key, &destroyed);
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(use, &threads[i]);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(join_result(threads[i]), &threads[i]);
    cr_assert_eq(destroyed, COUNT);
    cr_assert_eq(green_getspecific(key), &destroyed);
    cr_assert_eq(green_key_delete(key), 0);
}

/* On a block that another thread has left, too. */
ON_BOTH(key, begins_null)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    for (int i = 0; i < 500; i++)
        join_result(spawn(use, &key));
    cr_assert_eq(destroyed, 500);
}

static void *exit_with_value(void *arg)
{
    green_setspecific(key, arg);
    green_exit(arg);
}

ON_BOTH(key, destructor_runs_at_exit)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    cr_assert_eq(join_result(spawn(exit_with_value, &key)), &key);
    cr_assert_eq(destroyed, 1);
}

static void *use_null(void *arg)
{
    green_setspecific(key, &key);
    green_setspecific(key, NULL);
    return arg;
}

ON_BOTH(key, null_is_not_destroyed)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    join_result(spawn(use_null, NULL));
    cr_assert_eq(destroyed, 0);
}

static void set_again(void *value)
{
    atomic_fetch_add(&destroyed, 1);
    must(green_setspecific(key, value) == 0);
}

ON_BOTH(key, rounds_are_limited)
{
    cr_assert_eq(green_key_create(&key, set_again), 0);
    for (int i = 0; i < 20; i++) {
        destroyed = 0;
        join_result(spawn(exit_with_value, &key));
        cr_assert_eq(destroyed, GREEN_DESTRUCTOR_ITERATIONS);
    }
}

static void set_libcs(void *value)
{
    atomic_fetch_add(&destroyed, 1);
    must(pthread_setspecific(libc_key, value) == 0);
}

static void set_ours(void *value)
{
    atomic_fetch_add(&destroyed, 1);
    must(green_setspecific(key, value) == 0);
}

static void *begin_rounds(void *arg)
{
    must(green_setspecific(key, arg) == 0);
    return arg;
}

/* One kind sets the other; both end in the same rounds. */
ON_BOTH(key, rounds_are_shared_with_libcs_keys)
{
    cr_assert_eq(green_key_create(&key, set_libcs), 0);
    cr_assert_eq(pthread_key_create(&libc_key, set_ours), 0);
    join_result(spawn(begin_rounds, &key));
    cr_assert(destroyed >= GREEN_DESTRUCTOR_ITERATIONS && destroyed <= 2 * GREEN_DESTRUCTOR_ITERATIONS, "%d",
              destroyed);
    join_result(spawn(use_null, NULL));
}

ON_BOTH(key, of_a_deleted_key_nothing_is_left)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    cr_assert_eq(green_setspecific(key, &key), 0);
    green_key_t before = key;
    cr_assert_eq(green_key_delete(key), 0);
    cr_assert_null(green_getspecific(before));
    cr_assert_eq(green_key_create(&other, count), 0);
    cr_assert_eq(before, other, "else this shows nothing");
    cr_assert_null(green_getspecific(other));
    cr_assert_eq(destroyed, 0);
}

static void *hold_deleted(void *arg)
{
    green_setspecific(key, arg);
    must(green_key_delete(key) == 0);
    return arg;
}

ON_BOTH(key, deleting_runs_no_destructor)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    join_result(spawn(hold_deleted, &key));
    cr_assert_eq(destroyed, 0);
}

static void *use_many(void *arg)
{
    green_key_t *keys = arg;
    for (unsigned i = 0; i < GREEN_KEYS_MAX; i++)
        must(green_setspecific(keys[i], &keys[i]) == 0);
    for (unsigned i = 0; i < GREEN_KEYS_MAX; i++)
        must(green_getspecific(keys[i]) == &keys[i]);
    return arg;
}

static void count_only(void *value)
{
    (void)value;
    atomic_fetch_add(&destroyed, 1);
}

ON_BOTH(key, as_many_as_promised)
{
    static green_key_t keys[GREEN_KEYS_MAX];
    cr_assert_geq(GREEN_KEYS_MAX, PTHREAD_KEYS_MAX);
    for (unsigned i = 0; i < GREEN_KEYS_MAX; i++)
        cr_assert_eq(green_key_create(&keys[i], count_only), 0, "number %u", i);
    cr_assert_eq(green_key_create(&key, NULL), EAGAIN);
    join_result(spawn(use_many, keys));
    cr_assert_eq(destroyed, GREEN_KEYS_MAX);
    for (unsigned i = 0; i < GREEN_KEYS_MAX; i++)
        cr_assert_eq(green_key_delete(keys[i]), 0);
    cr_assert_eq(green_key_create(&key, NULL), 0);
}

Test(key, errors)
{
    green_key_t *volatile none = NULL;
    cr_assert_eq(green_key_create(none, NULL), EINVAL);
    cr_assert_eq(green_key_create(&key, NULL), 0);
    cr_assert_eq(green_key_delete(key), 0);
    cr_assert_eq(green_key_delete(key), EINVAL);
    cr_assert_eq(green_setspecific(key, &key), EINVAL);
    cr_assert_null(green_getspecific(key));
    cr_assert_eq(green_key_delete(GREEN_KEYS_MAX), EINVAL);
    cr_assert_eq(green_setspecific(GREEN_KEYS_MAX, &key), EINVAL);
    cr_assert_null(green_getspecific(GREEN_KEYS_MAX));
}

static green_t create_bound(void *(*routine)(void *), void *arg)
{
    green_attr_t attr;
    green_t thread;
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    must(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

ON_BOTH(key, on_bound_and_foreign_threads)
{
    cr_assert_eq(green_key_create(&key, count), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t foreign;
        cr_assert_eq(join_result(create_bound(use, &key)), &key);
        cr_assert_eq(pthread_create(&foreign, NULL, use, &key), 0);
        cr_assert_eq(pthread_join(foreign, NULL), 0);
        cr_assert_eq(destroyed, 2 * (i + 1));
    }
}

static void come_and_go(unsigned index, uint64_t round)
{
    green_key_t mine;
    must(green_key_create(&mine, NULL) == 0);
    must(green_getspecific(mine) == NULL);
    must(green_setspecific(mine, &mine) == 0);
    must(green_setspecific(key, (void *)(uintptr_t)(index + round + 1)) == 0);
    green_yield();
    must(green_getspecific(mine) == &mine);
    must(green_getspecific(key) == (void *)(uintptr_t)(index + round + 1));
    must(green_key_delete(mine) == 0);
}

ON_BOTH(key, storm)
{
    cr_assert_eq(green_key_create(&key, NULL), 0);
    storm(come_and_go);
}
