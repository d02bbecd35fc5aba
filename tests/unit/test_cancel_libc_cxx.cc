/* Cancelled in a call of libc's, a thread's destructors run. */
#include "unit.h"

#include <green/cancel.h>
#include <unistd.h>

#include <atomic>
#include <string>

namespace {

int pipe_ends[2];
std::string *notes; /* of one thread at a time */
std::atomic<bool> begun;

struct Noted {
    const char *name;
    ~Noted()
    {
        *notes += name;
    }
};

__attribute__((noinline)) void read_on()
{
    Noted inner{"inner "};
    char byte;

    begun = true;
    while (read(pipe_ends[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    must(false);
}

void *reader(void *arg)
{
    Noted outer{"outer"};

    try {
        read_on();
    } catch (...) {
        *notes += "caught ";
        throw;
    }
    return arg;
}

} // namespace

static void destructors(int scope, unsigned procs)
{
    green_attr_t attr;

    start(procs);
    must(pipe(pipe_ends) == 0);
    must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
    for (int round = 0; round < 20; round++) {
        std::string text;
        green_t thread;
        notes = &text;
        begun = false;
        must(green_create(&thread, &attr, reader, nullptr) == 0);
        wait_for(begun);
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert(text == "inner caught outer");
    }
}

Test(cancel_libc_cxx, destructors_on_1, .timeout = LIMIT)
{
    destructors(GREEN_SCOPE_PROCESS, 1);
}

Test(cancel_libc_cxx, destructors_on_2, .timeout = LIMIT)
{
    destructors(GREEN_SCOPE_PROCESS, 2);
}

Test(cancel_libc_cxx, destructors_bound, .timeout = LIMIT)
{
    destructors(GREEN_SCOPE_SYSTEM, 2);
}
