/* expect: signal ABRT, stderr matching ^handled$ */
/*
 * abort() runs the handler for SIGABRT, on the thread that called it, and ends the process although it returns.
 */
#include <green.h>

#include <stdlib.h>
#include <unistd.h>

static green_t aborting;

static void handle(int number)
{
    if (number != SIGABRT || !green_equal(green_self(), aborting) || write(STDERR_FILENO, "handled\n", 8) != 8)
        _exit(1);
}

static void *run(void *arg)
{
    aborting = green_self();
    green_yield();
    abort();
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handle};
    green_t thread;
    if (green_sigaction(SIGABRT, &action, NULL))
        return 1;
    return green_create(&thread, NULL, run, NULL) || green_join(thread, NULL);
}
