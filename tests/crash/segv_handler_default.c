/* expect: signal SEGV, stderr matching ^once$ */
/*
 * A fault whose handler resets the action (SA_RESETHAND) and returns to the instruction: the second one ends the
 * process, with the status of the fault.
 */
#include <green.h>

#include <unistd.h>

static void once(int number)
{
    (void)number;
    if (write(STDERR_FILENO, "once\n", 5) != 5)
        _exit(1);
}

static void *run(void *arg)
{
    *(volatile int *)arg = 1;
    return arg;
}

int main(void)
{
    struct sigaction action = {.sa_handler = once, .sa_flags = (int)SA_RESETHAND};
    green_t thread;
    if (green_sigaction(SIGSEGV, &action, NULL))
        return 1;
    return green_create(&thread, NULL, run, (void *)4096) || green_join(thread, NULL);
}
