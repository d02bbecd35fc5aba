/*
 * A program outside the tree, in C: every public header, threads, locks, a typed call, and a hog that ends only if it
 * is preempted.  Compiled as strict C11 with POSIX, so the headers may not lean on GNU extensions.
 */
#include <green.h>
#include <green/call.h>
#include <green/debug.h>
#include <green/sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { THREADS = 16, ROUNDS = 1000 };

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static int counter;
static atomic_int released;

static void *count(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        green_mutex_lock(&mutex);
        counter++;
        green_mutex_unlock(&mutex);
    }
    return arg;
}

static void *hog(void *arg)
{
    while (!atomic_load(&released))
        ;
    return arg;
}

static double area(double radius, int circles)
{
    return 3 * radius * radius * circles;
}

int main(void)
{
    green_t hog_thread, typed, threads[THREADS];
    double result = 0;
    int failed = green_create(&hog_thread, NULL, hog, NULL);

    for (int i = 0; i < THREADS; i++)
        failed |= green_create(&threads[i], NULL, count, NULL);
    failed |= green_call(&typed, NULL, &result, "d(di)", (void (*)(void))area, 2.0, 3);
    for (int i = 0; i < THREADS && !failed; i++)
        failed = green_join(threads[i], NULL);
    if (!failed)
        failed = green_join(typed, NULL);
    atomic_store(&released, 1);
    if (!failed)
        failed = green_join(hog_thread, NULL);

    printf("%d rounds, area %.0f, TLS by %s, ticks by %s\n", counter, result, green_tls_provider(),
           green_tick_source());
    return failed || counter != THREADS * ROUNDS || result < 36 || result > 36;
}
