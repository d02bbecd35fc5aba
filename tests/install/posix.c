/*
 * A POSIX threads program, which tests/install/run compiles twice: as it stands, with libc's threads, and with
 * `pthread_`, `PTHREAD_`, `sem_` and `SEM_` renamed to libgreen's.  It must compile and pass both ways: the first shows
 * that what is checked is POSIX, the second that a program is ported by renaming.  POSIX only, no libgreen by name.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define check(condition) ((condition) ? (void)0 : fail(#condition, __LINE__))

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t sem;
static int counter;

static void fail(const char *condition, int line)
{
    fprintf(stderr, "posix.c:%d: does not hold: %s (errno %d)\n", line, condition, errno);
    _Exit(1);
}

static struct timespec after_ms(clockid_t clock, long ms)
{
    struct timespec time;
    check(clock_gettime(clock, &time) == 0);
    time.tv_nsec += ms * 1000000;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

static const struct timespec bad_time = {0, 1000000000};

static pthread_t create(void *(*start)(void *), void *arg)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, start, arg) == 0);
    return thread;
}

static void *join(pthread_t thread)
{
    void *result;
    check(pthread_join(thread, &result) == 0);
    return result;
}

static void *echo(void *arg)
{
    return arg;
}

static void *exit_with(void *arg)
{
    pthread_exit(arg);
}

/* Threads. */

static void *compare_self(void *arg)
{
    pthread_t *creator = arg;
    check(!pthread_equal(pthread_self(), *creator) && pthread_equal(pthread_self(), pthread_self()));
    return NULL;
}

static void *detach_self(void *arg)
{
    check(pthread_detach(pthread_self()) == 0);
    check(sem_post(arg) == 0);
    return NULL;
}

static void threads(void)
{
    pthread_t self = pthread_self();
    check(join(create(echo, &sem)) == &sem);
    check(join(create(exit_with, &sem)) == &sem);
    check(join(create(compare_self, &self)) == NULL);
    check(pthread_join(self, NULL) == EDEADLK);
    check(sem_init(&sem, 0, 0) == 0);
    create(detach_self, &sem);
    check(sem_wait(&sem) == 0);
    check(pthread_kill(self, 0) == 0);
    check(pthread_kill(self, 100000) == EINVAL);
    int level = pthread_getconcurrency();
    check(level >= 0 && pthread_setconcurrency(-1) == EINVAL);
    check(pthread_setconcurrency(2) == 0 && pthread_getconcurrency() == 2);
    check(sched_get_priority_max(SCHED_FIFO) > sched_get_priority_min(SCHED_FIFO));
    check(sched_yield() == 0);
}

/* Attributes. */

static void *in_stack(void *arg)
{
    char here = 0, **bounds = arg;
    check(&here > bounds[0] && &here < bounds[1]);
    return arg;
}

static void stacks(pthread_attr_t *attr)
{
    enum { BYTES = 262144 };
    size_t bytes;
    void *low;
    pthread_t thread;
    char *memory = malloc(BYTES), *bounds[2] = {memory, memory + BYTES};
    check(pthread_attr_setstacksize(attr, BYTES) == 0);
    check(pthread_attr_getstacksize(attr, &bytes) == 0 && bytes == BYTES);
    check(pthread_attr_setstacksize(attr, 100) == EINVAL);
    check(pthread_attr_setguardsize(attr, 20000) == 0);
    check(pthread_attr_getguardsize(attr, &bytes) == 0 && bytes == 20000);
    check(pthread_create(&thread, attr, echo, memory) == 0 && join(thread) == memory);
    check(pthread_attr_setstack(attr, memory, 100) == EINVAL);
    check(pthread_attr_setstack(attr, memory, BYTES) == 0);
    check(pthread_attr_getstack(attr, &low, &bytes) == 0 && low == memory && bytes == BYTES);
    for (int i = 0; i < 3; i++) {
        check(pthread_create(&thread, attr, in_stack, bounds) == 0 && join(thread) == bounds);
        memset(memory, i, BYTES);
    }
    free(memory);
}

static void attributes(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    struct sched_param param;
    size_t bytes;
    int value;
    check(pthread_attr_init(&attr) == 0);
    check(pthread_attr_getdetachstate(&attr, &value) == 0 && value == PTHREAD_CREATE_JOINABLE);
    check(pthread_attr_setdetachstate(&attr, 100) == EINVAL);
    check(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    check(pthread_attr_getdetachstate(&attr, &value) == 0 && value == PTHREAD_CREATE_DETACHED);
    check(pthread_create(&thread, &attr, echo, NULL) == 0);
    check(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_JOINABLE) == 0);
    check(pthread_attr_setinheritsched(&attr, 100) == EINVAL);
    check(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED) == 0);
    check(pthread_attr_getinheritsched(&attr, &value) == 0 && value == PTHREAD_EXPLICIT_SCHED);
    check(pthread_attr_setinheritsched(&attr, PTHREAD_INHERIT_SCHED) == 0);
    check(pthread_attr_setschedpolicy(&attr, 100) == EINVAL);
    check(pthread_attr_setschedpolicy(&attr, SCHED_RR) == 0);
    check(pthread_attr_getschedpolicy(&attr, &value) == 0 && value == SCHED_RR);
    param.sched_priority = sched_get_priority_min(SCHED_RR);
    check(pthread_attr_setschedparam(&attr, &param) == 0);
    param.sched_priority = -1;
    check(pthread_attr_getschedparam(&attr, &param) == 0 && param.sched_priority == sched_get_priority_min(SCHED_RR));
    check(pthread_attr_setscope(&attr, 100) == EINVAL);
    check(pthread_attr_setscope(&attr, PTHREAD_SCOPE_SYSTEM) == 0);
    check(pthread_attr_getscope(&attr, &value) == 0 && value == PTHREAD_SCOPE_SYSTEM);
    check(pthread_create(&thread, &attr, echo, &value) == 0 && join(thread) == &value);
    check(pthread_attr_getguardsize(&attr, &bytes) == 0 && bytes > 0);
    check(pthread_attr_destroy(&attr) == 0);
    check(pthread_attr_init(&attr) == 0);
    stacks(&attr);
    check(pthread_attr_destroy(&attr) == 0);
}

/* Once, keys. */

static void count(void)
{
    counter++;
}

static void *run_once(void *arg)
{
    check(pthread_once(&once, count) == 0 && counter == 1);
    return arg;
}

static pthread_key_t key;

static void destroy(void *value)
{
    counter++;
    check(pthread_getspecific(key) == NULL);
    check(pthread_setspecific(key, value) == 0);
}

static void *use_key(void *arg)
{
    check(pthread_getspecific(key) == NULL && pthread_setspecific(key, arg) == 0 && pthread_getspecific(key) == arg);
    return arg;
}

static void once_and_keys(void)
{
    static pthread_key_t keys[PTHREAD_KEYS_MAX];
    pthread_t all[8];
    for (int i = 0; i < 8; i++)
        all[i] = create(run_once, NULL);
    for (int i = 0; i < 8; i++)
        join(all[i]);
    counter = 0;
    check(pthread_key_create(&key, destroy) == 0);
    check(join(create(use_key, &key)) == &key && counter == PTHREAD_DESTRUCTOR_ITERATIONS);
    check(pthread_key_delete(key) == 0);
    check(pthread_key_delete(key) == EINVAL && pthread_setspecific(key, &key) == EINVAL);
    int made = 0, error = 0;
    while (made < PTHREAD_KEYS_MAX && (error = pthread_key_create(&keys[made], NULL)) == 0)
        made++;
    check(made > PTHREAD_KEYS_MAX / 2); /* all, but for those of a sanitizer and the like */
    check((error ? error : pthread_key_create(&key, NULL)) == EAGAIN);
    while (made-- > 0)
        check(pthread_key_delete(keys[made]) == 0);
}

/* Mutexes and condition variables. */

static void *try_locked(void *arg)
{
    struct timespec soon = after_ms(CLOCK_REALTIME, 5);
    check(pthread_mutex_trylock(arg) == EBUSY);
    check(pthread_mutex_timedlock(arg, &bad_time) == EINVAL);
    check(pthread_mutex_timedlock(arg, &soon) == ETIMEDOUT);
    return arg;
}

static void *unlock_others(void *arg)
{
    check(pthread_mutex_unlock(arg) == EPERM);
    return arg;
}

static void mutex_of_type(int type)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t typed;
    int got;
    check(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_settype(&attr, type) == 0);
    check(pthread_mutexattr_gettype(&attr, &got) == 0 && got == type);
    check(pthread_mutexattr_settype(&attr, 100) == EINVAL);
    check(pthread_mutex_init(&typed, &attr) == 0 && pthread_mutexattr_destroy(&attr) == 0);
    check(pthread_mutex_lock(&typed) == 0);
    join(create(try_locked, &typed));
    if (type == PTHREAD_MUTEX_RECURSIVE)
        check(pthread_mutex_lock(&typed) == 0 && pthread_mutex_trylock(&typed) == 0 &&
              pthread_mutex_unlock(&typed) == 0 && pthread_mutex_unlock(&typed) == 0);
    if (type == PTHREAD_MUTEX_ERRORCHECK)
        check(pthread_mutex_lock(&typed) == EDEADLK);
    if (type == PTHREAD_MUTEX_ERRORCHECK || type == PTHREAD_MUTEX_RECURSIVE) {
        join(create(unlock_others, &typed));
        check(pthread_mutex_unlock(&typed) == 0 && pthread_mutex_unlock(&typed) == EPERM);
    } else {
        check(pthread_mutex_unlock(&typed) == 0);
    }
    check(pthread_mutex_destroy(&typed) == 0);
}

static int turn;

static void *take_turns(void *arg)
{
    const int mine = (int)(intptr_t)arg;
    for (int i = 0; i < 500; i++) {
        check(pthread_mutex_lock(&mutex) == 0);
        while (turn != mine)
            check(pthread_cond_wait(&cond, &mutex) == 0);
        turn = 1 - turn;
        check((mine ? pthread_cond_broadcast(&cond) : pthread_cond_signal(&cond)) == 0);
        check(pthread_mutex_unlock(&mutex) == 0);
    }
    return NULL;
}

static void conditions(void)
{
    pthread_condattr_t attr;
    pthread_cond_t timed;
    clockid_t clock;
    pthread_t other = create(take_turns, (void *)1);
    take_turns(NULL);
    join(other);
    check(pthread_condattr_init(&attr) == 0);
    check(pthread_condattr_getclock(&attr, &clock) == 0 && clock == CLOCK_REALTIME);
    check(pthread_condattr_setclock(&attr, CLOCK_PROCESS_CPUTIME_ID) == EINVAL);
    check(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    check(pthread_cond_init(&timed, &attr) == 0 && pthread_condattr_destroy(&attr) == 0);
    check(pthread_mutex_lock(&mutex) == 0);
    struct timespec soon = after_ms(CLOCK_MONOTONIC, 5);
    check(pthread_cond_timedwait(&timed, &mutex, &soon) == ETIMEDOUT);
    check(pthread_cond_timedwait(&timed, &mutex, &bad_time) == EINVAL);
    check(pthread_mutex_unlock(&mutex) == 0 && pthread_cond_destroy(&timed) == 0);
}

/* Semaphores. */

static void *post(void *arg)
{
    check(sem_post(arg) == 0);
    return arg;
}

static void semaphores(void)
{
    int value;
    check(sem_init(&sem, 0, (unsigned)SEM_VALUE_MAX + 1) == -1 && errno == EINVAL);
    check(sem_init(&sem, 0, 1) == 0 && sem_getvalue(&sem, &value) == 0 && value == 1);
    check(sem_trywait(&sem) == 0 && sem_trywait(&sem) == -1 && errno == EAGAIN);
    struct timespec soon = after_ms(CLOCK_REALTIME, 5);
    check(sem_timedwait(&sem, &soon) == -1 && errno == ETIMEDOUT);
    check(sem_timedwait(&sem, &bad_time) == -1 && errno == EINVAL);
    pthread_t poster = create(post, &sem);
    check(sem_wait(&sem) == 0);
    join(poster);
    check(sem_destroy(&sem) == 0);
    check(sem_init(&sem, 0, SEM_VALUE_MAX) == 0 && sem_post(&sem) == -1 && errno == EOVERFLOW);
}

/* Clocks, masks, fork. */

static void *use_time(void *arg)
{
    clockid_t clock;
    struct timespec time;
    check(pthread_getcpuclockid(pthread_self(), &clock) == 0);
    do
        check(clock_gettime(clock, &time) == 0);
    while (time.tv_sec == 0 && time.tv_nsec < 5000000);
    return arg;
}

static void *look_at_mask(void *arg)
{
    sigset_t mask;
    check(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGUSR1) == 1);
    check(pthread_sigmask(100, &mask, NULL) == EINVAL);
    return arg;
}

static void masks(void)
{
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    check(pthread_sigmask(SIG_BLOCK, &mask, &before) == 0 && sigismember(&before, SIGUSR1) == 0);
    join(create(look_at_mask, NULL));
    check(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static char order[10];

#define NOTE(name, letter) static void name(void) { strcat(order, letter); }
NOTE(before_1, "a")
NOTE(before_2, "b")
NOTE(parent_1, "p")
NOTE(parent_2, "q")
NOTE(child_1, "c")
NOTE(child_2, "d")

static void forks(void)
{
    int status;
    check(pthread_atfork(before_1, parent_1, child_1) == 0 && pthread_atfork(before_2, parent_2, child_2) == 0);
    check(pthread_atfork(NULL, NULL, NULL) == 0);
    fflush(NULL);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        check(strcmp(order, "bacd") == 0);
        check(join(create(echo, order)) == order);
        _exit(0);
    }
    check(strcmp(order, "bapq") == 0);
    check(waitpid(child, &status, 0) == child && status == 0);
}

#ifdef PTHREAD_RWLOCK_INITIALIZER
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_spinlock_t spin;

static void *meet(void *arg)
{
    int result = pthread_barrier_wait(&barrier);
    check(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    check(pthread_spin_lock(&spin) == 0);
    counter += result == PTHREAD_BARRIER_SERIAL_THREAD;
    check(pthread_spin_unlock(&spin) == 0);
    return arg;
}

static void *rival(void *arg)
{
    struct timespec soon = after_ms(CLOCK_REALTIME, 5);
    check(pthread_rwlock_trywrlock(&rwlock) == EBUSY && pthread_rwlock_tryrdlock(&rwlock) == EBUSY);
    check(pthread_rwlock_timedrdlock(&rwlock, &soon) == ETIMEDOUT);
    check(pthread_rwlock_timedwrlock(&rwlock, &soon) == ETIMEDOUT);
    check(pthread_spin_trylock(&spin) == EBUSY);
    return arg;
}

static void other_locks(void)
{
    pthread_rwlockattr_t attr;
    pthread_t all[4];
    int value;
    check(pthread_rwlockattr_init(&attr) == 0);
    check(pthread_rwlockattr_getpshared(&attr, &value) == 0 && value == PTHREAD_PROCESS_PRIVATE);
    check(pthread_rwlockattr_destroy(&attr) == 0);
    check(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE) == 0);
    check(pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_tryrdlock(&rwlock) == 0);
    check(pthread_rwlock_unlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0);
    check(pthread_rwlock_wrlock(&rwlock) == 0 && pthread_spin_lock(&spin) == 0);
    join(create(rival, NULL));
    check(pthread_rwlock_unlock(&rwlock) == 0 && pthread_spin_unlock(&spin) == 0);
    check(pthread_rwlock_destroy(&rwlock) == 0);
    check(pthread_barrier_init(&barrier, NULL, 0) == EINVAL);
    check(pthread_barrier_init(&barrier, NULL, 4) == 0);
    counter = 0;
    for (int i = 0; i < 4; i++)
        all[i] = create(meet, NULL);
    for (int i = 0; i < 4; i++)
        join(all[i]);
    check(counter == 1 && pthread_barrier_destroy(&barrier) == 0 && pthread_spin_destroy(&spin) == 0);
}
#endif

#ifdef PTHREAD_CANCELED
static void note_cleanup(void *arg)
{
    counter = counter * 10 + (int)(intptr_t)arg;
}

static void *wait_to_be_cancelled(void *arg)
{
    int before;
    check(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0 && before == PTHREAD_CANCEL_ENABLE);
    check(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before) == 0 && before == PTHREAD_CANCEL_DISABLE);
    check(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &before) == 0 && before == PTHREAD_CANCEL_DEFERRED);
    check(pthread_setcancelstate(100, &before) == EINVAL && pthread_setcanceltype(100, &before) == EINVAL);
    pthread_cleanup_push(note_cleanup, (void *)1);
    pthread_cleanup_push(note_cleanup, (void *)2);
    check(sem_wait(arg) == 0);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancellation(void)
{
    counter = 0;
    check(sem_init(&sem, 0, 0) == 0);
    pthread_t thread = create(wait_to_be_cancelled, &sem);
    check(pthread_cancel(thread) == 0 && join(thread) == PTHREAD_CANCELED && counter == 21);
}
#endif

int main(void)
{
    threads();
    attributes();
    once_and_keys();
    mutex_of_type(PTHREAD_MUTEX_NORMAL);
    mutex_of_type(PTHREAD_MUTEX_RECURSIVE);
    mutex_of_type(PTHREAD_MUTEX_ERRORCHECK);
    mutex_of_type(PTHREAD_MUTEX_DEFAULT);
    conditions();
    semaphores();
    join(create(use_time, NULL));
    masks();
    forks();
#ifdef PTHREAD_RWLOCK_INITIALIZER
    other_locks();
#endif
#ifdef PTHREAD_CANCELED
    cancellation();
#endif
    puts("all as POSIX says");
    return 0;
}
