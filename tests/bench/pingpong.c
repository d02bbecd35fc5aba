/*
 * Two threads that hand a turn to and fro under a mutex and a condition variable; a round trip is two turns.
 */
#include <green.h>

#include "bench.h"

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t changed = GREEN_COND_INITIALIZER;
static int turn;

struct player {
    int side;
    unsigned rounds;
};

static void *play(void *arg)
{
    const struct player *me = arg;

    green_mutex_lock(&mutex);
    for (unsigned i = 0; i < me->rounds; i++) {
        while (turn != me->side)
            green_cond_wait(&changed, &mutex);
        turn = !me->side;
        green_cond_signal(&changed);
    }
    green_mutex_unlock(&mutex);
    return NULL;
}

static void batch(unsigned ops)
{
    struct player ping = {0, ops}, pong = {1, ops};
    green_t a, b;

    bench_must(green_create(&a, NULL, play, &ping), "create");
    bench_must(green_create(&b, NULL, play, &pong), "create");
    green_join(a, NULL);
    green_join(b, NULL);
}

void bench_pingpong(void)
{
    bench_report("pingpong", bench_ns_per_op(batch, 20000), "ns");
}
