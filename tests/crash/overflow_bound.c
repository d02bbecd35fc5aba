/* expect: signal SEGV, stderr matching ^[^\n]*digger[^\n]*[67][0-9]{4}[^\n]*0x[0-9a-f]+[^\n]*$ */
/*
 * Recursion without end on a bound thread, whose stack is libc's: the same line.
 */
#include "common.h"

int main(void)
{
    return overflow(GREEN_SCOPE_SYSTEM);
}
