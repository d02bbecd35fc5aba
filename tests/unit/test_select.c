/*
 * Selecting among channels: error numbers, fairness by counts, times; that exactly one case is done, and nothing is left
 * behind in the others.
 */
#include "chan.h"

#include "crew.h"

TestSuite(select, .timeout = LIMIT);

enum { CHANNELS = 4, MANY = 40 };

static green_chan_t *_Atomic chans[MANY];

static void make_all(unsigned count, size_t capacity)
{
    for (unsigned i = 0; i < count; i++)
        chans[i] = make_chan(sizeof(long), capacity);
}

/* Nobody stands in any of them any more. */
static void destroy_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(green_chan_destroy(chans[i]), 0);
}

static struct green_case send_case(green_chan_t *chan, long *value)
{
    return (struct green_case){chan, GREEN_SEND, value, -1};
}

static struct green_case recv_case(green_chan_t *chan, long *value)
{
    return (struct green_case){chan, GREEN_RECV, value, -1};
}

ON_BOTH(select, bad_arguments)
{
    struct green_case *volatile none = NULL;
    const struct timespec late = {0, 1000000000}, early = {0, -1}, past = {0, 0};
    long value = 0;
    make_all(1, 1);
    struct green_case cases[] = {recv_case(chans[0], &value), recv_case(chans[0], &value)};
    assert_fails(green_select(none, 1, NULL), EINVAL);
    assert_fails(green_tryselect(none, 1), EINVAL);
    assert_fails(green_select(cases, GREEN_SELECT_MAX + 1, &past), EINVAL);
    assert_fails(green_select(cases, 2, &late), EINVAL);
    assert_fails(green_select(cases, 2, &early), EINVAL);
    assert_fails(green_clockselect(cases, 2, CLOCK_THREAD_CPUTIME_ID, &past), EINVAL);
    cases[1].op = 0;
    assert_fails(green_tryselect(cases, 2), EINVAL);
    cases[1].op = GREEN_RECV + 1;
    assert_fails(green_select(cases, 2, NULL), EINVAL);
    cases[1].op = GREEN_SEND;
    cases[1].element = NULL;
    assert_fails(green_select(cases, 2, NULL), EINVAL);
    cr_assert_eq(cases[0].error, -1, "none was chosen");
    destroy_all(1);
}

ON_BOTH(select, a_wait_without_an_end_is_refused)
{
    long value;
    struct green_case off[] = {recv_case(NULL, &value), send_case(NULL, NULL)};
    assert_fails(green_select(off, 2, NULL), EDEADLK);
    assert_fails(green_select(NULL, 0, NULL), EDEADLK);
    assert_fails(green_tryselect(off, 2), EAGAIN);
    struct timespec when = time_after(CLOCK_MONOTONIC, 3000000);
    assert_fails(green_clockselect(off, 2, CLOCK_MONOTONIC, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_MONOTONIC, when));
    when = time_after(CLOCK_REALTIME, 3000000);
    assert_fails(green_select(NULL, 0, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_REALTIME, when));
}

ON_BOTH(select, does_what_can_be_done)
{
    long in = 0, out = 5;
    make_all(2, 1);
    struct green_case cases[] = {recv_case(chans[0], &in), send_case(chans[1], &out), recv_case(NULL, &in)};
    cr_assert_eq(green_select(cases, 3, NULL), 1);
    cr_assert_eq(cases[1].error, 0);
    assert_fails(green_tryselect(cases, 3), EAGAIN);
    cr_assert_eq(recv_long(chans[1]), 5);
    send_long(chans[1], 6);
    send_long(chans[0], 7);
    cr_assert_eq(green_select(cases, 3, NULL), 0);
    cr_assert_eq(in, 7);
    cr_assert_eq(green_chan_len(chans[1]), 1);
    assert_fails(green_tryselect(cases, 3), EAGAIN);
    const struct timespec past = {0, 0};
    assert_fails(green_select(cases, 3, &past), ETIMEDOUT);
    destroy_all(2);
}

ON_BOTH(select, a_closed_channel_is_ready)
{
    long in = 3, out = 5;
    make_all(3, 1);
    struct green_case cases[] = {recv_case(chans[0], &in), send_case(chans[1], &out)};
    struct green_case *const sending = &cases[1];
    send_long(chans[1], 1);
    green_chan_close(chans[0]);
    cr_assert_eq(green_select(cases, 2, NULL), 0);
    cr_assert_eq(cases[0].error, EPIPE);
    cr_assert_eq(in, 3);
    green_chan_close(chans[1]);
    cr_assert_eq(green_select(sending, 1, NULL), 0);
    cr_assert_eq(sending->error, EPIPE);
    cr_assert_eq(recv_long(chans[1]), 1);
    destroy_all(3);
}

/* Of 4,000 choices among four each has 1,000, give or take 27: far from these bounds. */
static void check_even(const unsigned counts[], unsigned kinds, unsigned rounds)
{
    for (unsigned i = 0; i < kinds; i++) {
        cr_assert_gt(counts[i], rounds / kinds * 3 / 4);
        cr_assert_lt(counts[i], rounds / kinds * 5 / 4);
    }
}

/* Two sends and two receives that can all be done. */
ON_BOTH(select, every_ready_case_is_as_likely)
{
    unsigned counts[CHANNELS] = {0};
    long value = 1;
    make_all(CHANNELS, 2);
    for (unsigned i = 0; i < CHANNELS; i++)
        send_long(chans[i], 1);
    for (int round = 0; round < 4000; round++) {
        struct green_case cases[] = {recv_case(chans[0], &value), send_case(chans[1], &value), recv_case(NULL, NULL),
                                     recv_case(chans[2], &value), send_case(chans[3], &value)};
        int chosen = green_select(cases, 5, NULL);
        cr_assert(chosen >= 0 && chosen != 2 && chosen < 5);
        unsigned at = (unsigned)(chosen > 2 ? chosen - 1 : chosen);
        counts[at]++;
        if (at % 2)
            recv_long(chans[at]);
        else
            send_long(chans[at], 1);
    }
    check_even(counts, CHANNELS, 4000);
    destroy_all(CHANNELS);
}

ON_BOTH(select, every_one_of_many_is_as_likely)
{
    unsigned counts[MANY] = {0};
    struct green_case cases[MANY];
    long value;
    make_all(MANY, 1);
    for (unsigned i = 0; i < MANY; i++) {
        send_long(chans[i], i);
        cases[i] = recv_case(chans[MANY - 1 - i], &value);
    }
    for (int round = 0; round < MANY * 1000; round++) {
        int chosen = green_tryselect(cases, MANY);
        cr_assert(chosen >= 0 && value == MANY - 1 - chosen);
        counts[chosen]++;
        send_long(chans[value], value);
    }
    check_even(counts, MANY, MANY * 1000);
    destroy_all(MANY);
}

/* Senders that wait are as ready as a buffer is. */
static void *send_for_ever(void *arg)
{
    green_chan_t *to = chans[(intptr_t)arg];
    while (green_chan_send(to, &(long){(intptr_t)arg}) == 0)
        continue;
    return NULL;
}

Test(select, waiting_senders_are_chosen_evenly)
{
    unsigned counts[CHANNELS] = {0};
    green_t senders[CHANNELS];
    struct green_case cases[CHANNELS];
    long value;
    start_cooperative();
    make_all(CHANNELS, 0);
    for (intptr_t i = 0; i < CHANNELS; i++) {
        senders[i] = spawn(send_for_ever, (void *)i);
        cases[i] = recv_case(chans[i], &value);
    }
    for (int round = 0; round < 4000; round++) {
        green_yield(); /* everybody waits again */
        int chosen = green_select(cases, CHANNELS, NULL);
        cr_assert_eq(chosen, value);
        counts[chosen]++;
    }
    check_even(counts, CHANNELS, 4000);
    for (int i = 0; i < CHANNELS; i++)
        green_chan_close(chans[i]);
    for (int i = 0; i < CHANNELS; i++)
        join_result(senders[i]);
    destroy_all(CHANNELS);
}

ON_BOTH(select, does_not_meet_itself)
{
    long in = 0, out = 1;
    make_all(1, 0);
    struct green_case cases[] = {recv_case(chans[0], &in), send_case(chans[0], &out)};
    assert_fails(green_tryselect(cases, 2), EAGAIN);
    struct timespec when = time_after(CLOCK_MONOTONIC, 3000000);
    assert_fails(green_clockselect(cases, 2, CLOCK_MONOTONIC, &when), ETIMEDOUT);
    cr_assert(time_reached(CLOCK_MONOTONIC, when));
    destroy_all(1);
}

static atomic_int sends_done, recvs_done;

/* Two selects of both directions on one channel: one sends what the other receives. */
static void *meet(void *arg)
{
    long in = 0, out = 7;
    struct green_case cases[] = {recv_case(chans[0], &in), send_case(chans[0], &out)};
    int chosen = green_select(cases, 2, NULL);
    must(chosen >= 0 && cases[chosen].error == 0);
    must(chosen == 1 || in == 7);
    atomic_fetch_add(chosen ? &sends_done : &recvs_done, 1);
    return arg;
}

ON_BOTH(select, both_directions_meet)
{
    green_t threads[50];
    make_all(1, 0);
    for (int i = 0; i < 50; i++)
        threads[i] = spawn(meet, NULL);
    for (int i = 0; i < 50; i++)
        join_result(threads[i]);
    cr_assert_eq(sends_done, 25);
    cr_assert_eq(recvs_done, 25);
    destroy_all(1);
}

/* Waiting for one of all, woken by each in turn; nothing of it stays in the others. */
static int chosen_index;
static struct green_case waiting_cases[CHANNELS];
static long waited_value;

static void *select_all(void *arg)
{
    for (int i = 0; i < CHANNELS; i++)
        waiting_cases[i] = recv_case(chans[i], &waited_value);
    chosen_index = green_select(waiting_cases, CHANNELS, arg);
    return NULL;
}

Test(select, is_woken_by_each_of_its_cases)
{
    long value = 9;
    struct timespec some_day = {INT64_MAX / 2, 0};
    start_cooperative();
    make_all(CHANNELS, 0);
    for (int i = 0; i < 2 * CHANNELS; i++) {
        green_t thread = spawn(select_all, i % 2 ? &some_day : NULL);
        while (green_chan_destroy(chans[i / 2]) == 0) { /* until it waits there */
            chans[i / 2] = make_chan(sizeof(long), 0);
            green_yield();
        }
        cr_assert_eq(green_chan_trysend(chans[i / 2], &(long){i}), 0);
        for (int other = 0; other < CHANNELS; other++)
            cr_assert_eq(green_chan_trysend(chans[other], &value), EAGAIN, "it is taken already");
        join_result(thread);
        cr_assert_eq(chosen_index, i / 2);
        cr_assert_eq(waiting_cases[i / 2].error, 0);
        cr_assert_eq(waited_value, i);
        for (int other = 0; other < CHANNELS; other++)
            cr_assert_eq(green_chan_trysend(chans[other], &value), EAGAIN);
    }
    green_t thread = spawn(select_all, NULL);
    green_yield();
    green_yield();
    green_chan_close(chans[2]);
    join_result(thread);
    cr_assert_eq(chosen_index, 2);
    cr_assert_eq(waiting_cases[2].error, EPIPE);
    destroy_all(CHANNELS);
}

static atomic_int in_wait;

static void *select_interrupted(void *arg)
{
    atomic_store(&in_wait, 1);
    select_all(NULL);
    return arg;
}

ON_BOTH(select, signals_do_not_end_a_wait)
{
    count_signals(SIGUSR1, 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        make_all(CHANNELS, 0);
        atomic_store(&in_wait, 0);
        green_t thread = spawn_in(scope, select_interrupted, NULL);
        wait_for(atomic_load(&in_wait));
        interrupt_often(thread, SIGUSR1, 20);
        send_long(chans[1], 11);
        join_result(thread);
        cr_assert_eq(chosen_index, 1);
        cr_assert_eq(waited_value, 11);
        destroy_all(CHANNELS);
    }
}

/* Exact accounting: everybody selects among all channels, in an order and a mixture of its own. */
static void account(int chosen, const struct green_case cases[], long in, long out)
{
    must(cases[chosen].error == 0);
    if (cases[chosen].op == GREEN_SEND) {
        account_sent(out);
    } else {
        account_received(in);
    }
}

static void fill_cases(struct green_case cases[], unsigned index, uint64_t round, long *in, long *out)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        unsigned at = (unsigned)((i + index + round) % CHANNELS);
        green_chan_t *chan = chans[index % 2 ? CHANNELS - 1 - at : at];
        cases[i] = (round >> i) % 2 ? recv_case(chan, in) : send_case(chan, out);
    }
}

static void select_step(unsigned index, uint64_t round)
{
    struct green_case cases[CHANNELS];
    long in = 0, out = (long)(round * STORM_THREADS + index);
    fill_cases(cases, index, round, &in, &out);
    struct timespec soon = time_after(CLOCK_MONOTONIC, (int64_t)(round % 32) * 10000);
    const bool timed = round % 3 != 0;
    int chosen = timed ? green_clockselect(cases, CHANNELS, CLOCK_MONOTONIC, &soon)
                       : green_tryselect(cases, CHANNELS);
    if (chosen >= 0)
        account(chosen, cases, in, out);
    else
        must(errno == (timed ? ETIMEDOUT : EAGAIN));
}

static void close_accounts(void)
{
    for (int i = 0; i < CHANNELS; i++)
        account_rest(chans[i]);
    check_accounts();
    destroy_all(CHANNELS);
}

ON_BOTH(select, every_element_arrives_once)
{
    make_all(CHANNELS - 1, 0);
    chans[CHANNELS - 1] = make_chan(sizeof(long), 3);
    storm(select_step);
    close_accounts();
}

/* Without times: senders and receivers, half of them by selects, of every kind; the last sender closes all channels. */
enum { EACH = 4, ROUNDS = 1500, CREW = EACH * CREW_KINDS };

static atomic_int senders_left;

static int one_of_all(int op, long *value, bool selects, unsigned turn)
{
    struct green_case cases[CHANNELS];
    if (!selects)
        return op == GREEN_SEND ? green_chan_send(chans[turn % CHANNELS], value)
                                : green_chan_recv(chans[turn % CHANNELS], value);
    for (unsigned i = 0; i < CHANNELS; i++)
        cases[i] = (struct green_case){chans[(i + turn) % CHANNELS], op, value, -1};
    int chosen = green_select(cases, CHANNELS, NULL);
    must(chosen >= 0);
    return cases[chosen].error;
}

static void send_rounds(unsigned index)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        long value = (long)i * CREW + index;
        must(one_of_all(GREEN_SEND, &value, index % 4 < 2, index + i) == 0);
        account_sent(value);
    }
    if (atomic_fetch_sub(&senders_left, 1) == 1)
        for (int i = 0; i < CHANNELS; i++)
            must(green_chan_close(chans[i]) == 0);
}

/* One that does not select stays with its channel, so that none is left without a receiver. */
static void recv_until_closed(unsigned index)
{
    long value;
    while (one_of_all(GREEN_RECV, &value, index % 4 < 2, index) == 0) {
        account_received(value);
    }
}

static void send_or_recv(unsigned index)
{
    if (index / CREW_KINDS % 2)
        recv_until_closed(index);
    else
        send_rounds(index);
}

ON_BOTH(select, threads_of_every_kind)
{
    make_all(CHANNELS, 0);
    atomic_store(&senders_left, CREW / 2);
    crew_of_all_kinds(EACH, send_or_recv, NULL);
    cr_assert_eq(accounts.sent_count, CREW / 2 * ROUNDS);
    close_accounts();
}
