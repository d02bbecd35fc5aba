/* env: GREEN_PROCS=banana */
/* expect: exit failure, stderr matching ^[^\n]*GREEN_PROCS[^\n]*banana[^\n]*1[^0-9\n][^\n]*1,?024[^\n]*$ */
/*
 * A first call other than green_init() cannot report a bad setting: it says so, with what would be accepted, and
 * ends.
 */
#include <green.h>

int main(void)
{
    return green_self() == 0;
}
