/*
 * Blocking calls that nobody wrapped: each costs its own kernel thread, and nobody else a thing.
 *
 * Each call here blocks until another green thread ends it, which does so only once the blocked one's processor has
 * been seen to go to another worker: without that, a test hangs, on one processor, for want of anybody to run.  The
 * hogs keep every processor busy and count; what they count while the call blocks is progress.
 *
 * Each test runs with blocks seen by perf, by /proc, and with perf refused altogether, as in most containers: there
 * the thread that returns is caught by a signal, which may meet its next call.
 */
#ifndef __SANITIZE_ADDRESS__ /* whose allocator is not for workers that come and go among blocked threads, nor for fork */
#include "unit.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

TestSuite(blocking, .timeout = LIMIT);

/* Nobody has perf from here on. */
static void refuse_perf(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

static void *nothing(void *arg)
{
    return arg;
}

/* A plain thread is never interrupted here; nor is a green one, where ticks come by perf. */
static bool interruptible;

static void start_watched(const char *how, unsigned procs)
{
    struct green_config config = {.procs = procs, .slice_us = 1000, .preempt = GREEN_ON};

    interruptible = strcmp(how, "refused") == 0;
    if (interruptible)
        refuse_perf();
    else
        setenv("GREEN_MONITOR", how, 1);
    if (!interruptible)
        config.tick = GREEN_TICK_PERF; /* deadlines by the timer may meet a call that has just begun */
    start_config(&config);
    join_result(spawn(nothing, NULL)); /* the monitor runs when there is a second thread */
    const char *seen = strcmp(how, "perf") == 0 ? "perf" : "stat";
    cr_assert_str_eq(green_monitor_source(), seen, "GREEN_MONITOR=%s: by %s", how, green_monitor_source());
}

#define WATCHED(name, how, procs)                                  \
    Test(blocking, name##_by_##how##_on_##procs, .timeout = LIMIT) \
    {                                                              \
        start_watched(#how, procs);                                \
        blocking_##name();                                         \
    }
#define EVERY_WAY(name)               \
    static void blocking_##name(void); \
    WATCHED(name, perf, 1)            \
    WATCHED(name, perf, 2)            \
    WATCHED(name, stat, 1)            \
    WATCHED(name, stat, 2)            \
    WATCHED(name, refused, 1)         \
    WATCHED(name, refused, 2)         \
    static void blocking_##name(void)

/* Calls that came back with EINTR where a plain thread's would not have. */
static atomic_long interruptions;

/* Repeat a call that may be interrupted only where that is documented. */
#define uninterrupted(call)                                                  \
    __extension__({                                                          \
        long result;                                                         \
        while ((result = (long)(call)) < 0 && errno == EINTR) {              \
            atomic_fetch_add(&interruptions, 1);                             \
            must(interruptible);                                             \
        }                                                                    \
        result;                                                              \
    })

enum { CROWD = 4 };

static atomic_bool crowd_over;
static atomic_ulong crowd_counted;
static green_t crowd[CROWD];

static void *count_on(void *arg)
{
    while (!atomic_load(&crowd_over))
        atomic_fetch_add(&crowd_counted, 1);
    return arg;
}

static void crowd_start(void)
{
    atomic_store(&crowd_over, false);
    for (int i = 0; i < CROWD; i++)
        crowd[i] = spawn(count_on, NULL);
}

static void crowd_stop(void)
{
    atomic_store(&crowd_over, true);
    for (int i = 0; i < CROWD; i++)
        join_result(crowd[i]);
}

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
    if (!interruptible)
        cr_assert_eq(atomic_load(&interruptions), 0);
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

EVERY_WAY(read_on_a_pipe)
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

EVERY_WAY(poll_on_a_pipe)
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

EVERY_WAY(epoll_on_a_pipe)
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

EVERY_WAY(flock)
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

EVERY_WAY(waitpid)
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

EVERY_WAY(mutex_in_a_library)
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

EVERY_WAY(getaddrinfo)
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

EVERY_WAY(page_fault)
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

static void nap(long ns)
{
    struct timespec left = {0, ns};
    must(uninterrupted(nanosleep(&left, &left)) == 0);
}

EVERY_WAY(nanosleep)
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

static void *nap_often(void *arg)
{
    for (int i = 0; i < 300; i++) {
        nap(200000);
        atomic_fetch_add(&naps, 1);
    }
    return arg;
}

/* More of them than there are spare workers at first. */
EVERY_WAY(many_short_sleeps)
{
    enum { MANY = 16 };
    green_t nappers[MANY];
    crowd_start();
    for (int i = 0; i < MANY; i++)
        nappers[i] = spawn(nap_often, NULL);
    for (int i = 0; i < MANY; i++)
        join_result(nappers[i]);
    crowd_stop();
    cr_assert_eq(atomic_load(&naps), MANY * 300);
    if (!interruptible)
        cr_assert_eq(atomic_load(&interruptions), 0);
}

/* Coming back.  The processor is busy: the thread stands in line. */
EVERY_WAY(return_to_a_busy_processor)
{
    crowd_start();
    while (stats_now().returns_queued < 10)
        nap(1000000);
    crowd_stop();
    struct green_stats stats = stats_now();
    cr_assert_leq(stats.returns_queued, stats.retakes);
}

static atomic_bool called_off;

/* Until somebody's processor has been taken. */
static void *run_until_retake(void *arg)
{
    const uint64_t *before = arg;
    while (stats_now().retakes == *before && !atomic_load(&called_off))
        ;
    return NULL;
}

/* Nobody has anything to do by then: the thread takes an idle one. */
EVERY_WAY(return_to_an_idle_processor)
{
    enum { OTHERS = 3 };
    green_t others[OTHERS];
    while (stats_now().returns_idle < 3) {
        uint64_t before = stats_now().retakes;
        atomic_store(&called_off, false);
        for (int i = 0; i < OTHERS; i++)
            others[i] = spawn(run_until_retake, &before);
        nap(20000000);
        atomic_store(&called_off, true);
        for (int i = 0; i < OTHERS; i++)
            join_result(others[i]);
    }
}

/* It is back while the monitor makes up its mind: the thread keeps its processor. */
EVERY_WAY(return_before_the_processor_is_gone)
{
    crowd_start();
    for (long ns = 20000; stats_now().retakes_cancelled == 0; ns = ns < 200000 ? ns + 1000 : 20000) {
        nap(ns);
        green_safepoint();
    }
    crowd_stop();
}

/* In a handler on an alternate stack the thread cannot leave its worker: it goes on when a processor is free. */

static atomic_bool handled;

static void block_in_handler(int signal)
{
    (void)signal;
    uint64_t retakes = stats_now().retakes;
    do
        nap(20000000);
    while (stats_now().retakes == retakes);
    green_safepoint(); /* into the library, without a processor */
    must(stats_now().returns_idle > 0);
    atomic_store(&called_off, true);
    atomic_store(&handled, true);
}

static void *raise_on_alternate_stack(void *arg)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, before;
    must(sigaltstack(&stack, &before) == 0);
    raise(SIGUSR1);
    must(sigaltstack(&before, NULL) == 0);
    free(stack.ss_sp);
    return arg;
}

EVERY_WAY(return_on_an_alternate_stack)
{
    enum { OTHERS = 3 };
    struct sigaction action = {.sa_handler = block_in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
    green_t others[OTHERS];
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    uint64_t before = stats_now().retakes;
    for (int i = 0; i < OTHERS; i++)
        others[i] = spawn(run_until_retake, &before);
    green_t thread = spawn(raise_on_alternate_stack, NULL);
    join_result(thread);
    for (int i = 0; i < OTHERS; i++)
        join_result(others[i]);
    cr_assert(atomic_load(&handled));
}

/* fork, exit, and a change of the number of processors, while others are blocked and have lost their processor. */

enum { BLOCKED = 6 };

static int blocked_pipe[2];

static void *wait_for_a_byte(void *arg)
{
    char byte;
    must(uninterrupted(read(blocked_pipe[0], &byte, 1)) == 1);
    return arg;
}

static void start_blocked(green_t *threads)
{
    cr_assert_eq(pipe(blocked_pipe), 0);
    for (int i = 0; i < BLOCKED; i++)
        threads[i] = spawn(wait_for_a_byte, threads);
    wait_for(stats_now().workers_blocked == BLOCKED);
}

static void end_blocked(green_t *threads)
{
    must(write(blocked_pipe[1], "123456", BLOCKED) == BLOCKED);
    for (int i = 0; i < BLOCKED; i++)
        must(join_result(threads[i]) == threads);
}

/* In a child of its own, with its own threads that block, and a crowd. */
static int child_works(void)
{
    green_t threads[BLOCKED];
    crowd_start();
    start_blocked(threads);
    end_blocked(threads);
    crowd_stop();
    return 7;
}

EVERY_WAY(fork_while_others_are_blocked)
{
    green_t threads[BLOCKED];
    int status;
    crowd_start();
    start_blocked(threads);
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        cr_assert_eq(stats_now().workers_blocked, 0);
        _exit(child_works());
    }
    cr_assert_eq(uninterrupted(waitpid(child, &status, 0)), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);
    end_blocked(threads);
    crowd_stop();
}

EVERY_WAY(exit_while_others_are_blocked)
{
    green_t threads[BLOCKED];
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        crowd_start();
        start_blocked(threads);
        exit(3);
    }
    cr_assert_eq(uninterrupted(waitpid(child, &status, 0)), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %x", (unsigned)status);
}

EVERY_WAY(setconcurrency_while_others_are_blocked)
{
    static const int levels[] = {1, 4, 2, 8, 1, 3};
    green_t threads[BLOCKED];
    crowd_start();
    for (unsigned round = 0; round < 12; round++) {
        cr_assert_eq(green_setconcurrency(1), 0); /* where nobody waits, nobody's processor is taken */
        start_blocked(threads);
        int level = levels[round % (sizeof levels / sizeof *levels)];
        cr_assert_eq(green_setconcurrency(level), 0);
        struct green_stats stats = stats_now();
        cr_assert_eq(stats.procs, (uint64_t)level);
        if (level <= 4) /* there are more to run than processors */
            wait_for((stats = stats_now(), stats.procs_idle == 0));
        else
            wait_for((stats = stats_now(), stats.procs_idle > 0));
        cr_assert_eq(stats.procs_idle + stats.procs_running + stats.procs_blocked, (uint64_t)level);
        if (round % 2)
            cr_assert_eq(green_setconcurrency(1), 0);
        cr_assert_eq(stats_now().workers_blocked, BLOCKED);
        end_blocked(threads);
        cr_assert_eq(stats_now().threads_live, CROWD + 1);
        close(blocked_pipe[0]);
        close(blocked_pipe[1]);
    }
    crowd_stop();
    cr_assert_eq(green_setconcurrency(1), 0);
    wait_for(stats_now().procs_retired == 7);
    cr_assert_eq(stats_now().threads_live, 1);
}

/* Said beforehand: the processor goes at once, whatever the monitor sees. */
EVERY_WAY(announced_blocks)
{
    crowd_start();
    uint64_t queued = stats_now().returns_queued;
    wait_for(stats_now().workers_spare > 0);
    while (stats_now().returns_queued < queued + 20) {
        green_blocking_enter();
        unsigned long before = atomic_load(&crowd_counted);
        for (int i = 0; i < 1000 && atomic_load(&crowd_counted) == before; i++)
            nap(100000);
        green_blocking_leave();
    }
    crowd_stop();
}

/* Nobody waits: the processor stays, and so does the thread. */
EVERY_WAY(announced_alone)
{
    wait_for(stats_now().workers_spare > 0);
    for (int i = 0; i < 100; i++) {
        green_blocking_enter();
        nap(1000);
        green_blocking_leave();
    }
    cr_assert_eq(stats_now().workers_blocked, 0);
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

/* Kernel threads come on demand, and go again. */

extern uint64_t spares_quiet_ns; /* the library's own: src/core/monitor.h */

EVERY_WAY(surplus_workers_end_and_come_again)
{
    enum { BURST = 40 };
    green_t threads[BURST];
    unsigned files = 0;
    spares_quiet_ns = 20000000;
    crowd_start();
    for (int round = 0; round < 8; round++) {
        cr_assert_eq(pipe(blocked_pipe), 0);
        for (int i = 0; i < BURST; i++)
            threads[i] = spawn(wait_for_a_byte, threads);
        wait_for(stats_now().workers_blocked == BURST);
        cr_assert_geq(stats_now().workers, BURST);
        cr_assert_geq(kernel_threads(), BURST);
        char bytes[BURST];
        memset(bytes, 'x', BURST);
        cr_assert_eq(write(blocked_pipe[1], bytes, BURST), BURST);
        for (int i = 0; i < BURST; i++)
            join_result(threads[i]);
        close(blocked_pipe[0]);
        close(blocked_pipe[1]);
        wait_for(stats_now().workers <= 12 && kernel_threads() <= 12 + 4);
        if (round == 0)
            files = count_entries("/proc/self/fd");
        wait_for(count_entries("/proc/self/fd") <= files + 2 * 12);
    }
    crowd_stop();
}

/* Nobody is lost at the limit: blocked threads take turns, by signal; and it is said, once. */
Test(blocking, limit_of_workers_is_reported, .timeout = LIMIT)
{
    struct green_config config = {.procs = 1, .slice_us = 1000, .preempt = GREEN_ON, .max_workers = 3};
    char text[400];
    int report[2], error = dup(STDERR_FILENO);
    cr_assert(pipe(report) == 0 && dup2(report[1], STDERR_FILENO) >= 0);
    start_config(&config);
    interruptible = true;
    crowd_start();
    green_t threads[BLOCKED];
    cr_assert_eq(pipe(blocked_pipe), 0);
    for (int i = 0; i < BLOCKED; i++)
        threads[i] = spawn(wait_for_a_byte, threads);
    unsigned long counted = atomic_load(&crowd_counted);
    wait_for(atomic_load(&crowd_counted) > counted + 100000);
    ssize_t bytes = read(report[0], text, sizeof text - 1); /* blocks until it is there */
    cr_assert_gt(bytes, 0);
    text[bytes] = 0;
    end_blocked(threads);
    cr_assert_leq(stats_now().workers, 3);
    crowd_stop();
    dup2(error, STDERR_FILENO);
    close(report[1]);
    cr_assert_eq(read(report[0], text + bytes, sizeof text - (size_t)bytes), 0, "once: %s", text);
    cr_assert_str_eq(text, "libgreen: no more workers for blocked threads: GREEN_MAX_WORKERS is reached\n");
}

/* The kernel thread under a worker ends behind the library's back: its processor goes on, its thread is lost. */

/* On the process's first, of which remains are kept, or on another; and the tick may not move the thread meanwhile. */
static void stay_on(bool first)
{
    for (;;) {
        green_critical_enter();
        if ((gettid() == getpid()) == first)
            return;
        green_critical_leave();
        nap(2000000);
    }
}

static void *end_kernel_thread(void *arg)
{
    stay_on(false);
    atomic_fetch_add((atomic_int *)arg, 1);
    syscall(SYS_exit, 0);
    return NULL;
}

EVERY_WAY(death_of_a_kernel_thread)
{
    enum { DEATHS = 5 };
    atomic_int deaths = 0;
    crowd_start();
    for (int i = 0; i < DEATHS; i++)
        spawn(end_kernel_thread, &deaths);
    wait_for(atomic_load(&deaths) == DEATHS);
    for (int i = 0; i < 20; i++) { /* everybody else goes on, on as many processors */
        unsigned long before = atomic_load(&crowd_counted);
        wait_for(atomic_load(&crowd_counted) > before + 1000);
    }
    cr_assert_eq(green_setconcurrency(3), 0);
    wait_for(stats_now().procs_idle == 0);
    crowd_stop();
    cr_assert_eq(stats_now().threads_live, 1 + DEATHS, "the lost ones never ended");
    wait_for(kernel_threads() <= stats_now().workers + 4);
}

static void *end_first_kernel_thread(void *arg)
{
    stay_on(true);
    green_sem_post(arg);
    syscall(SYS_exit, 0);
    return NULL;
}

static void live_without_the_first(void)
{
    green_sem_t dying;
    green_sem_init(&dying, 0, 0);
    crowd_start();
    spawn(end_first_kernel_thread, &dying);
    green_sem_wait(&dying);
    for (int i = 0; i < 20; i++) {
        unsigned long before = atomic_load(&crowd_counted);
        wait_for(atomic_load(&crowd_counted) > before + 1000);
    }
    must(green_setconcurrency(3) == 0);
    wait_for(stats_now().procs_idle == 0);
    crowd_stop();
    must(stats_now().threads_live == 2); /* the lost one never ended */
}

/* The first's remains look alive.  In a child, as Criterion, too, watches the first. */
EVERY_WAY(death_of_the_first_kernel_thread)
{
    int status;
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm((unsigned)LIMIT);
        live_without_the_first();
        _exit(7);
    }
    cr_assert_eq(uninterrupted(waitpid(pid, &status, 0)), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
}

static void *end_second_kernel_thread(void *arg)
{
    stay_on(false);
    green_sem_post(arg);
    syscall(SYS_exit, 0);
    return NULL;
}

static void *post_in_a_while(void *sem)
{
    struct timespec time = {0, 50000000};
    nanosleep(&time, NULL);
    green_sem_post(sem);
    return NULL;
}

/* The only processor's worker dies while nobody is ready: who sleeps, and whom a kernel thread wakes, must run. */
EVERY_WAY(death_while_others_sleep)
{
    green_sem_t dying, post;
    pthread_t kernel_thread;
    green_sem_init(&dying, 0, 0);
    green_sem_init(&post, 0, 0);
    crowd_start();
    spawn(end_second_kernel_thread, &dying);
    green_sem_wait(&dying);
    crowd_stop();
    for (int i = 0; i < 3; i++)
        green_usleep(3000);
    cr_assert_eq(pthread_create(&kernel_thread, NULL, post_in_a_while, &post), 0);
    green_sem_wait(&post);
    cr_assert_eq(pthread_join(kernel_thread, NULL), 0);
}

#endif
