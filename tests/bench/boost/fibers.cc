/*
 * The driver of Boost.Fiber's rows: the same shapes as the rows in C, on the one kernel thread a fiber scheduler has.
 *
 * Stacks come from Boost's pool, which makes creating a fiber several times faster than the default allocator does.
 * Fibers are not preempted, so there is no row for ticks, and the heartbeat of `lateness` can only be counted.
 */
#include <boost/fiber/all.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "bench.h"

namespace fibers = boost::fibers;
using std::chrono::milliseconds;

namespace {

fibers::pooled_fixedsize_stack stacks;

template <typename Function> fibers::fiber start(Function function)
{
    return fibers::fiber(std::allocator_arg, stacks, function);
}

void yield_batch(unsigned ops)
{
    auto yielder = [ops] {
        for (unsigned i = 0; i < ops / 2; i++)
            boost::this_fiber::yield();
    };
    fibers::fiber a = start(yielder), b = start(yielder);

    a.join();
    b.join();
}

void create_batch(unsigned ops)
{
    while (ops-- > 0)
        start([] {}).join();
}

fibers::mutex mutex;

void mutex_batch(unsigned ops)
{
    while (ops-- > 0) {
        mutex.lock();
        mutex.unlock();
    }
}

fibers::condition_variable changed;
int turn;

void play(int side, unsigned rounds)
{
    std::unique_lock<fibers::mutex> lock(mutex);

    for (unsigned i = 0; i < rounds; i++) {
        changed.wait(lock, [side] { return turn == side; });
        turn = !side;
        changed.notify_one();
    }
}

void pingpong_batch(unsigned ops)
{
    fibers::fiber a = start([ops] { play(0, ops); }), b = start([ops] { play(1, ops); });

    a.join();
    b.join();
}

/* One second of a hog beside a heartbeat: "never", unless a beat was made meanwhile. */
void lateness()
{
    bool done = false;
    unsigned beats = 0, beats_beside = 0;
    fibers::fiber heartbeat = start([&] {
        while (!done) {
            boost::this_fiber::sleep_for(milliseconds(1));
            beats++;
        }
    });
    fibers::fiber hog = start([&] {
        unsigned before = beats;
        std::uint64_t sum = 1, end = bench_now_ns() + 1000000000u;

        while (bench_now_ns() < end && sum != 0)
            sum = bench_compute(sum, 1000);
        beats_beside = beats - before;
        done = true;
    });

    hog.join();
    heartbeat.join();
    bench_must(beats_beside != 0, "boost: a heartbeat beside a hog that never yields");
    std::puts("late_p50 never us\nlate_p99 never us\nlate_beats 0 beats");
}

void parked()
{
    unsigned count = bench_threads(), waiting = 0;
    bool leaving = false;
    fibers::condition_variable one_more, leave;
    std::vector<fibers::fiber> all(count + 1);
    auto park = [&] {
        std::unique_lock<fibers::mutex> lock(mutex);

        waiting++;
        one_more.notify_one();
        leave.wait(lock, [&] { return leaving; });
    };
    auto make = [&](unsigned from, unsigned to) {
        for (unsigned i = from; i < to; i++)
            all[i] = start(park);
        std::unique_lock<fibers::mutex> lock(mutex);
        one_more.wait(lock, [&] { return waiting == to; });
    };

    make(0, 1);
    double before = bench_memory_bytes();
    std::uint64_t begin = bench_now_ns();
    make(1, count + 1);
    double elapsed = static_cast<double>(bench_now_ns() - begin);
    bench_report("park_bytes", (bench_memory_bytes() - before) / count, "bytes");
    bench_report("park_ns", elapsed / count, "ns");
    bench_report("park_count", count, "threads");

    begin = bench_now_ns();
    leaving = true;
    leave.notify_all();
    for (fibers::fiber &fiber : all)
        fiber.join();
    bench_report("park_leave_ns", static_cast<double>(bench_now_ns() - begin) / count, "ns");
}

const struct {
    const char *name;
    void (*run)();
} rows[] = {
    {"yield", [] { bench_report_switch("yield", yield_batch, 100000); }},
    {"create", [] { bench_report("create", bench_ns_per_op(create_batch, 1000), "ns"); }},
    {"mutex", [] { bench_report("mutex", bench_ns_per_op(mutex_batch, 100000), "ns"); }},
    {"pingpong", [] { bench_report("pingpong", bench_ns_per_op(pingpong_batch, 20000), "ns"); }},
    {"lateness", lateness},
    {"parked", parked},
};

} // namespace

int main(int argc, char **argv)
{
    for (const auto &row : rows) {
        if (argc == 2 && std::strcmp(argv[1], row.name) == 0) {
            row.run();
            return 0;
        }
    }
    std::fprintf(stderr, "usage: %s yield|create|mutex|pingpong|lateness|parked\n", argv[0]);
    return 2;
}
