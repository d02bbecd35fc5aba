/*
 * Ends of threads in C++: the stack is unwound by green_exit() and by cancellation, through destructors, cleanup
 * handlers and catch clauses.
 */
#include "unit.h"

#include <cxxabi.h>
#include <pthread.h>

#include <string>
#include <vector>

namespace {

std::vector<std::string> *notes; /* of one thread at a time */
green_sem_t never;

struct Noted {
    const char *name;
    explicit Noted(const char *of) : name(of)
    {
    }
    ~Noted()
    {
        notes->push_back(name);
    }
};

thread_local Noted own{"thread_local"};

void note(void *name)
{
    notes->push_back(static_cast<const char *>(name));
}

void *text(const char *of)
{
    return const_cast<char *>(of);
}

void leave(bool by_exit)
{
    if (by_exit)
        green_exit(&never);
    green_sem_wait(&never);
}

__attribute__((noinline)) void inner(bool by_exit)
{
    Noted first("inner");
    green_cleanup_push(note, text("handler of inner"));
    Noted second("within");
    leave(by_exit);
    green_cleanup_pop(0);
}

__attribute__((noinline)) void caught(bool by_exit)
{
    Noted object("caught");
    try {
        inner(by_exit);
        must(false);
    } catch (const std::string &) {
        must(false);
    } catch (...) {
        notes->push_back("catch all");
        throw;
    }
}

/* libstdc++ has no object for what it lets this clause catch, and UBSan objects. */
__attribute__((no_sanitize("undefined"))) void *outer(void *arg)
{
    must(std::string(own.name) == "thread_local");
    green_cleanup_push(note, text("handler of outer"));
    Noted object("outer");
    try {
        caught(arg != nullptr);
        must(false);
    } catch (abi::__forced_unwind &) {
        notes->push_back("forced");
        throw;
    }
    green_cleanup_pop(0);
    return nullptr;
}

void in_order(int scope)
{
    const std::vector<std::string> expected = {"within", "handler of inner", "inner",            "catch all",   "caught",
                                               "forced", "outer",            "handler of outer", "thread_local"};

    must(green_sem_init(&never, 0, 0) == 0);
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        std::vector<std::string> found;
        notes = &found;
        green_t thread = spawn_in(scope, outer, by_exit ? &never : nullptr);
        if (!by_exit)
            must(green_cancel(thread) == 0);
        void *result = join_result(thread);
        cr_assert(result == (by_exit ? static_cast<void *>(&never) : GREEN_CANCELED));
        for (size_t i = 0; i < found.size() || i < expected.size(); i++)
            cr_assert(i < found.size() && i < expected.size() && found[i] == expected[i], "at %zu: %s", i,
                      i < found.size() ? found[i].c_str() : "nothing");
    }
}

void throw_it(int)
{
    throw std::string("own");
}

void *throws(void *arg)
{
    try {
        green_cleanup_push(note, text("handler"));
        throw_it(0);
        green_cleanup_pop(0);
    } catch (const std::string &what) {
        must(what == "own");
    }
    green_cleanup_push(note, text("popped"));
    green_cleanup_pop(1);
    green_cleanup_push(note, text("not popped"));
    green_cleanup_pop(0);
    return arg;
}

/* Destructors that take long enough to be preempted in, while another thread's stack is unwound. */
struct Slow {
    std::string text;
    explicit Slow(unsigned depth) : text(depth + 20, 'x')
    {
    }
    ~Slow()
    {
        spin_ns(5000);
    }
};

void leave_with(void *result)
{
    void (*volatile leave)(void *) = green_exit;
    leave(result);
}

__attribute__((noinline)) void exit_from(unsigned depth, void *result)
{
    Slow slow(depth);
    if (depth == 0)
        leave_with(result);
    else
        exit_from(depth - 1, result);
    must(slow.text.size() == depth + 20);
}

void *exit_deep(void *arg)
{
    exit_from(static_cast<unsigned>(reinterpret_cast<uintptr_t>(arg) % 9), arg);
    return nullptr;
}

void exit_step(unsigned index, uint64_t round)
{
    void *result = reinterpret_cast<void *>((round << 8) + index + 1);
    must(join_result(spawn(exit_deep, result)) == result);
}

} // namespace

TestSuite(cancel_cxx, .timeout = LIMIT);

ON_BOTH(cancel_cxx, destructors_in_order)
{
    in_order(GREEN_SCOPE_PROCESS);
}

ON_BOTH(cancel_cxx, destructors_in_order_bound)
{
    in_order(GREEN_SCOPE_SYSTEM);
}

ON_BOTH(cancel_cxx, an_exception_runs_handlers)
{
    std::vector<std::string> found;

    notes = &found;
    for (int scope : {GREEN_SCOPE_PROCESS, GREEN_SCOPE_SYSTEM}) {
        found.clear();
        join_result(spawn_in(scope, throws, nullptr));
        cr_assert(found.size() == 2 && found[0] == "handler" && found[1] == "popped");
    }
}

ON_BOTH(cancel_cxx, unwinding_under_ticks)
{
    storm(exit_step);
}
