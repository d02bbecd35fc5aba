/*
 * A program outside the tree, in C++: the headers compile there, exceptions and thread_local destructors work on a
 * thread of the installed library, and a hog ends only if it is preempted.
 */
#include <green.h>
#include <green/call.h>
#include <green/debug.h>
#include <green/sched.h>
#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>

namespace
{
std::atomic<bool> released;
std::atomic<int> destroyed;
green_once_t once = GREEN_ONCE_INIT;
green_mutex_t mutex = GREEN_RECURSIVE_MUTEX_INITIALIZER_NP;
green_cond_t cond = GREEN_COND_INITIALIZER;
int caught;

struct Local {
    std::string text = "some text that is too long for the small string optimisation";
    ~Local()
    {
        destroyed++;
    }
};

thread_local Local local;

void *throw_and_catch(void *)
{
    try {
        throw std::runtime_error(local.text);
    } catch (const std::exception &) {
        green_mutex_lock(&mutex);
        caught++;
        green_cond_signal(&cond);
        green_mutex_unlock(&mutex);
    }
    return nullptr;
}

void *hog(void *)
{
    while (!released)
        ;
    return nullptr;
}
} // namespace

int main()
{
    constexpr int threads = 16;
    green_t hog_thread, thread[threads];
    int failed = green_once(&once, [] {}) | green_create(&hog_thread, nullptr, hog, nullptr);

    for (auto &each : thread)
        failed |= green_create(&each, nullptr, throw_and_catch, nullptr);
    if (failed)
        return 1;
    green_mutex_lock(&mutex);
    while (caught < threads)
        green_cond_wait(&cond, &mutex);
    green_mutex_unlock(&mutex);
    for (auto &each : thread)
        failed |= green_join(each, nullptr);
    released = true;
    failed |= green_join(hog_thread, nullptr);

    std::cout << caught << " exceptions caught, " << destroyed << " thread_local objects destroyed\n";
    return failed || destroyed != threads;
}
