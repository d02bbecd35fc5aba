/* expect: signal ABRT, stderr matching ^libgreen: a thread's end was caught and not thrown on$ */
/*
 * A catch clause that keeps a thread from ending ends the program, as it does on a POSIX thread.
 */
#include <green.h>

static void *run(void *)
{
    try {
        green_exit(nullptr);
    } catch (...) {
    }
    return nullptr;
}

int main()
{
    green_t thread;
    return green_create(&thread, nullptr, run, nullptr) || green_join(thread, nullptr);
}
