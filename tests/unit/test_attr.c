/*
 * Thread attributes: defaults, bounds, and that a thread is what they say.
 */
#include "unit.h"

#include <stdio.h>

TestSuite(attr, .timeout = LIMIT);

Test(attr, defaults)
{
    green_attr_t attr;
    int state = -1;
    char name[16] = "?";
    cr_assert_eq(green_attr_init(&attr), 0);
    cr_assert_eq(green_attr_getdetachstate(&attr, &state), 0);
    cr_assert_eq(state, GREEN_CREATE_JOINABLE);
    cr_assert_eq(green_attr_getname_np(&attr, name, sizeof name), 0);
    cr_assert_str_empty(name);
    cr_assert_eq(green_attr_destroy(&attr), 0);
}

Test(attr, are_kept)
{
    green_attr_t attr;
    int state;
    size_t bytes;
    char name[16];
    green_attr_init(&attr);
    cr_assert_eq(green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED), 0);
    cr_assert_eq(green_attr_getdetachstate(&attr, &state), 0);
    cr_assert_eq(state, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_attr_setstacksize(&attr, 1 << 20), 0);
    cr_assert_eq(green_attr_getstacksize(&attr, &bytes), 0);
    cr_assert_eq(bytes, 1 << 20);
    cr_assert_eq(green_attr_setname_np(&attr, "fifteen letters"), 0);
    cr_assert_eq(green_attr_getname_np(&attr, name, sizeof name), 0);
    cr_assert_str_eq(name, "fifteen letters");
}

Test(attr, bounds)
{
    green_attr_t attr;
    char small[4];
    green_attr_init(&attr);
    cr_assert_eq(green_attr_setdetachstate(&attr, 2), EINVAL);
    cr_assert_eq(green_attr_setdetachstate(&attr, -1), EINVAL);
    cr_assert_eq(green_attr_setstacksize(&attr, GREEN_STACK_MIN), 0);
    cr_assert_eq(green_attr_setstacksize(&attr, GREEN_STACK_MIN - 1), EINVAL);
    cr_assert_eq(green_attr_setstacksize(&attr, (size_t)1 << 30), 0);
    cr_assert_eq(green_attr_setstacksize(&attr, ((size_t)1 << 30) + 1), EINVAL);
    cr_assert_eq(green_attr_setname_np(&attr, "sixteen letters!"), ERANGE);
    cr_assert_eq(green_attr_setname_np(&attr, "four"), 0);
    cr_assert_eq(green_attr_getname_np(&attr, small, sizeof small), ERANGE);
}

/* Null pointers are refused; volatile, or the compiler warns of them rightly. */
Test(attr, null)
{
    green_attr_t attr, *volatile none = NULL;
    void *volatile nothing = NULL;
    char name[16];
    size_t bytes;
    int state;
    green_attr_init(&attr);
    cr_assert_eq(green_attr_init(none), EINVAL);
    cr_assert_eq(green_attr_destroy(none), EINVAL);
    cr_assert_eq(green_attr_setdetachstate(none, GREEN_CREATE_JOINABLE), EINVAL);
    cr_assert_eq(green_attr_getdetachstate(none, &state), EINVAL);
    cr_assert_eq(green_attr_getdetachstate(&attr, nothing), EINVAL);
    cr_assert_eq(green_attr_setstacksize(none, 1 << 20), EINVAL);
    cr_assert_eq(green_attr_getstacksize(none, &bytes), EINVAL);
    cr_assert_eq(green_attr_getstacksize(&attr, nothing), EINVAL);
    cr_assert_eq(green_attr_setname_np(none, "x"), EINVAL);
    cr_assert_eq(green_attr_setname_np(&attr, nothing), EINVAL);
    cr_assert_eq(green_attr_getname_np(none, name, sizeof name), EINVAL);
    cr_assert_eq(green_attr_getname_np(&attr, nothing, sizeof name), EINVAL);
}

static void *nothing_to_do(void *arg)
{
    return arg;
}

ON_BOTH(attr, uninitialised_is_refused)
{
    green_attr_t attr;
    green_t thread;
    memset(&attr, 0, sizeof attr);
    cr_assert_eq(green_create(&thread, &attr, nothing_to_do, NULL), EINVAL);
}

static void *own_name(void *buffer)
{
    must(green_getname_np(green_self(), buffer, 16) == 0);
    return NULL;
}

ON_BOTH(attr, name_reaches_the_thread)
{
    green_attr_t attr;
    green_t thread;
    char name[16];
    green_attr_init(&attr);
    green_attr_setname_np(&attr, "baptised");
    cr_assert_eq(green_create(&thread, &attr, own_name, name), 0);
    join_result(thread);
    cr_assert_str_eq(name, "baptised");
}

static void *fill(void *bytes)
{
    size_t size = *(size_t *)bytes;
    char room[size];
    memset(room, 0x5a, size);
    __asm__ volatile("" : : "r"(room) : "memory");
    green_yield();
    for (size_t i = 0; i < size; i++)
        must(room[i] == 0x5a);
    return NULL;
}

/* Almost all of a stack must be the thread's: the library keeps little of it for itself. */
ON_BOTH(attr, stack_is_as_large_as_asked)
{
    for (size_t bytes = 65536; bytes <= (size_t)16 << 20; bytes *= 4) {
        green_attr_t attr;
        green_t threads[4];
        size_t use = bytes - 16384;
        green_attr_init(&attr);
        cr_assert_eq(green_attr_setstacksize(&attr, bytes), 0);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(green_create(&threads[i], &attr, fill, &use), 0, "%zu bytes", bytes);
        for (int i = 0; i < 4; i++)
            join_result(threads[i]);
    }
}

static void *say_something(void *arg)
{
    char text[64];
    return snprintf(text, sizeof text, "%d %.3f %s", 1, 2.5, "three") == 13 ? arg : NULL;
}

/* The smallest stack is enough for a tick's frame on top of printf. */
ON_BOTH(attr, smallest_stack)
{
    enum { COUNT = 16, ROUNDS = 200 };
    green_attr_t attr;
    green_t threads[COUNT];
    green_attr_init(&attr);
    cr_assert_eq(green_attr_setstacksize(&attr, GREEN_STACK_MIN), 0);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < COUNT; i++)
            cr_assert_eq(green_create(&threads[i], &attr, say_something, &attr), 0);
        for (int i = 0; i < COUNT; i++)
            cr_assert_eq(join_result(threads[i]), &attr);
    }
}
