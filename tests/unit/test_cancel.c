/*
 * Cancellation: every cancellation point, before it waits and while it does, on multiplexed and on bound threads; what
 * is none; states and types; and that a cancelled waiter takes nothing with it.
 */
#include "unit.h"

#include <green/signal.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/table.h"

TestSuite(cancel, .timeout = LIMIT);

enum { ROUNDS = 2000 };

static const struct timespec far = {.tv_sec = 4000000000};
static const struct timespec long_time = {.tv_sec = 1000000};

static atomic_int reached, passed;
static green_sem_t never, gate;
static green_mutex_t mutex;
static green_cond_t cond = GREEN_COND_INITIALIZER;
static green_t target; /* that nobody ends */

static green_t spawn_in(int scope, void *(*routine)(void *), void *arg)
{
    green_attr_t attr;
    green_t thread;

    must(green_attr_init(&attr) == 0 && green_attr_setscope(&attr, scope) == 0);
    must(green_create(&thread, &attr, routine, arg) == 0);
    return thread;
}

/* It waits, and a cancellation would end that. */
static int is_parked(green_t id)
{
    const struct thread *thread = table_find(id);
    return thread && atomic_load(&thread->state) == THREAD_PARKED;
}

static void *wait_for_gate(void *arg)
{
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_sem_wait(&gate) == 0);
    return arg;
}

static void begin(unsigned procs)
{
    green_mutexattr_t attr;

    start(procs);
    must(green_sem_init(&never, 0, 0) == 0 && green_sem_init(&gate, 0, 0) == 0);
    must(green_mutexattr_init(&attr) == 0 && green_mutexattr_settype(&attr, GREEN_MUTEX_ERRORCHECK) == 0);
    must(green_mutex_init(&mutex, &attr) == 0);
}

/* The points.  None of them comes back. */

static void point_join(void)
{
    green_join(target, NULL);
}

static void unlock_mutex(void *arg)
{
    must(green_mutex_unlock(&mutex) == 0);
    (void)arg;
}

static void point_cond(int way)
{
    must(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(unlock_mutex, NULL);
    if (way == 0)
        green_cond_wait(&cond, &mutex);
    else if (way == 1)
        green_cond_timedwait(&cond, &mutex, &far);
    else
        green_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &far);
    green_cleanup_pop(1);
}

static void point_cond_wait(void)
{
    point_cond(0);
}

static void point_cond_timedwait(void)
{
    point_cond(1);
}

static void point_cond_clockwait(void)
{
    point_cond(2);
}

static void point_sem_wait(void)
{
    green_sem_wait(&never);
}

static void point_sem_timedwait(void)
{
    green_sem_timedwait(&never, &far);
}

static void point_sem_clockwait(void)
{
    green_sem_clockwait(&never, CLOCK_MONOTONIC, &far);
}

static void point_sleep(void)
{
    green_sleep(1000000);
}

static void point_usleep(void)
{
    green_usleep(4000000000U);
}

static void point_nanosleep(void)
{
    green_nanosleep(&long_time, NULL);
}

static void point_clock_nanosleep(void)
{
    green_clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &far, NULL);
}

static sigset_t usr1(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

static void point_sigwait(void)
{
    const sigset_t set = usr1();
    int number;
    green_sigwait(&set, &number);
}

static void point_sigwaitinfo(void)
{
    const sigset_t set = usr1();
    green_sigwaitinfo(&set, NULL);
}

static void point_sigtimedwait(void)
{
    const sigset_t set = usr1();
    green_sigtimedwait(&set, NULL, &long_time);
}

static void mask_is_back(void *arg)
{
    sigset_t now;
    must(green_sigmask(SIG_SETMASK, NULL, &now) == 0);
    must(sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGHUP) == 0);
    (void)arg;
}

static void point_sigsuspend(void)
{
    const sigset_t set = usr1();
    sigset_t meanwhile;

    must(green_sigmask(SIG_SETMASK, &set, NULL) == 0);
    sigemptyset(&meanwhile);
    sigaddset(&meanwhile, SIGHUP);
    green_cleanup_push(mask_is_back, NULL);
    green_sigsuspend(&meanwhile);
    green_cleanup_pop(0);
}

static void point_testcancel(void)
{
    for (;;) {
        green_testcancel();
        green_yield();
    }
}

static void (*const points[])(void) = {
    point_join,          point_cond_wait, point_cond_timedwait, point_cond_clockwait, point_sem_wait,
    point_sem_timedwait, point_sem_clockwait, point_sleep,      point_usleep,         point_nanosleep,
    point_clock_nanosleep, point_sigwait, point_sigwaitinfo,    point_sigtimedwait,   point_sigsuspend,
    point_testcancel,
};

enum { POINTS = sizeof points / sizeof *points };

static void count_pass(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void *reach(void *arg)
{
    void (*const *point)(void) = arg;

    green_cleanup_push(count_pass, &passed);
    atomic_fetch_add(&reached, 1);
    (*point)();
    green_cleanup_pop(0);
    return NULL;
}

/* The same with a request that is there already. */
static void *reach_cancelled(void *arg)
{
    must(green_cancel(green_self()) == 0);
    return reach(arg);
}

static void each_point(int scope, void *(*routine)(void *), int parked)
{
    target = spawn(wait_for_gate, NULL);
    for (int i = 0; i < POINTS; i++) {
        atomic_store(&reached, 0);
        atomic_store(&passed, 0);
        green_t thread = spawn_in(scope, routine, (void *)&points[i]);
        if (parked) {
            wait_for(atomic_load(&reached) == 1 && (points[i] == point_testcancel || is_parked(thread)));
            must(green_cancel(thread) == 0);
        }
        cr_assert_eq(join_result(thread), GREEN_CANCELED, "point %d", i);
        cr_assert_eq(atomic_load(&passed), 1, "point %d", i);
        cr_assert_eq(green_cancel(thread), ESRCH);
    }
    must(green_mutex_lock(&mutex) == 0); /* by nobody held */
    must(green_mutex_unlock(&mutex) == 0);
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(join_result(target), NULL); /* is joinable still */
}

/* Multiplexed on one processor and on two, and bound. */
#define ON_ALL(name)                          \
    static void cancel_##name(int scope);     \
    Test(cancel, name##_on_1)                 \
    {                                         \
        begin(1);                             \
        cancel_##name(GREEN_SCOPE_PROCESS);   \
    }                                         \
    Test(cancel, name##_on_2)                 \
    {                                         \
        begin(2);                             \
        cancel_##name(GREEN_SCOPE_PROCESS);   \
    }                                         \
    Test(cancel, name##_bound)                \
    {                                         \
        begin(2);                             \
        cancel_##name(GREEN_SCOPE_SYSTEM);    \
    }                                         \
    static void cancel_##name(int scope)

ON_ALL(parked_at_a_point)
{
    each_point(scope, reach, 1);
}

ON_ALL(wanted_before_a_point)
{
    each_point(scope, reach_cancelled, 0);
}


/* What is no point. */

static void *lock_and_yield(void *arg)
{
    must(green_cancel(green_self()) == 0);
    must(green_mutex_lock(&mutex) == 0);
    must(green_yield() == 0);
    must(green_mutex_trylock(&mutex) == EBUSY);
    must(green_sem_post(&gate) == 0 && green_sem_trywait(&gate) == 0);
    must(green_cond_signal(&cond) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(other_calls_are_none)
{
    cr_assert_eq(join_result(spawn_in(scope, lock_and_yield, NULL)), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

static void *lock_it(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_fetch_add(&passed, 1);
    must(green_mutex_unlock(&mutex) == 0);
    green_testcancel();
    return arg;
}

ON_ALL(a_mutex_is_waited_for)
{
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn_in(scope, lock_it, NULL);
    wait_for(is_parked(thread));
    must(green_cancel(thread) == 0);
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert(is_parked(thread));
    must(green_mutex_unlock(&mutex) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

static void *points_in_a_section(void *arg)
{
    must(green_cancel(green_self()) == 0);
    green_critical_enter();
    green_testcancel();
    green_critical_leave();
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(a_section_has_none)
{
    cr_assert_eq(join_result(spawn_in(scope, points_in_a_section, NULL)), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

/* Before its first instruction. */
ON_ALL(a_thread_that_has_not_begun)
{
    green_t thread = spawn_in(scope, reach, (void *)&points[4]);
    must(green_cancel(thread) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

/* States and types. */

static void *disabled(void *arg)
{
    int before = -1;

    must(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0 && before == GREEN_CANCEL_ENABLE);
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, &before) == 0 && before == GREEN_CANCEL_DISABLE);
    must(green_setcancelstate(2, &before) == EINVAL && green_setcancelstate(-1, &before) == EINVAL);
    must(green_setcanceltype(2, &before) == EINVAL && green_setcanceltype(-1, &before) == EINVAL);
    must(before == GREEN_CANCEL_DISABLE);
    atomic_fetch_add(&reached, 1);
    must(green_sem_wait(&gate) == 0); /* cancelled in here */
    green_testcancel();
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, &before) == 0 && before == GREEN_CANCEL_DEFERRED);
    must(green_setcanceltype(GREEN_CANCEL_DEFERRED, &before) == 0 && before == GREEN_CANCEL_ASYNCHRONOUS);
    must(green_usleep(1) == 0);
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    atomic_fetch_add(&passed, 1);
    green_testcancel();
    return arg;
}

ON_ALL(disabled_it_waits)
{
    green_t thread = spawn_in(scope, disabled, NULL);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_cancel(thread) == 0);
    must(green_cancel(thread) == 0);
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert(is_parked(thread));
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

static void *asynchronous_hog(void *arg)
{
    green_cleanup_push(count_pass, &passed);
    must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    for (;;)
        continue;
    green_cleanup_pop(0);
    return arg;
}

ON_ALL(asynchronous_in_a_loop)
{
    for (int round = 1; round <= 200; round++) {
        green_t thread = spawn_in(scope, asynchronous_hog, NULL);
        if (round % 2)
            wait_for(atomic_load(&reached) > 0);
        else
            green_yield();
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), round);
        atomic_store(&reached, 0);
    }
}

static void *asynchronous_at_once(void *arg)
{
    const long way = (long)arg;

    green_cleanup_push(count_pass, &passed);
    if (way == 0) { /* its own */
        must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
        green_cancel(green_self());
    } else if (way == 1) { /* pending, the type comes */
        must(green_cancel(green_self()) == 0);
        green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL);
    } else { /* pending, the state comes */
        must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
        must(green_setcanceltype(GREEN_CANCEL_ASYNCHRONOUS, NULL) == 0);
        must(green_cancel(green_self()) == 0);
        green_setcancelstate(GREEN_CANCEL_ENABLE, NULL);
    }
    must(0);
    green_cleanup_pop(0);
    return NULL;
}

ON_ALL(asynchronous_at_once)
{
    for (long way = 0; way < 3; way++) {
        cr_assert_eq(join_result(spawn_in(scope, asynchronous_at_once, (void *)way)), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), way + 1);
    }
}

/* Errors. */

static void *nothing(void *arg)
{
    return arg;
}

ON_ALL(who_has_ended)
{
    green_t thread = spawn_in(scope, nothing, &gate);
    wait_for(atomic_load(&table_find(thread)->state) == THREAD_EXITED);
    cr_assert_eq(green_cancel(thread), 0);
    cr_assert_eq(join_result(thread), &gate);
    cr_assert_eq(green_cancel(thread), ESRCH);
    cr_assert_eq(green_cancel(0), ESRCH);
    cr_assert_eq(green_cancel(~(green_t)0), ESRCH);
    for (int i = 0; i < 20; i++) { /* in the same structure, likely; none of them is meant */
        green_t next = spawn_in(scope, reach_cancelled, (void *)&points[POINTS - 1]);
        cr_assert_eq(green_cancel(thread), ESRCH);
        cr_assert_eq(join_result(next), GREEN_CANCELED);
        cr_assert_eq(join_result(spawn_in(scope, lock_it, &mutex)), &mutex);
    }
}

/* Handlers. */

static int order[16];
static atomic_int length;

static void note(void *arg)
{
    order[atomic_fetch_add(&length, 1)] = (int)(long)arg;
}

static pthread_key_t key;

static __attribute__((noinline)) void innermost(int by_exit)
{
    green_cleanup_push(note, (void *)5);
    green_cleanup_push(note, (void *)4);
    green_cleanup_pop(1); /* the first to run */
    green_cleanup_push(note, (void *)99);
    green_cleanup_pop(0);
    if (by_exit)
        green_exit(&key);
    green_cancel(green_self());
    green_testcancel();
    green_cleanup_pop(0);
}

static __attribute__((noinline)) void middle(int by_exit)
{
    char room[500];
    memset(room, by_exit, sizeof room);
    green_cleanup_push(note, (void *)6);
    innermost(room[1]);
    green_cleanup_pop(0);
}

static void *in_order(void *arg)
{
    must(pthread_setspecific(key, (void *)9) == 0);
    green_cleanup_push(note, (void *)8);
    green_cleanup_push(note, (void *)7);
    middle(arg != NULL);
    green_cleanup_pop(0);
    green_cleanup_pop(0);
    return NULL;
}

ON_ALL(handlers_come_in_order)
{
    must(pthread_key_create(&key, note) == 0);
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        atomic_store(&length, 0);
        void *result = join_result(spawn_in(scope, in_order, by_exit ? &key : NULL));
        cr_assert_eq(result, by_exit ? (void *)&key : GREEN_CANCELED);
        cr_assert_eq(atomic_load(&length), 6);
        for (int i = 0; i < 6; i++)
            cr_assert_eq(order[i], 4 + i, "%d comes at %d", order[i], i);
    }
}

/* A handler may wait, and is not cancelled again, whatever it says. */
static void wait_in_handler(void *arg)
{
    green_testcancel();
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    must(green_sem_wait(&gate) == 0);
    must(green_usleep(1) == 0);
    atomic_fetch_add(&passed, 1);
    (void)arg;
}

static void *wait_at_the_end(void *arg)
{
    green_cleanup_push(wait_in_handler, NULL);
    must(pthread_setspecific(key, &key) == 0);
    green_sem_wait(&never);
    green_cleanup_pop(0);
    return arg;
}

ON_ALL(handlers_are_not_cancelled)
{
    must(pthread_key_create(&key, wait_in_handler) == 0);
    green_t thread = spawn_in(scope, wait_at_the_end, NULL);
    for (int i = 0; i < 3; i++) {
        wait_for(atomic_load(&reached) == i && is_parked(thread));
        must(green_cancel(thread) == 0);
        if (i > 0)
            must(green_sem_post(&gate) == 0);
    }
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 2);
}

/* Cancelled as its destructors run, a thread that returns keeps its result. */
static void *return_with_a_value(void *arg)
{
    must(pthread_setspecific(key, &key) == 0);
    return arg;
}

ON_ALL(an_end_is_not_cancelled)
{
    must(pthread_key_create(&key, wait_in_handler) == 0);
    green_t thread = spawn_in(scope, return_with_a_value, &gate);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_cancel(thread) == 0);
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(join_result(thread), &gate);
    cr_assert_eq(atomic_load(&passed), 1);
}

static void exit_with(void *arg)
{
    atomic_fetch_add(&reached, 1);
    green_exit(arg);
}

static void *exit_again(void *arg)
{
    green_cleanup_push(count_pass, &passed);
    green_cleanup_push(exit_with, arg);
    green_exit(NULL);
    green_cleanup_pop(0);
    green_cleanup_pop(0);
    return NULL;
}

static void *exit_in_destructor(void *arg)
{
    must(pthread_setspecific(key, arg) == 0);
    return exit_again(NULL);
}

/* Beyond POSIX. */
ON_BOTH(cancel, an_exit_within_an_exit)
{
    cr_assert_eq(join_result(spawn(exit_again, &gate)), &gate);
    cr_assert_eq(atomic_load(&reached), 1);
    cr_assert_eq(atomic_load(&passed), 1);
    must(pthread_key_create(&key, exit_with) == 0);
    cr_assert_eq(join_result(spawn(exit_in_destructor, &mutex)), &mutex);
    cr_assert_eq(atomic_load(&reached), 3);
    cr_assert_eq(atomic_load(&passed), 2);
}

/* Kernel threads of the program's own. */

static green_t foreign_id;

static void *foreign_waits(void *arg)
{
    foreign_id = green_self();
    green_cleanup_push(count_pass, &passed);
    atomic_fetch_add(&reached, 1);
    green_sem_wait(&never);
    green_cleanup_pop(0);
    return arg;
}

Test(cancel, a_foreign_thread)
{
    pthread_t thread;
    void *result;

    begin(1);
    must(pthread_create(&thread, NULL, foreign_waits, NULL) == 0);
    wait_for(atomic_load(&reached) == 1 && is_parked(foreign_id));
    cr_assert_eq(green_cancel(foreign_id), 0);
    green_blocking_enter();
    must(pthread_join(thread, &result) == 0);
    green_blocking_leave();
    cr_assert_eq(result, GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
    cr_assert_eq(green_cancel(foreign_id), ESRCH);
}

/* Wake-ups that meet a cancellation. */

static atomic_int taken, tokens_taken;
static int tokens;

static void *take_unit(void *arg)
{
    atomic_fetch_add(&reached, 1);
    if (arg)
        must(green_sem_timedwait(&gate, &far) == 0);
    else
        must(green_sem_wait(&gate) == 0);
    atomic_fetch_add(&taken, 1);
    return arg;
}

static void *post_unit(void *arg)
{
    must(green_sem_post(&gate) == 0);
    return arg;
}

/* A unit comes as the waiter is cancelled: it has it, or the unit is there. */
ON_ALL(a_unit_is_not_lost)
{
    int cancelled = 0;
    int value;
    for (int round = 0; round < (scope == GREEN_SCOPE_SYSTEM ? ROUNDS / 10 : ROUNDS); round++) {
        green_t waiter = spawn_in(scope, take_unit, round % 2 ? &gate : NULL);
        green_t poster = spawn(post_unit, NULL);
        for (int i = 0; i < round % 5; i++)
            green_yield();
        must(green_cancel(waiter) == 0);
        const int lost = join_result(waiter) == GREEN_CANCELED;
        join_result(poster);
        must(green_sem_getvalue(&gate, &value) == 0 && value == lost);
        if (lost)
            must(green_sem_trywait(&gate) == 0);
        cancelled += lost;
        cr_assert_eq(atomic_load(&taken), round + 1 - cancelled);
    }
    cr_assert_eq(green_sem_destroy(&gate), 0);
}

static void *take_token(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    green_cleanup_push(unlock_mutex, NULL);
    atomic_fetch_add(&reached, 1);
    while (tokens == 0)
        green_cond_wait(&cond, &mutex);
    tokens--;
    atomic_fetch_add(&tokens_taken, 1);
    green_cleanup_pop(1);
    return arg;
}

static void *put_token(void *arg)
{
    must(green_mutex_lock(&mutex) == 0);
    tokens++;
    must(green_mutex_unlock(&mutex) == 0);
    must(green_cond_signal(&cond) == 0);
    return arg;
}

/*
 * Two wait, the first is cancelled, and one signal comes: who is left has the token, unless the cancelled one had it;
 * then one more is for the other.
 */
ON_ALL(a_signal_of_a_condition_is_not_lost)
{
    for (int round = 0; round < (scope == GREEN_SCOPE_SYSTEM ? ROUNDS / 10 : ROUNDS); round++) {
        atomic_store(&reached, 0);
        green_t first = spawn_in(scope, take_token, NULL);
        wait_for(atomic_load(&reached) == 1);
        green_t second = spawn_in(scope, take_token, NULL);
        wait_for(atomic_load(&reached) == 2);
        green_t putter = spawn(put_token, NULL);
        for (int i = 0; i < round % 5; i++)
            green_yield();
        must(green_cancel(first) == 0);
        if (join_result(first) != GREEN_CANCELED)
            put_token(NULL);
        cr_assert_eq(join_result(second), NULL);
        join_result(putter);
        cr_assert_eq(tokens, 0);
        cr_assert_eq(green_cond_destroy(&cond), 0);
    }
}

static atomic_int handled;

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static void *take_signal(void *arg)
{
    const sigset_t set = usr1();
    int number;

    atomic_fetch_add(&reached, 1);
    must(green_sigwait(&set, &number) == 0 && number == SIGUSR1);
    atomic_fetch_add(&taken, 1);
    return arg;
}

/* A signal to the process comes as the waiter for it is cancelled: another one waits for it then. */
ON_ALL(a_signal_is_not_lost)
{
    const sigset_t set = usr1();
    int number;
    int cancelled = 0;
    must(green_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (int round = 0; round < ROUNDS / 10; round++) {
        green_t waiter = spawn_in(scope, take_signal, NULL);
        wait_for(atomic_load(&reached) == round + 1);
        must(kill(getpid(), SIGUSR1) == 0);
        must(green_cancel(waiter) == 0);
        if (join_result(waiter) == GREEN_CANCELED) {
            must(green_sigwait(&set, &number) == 0 && number == SIGUSR1);
            cancelled++;
        }
        cr_assert_eq(atomic_load(&taken), round + 1 - cancelled);
    }
}

static void *reach_again_and_again(void *arg)
{
    void (*const *point)(void) = arg;

    for (;;)
        (*point)();
    return arg;
}

/* Signals and cancellation claim the same waiters. */
ON_ALL(among_signals)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    must(green_sigaction(SIGUSR2, &action, NULL) == 0);
    target = spawn(wait_for_gate, NULL);
    for (int round = 0; round < ROUNDS / 10; round++) {
        const int before = atomic_load(&handled);
        green_t waiter = spawn_in(scope, reach_again_and_again, (void *)&points[round % POINTS]);
        must(green_kill(waiter, SIGUSR2) == 0);
        wait_for(atomic_load(&handled) > before);
        must(green_kill(waiter, SIGUSR2) == 0);
        must(green_cancel(waiter) == 0);
        cr_assert_eq(join_result(waiter), GREEN_CANCELED);
    }
    must(green_sem_post(&gate) == 0);
    join_result(target);
}

/* A handler's own waits are no part of the call that it interrupted. */
static void lock_in_handler(int number)
{
    (void)number;
    must(green_mutex_lock(&mutex) == 0);
    must(green_mutex_unlock(&mutex) == 0);
    atomic_fetch_add(&handled, 1);
}

ON_ALL(a_handler_waits_for_a_mutex)
{
    struct sigaction action = {.sa_handler = lock_in_handler, .sa_flags = SA_RESTART};
    must(green_sigaction(SIGUSR2, &action, NULL) == 0);
    must(green_mutex_lock(&mutex) == 0);
    green_t thread = spawn_in(scope, reach, (void *)&points[4]);
    wait_for(atomic_load(&reached) == 1 && is_parked(thread));
    must(green_kill(thread, SIGUSR2) == 0);
    wait_for(mutex.__queue.__head != NULL);
    must(green_cancel(thread) == 0);
    for (int i = 0; i < 100; i++)
        green_yield();
    cr_assert_eq(atomic_load(&handled), 0);
    must(green_mutex_unlock(&mutex) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&handled), 1);
    cr_assert_eq(atomic_load(&passed), 1);
}

static green_once_t once = GREEN_ONCE_INIT;

static void wait_in_once(void)
{
    atomic_fetch_add(&reached, 1);
    green_sem_wait(&gate);
    atomic_fetch_add(&passed, 1);
}

static void *call_once(void *arg)
{
    green_once(&once, wait_in_once);
    return arg;
}

/* The next one runs the routine. */
ON_ALL(a_cancelled_once_begins_anew)
{
    green_t first = spawn_in(scope, call_once, NULL);
    wait_for(atomic_load(&reached) == 1 && is_parked(first));
    green_t second = spawn_in(scope, call_once, NULL);
    wait_for(is_parked(second));
    must(green_cancel(second) == 0); /* waiting for it is no point */
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(green_cancel(first) == 0);
    cr_assert_eq(join_result(first), GREEN_CANCELED);
    cr_assert_eq(join_result(second), GREEN_CANCELED);
    must(green_sem_post(&gate) == 0);
    cr_assert_eq(green_once(&once, wait_in_once), 0);
    cr_assert_eq(atomic_load(&reached), 3);
    cr_assert_eq(atomic_load(&passed), 1);
}
