#include <green.h>
#include <green/debug.h>
#include <stdio.h>

static void *work(void *arg)
{
    for (int i = 0; i < 100; i++)
        green_yield();
    return arg;
}

static int count(const struct green_run *run, void *arg)
{
    (void)run;
    ++*(int *)arg;
    return 0;
}

int main(void)
{
    green_t threads[2];
    int runs = 0;

    if (green_trace_start(100000) != 0)
        return 1;
    for (int i = 0; i < 2; i++)
        if (green_create(&threads[i], NULL, work, NULL) != 0)
            return 1;
    for (int i = 0; i < 2; i++)
        green_join(threads[i], NULL);
    green_trace_stop();
    green_trace_visit(count, &runs);
    printf("%d runs, see timeline.svg\n", runs);
    return green_timeline("timeline.svg", "two threads") || !runs;
}
