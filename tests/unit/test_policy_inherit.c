/*
 * Policies: what the owner of a mutex is lent by those who wait for it.
 */
#include "policy.h"

TestSuite(policy_inherit, .timeout = LIMIT);

/* Inheritance.  Each holds its own mutex, if any, and wants the next one's. */
struct party {
    char who;
    green_mutex_t *holds, *wants;
    green_sem_t gate;
    int64_t limit_ns;
};

static void *take_part(void *arg)
{
    struct party *party = arg;
    if (party->holds)
        must(green_mutex_lock(party->holds) == 0);
    green_sem_wait(&party->gate);
    if (party->wants && party->limit_ns) {
        struct timespec limit = time_after(CLOCK_REALTIME, party->limit_ns);
        must(green_mutex_timedlock(party->wants, &limit) == ETIMEDOUT);
    } else if (party->wants) {
        must(green_mutex_lock(party->wants) == 0);
    }
    if (party->wants && !party->limit_ns)
        must(green_mutex_unlock(party->wants) == 0);
    if (party->holds)
        must(green_mutex_unlock(party->holds) == 0);
    note(party->who);
    return NULL;
}

static green_t join_in(int priority, struct party *party)
{
    green_sem_init(&party->gate, 0, 0);
    return spawn_at(priority, take_part, party);
}

/*
 * The low one holds the mutex that the top one waits for: it is above the middle one, until the mutex is open.
 * meanwhile(), if any, is called with the top one while it waits.
 */
static void check_three(green_mutex_t *mutex, void (*meanwhile)(green_t))
{
    struct party low = {.who = 'l', .holds = mutex}, middle = {.who = 'm'}, top = {.who = 'h', .wants = mutex};
    green_t l = join_in(1, &low), m = join_in(2, &middle), h = join_in(3, &top);
    green_sem_post(&top.gate);
    if (meanwhile)
        meanwhile(h);
    main_at(SETUP);
    green_sem_post(&middle.gate);
    green_sem_post(&low.gate);
    main_at(0);
    cr_assert_str_eq(noted(), "hml", "the middle one ran before the mutex was open, or the low one kept what it was lent");
    join_result(l);
    join_result(m);
    join_result(h);
}

static void check_inversion(int type)
{
    green_mutexattr_t attr;
    green_mutex_t mutex;
    green_mutexattr_init(&attr);
    green_mutexattr_settype(&attr, type);
    green_mutex_init(&mutex, &attr);
    start_policy("priority", 1, LONG_SLICE_US);
    check_three(&mutex, NULL);
    cr_assert_eq(green_mutex_destroy(&mutex), 0);
}

Test(policy_inherit, inversion_is_answered_normal)
{
    check_inversion(GREEN_MUTEX_NORMAL);
}

Test(policy_inherit, inversion_is_answered_recursive)
{
    check_inversion(GREEN_MUTEX_RECURSIVE);
}

Test(policy_inherit, inversion_is_answered_errorcheck)
{
    check_inversion(GREEN_MUTEX_ERRORCHECK);
}

Test(policy_inherit, what_is_lent_goes_on_along_a_chain)
{
    green_mutex_t a = GREEN_MUTEX_INITIALIZER, b = GREEN_MUTEX_INITIALIZER;
    struct party first = {.who = '1', .holds = &a}, second = {.who = '2', .holds = &b, .wants = &a},
                 middle = {.who = 'm'}, top = {.who = 'h', .wants = &b};
    start_policy("priority", 1, LONG_SLICE_US);
    green_t t1 = join_in(1, &first), t2 = join_in(2, &second), m = join_in(3, &middle), h = join_in(4, &top);
    green_sem_post(&second.gate);
    green_sem_post(&top.gate);
    main_at(SETUP);
    green_sem_post(&middle.gate);
    green_sem_post(&first.gate);
    main_at(0);
    cr_assert_str_eq(noted(), "hm21");
    join_result(t1);
    join_result(t2);
    join_result(m);
    join_result(h);
}

Test(policy_inherit, what_was_lent_is_taken_back_after_a_timeout)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    struct party low = {.who = 'l', .holds = &mutex}, middle = {.who = 'm'},
                 top = {.who = 'h', .wants = &mutex, .limit_ns = 1000000};
    start_policy("priority", 1, LONG_SLICE_US);
    green_t l = join_in(1, &low), m = join_in(2, &middle), h = join_in(3, &top);
    green_sem_post(&top.gate);
    join_result(h);
    main_at(SETUP);
    green_sem_post(&low.gate);
    green_sem_post(&middle.gate);
    main_at(0);
    cr_assert_str_eq(noted(), "hml");
    join_result(l);
    join_result(m);
}

Test(policy_inherit, a_bound_thread_locks_what_others_wait_for)
{
    static green_mutex_t lock = GREEN_MUTEX_INITIALIZER;
    struct party holder = {.who = 'b', .holds = &lock}, waiter = {.who = 'w', .wants = &lock};
    green_attr_t attr;
    green_t bound;
    start_policy("priority", 1, TICK_US);
    green_sem_init(&holder.gate, 0, 0);
    green_attr_init(&attr);
    green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM);
    cr_assert_eq(green_create(&bound, &attr, take_part, &holder), 0);
    wait_for(green_mutex_trylock(&lock) == EBUSY || green_mutex_unlock(&lock) != 0);
    green_t thread = join_in(9, &waiter);
    green_sem_post(&waiter.gate);
    green_sem_post(&holder.gate);
    join_result(thread);
    join_result(bound);
    cr_assert_eq(green_mutex_destroy(&lock), 0);
}

static void interrupt_thrice(green_t waiter)
{
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(green_kill(waiter, SIGUSR1), 0);
        cr_assert_eq(signals_counted(), i, "it was woken, above main, and waits again");
    }
}

Test(policy_inherit, a_signal_interrupts_the_wait_and_what_is_lent)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    start_policy("priority", 1, LONG_SLICE_US);
    count_signals(SIGUSR1, 0);
    check_three(&mutex, interrupt_thrice);
}

struct waiter {
    char who;
    green_mutex_t *mutex;
};

static void *note_locked(void *arg)
{
    struct waiter *waiter = arg;
    must(green_mutex_lock(waiter->mutex) == 0);
    note(waiter->who);
    must(green_mutex_unlock(waiter->mutex) == 0);
    return NULL;
}

Test(policy_inherit, waiters_are_served_by_priority)
{
    green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
    struct waiter waiters[] = {{'a', &mutex}, {'b', &mutex}, {'c', &mutex}};
    green_t threads[3];
    start_policy("priority", 1, LONG_SLICE_US);
    green_mutex_lock(&mutex);
    for (int i = 0; i < 3; i++) /* each above what main has been lent by the one before */
        threads[i] = spawn_at(1 + i, note_locked, &waiters[i]);
    cr_assert_eq(order_length, 0);
    green_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
    cr_assert_str_eq(noted(), "cba");
}
