/*
 * Cancellation: cleanup handlers and what else runs at a thread's end; green_once(); and kernel threads of the program's.
 */
#include "cancel.h"

#include <pthread.h>

TestSuite(cancel_handlers, .timeout = LIMIT);

static int order[16];
static atomic_int length;

static void note(void *arg)
{
    order[atomic_fetch_add(&length, 1)] = (int)(long)arg;
}

static pthread_key_t key;

static __attribute__((noinline)) void innermost(int by_exit)
{
    green_cleanup_push(note, (void *)5);
    green_cleanup_push(note, (void *)4);
    green_cleanup_pop(1); /* the first to run */
    green_cleanup_push(note, (void *)99);
    green_cleanup_pop(0);
    if (by_exit)
        green_exit(&key);
    green_cancel(green_self());
    green_testcancel();
    green_cleanup_pop(0);
}

static __attribute__((noinline)) void middle(int by_exit)
{
    char room[500];
    memset(room, by_exit, sizeof room);
    green_cleanup_push(note, (void *)6);
    innermost(room[1]);
    green_cleanup_pop(0);
}

static void *in_order(void *arg)
{
    must(pthread_setspecific(key, (void *)9) == 0);
    green_cleanup_push(note, (void *)8);
    green_cleanup_push(note, (void *)7);
    middle(arg != NULL);
    green_cleanup_pop(0);
    green_cleanup_pop(0);
    return NULL;
}

ON_ALL(cancel_handlers, handlers_come_in_order)
{
    must(pthread_key_create(&key, note) == 0);
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        atomic_store(&length, 0);
        void *result = join_result(spawn_in(scope, in_order, by_exit ? &key : NULL));
        cr_assert_eq(result, by_exit ? (void *)&key : GREEN_CANCELED);
        cr_assert_eq(atomic_load(&length), 6);
        for (int i = 0; i < 6; i++)
            cr_assert_eq(order[i], 4 + i, "%d comes at %d", order[i], i);
    }
}

/* A handler may wait, and is not cancelled again, whatever it says. */
static void wait_in_handler(void *arg)
{
    green_testcancel();
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    must(green_sem_wait(&gate) == 0);
    must(green_usleep(1) == 0);
    atomic_fetch_add(&passed, 1);
    (void)arg;
}

static void *wait_at_the_end(void *arg)
{
    green_cleanup_push(wait_in_handler, NULL);
    must(pthread_setspecific(key, &key) == 0);
    green_sem_wait(&never);
    green_cleanup_pop(0);
    return arg;
}

ON_ALL(cancel_handlers, handlers_are_not_cancelled)
{
    must(pthread_key_create(&key, wait_in_handler) == 0);
    green_t thread = spawn_in(scope, wait_at_the_end, NULL);
    for (int i = 0; i < 3; i++) {
        wait_for(atomic_load(&reached) == i && is_parked(thread));
        must(green_cancel(thread) == 0);
        if (i > 0)
            must(green_sem_post(&gate) == 0);
    }
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 2);
}

/* Cancelled as its destructors run, a thread that returns keeps its result. */
static void *return_with_a_value(void *arg)
{
    must(pthread_setspecific(key, &key) == 0);
    return arg;
}

ON_ALL(cancel_handlers, an_end_is_not_cancelled)
{
    must(pthread_key_create(&key, wait_in_handler) == 0);
    green_t thread = spawn_in(scope, return_with_a_value, &gate);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_cancel(thread) == 0);
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(join_result(thread), &gate);
    cr_assert_eq(atomic_load(&passed), 1);
}

static void exit_with(void *arg)
{
    atomic_fetch_add(&reached, 1);
    green_exit(arg);
}

static void *exit_again(void *arg)
{
    green_cleanup_push(count_pass, &passed);
    green_cleanup_push(exit_with, arg);
    green_exit(NULL);
    green_cleanup_pop(0);
    green_cleanup_pop(0);
    return NULL;
}

static void *exit_in_destructor(void *arg)
{
    must(pthread_setspecific(key, arg) == 0);
    return exit_again(NULL);
}

/* Beyond POSIX. */
ON_BOTH(cancel_handlers, an_exit_within_an_exit)
{
    cr_assert_eq(join_result(spawn(exit_again, &gate)), &gate);
    cr_assert_eq(atomic_load(&reached), 1);
    cr_assert_eq(atomic_load(&passed), 1);
    must(pthread_key_create(&key, exit_with) == 0);
    cr_assert_eq(join_result(spawn(exit_in_destructor, &mutex)), &mutex);
    cr_assert_eq(atomic_load(&reached), 3);
    cr_assert_eq(atomic_load(&passed), 2);
}

/* Kernel threads of the program's own. */

static green_t foreign_id;

static void *foreign_waits(void *arg)
{
    foreign_id = green_self();
    green_cleanup_push(count_pass, &passed);
    atomic_fetch_add(&reached, 1);
    green_sem_wait(&never);
    green_cleanup_pop(0);
    return arg;
}

Test(cancel_handlers, a_foreign_thread)
{
    pthread_t thread;
    void *result;

    begin(1);
    must(pthread_create(&thread, NULL, foreign_waits, NULL) == 0);
    wait_for(atomic_load(&reached) == 1 && is_parked(foreign_id));
    cr_assert_eq(green_cancel(foreign_id), 0);
    green_blocking_enter();
    must(pthread_join(thread, &result) == 0);
    green_blocking_leave();
    cr_assert_eq(result, GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
    cr_assert_eq(green_cancel(foreign_id), ESRCH);
}

static green_once_t once = GREEN_ONCE_INIT;

static void wait_in_once(void)
{
    atomic_fetch_add(&reached, 1);
    green_sem_wait(&gate);
    atomic_fetch_add(&passed, 1);
}

static void *call_once(void *arg)
{
    green_once(&once, wait_in_once);
    return arg;
}

/* The next one runs the routine. */
ON_ALL(cancel_handlers, a_cancelled_once_begins_anew)
{
    green_t first = spawn_in(scope, call_once, NULL);
    wait_for(atomic_load(&reached) == 1 && is_parked(first));
    green_t second = spawn_in(scope, call_once, NULL);
    wait_for(is_parked(second));
    must(green_cancel(second) == 0); /* waiting for it is no point */
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_cancel(first) == 0);
    cr_assert_eq(join_result(first), GREEN_CANCELED);
    cr_assert_eq(join_result(second), GREEN_CANCELED);
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(green_once(&once, wait_in_once), 0);
    cr_assert_eq(atomic_load(&reached), 3);
    cr_assert_eq(atomic_load(&passed), 1);
}
