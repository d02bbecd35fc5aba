/*
 * A program that refers to green_getcpuclockid(), but asks for no clock until a thread has ended its work: what the
 * thread has used was counted all the same.
 *
 * The process works for WORK.  The monitor's part of that depends on the machine, so of the threads' a tenth is enough:
 * what was not counted from the start is a few microseconds.
 */
#include <green.h>
#include <stdio.h>

#define WORK 0.05 /* s */

static double seconds(clockid_t clock)
{
    struct timespec time = {0, 0};

    if (green_clock_gettime(clock, &time) != 0)
        return -1;
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *work(void *arg)
{
    double begun = seconds(CLOCK_PROCESS_CPUTIME_ID);
    clockid_t clock;

    while (seconds(CLOCK_PROCESS_CPUTIME_ID) < begun + WORK)
        green_yield();
    if (green_getcpuclockid(green_self(), &clock) != 0)
        return NULL;
    *(double *)arg = seconds(clock);
    return arg;
}

int main(void)
{
    double used[2] = {0, 0};
    green_t threads[2];
    void *results[2] = {NULL, NULL};
    int failed = 0;

    for (int i = 0; i < 2; i++)
        failed |= green_create(&threads[i], NULL, work, &used[i]);
    for (int i = 0; i < 2 && !failed; i++)
        failed = green_join(threads[i], &results[i]);
    printf("%.3f and %.3f s of %.3f\n", used[0], used[1], seconds(CLOCK_PROCESS_CPUTIME_ID));
    return failed || !results[0] || !results[1] || used[0] + used[1] < WORK / 10 ||
           used[0] + used[1] > seconds(CLOCK_PROCESS_CPUTIME_ID);
}
