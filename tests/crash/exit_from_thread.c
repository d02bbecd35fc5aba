/* expect: exit 7, stderr matching ^atexit$ */
/*
 * exit() from a thread while others hog the processors and main() waits: handlers run, the status is the caller's.
 */
#include "common.h"

#include <stdlib.h>

static void *run(void *arg)
{
    green_usleep(20000);
    exit(arg ? 1 : 7);
}

int main(void)
{
    return say_at_exit() || start_hogs(2, 4) || run_scoped(GREEN_SCOPE_PROCESS, run);
}
