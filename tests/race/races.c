/*
 * Two threads change a variable, and nothing orders them: a detector of races must say so.  Run by tests/race/run.
 *
 * They meet at a barrier, and neither gets ahead of the other by more than a few rounds, which is told by atomics that
 * order nothing: one that is held up at its first round would else find the other's all over.
 *
 * races bound: one of them is bound, so that they are on different kernel threads for sure.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <green.h>

enum { ROUNDS = 10000, AHEAD = 100 };

static volatile int raced; /* else a loop keeps it in a register */
static green_barrier_t both;
static atomic_int rounds[2];

static void *racer(void *arg)
{
    const int me = *(const int *)arg;

    green_barrier_wait(&both);
    for (int i = 0; i < ROUNDS; i++) {
        raced++;
        atomic_store_explicit(&rounds[me], i + 1, memory_order_relaxed);
        while (i > atomic_load_explicit(&rounds[!me], memory_order_relaxed) + AHEAD)
            green_yield();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int which[2] = {0, 1};
    green_t threads[2];
    green_attr_t bound;

    if (green_barrier_init(&both, NULL, 2) != 0 || green_attr_init(&bound) != 0 ||
        green_attr_setscope(&bound, GREEN_SCOPE_SYSTEM) != 0)
        return 1;
    for (int i = 0; i < 2; i++)
        if (green_create(&threads[i], i == 0 && argc > 1 && strcmp(argv[1], "bound") == 0 ? &bound : NULL, racer,
                         &which[i]) != 0)
            return 1;
    for (int i = 0; i < 2; i++)
        if (green_join(threads[i], NULL) != 0)
            return 1;
    printf("raced: %d\n", raced);
    return 0;
}
