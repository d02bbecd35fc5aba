#include <errno.h>
#include <green.h>
#include <stdio.h>
#include <time.h>

/* Wait for one for at most a tenth of a second. */
int main(void)
{
    green_sem_t sem;
    struct timespec until;

    if (green_sem_init(&sem, 0, 0) != 0)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (green_sem_clockwait(&sem, CLOCK_MONOTONIC, &until) != 0) {
        if (errno == ETIMEDOUT) {
            puts("nobody gave one");
            return 0;
        }
        if (errno != EINTR)
            return 1;
    }
    return 1;
}
