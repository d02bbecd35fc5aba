#include <green.h>
#include <stdio.h>
#include <unistd.h>

/* A thread that waits for signals, which no handler then interrupts. */
static void *watch(void *arg)
{
    int signal_number;

    if (green_sigwait(arg, &signal_number) == 0)
        printf("signal %d\n", signal_number);
    return NULL;
}

int main(void)
{
    sigset_t set;
    green_t thread;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    green_sigmask(SIG_BLOCK, &set, NULL); /* new threads inherit it */
    if (green_create(&thread, NULL, watch, &set) != 0)
        return 1;
    kill(getpid(), SIGTERM);
    return green_join(thread, NULL);
}
