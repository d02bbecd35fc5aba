/* expect: signal ILL, stderr empty */
/*
 * A fault is not deferred: a thread that blocks its signal, which has a handler, is ended by it, and so is the
 * process.
 */
#include <green.h>

#include <unistd.h>

static void never(int number)
{
    _exit(number);
}

static void *run(void *arg)
{
    sigset_t set;
    sigfillset(&set);
    if (green_sigmask(SIG_BLOCK, &set, NULL))
        _exit(1);
    __builtin_trap();
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = never};
    green_t thread;
    if (green_sigaction(SIGILL, &action, NULL))
        return 1;
    return green_create(&thread, NULL, run, NULL) || green_join(thread, NULL);
}
