/*
 * C++ on green threads: exceptions in flight, containers, streams and thread_local objects, preempted every 100 us
 * and moved between kernel threads.  Every exception is caught where it should be, with its value, and every object
 * is destroyed.
 */
#include <atomic>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <green.h>

extern "C" {
#include "common.h"
}

namespace {

constexpr unsigned threads = 24;

std::atomic<long> made, destroyed, thrown, caught, operations;

struct Counted {
    long value = 0;
    Counted() { made++; }
    ~Counted() { destroyed++; }
};

thread_local Counted own;

/* Throw from a depth that has objects to destroy on the way. */
long descend(unsigned depth, long value)
{
    Counted passenger;
    std::string text(depth * 10 + 1, 'x');

    if (depth == 0) {
        thrown++;
        throw std::runtime_error(std::to_string(value));
    }
    return descend(depth - 1, value) + static_cast<long>(text.size());
}

void exceptions(uint64_t *random)
{
    const long value = stress_random(random) % 100000;

    try {
        descend(stress_random(random) % 20, value);
    } catch (const std::runtime_error &error) {
        try {
            throw; /* two are alive while others throw theirs */
        } catch (const std::exception &again) {
            if (value % 8 == 0)
                green_yield();
            CHECK(std::stol(again.what()) == value && std::stol(error.what()) == value);
        }
        caught++;
    }
}

void containers(uint64_t *random)
{
    std::map<std::string, std::vector<long>> map;

    for (int i = 0; i < 50; i++)
        map["key " + std::to_string(stress_random(random) % 20)].push_back(i);
    size_t total = 0;
    for (const auto &entry : map)
        total += entry.second.size();
    CHECK(total == 50);
}

void streams(uint64_t *random)
{
    const unsigned number = stress_random(random);
    std::stringstream stream;
    unsigned read = 0;

    stream << number << ' ' << 1.5;
    stream >> read;
    CHECK(read == number);
}

void *sub_thread(void *arg)
{
    CHECK(own.value == 0);
    own.value = 7;
    green_yield();
    CHECK(own.value == 7);
    return arg;
}

void thread_locals(uint64_t *)
{
    green_t thread;

    CHECK(green_create(&thread, nullptr, sub_thread, nullptr) == 0);
    CHECK(green_join(thread, nullptr) == 0);
}

void *act(void *arg)
{
    void (*const mix[])(uint64_t *) = {exceptions, exceptions, exceptions, containers, containers,
                                       streams,    streams,    streams,    streams,    thread_locals};
    uint64_t *random = static_cast<uint64_t *>(arg);

    while (stress_goes_on()) {
        mix[stress_random(random) % 10](random);
        operations++;
    }
    return nullptr;
}

} // namespace

int main(int argc, char **argv)
{
    struct stress stress = stress_begin(argc, argv, "cxx");
    static uint64_t random[threads];
    green_t running[threads];

    for (unsigned i = 0; i < threads; i++) {
        random[i] = stress_generator(&stress, i);
        CHECK(green_create(&running[i], nullptr, act, &random[i]) == 0);
    }
    for (unsigned i = 0; i < threads; i++)
        CHECK(green_join(running[i], nullptr) == 0);
    CHECK(thrown == caught && made == destroyed);
    stress_end("cxx", static_cast<uint64_t>(operations));
    return 0;
}
