/*
 * Blocking calls that nobody wrapped: each costs its own kernel thread, and nobody else a thing.
 *
 * Each call here blocks until another green thread ends it, which does so only once the blocked one's processor has
 * been seen to go to another worker: without that, a test hangs, on one processor, for want of anybody to run.  The
 * crowd keeps every processor busy and counts; what it counts while the call blocks is progress.
 */
#include "blocking.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <poll.h>
#include <resolv.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

TestSuite(blocking, .timeout = LIMIT);

/* A thread that ends another's block, when that one's processor has moved on and the crowd has made progress. */
struct release {
    void (*end)(void *);
    void *arg;
    uint64_t retakes;
    unsigned long counted;
};

static void *release_later(void *arg)
{
    struct release *release = arg;

    wait_for(stats_now().retakes > release->retakes);
    unsigned long counted = atomic_load(&crowd_counted);
    wait_for(atomic_load(&crowd_counted) > counted + 1000);
    release->end(release->arg);
    return NULL;
}

/* Have `block` called beside the crowd, and ended by `end`. */
static void blocks_alone(void (*block)(void *), void (*end)(void *), void *arg)
{
    crowd_start();
    for (int round = 0; round < 3; round++) {
        struct release release = {end, arg, stats_now().retakes, 0};
        green_t releaser = spawn(release_later, &release);
        block(arg);
        join_result(releaser);
    }
    crowd_stop();
    cr_assert(interruptions_are_documented());
}

/* read, poll, epoll_wait. */

static void pipe_read(void *arg)
{
    char byte;
    must(uninterrupted(read(((int *)arg)[0], &byte, 1)) == 1 && byte == 'x');
}

static void pipe_write(void *arg)
{
    must(write(((int *)arg)[1], "x", 1) == 1);
}

EVERY_WAY(blocking, read_on_a_pipe)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    blocks_alone(pipe_read, pipe_write, ends);
}

static void pipe_poll(void *arg)
{
    struct pollfd ready = {((int *)arg)[0], POLLIN, 0};
    must(uninterrupted(poll(&ready, 1, -1)) == 1 && ready.revents == POLLIN);
    pipe_read(arg);
}

EVERY_WAY(blocking, poll_on_a_pipe)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    blocks_alone(pipe_poll, pipe_write, ends);
}

static void pipe_epoll(void *arg)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    must(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ((int *)arg)[0], &event) == 0);
    must(uninterrupted(epoll_wait(epoll, &event, 1, -1)) == 1);
    close(epoll);
    pipe_read(arg);
}

EVERY_WAY(blocking, epoll_on_a_pipe)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    blocks_alone(pipe_epoll, pipe_write, ends);
}

/* flock, between two descriptions of one file. */

static void file_lock(void *arg)
{
    must(uninterrupted(flock(((int *)arg)[0], LOCK_EX)) == 0);
    must(flock(((int *)arg)[0], LOCK_UN) == 0);
    must(flock(((int *)arg)[1], LOCK_EX) == 0);
}

static void file_unlock(void *arg)
{
    must(flock(((int *)arg)[1], LOCK_UN) == 0);
}

EVERY_WAY(blocking, flock)
{
    char path[] = "/tmp/libgreen-flock-XXXXXX";
    int files[2] = {mkstemp(path), -1};
    files[1] = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(files[0] >= 0 && files[1] >= 0 && unlink(path) == 0);
    cr_assert_eq(flock(files[1], LOCK_EX), 0);
    blocks_alone(file_lock, file_unlock, files);
}

/* waitpid, for a child that waits to be told to end. */

static void child_wait(void *arg)
{
    int *ends = arg, status;
    pid_t child = fork();
    char byte;
    if (child == 0) {
        alarm(60);
        _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
    }
    must(child > 0 && uninterrupted(waitpid(child, &status, 0)) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

EVERY_WAY(blocking, waitpid)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    blocks_alone(child_wait, pipe_write, ends);
}

/* A mutex of libc's, inside a library that somebody else wrote. */

static long (*third_party)(void (*)(void));
static atomic_bool inside, let_out;

static void stay_inside(void)
{
    atomic_store(&inside, true);
    while (!atomic_load(&let_out))
        ;
}

static void *hold_third_party(void *arg)
{
    third_party(stay_inside);
    return arg;
}

static void third_party_block(void *arg)
{
    (void)arg;
    atomic_store(&inside, false);
    atomic_store(&let_out, false);
    green_t holder = spawn(hold_third_party, NULL);
    wait_for(atomic_load(&inside));
    third_party(NULL);
    must(atomic_load(&let_out));
    join_result(holder);
}

static void third_party_release(void *arg)
{
    (void)arg;
    atomic_store(&let_out, true);
}

static void third_party_open(void)
{
    void *library = dlopen(TEST_DSO_DIR "/third_party.so", RTLD_NOW);
    cr_assert(library, "%s", dlerror());
    *(void **)&third_party = dlsym(library, "third_party_call");
    cr_assert(third_party);
}

EVERY_WAY(blocking, mutex_in_a_library)
{
    third_party_open();
    blocks_alone(third_party_block, third_party_release, NULL);
    cr_assert_eq(third_party(NULL), 3 * 2 + 1, "everybody was in once");
}

/* getaddrinfo, which asks a name server that takes its time: this test. */

static int name_server;

static void name_ask(void *arg)
{
    struct sockaddr_in *server = arg;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    must(res_init() == 0); /* of this thread's own */
    _res.nscount = 1;
    _res.nsaddr_list[0] = *server;
    _res.retrans = 100;
    _res.retry = 1;
    _res.options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
    int error = getaddrinfo("blocked.green.test.", "80", &hints, &found);
    if (error)
        dprintf(2, "getaddrinfo: %s\n", gai_strerror(error));
    must(error == 0 && ((struct sockaddr_in *)found->ai_addr)->sin_addr.s_addr == htonl(0x01020304));
    freeaddrinfo(found);
}

/* The question with one address behind it. */
static void name_answer(void *arg)
{
    static const unsigned char address[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4};
    unsigned char packet[600];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    (void)arg;
    ssize_t bytes = uninterrupted(recvfrom(name_server, packet, 500, 0, (struct sockaddr *)&from, &length));
    must(bytes > 12);
    size_t end = 12;
    while (packet[end]) /* the name, then type and class; what comes behind, EDNS, is left out */
        end += packet[end] + 1U;
    end += 5;
    packet[2] = 0x81;
    packet[3] = 0x80;
    packet[7] = 1;
    memset(packet + 8, 0, 4);
    memcpy(packet + end, address, sizeof address);
    must(sendto(name_server, packet, end + sizeof address, 0, (struct sockaddr *)&from, length) ==
         (ssize_t)(end + sizeof address));
}

EVERY_WAY(blocking, getaddrinfo)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    cr_assert_eq(getaddrinfo("127.0.0.1", "80", &numeric, &found), 0);
    freeaddrinfo(found);
    name_server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(name_server, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(name_server, (struct sockaddr *)&address, &length), 0);
    blocks_alone(name_ask, name_answer, &address);
}

/* A page fault, which a userfaultfd of the test's keeps waiting. */

struct fault {
    int uffd;
    size_t page;
    char *pages;
    size_t next; /* page to touch */
};

static void fault_touch(void *arg)
{
    struct fault *fault = arg;
    must(((volatile char *)fault->pages)[fault->next * fault->page] == 0);
}

static void fault_answer(void *arg)
{
    struct fault *fault = arg;
    struct uffd_msg message;
    must(uninterrupted(read(fault->uffd, &message, sizeof message)) == sizeof message);
    must(message.event == UFFD_EVENT_PAGEFAULT);
    fault->next++;
    struct uffdio_zeropage zero = {.range = {message.arg.pagefault.address & ~(fault->page - 1), fault->page}};
    must(ioctl(fault->uffd, UFFDIO_ZEROPAGE, &zero) == 0);
}

EVERY_WAY(blocking, page_fault)
{
    struct fault fault = {(int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY),
                          (size_t)sysconf(_SC_PAGESIZE), NULL, 0};
    struct uffdio_api api = {.api = UFFD_API};
    if (fault.uffd < 0)
        cr_skip("userfaultfd: %s", strerror(errno));
    fault.pages = mmap(NULL, 8 * fault.page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(fault.pages, MAP_FAILED);
    cr_assert_eq(ioctl(fault.uffd, UFFDIO_API, &api), 0);
    struct uffdio_register range = {.range = {(uintptr_t)fault.pages, 8 * fault.page},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    cr_assert_eq(ioctl(fault.uffd, UFFDIO_REGISTER, &range), 0);
    blocks_alone(fault_touch, fault_answer, &fault);
}

/* nanosleep, which nobody ends: the crowd must count meanwhile, and nobody may be interrupted. */

EVERY_WAY(blocking, nanosleep)
{
    crowd_start();
    for (int beside = 0; beside < 5;) {
        uint64_t retakes = stats_now().retakes;
        unsigned long before = atomic_load(&crowd_counted);
        nap(20000000);
        if (stats_now().retakes > retakes && atomic_load(&crowd_counted) > before)
            beside++;
    }
    crowd_stop();
}

static atomic_long naps;

static _Noreturn void burn_until_orphaned(void)
{
    const pid_t parent = getppid();
    while (getppid() == parent)
        for (volatile int i = 0; i < 100000; i++)
            ;
    _exit(0);
}

static void *nap_often(void *arg)
{
    const long *often = arg;
    for (long i = 0; i < *often; i++) {
        nap(200000);
        atomic_fetch_add(&naps, 1);
    }
    return arg;
}

static void nap_all(unsigned threads, long often)
{
    green_t nappers[threads];
    crowd_start();
    for (unsigned i = 0; i < threads; i++)
        nappers[i] = spawn(nap_often, &often);
    for (unsigned i = 0; i < threads; i++)
        join_result(nappers[i]);
    crowd_stop();
    cr_assert_eq(atomic_load(&naps), threads * often);
    cr_assert(interruptions_are_documented());
}

/* More of them than there are spare workers at first. */
EVERY_WAY(blocking, many_short_sleeps)
{
    nap_all(16, 300);
}

/*
 * Other processes leave us a small part of the CPUs: whoever makes spare workers waits for them, which is not to be taken for
 * waiting for a thread of ours.
 */
BY_PERF(blocking, many_short_sleeps_on_a_full_machine)
{
    enum { OTHERS = 32 };
    pid_t others[OTHERS];
    for (int i = 0; i < OTHERS; i++)
        if ((others[i] = fork()) == 0)
            burn_until_orphaned();
    nap_all(64, 5);
    for (int i = 0; i < OTHERS; i++) {
        kill(others[i], SIGKILL);
        must(waitpid(others[i], NULL, 0) == others[i]);
    }
}

/*
 * One kernel thread for all: who waits for a lock of libc's that a preempted thread holds stops them all, until the
 * tick interrupts the wait.
 */
Test(blocking, pure_n_to_1_does_not_deadlock, .timeout = LIMIT)
{
    struct green_config config = {.procs = 1, .slice_us = 1000, .preempt = GREEN_ON, .monitor = GREEN_MONITOR_OFF};
    start_config(&config);
    third_party_open();
    for (int round = 0; round < 10; round++) {
        atomic_store(&inside, false);
        atomic_store(&let_out, false);
        green_t holder = spawn(hold_third_party, NULL);
        wait_for(atomic_load(&inside));
        green_t waiter = spawn(hold_third_party, NULL);
        uint64_t preemptions = stats_now().preemptions;
        wait_for(stats_now().preemptions > preemptions + 5);
        atomic_store(&let_out, true);
        join_result(holder);
        join_result(waiter);
    }
    cr_assert_eq(third_party(NULL), 21);
    cr_assert_eq(stats_now().workers, 1);
    cr_assert_str_eq(green_monitor_source(), "off");
}
