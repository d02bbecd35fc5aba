/*
 * Channels: error numbers, order, sizes, closing, times.
 */
#include "chan.h"

#include "crew.h"

TestSuite(chan, .timeout = LIMIT);

static green_chan_t *chan;

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
    chan = make_chan(sizeof value, 0);
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
    chan = make_chan(sizeof value, 3);
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
    chan = make_chan(sizeof value, 0);
    cr_assert_eq(green_chan_cap(chan), 0);
    cr_assert_eq(green_chan_trysend(chan, &value), EAGAIN);
    cr_assert_eq(green_chan_tryrecv(chan, &value), EAGAIN);
    cr_assert_eq(green_chan_len(chan), 0);
}

/* Waiting in line: `arrived` is a waiter's place. */
enum { WAITERS = 20 };

static atomic_int arrived, ended;
static int results[WAITERS];
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
    chan = make_chan(sizeof(long), capacity);
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
            chan = make_chan(sizes[i], capacity);
            green_t sender = spawn(send_patterns, (void *)(uintptr_t)&sizes[i]);
            recv_patterns(sizes[i]);
            join_result(sender);
            cr_assert_eq(green_chan_destroy(chan), 0);
        }
}

Test(chan, elements_of_no_bytes_are_counted)
{
    start_cooperative();
    chan = make_chan(0, SIZE_MAX);
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
    chan = make_chan(sizeof value, 4);
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
    chan = make_chan(sizeof(long), capacity);
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
    chan = make_chan(sizeof(long), 2);
    crew_of_all_kinds(2, wait_for_close, close_when_all_wait);
    cr_assert_eq(told, 6);
    cr_assert_eq(green_chan_destroy(chan), 0);
}

ON_BOTH(chan, timed)
{
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    long value = 1;
    for (size_t capacity = 0; capacity < 2; capacity++) {
        chan = make_chan(sizeof value, capacity);
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
    chan = make_chan(sizeof value, 1);
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
    chan = make_chan(sizeof(long), 0);
    green_t thread = spawn(recv_timed, NULL);
    send_long(chan, 42);
    join_result(thread);
    cr_assert_eq(received[0], 42);
}
