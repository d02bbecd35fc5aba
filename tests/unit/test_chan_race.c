/*
 * Channels under signals, cancellation and ticks: every element arrives once, whoever sends and receives.
 */
#include "chan.h"

#include <green/signal.h>

#include "crew.h"

TestSuite(chan_race, .timeout = LIMIT);

static green_chan_t *chan;

/* A handler runs on the waiter; the wait goes on, and nothing is lost. */
static atomic_int in_wait;

static void *interrupted_recv(void *arg)
{
    atomic_store(&in_wait, 1);
    for (long i = 0; i < 100; i++)
        must(recv_long(chan) == i);
    return arg;
}

static void *interrupted_send(void *arg)
{
    atomic_store(&in_wait, 1);
    for (long i = 0; i < 100; i++)
        send_long(chan, i);
    return arg;
}

ON_BOTH(chan_race, signals_do_not_end_a_wait)
{
    count_signals(SIGUSR1, 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++)
        for (int side = 0; side < 2; side++) {
            chan = make_chan(sizeof(long), 0);
            atomic_store(&in_wait, 0);
            green_t thread = spawn_in(scope, side ? interrupted_send : interrupted_recv, NULL);
            wait_for(atomic_load(&in_wait));
            interrupt_often(thread, SIGUSR1, 10);
            for (long i = 0; i < 100; i++)
                if (side)
                    cr_assert_eq(recv_long(chan), i);
                else
                    send_long(chan, i);
            join_result(thread);
            cr_assert_eq(green_chan_destroy(chan), 0);
        }
}

/* A signal and an element that come at the same time: neither is lost, and the wait ends. */
enum { RACES = 3000 };

static void *recv_races(void *arg)
{
    long next = 0;
    for (long got; (got = recv_long(chan)) >= 0; next++)
        must(got == next);
    return arg;
}

static void *signal_races(void *arg)
{
    for (int i = 0; i < RACES; i++) {
        green_kill(*(const green_t *)arg, SIGUSR1);
        if (i % 8 == 0)
            green_yield();
    }
    return arg;
}

ON_BOTH(chan_race, signals_race_with_senders)
{
    count_signals(SIGUSR1, 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        chan = make_chan(sizeof(long), 0);
        const int before = signals_counted();
        green_t receiver = spawn_in(scope, recv_races, NULL);
        green_t signaller = spawn(signal_races, &receiver);
        for (long i = 0; i < RACES || signals_counted() == before; i++)
            send_long(chan, i);
        send_long(chan, -1);
        join_result(signaller);
        join_result(receiver);
        cr_assert_eq(green_chan_destroy(chan), 0);
    }
}

/* A receiver that is cancelled while somebody sends has the element, or the sender knows that nobody took it. */
static atomic_long taken;

static void *recv_until_cancelled(void *arg)
{
    for (;;) {
        must(green_chan_recv(chan, NULL) == 0);
        atomic_fetch_add(&taken, 1);
    }
    return arg;
}

ON_BOTH(chan_race, a_cancelled_receiver_loses_nothing)
{
    long sent = 0;
    for (int round = 0; round < 1000; round++) {
        chan = make_chan(0, round % 3 == 0);
        green_t receiver = spawn_in(round % 8 ? GREEN_SCOPE_PROCESS : GREEN_SCOPE_SYSTEM, recv_until_cancelled, NULL);
        for (int i = 0; i < 3; i++) {
            must(green_chan_send(chan, NULL) == 0);
            sent++;
        }
        if (round % 2)
            green_yield();
        must(green_cancel(receiver) == 0);
        for (int i = 0; i < 3; i++)
            sent += green_chan_trysend(chan, NULL) == 0;
        cr_assert_eq(join_result(receiver), GREEN_CANCELED);
        sent -= (long)green_chan_len(chan);
        cr_assert_eq(sent, atomic_load(&taken));
        cr_assert_eq(green_chan_destroy(chan), 0);
    }
}

/* Every element arrives once: sums and counts of what was sent and received, by whichever form. */
static struct timespec soon(uint64_t round)
{
    return time_after(CLOCK_MONOTONIC, (int64_t)(round % 32) * 10000);
}

static void send_somehow(uint64_t round, long value)
{
    struct timespec when = soon(round);
    int error = round % 3 == 0 ? green_chan_trysend(chan, &value)
                               : green_chan_clocksend(chan, &value, CLOCK_MONOTONIC, &when);
    if (error) {
        must(error == (round % 3 == 0 ? EAGAIN : ETIMEDOUT));
        return;
    }
    account_sent(value);
}

static void recv_somehow(uint64_t round)
{
    struct timespec when = soon(round + 7);
    long value;
    int error =
        round % 3 == 0 ? green_chan_tryrecv(chan, &value) : green_chan_clockrecv(chan, &value, CLOCK_MONOTONIC, &when);
    if (error) {
        must(error == (round % 3 == 0 ? EAGAIN : ETIMEDOUT));
        return;
    }
    account_received(value);
}

static void exchange_step(unsigned index, uint64_t round)
{
    if ((index + round / 64) % 2)
        send_somehow(round, (long)(round * STORM_THREADS + index));
    else
        recv_somehow(round);
}

static void check_storm(size_t capacity)
{
    chan = make_chan(sizeof(long), capacity);
    storm(exchange_step);
    account_rest(chan);
    check_accounts();
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan_race, every_element_arrives_once_without_a_buffer)
{
    check_storm(0);
}

ON_BOTH(chan_race, every_element_arrives_once_with_a_buffer)
{
    check_storm(5);
}

/* Threads of every kind, half of each sending: each sender's elements arrive in its order. */
enum { EACH = 4, ROUNDS = 2000, CREW = EACH * CREW_KINDS };

struct numbered {
    unsigned from;
    unsigned round;
};

static atomic_uint senders_left;
static atomic_uint counts[CREW][CREW]; /* of receiver and sender */

static void send_numbered(unsigned index)
{
    for (unsigned i = 1; i <= ROUNDS; i++)
        must(green_chan_send(chan, &(struct numbered){index, i}) == 0);
    if (atomic_fetch_sub(&senders_left, 1) == 1)
        must(green_chan_close(chan) == 0);
}

static void recv_numbered(unsigned index)
{
    unsigned last[CREW] = {0};
    struct numbered got;
    int error;
    while ((error = green_chan_recv(chan, &got)) == 0) {
        must(got.from < CREW && got.round > last[got.from]);
        last[got.from] = got.round;
        atomic_fetch_add(&counts[index][got.from], 1);
    }
    must(error == EPIPE);
}

static void send_or_recv(unsigned index)
{
    if (index / CREW_KINDS % 2)
        recv_numbered(index);
    else
        send_numbered(index);
}

static void check_crew(size_t capacity)
{
    memset(counts, 0, sizeof counts);
    chan = make_chan(sizeof(struct numbered), capacity);
    atomic_store(&senders_left, CREW / 2);
    crew_of_all_kinds(EACH, send_or_recv, NULL);
    for (unsigned sender = 0; sender < CREW; sender++) {
        unsigned sum = 0;
        for (unsigned receiver = 0; receiver < CREW; receiver++)
            sum += counts[receiver][sender];
        cr_assert_eq(sum, sender / CREW_KINDS % 2 ? 0 : ROUNDS);
    }
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan_race, threads_of_every_kind)
{
    check_crew(0);
    check_crew(3);
}

/* A receiver that frees the channel with the last element, while its sender is still on its way out. */
static void *send_once(void *arg)
{
    must(green_chan_send(arg, &(long){1}) == 0);
    return NULL;
}

ON_BOTH(chan_race, may_be_freed_by_who_has_the_last_element)
{
    for (int i = 0; i < 2000; i++) {
        green_chan_t *one = make_chan(sizeof(long), (size_t)i % 2);
        green_t sender = spawn(send_once, one);
        cr_assert_eq(recv_long(one), 1);
        cr_assert_eq(green_chan_destroy(one), 0);
        join_result(sender);
    }
}
