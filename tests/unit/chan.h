/*
 * What the tests of channels share, select's among them: short forms of the calls, and accounts.  Each file has its own.
 */
#ifndef UNIT_CHAN_H
#define UNIT_CHAN_H

#include "unit.h"

#include <green/chan.h>
#include <stdatomic.h>

static inline green_chan_t *make_chan(size_t element_bytes, size_t capacity)
{
    green_chan_t *made = NULL;
    must(green_chan_create(&made, element_bytes, capacity) == 0);
    return made;
}

static inline void send_long(green_chan_t *to, long value)
{
    must(green_chan_send(to, &value) == 0);
}

static inline long recv_long(green_chan_t *from)
{
    long value = -1;
    must(green_chan_recv(from, &value) == 0);
    return value;
}

/* Sums and counts of what was sent and received: they are the same when every element arrives once. */
static struct {
    atomic_llong sent_sum, sent_count, recv_sum, recv_count;
} accounts;

static inline void account_sent(long value)
{
    atomic_fetch_add(&accounts.sent_sum, value);
    atomic_fetch_add(&accounts.sent_count, 1);
}

static inline void account_received(long value)
{
    atomic_fetch_add(&accounts.recv_sum, value);
    atomic_fetch_add(&accounts.recv_count, 1);
}

/* When nobody uses the channel any more: what is left in it arrives here. */
static inline void account_rest(green_chan_t *chan)
{
    long value;
    while (green_chan_tryrecv(chan, &value) == 0)
        account_received(value);
}

static inline void check_accounts(void)
{
    cr_assert_gt(accounts.sent_count, 0);
    cr_assert_eq(accounts.sent_count, accounts.recv_count);
    cr_assert_eq(accounts.sent_sum, accounts.recv_sum);
}

#endif
