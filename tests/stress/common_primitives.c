/* See common_primitives.h. */
#include "common_primitives.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include <green.h>
#include <green/cancel.h>
#include <green/chan.h>
#include <green/sync.h>

#include "common.h"

enum { MUTEXES = 4, NAMED_UNITS = 2, CHANNELS = 3, MEETING = 3 };

/* Counted by plain additions inside, and atomically outside. */
struct account {
    volatile long inside;
    atomic_long outside;
};

struct guarded {
    green_mutex_t mutex;
    struct account locks, deaths;
};

struct channel {
    green_chan_t *chan;
    atomic_ullong sent, sent_sum, received, received_sum;
};

/* NORMAL, RECURSIVE, ERRORCHECK with priority inheritance, and robust. */
static struct guarded mutexes[MUTEXES];
static green_rwlock_t rwlock = GREEN_RWLOCK_INITIALIZER;
static volatile long left, right; /* equal while nobody writes */
static struct account writes, spins;
static atomic_long readers;
static green_spinlock_t spin;
static atomic_long named_holders, named_taken, named_back, meetings, serials, met_once;
static struct channel channels[CHANNELS];

static char name[64]; /* this process's */

static void count(struct account *account)
{
    long seen = account->inside;

    for (volatile int i = 0; i < 20; i++)
        continue;
    account->inside = seen + 1;
    atomic_fetch_add(&account->outside, 1);
}

struct timespec stress_soon(uint64_t *random)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += (long)(stress_random(random) % 300) * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* A cancellation point with something held. */
static void dally(uint64_t *random)
{
    const uint32_t way = stress_random(random) % 4;

    if (way == 0)
        green_usleep(stress_random(random) % 200);
    else if (way == 1)
        green_yield();
    else if (way == 2)
        green_testcancel();
}

static void unlock(void *arg)
{
    CHECK(green_mutex_unlock(arg) == 0);
}

/* A robust mutex is left to the next owner by half of those who are cancelled with it. */
static void unlock_or_die(void *arg)
{
    struct guarded *guarded = arg;

    if (guarded->locks.inside % 2)
        CHECK(green_mutex_unlock(&guarded->mutex) == 0);
    else
        atomic_fetch_add(&guarded->deaths.outside, 1);
}

static bool lock_somehow(uint64_t *random, struct guarded *guarded)
{
    const struct timespec limit = stress_soon(random);
    const unsigned way = stress_random(random) % 3;
    const int error = way == 0   ? green_mutex_lock(&guarded->mutex)
                      : way == 1 ? green_mutex_trylock(&guarded->mutex)
                                 : green_mutex_clocklock(&guarded->mutex, CLOCK_MONOTONIC, &limit);

    if (error == EOWNERDEAD) {
        guarded->deaths.inside = guarded->deaths.inside + 1;
        CHECK(green_mutex_consistent(&guarded->mutex) == 0);
        return true;
    }
    CHECK(error == 0 || (way == 1 && error == EBUSY) || (way == 2 && error == ETIMEDOUT));
    return error == 0;
}

static void hold_mutex(uint64_t *random)
{
    const unsigned at = stress_random(random) % MUTEXES;
    struct guarded *guarded = &mutexes[at];

    if (!lock_somehow(random, guarded))
        return;
    count(&guarded->locks);
    if (at == 1) {
        CHECK(green_mutex_lock(&guarded->mutex) == 0);
        CHECK(green_mutex_unlock(&guarded->mutex) == 0);
    }
    if (at == MUTEXES - 1) {
        green_cleanup_push(unlock_or_die, guarded);
        dally(random);
        green_cleanup_pop(0);
        unlock(&guarded->mutex);
    } else {
        green_cleanup_push(unlock, &guarded->mutex);
        dally(random);
        green_cleanup_pop(1);
    }
}

static void end_reading(void *arg)
{
    CHECK(left == *(long *)arg && right == *(long *)arg);
    atomic_fetch_sub(&readers, 1);
    CHECK(green_rwlock_unlock(&rwlock) == 0);
}

static void end_writing(void *arg)
{
    (void)arg;
    right = right + 1;
    CHECK(atomic_load(&readers) == 0);
    CHECK(green_rwlock_unlock(&rwlock) == 0);
}

static bool rwlock_somehow(uint64_t *random, bool to_write)
{
    const struct timespec limit = stress_soon(random);
    const bool timed = stress_random(random) % 2;
    const int error = timed && to_write ? green_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &limit)
                      : timed           ? green_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &limit)
                      : to_write        ? green_rwlock_wrlock(&rwlock)
                                        : green_rwlock_rdlock(&rwlock);

    CHECK(error == 0 || (timed && error == ETIMEDOUT));
    return error == 0;
}

static void hold_rwlock(uint64_t *random)
{
    const bool to_write = stress_random(random) % 4 == 0;

    if (!rwlock_somehow(random, to_write))
        return;
    if (to_write) {
        count(&writes);
        left = left + 1;
        green_cleanup_push(end_writing, NULL);
        dally(random);
        green_cleanup_pop(1);
    } else {
        long seen = left;
        atomic_fetch_add(&readers, 1);
        green_cleanup_push(end_reading, &seen);
        dally(random);
        green_cleanup_pop(1);
    }
}

static void hold_spin(uint64_t *random)
{
    (void)random;
    CHECK(green_spin_lock(&spin) == 0);
    count(&spins);
    CHECK(green_spin_unlock(&spin) == 0);
}

struct opened {
    green_sem_t *sem;
    bool held;
};

static void close_named(void *arg)
{
    struct opened *opened = arg;

    if (opened->held) {
        atomic_fetch_sub(&named_holders, 1);
        atomic_fetch_add(&named_back, 1);
        CHECK(green_sem_post(opened->sem) == 0);
    }
    CHECK(green_sem_close(opened->sem) == 0);
}

static void hold_named(uint64_t *random)
{
    const struct timespec limit = stress_soon(random);
    struct opened opened = {green_sem_open(name, 0), false};

    CHECK(opened.sem != GREEN_SEM_FAILED);
    green_cleanup_push(close_named, &opened);
    int result = stress_random(random) % 2 ? green_sem_wait(opened.sem)
                                           : green_sem_clockwait(opened.sem, CLOCK_MONOTONIC, &limit);
    CHECK(result == 0 || errno == ETIMEDOUT);
    if (result == 0) {
        opened.held = true;
        atomic_fetch_add(&named_taken, 1);
        CHECK(atomic_fetch_add(&named_holders, 1) < NAMED_UNITS);
        dally(random);
    }
    green_cleanup_pop(1);
}

/* Members of a meeting, of whom the convener is one; it may be cancelled only when it joins them. */
struct meeting {
    green_barrier_t barrier;
    green_once_t once;
    green_t threads[MEETING - 1];
    unsigned joined;
};

static void met(void)
{
    atomic_fetch_add(&met_once, 1);
}

static void *meet(void *arg)
{
    struct meeting *meeting = arg;
    int result = green_barrier_wait(&meeting->barrier);

    CHECK(result == 0 || result == GREEN_BARRIER_SERIAL_THREAD);
    atomic_fetch_add(&serials, result != 0);
    CHECK(green_once(&meeting->once, met) == 0);
    return arg;
}

static void join_members(void *arg)
{
    struct meeting *meeting = arg;
    void *result;

    while (meeting->joined < MEETING - 1) {
        CHECK(green_join(meeting->threads[meeting->joined], &result) == 0 && result == meeting);
        meeting->joined++;
    }
    CHECK(green_barrier_destroy(&meeting->barrier) == 0);
}

static void hold_meeting(uint64_t *random)
{
    struct meeting meeting = {.once = GREEN_ONCE_INIT};
    int before;

    (void)random;
    CHECK(green_barrier_init(&meeting.barrier, NULL, MEETING) == 0);
    CHECK(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0);
    for (unsigned i = 0; i < MEETING - 1; i++)
        CHECK(green_create(&meeting.threads[i], NULL, meet, &meeting) == 0);
    meet(&meeting);
    atomic_fetch_add(&meetings, 1);
    green_cleanup_push(join_members, &meeting);
    CHECK(green_setcancelstate(before, NULL) == 0);
    while (meeting.joined < MEETING - 1) {
        CHECK(green_join(meeting.threads[meeting.joined], NULL) == 0);
        meeting.joined++;
    }
    green_cleanup_pop(1);
}

static void note_sent(struct channel *channel, uint64_t value)
{
    atomic_fetch_add(&channel->sent, 1);
    atomic_fetch_add(&channel->sent_sum, value);
}

static void note_received(struct channel *channel, uint64_t value)
{
    atomic_fetch_add(&channel->received, 1);
    atomic_fetch_add(&channel->received_sum, value);
}

/* Who is cancelled in it has sent nothing, and received nothing. */
static void transfer(uint64_t *random)
{
    struct channel *channel = &channels[stress_random(random) % CHANNELS];
    const struct timespec limit = stress_soon(random);
    const bool timed = stress_random(random) % 2, sends = stress_random(random) % 2;
    uint64_t value = stress_random(random);
    const int error = sends && timed ? green_chan_clocksend(channel->chan, &value, CLOCK_MONOTONIC, &limit)
                      : sends        ? green_chan_send(channel->chan, &value)
                      : timed        ? green_chan_clockrecv(channel->chan, &value, CLOCK_MONOTONIC, &limit)
                                     : green_chan_recv(channel->chan, &value);

    CHECK(error == 0 || (timed && error == ETIMEDOUT));
    if (error == 0)
        (sends ? note_sent : note_received)(channel, value);
}

static void select_among(uint64_t *random)
{
    const struct timespec limit = stress_soon(random);
    const bool timed = stress_random(random) % 2;
    struct green_case cases[CHANNELS];
    uint64_t values[CHANNELS];

    for (unsigned i = 0; i < CHANNELS; i++) {
        values[i] = stress_random(random);
        cases[i] = (struct green_case){channels[i].chan, stress_random(random) % 2 ? GREEN_SEND : GREEN_RECV,
                                       &values[i], 0};
    }
    int chosen = timed ? green_clockselect(cases, CHANNELS, CLOCK_MONOTONIC, &limit)
                       : green_select(cases, CHANNELS, NULL);
    if (chosen < 0) {
        CHECK(timed && errno == ETIMEDOUT);
        return;
    }
    CHECK(cases[chosen].error == 0);
    (cases[chosen].op == GREEN_SEND ? note_sent : note_received)(&channels[chosen], values[chosen]);
}

/* Weighted by their number. */
static void (*const steps[])(uint64_t *) = {
    hold_mutex, hold_mutex, hold_mutex, hold_rwlock, hold_rwlock,  hold_spin,    hold_named,
    hold_named, transfer,   transfer,   transfer,    select_among, select_among, hold_meeting,
};

void primitives_step(uint64_t *random)
{
    steps[stress_random(random) % (sizeof steps / sizeof *steps)](random);
}

void primitives_prepare(void)
{
    static const int types[MUTEXES] = {GREEN_MUTEX_NORMAL, GREEN_MUTEX_RECURSIVE, GREEN_MUTEX_ERRORCHECK,
                                       GREEN_MUTEX_NORMAL};
    static const size_t capacities[CHANNELS] = {0, 1, 5};

    for (unsigned i = 0; i < MUTEXES; i++) {
        green_mutexattr_t attr;
        CHECK(green_mutexattr_init(&attr) == 0 && green_mutexattr_settype(&attr, types[i]) == 0);
        if (i == 2)
            CHECK(green_mutexattr_setprotocol(&attr, GREEN_PRIO_INHERIT) == 0);
        if (i == MUTEXES - 1)
            CHECK(green_mutexattr_setrobust(&attr, GREEN_MUTEX_ROBUST) == 0);
        CHECK(green_mutex_init(&mutexes[i].mutex, &attr) == 0);
    }
    for (unsigned i = 0; i < CHANNELS; i++)
        CHECK(green_chan_create(&channels[i].chan, sizeof(uint64_t), capacities[i]) == 0);
    CHECK(green_spin_init(&spin, GREEN_PROCESS_PRIVATE) == 0);
    snprintf(name, sizeof name, "/green-stress-cancel-%d", (int)getpid());
    green_sem_unlink(name); /* of one that was killed */
    green_sem_t *sem = green_sem_open(name, O_CREAT | O_EXCL, 0600, (unsigned)NAMED_UNITS);
    CHECK(sem != GREEN_SEM_FAILED);
}

static void account_mutex(struct guarded *guarded)
{
    uint64_t random = 0;

    while (!lock_somehow(&random, guarded)) /* and take note of the last death */
        continue;
    CHECK(green_mutex_unlock(&guarded->mutex) == 0 && green_mutex_destroy(&guarded->mutex) == 0);
    CHECK(guarded->locks.inside == guarded->locks.outside && guarded->deaths.inside == guarded->deaths.outside);
}

static void account_channel(struct channel *channel)
{
    uint64_t value;
    int error;

    while ((error = green_chan_tryrecv(channel->chan, &value)) == 0)
        note_received(channel, value);
    CHECK(error == EAGAIN);
    CHECK(channel->sent == channel->received && channel->sent_sum == channel->received_sum);
    CHECK(green_chan_destroy(channel->chan) == 0);
}

static void account_named(void)
{
    green_sem_t *sem = green_sem_open(name, 0);
    int value;

    CHECK(sem != GREEN_SEM_FAILED && green_sem_getvalue(sem, &value) == 0 && value == NAMED_UNITS);
    CHECK(named_taken == named_back && named_holders == 0);
    CHECK(green_sem_close(sem) == 0 && green_sem_close(sem) == 0 && green_sem_unlink(name) == 0);
}

void primitives_account(void)
{
    for (unsigned i = 0; i < MUTEXES; i++)
        account_mutex(&mutexes[i]);
    for (unsigned i = 0; i < CHANNELS; i++)
        account_channel(&channels[i]);
    account_named();
    CHECK(left == right && left == writes.inside && writes.inside == writes.outside && readers == 0);
    CHECK(spins.inside == spins.outside);
    CHECK(serials == meetings && met_once == meetings);
    CHECK(green_rwlock_destroy(&rwlock) == 0 && green_spin_destroy(&spin) == 0);
    printf("cancel: %ld locks, %ld deaths with one, %ld writes, %ld named units, %llu elements, %ld meetings\n",
           mutexes[0].locks.inside, mutexes[MUTEXES - 1].deaths.inside, writes.inside, (long)named_taken,
           (unsigned long long)(channels[0].sent + channels[1].sent + channels[2].sent), (long)meetings);
}
