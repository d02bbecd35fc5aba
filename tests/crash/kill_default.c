/* expect: signal TERM, stderr matching ^it was held$ */
/*
 * A signal without a handler is kept while everybody blocks it, and ends the process when one thread opens its mask.
 */
#include <green.h>
#include <green/sched.h>

#include <unistd.h>

static void *run(void *arg)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    kill(getpid(), SIGTERM);
    do { /* the kernel may give it to a worker that waits for a CPU */
        green_usleep(1000);
        green_sigpending(&pending);
    } while (!sigismember(&pending, SIGTERM));
    if (write(STDERR_FILENO, "it was held\n", 12) == 12)
        green_sigmask(SIG_UNBLOCK, &set, NULL);
    return arg;
}

int main(void)
{
    sigset_t set;
    green_t thread;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (green_sigmask(SIG_BLOCK, &set, NULL))
        return 1;
    return green_create(&thread, NULL, run, NULL) || green_join(thread, NULL);
}
