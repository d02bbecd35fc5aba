/*
 * What happens when there is no more: creating a thread fails with an error number, and everything else goes on.
 */
#include "unit.h"

#include <stdio.h>
#include <sys/resource.h>

TestSuite(limits, .timeout = LIMIT);

/* A sanitizer's own mappings are terabytes: no limit that lets it live could be reached. */
#if !defined(__SANITIZE_ADDRESS__)

enum { MANY = 20000, ROOM = 512 << 20 };

static green_sem_t gate;
static green_t threads[MANY];

static void *wait_at_gate(void *arg)
{
    must(green_sem_wait(&gate) == 0);
    return arg;
}

/* The address space in use, in bytes. */
static rlim_t mapped(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * 4096;
}

/* Of those that could start the library: any may be the first. */
Test(limits, first_calls)
{
    int before;
    struct rlimit limit = {mapped() + (64 << 10), RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    const int errors[] = {green_create(&threads[0], NULL, wait_at_gate, NULL),
                          green_setcancelstate(GREEN_CANCEL_DISABLE, &before)};
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    for (int i = 0; i < 2; i++)
        cr_assert(errors[i] == ENOMEM || errors[i] == EAGAIN, "call %d: %d", i, errors[i]);
    start(2);
    cr_assert_eq(green_sem_init(&gate, 0, 1), 0);
    join_result(spawn(wait_at_gate, NULL));
}

ON_BOTH(limits, address_space)
{
    cr_assert_eq(green_sem_init(&gate, 0, 0), 0);
    struct rlimit limit = {mapped() + ROOM, RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    int made = 0, error = 0;
    while (made < MANY && (error = green_create(&threads[made], NULL, wait_at_gate, NULL)) == 0)
        made++;
    cr_assert(error == ENOMEM || error == EAGAIN, "the limit leaves no room for %d stacks", MANY);
    cr_assert_gt(made, 1000);
    for (int i = 0; i < made; i++)
        cr_assert_eq(green_sem_post(&gate), 0);
    for (int i = 0; i < made; i++)
        join_result(threads[i]);
    cr_assert_eq(green_sem_post(&gate), 0);
    join_result(spawn(wait_at_gate, NULL)); /* on a stack of those that have ended */
}

#endif
