/*
 * Blocking: threads that block in the kernel in every way that nobody wrapped, at random, while others compute, the
 * number of processors changes and processes are forked: reads, contended locks of libc's, locks of files, sleeps,
 * page faults that a userfaultfd keeps waiting, children.  Every byte written is read once and every count comes out
 * exact.  With an odd seed it observes activations, too: who was blocked is back at the end, and as many processors
 * came as went.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <green.h>
#include <green/activation.h>
#include <green/sched.h>

#include "common.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

enum { PAIRS = 6, BLOCKERS = 8, HOGS = 3, PAGES = 64, SLOW_PAGES = 4 };

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

/* Pages whose faults wait for a thread that serves them; -1 where that is not permitted. */
static struct {
    int uffd;
    size_t page;
    char *pages; /* SLOW_PAGES for each blocker, and one to end with */
    green_t server;
    atomic_long faults;
} slow;

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

static void slow_zero(uintptr_t address)
{
    struct uffdio_zeropage zero = {.range = {address & ~(slow.page - 1), slow.page}};

    while (ioctl(slow.uffd, UFFDIO_ZEROPAGE, &zero) != 0) {
        if (errno == EEXIST) /* a tick made the thread ask twice */
            return;
        CHECK(errno == EAGAIN);
    }
}

static uintptr_t slow_last(void)
{
    return (uintptr_t)slow.pages + BLOCKERS * SLOW_PAGES * slow.page;
}

/* Until it has served the last page. */
static void *slow_serve(void *arg)
{
    uint64_t random = 1;
    struct uffd_msg message = {.arg.pagefault.address = 0};

    while (message.arg.pagefault.address < slow_last()) {
        if (read(slow.uffd, &message, sizeof message) != sizeof message) {
            CHECK(errno == EINTR);
            continue;
        }
        CHECK(message.event == UFFD_EVENT_PAGEFAULT);
        if (stress_random(&random) % 2)
            nap(stress_random(&random) % 300000);
        slow_zero(message.arg.pagefault.address);
        atomic_fetch_add(&slow.faults, 1);
    }
    return arg;
}

static size_t slow_bytes(void)
{
    return (BLOCKERS * SLOW_PAGES + 1) * slow.page;
}

static void slow_begin(void)
{
    struct uffdio_api api = {.api = UFFD_API};

    slow.page = (size_t)sysconf(_SC_PAGESIZE);
    slow.pages = mmap(NULL, slow_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(slow.pages != MAP_FAILED);
    /* Without the monitor N:1 waits for ever: a tick ends the wait, and with it the page's asking for who serves it. */
    const char *monitor = getenv("GREEN_MONITOR");
    const bool served = !stress_under_valgrind() && (!monitor || strcmp(monitor, "off") != 0);
    slow.uffd = served ? (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) : -1;
    if (slow.uffd < 0)
        return;
    struct uffdio_register range = {.range = {(uintptr_t)slow.pages, slow_bytes()}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(ioctl(slow.uffd, UFFDIO_API, &api) == 0 && ioctl(slow.uffd, UFFDIO_REGISTER, &range) == 0);
    CHECK(green_create(&slow.server, NULL, slow_serve, NULL) == 0);
}

static void slow_end(void)
{
    if (slow.uffd < 0)
        return;
    CHECK(*(volatile char *)slow_last() == 0);
    CHECK(green_join(slow.server, NULL) == 0 && close(slow.uffd) == 0 && munmap(slow.pages, slow_bytes()) == 0);
}

static void slow_faults(struct actor *actor)
{
    volatile char *own = slow.pages + actor->n * SLOW_PAGES * slow.page;

    CHECK(madvise((void *)own, SLOW_PAGES * slow.page, MADV_DONTNEED) == 0);
    for (unsigned i = 0; i < SLOW_PAGES; i++) {
        CHECK(own[i * slow.page] == 0);
        own[i * slow.page] = 1;
    }
}

/* What observers were told. */
static atomic_long told[6];

static void tell(const struct green_activation_event *events, size_t count, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add(&told[__builtin_ctz(events[i].kind)], (long)events[i].count);
}

static long told_of(enum green_activation_kind kind)
{
    return atomic_load(&told[__builtin_ctz(kind)]);
}

/* Processors that were told of come later than the call that made them. */
static void observed_end(green_activation_t registration, int procs)
{
    while (green_activation_lost() == 0 &&
           (told_of(GREEN_ACTIVATION_BLOCKED) != told_of(GREEN_ACTIVATION_UNBLOCKED) ||
            procs + told_of(GREEN_ACTIVATION_ADDED) - told_of(GREEN_ACTIVATION_REMOVED) != green_getconcurrency()))
        green_usleep(1000);
    CHECK(green_activation_unregister(registration) == 0);
    printf("block: told of %ld blocked, %ld unblocked, %ld preempted, %ld processors added, %ld removed, %ld lost\n",
           told_of(GREEN_ACTIVATION_BLOCKED), told_of(GREEN_ACTIVATION_UNBLOCKED), told_of(GREEN_ACTIVATION_PREEMPTED),
           told_of(GREEN_ACTIVATION_ADDED), told_of(GREEN_ACTIVATION_REMOVED), told_of(GREEN_ACTIVATION_LOST));
}

static void *nap_a_little(void *arg)
{
    nap(200000);
    return arg;
}

static void *count_a_little(void *arg)
{
    for (volatile int i = 0; i < 100000; i = i + 1)
        ;
    return arg;
}

/* Its runtime is a fresh one, with a monitor and processors of its own. */
static void in_child(void)
{
    green_t threads[2];

    alarm(60); /* one that hangs is seen by its status */
    nap(100000);
    CHECK(green_create(&threads[0], NULL, nap_a_little, NULL) == 0);
    CHECK(green_create(&threads[1], NULL, count_a_little, NULL) == 0);
    CHECK(green_yield() == 0);
    for (int i = 0; i < 2; i++)
        CHECK(green_join(threads[i], NULL) == 0);
    _exit(7);
}

static void child(struct actor *actor)
{
    pid_t pid = fork();

    (void)actor;
    CHECK(pid >= 0);
    if (pid == 0)
        in_child();
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
    static void (*const steps[])(struct actor *) = {short_nap, green_nap,   libc_lock,   green_lock, file_lock,
                                                    announced, page_faults, slow_faults, short_nap,  concurrency};
    struct actor *actor = arg;
    const unsigned count = sizeof steps / sizeof *steps;

    while (stress_goes_on()) {
        steps[stress_random(&actor->random) % count](actor);
        if (STRESS_FORKS && !stress_under_valgrind() && stress_random(&actor->random) % 200 == 0)
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
    green_activation_t registration;
    const bool observed = stress.seed % 2 != 0;
    const int procs = green_getconcurrency();
    if (observed)
        CHECK(green_activation_register(&registration, GREEN_ACTIVATION_ALL, tell, NULL) == 0);
    slow_begin();
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
    slow_end();
    atomic_store(&over, true);
    for (unsigned i = 0; i < HOGS; i++)
        CHECK(green_join(hogs[i], NULL) == 0);
    CHECK(libc_counter == libc_expected && green_counter == green_expected && file_counter == file_expected);
    CHECK(close(file) == 0 && unlink(path) == 0 && munmap(pages, bytes) == 0);
    if (observed)
        observed_end(registration, procs);
    struct green_stats stats;
    green_stats(&stats);
    printf("block: %ld interrupted, %llu retakes by %s, %llu workers, %ld slow faults\n", atomic_load(&interrupted),
           (unsigned long long)stats.retakes, green_monitor_source(), (unsigned long long)stats.workers,
           atomic_load(&slow.faults));
    stress_end("block", (uint64_t)atomic_load(&operations));
    return 0;
}
