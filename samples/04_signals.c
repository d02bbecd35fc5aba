/*
 * A signal handler that takes a lock, and the thread that it interrupts.
 *
 * A ledger is kept under a mutex.  Every SIGUSR1 asks for its total.  A handler in the plain form runs on the thread
 * that it interrupts: when that thread is just booking, the handler waits for a mutex whose owner waits for the
 * handler, for ever.  With GREEN_SA_THREAD the handler is a thread of its own: it waits, the owner books on and
 * unlocks, the total is told.
 *
 * Both forms run in a child process.  A watchdog, a thread like the others, ends the one that makes no progress: it
 * can, since a deadlock of two leaves everybody else running.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <green/sched.h>

#include "common.h"

enum { ACCOUNTS = 1000, QUESTIONS = 20, SECONDS = 2 };

struct outcome {
    unsigned asked, answered, wrong;
    bool deadlock;
};

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static long ledger[ACCOUNTS];
static atomic_uint answered, wrong;
static atomic_bool booking, over;

/* The total is 0 whenever nobody is booking. */
static long total(void)
{
    long sum = 0;
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        sum += ledger[i];
    }
    return sum;
}

static void answer(int signal_number)
{
    (void)signal_number;
    MUST(green_mutex_lock(&mutex));
    atomic_fetch_add(&wrong, total() != 0);
    MUST(green_mutex_unlock(&mutex));
    atomic_fetch_add(&answered, 1);
}

/* Books from account to account; between the two halves of a booking the handler finds the mutex locked. */
static void *book(void *arg)
{
    while (!atomic_load(&over)) {
        MUST(green_mutex_lock(&mutex));
        atomic_store(&booking, true);
        for (unsigned i = 1; i < ACCOUNTS; i++) {
            ledger[i - 1]--;
            for (volatile unsigned thinking = 0; thinking < 100; thinking++) {
            }
            ledger[i]++;
        }
        atomic_store(&booking, false);
        MUST(green_mutex_unlock(&mutex));
        green_yield();
    }
    return arg;
}

/* Waits for the answer; true when there was none for a long time. */
static bool watch(unsigned expected)
{
    for (uint64_t start = now_ns(); atomic_load(&answered) < expected;) {
        if (now_ns() - start > SECONDS * UINT64_C(1000000000)) {
            return true;
        }
        green_usleep(1000);
    }
    return false;
}

static void ask(const void *settings, void *result)
{
    struct sigaction action;
    struct outcome *outcome = result;
    memset(&action, 0, sizeof action);
    action.sa_handler = answer;
    action.sa_flags = *(const int *)settings;
    start_library(1, true);
    must(green_sigaction(SIGUSR1, &action, NULL) ? errno : 0, "green_sigaction");
    green_t thread = start_thread("booking", book, NULL);
    for (outcome->asked = 0; outcome->asked < QUESTIONS && !outcome->deadlock;) {
        while (!atomic_load(&booking)) {
            green_usleep(100); /* it must be caught in the act */
        }
        MUST(green_kill(thread, SIGUSR1));
        outcome->deadlock = watch(++outcome->asked);
    }
    outcome->answered = atomic_load(&answered);
    outcome->wrong = atomic_load(&wrong);
    if (!outcome->deadlock) { /* else nobody will ever join it */
        atomic_store(&over, true);
        MUST(green_join(thread, NULL));
    }
}

static struct outcome run(const char *name, int flags)
{
    struct outcome outcome = {0, 0, 0, false};
    if (in_child(ask, &flags, &outcome, sizeof outcome)) {
        exit(EXIT_FAILURE);
    }
    printf("%-16s %2u asked, %2u answered%s\n", name, outcome.asked, outcome.answered,
           outcome.deadlock ? ", then the handler and the thread it interrupted waited for each other" : "");
    return outcome;
}

int main(void)
{
    struct outcome plain = run("plain handler", 0), thread = run("GREEN_SA_THREAD", GREEN_SA_THREAD);
    bool as_expected = plain.deadlock && !thread.deadlock && thread.answered == QUESTIONS && thread.wrong == 0;
    return as_expected ? EXIT_SUCCESS : EXIT_FAILURE;
}
