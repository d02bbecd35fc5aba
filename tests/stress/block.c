/*
 * Blocking: threads that block in the kernel in every way that nobody wrapped, at random, while others compute, the
 * number of processors changes and processes are forked.  Every byte written is read once, every count comes out
 * exact, and while the monitor is on, nobody is interrupted.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <green.h>
#include <green/sched.h>

#include "common.h"

enum { PAIRS = 6, BLOCKERS = 8, HOGS = 3, PAGES = 64 };

struct pair {
    int ends[2];
    long written, read;
};

struct actor {
    unsigned n;
    uint64_t random;
    int file; /* a description of its own: flock() is between these */
};

static struct pair pairs[PAIRS];
static pthread_mutex_t libc_mutex = PTHREAD_MUTEX_INITIALIZER;
static green_mutex_t green_mutex = GREEN_MUTEX_INITIALIZER;
static long libc_counter, green_counter, file_counter;
static atomic_long libc_expected, green_expected, file_expected, operations, interrupted;
static atomic_bool over;
static char *pages;
static char path[] = "/tmp/libgreen-block-XXXXXX";

static void nap(long ns)
{
    struct timespec time = {0, ns};

    if (nanosleep(&time, NULL) != 0) {
        CHECK(errno == EINTR);
        atomic_fetch_add(&interrupted, 1);
    }
}

static void *write_all(void *arg)
{
    struct pair *pair = arg;
    uint64_t random = (uint64_t)(pair - pairs) + 1;

    while (stress_goes_on()) {
        char byte = (char)pair->written;
        CHECK(write(pair->ends[1], &byte, 1) == 1);
        pair->written++;
        if (stress_random(&random) % 4 == 0)
            nap(stress_random(&random) % 1000000);
        else if (stress_random(&random) % 8 == 0)
            green_usleep(stress_random(&random) % 500);
    }
    CHECK(close(pair->ends[1]) == 0);
    return NULL;
}

static void *read_all(void *arg)
{
    struct pair *pair = arg;
    char byte;
    ssize_t got;

    while ((got = read(pair->ends[0], &byte, 1)) == 1) {
        CHECK(byte == (char)pair->read);
        pair->read++;
        atomic_fetch_add(&operations, 1);
    }
    CHECK(got == 0);
    return NULL;
}

/* A lock of libc's, held while its holder blocks: the others block on it in a futex. */
static void libc_lock(struct actor *actor)
{
    atomic_fetch_add(&libc_expected, 1);
    CHECK(pthread_mutex_lock(&libc_mutex) == 0);
    long seen = libc_counter;
    if (actor->n % 2)
        nap(50000);
    libc_counter = seen + 1;
    CHECK(pthread_mutex_unlock(&libc_mutex) == 0);
}

static void green_lock(struct actor *actor)
{
    atomic_fetch_add(&green_expected, 1);
    CHECK(green_mutex_lock(&green_mutex) == 0);
    long seen = green_counter;
    if (actor->n % 2)
        nap(50000);
    green_counter = seen + 1;
    CHECK(green_mutex_unlock(&green_mutex) == 0);
}

static void file_lock(struct actor *actor)
{
    atomic_fetch_add(&file_expected, 1);
    CHECK(flock(actor->file, LOCK_EX) == 0);
    long seen = file_counter;
    nap(20000);
    file_counter = seen + 1;
    CHECK(flock(actor->file, LOCK_UN) == 0);
}

static void page_faults(struct actor *actor)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *own = pages + actor->n * PAGES * page;

    CHECK(madvise(own, PAGES * page, MADV_DONTNEED) == 0);
    for (unsigned i = 0; i < PAGES; i++) {
        CHECK(own[i * page] == 0);
        own[i * page] = (char)i;
    }
}

static void child(struct actor *actor)
{
    pid_t pid = fork();

    (void)actor;
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60); /* one that hangs is seen by its status */
        nap(100000);
        CHECK(green_yield() == 0);
        _exit(7);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void concurrency(struct actor *actor)
{
    CHECK(green_setconcurrency(1 + (int)(stress_random(&actor->random) % 3)) == 0);
}

static void short_nap(struct actor *actor)
{
    nap(stress_random(&actor->random) % 300000);
}

static void green_nap(struct actor *actor)
{
    green_usleep(stress_random(&actor->random) % 300);
}

static void announced(struct actor *actor)
{
    green_blocking_enter();
    nap(stress_random(&actor->random) % 300000);
    green_blocking_leave();
}

static void *block_at_random(void *arg)
{
    static void (*const steps[])(struct actor *) = {short_nap, green_nap,   libc_lock,  green_lock, file_lock,
                                                    announced, page_faults, short_nap, short_nap,  concurrency};
    struct actor *actor = arg;
    const unsigned count = sizeof steps / sizeof *steps;

    while (stress_goes_on()) {
        steps[stress_random(&actor->random) % count](actor);
        if (!stress_under_valgrind() && stress_random(&actor->random) % 200 == 0)
            child(actor);
        atomic_fetch_add(&operations, 1);
    }
    return NULL;
}

static void *compute(void *arg)
{
    volatile unsigned long work = 0;

    while (!atomic_load(&over)) {
        for (int i = 0; i < 100000; i++)
            work = work + 1;
        free(malloc(1 + work % 5000));
    }
    return arg;
}

static green_t spawn(void *(*start)(void *), void *arg)
{
    green_t thread;

    CHECK(green_create(&thread, NULL, start, arg) == 0);
    return thread;
}

int main(int argc, char **argv)
{
    struct stress stress = stress_begin(argc, argv, "block");
    size_t bytes = BLOCKERS * PAGES * (size_t)sysconf(_SC_PAGESIZE);
    struct actor actors[BLOCKERS];
    green_t writers[PAIRS], readers[PAIRS], blockers[BLOCKERS], hogs[HOGS];

    pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    int file = mkstemp(path);
    CHECK(file >= 0);
    for (unsigned i = 0; i < HOGS; i++)
        hogs[i] = spawn(compute, NULL);
    for (unsigned i = 0; i < PAIRS; i++) {
        CHECK(pipe2(pairs[i].ends, O_CLOEXEC) == 0);
        readers[i] = spawn(read_all, &pairs[i]);
        writers[i] = spawn(write_all, &pairs[i]);
    }
    for (unsigned i = 0; i < BLOCKERS; i++) {
        actors[i] = (struct actor){i, stress_generator(&stress, i), open(path, O_RDWR | O_CLOEXEC)};
        CHECK(actors[i].file >= 0);
        blockers[i] = spawn(block_at_random, &actors[i]);
    }
    for (unsigned i = 0; i < BLOCKERS; i++)
        CHECK(green_join(blockers[i], NULL) == 0 && close(actors[i].file) == 0);
    for (unsigned i = 0; i < PAIRS; i++) {
        CHECK(green_join(writers[i], NULL) == 0 && green_join(readers[i], NULL) == 0);
        CHECK(pairs[i].written == pairs[i].read && close(pairs[i].ends[0]) == 0);
    }
    atomic_store(&over, true);
    for (unsigned i = 0; i < HOGS; i++)
        CHECK(green_join(hogs[i], NULL) == 0);
    CHECK(libc_counter == libc_expected && green_counter == green_expected && file_counter == file_expected);
    CHECK(close(file) == 0 && unlink(path) == 0 && munmap(pages, bytes) == 0);
    struct green_stats stats;
    green_stats(&stats);
    printf("block: %ld interrupted, %llu retakes by %s, %llu workers\n", atomic_load(&interrupted),
           (unsigned long long)stats.retakes, green_monitor_source(), (unsigned long long)stats.workers);
    stress_end("block", (uint64_t)atomic_load(&operations));
    return 0;
}
