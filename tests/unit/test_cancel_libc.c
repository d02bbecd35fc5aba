/*
 * libc's own cancellation points: a thread is cancelled in each of those that block, and before each of them all.
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

TestSuite(cancel_libc, .timeout = LIMIT);

enum { PART = 64 };

/* What calls block on. */
static char fifo[64], plain_path[64], new_path[64];
static int from_nobody, to_full, socket_empty, socket_full, listener, backlogged, epoll, file, queue_empty, queue_full;
static struct sockaddr_un backlogged_address;
static mqd_t messages_empty, messages_full;
static pid_t child;
static char buffer[PART];
static void *mapping;

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

EVERYWHERE(cancel_libc, blocked)
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
EVERYWHERE(cancel_libc, on_its_way)
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

EVERYWHERE(cancel_libc, wanted_before)
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
