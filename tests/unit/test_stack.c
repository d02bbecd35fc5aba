/*
 * Stacks of the program's, guards, and what a thread says of its own attributes.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(stack, .timeout = LIMIT);

enum { BYTES = 65536 };

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static green_attr_t attr_with(void *low, size_t bytes, int scope)
{
    green_attr_t attr;
    must(green_attr_init(&attr) == 0);
    must(green_attr_setstack(&attr, low, bytes) == 0);
    must(green_attr_setscope(&attr, scope) == 0);
    return attr;
}

struct place {
    char *low;
    size_t bytes;
    uintptr_t at;
};

static void *where(void *arg)
{
    struct place *place = arg;
    volatile char here = 1;
    green_attr_t attr;
    void *low;
    size_t bytes;
    errno = ERANGE;
    place->at = (uintptr_t)&here;
    must(green_getattr_np(green_self(), &attr) == 0);
    must(green_attr_getstack(&attr, &low, &bytes) == 0);
    must((char *)low == place->low && bytes == place->bytes);
    must(errno == ERANGE);
    free(malloc(100));
    return arg;
}

static void on_it(char *low, size_t bytes, int scope)
{
    struct place place = {low, bytes, 0};
    green_attr_t attr = attr_with(low, bytes, scope);
    green_t thread;
    cr_assert_eq(green_create(&thread, &attr, where, &place), 0);
    cr_assert_eq(join_result(thread), &place);
    cr_assert(place.at >= (uintptr_t)low && place.at < (uintptr_t)low + bytes);
    green_attr_destroy(&attr);
}

ON_BOTH(stack, of_the_program)
{
    for (int round = 0; round < 200; round++) {
        char *memory = malloc(BYTES);
        on_it(memory, BYTES, GREEN_SCOPE_PROCESS);
        memset(memory, 0x5a, BYTES); /* nothing of the library's lies in it */
        free(memory);
    }
    on_it((char[GREEN_STACK_MIN]){0}, GREEN_STACK_MIN, GREEN_SCOPE_PROCESS);
    on_it((char[BYTES]){0} + 1, BYTES - 3, GREEN_SCOPE_PROCESS);
    struct green_stats stats = stats_now();
    cr_assert_leq(stats.stacks_mapped, 70, "%llu: they are reused", (unsigned long long)stats.stacks_mapped);
}

/* Joined, it is nobody's any more: not even of a kernel thread that is on its way out. */
ON_BOTH(stack, of_the_program_for_a_bound_thread)
{
    for (int round = 0; round < 100; round++) {
        char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        on_it(memory, BYTES, GREEN_SCOPE_SYSTEM);
        cr_assert_eq(munmap(memory, BYTES), 0);
    }
}

static atomic_int ended;

static void *end(void *arg)
{
    atomic_fetch_add(&ended, 1);
    return arg;
}

ON_BOTH(stack, of_a_detached_bound_thread)
{
    enum { COUNT = 30 };
    for (int i = 0; i < COUNT; i++) {
        char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        green_attr_t attr = attr_with(memory, BYTES, GREEN_SCOPE_SYSTEM);
        green_t thread;
        if (i % 3 == 0)
            green_attr_setdetachstate(&attr, GREEN_CREATE_DETACHED);
        cr_assert_eq(green_create(&thread, &attr, end, NULL), 0);
        if (i % 3 == 2)
            wait_for(atomic_load(&ended) == i + 1);
        if (i % 3 != 0)
            cr_assert_eq(green_detach(thread), 0);
    }
    wait_for(atomic_load(&ended) == COUNT);
    wait_for(stats_now().threads_live == 1);
}

static void *spin_and_sleep(void *arg)
{
    char room[8192];
    for (int i = 0; i < 200; i++) {
        memset(room, i, sizeof room);
        __asm__ volatile("" : : "r"(room) : "memory");
        green_usleep(10);
        must(room[i] == (char)i);
    }
    return arg;
}

/* Ticks, sleeps and migration on the smallest ones. */
/* Side by side, without guards: AddressSanitizer's frames need more than the smallest. */
#ifdef __SANITIZE_ADDRESS__
#define SMALL ((size_t)4 * GREEN_STACK_MIN)
#else
#define SMALL ((size_t)GREEN_STACK_MIN)
#endif

ON_BOTH(stack, many_of_the_program)
{
    enum { COUNT = 32 };
    green_t threads[COUNT];
    char *memory = malloc(COUNT * SMALL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            green_attr_t attr = attr_with(memory + (size_t)i * SMALL, SMALL, GREEN_SCOPE_PROCESS);
            cr_assert_eq(green_create(&threads[i], &attr, spin_and_sleep, &threads[i]), 0);
        }
        for (int i = 0; i < COUNT; i++)
            cr_assert_eq(join_result(threads[i]), &threads[i]);
    }
    free(memory);
}

Test(stack, setstack_errors)
{
    green_attr_t attr, *volatile none = NULL;
    static char memory[BYTES];
    void *volatile nothing = NULL;
    void *low = memory;
    size_t bytes;
    green_attr_init(&attr);
    cr_assert_eq(green_attr_getstack(&attr, &low, &bytes), 0);
    cr_assert_null(low, "the library's");
    cr_assert_eq(green_attr_setstack(&attr, memory, GREEN_STACK_MIN - 1), EINVAL);
    cr_assert_eq(green_attr_setstack(&attr, memory, ((size_t)1 << 30) + 1), EINVAL);
    cr_assert_eq(green_attr_setstack(&attr, (void *)(UINTPTR_MAX - 100), BYTES), EINVAL);
    cr_assert_eq(green_attr_setstack(&attr, nothing, BYTES), EINVAL);
    cr_assert_eq(green_attr_setstack(none, memory, BYTES), EINVAL);
    cr_assert_eq(green_attr_getstack(none, &low, &bytes), EINVAL);
    cr_assert_eq(green_attr_getstack(&attr, nothing, &bytes), EINVAL);
    cr_assert_eq(green_attr_getstack(&attr, &low, nothing), EINVAL);
    cr_assert_eq(green_attr_setstack(&attr, memory, BYTES), 0);
    cr_assert_eq(green_attr_getstack(&attr, &low, &bytes), 0);
    cr_assert_eq(low, memory);
    cr_assert_eq(bytes, BYTES);
}

Test(stack, guard_size_errors)
{
    green_attr_t attr, *volatile none = NULL;
    void *volatile nothing = NULL;
    size_t bytes;
    green_attr_init(&attr);
    cr_assert_eq(green_attr_getguardsize(&attr, &bytes), 0);
    cr_assert_eq(bytes, page());
    cr_assert_eq(green_attr_setguardsize(&attr, SIZE_MAX), EINVAL);
    cr_assert_eq(green_attr_setguardsize(none, page()), EINVAL);
    cr_assert_eq(green_attr_getguardsize(none, &bytes), EINVAL);
    cr_assert_eq(green_attr_getguardsize(&attr, nothing), EINVAL);
    cr_assert_eq(green_attr_setguardsize(&attr, 0), 0);
    cr_assert_eq(green_attr_getguardsize(&attr, &bytes), 0);
    cr_assert_eq(bytes, 0);
    cr_assert_eq(green_attr_setguardsize(&attr, 12345), 0);
    cr_assert_eq(green_attr_getguardsize(&attr, &bytes), 0);
    cr_assert_eq(bytes, 12345, "as set");
}

struct guarded {
    size_t guard, stack;
    char *low;
};

static void *look_at_guard(void *arg)
{
    struct guarded *guarded = arg;
    green_attr_t attr;
    void *low;
    must(green_getattr_np(green_self(), &attr) == 0);
    must(green_attr_getguardsize(&attr, &guarded->guard) == 0);
    must(green_attr_getstack(&attr, &low, &guarded->stack) == 0);
    guarded->low = low;
    return arg;
}

ON_BOTH(stack, guards)
{
    const size_t asked[] = {0, 1, page(), page() + 1, 16 * page(), (size_t)1 << 20};
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++)
        for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
            struct guarded guarded = {0, 0, NULL};
            const size_t pages = (asked[i] + page() - 1) / page();
            const size_t expected = scope == GREEN_SCOPE_PROCESS && pages == 0 ? 1 : pages;
            green_attr_t attr;
            green_t thread;
            green_attr_init(&attr);
            green_attr_setscope(&attr, scope);
            green_attr_setstacksize(&attr, BYTES);
            green_attr_setguardsize(&attr, asked[i]);
            cr_assert_eq(green_create(&thread, &attr, look_at_guard, &guarded), 0);
            join_result(thread);
            cr_assert_geq(guarded.stack, BYTES);
            cr_assert_eq((guarded.guard + page() - 1) / page(), expected, "scope %d, %zu: %zu", scope, asked[i],
                         guarded.guard);
        }
}

#ifndef __SANITIZE_ADDRESS__ /* which has SIGSEGV for itself */
static void *write_deep_in_guard(void *arg)
{
    struct guarded guarded;
    look_at_guard(&guarded);
    *(volatile char *)(guarded.low - (size_t)(uintptr_t)arg) = 1;
    return NULL;
}

/* The line that names an overflow comes for the far end of a large guard, too. */
static void overflow(size_t guard, size_t depth)
{
    int pipe_ends[2];
    char line[300] = "";
    must(pipe(pipe_ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        green_attr_t attr;
        green_t thread;
        dup2(pipe_ends[1], STDERR_FILENO);
        signal(SIGSEGV, SIG_DFL);
        start(1);
        green_attr_init(&attr);
        green_attr_setguardsize(&attr, guard);
        green_attr_setname_np(&attr, "deep");
        green_create(&thread, &attr, write_deep_in_guard, (void *)depth);
        green_join(thread, NULL);
        _exit(0);
    }
    close(pipe_ends[1]);
    cr_assert_gt(read(pipe_ends[0], line, sizeof line - 1), 0);
    close(pipe_ends[0]);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", (unsigned)status);
    cr_assert_not_null(strstr(line, "stack overflow in thread \"deep\""), "%s", line);
}

Test(stack, overflow_into_a_guard)
{
    overflow(page(), 1);
    overflow(32 * page(), 1);
    overflow(32 * page(), 32 * page());
}
#endif

static void *wait_at(void *sem)
{
    must(green_sem_wait(sem) == 0);
    return sem;
}

ON_BOTH(stack, attributes_of_another_thread)
{
    green_sem_t gate;
    green_sem_init(&gate, 0, 0);
    for (int scope = GREEN_SCOPE_PROCESS; scope <= GREEN_SCOPE_SYSTEM; scope++) {
        green_attr_t attr, got;
        green_t thread;
        void *low;
        size_t bytes;
        int value;
        char name[16];
        green_attr_init(&attr);
        green_attr_setscope(&attr, scope);
        green_attr_setname_np(&attr, "observed");
        green_attr_setstacksize(&attr, 1 << 20);
        cr_assert_eq(green_create(&thread, &attr, wait_at, &gate), 0);
        cr_assert_eq(green_getattr_np(thread, &got), 0);
        cr_assert_eq(green_attr_getscope(&got, &value), 0);
        cr_assert_eq(value, scope);
        green_attr_getdetachstate(&got, &value);
        cr_assert_eq(value, GREEN_CREATE_JOINABLE);
        green_attr_getname_np(&got, name, sizeof name);
        cr_assert_str_eq(name, "observed");
        green_attr_getstack(&got, &low, &bytes);
        cr_assert_not_null(low);
        cr_assert_geq(bytes, 1 << 20);
        green_attr_getschedpolicy(&got, &value);
        cr_assert_eq(value, SCHED_OTHER);
        cr_assert_eq(green_detach(thread), 0);
        cr_assert_eq(green_getattr_np(thread, &got), 0);
        green_attr_getdetachstate(&got, &value);
        cr_assert_eq(value, GREEN_CREATE_DETACHED);
        green_sem_post(&gate);
        wait_for(green_getattr_np(thread, &got) == ESRCH);
    }
}

static void *foreign_asks(void *arg)
{
    green_attr_t attr;
    char here;
    void *low;
    size_t bytes;
    must(green_getattr_np(green_self(), &attr) == 0);
    must(green_attr_getstack(&attr, &low, &bytes) == 0);
    must(&here > (char *)low && &here < (char *)low + bytes);
    return arg;
}

ON_BOTH(stack, own_attributes_of_every_kind_of_thread)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, foreign_asks, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    foreign_asks(NULL);
    join_result(spawn(foreign_asks, NULL));
}

Test(stack, getattr_errors)
{
    green_attr_t attr, *volatile none = NULL;
    cr_assert_eq(green_getattr_np(green_self(), none), EINVAL);
    cr_assert_eq(green_getattr_np(0, &attr), ESRCH);
    green_t thread = spawn(end, NULL);
    join_result(thread);
    cr_assert_eq(green_getattr_np(thread, &attr), ESRCH);
}
