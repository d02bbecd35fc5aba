/*
 * The mix: threads that do everything a C program does, at random, preempted every 100 us and moved between kernel
 * threads, and that check each result.  What they count must come out exact.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <locale.h>
#include <math.h>
#include <netdb.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <green.h>
#include <green/sched.h>

#include "common.h"

enum { THREADS = 32, BLOCKS = 64, QUEUE = 8 };

extern char **environ;

/* Shared, each guarded as its name says. */
static green_mutex_t counter_mutex = GREEN_MUTEX_INITIALIZER;
static long counter;
static pthread_mutex_t libc_mutex;
static long libc_counter;
static green_sem_t sem_pairs;
static green_mutex_t queue_mutex = GREEN_MUTEX_INITIALIZER;
static green_cond_t queue_not_empty = GREEN_COND_INITIALIZER, queue_not_full = GREEN_COND_INITIALIZER;
static long queue[QUEUE], queue_length, queue_put, queue_taken;
static FILE *sink;
static pthread_key_t key;
static atomic_long values_made, values_destroyed, expected_counter, expected_libc, operations, sub_threads;

static __thread long own_variable;
static __thread char own_text[100];

struct actor {
    unsigned n;
    uint64_t random;
    void *blocks[BLOCKS];
    size_t bytes[BLOCKS];
};

static void memory(struct actor *actor)
{
    unsigned at = stress_random(&actor->random) % BLOCKS;
    unsigned char *block = actor->blocks[at];

    if (block)
        for (size_t i = 0; i < actor->bytes[at]; i += 61)
            CHECK(block[i] == (unsigned char)(actor->n + at));
    free(block);
    actor->bytes[at] = stress_random(&actor->random) % 5000;
    actor->blocks[at] = malloc(actor->bytes[at] + 1);
    CHECK(actor->blocks[at]);
    memset(actor->blocks[at], (int)(actor->n + at), actor->bytes[at]);
}

static void own_variables(struct actor *actor)
{
    errno = (int)actor->n + 1000;
    own_variable = actor->n;
    snprintf(own_text, sizeof own_text, "thread %u", actor->n);
    for (volatile int i = 0; i < 20000; i++)
        continue;
    char expected[100];
    snprintf(expected, sizeof expected, "thread %u", actor->n);
    CHECK(errno == (int)actor->n + 1000 && own_variable == actor->n && strcmp(own_text, expected) == 0);
}

static void standard_io(struct actor *actor)
{
    char text[200];
    double value = actor->n + 0.25;

    fprintf(sink, "%u %f %s\n", actor->n, value, "some words");
    if (stress_random(&actor->random) % 16 == 0)
        rewind(sink);
    snprintf(text, sizeof text, "%.3f", value);
    CHECK(strtod(text, NULL) == value);
}

static void locales(struct actor *actor)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL), before;

    CHECK(c && isalpha('x') && !isalpha('1'));
    before = uselocale(c);
    CHECK(toupper('a' + (int)(actor->n % 26)) == 'A' + (int)(actor->n % 26));
    CHECK(uselocale(before) == c);
    freelocale(c);
}

static void address_lookup(struct actor *actor)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC}, *found;

    (void)actor;
    CHECK(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0);
    freeaddrinfo(found);
}

static void loader(struct actor *actor)
{
    void *library = dlopen("libcrypt.so.1", RTLD_NOW);

    (void)actor;
    CHECK(library && dlsym(library, "crypt"));
    dlclose(library);
}

static int comparing(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void computing(struct actor *actor)
{
    unsigned char data[4000];
    int numbers[300];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * actor->n);
    unsigned long first = crc32(0, data, sizeof data);
    double root = sqrt(actor->n + 2.0);
    for (int i = 0; i < 300; i++)
        numbers[i] = (int)(stress_random(&actor->random) % 1000);
    qsort(numbers, 300, sizeof *numbers, comparing);
    for (int i = 1; i < 300; i++)
        CHECK(numbers[i - 1] <= numbers[i]);
    CHECK(first == crc32(0, data, sizeof data) && fabs(root * root - actor->n - 2.0) < 1e-9);
}

static void recursive_lock(struct actor *actor)
{
    (void)actor;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_mutex_lock(&libc_mutex) == 0);
    libc_counter++;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_mutex_unlock(&libc_mutex) == 0);
    atomic_fetch_add(&expected_libc, 1);
}

static void green_lock(struct actor *actor)
{
    CHECK(green_mutex_lock(&counter_mutex) == 0);
    long before = counter;
    if (actor->n % 4 == 0)
        green_yield();
    counter = before + 1;
    CHECK(green_mutex_unlock(&counter_mutex) == 0);
    atomic_fetch_add(&expected_counter, 1);
}

static struct timespec soon(struct actor *actor)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_nsec += (long)(stress_random(&actor->random) % 300) * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_nsec -= 1000000000;
        time.tv_sec++;
    }
    return time;
}

/* Put or take one of the bounded queue, with waits that may time out. */
static void bounded_queue(struct actor *actor)
{
    const bool put = stress_random(&actor->random) % 2;
    const struct timespec limit = soon(actor);
    int error = 0;

    CHECK(green_mutex_lock(&queue_mutex) == 0);
    while (!error && (put ? queue_length == QUEUE : queue_length == 0))
        error = green_cond_timedwait(put ? &queue_not_full : &queue_not_empty, &queue_mutex, &limit);
    CHECK(error == 0 || error == ETIMEDOUT);
    if (put && queue_length < QUEUE) {
        queue[(queue_taken + queue_length++) % QUEUE] = queue_put++;
        green_cond_signal(&queue_not_empty);
    } else if (!put && queue_length > 0) {
        CHECK(queue[queue_taken % QUEUE] == queue_taken);
        queue_taken++;
        queue_length--;
        green_cond_signal(&queue_not_full);
    }
    CHECK(green_mutex_unlock(&queue_mutex) == 0);
}

/* Units are taken and given in pairs, so some are always on their way back. */
static void semaphore(struct actor *actor)
{
    const struct timespec limit = soon(actor);

    const bool timed = stress_random(&actor->random) % 2;

    if ((timed ? green_sem_timedwait(&sem_pairs, &limit) : green_sem_wait(&sem_pairs)) != 0) {
        CHECK(errno == ETIMEDOUT);
        return;
    }
    if (actor->n % 2)
        green_yield();
    CHECK(green_sem_post(&sem_pairs) == 0);
}

static void value_destroyed(void *value)
{
    free(value);
    atomic_fetch_add(&values_destroyed, 1);
}

static void *sub_thread(void *arg)
{
    void *frames[20];
    long *value = malloc(sizeof *value);

    CHECK(value && own_variable == 0 && own_text[0] == '\0' && !pthread_getspecific(key));
    own_variable = 7;
    own_text[0] = 'x';
    *value = (long)arg;
    atomic_fetch_add(&values_made, 1);
    CHECK(pthread_setspecific(key, value) == 0);
    int depth = backtrace(frames, 20);
    CHECK(depth > 0 && depth < 20);
    green_yield();
    CHECK(*(long *)pthread_getspecific(key) == (long)arg && own_variable == 7);
    return (void *)((long)arg + 1);
}

static void threads(struct actor *actor)
{
    green_t made[4];
    unsigned count = 1 + stress_random(&actor->random) % 4;
    void *result;

    for (unsigned i = 0; i < count; i++)
        CHECK(green_create(&made[i], NULL, sub_thread, (void *)(long)(actor->n * 10 + i)) == 0);
    for (unsigned i = 0; i < count; i++) {
        CHECK(green_join(made[i], &result) == 0);
        CHECK((long)result == (long)(actor->n * 10 + i + 1));
        CHECK(green_join(made[i], &result) == ESRCH);
    }
    atomic_fetch_add(&sub_threads, count);
}

static void sleeping(struct actor *actor)
{
    green_usleep(stress_random(&actor->random) % 2000);
}

static void slices(struct actor *actor)
{
    CHECK(green_setslice_np(green_self(), 100 + stress_random(&actor->random) % 4900) == 0);
}

static void sections(struct actor *actor)
{
    (void)actor;
    green_critical_enter();
    green_critical_enter();
    for (volatile int i = 0; i < 3000; i++)
        continue;
    green_critical_leave();
    green_critical_leave();
    green_safepoint();
}

/* In the child: the library afresh, its own objects, malloc. */
static int child_of_fork(unsigned n)
{
    green_t thread;
    void *memory_block = malloc(n * 100 + 1), *result;

    if (!memory_block || green_create(&thread, NULL, sub_thread, (void *)(long)n) != 0)
        return 1;
    if (green_join(thread, &result) != 0 || (long)result != (long)n + 1)
        return 2;
    free(memory_block);
    return 42;
}

static void forking(struct actor *actor)
{
    int status;

    if (!STRESS_FORKS) {
        CHECK(child_of_fork(actor->n) == 42);
        atomic_fetch_add(&sub_threads, 1);
        return;
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(child_of_fork(actor->n));
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void spawning(struct actor *actor)
{
    char *const args[] = {(char *)"true", NULL};
    pid_t child;
    int status;

    (void)actor;
    CHECK(posix_spawn(&child, "/bin/true", NULL, NULL, args, environ) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void identity(struct actor *actor)
{
    (void)actor;
    CHECK(setuid(getuid()) == 0);
}

static const struct operation {
    void (*run)(struct actor *actor);
    unsigned weight;
    bool heavy; /* makes processes or loads libraries: not under Valgrind */
} mix[] = {
    {memory, 200, false},       {own_variables, 20, false}, {standard_io, 60, false}, {locales, 20, false},
    {address_lookup, 4, false}, {loader, 4, true},          {computing, 20, false},   {recursive_lock, 60, false},
    {green_lock, 100, false},   {bounded_queue, 60, false}, {semaphore, 60, false},   {threads, 20, false},
    {sleeping, 4, false},       {slices, 4, false},         {sections, 20, false},    {forking, 1, true},
    {spawning, 1, true},        {identity, 1, true},
};

static const struct operation *choose(struct actor *actor)
{
    unsigned total = 0;

    for (size_t i = 0; i < sizeof mix / sizeof *mix; i++)
        total += mix[i].weight;
    unsigned at = stress_random(&actor->random) % total;
    for (size_t i = 0;; at -= mix[i++].weight)
        if (at < mix[i].weight)
            return &mix[i];
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    const bool light = stress_under_valgrind();

    while (stress_goes_on()) {
        const struct operation *operation = choose(actor);
        if (light && operation->heavy)
            continue;
        operation->run(actor);
        atomic_fetch_add(&operations, 1);
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(actor->blocks[i]);
    return NULL;
}

static void prepare(void)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&libc_mutex, &attr);
    CHECK(pthread_key_create(&key, value_destroyed) == 0);
    CHECK(green_sem_init(&sem_pairs, 0, 3) == 0);
    sink = tmpfile();
    CHECK(sink);
}

int main(int argc, char **argv)
{
    struct stress stress = stress_begin(argc, argv, "mix");
    static struct actor actors[THREADS];
    green_t running[THREADS];
    int units;

    prepare();
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){.n = i, .random = stress_generator(&stress, i)};
        CHECK(green_create(&running[i], NULL, act, &actors[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(green_join(running[i], NULL) == 0);
    CHECK(counter == expected_counter && libc_counter == expected_libc);
    CHECK(queue_put - queue_taken == queue_length);
    CHECK(values_made == sub_threads && values_destroyed == values_made);
    CHECK(green_sem_getvalue(&sem_pairs, &units) == 0 && units == 3);
    fclose(sink);
    stress_end("mix", (uint64_t)operations);
    return 0;
}
