/* expect: signal SEGV, stderr matching ^[^\n]*digger[^\n]*[67][0-9]{4}[^\n]*0x[0-9a-f]+[^\n]*$ */
/*
 * Recursion without end on a thread with a name: one line says whose stack of what size (as asked, or rounded up)
 * overflowed where.
 */
#include "common.h"

int main(void)
{
    return overflow(GREEN_SCOPE_PROCESS);
}
