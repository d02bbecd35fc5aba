/*
 * Channels: threads of every kind that send, receive and select among channels of many shapes, by every form there is,
 * interrupted by signals, while the channels are closed under them and replaced.
 *
 * For each channel: when it has been closed and nobody uses it any more, what was sent is what was received and what is
 * left in it, by count and by sum; nobody stands in its queues; and each element is what one sender made.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <green.h>
#include <green/chan.h>

#include "common.h"

enum { SLOTS = 6, MULTIPLEXED = 24, BOUND = 3, FOREIGN = 3, ACTORS = MULTIPLEXED + BOUND + FOREIGN, CASES = 5 };
enum { ELEMENT_MAX = 4096 };

/* A channel in use, and its accounts. */
struct account {
    green_chan_t *chan;
    size_t bytes;
    atomic_int users;
    atomic_ullong sent, sent_sum, received, received_sum;
};

/* Two take turns; a thread that uses one is counted in it. */
struct slot {
    struct account accounts[2];
    struct account *_Atomic now;
};

/* An element's words are all the first, plus their places. */
struct element {
    uint64_t words[ELEMENT_MAX / sizeof(uint64_t)];
};

struct actor {
    unsigned n;
    uint64_t random;
    green_t id;
    pthread_t foreign;
    green_sem_t ended; /* of a foreign one */
    atomic_bool known; /* its id */
};

static struct slot slots[SLOTS];
static struct actor actors[ACTORS];
static atomic_ullong operations, outcomes[4]; /* done, closed, late, would have waited */
static atomic_ullong handled, replaced;

static const struct {
    size_t bytes, capacity;
} shapes[] = {{8, 0}, {8, 1}, {8, 7}, {64, 0}, {1000, 3}, {ELEMENT_MAX, 0}, {ELEMENT_MAX, 2}, {16, 300}};

static void open_account(struct account *account, uint64_t *random)
{
    const unsigned shape = stress_random(random) % (sizeof shapes / sizeof *shapes);

    account->bytes = shapes[shape].bytes;
    account->sent = account->sent_sum = account->received = account->received_sum = 0;
    CHECK(green_chan_create(&account->chan, account->bytes, shapes[shape].capacity) == 0);
}

static struct account *account_take(struct slot *slot)
{
    for (;;) {
        struct account *account = slot->now;
        atomic_fetch_add(&account->users, 1);
        if (slot->now == account)
            return account;
        atomic_fetch_sub(&account->users, 1);
    }
}

static void account_give(struct account *account)
{
    atomic_fetch_sub(&account->users, 1);
}

static void element_make(struct element *element, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        element->words[i] = value + i;
}

static void element_check(const struct element *element, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        CHECK(element->words[i] == element->words[0] + i);
}

static void note_sent(struct account *account, const struct element *element)
{
    atomic_fetch_add(&account->sent, 1);
    atomic_fetch_add(&account->sent_sum, element->words[0]);
}

static void note_received(struct account *account, const struct element *element)
{
    element_check(element, account->bytes);
    atomic_fetch_add(&account->received, 1);
    atomic_fetch_add(&account->received_sum, element->words[0]);
}

static void note_outcome(int error)
{
    CHECK(error == 0 || error == EPIPE || error == ETIMEDOUT || error == EAGAIN);
    atomic_fetch_add(&outcomes[error == 0 ? 0 : error == EPIPE ? 1 : error == ETIMEDOUT ? 2 : 3], 1);
}

static struct timespec soon(struct actor *actor)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += (long)(stress_random(&actor->random) % 400) * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

enum form { TRY, TIMED, BLOCK };

static enum form choose_form(struct actor *actor)
{
    const uint32_t number = stress_random(&actor->random) % 8;

    return number < 2 ? TRY : number < 5 ? TIMED : BLOCK;
}

static int send_in_form(struct actor *actor, green_chan_t *chan, const struct element *element)
{
    const struct timespec limit = soon(actor);
    const enum form form = choose_form(actor);

    return form == TRY     ? green_chan_trysend(chan, element)
           : form == TIMED ? green_chan_clocksend(chan, element, CLOCK_MONOTONIC, &limit)
                           : green_chan_send(chan, element);
}

static int recv_in_form(struct actor *actor, green_chan_t *chan, struct element *element)
{
    const struct timespec limit = soon(actor);
    const enum form form = choose_form(actor);

    return form == TRY     ? green_chan_tryrecv(chan, element)
           : form == TIMED ? green_chan_clockrecv(chan, element, CLOCK_MONOTONIC, &limit)
                           : green_chan_recv(chan, element);
}

static void transfer(struct actor *actor)
{
    struct account *account = account_take(&slots[stress_random(&actor->random) % SLOTS]);
    const bool send = stress_random(&actor->random) % 2;
    struct element element;

    if (send)
        element_make(&element, account->bytes, stress_random(&actor->random));
    int error = send ? send_in_form(actor, account->chan, &element) : recv_in_form(actor, account->chan, &element);
    note_outcome(error);
    if (!error && send)
        note_sent(account, &element);
    else if (!error)
        note_received(account, &element);
    account_give(account);
}

static void fill_case(struct actor *actor, struct green_case *one, struct account *account, struct element *in,
                      struct element *out)
{
    const bool send = stress_random(&actor->random) % 2;

    *one = (struct green_case){account->chan, send ? GREEN_SEND : GREEN_RECV, send ? out : in, -1};
}

static int select_in_form(struct actor *actor, struct green_case *cases, size_t count)
{
    const struct timespec limit = soon(actor);
    const enum form form = choose_form(actor);

    return form == TRY     ? green_tryselect(cases, count)
           : form == TIMED ? green_clockselect(cases, count, CLOCK_MONOTONIC, &limit)
                           : green_select(cases, count, NULL);
}

static void select_among(struct actor *actor)
{
    struct account *accounts[CASES];
    struct green_case cases[CASES];
    struct element in, out;
    const unsigned count = 1 + stress_random(&actor->random) % CASES;

    element_make(&out, ELEMENT_MAX, stress_random(&actor->random));
    for (unsigned i = 0; i < count; i++) {
        accounts[i] = account_take(&slots[stress_random(&actor->random) % SLOTS]);
        fill_case(actor, &cases[i], accounts[i], &in, &out);
    }
    int chosen = select_in_form(actor, cases, count);
    note_outcome(chosen < 0 ? errno : cases[chosen].error);
    if (chosen >= 0 && cases[chosen].error == 0 && cases[chosen].op == GREEN_SEND)
        note_sent(accounts[chosen], &out);
    else if (chosen >= 0 && cases[chosen].error == 0)
        note_received(accounts[chosen], &in);
    for (unsigned i = 0; i < count; i++) {
        CHECK(cases[i].error == -1 || (int)i == chosen);
        account_give(accounts[i]);
    }
}

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static void interrupt_somebody(struct actor *actor)
{
    struct actor *other = &actors[stress_random(&actor->random) % ACTORS];

    if (other->known) {
        int error = green_kill(other->id, SIGUSR1);
        CHECK(error == 0 || error == ESRCH);
    }
}

static void act(struct actor *actor)
{
    while (stress_goes_on()) {
        const uint32_t number = stress_random(&actor->random) % 100;
        if (number < 50)
            transfer(actor);
        else if (number < 95)
            select_among(actor);
        else
            interrupt_somebody(actor);
        atomic_fetch_add(&operations, 1);
    }
}

static void *act_green(void *arg)
{
    act(arg);
    return NULL;
}

static void *act_foreign(void *arg)
{
    struct actor *me = arg;

    me->id = green_self();
    me->known = true;
    act(me);
    CHECK(green_sem_post(&me->ended) == 0);
    return NULL;
}

static void actor_begin(struct actor *actor)
{
    green_attr_t attr;

    if (actor->n >= MULTIPLEXED + BOUND) {
        CHECK(green_sem_init(&actor->ended, 0, 0) == 0);
        CHECK(pthread_create(&actor->foreign, NULL, act_foreign, actor) == 0);
        return;
    }
    CHECK(green_attr_init(&attr) == 0);
    if (actor->n >= MULTIPLEXED)
        CHECK(green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) == 0);
    CHECK(green_create(&actor->id, &attr, act_green, actor) == 0);
    actor->known = true;
}

static void actor_end(struct actor *actor)
{
    if (actor->n < MULTIPLEXED + BOUND) {
        CHECK(green_join(actor->id, NULL) == 0);
        return;
    }
    while (green_sem_wait(&actor->ended) != 0)
        CHECK(errno == EINTR);
    CHECK(pthread_join(actor->foreign, NULL) == 0);
}

/* Nobody uses it any more. */
static void account_settle(struct account *account)
{
    struct element element;
    int error;

    while ((error = green_chan_tryrecv(account->chan, &element)) == 0)
        note_received(account, &element);
    CHECK(error == EPIPE);
    CHECK(account->sent == account->received);
    CHECK(account->sent_sum == account->received_sum);
    CHECK(green_chan_destroy(account->chan) == 0);
}

static void account_close(struct account *account)
{
    CHECK(green_chan_close(account->chan) == 0);
    CHECK(green_chan_close(account->chan) == EPIPE);
    while (account->users > 0)
        green_usleep(100);
    account_settle(account);
}

static void slot_replace(struct slot *slot, uint64_t *random)
{
    struct account *old = slot->now, *other = &slot->accounts[old == slot->accounts];

    open_account(other, random);
    slot->now = other;
    account_close(old);
    atomic_fetch_add(&replaced, 1);
}

static void replace_often(uint64_t *random)
{
    while (stress_goes_on()) {
        green_usleep(stress_random(random) % 3000);
        slot_replace(&slots[stress_random(random) % SLOTS], random);
    }
    for (unsigned i = 0; i < SLOTS; i++) /* and this is the end of every wait */
        CHECK(green_chan_close(slots[i].now->chan) == 0);
}

int main(int argc, char **argv)
{
    struct stress stress = stress_begin(argc, argv, "chan");
    struct sigaction action = {.sa_handler = on_signal};
    uint64_t random = stress_generator(&stress, ACTORS);

    CHECK(green_sigaction(SIGUSR1, &action, NULL) == 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].now = &slots[i].accounts[0];
        open_account(slots[i].now, &random);
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i].n = i;
        actors[i].random = stress_generator(&stress, i);
        actor_begin(&actors[i]);
    }
    replace_often(&random);
    for (unsigned i = 0; i < ACTORS; i++)
        actor_end(&actors[i]);
    for (unsigned i = 0; i < SLOTS; i++)
        account_settle(slots[i].now);
    printf("chan: %llu done, %llu closed, %llu late, %llu would have waited; %llu channels, %llu handlers\n",
           (unsigned long long)outcomes[0], (unsigned long long)outcomes[1], (unsigned long long)outcomes[2],
           (unsigned long long)outcomes[3], (unsigned long long)replaced + SLOTS, (unsigned long long)handled);
    stress_end("chan", operations);
    return 0;
}
