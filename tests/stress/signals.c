/*
 * Signals of every kind at a changing population of threads, each one accounted for.
 *
 * Threads work, park in every kind of wait, change their masks, wait for signals, end and are made anew; others send
 * standard and real-time signals to threads and to the process, by the library and by the kernel.  In the end
 *
 *     sent = handled + waited for + coalesced + discarded + pending
 *
 * to the last one, by the counts of the programs' handlers and waits, and by the library's.  Only real-time signals
 * go by the kernel, as it does not say how many standard ones it has coalesced.
 */
#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <green.h>
#include <green/sched.h>

enum { SLOTS = 16, SENDERS = 4, STANDARD = 4, REAL_TIME = 4, KINDS = STANDARD + REAL_TIME };

static struct stress stress;
static _Atomic green_t slots[SLOTS];
static atomic_ulong sent, handled, waited, interrupted;
static atomic_bool over, senders_over;
static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static green_sem_t sem;
static __thread int in_handler;
static __thread sigjmp_buf escape;
static __thread char alternate[32768];
static bool faults; /* not under Valgrind, to which each is an error */

static int number_of(unsigned kind)
{
    static const int standard[STANDARD] = {SIGUSR1, SIGUSR2, SIGURG, SIGALRM};

    return kind < STANDARD ? standard[kind] : SIGRTMIN + (int)(kind - STANDARD);
}

static void handler(int number, siginfo_t *info, void *context)
{
    CHECK(info->si_signo == number && context);
    CHECK(++in_handler <= KINDS); /* each masks itself */
    atomic_fetch_add(&handled, 1);
    if (number == SIGUSR2 && !green_kill(green_self(), SIGUSR1)) /* sends from inside */
        atomic_fetch_add(&sent, 1);
    if (number == SIGRTMIN)
        green_yield();
    in_handler--;
}

/* Its handler runs as a thread of its own, and takes a lock. */
static void thread_handler(int number)
{
    CHECK(number == SIGRTMIN + REAL_TIME - 1);
    CHECK(green_mutex_lock(&mutex) == 0);
    CHECK(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&handled, 1);
}

static void fault_handler(int number, siginfo_t *info, void *context)
{
    CHECK(number == SIGSEGV && info->si_addr == (void *)4096 && context);
    atomic_fetch_add(&handled, 1);
    siglongjmp(escape, 1);
}

/* What is sent is what the instruction causes; on the alternate stack when the thread has one now. */
static void fault(uint64_t *random)
{
    const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate,
                           .ss_flags = stress_random(random) % 2 ? SS_DISABLE : 0};
    sigset_t before, after;

    CHECK(green_sigaltstack(&stack, NULL) == 0);
    CHECK(green_sigmask(SIG_BLOCK, NULL, &before) == 0);
    if (sigsetjmp(escape, 1) == 0) {
        atomic_fetch_add(&sent, 1);
        *(volatile int *)4096 = 1;
    }
    CHECK(green_sigmask(SIG_BLOCK, NULL, &after) == 0);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
}

static void set_actions(void)
{
    struct sigaction on_fault = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&on_fault.sa_mask);
    sigaddset(&on_fault.sa_mask, SIGUSR1);
    faults = !stress_under_valgrind();
    CHECK(!faults || green_sigaction(SIGSEGV, &on_fault, NULL) == 0);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct sigaction action = {.sa_sigaction = handler,
                                   .sa_flags = SA_SIGINFO | (kind % 2 ? SA_RESTART : SA_ONSTACK)};
        sigemptyset(&action.sa_mask);
        if (kind == KINDS - 1) {
            action.sa_handler = thread_handler;
            action.sa_flags = GREEN_SA_THREAD;
        }
        CHECK(green_sigaction(number_of(kind), &action, NULL) == 0);
    }
}

static sigset_t random_set(uint64_t *random)
{
    const unsigned density = 1 + stress_random(random) % 3;
    sigset_t set;

    sigemptyset(&set);
    for (unsigned kind = 0; kind < KINDS; kind++)
        if (stress_random(random) % density == 0)
            sigaddset(&set, number_of(kind));
    return set;
}

static void wait_for_signal(uint64_t *random)
{
    const struct timespec soon = {0, stress_random(random) % 300000};
    sigset_t set = random_set(random);
    siginfo_t info;
    int number = green_sigtimedwait(&set, &info, &soon);

    if (number > 0) {
        CHECK(sigismember(&set, number) && info.si_signo == number);
        atomic_fetch_add(&waited, 1);
    } else {
        CHECK(errno == EAGAIN || errno == EINTR);
    }
}

static void wait_on_semaphore(uint64_t *random)
{
    struct timespec when;

    clock_gettime(CLOCK_MONOTONIC, &when);
    when.tv_nsec += stress_random(random) % 300000;
    if (when.tv_nsec >= 1000000000) {
        when.tv_nsec -= 1000000000;
        when.tv_sec++;
    }
    if (stress_random(random) % 2)
        green_sem_post(&sem);
    else if (green_sem_clockwait(&sem, CLOCK_MONOTONIC, &when) != 0) {
        CHECK(errno == ETIMEDOUT || errno == EINTR);
        if (errno == EINTR)
            atomic_fetch_add(&interrupted, 1);
    }
}

static void wait_on_condition(uint64_t *random)
{
    struct timespec when;

    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_nsec += 200000;
    if (when.tv_nsec >= 1000000000) {
        when.tv_nsec -= 1000000000;
        when.tv_sec++;
    }
    CHECK(green_mutex_lock(&mutex) == 0);
    if (stress_random(random) % 2)
        CHECK(green_cond_signal(&cond) == 0);
    else {
        int error = green_cond_timedwait(&cond, &mutex, &when);
        CHECK(error == 0 || error == ETIMEDOUT);
    }
    CHECK(green_mutex_unlock(&mutex) == 0);
}

static void *short_life(void *arg)
{
    unsigned work = 0;

    while (work < 2000)
        work += arg ? 2 : 1;
    green_yield();
    return arg;
}

static void wait_for_thread(uint64_t *random)
{
    void *value = (void *)(uintptr_t)stress_random(random), *result;
    green_t thread;

    CHECK(green_create(&thread, NULL, short_life, value) == 0);
    CHECK(green_join(thread, &result) == 0 && result == value);
}

static void compute(uint64_t *random)
{
    volatile unsigned work = stress_random(random) % 20000;

    while (work > 0)
        work--;
}

static void do_something(uint64_t *random)
{
    sigset_t set = random_set(random);

    switch (stress_random(random) % 11) {
    case 0:
        wait_for_signal(random);
        break;
    case 1:
        wait_on_semaphore(random);
        break;
    case 2:
        wait_on_condition(random);
        break;
    case 3:
        wait_for_thread(random);
        break;
    case 4:
        green_usleep(stress_random(random) % 200);
        break;
    case 5:
        green_yield();
        break;
    case 6:
        compute(random);
        break;
    case 7:
        free(malloc(stress_random(random) % 5000));
        break;
    case 8:
        if (faults)
            fault(random);
        break;
    default:
        CHECK(green_sigmask((int)(stress_random(random) % 3), &set, NULL) == 0);
        break;
    }
}

struct member {
    unsigned slot, generation;
};

/* One life, short or long; then the slot has another thread. */
static void *live(void *arg)
{
    struct member *member = arg;
    uint64_t random = stress_generator(&stress, 1000 + member->slot * 1000003U + member->generation);
    green_t next;

    atomic_store(&slots[member->slot], green_self());
    for (unsigned i = 20 + stress_random(&random) % 200; i > 0 && !atomic_load(&over); i--)
        do_something(&random);
    if (atomic_load(&over)) {
        atomic_store(&slots[member->slot], 0);
        return arg;
    }
    member->generation++;
    CHECK(green_create(&next, NULL, live, member) == 0);
    CHECK(green_detach(next) == 0);
    return arg;
}

/* By one of the ways there are; what was refused was not sent. */
static void send_one(uint64_t *random)
{
    const unsigned kind = stress_random(random) % KINDS, way = stress_random(random) % 8;
    const int number = number_of(kind);
    const green_t thread = atomic_load(&slots[stress_random(random) % SLOTS]);
    const union sigval value = {.sival_int = (int)kind};
    int error;

    if (way == 0 && kind >= STANDARD)
        error = sigqueue(getpid(), number, value);
    else if (way <= 2)
        error = green_sigqueue(getpid(), number, value);
    else if (way <= 4)
        error = green_sigqueue_np(thread, number, value);
    else
        error = green_kill(thread, number);
    if (error == 0)
        atomic_fetch_add(&sent, 1);
}

/* Else the process would never be without an open thread. */
static void block_all(void)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV); /* who inherits this and faults would end the process */
    CHECK(green_sigmask(SIG_SETMASK, &all, NULL) == 0);
}

static void *send(void *arg)
{
    uint64_t random = stress_generator(&stress, (unsigned)(uintptr_t)arg);

    while (!atomic_load(&senders_over)) {
        for (unsigned burst = stress_random(&random) % 20; burst > 0; burst--)
            send_one(&random);
        green_usleep(stress_random(&random) % 400);
    }
    return arg;
}

static void *foreign(void *arg)
{
    uint64_t random = stress_generator(&stress, 77);

    if (random % 2)
        block_all();
    while (!atomic_load(&senders_over)) {
        send_one(&random);
        if (stress_random(&random) % 4 == 0)
            wait_on_semaphore(&random);
        else
            usleep(200);
    }
    return arg;
}

static uint64_t accounted(struct green_stats *stats)
{
    green_stats(stats);
    return stats->signals_handled + stats->signals_waited + stats->signals_coalesced + stats->signals_discarded +
           stats->signals_pending;
}

static void balance(void)
{
    struct green_stats stats;
    bool balanced = false;

    for (int tries = 0; tries < 10000 && !balanced; tries++) {
        green_usleep(1000); /* what the kernel still has, and handlers that have just begun */
        balanced = accounted(&stats) == atomic_load(&sent) && stats.signals_handled == atomic_load(&handled) &&
                   stats.signals_waited == atomic_load(&waited);
    }
    printf("signals: sent %lu = handled %llu + waited %llu + coalesced %llu + discarded %llu + pending %llu\n",
           atomic_load(&sent), (unsigned long long)stats.signals_handled, (unsigned long long)stats.signals_waited,
           (unsigned long long)stats.signals_coalesced, (unsigned long long)stats.signals_discarded,
           (unsigned long long)stats.signals_pending);
    printf("signals: here %llu, woken %llu, directed %llu, held %llu; %lu waits interrupted\n",
           (unsigned long long)stats.signals_here, (unsigned long long)stats.signals_woken,
           (unsigned long long)stats.signals_directed, (unsigned long long)stats.signals_held,
           atomic_load(&interrupted));
    CHECK(balanced);
}

int main(int argc, char **argv)
{
    static struct member members[SLOTS];
    green_t senders[SENDERS], member;
    pthread_t kernel_thread;
    sigset_t none;

    stress = stress_begin(argc, argv, "signals");
    CHECK(green_sem_init(&sem, 0, 0) == 0);
    set_actions();
    block_all();
    for (unsigned i = 0; i < SLOTS; i++) {
        members[i].slot = i;
        CHECK(green_create(&member, NULL, live, &members[i]) == 0 && green_detach(member) == 0);
    }
    for (uintptr_t i = 0; i < SENDERS; i++) /* they inherit that */
        CHECK(green_create(&senders[i], NULL, send, (void *)i) == 0);
    CHECK(pthread_create(&kernel_thread, NULL, foreign, NULL) == 0);
    while (stress_goes_on())
        green_usleep(10000);
    atomic_store(&senders_over, true);
    for (unsigned i = 0; i < SENDERS; i++)
        CHECK(green_join(senders[i], NULL) == 0);
    for (int i = 0; i < 100; i++)
        green_sem_post(&sem);
    CHECK(pthread_join(kernel_thread, NULL) == 0);
    atomic_store(&over, true);
    for (unsigned i = 0; i < SLOTS; i++)
        while (atomic_load(&slots[i]) != 0) {
            green_cond_broadcast(&cond);
            green_usleep(1000);
        }
    sigemptyset(&none);
    CHECK(green_sigmask(SIG_SETMASK, &none, NULL) == 0);
    balance();
    stress_end("signals", atomic_load(&sent));
    return 0;
}
