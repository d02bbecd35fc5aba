/*
 * Two threads change a variable, and nothing orders them: a detector of races must say so.  Run by tests/race/run.
 *
 * They meet at a barrier, so that each runs before the other has ended.  A program's own loop is preempted, so with one
 * processor, too, the two run by turns.
 *
 * races bound: one of them is bound, so that they are on different kernel threads for sure.
 */
#include <stdio.h>
#include <string.h>

#include <green.h>

enum { ROUNDS = 10000 };

static volatile int raced; /* else a loop keeps it in a register */
static green_barrier_t both;

static void *racer(void *arg)
{
    green_barrier_wait(&both);
    for (int i = 0; i < ROUNDS; i++) {
        raced++;
        if (i % 100 == 0)
            green_yield();
    }
    return arg;
}

int main(int argc, char **argv)
{
    green_t threads[2];
    green_attr_t bound;

    if (green_barrier_init(&both, NULL, 2) != 0 || green_attr_init(&bound) != 0 ||
        green_attr_setscope(&bound, GREEN_SCOPE_SYSTEM) != 0)
        return 1;
    for (int i = 0; i < 2; i++)
        if (green_create(&threads[i], i == 0 && argc > 1 && strcmp(argv[1], "bound") == 0 ? &bound : NULL, racer, NULL) != 0)
            return 1;
    for (int i = 0; i < 2; i++)
        if (green_join(threads[i], NULL) != 0)
            return 1;
    printf("raced: %d\n", raced);
    return 0;
}
