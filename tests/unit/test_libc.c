/*
 * The C library from threads that are preempted anywhere in it: malloc, stdio, locale, name lookup, the pthread calls
 * that are about the caller, backtrace.
 */
#include "unit.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <locale.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(libc, .timeout = LIMIT);

enum { BLOCKS = 64 };

static _Atomic(unsigned char *) shelf[BLOCKS];

static size_t size_of_block(uint64_t round)
{
    return 16 + round * 2654435761u % (round % 32 ? 2000 : 200000);
}

/* Fill a block, put it on a shelf, and free what another thread left there. */
static void malloc_step(unsigned index, uint64_t round)
{
    size_t size = size_of_block(round);
    unsigned char *block = malloc(size);
    must(block);
    memset(block, (int)(index + 1), size);
    block = realloc(block, size * 2);
    must(block && block[0] == index + 1 && block[size - 1] == index + 1);
    memset(block, block[0], size * 2);
    block = atomic_exchange(&shelf[round * 7 % BLOCKS], block);
    if (block)
        must(block[0] == block[15] && block[0] <= STORM_THREADS);
    free(block);
}

ON_BOTH(libc, malloc)
{
    storm(malloc_step);
    for (int i = 0; i < BLOCKS; i++)
        free(atomic_load(&shelf[i]));
}

static FILE *lines;
static atomic_ulong written;

static void print_step(unsigned index, uint64_t round)
{
    int length = (int)(round % 60);
    must(fprintf(lines, "begin %u %llu %.*s end\n", index, (unsigned long long)round, length,
                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz") > 0);
    atomic_fetch_add(&written, 1);
}

/* Every line whole, and each thread's in the order in which it wrote them. */
ON_BOTH(libc, stdio_lines_stay_whole)
{
    uint64_t next[STORM_THREADS] = {0}, found = 0;
    char line[256];
    lines = tmpfile();
    cr_assert_not_null(lines);
    storm(print_step);
    rewind(lines);
    for (; fgets(line, sizeof line, lines); found++) {
        unsigned index;
        unsigned long long round;
        int end = 0;
        cr_assert_eq(sscanf(line, "begin %u %llu %*[a-z ]%n", &index, &round, &end), 2, "<%s>", line);
        cr_assert(end > 4 && line[end] == '\n' && !memcmp(line + end - 4, " end", 4), "<%s>", line);
        cr_assert_lt(index, STORM_THREADS);
        cr_assert_eq(round, next[index]++);
    }
    cr_assert_eq(found, atomic_load(&written));
}

static locale_t locales[2];

static void locale_step(unsigned index, uint64_t round)
{
    locale_t mine = locales[index % 2];
    if (round == 0)
        must(uselocale((locale_t)0) == LC_GLOBAL_LOCALE && uselocale(mine) == LC_GLOBAL_LOCALE);
    must(uselocale((locale_t)0) == mine);
    must(MB_CUR_MAX == (index % 2 ? 6 : 1));
    wchar_t wide = 0;
    must(mbtowc(&wide, "\xc3\xa9", 2) == (index % 2 ? 2 : -1));
    char number[32];
    must(snprintf(number, sizeof number, "%.2f", 1.5) == 4 && !strcmp(number, "1.50"));
}

ON_BOTH(libc, locale_is_a_threads_own)
{
    locales[0] = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locales[1] = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    cr_assert(locales[0] && locales[1]);
    storm(locale_step);
    cr_assert_eq(uselocale((locale_t)0), LC_GLOBAL_LOCALE);
}

static void lookup_step(unsigned index, uint64_t round)
{
    struct addrinfo numeric = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo named = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int by_name = (index + round) % 2 != 0;
    must(getaddrinfo(by_name ? "localhost" : "127.0.0.1", "80", by_name ? &named : &numeric, &found) == 0);
    must(found && found->ai_family == AF_INET);
    freeaddrinfo(found);
}

ON_BOTH(libc, getaddrinfo)
{
    storm(lookup_step);
}

/*
 * A thread on the block of one that has ended, which it is told by pthread_self(), begins with none of what that one had
 * libc keep.
 */
static void *begin_afresh(void *arg)
{
    struct addrinfo wanted = {.ai_family = AF_INET}, *found = NULL;
    locale_t chosen = arg;
    must(uselocale((locale_t)0) == LC_GLOBAL_LOCALE);
    must(dlerror() == NULL);
    must(errno == 0 && h_errno == 0);
    must(_res.retry == 0 && _res.options == 0 && _res.nscount == 0);
    must(getaddrinfo("localhost", NULL, &wanted, &found) == 0);
    freeaddrinfo(found);
    must(_res.retry != 77 && _res.options & RES_INIT);
    _res.retry = 77;
    must(uselocale(chosen) == LC_GLOBAL_LOCALE);
    must(dlopen("/nowhere/library.so", RTLD_NOW) == NULL);
    errno = ERANGE;
    h_errno = NO_DATA;
    return (void *)pthread_self();
}

ON_BOTH(libc, next_thread_on_a_block_begins_afresh)
{
    void *before = NULL, *now = NULL;
    for (int again = 0; again < 3; before = now) {
        locale_t chosen = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        now = join_result(spawn(begin_afresh, chosen));
        freelocale(chosen);
        again += now == before;
    }
}

/* And one that has only been told something of the resolver. */
static void *change_resolver(void *arg)
{
    must(_res.retrans == 0 && _res.options == 0);
    _res.retrans = 5;
    _res.options = RES_USEVC;
    return arg;
}

ON_BOTH(libc, resolver_that_did_not_begin_is_forgotten)
{
    for (int i = 0; i < 10; i++)
        join_result(spawn(change_resolver, NULL));
}

static pthread_mutex_t recursive;
static uint64_t guarded;
static atomic_ulong entered;

static void pthread_mutex_step(unsigned index, uint64_t round)
{
    (void)index;
    must(pthread_mutex_lock(&recursive) == 0);
    must(pthread_mutex_lock(&recursive) == 0);
    uint64_t before = guarded;
    spin_ns(round % 64 ? 100 : 30000);
    guarded = before + 1;
    must(pthread_mutex_unlock(&recursive) == 0);
    must(pthread_mutex_unlock(&recursive) == 0);
    must(pthread_mutex_unlock(&recursive) == EPERM);
    atomic_fetch_add(&entered, 1);
}

/* Its owner is known by a number in the thread's block, which must stay the same on every kernel thread. */
ON_BOTH(libc, recursive_pthread_mutex)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    cr_assert_eq(pthread_mutex_init(&recursive, &attr), 0);
    storm(pthread_mutex_step);
    cr_assert_eq(guarded, atomic_load(&entered));
}

enum { OWNERS = 30 };

static pthread_key_t keys[2];
static atomic_int destroyed[OWNERS];

struct owned {
    int index;
    green_t owner;
};

static void destroy_owned(void *value)
{
    struct owned *owned = value;
    must(green_equal(owned->owner, green_self()));
    /* Once more for every second one: a destructor may set its key again and is then called again. */
    if (atomic_fetch_add(&destroyed[owned->index], 1) == 0 && owned->index % 2)
        must(pthread_setspecific(keys[0], owned) == 0);
}

static void *own_values(void *arg)
{
    struct owned owned = {(int)(intptr_t)arg, green_self()}, *kept = malloc(sizeof *kept);
    must(kept);
    *kept = owned;
    must(pthread_getspecific(keys[0]) == NULL && pthread_getspecific(keys[1]) == NULL);
    must(pthread_setspecific(keys[0], kept) == 0 && pthread_setspecific(keys[1], arg) == 0);
    for (int i = 0; i < 20; i++) {
        spin_ns(20000);
        must(pthread_getspecific(keys[0]) == kept && pthread_getspecific(keys[1]) == arg);
        green_yield();
    }
    if (owned.index % 3 == 0)
        green_exit(kept);
    return kept;
}

ON_BOTH(libc, pthread_keys)
{
    green_t threads[OWNERS];
    cr_assert_eq(pthread_key_create(&keys[0], destroy_owned), 0);
    cr_assert_eq(pthread_key_create(&keys[1], NULL), 0);
    cr_assert_eq(pthread_setspecific(keys[1], keys), 0);
    for (intptr_t i = 0; i < OWNERS; i++)
        threads[i] = spawn(own_values, (void *)i);
    for (int i = 0; i < OWNERS; i++) {
        free(join_result(threads[i]));
        cr_assert_eq(destroyed[i], 1 + i % 2);
    }
    cr_assert_eq(pthread_getspecific(keys[1]), keys);
}

static void *look_at_own_stack(void *bytes)
{
    pthread_attr_t attr;
    void *address;
    size_t size;
    must(pthread_getattr_np(pthread_self(), &attr) == 0);
    must(pthread_attr_getstack(&attr, &address, &size) == 0);
    pthread_attr_destroy(&attr);
    must((char *)&attr >= (char *)address && (char *)&attr < (char *)address + size);
    must(size >= (uintptr_t)bytes / 2 && size <= (uintptr_t)bytes + 65536);
    return NULL;
}

ON_BOTH(libc, pthread_getattr_np)
{
    for (size_t bytes = 131072; bytes <= 4 << 20; bytes *= 2) {
        green_attr_t attr;
        green_t thread;
        green_attr_init(&attr);
        green_attr_setstacksize(&attr, bytes);
        cr_assert_eq(green_create(&thread, &attr, look_at_own_stack, (void *)bytes), 0);
        join_result(thread);
    }
}

static void *leave_by_pthread_exit(void *arg)
{
    spin_ns(200000);
    pthread_exit(arg);
}

ON_BOTH(libc, pthread_exit)
{
    int here;
    for (int i = 0; i < 50; i++)
        cr_assert_eq(join_result(spawn(leave_by_pthread_exit, &here)), &here);
}

static pthread_t seen_as[STORM_THREADS];

static void self_step(unsigned index, uint64_t round)
{
    if (round == 0)
        seen_as[index] = pthread_self();
    must(pthread_equal(seen_as[index], pthread_self()));
    if (round % 8 == 0)
        green_yield();
}

ON_BOTH(libc, pthread_self_is_a_threads_own)
{
    storm(self_step);
    for (int i = 0; i < STORM_THREADS; i++)
        for (int j = 0; j < i; j++)
            cr_assert(!pthread_equal(seen_as[i], seen_as[j]));
}

/* Every frame must be code of a loaded object, and the caller's caller among them. */
static __attribute__((noinline)) void check_backtrace(void *caller)
{
    enum { FRAMES = 100 };
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES), found = 0;
    must(count > 2 && count < 30);
    for (int i = 0; i < count; i++) {
        Dl_info info;
        must(dladdr(frames[i], &info) != 0);
        found += frames[i] == caller;
    }
    must(found == 1);
}

static __attribute__((noinline)) void backtrace_step(unsigned index, uint64_t round)
{
    (void)index, (void)round;
    check_backtrace(__builtin_return_address(0));
}

ON_BOTH(libc, backtrace_ends)
{
    storm(backtrace_step);
}
