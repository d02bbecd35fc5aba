/* expect: signal ABRT, stderr matching nobody's */
/*
 * An exception that leaves a thread's start function ends the program as it does on a POSIX thread: std::terminate.
 */
#include <green.h>

#include <stdexcept>

static void *run(void *)
{
    green_yield();
    throw std::runtime_error("nobody's");
}

int main()
{
    green_t thread;
    return green_create(&thread, nullptr, run, nullptr) || green_join(thread, nullptr);
}
