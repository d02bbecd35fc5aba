/* expect: exit 7, stderr matching ^atexit$ */
/*
 * exit() from a bound thread while others hog the processors and main() waits for it.
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
    return say_at_exit() || start_hogs(2, 4) || run_scoped(GREEN_SCOPE_SYSTEM, run);
}
