/*
 * Two threads that send each other a signal on two channels without a buffer; a round trip is two meetings.
 */
#include <green/chan.h>

#include "bench.h"

static green_chan_t *ping, *pong;

static void *serve(void *arg)
{
    for (unsigned i = *(const unsigned *)arg; i > 0; i--) {
        green_chan_send(ping, NULL);
        green_chan_recv(pong, NULL);
    }
    return NULL;
}

static void *answer(void *arg)
{
    for (unsigned i = *(const unsigned *)arg; i > 0; i--) {
        green_chan_recv(ping, NULL);
        green_chan_send(pong, NULL);
    }
    return NULL;
}

static void batch(unsigned ops)
{
    green_t a, b;

    bench_must(green_create(&a, NULL, serve, &ops), "create");
    bench_must(green_create(&b, NULL, answer, &ops), "create");
    green_join(a, NULL);
    green_join(b, NULL);
}

void bench_channel(void)
{
    bench_must(green_chan_create(&ping, 0, 0), "channel");
    bench_must(green_chan_create(&pong, 0, 0), "channel");
    bench_report("channel", bench_ns_per_op(batch, 20000), "ns");
}
