/*
 * What POSIX has besides: the attributes of threads created without, functions at forks, the scheduler's small calls.
 */
#include "unit.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(posix, .timeout = LIMIT);

static void *own_attributes(void *arg)
{
    must(green_getattr_np(green_self(), arg) == 0);
    return arg;
}

ON_BOTH(posix, default_attributes)
{
    green_attr_t attr, got;
    size_t bytes, before;
    int state;
    char name[16];
    cr_assert_eq(green_getattr_default_np(&attr), 0);
    cr_assert_eq(green_attr_getstacksize(&attr, &before), 0);
    join_result(spawn(own_attributes, &got));
    green_attr_getstacksize(&got, &bytes);
    cr_assert_geq(bytes, before);
    cr_assert_eq(green_attr_setstacksize(&attr, 4 * before), 0);
    green_attr_setname_np(&attr, "by default");
    cr_assert_eq(green_setattr_default_np(&attr), 0);
    cr_assert_eq(green_getattr_default_np(&attr), 0);
    green_attr_getstacksize(&attr, &bytes);
    cr_assert_eq(bytes, 4 * before);
    join_result(spawn(own_attributes, &got));
    green_attr_getstacksize(&got, &bytes);
    cr_assert_geq(bytes, 4 * before);
    green_attr_getname_np(&got, name, sizeof name);
    cr_assert_str_eq(name, "by default");
    green_attr_init(&attr);
    green_attr_getstacksize(&attr, &bytes);
    cr_assert_eq(bytes, before, "the default is for threads created without");
    green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
    cr_assert_eq(green_setattr_default_np(&attr), 0);
    green_t thread = spawn(own_attributes, &got);
    wait_for(green_join(thread, NULL) == ESRCH);
    green_attr_getdetachstate(&got, &state);
    cr_assert_eq(state, GREEN_CREATE_DETACHED);
}

Test(posix, default_attributes_errors)
{
    static char memory[65536];
    green_attr_t attr, *volatile none = NULL;
    cr_assert_eq(green_setattr_default_np(none), EINVAL);
    cr_assert_eq(green_getattr_default_np(none), EINVAL);
    memset(&attr, 0, sizeof attr);
    cr_assert_eq(green_setattr_default_np(&attr), EINVAL);
    green_attr_init(&attr);
    green_attr_setstack(&attr, memory, sizeof memory);
    cr_assert_eq(green_setattr_default_np(&attr), EINVAL, "one stack is not for all");
    green_attr_destroy(&attr);
    cr_assert_eq(green_setattr_default_np(&attr), EINVAL);
}

static char order[10];

static void before_1(void)
{
    strcat(order, "a");
}

static void before_2(void)
{
    strcat(order, "b");
}

static void *echo(void *arg)
{
    return arg;
}

static void parent(void)
{
    strcat(order, "p");
}

/* The library works in it. */
static void child(void)
{
    join_result(spawn(echo, NULL));
    strcat(order, "c");
}

static void *fork_on_a_thread(void *arg)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        must(strcmp(order, "bacc") == 0);
        _exit(0);
    }
    must(strcmp(order, "bapp") == 0);
    must(waitpid(pid, &status, 0) == pid && status == 0);
    return arg;
}

ON_BOTH(posix, atfork)
{
    cr_assert_eq(green_atfork(before_1, parent, child), 0);
    cr_assert_eq(green_atfork(before_2, parent, child), 0);
    cr_assert_eq(green_atfork(NULL, NULL, NULL), 0);
    join_result(spawn(fork_on_a_thread, NULL));
}

static atomic_int turn;

static void *take_turns(void *arg)
{
    const int mine = (int)(uintptr_t)arg;
    for (int i = 0; i < 1000; i++) {
        while (atomic_load(&turn) != mine)
            must(sched_yield() == 0);
        atomic_store(&turn, 1 - mine);
    }
    return NULL;
}

/* Without ticks, libc's name must switch threads, or this never ends. */
Test(posix, sched_yield_of_libcs_name)
{
    start_cooperative();
    green_t other = spawn(take_turns, (void *)1);
    take_turns(NULL);
    join_result(other);
    green_critical_enter();
    cr_assert_eq(sched_yield(), 0);
    green_critical_leave();
    cr_assert_eq(green_sched_yield(), 0);
}

Test(posix, priorities)
{
    static const int policies[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(green_sched_get_priority_max(policies[i]), sched_get_priority_max(policies[i]));
        cr_assert_eq(green_sched_get_priority_min(policies[i]), sched_get_priority_min(policies[i]));
    }
    errno = 0;
    cr_assert_eq(green_sched_get_priority_max(1000), -1);
    cr_assert_eq(errno, EINVAL);
    errno = 0;
    cr_assert_eq(green_sched_get_priority_min(1000), -1);
    cr_assert_eq(errno, EINVAL);
}
