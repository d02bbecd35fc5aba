/*
 * green_prefault: what is there costs nothing, what is missing costs only the caller, and what is wrong is an error
 * number.
 *
 * Faults that block for as long as a test wants come from userfaultfd, which the test answers itself: on the one
 * processor there is, so that a call which held it up would never return.  It has to be permitted (root, or
 * vm.unprivileged_userfaultfd=1), else those tests are skipped.
 */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern uint64_t prefault_idle_ns; /* the library's own: src/core/prefault.h */

/* Helpers are counted: none shall end because the machine is busy. */
static void helpers_stay(void)
{
    prefault_idle_ns = UINT64_C(1000000000000);
}

TestSuite(prefault, .init = helpers_stay, .timeout = LIMIT);

enum { PAGE = 4096, PAGES = 600 /* more than are looked at in one go */, HELPERS_MAX = 16 };

static char *map_anonymous(size_t pages)
{
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(memory != MAP_FAILED);
    return memory;
}

/* The library's kernel threads that bring pages in, by the name they have. */
static int helpers(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int count = 0;
    must(tasks != NULL);
    while ((task = readdir(tasks))) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        count += file && fgets(name, sizeof name, file) && strcmp(name, "green-prefault\n") == 0;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return count;
}

static int pages_in(const char *memory, size_t pages)
{
    unsigned char in_core[PAGES];
    int count = 0;
    must(mincore((void *)(uintptr_t)memory, pages * PAGE, in_core) == 0);
    for (size_t i = 0; i < pages; i++)
        count += in_core[i] & 1;
    return count;
}

ON_BOTH(prefault, what_is_there_needs_no_helper)
{
    char *memory = map_anonymous(PAGES);
    memset(memory, 1, PAGES * PAGE);
    errno = 0;
    for (int i = 0; i < 100; i++) {
        must(green_prefault(memory, PAGES * PAGE) == 0);
        must(green_prefault(memory + i, 1) == 0);
        must(green_prefault(memory + PAGES * PAGE, 0) == 0);
    }
    must(green_prefault(NULL, 0) == 0);
    cr_assert_eq(errno, 0);
    cr_assert_eq(helpers(), 0);
}

ON_BOTH(prefault, anonymous_memory_is_allocated)
{
    char *memory = map_anonymous(PAGES);
    cr_assert_eq(pages_in(memory, PAGES), 0);
    must(green_prefault(memory + PAGE - 1, 2) == 0);
    cr_assert_eq(pages_in(memory, PAGES), 2, "the first byte's page and the last byte's");
    must(green_prefault(memory, PAGES * PAGE) == 0);
    cr_assert_eq(pages_in(memory, PAGES), PAGES);
    cr_assert_eq(helpers(), 1);
    for (int i = 0; i < PAGES * PAGE; i++)
        must(memory[i] == 0);
    must(green_prefault(memory, PAGES * PAGE) == 0);
    cr_assert_eq(helpers(), 1);
    prefault_idle_ns = 1000000; /* from its next request on */
    must(madvise(memory, PAGES * PAGE, MADV_DONTNEED) == 0);
    must(green_prefault(memory, PAGES * PAGE) == 0);
    wait_for(helpers() == 0); /* idle, it ends */
    must(madvise(memory, PAGES * PAGE, MADV_DONTNEED) == 0);
    must(green_prefault(memory, PAGES * PAGE) == 0);
    cr_assert_eq(pages_in(memory, PAGES), PAGES);
}

static int new_file(size_t pages)
{
    char name[] = "/tmp/green-prefault-XXXXXX", page[PAGE];
    int file = mkstemp(name);
    must(file >= 0 && unlink(name) == 0);
    for (size_t i = 0; i < pages; i++) {
        memset(page, (int)i % 100 + 1, sizeof page);
        must(write(file, page, sizeof page) == sizeof page);
    }
    must(fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    return file;
}

static void check_file_mapping(int file, int protection, int flags)
{
    must(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0);
    char *memory = mmap(NULL, PAGES * PAGE, protection, flags, file, 0);
    must(memory != MAP_FAILED);
    must(green_prefault(memory, PAGES * PAGE) == 0);
    cr_assert_eq(pages_in(memory, PAGES), PAGES);
    for (int i = 0; i < PAGES; i++)
        must(memory[i * PAGE] == i % 100 + 1);
    must(munmap(memory, PAGES * PAGE) == 0);
}

/* Dirty pages of this mapping, by the kernel's account. */
static long dirty_kb(const char *memory)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long start, end;
    long sum = 0, kb;
    bool here = false;
    must(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = start == (uintptr_t)memory;
        else if (here && (sscanf(line, "Private_Dirty: %ld", &kb) == 1 || sscanf(line, "Shared_Dirty: %ld", &kb) == 1))
            sum += kb;
    }
    fclose(maps);
    return sum;
}

ON_BOTH(prefault, files_are_read_and_not_written)
{
    int file = new_file(PAGES);
    check_file_mapping(file, PROT_READ, MAP_PRIVATE);
    check_file_mapping(file, PROT_READ, MAP_SHARED);
    const int flags[] = {MAP_SHARED, MAP_PRIVATE};
    for (int i = 0; i < 2; i++) {
        check_file_mapping(file, PROT_READ | PROT_WRITE, flags[i]);
        char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags[i], file, 0);
        must(memory != MAP_FAILED && green_prefault(memory, PAGES * PAGE) == 0);
        cr_assert_eq(dirty_kb(memory), 0);
        memory[0]++;
        if (flags[i] == MAP_PRIVATE) /* the kernel may have written a shared page back already */
            cr_assert_eq(dirty_kb(memory), PAGE / 1024);
        memory[0]--;
        must(munmap(memory, PAGES * PAGE) == 0);
    }
    close(file);
}

/* Every range that something is wrong with, when its good pages are missing and when they are there. */
static void check_bad_ranges(void)
{
    char *memory = map_anonymous(PAGES), *closed = memory + 400 * PAGE, *hole = memory + 500 * PAGE;
    int file = new_file(1);
    char *beyond = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    must(munmap(hole, PAGE) == 0 && mprotect(closed, PAGE, PROT_NONE) == 0);
    for (int i = 0; i < 2; i++) {
        must(green_prefault(closed, 1) == EFAULT);
        must(green_prefault(closed - PAGE, 3 * PAGE) == EFAULT);
        must(green_prefault(memory, 450 * PAGE) == EFAULT);
        must(green_prefault(hole, 1) == ENOMEM);
        must(green_prefault(hole - PAGE, 3 * PAGE) == ENOMEM);
        must(green_prefault(closed + PAGE, PAGES * PAGE) == ENOMEM);
        must(green_prefault(beyond, PAGE) == 0);
        must(green_prefault(beyond, 2 * PAGE) == EFAULT);
        must(green_prefault(NULL, 1) == ENOMEM);
        must(green_prefault((void *)UINTPTR_MAX, 1) == ENOMEM);
        must(green_prefault((void *)(UINTPTR_MAX - PAGE), SIZE_MAX) == ENOMEM);
        must(green_prefault(memory, SIZE_MAX) == ENOMEM);
        must(green_prefault((void *)(UINTPTR_MAX / 2 + 2), PAGE) == ENOMEM); /* no address of this machine's */
    }
    must(mprotect(closed, PAGE, PROT_READ | PROT_WRITE) == 0);
    closed[0] = 1;
    must(mprotect(closed, PAGE, PROT_NONE) == 0);
    must(green_prefault(closed, 1) == EFAULT); /* in memory, but out of reach */
    munmap(memory, PAGES * PAGE);
    munmap(beyond, 2 * PAGE);
    close(file);
}

static void *check_bad_ranges_here(void *arg)
{
    check_bad_ranges();
    return arg;
}

ON_BOTH(prefault, bad_ranges)
{
    check_bad_ranges();
    join_result(spawn(check_bad_ranges_here, NULL));
}

/* From here on the kernel refuses a call with an error number, to every kernel thread there is. */
static void refuse(struct sock_filter *code, size_t count)
{
    struct sock_fprog program = {(unsigned short)count, code};
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

/* As kernels before 5.14, which do not know the advice. */
static void forget_populate(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 22, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 23, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
    };
    refuse(code, sizeof code / sizeof *code);
    must(madvise(map_anonymous(1), PAGE, 22) == -1 && errno == EINVAL);
}

/* As at the limit of processes. */
static void refuse_kernel_threads(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
    };
    refuse(code, sizeof code / sizeof *code);
    must(fork() == -1 && errno == EAGAIN);
}

static atomic_bool refused;

static void *prefault_fresh(void *arg)
{
    wait_for(atomic_load(&refused));
    for (int i = 0; i < 50; i++) {
        char *memory = map_anonymous(PAGES);
        must(green_prefault(memory, PAGES * PAGE) == 0);
        must(pages_in(memory, PAGES) == PAGES);
        must(munmap(memory, PAGES * PAGE) == 0);
    }
    return arg;
}

/* Somebody has to do it.  (A sanitizer's green thread takes a kernel thread to create: these come first.) */
ON_BOTH(prefault, no_helper_to_be_had)
{
    green_t threads[STORM_THREADS];
    for (int i = 0; i < STORM_THREADS; i++)
        threads[i] = spawn(prefault_fresh, NULL);
    refuse_kernel_threads();
    atomic_store(&refused, true);
    for (int i = 0; i < STORM_THREADS; i++)
        join_result(threads[i]);
    check_bad_ranges();
    cr_assert_eq(helpers(), 0);
}

Test(prefault, kernels_that_cannot_populate, .timeout = LIMIT)
{
    forget_populate();
    start(1);
    check_bad_ranges();
    int file = new_file(PAGES);
    check_file_mapping(file, PROT_READ, MAP_SHARED);
    char *memory = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    for (int i = 0; i < 2; i++)
        must(green_prefault(memory, PAGES * PAGE) == 0);
}

/* Memory whose pages come when the test gives them. */
struct slow {
    int uffd;
    char *memory;
};

static bool slow_map(struct slow *slow, size_t pages)
{
    struct uffdio_api api = {.api = UFFD_API};
    slow->memory = map_anonymous(pages);
    slow->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (slow->uffd < 0 || ioctl(slow->uffd, UFFDIO_API, &api) != 0)
        return false;
    struct uffdio_register area = {.range = {(uintptr_t)slow->memory, pages * PAGE},
                                   .mode = UFFDIO_REGISTER_MODE_MISSING};
    return ioctl(slow->uffd, UFFDIO_REGISTER, &area) == 0;
}

/* The page that somebody waits for; NULL: nobody does. */
static char *slow_wanted(const struct slow *slow)
{
    struct uffd_msg message;
    if (read(slow->uffd, &message, sizeof message) != sizeof message)
        return NULL;
    must(message.event == UFFD_EVENT_PAGEFAULT);
    return (char *)(uintptr_t)(message.arg.pagefault.address & ~(uint64_t)(PAGE - 1));
}

static void slow_give(const struct slow *slow, char *page)
{
    char content[PAGE];
    memset(content, 7, sizeof content);
    struct uffdio_copy copy = {.dst = (uintptr_t)page, .src = (uintptr_t)content, .len = PAGE};
    must(ioctl(slow->uffd, UFFDIO_COPY, &copy) == 0);
}

#define NEED_SLOW(slow, pages)                                             \
    do {                                                                   \
        if (!slow_map(&(slow), pages))                                     \
            cr_skip("userfaultfd is not permitted: %s", strerror(errno)); \
    } while (0)

static atomic_int arrived;

static void *want_pages(void *memory)
{
    must(green_prefault(memory, 3 * PAGE) == 0);
    for (int i = 0; i < 3 * PAGE; i++)
        must(((char *)memory)[i] == 7);
    atomic_fetch_add(&arrived, 1);
    return memory;
}

/* The server of the faults is another thread on the only processor. */
Test(prefault, others_run_meanwhile, .timeout = LIMIT)
{
    struct slow slow;
    NEED_SLOW(slow, 3);
    start(1);
    green_t reader = spawn(want_pages, slow.memory);
    for (int page = 0; page < 3; page++) {
        char *wanted;
        wait_for((wanted = slow_wanted(&slow)) != NULL);
        cr_assert_eq(wanted, slow.memory + page * PAGE);
        uint64_t switches = stats_now().switches;
        wait_for(stats_now().switches > switches + 20);
        cr_assert_eq(atomic_load(&arrived), 0);
        slow_give(&slow, wanted);
    }
    cr_assert_eq(join_result(reader), slow.memory);
    cr_assert_eq(helpers(), 1);
}

/* More than there are helpers: the others wait for theirs, and none is forgotten. */
ON_BOTH(prefault, more_requests_than_helpers)
{
    enum { READERS = 3 * HELPERS_MAX };
    struct slow slow;
    green_t readers[READERS];
    char *wanted[HELPERS_MAX];
    NEED_SLOW(slow, READERS * 3);
    for (int i = 0; i < READERS; i++)
        readers[i] = spawn(want_pages, slow.memory + i * 3 * PAGE);
    for (int i = 0; i < HELPERS_MAX; i++)
        wait_for((wanted[i] = slow_wanted(&slow)) != NULL);
    cr_assert_eq(helpers(), HELPERS_MAX);
    green_usleep(5000);
    cr_assert_null(slow_wanted(&slow));
    for (int given = 0; given < READERS * 3; given++) {
        char *page = given < HELPERS_MAX ? wanted[given] : NULL;
        if (!page)
            wait_for((page = slow_wanted(&slow)) != NULL);
        slow_give(&slow, page);
    }
    for (int i = 0; i < READERS; i++)
        join_result(readers[i]);
    cr_assert_eq(atomic_load(&arrived), READERS);
    cr_assert_eq(helpers(), HELPERS_MAX);
}

static void *want_pages_foreign(void *memory)
{
    return want_pages(memory);
}

/* A kernel thread of the program's own waits by itself. */
Test(prefault, from_a_kernel_thread, .timeout = LIMIT)
{
    struct slow slow;
    pthread_t thread;
    NEED_SLOW(slow, 3);
    start(1);
    must(pthread_create(&thread, NULL, want_pages_foreign, slow.memory) == 0);
    for (int page = 0; page < 3; page++) {
        char *wanted;
        wait_for((wanted = slow_wanted(&slow)) != NULL);
        cr_assert_eq(helpers(), 0);
        slow_give(&slow, wanted);
    }
    wait_for(atomic_load(&arrived) == 1);
    must(pthread_join(thread, NULL) == 0);
}

static void check_child(pid_t child)
{
    int status;
    pid_t ended;
    must(child > 0);
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    must(ended == child && WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* In the child: no helper, though one was there, busy or idle; and a new one when it is needed. */
static int prefault_afresh(void)
{
    char *memory = map_anonymous(PAGES);
    must(helpers() == 0);
    must(green_prefault(memory, PAGES * PAGE) == 0);
    must(pages_in(memory, PAGES) == PAGES);
    must(helpers() == 1);
    return 42;
}

ON_BOTH(prefault, fork)
{
    struct slow slow;
    char *wanted;
    NEED_SLOW(slow, 3);
    must(green_prefault(map_anonymous(1), 1) == 0);
    green_t reader = spawn(want_pages, slow.memory);
    wait_for((wanted = slow_wanted(&slow)) != NULL);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(prefault_afresh());
        check_child(child);
    }
    for (int page = 0; page < 3; page++) {
        wait_for(wanted || (wanted = slow_wanted(&slow)));
        slow_give(&slow, wanted);
        wanted = NULL;
    }
    join_result(reader);
}

/* Page after page, taken away again: helpers come, serve and wait, while everybody is preempted. */
static void come_and_go(unsigned index, uint64_t round)
{
    static char *memory[STORM_THREADS];
    const size_t pages = 1 + (round + index) % 7;
    if (round == 0)
        memory[index] = map_anonymous(8);
    char *mine = memory[index];
    must(madvise(mine, 8 * PAGE, MADV_DONTNEED) == 0);
    must(green_prefault(mine, pages * PAGE) == 0);
    must(pages_in(mine, 8) == (int)pages);
}

/* A quarter of the usual, as threads that park are seldom preempted. */
ON_BOTH(prefault, storm)
{
    storm_of(STORM_THREADS, STORM_PREEMPTIONS / 4, come_and_go);
    cr_assert_leq(helpers(), HELPERS_MAX);
}
