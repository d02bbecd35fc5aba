/*
 * signalfd(): who reads a signal from a descriptor gets what all green threads block, and who opens gets it first.
 *
 * Each body runs in the child of a fork, where there are no kernel threads but the library's: the test runner has some
 * that block nothing, to which the kernel may deliver what everybody else blocks.
 */
#include "signals.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signalfd, .timeout = LIMIT);

#define IN_CHILD(name)              \
    static void name##_body(void);  \
    ON_BOTH(signalfd, name)         \
    {                               \
        in_child(name##_body);      \
    }                               \
    static void name##_body(void)

static void in_child(void (*body)(void))
{
    pid_t child = fork_mortal();
    if (child == 0) {
        body();
        _exit(0);
    }
    check_exit_status(child, 0);
}

/* A line of a status file: a set of signals. */
static uint64_t status_of(const char *path, const char *line)
{
    char text[256];
    uint64_t bits = UINT64_MAX;
    FILE *file = fopen(path, "r");
    while (file && fgets(text, sizeof text, file))
        if (strncmp(text, line, strlen(line)) == 0)
            bits = strtoull(text + strlen(line) + 1, NULL, 16);
    if (file) /* else the kernel thread has ended */
        fclose(file);
    return bits;
}

static bool kernel_has(int number)
{
    return status_of("/proc/self/status", "ShdPnd") >> (number - 1) & 1;
}

/* And has it for good: no kernel thread will be offered it. */
static bool kernel_holds(int number)
{
    DIR *tasks = opendir("/proc/self/task");
    uint64_t blocked = UINT64_MAX;
    must(tasks != NULL);
    for (const struct dirent *task; (task = readdir(tasks));) {
        char path[300];
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        if (task->d_name[0] != '.')
            blocked &= status_of(path, "SigBlk");
    }
    closedir(tasks);
    return blocked >> (number - 1) & 1 && kernel_has(number);
}

static int blocked_fd(int number, int flags)
{
    sigset_t set = set_of(number);
    change(SIG_BLOCK, number);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | flags);
    must(fd >= 0);
    return fd;
}

/* Without blocking; false: there is none now. */
static bool take(int fd, struct signalfd_siginfo *info)
{
    ssize_t got = read(fd, info, sizeof *info);
    must(got == (ssize_t)sizeof *info || (got == -1 && errno == EAGAIN));
    return got > 0;
}

static void send(int number, int value)
{
    must(sigqueue(getpid(), number, (union sigval){.sival_int = value}) == 0);
}

IN_CHILD(gets_what_all_block)
{
    struct signalfd_siginfo info;
    handle(SIGRTMIN + 1);
    int fd = blocked_fd(SIGRTMIN + 1, SFD_NONBLOCK);
    start_hogs(3);
    for (int i = 0; i < 200; i++) {
        send(SIGRTMIN + 1, i);
        wait_for(take(fd, &info));
        must(info.ssi_signo == (unsigned)SIGRTMIN + 1 && info.ssi_int == i);
        must(info.ssi_code == SI_QUEUE && info.ssi_pid == (unsigned)getpid());
        must(!take(fd, &info));
    }
    stop_hogs();
    must(seen.count == 0 && stats_now().signals_handled == 0);
}

/* It is held here; then there is a descriptor for it. */
IN_CHILD(gets_what_was_held_before)
{
    struct signalfd_siginfo info;
    handle(SIGUSR1);
    change(SIG_BLOCK, SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(stats_now().signals_held == 1);
    must(stats_now().signals_pending == 1 && !kernel_has(SIGUSR1));
    int fd = blocked_fd(SIGUSR1, SFD_NONBLOCK);
    must(stats_now().signals_returned >= 1);
    wait_for(kernel_holds(SIGUSR1));
    must(pends(SIGUSR1) && take(fd, &info));
    must(info.ssi_signo == SIGUSR1 && info.ssi_code == SI_USER);
    must(!pends(SIGUSR1));
    change(SIG_UNBLOCK, SIGUSR1);
    must(seen.count == 0 && stats_now().signals_pending == 0);
}

/* What the library itself is asked to send. */
IN_CHILD(gets_what_green_sigqueue_sends)
{
    struct signalfd_siginfo info;
    handle(SIGRTMIN + 2);
    int fd = blocked_fd(SIGRTMIN + 2, SFD_NONBLOCK);
    unsigned values = 0;
    for (int i = 0; i < 20; i++)
        must(green_sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = i}) == 0);
    for (int i = 0; i < 20; i++) { /* kernel threads that are open yet hand it back: perhaps behind others */
        wait_for(take(fd, &info));
        must(info.ssi_int >= 0 && info.ssi_int < 20 && !(values >> info.ssi_int & 1));
        values |= 1U << info.ssi_int;
    }
    must(!take(fd, &info));
}

static atomic_ulong progress;

static void *makes_progress(void *arg)
{
    while (!atomic_load((atomic_bool *)arg))
        atomic_fetch_add(&progress, 1);
    return NULL;
}

static void *reads_blocking(void *arg)
{
    struct signalfd_siginfo info;
    must(read(*(int *)arg, &info, sizeof info) == (ssize_t)sizeof info);
    must(info.ssi_signo == SIGUSR1);
    return NULL;
}

/* The reader is blocked in the kernel, and nobody else is. */
IN_CHILD(blocking_read_stalls_nobody)
{
    atomic_bool over = false;
    if (strcmp(green_monitor_source(), "off") == 0)
        return;
    handle(SIGUSR1);
    int fd = blocked_fd(SIGUSR1, 0);
    green_t worker = spawn(makes_progress, &over);
    uint64_t retakes = stats_now().retakes;
    green_t reader = spawn(reads_blocking, &fd);
    wait_for(stats_now().retakes > retakes);
    unsigned long before = atomic_load(&progress);
    wait_for(atomic_load(&progress) > before + 100000);
    must(green_tryjoin_np(reader, NULL) == EBUSY);
    must(kill(getpid(), SIGUSR1) == 0);
    join_result(reader);
    atomic_store(&over, true);
    join_result(worker);
    must(seen.count == 0);
}

/* What the kernel has is handled before the mask's change returns, wherever the thread runs. */
IN_CHILD(who_opens_gets_it_at_once)
{
    struct signalfd_siginfo info;
    handle(SIGUSR1);
    int fd = blocked_fd(SIGUSR1, SFD_NONBLOCK);
    start_hogs(2);
    for (int i = 1; i <= 100; i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        wait_for(kernel_holds(SIGUSR1));
        must(pends(SIGUSR1));
        struct pollfd poll_for = {.fd = fd, .events = POLLIN};
        wait_for(poll(&poll_for, 1, 0) == 1); /* it was watched, and the receiver may have it in hand */
        uint64_t handled = stats_now().signals_handled;
        change(SIG_UNBLOCK, SIGUSR1);
        must(seen.count == 1 && stats_now().signals_handled == handled + 1);
        must(seen.thread[0] == green_self());
        change(SIG_BLOCK, SIGUSR1);
        must(!take(fd, &info));
        atomic_store(&seen.count, 0);
    }
    stop_hogs();
}

static void *opens(void *arg)
{
    change(SIG_UNBLOCK, SIGUSR1);
    wait_for(atomic_load(&seen.count) == 1);
    must(seen.thread[0] == green_self());
    return arg;
}

IN_CHILD(another_that_opens_gets_it)
{
    handle(SIGUSR1);
    blocked_fd(SIGUSR1, 0);
    for (int i = 0; i < 50; i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        join_result(spawn(opens, NULL));
        atomic_store(&seen.count, 0);
    }
}

static atomic_bool open_now, stop_now;

static void *open_and_runs(void *arg)
{
    change(SIG_UNBLOCK, SIGUSR1);
    atomic_store(&open_now, true);
    while (!atomic_load(&stop_now))
        ;
    return arg;
}

/* While somebody is open the handler has it, and the descriptor when he has closed again or ended. */
IN_CHILD(who_is_open_comes_first)
{
    struct signalfd_siginfo info;
    handle(SIGUSR1);
    int fd = blocked_fd(SIGUSR1, SFD_NONBLOCK);
    green_t thread = spawn(open_and_runs, NULL);
    wait_for(atomic_load(&open_now));
    for (int i = 1; i <= 50; i++) {
        must(kill(getpid(), SIGUSR1) == 0);
        wait_for(atomic_load(&seen.count) == i);
        must(seen.thread[i - 1] == thread);
    }
    must(!take(fd, &info));
    atomic_store(&stop_now, true);
    join_result(thread);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(take(fd, &info));
    must(seen.count == 50);
}

static void *sigwaits(void *arg)
{
    siginfo_t info;
    sigset_t set = set_of(SIGRTMIN + 3);
    for (int i = 0; i < 50; i++)
        must(green_sigwaitinfo(&set, &info) == SIGRTMIN + 3 && info.si_value.sival_int == i);
    return arg;
}

IN_CHILD(sigwait_takes_it)
{
    siginfo_t taken;
    struct signalfd_siginfo info;
    const struct timespec now = {0, 0};
    sigset_t set = set_of(SIGRTMIN + 3);
    int fd = blocked_fd(SIGRTMIN + 3, SFD_NONBLOCK);
    send(SIGRTMIN + 3, 7);
    wait_for(kernel_has(SIGRTMIN + 3));
    must(green_sigtimedwait(&set, &taken, &now) == SIGRTMIN + 3 && taken.si_value.sival_int == 7);
    must(green_sigtimedwait(&set, &taken, &now) == -1 && errno == EAGAIN);
    green_t thread = spawn(sigwaits, NULL);
    for (int i = 0; i < 50; i++) {
        uint64_t before = stats_now().signals_waited;
        send(SIGRTMIN + 3, i);
        wait_for(stats_now().signals_waited > before);
    }
    join_result(thread);
    must(!take(fd, &info));
    send(SIGRTMIN + 3, 8);
    wait_for(take(fd, &info));
    must(info.ssi_int == 8);
}

IN_CHILD(sigsuspend_opens_it)
{
    struct signalfd_siginfo info;
    sigset_t none;
    sigemptyset(&none);
    handle(SIGUSR1);
    int fd = blocked_fd(SIGUSR1, SFD_NONBLOCK);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(kernel_has(SIGUSR1));
    must(green_sigsuspend(&none) == -1 && errno == EINTR && seen.count == 1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(take(fd, &info));
    must(seen.count == 1);
}

/* While the handler runs its signal is closed, and there is nobody else. */
static void reads_its_own(int number, siginfo_t *info, void *context)
{
    struct signalfd_siginfo other;
    const int fd = info->si_value.sival_int;
    note(number, info, context);
    if (seen.count > 1)
        return;
    send(number, 1);
    wait_for(take(fd, &other));
    must(other.ssi_int == 1);
    send(number, 2);
    wait_for(kernel_has(number));
}

IN_CHILD(handler_closes_and_opens)
{
    handle_with(SIGRTMIN + 4, reads_its_own, 0);
    int fd = blocked_fd(SIGRTMIN + 4, SFD_NONBLOCK);
    send(SIGRTMIN + 4, fd);
    change(SIG_UNBLOCK, SIGRTMIN + 4);
    wait_for(atomic_load(&seen.count) == 2);
    must(seen.value[1] == 2);
}

static void nothing(unsigned index, uint64_t round)
{
    change(index % 2 ? SIG_BLOCK : SIG_UNBLOCK, SIGUSR2);
    if (round % 8 == 0)
        green_usleep(10);
}

/* Each is read once or handled once: none is lost or doubled, whoever opens and closes meanwhile. */
static atomic_uint got[1000];

static void count_it(int number, siginfo_t *info, void *context)
{
    must(context != NULL && number == SIGRTMIN + 5);
    atomic_fetch_add(&got[info->si_value.sival_int], 1);
}

static void *opens_and_closes(void *arg)
{
    while (!atomic_load(&stop_now)) {
        change(SIG_UNBLOCK, SIGRTMIN + 5);
        green_yield();
        change(SIG_BLOCK, SIGRTMIN + 5);
        green_usleep(50);
    }
    return arg;
}

static bool all_came(int fd)
{
    struct signalfd_siginfo info;
    while (take(fd, &info))
        atomic_fetch_add(&got[info.ssi_int], 1);
    for (int i = 0; i < 1000; i++)
        if (!atomic_load(&got[i]))
            return false;
    return true;
}

IN_CHILD(none_is_lost_or_doubled)
{
    handle_with(SIGRTMIN + 5, count_it, 0);
    int fd = blocked_fd(SIGRTMIN + 5, SFD_NONBLOCK);
    green_t threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = spawn(opens_and_closes, NULL);
    for (int i = 0; i < 1000; i++) {
        send(SIGRTMIN + 5, i);
        if (i % 10 == 0)
            green_usleep(100);
    }
    wait_for(all_came(fd));
    atomic_store(&stop_now, true);
    for (int i = 0; i < 3; i++)
        join_result(threads[i]);
    must(all_came(fd));
    for (int i = 0; i < 1000; i++)
        must(atomic_load(&got[i]) == 1);
    must(stats_now().signals_pending == 0);
    storm(nothing);
}

/* With one kernel thread none can overtake another. */
static void in_order(void)
{
    struct signalfd_siginfo info;
    handle(SIGRTMIN + 1);
    change(SIG_BLOCK, SIGRTMIN + 1);
    for (int i = 0; i < 10; i++)
        send(SIGRTMIN + 1, i); /* held */
    int fd = blocked_fd(SIGRTMIN + 1, SFD_NONBLOCK);
    for (int i = 10; i < 40; i++)
        send(SIGRTMIN + 1, i);
    for (int i = 0; i < 20; i++) {
        wait_for(take(fd, &info));
        must(info.ssi_int == i);
    }
    change(SIG_UNBLOCK, SIGRTMIN + 1);
    wait_for(seen.count == 20);
    for (int i = 0; i < 20; i++)
        must(seen.value[i] == 20 + i);
}

Test(signalfd, keeps_the_order)
{
    struct green_config config = {.procs = 1, .slice_us = TICK_US, .monitor = GREEN_MONITOR_OFF};
    start_config(&config);
    in_child(in_order);
}

/* The descriptor is of the parent, and the child reads what was sent to the child. */
static int inherited;

static void reads_inherited(void)
{
    struct signalfd_siginfo info;
    must(!pends(SIGUSR1) && !take(inherited, &info));
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(take(inherited, &info));
    must(info.ssi_pid == (unsigned)getpid());
    must(kill(getpid(), SIGUSR1) == 0);
    change(SIG_UNBLOCK, SIGUSR1);
    wait_for(atomic_load(&seen.count) == 1);
}

IN_CHILD(child_of_a_fork_reads_its_own)
{
    struct signalfd_siginfo info;
    handle(SIGUSR1);
    inherited = blocked_fd(SIGUSR1, SFD_NONBLOCK);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(kernel_has(SIGUSR1));
    in_child(reads_inherited);
    wait_for(take(inherited, &info));
    must(info.ssi_pid == (unsigned)getpid() && seen.count == 0);
}

/* The descriptor is older than the library's threads. */
static void made_before(unsigned procs)
{
    pid_t child = fork_mortal();
    if (child == 0) {
        struct signalfd_siginfo info;
        sigset_t set = set_of(SIGUSR1);
        must(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
        int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        must(fd >= 0);
        start(procs);
        handle(SIGUSR1);
        start_hogs(2);
        must(kill(getpid(), SIGUSR1) == 0);
        wait_for(take(fd, &info));
        must(kill(getpid(), SIGUSR1) == 0);
        change(SIG_UNBLOCK, SIGUSR1);
        wait_for(atomic_load(&seen.count) == 1);
        _exit(0);
    }
    check_exit_status(child, 0);
}

Test(signalfd, made_before_the_start_on_1)
{
    made_before(1);
}

Test(signalfd, made_before_the_start_on_2)
{
    made_before(2);
}
