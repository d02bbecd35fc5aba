/* expect: signal SEGV, stderr matching ^[^\n]*stack overflow in thread "digger"[^\n]*$ */
/*
 * A handler for SIGSEGV that wants an alternate stack, of which the thread has none, cannot run on a stack that has
 * overflown: the overflow is reported as if there were no handler.
 */
#include <green.h>

#include <unistd.h>

static volatile int bottom;

static void never(int number)
{
    _exit(number);
}

static __attribute__((noinline)) int dig(int depth)
{
    volatile char room[1000];
    room[0] = (char)depth;
    return depth == bottom ? room[0] : dig(depth + 1) + room[0];
}

static void *run(void *arg)
{
    bottom = -1;
    return dig(0) ? arg : NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = never, .sa_flags = SA_ONSTACK};
    green_attr_t attr;
    green_t thread;
    if (green_sigaction(SIGSEGV, &action, NULL))
        return 1;
    green_attr_init(&attr);
    green_attr_setname_np(&attr, "digger");
    return green_create(&thread, &attr, run, NULL) || green_join(thread, NULL);
}
