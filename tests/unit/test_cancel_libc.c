/*
 * libc's own cancellation points: a thread is cancelled in each of those that block, and before each of them all; what
 * has its result keeps it; and who is not cancelled sees libc's calls.
 */
#include "unit.h"

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

#include "core/table.h"

TestSuite(cancel_libc, .timeout = LIMIT);

enum { STORM_ROUNDS = 400, PART = 64 };

/* What calls block on. */
static char folder[] = "/tmp/green-cancel-XXXXXX", fifo[64], plain_path[64], new_path[64];
static int from_nobody, to_full, socket_empty, socket_full, listener, backlogged, epoll, file, queue_empty, queue_full;
static struct sockaddr_un backlogged_address;
static mqd_t messages_empty, messages_full;
static pid_t child;
static char buffer[PART];
static void *mapping;

static atomic_int reached, passed;

static void fill(int fd)
{
    static const char zeros[4096];

    must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    while (write(fd, zeros, sizeof zeros) > 0)
        continue;
    must(errno == EAGAIN && fcntl(fd, F_SETFL, 0) == 0);
}

static void make_pipes(void)
{
    int pipes[2];

    must(pipe(pipes) == 0);
    from_nobody = pipes[0];
    must(pipe(pipes) == 0);
    to_full = pipes[1];
    fill(to_full);
}

static int bound_listener(const char *name, int backlog, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", folder, name);
    must(fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, backlog) == 0);
    return fd;
}

static int client_of(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    must(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

/* Nobody connects to the one; to the other one has, and the next waits. */
static void make_sockets(void)
{
    struct sockaddr_un address;
    int pair[2];

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    socket_empty = pair[0];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    socket_full = pair[0];
    fill(socket_full);
    listener = bound_listener("nobody", 1, &address);
    backlogged = bound_listener("full", 0, &backlogged_address);
    client_of(&backlogged_address);
}

static void make_queues(void)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = PART};
    char name[64];

    snprintf(name, sizeof name, "/green-%d", (int)getpid());
    messages_empty = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    must(messages_empty >= 0 && mq_unlink(name) == 0);
    messages_full = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    must(messages_full >= 0 && mq_unlink(name) == 0 && mq_send(messages_full, "x", 1, 0) == 0);
    queue_empty = msgget(IPC_PRIVATE, 0600);
    queue_full = msgget(IPC_PRIVATE, 0600);
    must(queue_empty >= 0 && queue_full >= 0);
    struct {
        long type;
        char text[PART];
    } message = {.type = 1};
    while (msgsnd(queue_full, &message, sizeof message.text, IPC_NOWAIT) == 0)
        continue;
    must(errno == EAGAIN);
}

static void make_files(void)
{
    must(mkdtemp(folder) != NULL);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(plain_path, sizeof plain_path, "%s/plain", folder);
    snprintf(new_path, sizeof new_path, "%s/new", folder);
    must(mkfifo(fifo, 0600) == 0);
    file = open(plain_path, O_RDWR | O_CREAT, 0600);
    must(file >= 0 && ftruncate(file, 4096) == 0);
    mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(mapping != MAP_FAILED);
}

/* A child that has the whole file locked, and does not end. */
static void make_child(void)
{
    int locked[2];

    must(pipe(locked) == 0);
    child = fork_mortal();
    if (child == 0) {
        const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(file, F_SETLK, &lock) != 0 || write(locked[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    must(child > 0 && read(locked[0], buffer, 1) == 1);
}

static void make_all(void)
{
    make_files();
    make_child();
    make_pipes();
    make_sockets();
    make_queues();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    must(epoll >= 0);
}

static void unmake_all(void)
{
    char command[128];

    must(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    must(msgctl(queue_empty, IPC_RMID, NULL) == 0 && msgctl(queue_full, IPC_RMID, NULL) == 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    must(system(command) == 0);
}

/* The calls.  -1 and errno when one comes back. */

static struct iovec parts[] = {{buffer, PART}};
static struct msghdr message_header = {.msg_iov = parts, .msg_iovlen = 1};
static struct mmsghdr message_headers[] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}}};
static const struct timespec far = {.tv_sec = 4000000000}, long_time = {.tv_sec = 1000000};

static long failed(int error)
{
    errno = error;
    return error ? -1 : 0;
}

static sigset_t none(void)
{
    sigset_t set;
    sigemptyset(&set);
    return set;
}

/* The signal of ticks as well. */
static sigset_t all(void)
{
    sigset_t set;
    sigfillset(&set);
    return set;
}

static sigset_t usr2(void)
{
    sigset_t set = none();
    sigaddset(&set, SIGUSR2);
    return set;
}

#define DEFINE(name, ...) \
    static long call_##name(void) \
    { \
        __VA_ARGS__ \
    }
#define ONE(name, expression) DEFINE(name, return (long)(expression);)

ONE(sleep, sleep(1000000) ? failed(EINTR) : 0)
ONE(usleep, usleep(4000000000U))
ONE(nanosleep, nanosleep(&long_time, NULL))
ONE(clock_nanosleep, failed(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &far, NULL)))
ONE(pause, pause())
ONE(read, read(from_nobody, buffer, 1))
ONE(readv, readv(from_nobody, parts, 1))
ONE(write, write(to_full, buffer, 1))
ONE(writev, writev(to_full, parts, 1))
ONE(open, open(fifo, O_RDONLY))
ONE(open64, open64(fifo, O_WRONLY))
ONE(openat, openat(AT_FDCWD, fifo, O_RDONLY))
ONE(openat64, openat64(AT_FDCWD, fifo, O_WRONLY))
ONE(creat, creat(fifo, 0600))
ONE(creat64, creat64(fifo, 0600))
DEFINE(fcntl, struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; return fcntl(file, F_SETLKW, &lock);)
DEFINE(fcntl64, struct flock64 lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; return fcntl64(file, F_SETLKW, &lock);)
ONE(lockf, lockf(file, F_LOCK, 1))
ONE(lockf64, lockf64(file, F_LOCK, 1))
ONE(accept, accept(listener, NULL, NULL))
ONE(accept4, accept4(listener, NULL, NULL, SOCK_CLOEXEC))
DEFINE(connect, int fd = socket(AF_UNIX, SOCK_STREAM, 0);
     long result = connect(fd, (const struct sockaddr *)&backlogged_address, sizeof backlogged_address);
     int error = errno; close(fd); errno = error; return result;)
ONE(recv, recv(socket_empty, buffer, 1, 0))
ONE(recvfrom, recvfrom(socket_empty, buffer, 1, 0, NULL, NULL))
ONE(recvmsg, recvmsg(socket_empty, &message_header, 0))
ONE(recvmmsg, recvmmsg(socket_empty, message_headers, 1, 0, NULL))
ONE(send, send(socket_full, buffer, 1, 0))
ONE(sendto, sendto(socket_full, buffer, 1, 0, NULL, 0))
ONE(sendmsg, sendmsg(socket_full, &message_header, 0))
ONE(sendmmsg, sendmmsg(socket_full, message_headers, 1, 0))
DEFINE(poll, struct pollfd polled = {.fd = from_nobody, .events = POLLIN}; return poll(&polled, 1, -1);)
DEFINE(ppoll, struct pollfd polled = {.fd = from_nobody, .events = POLLIN}; sigset_t mask = all();
     return ppoll(&polled, 1, &long_time, &mask);)
DEFINE(select, fd_set set; struct timeval limit = {.tv_sec = 1000000}; FD_ZERO(&set); FD_SET(from_nobody, &set);
     return select(from_nobody + 1, &set, NULL, NULL, &limit);)
DEFINE(pselect, fd_set set; sigset_t mask = all(); FD_ZERO(&set); FD_SET(from_nobody, &set);
     return pselect(from_nobody + 1, &set, NULL, NULL, NULL, &mask);)
DEFINE(epoll_wait, struct epoll_event event; return epoll_wait(epoll, &event, 1, -1);)
DEFINE(epoll_pwait, struct epoll_event event; sigset_t mask = all(); return epoll_pwait(epoll, &event, 1, -1, &mask);)
DEFINE(wait, int status; return wait(&status);)
ONE(waitpid, waitpid(child, NULL, 0))
DEFINE(wait3, struct rusage usage; return wait3(NULL, 0, &usage);)
ONE(wait4, wait4(child, NULL, 0, NULL))
DEFINE(waitid, siginfo_t info; return waitid(P_PID, (id_t)child, &info, WEXITED);)
DEFINE(msgrcv, long message[1 + PART / sizeof(long)];
     return msgrcv(queue_empty, message, sizeof message - sizeof *message, 0, 0);)
DEFINE(msgsnd, long message[1 + PART / sizeof(long)] = {1};
     return msgsnd(queue_full, message, sizeof message - sizeof *message, 0);)
ONE(mq_receive, mq_receive(messages_empty, buffer, PART, NULL))
ONE(mq_timedreceive, mq_timedreceive(messages_empty, buffer, PART, NULL, &far))
ONE(mq_send, mq_send(messages_full, buffer, 1, 0))
ONE(mq_timedsend, mq_timedsend(messages_full, buffer, 1, 0, &far))
DEFINE(sigsuspend, sigset_t mask = all(); return sigsuspend(&mask);)
DEFINE(sigwait, sigset_t set = usr2(); int number; return failed(sigwait(&set, &number));)
DEFINE(sigwaitinfo, sigset_t set = usr2(); return sigwaitinfo(&set, NULL);)
DEFINE(sigtimedwait, sigset_t set = usr2(); return sigtimedwait(&set, NULL, &long_time);)

/* Those that do not block here, and would do something. */
ONE(close, close(file))
ONE(pread, pread(file, buffer, 1, 0))
ONE(pread64, pread64(file, buffer, 1, 0))
ONE(preadv, preadv(file, parts, 1, 0))
ONE(preadv64, preadv64(file, parts, 1, 0))
ONE(pwrite, pwrite(file, "x", 1, 0))
ONE(pwrite64, pwrite64(file, "x", 1, 0))
ONE(pwritev, pwritev(file, parts, 1, 0))
ONE(pwritev64, pwritev64(file, parts, 1, 0))
ONE(fsync, fsync(file))
ONE(fdatasync, fdatasync(file))
ONE(msync, msync(mapping, 4096, MS_SYNC))
ONE(tcdrain, tcdrain(file))
ONE(creat_new, creat(new_path, 0600))
ONE(open_new, open(new_path, O_RDWR | O_CREAT, 0600))

struct call {
    const char *name;
    long (*make)(void);
};
#define C(name) {#name, call_##name}

static const struct call blocking[] = {
    C(sleep),    C(usleep),  C(nanosleep), C(clock_nanosleep), C(pause),      C(read),            C(readv),
    C(write),    C(writev),  C(open),      C(open64),          C(openat),     C(openat64),        C(creat),
    C(creat64),  C(fcntl),   C(fcntl64),   C(lockf),           C(lockf64),    C(accept),          C(accept4),
    C(connect),  C(recv),    C(recvfrom),  C(recvmsg),         C(recvmmsg),   C(send),            C(sendto),
    C(sendmsg),  C(sendmmsg), C(poll),     C(ppoll),           C(select),     C(pselect),         C(epoll_wait),
    C(epoll_pwait), C(wait), C(waitpid),   C(wait3),           C(wait4),      C(waitid),          C(msgrcv),
    C(msgsnd),   C(mq_receive), C(mq_timedreceive), C(mq_send), C(mq_timedsend), C(sigsuspend),   C(sigwait),
    C(sigwaitinfo), C(sigtimedwait),
};
static const struct call others[] = {
    C(close),  C(pread),   C(pread64), C(preadv),    C(preadv64), C(pwrite),  C(pwrite64), C(pwritev),
    C(pwritev64), C(fsync), C(fdatasync), C(msync),  C(tcdrain),  C(creat_new), C(open_new),
};

enum { BLOCKING = sizeof blocking / sizeof *blocking, OTHERS = sizeof others / sizeof *others };

/* Each way to run: processors, threads' scope, and where ticks come from. */

#define IN(name, way, threads_scope, ...) \
    Test(cancel_libc, name##_##way) \
    { \
        struct green_config config = {.slice_us = TICK_US, .preempt = GREEN_ON, __VA_ARGS__}; \
        start_config(&config); \
        cancel_libc_##name(threads_scope); \
    }
#define EVERYWHERE(name) \
    static void cancel_libc_##name(int scope); \
    IN(name, on_1, GREEN_SCOPE_PROCESS, .procs = 1) \
    IN(name, on_2, GREEN_SCOPE_PROCESS, .procs = 2) \
    IN(name, by_timer_on_1, GREEN_SCOPE_PROCESS, .procs = 1, .tick = GREEN_TICK_TIMER) \
    IN(name, by_timer_on_2, GREEN_SCOPE_PROCESS, .procs = 2, .tick = GREEN_TICK_TIMER) \
    IN(name, alone, GREEN_SCOPE_PROCESS, .procs = 1, .monitor = GREEN_MONITOR_OFF) \
    IN(name, bound, GREEN_SCOPE_SYSTEM, .procs = 2) \
    static void cancel_libc_##name(int scope)

static int sleeps(int tid)
{
    char path[64], text[256] = "";

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    must(close(fd) == 0);
    const char *state = bytes > 0 ? strrchr(text, ')') : NULL;
    return state && state[1] == ' ' && state[2] == 'S';
}

/* It sleeps in the kernel, in a call that can be cancelled; or parks in it; or a tick has thrown it out, and it waits. */
static int is_blocked(green_t id)
{
    const struct thread *thread = table_find(id);

    if (!thread || !atomic_load(&thread->cancellable))
        return 0;
    const unsigned state = atomic_load(&thread->state);
    return state == THREAD_READY || state == THREAD_PARKED || sleeps(thread->worker->tid);
}

static void pass(void *arg)
{
    (void)arg;
    atomic_fetch_add(&passed, 1);
}

/* A tick may end the call, which is then made again. */
static void *make(void *arg)
{
    const struct call *call = arg;
    long result;

    green_cleanup_push(pass, NULL);
    atomic_fetch_add(&reached, 1);
    do
        result = call->make();
    while (result < 0 && errno == EINTR);
    fprintf(stderr, "%s: %ld, %s\n", call->name, result, strerror(errno));
    green_cleanup_pop(0);
    return NULL;
}

EVERYWHERE(blocked)
{
    make_all();
    for (int i = 0; i < BLOCKING; i++) {
        const int before = atomic_load(&passed);
        green_t thread = spawn_in(scope, make, (void *)(uintptr_t)&blocking[i]);
        wait_for(is_blocked(thread));
        must(green_cancel(thread) == 0);
        cr_assert_eq(join_result(thread), GREEN_CANCELED, "%s", blocking[i].name);
        cr_assert_eq(atomic_load(&passed), before + 1, "%s", blocking[i].name);
    }
    unmake_all();
}

/* Wherever the request meets it. */
EVERYWHERE(on_its_way)
{
    make_all();
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < BLOCKING; i++) {
            const int before = atomic_load(&reached);
            green_t thread = spawn_in(scope, make, (void *)(uintptr_t)&blocking[i]);
            while (round % 2 && atomic_load(&reached) == before)
                green_yield();
            must(green_cancel(thread) == 0);
            cr_assert_eq(join_result(thread), GREEN_CANCELED, "%s", blocking[i].name);
        }
    unmake_all();
}

static void *make_cancelled(void *arg)
{
    must(green_cancel(green_self()) == 0);
    return make(arg);
}

EVERYWHERE(wanted_before)
{
    char byte = 'y';

    make_all();
    for (int i = 0; i < BLOCKING + OTHERS; i++) {
        const struct call *call = i < BLOCKING ? &blocking[i] : &others[i - BLOCKING];
        cr_assert_eq(join_result(spawn_in(scope, make_cancelled, (void *)(uintptr_t)call)), GREEN_CANCELED, "%s", call->name);
    }
    cr_assert(pread(file, &byte, 1, 0) == 1 && byte == 0, "neither closed nor written");
    cr_assert(access(new_path, F_OK) != 0 && errno == ENOENT);
    unmake_all();
}

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

EVERYWHERE(not_everywhere)
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

EVERYWHERE(every_byte)
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

EVERYWHERE(every_descriptor)
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

EVERYWHERE(every_child)
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

EVERYWHERE(after_a_handler)
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

EVERYWHERE(in_a_handler)
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

EVERYWHERE(not_the_child_of_vfork)
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

Test(cancel_libc, a_kernel_thread_by_libc)
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

EVERYWHERE(as_libc)
{
    must(pipe(give) == 0);
    join_result(spawn_in(scope, as_libc, NULL));
}
