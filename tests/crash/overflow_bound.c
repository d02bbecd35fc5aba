/* expect: signal SEGV, stderr matching ^[^\n]*digger[^\n]*[67][0-9]{4}[^\n]*0x[0-9a-f]+[^\n]*$ */
/*
 * Recursion without end on a bound thread, whose stack is libc's: the same line.
 */
#include <green.h>

#include <stdint.h>

static volatile int bottom;

static __attribute__((noinline)) int dig(int depth)
{
    volatile char room[200];
    room[depth % 200] = 1;
    if (bottom)
        return depth;
    return dig(depth + 1) + room[depth % 200];
}

static void *run(void *arg)
{
    return (void *)(intptr_t)dig(arg != NULL);
}

int main(void)
{
    green_attr_t attr;
    green_t thread;
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    green_attr_setstacksize(&attr, 65536);
    green_attr_setname_np(&attr, "digger");
    return green_create(&thread, &attr, run, NULL) || green_join(thread, NULL);
}
