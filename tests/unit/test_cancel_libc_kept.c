/*
 * libc's cancellation points: what has its result keeps it, what handlers and children do meanwhile, and that who is not
 * cancelled sees libc's calls.
 */
#include "cancel_libc.h"

#include <fcntl.h>
#include <green/cancel.h>
#include <green/signal.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

TestSuite(cancel_libc_kept, .timeout = LIMIT);

enum { STORM_ROUNDS = 400, PART = 64 };

/* Not cancelled: disabled, and in a critical section. */

static int give[2];

static void *read_disabled(void *arg)
{
    char byte;

    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    atomic_fetch_add(&reached, 1);
    must(read(give[0], &byte, 1) == 1 && byte == 'a');
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    green_critical_enter();
    must(read(give[0], &byte, 1) == 1 && byte == 'b');
    green_critical_leave();
    atomic_fetch_add(&passed, 1);
    read(give[0], &byte, 1);
    return arg;
}

EVERYWHERE(cancel_libc_kept, not_everywhere)
{
    char byte;

    must(pipe(give) == 0);
    green_t thread = spawn_in(scope, read_disabled, NULL);
    wait_for(atomic_load(&reached) == 1);
    must(green_cancel(thread) == 0);
    green_usleep(1000);
    must(write(give[1], "abc", 3) == 3);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
    cr_assert(read(give[0], &byte, 1) == 1 && byte == 'c');
}

/* Nothing is lost. */

static atomic_long written, got;

static void *read_on(void *arg)
{
    char part[PART];

    for (size_t bytes = 1;; bytes = bytes % PART + 1) {
        ssize_t count = read(give[0], part, bytes);
        must(count > 0 || errno == EINTR);
        if (count > 0)
            atomic_fetch_add(&got, count);
    }
    return arg;
}

static void *write_on(void *arg)
{
    static const char part[PART];

    for (size_t bytes = 1;; bytes = bytes % PART + 1) {
        ssize_t count = write(give[1], part, bytes);
        must(count > 0 || errno == EINTR);
        if (count > 0)
            atomic_fetch_add(&written, count);
    }
    return arg;
}

/* Up to so long; some rounds are over before the threads have begun, in others they have been at work. */
static void wait_a_little(int round)
{
    if (round % 4 == 0)
        green_yield();
    else
        spin_ns((uint64_t)(round % 97) * 1000);
}

static long drain(int fd)
{
    char part[4096];
    long bytes = 0;
    ssize_t count;

    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    while ((count = read(fd, part, sizeof part)) > 0)
        bytes += count;
    must(count < 0 && errno == EAGAIN);
    return bytes;
}

EVERYWHERE(cancel_libc_kept, every_byte)
{
    must(pipe(give) == 0);
    for (int round = 0; round < STORM_ROUNDS; round++) {
        green_t reader = spawn_in(scope, read_on, NULL), writer = spawn_in(scope, write_on, NULL);
        wait_a_little(round);
        must(green_cancel(round % 2 ? reader : writer) == 0);
        must(green_cancel(round % 2 ? writer : reader) == 0);
        cr_assert_eq(join_result(reader), GREEN_CANCELED);
        cr_assert_eq(join_result(writer), GREEN_CANCELED);
    }
    const long left = drain(give[0]);
    cr_assert_eq(atomic_load(&written), atomic_load(&got) + left, "%ld written, %ld read, %ld left", written, got,
                 left);
    cr_assert_gt(atomic_load(&got), 0);
}

static atomic_long accepted;
static int listener;

static void *accept_on(void *arg)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0 || errno == EINTR);
        if (fd < 0)
            continue;
        must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
        must(close(fd) == 0);
        atomic_fetch_add(&accepted, 1);
        must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    }
    return arg;
}

EVERYWHERE(cancel_libc_kept, every_descriptor)
{
    struct sockaddr_un address;
    int fd;

    must(mkdtemp(folder) != NULL);
    listener = bound_listener("storm", 1000, &address);
    const unsigned before = count_entries("/proc/self/fd");
    for (int round = 0; round < STORM_ROUNDS; round++) {
        green_t thread = spawn_in(scope, accept_on, NULL);
        wait_a_little(round);
        must(close(client_of(&address)) == 0);
        if (round % 3 == 0)
            green_yield();
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
    }
    must(fcntl(listener, F_SETFL, O_NONBLOCK) == 0);
    for (; (fd = accept(listener, NULL, NULL)) >= 0; accepted++)
        must(close(fd) == 0);
    cr_assert_eq(atomic_load(&accepted), STORM_ROUNDS);
    cr_assert_leq(count_entries("/proc/self/fd"), before + 16, "workers have a few");
    must(unlink(address.sun_path) == 0 && rmdir(folder) == 0);
}

static atomic_long reaped;

static void *reap_on(void *arg)
{
    for (;;) {
        pid_t pid = waitpid(-1, NULL, 0);
        must(pid > 0 || errno == EINTR || errno == ECHILD);
        if (pid > 0)
            atomic_fetch_add(&reaped, 1);
    }
    return arg;
}

EVERYWHERE(cancel_libc_kept, every_child)
{
    enum { CHILDREN = 60 };

    for (int round = 0; round < CHILDREN; round++) {
        pid_t pid = fork_mortal();
        if (pid == 0) {
            spin_ns((uint64_t)(round % 7) * 50000);
            _exit(0);
        }
        green_t thread = spawn_in(scope, reap_on, NULL);
        wait_a_little(round * 7);
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
    }
    while (waitpid(-1, NULL, 0) > 0)
        reaped++;
    cr_assert_eq(errno, ECHILD);
    cr_assert_eq(atomic_load(&reaped), CHILDREN);
}

/* Handlers of signals. */

static atomic_int handled;

static void count_handled(int number)
{
    char byte;

    (void)number;
    must(read(give[0], &byte, 0) == 0); /* a point, in a call that is one */
    atomic_fetch_add(&handled, 1);
}

static void *read_for_ever(void *arg)
{
    char byte;
    ssize_t count;

    green_cleanup_push(pass, NULL);
    do
        count = read(give[0], &byte, 1);
    while (count < 0 && errno == EINTR);
    green_cleanup_pop(0);
    return arg;
}

EVERYWHERE(cancel_libc_kept, after_a_handler)
{
    struct sigaction action = {.sa_handler = count_handled, .sa_flags = SA_RESTART};

    must(sigaction(SIGUSR1, &action, NULL) == 0 && pipe(give) == 0);
    green_t thread = spawn_in(scope, read_for_ever, NULL);
    for (int count = 1; count <= 10; count++) {
        wait_for(is_blocked(thread));
        must(green_kill(thread, SIGUSR1) == 0);
        wait_for(atomic_load(&handled) == count);
    }
    wait_for(is_blocked(thread));
    must(green_cancel(thread) == 0);
    cr_assert_eq(join_result(thread), GREEN_CANCELED);
    cr_assert_eq(atomic_load(&passed), 1);
}

/* It blocks itself, on the alternate stack or not. */
static void read_in_handler(int number)
{
    (void)number;
    read_for_ever(NULL);
}

static void *handle_for_ever(void *arg)
{
    const stack_t stack = {.ss_sp = arg, .ss_size = arg ? 65536 : 0, .ss_flags = arg ? 0 : SS_DISABLE};

    must(green_sigaltstack(&stack, NULL) == 0);
    green_raise(SIGUSR1);
    return NULL;
}

EVERYWHERE(cancel_libc_kept, in_a_handler)
{
    struct sigaction action = {.sa_handler = read_in_handler, .sa_flags = SA_ONSTACK};
    void *stack = malloc(65536);

    must(stack && sigaction(SIGUSR1, &action, NULL) == 0 && pipe(give) == 0);
    for (int way = 0; way < 2; way++) {
        green_t thread = spawn_in(scope, handle_for_ever, way ? stack : NULL);
        wait_for(is_blocked(thread));
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED);
        cr_assert_eq(atomic_load(&passed), way + 1);
    }
    free(stack);
}

/* Whose thread is in vfork(), and would end in its place. */
static void *vfork_cancelled(void *arg)
{
    char byte = 0;

    must(green_cancel(green_self()) == 0);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(write(give[1], "v", 1) == 1 ? 0 : 1);
    must(green_setcancelstate(GREEN_CANCEL_DISABLE, NULL) == 0);
    must(pid > 0 && read(give[0], &byte, 1) == 1 && byte == 'v');
    check_exit_status(pid, 0);
    must(green_setcancelstate(GREEN_CANCEL_ENABLE, NULL) == 0);
    read(give[0], &byte, 1);
    return arg;
}

EVERYWHERE(cancel_libc_kept, not_the_child_of_vfork)
{
    must(pipe(give) == 0);
    cr_assert_eq(join_result(spawn_in(scope, vfork_cancelled, NULL)), GREEN_CANCELED);
}

/* libc's threads are libc's to cancel, known to the library or not. */
static void *read_in_pthread(void *arg)
{
    char byte;

    if (arg)
        must(green_self() != 0);
    atomic_fetch_add(&reached, 1);
    while (read(give[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    return NULL;
}

Test(cancel_libc_kept, a_kernel_thread_by_libc)
{
    start(1);
    must(pipe(give) == 0);
    for (int known = 0; known < 2; known++) {
        pthread_t thread;
        void *result;
        must(pthread_create(&thread, NULL, read_in_pthread, known ? give : NULL) == 0);
        wait_for(atomic_load(&reached) == known + 1);
        must(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        cr_assert_eq(result, PTHREAD_CANCELED);
    }
}

/* Results and errors are libc's. */

static void *as_libc(void *arg)
{
    char new_path[64];
    char byte;
    struct timeval no_time = {.tv_usec = -1}, short_time = {.tv_usec = 1500};
    const struct timespec wrong = {.tv_nsec = -1}, moment = {.tv_nsec = 1000};
    struct stat status;

    errno = 0;
    must(read(-1, &byte, 1) == -1 && errno == EBADF);
    must(close(-1) == -1 && errno == EBADF);
    must(write(-1, &byte, 1) == -1 && errno == EBADF);
    must(select(0, NULL, NULL, NULL, &no_time) == -1 && errno == EINVAL);
    errno = 0;
    while (select(0, NULL, NULL, NULL, &short_time) != 0)
        must(errno == EINTR); /* by a tick; the limit is what was left */
    must(short_time.tv_sec == 0 && short_time.tv_usec == 0);
    errno = 0;
    must(clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong, NULL) == EINVAL && errno == 0);
    must(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &moment, NULL) == EINVAL && errno == 0);
    must(nanosleep(&wrong, NULL) == -1 && errno == EINVAL);
    must(sleep(0) == 0 && poll(NULL, 0, 0) == 0);
    must(usleep(1) == 0 || errno == EINTR);
    must(mkdtemp(folder) != NULL);
    snprintf(new_path, sizeof new_path, "%s/new", folder);
    umask(0);
    int fd = open(new_path, O_RDWR | O_CREAT | O_EXCL, 0640);
    must(fd >= 0 && fstat(fd, &status) == 0 && (status.st_mode & 07777) == 0640);
    must(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    must(lockf(fd, F_LOCK, 0) == 0 && lockf(fd, F_TEST, 0) == 0 && lockf(fd, F_ULOCK, 0) == 0);
    must(tcdrain(fd) == -1 && errno == ENOTTY);
    must(pwrite(fd, "abc", 3, 1) == 3 && pread(fd, &byte, 1, 2) == 1 && byte == 'b');
    must(close(fd) == 0 && open(new_path, O_RDWR | O_CREAT | O_EXCL, 0640) == -1 && errno == EEXIST);
    must(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    must(unlink(new_path) == 0 && rmdir(folder) == 0);
    return arg;
}

EVERYWHERE(cancel_libc_kept, as_libc)
{
    must(pipe(give) == 0);
    join_result(spawn_in(scope, as_libc, NULL));
}
