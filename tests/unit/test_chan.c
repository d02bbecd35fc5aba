/*
 * Channels: error numbers, order, sizes, closing, times; and that every element arrives once, whoever sends and receives.
 */
#include "unit.h"

#include <green/chan.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crew.h"

TestSuite(chan, .timeout = LIMIT);

static green_chan_t *chan;

static green_chan_t *make(size_t element_bytes, size_t capacity)
{
    green_chan_t *made = NULL;
    must(green_chan_create(&made, element_bytes, capacity) == 0);
    return made;
}

static void send_long(green_chan_t *to, long value)
{
    must(green_chan_send(to, &value) == 0);
}

static long recv_long(green_chan_t *from)
{
    long value = -1;
    must(green_chan_recv(from, &value) == 0);
    return value;
}

ON_BOTH(chan, bad_arguments)
{
    green_chan_t *volatile none = NULL, **volatile nowhere = NULL;
    const void *volatile nothing = NULL;
    const struct timespec *volatile no_time = NULL, late = {0, 1000000000}, early = {0, -1};
    long value = 0;
    cr_assert_eq(green_chan_create(nowhere, 1, 1), EINVAL);
    cr_assert_eq(green_chan_create(&chan, GREEN_CHAN_ELEMENT_MAX + 1, 1), EINVAL);
    cr_assert_eq(green_chan_create(&chan, 8, SIZE_MAX / 2), ENOMEM);
    cr_assert_eq(green_chan_create(&chan, 1, SIZE_MAX), ENOMEM);
#ifndef __SANITIZE_ADDRESS__ /* which ends the program */
    cr_assert_eq(green_chan_create(&chan, 1, SIZE_MAX / 4), ENOMEM, "no machine has that");
#endif
    chan = make(sizeof value, 0);
    cr_assert_eq(green_chan_send(none, &value), EINVAL);
    cr_assert_eq(green_chan_send(chan, nothing), EINVAL);
    cr_assert_eq(green_chan_trysend(none, &value), EINVAL);
    cr_assert_eq(green_chan_trysend(chan, nothing), EINVAL);
    cr_assert_eq(green_chan_recv(none, &value), EINVAL);
    cr_assert_eq(green_chan_tryrecv(none, &value), EINVAL);
    cr_assert_eq(green_chan_close(none), EINVAL);
    cr_assert_eq(green_chan_destroy(none), EINVAL);
    cr_assert_eq(green_chan_len(none), 0);
    cr_assert_eq(green_chan_cap(none), 0);
    const struct timespec *times[] = {no_time, &late, &early};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(green_chan_timedsend(chan, &value, times[i]), EINVAL);
        cr_assert_eq(green_chan_timedrecv(chan, &value, times[i]), EINVAL);
        cr_assert_eq(green_chan_clocksend(chan, &value, CLOCK_MONOTONIC, times[i]), EINVAL);
        cr_assert_eq(green_chan_clockrecv(chan, &value, CLOCK_MONOTONIC, times[i]), EINVAL);
    }
    const struct timespec now = time_after(CLOCK_MONOTONIC, 0);
    cr_assert_eq(green_chan_clocksend(chan, &value, CLOCK_THREAD_CPUTIME_ID, &now), EINVAL);
    cr_assert_eq(green_chan_clockrecv(chan, &value, CLOCK_THREAD_CPUTIME_ID, &now), EINVAL);
    cr_assert_eq(green_chan_timedsend(none, &value, &now), EINVAL);
    cr_assert_eq(green_chan_timedrecv(none, &value, &now), EINVAL);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan, a_buffer_keeps_the_order)
{
    long value = 7;
    chan = make(sizeof value, 3);
    cr_assert_eq(green_chan_cap(chan), 3);
    cr_assert_eq(green_chan_tryrecv(chan, &value), EAGAIN);
    for (long round = 0; round < 5; round++) {
        for (value = 0; value < 3; value++) {
            cr_assert_eq(green_chan_len(chan), (size_t)value);
            cr_assert_eq(green_chan_trysend(chan, &value), 0);
        }
        cr_assert_eq(green_chan_trysend(chan, &value), EAGAIN);
        cr_assert_eq(recv_long(chan), 0);
        send_long(chan, 3);
        for (long expected = 1; expected <= 3; expected++) {
            cr_assert_eq(green_chan_tryrecv(chan, &value), 0);
            cr_assert_eq(value, expected);
        }
        value = 9;
        cr_assert_eq(green_chan_tryrecv(chan, &value), EAGAIN);
        cr_assert_eq(value, 9);
    }
    send_long(chan, 1);
    cr_assert_eq(green_chan_recv(chan, NULL), 0, "dropped");
    cr_assert_eq(green_chan_len(chan), 0);
    send_long(chan, 1);
    cr_assert_eq(green_chan_destroy(chan), 0, "what is left in it goes with it");
}

ON_BOTH(chan, try_needs_a_partner_without_a_buffer)
{
    long value = 1;
    chan = make(sizeof value, 0);
    cr_assert_eq(green_chan_cap(chan), 0);
    cr_assert_eq(green_chan_trysend(chan, &value), EAGAIN);
    cr_assert_eq(green_chan_tryrecv(chan, &value), EAGAIN);
    cr_assert_eq(green_chan_len(chan), 0);
}

/* Waiting in line: `arrived` is a waiter's place. */
enum { WAITERS = 20 };

static int arrived, results[WAITERS], ended;
static long received[WAITERS];

static void *send_in_line(void *arg)
{
    long place = arrived++;
    results[place] = green_chan_send(chan, &place);
    ended++;
    return arg;
}

static void *recv_in_line(void *arg)
{
    int place = arrived++;
    received[place] = -1;
    results[place] = green_chan_recv(chan, &received[place]);
    ended++;
    return arg;
}

static void line_up(green_t threads[], void *(*routine)(void *))
{
    arrived = ended = 0;
    for (int i = 0; i < WAITERS; i++)
        threads[i] = spawn(routine, NULL);
    while (arrived < WAITERS)
        green_yield();
}

static void join_line(const green_t threads[])
{
    for (int i = 0; i < WAITERS; i++)
        join_result(threads[i]);
}

static void check_order(size_t capacity)
{
    green_t threads[WAITERS];
    chan = make(sizeof(long), capacity);
    line_up(threads, send_in_line);
    cr_assert_eq(green_chan_len(chan), capacity);
    cr_assert_eq(green_chan_destroy(chan), EBUSY);
    for (long i = 0; i < WAITERS; i++)
        cr_assert_eq(recv_long(chan), i);
    join_line(threads);
    line_up(threads, recv_in_line);
    cr_assert_eq(green_chan_destroy(chan), EBUSY);
    for (long i = 0; i < WAITERS; i++)
        send_long(chan, i);
    join_line(threads);
    for (long i = 0; i < WAITERS; i++)
        cr_assert_eq(received[i], i);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

Test(chan, first_come_first_served)
{
    start_cooperative();
    check_order(0);
    check_order(1);
    check_order(7);
}

static const size_t sizes[] = {0, 1, 3, 8, 16, 4096, GREEN_CHAN_ELEMENT_MAX};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Both lie on stacks of 256 KiB. */
static void *send_patterns(void *arg)
{
    unsigned char element[GREEN_CHAN_ELEMENT_MAX];
    for (int i = 0; i < 50; i++) {
        memset(element, i, *(const size_t *)arg);
        must(green_chan_send(chan, element) == 0);
    }
    return arg;
}

static void recv_patterns(size_t bytes)
{
    unsigned char element[GREEN_CHAN_ELEMENT_MAX + 1];
    for (int i = 0; i < 50; i++) {
        memset(element, 0xee, bytes + 1);
        must(green_chan_recv(chan, element) == 0);
        for (size_t at = 0; at < bytes; at++)
            must(element[at] == i);
        must(element[bytes] == 0xee);
    }
}

ON_BOTH(chan, elements_of_every_size)
{
    for (int i = 0; i < SIZES; i++)
        for (size_t capacity = 0; capacity < 4; capacity++) {
            chan = make(sizes[i], capacity);
            green_t sender = spawn(send_patterns, (void *)(uintptr_t)&sizes[i]);
            recv_patterns(sizes[i]);
            join_result(sender);
            cr_assert_eq(green_chan_destroy(chan), 0);
        }
}

Test(chan, elements_of_no_bytes_are_counted)
{
    start_cooperative();
    chan = make(0, SIZE_MAX);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(green_chan_send(chan, NULL), 0);
    cr_assert_eq(green_chan_len(chan), 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(green_chan_recv(chan, NULL), 0);
    cr_assert_eq(green_chan_tryrecv(chan, NULL), EAGAIN);
}

ON_BOTH(chan, closing_keeps_what_was_sent)
{
    long value = 5;
    const struct timespec past = {0, 0};
    chan = make(sizeof value, 4);
    send_long(chan, 1);
    send_long(chan, 2);
    cr_assert_eq(green_chan_close(chan), 0);
    cr_assert_eq(green_chan_close(chan), EPIPE);
    cr_assert_eq(green_chan_send(chan, &value), EPIPE);
    cr_assert_eq(green_chan_trysend(chan, &value), EPIPE);
    cr_assert_eq(green_chan_timedsend(chan, &value, &past), EPIPE);
    cr_assert_eq(green_chan_len(chan), 2);
    cr_assert_eq(recv_long(chan), 1);
    cr_assert_eq(recv_long(chan), 2);
    cr_assert_eq(green_chan_recv(chan, &value), EPIPE);
    cr_assert_eq(green_chan_tryrecv(chan, &value), EPIPE);
    cr_assert_eq(green_chan_timedrecv(chan, &value, &past), EPIPE);
    cr_assert_eq(value, 5, "as it was");
    cr_assert_eq(green_chan_destroy(chan), 0);
}

static void check_close_ends_waits(void *(*routine)(void *), size_t capacity)
{
    green_t threads[WAITERS];
    chan = make(sizeof(long), capacity);
    line_up(threads, routine);
    cr_assert_eq(ended, routine == send_in_line ? (int)capacity : 0);
    cr_assert_eq(green_chan_close(chan), 0);
    join_line(threads);
    for (size_t i = 0; i < WAITERS; i++)
        cr_assert_eq(results[i], routine == send_in_line && i < capacity ? 0 : EPIPE);
    for (long i = 0; routine == send_in_line && i < (long)capacity; i++)
        cr_assert_eq(recv_long(chan), i);
    cr_assert_eq(green_chan_recv(chan, NULL), EPIPE);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

Test(chan, closing_ends_the_waits_of_both_sides)
{
    start_cooperative();
    check_close_ends_waits(send_in_line, 0);
    check_close_ends_waits(send_in_line, 3);
    check_close_ends_waits(recv_in_line, 0);
    check_close_ends_waits(recv_in_line, 3);
}

/* Also of those who sleep in the kernel. */
static atomic_int waiting, told;

static void wait_for_close(unsigned index)
{
    atomic_fetch_add(&waiting, 1);
    must((index % 2 ? green_chan_recv(chan, NULL) : green_chan_recv(chan, &(long){0})) == EPIPE);
    atomic_fetch_add(&told, 1);
}

static void close_when_all_wait(void)
{
    wait_for(atomic_load(&waiting) == 6);
    green_usleep(2000);
    must(atomic_load(&told) == 0);
    must(green_chan_close(chan) == 0);
}

ON_BOTH(chan, closing_wakes_threads_of_every_kind)
{
    chan = make(sizeof(long), 2);
    crew_of_all_kinds(2, wait_for_close, close_when_all_wait);
    cr_assert_eq(told, 6);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan, timed)
{
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    long value = 1;
    for (size_t capacity = 0; capacity < 2; capacity++) {
        chan = make(sizeof value, capacity);
        struct timespec when = time_after(CLOCK_REALTIME, 3000000);
        cr_assert_eq(green_chan_timedrecv(chan, &value, &when), ETIMEDOUT);
        cr_assert(time_reached(CLOCK_REALTIME, when));
        if (capacity)
            send_long(chan, 1);
        when = time_after(CLOCK_REALTIME, 3000000);
        cr_assert_eq(green_chan_timedsend(chan, &value, &when), ETIMEDOUT);
        cr_assert(time_reached(CLOCK_REALTIME, when));
        for (int i = 0; i < 2; i++) {
            when = time_after(clocks[i], 3000000);
            cr_assert_eq(green_chan_clocksend(chan, &value, clocks[i], &when), ETIMEDOUT);
            cr_assert(time_reached(clocks[i], when));
            when = time_after(clocks[i], -1);
            cr_assert_eq(green_chan_clocksend(chan, &value, clocks[i], &when), ETIMEDOUT);
        }
        cr_assert_eq(green_chan_len(chan), capacity, "those that timed out were not sent");
        when = (struct timespec){0, 0};
        cr_assert_eq(green_chan_timedrecv(chan, &value, &when), capacity ? 0 : ETIMEDOUT);
        cr_assert_eq(green_chan_timedrecv(chan, &value, &when), ETIMEDOUT);
        cr_assert_eq(green_chan_destroy(chan), 0);
    }
}

/* What is there, or has room, needs no time, not even one that is a time. */
ON_BOTH(chan, a_time_is_looked_at_only_to_wait)
{
    long value = 1;
    chan = make(sizeof value, 1);
    const struct timespec bad = {0, -1};
    cr_assert_eq(green_chan_timedsend(chan, &value, &bad), 0);
    cr_assert_eq(green_chan_timedrecv(chan, &value, &bad), 0);
}

static void *recv_timed(void *arg)
{
    struct timespec never = {INT64_MAX, 0};
    received[0] = -1;
    arrived = 1;
    must(green_chan_timedrecv(chan, &received[0], &never) == 0);
    return arg;
}

ON_BOTH(chan, a_timed_wait_is_served)
{
    chan = make(sizeof(long), 0);
    green_t thread = spawn(recv_timed, NULL);
    send_long(chan, 42);
    join_result(thread);
    cr_assert_eq(received[0], 42);
}

/* A handler runs on the waiter; the wait goes on, and nothing is lost. */
static atomic_int handled, in_wait;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

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

static void interrupt_often(green_t thread, int times)
{
    for (int i = 1; i <= times; i++) {
        must(green_kill(thread, SIGUSR1) == 0);
        wait_for(atomic_load(&handled) >= i);
    }
    atomic_store(&handled, 0);
}

ON_BOTH(chan, signals_do_not_end_a_wait)
{
    struct sigaction action = {.sa_handler = on_signal};
    cr_assert_eq(green_sigaction(SIGUSR1, &action, NULL), 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++)
        for (int side = 0; side < 2; side++) {
            green_attr_t attr;
            green_t thread;
            chan = make(sizeof(long), 0);
            atomic_store(&in_wait, 0);
            must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
            must(green_create(&thread, &attr, side ? interrupted_send : interrupted_recv, NULL) == 0);
            wait_for(atomic_load(&in_wait));
            interrupt_often(thread, 10);
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
    for (long i = 0; i < RACES; i++)
        must(recv_long(chan) == i);
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

ON_BOTH(chan, signals_race_with_senders)
{
    struct sigaction action = {.sa_handler = on_signal};
    cr_assert_eq(green_sigaction(SIGUSR1, &action, NULL), 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        green_attr_t attr;
        green_t receiver;
        chan = make(sizeof(long), 0);
        must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
        must(green_create(&receiver, &attr, recv_races, NULL) == 0);
        green_t signaller = spawn(signal_races, &receiver);
        for (long i = 0; i < RACES; i++)
            send_long(chan, i);
        join_result(signaller);
        join_result(receiver);
        cr_assert_gt(handled, 0);
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

ON_BOTH(chan, a_cancelled_receiver_loses_nothing)
{
    long sent = 0;
    for (int round = 0; round < 1000; round++) {
        green_attr_t attr;
        green_t receiver;
        chan = make(0, round % 3 == 0);
        must(green_attr_init(&attr) == 0);
        must(green_attr_setscope(&attr, round % 8 ? GREEN_SCOPE_PROCESS : GREEN_SCOPE_SYSTEM) == 0);
        must(green_create(&receiver, &attr, recv_until_cancelled, NULL) == 0);
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
static atomic_llong sent_sum, sent_count, recv_sum, recv_count;

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
    atomic_fetch_add(&sent_sum, value);
    atomic_fetch_add(&sent_count, 1);
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
    atomic_fetch_add(&recv_sum, value);
    atomic_fetch_add(&recv_count, 1);
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
    long value;
    chan = make(sizeof(long), capacity);
    storm(exchange_step);
    while (green_chan_tryrecv(chan, &value) == 0) {
        recv_sum += value;
        recv_count++;
    }
    cr_assert_gt(sent_count, 0);
    cr_assert_eq(sent_count, recv_count);
    cr_assert_eq(sent_sum, recv_sum);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan, every_element_arrives_once_without_a_buffer)
{
    check_storm(0);
}

ON_BOTH(chan, every_element_arrives_once_with_a_buffer)
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
    chan = make(sizeof(struct numbered), capacity);
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

ON_BOTH(chan, threads_of_every_kind)
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

ON_BOTH(chan, may_be_freed_by_who_has_the_last_element)
{
    for (int i = 0; i < 2000; i++) {
        green_chan_t *one = make(sizeof(long), (size_t)i % 2);
        green_t sender = spawn(send_once, one);
        cr_assert_eq(recv_long(one), 1);
        cr_assert_eq(green_chan_destroy(one), 0);
        join_result(sender);
    }
}
