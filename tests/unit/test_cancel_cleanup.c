/*
 * Cleanups of C, compiled with exceptions (see the Makefile): __attribute__((cleanup)) runs as the stack is unwound, in
 * one order with cleanup handlers.
 */
#include "unit.h"

#include <green/cancel.h>

TestSuite(cancel_cleanup, .timeout = LIMIT);

static int order[16], length;

static void note(void *arg)
{
    order[length++] = (int)(long)arg;
}

static void note_variable(int *variable)
{
    order[length++] = *variable;
}

static void leave(int by_exit)
{
    if (by_exit)
        green_exit(&length);
    green_cancel(green_self());
    green_testcancel();
}

static __attribute__((noinline)) void inner(int by_exit)
{
    int last __attribute__((cleanup(note_variable))) = 3;

    green_cleanup_push(note, (void *)2);
    int first __attribute__((cleanup(note_variable))) = 1;
    leave(by_exit);
    must(first == last);
    green_cleanup_pop(1);
}

static void *outer(void *arg)
{
    green_cleanup_push(note, (void *)4);
    inner(arg != NULL);
    green_cleanup_pop(0);
    return NULL;
}

static void in_order(int scope)
{
    green_attr_t attr;
    green_t thread;

    must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        length = 0;
        must(green_create(&thread, &attr, outer, by_exit ? &attr : NULL) == 0);
        cr_assert_eq(join_result(thread), by_exit ? (void *)&length : GREEN_CANCELED);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(order[i], i + 1, "%d comes at %d", order[i], i);
        cr_assert_eq(length, 4, "%d", length);
    }
}

ON_BOTH(cancel_cleanup, in_order)
{
    in_order(GREEN_SCOPE_PROCESS);
}

ON_BOTH(cancel_cleanup, in_order_bound)
{
    in_order(GREEN_SCOPE_SYSTEM);
}
