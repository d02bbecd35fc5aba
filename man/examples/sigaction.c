#include <green.h>
#include <stdio.h>

static green_sem_t hangups;

/* What it calls may be called from a handler. */
static void on_hangup(int signal_number)
{
    (void)signal_number;
    green_sem_post(&hangups);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_hangup};

    if (green_sem_init(&hangups, 0, 0) != 0 ||
        green_sigaction(SIGHUP, &action, NULL) != 0)
        return 1;
    green_raise(SIGHUP);
    if (green_sem_wait(&hangups) != 0)
        return 1;
    puts("reading the settings again");
    return 0;
}
