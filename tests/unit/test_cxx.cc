/*
 * C++ on green threads: exceptions, thread_local with constructors and destructors, strings and streams, all across
 * ticks and changes of kernel thread.
 */
#include "unit.h"

#include <atomic>
#include <exception>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::atomic<int> destroyed{0};

int depth_of(const std::string &text)
{
    return std::stoi(text.substr(text.find(' ') + 1));
}

struct Spinning {
    ~Spinning()
    {
        spin_ns(5000);
    }
};

/* Unwinds through frames whose destructors take long enough to be preempted in. */
__attribute__((noinline)) void throw_from(unsigned depth, unsigned index)
{
    Spinning spinning;
    std::string local(depth + 1, 'x');
    if (depth == 0)
        throw std::runtime_error("thread " + std::to_string(index));
    throw_from(depth - 1, index);
    must(local.size() == depth + 1);
}

/* While one exception is handled another is thrown and caught; what is current is each thread's own. */
void exception_step(unsigned index, uint64_t round)
{
    must(std::uncaught_exceptions() == 0);
    try {
        throw_from(static_cast<unsigned>(round % 8), index);
        must(false);
    } catch (const std::runtime_error &outer) {
        must(depth_of(outer.what()) == static_cast<int>(index));
        try {
            throw static_cast<int>(index);
        } catch (int number) {
            green_yield();
            must(number == static_cast<int>(index));
        }
        try {
            green_yield();
            throw;
        } catch (const std::exception &again) {
            must(&again == &outer);
            must(depth_of(again.what()) == static_cast<int>(index));
        }
    }
    must(!std::current_exception());
}

struct Counted {
    std::string text = "constructed";
    green_t owner = green_self();

    ~Counted()
    {
        must(green_equal(owner, green_self()));
        must(text == "changed by " + std::to_string(owner));
        destroyed++;
    }
};

thread_local Counted counted;

void *use_counted(void *how)
{
    must(counted.text == "constructed");
    counted.text = "changed by " + std::to_string(green_self());
    green_yield();
    spin_ns(200000);
    if (how)
        green_exit(how);
    return how;
}

void string_step(unsigned index, uint64_t round)
{
    std::vector<std::string> words;
    for (uint64_t i = 0; i < 20; i++)
        words.push_back(std::string(static_cast<size_t>(i + round % 30), static_cast<char>('a' + index)));
    std::string all;
    for (const auto &word : words)
        all += word;
    must(all.find_first_not_of(static_cast<char>('a' + index)) == std::string::npos);
    must(all.size() == 190 + 20 * (round % 30));
}

void stream_step(unsigned index, uint64_t round)
{
    std::ostringstream out;
    out << index << ' ' << round << ' ' << 0.5 << ' ' << std::hex << 255;
    std::istringstream in(out.str());
    unsigned found_index;
    uint64_t found_round;
    double half;
    std::string hex;
    must(static_cast<bool>(in >> found_index >> found_round >> half >> hex));
    must(found_index == index && found_round == round && half == 0.5 && hex == "ff");
}

/* An exception made on one thread and thrown again on another. */
struct Carrier {
    std::exception_ptr exception;
};

void *capture(void *arg)
{
    try {
        throw_from(3, 7);
    } catch (...) {
        static_cast<Carrier *>(arg)->exception = std::current_exception();
    }
    return nullptr;
}

green_once_t once = GREEN_ONCE_INIT;
int attempts;

void throwing_routine()
{
    if (++attempts < 3)
        throw std::logic_error("not yet");
}

int slow_initial_value()
{
    spin_ns(1000000);
    return ++attempts;
}

/* The guard of a static: who comes second waits in the kernel, while the one inside has been preempted. */
void *use_static(void *arg)
{
    static const int value = slow_initial_value();
    must(value == 1);
    return arg;
}

} // namespace

TestSuite(cxx, .timeout = LIMIT);

ON_BOTH(cxx, exceptions)
{
    storm(exception_step);
}

ON_BOTH(cxx, exceptions_travel)
{
    for (int i = 0; i < 100; i++) {
        Carrier carrier;
        join_result(spawn(capture, &carrier));
        bool caught = false;
        try {
            std::rethrow_exception(carrier.exception);
        } catch (const std::runtime_error &error) {
            caught = depth_of(error.what()) == 7;
        }
        cr_assert(caught);
    }
}

ON_BOTH(cxx, thread_local_destructors)
{
    enum { COUNT = 40 };
    green_t threads[COUNT];
    int here;
    for (int i = 0; i < COUNT; i++)
        threads[i] = spawn(use_counted, i % 2 ? &here : nullptr);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(join_result(threads[i]), i % 2 ? static_cast<void *>(&here) : nullptr);
    cr_assert_eq(destroyed.load(), COUNT);
}

ON_BOTH(cxx, strings)
{
    storm(string_step);
}

ON_BOTH(cxx, streams)
{
    storm(stream_step);
}

ON_BOTH(cxx, once_left_by_an_exception)
{
    int thrown = 0;
    for (int i = 0; i < 5; i++) {
        try {
            cr_assert_eq(green_once(&once, throwing_routine), 0);
        } catch (const std::logic_error &) {
            thrown++;
        }
    }
    cr_assert_eq(thrown, 2);
    cr_assert_eq(attempts, 3);
}

ON_BOTH(cxx, local_static)
{
    green_t threads[4];
    for (auto &thread : threads)
        thread = spawn(use_static, nullptr);
    for (auto thread : threads)
        join_result(thread);
    cr_assert_eq(attempts, 1);
}
