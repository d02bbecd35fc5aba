/* The pages of stacks that lie unused go back to the system. */
#include <alloca.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

TestSuite(reaper, .timeout = LIMIT);

enum { MANY = 200, DEEP = 128 * 1024 };

static green_sem_t gate;
static atomic_int deep;

static void *go_deep(void *arg)
{
    volatile char *room = alloca(DEEP);

    for (size_t i = 0; i < DEEP; i += 1024)
        room[i] = 1;
    atomic_fetch_add(&deep, 1);
    must(green_sem_wait(&gate) == 0);
    return arg;
}

/* Memory that is really there, in bytes. */
static unsigned long resident(void)
{
    unsigned long pages, there = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert(file && fscanf(file, "%lu %lu", &pages, &there) == 2);
    fclose(file);
    return there * 4096;
}

/* What was resident while all were deep: from the first end on, stacks may be trimmed. */
static unsigned long run_all(void)
{
    green_t threads[MANY];

    atomic_store(&deep, 0);
    for (int i = 0; i < MANY; i++)
        threads[i] = spawn(go_deep, threads);
    wait_for(atomic_load(&deep) == MANY);
    const unsigned long most = resident();
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(green_sem_post(&gate), 0);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(join_result(threads[i]), threads);
    return most;
}

ON_BOTH(reaper, pages_go_back)
{
    cr_assert_eq(green_sem_init(&gate, 0, 0), 0);
    const unsigned long before = run_all();
    wait_for(stats_now().stacks_trimmed >= MANY / 4);
    cr_assert_lt(resident(), before - MANY / 4 * (DEEP / 2));
    run_all(); /* on the same stacks */
    cr_assert_leq(stats_now().stacks_mapped, MANY + 200); /* some lie ready at the other processor */
}
