/*
 * exec: the new program has the caller's mask, and finds pending what the caller blocked.
 *
 * In the child of a fork, which has no kernel threads but the library's.
 */
#include "signals.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(signal_exec, .timeout = LIMIT);

static uint64_t set_after(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    must(at != NULL);
    return strtoull(at + strlen(line) + 1, NULL, 16);
}

static bool has(uint64_t set, int number)
{
    return set >> (number - 1) & 1;
}

/* What the program that `body` executes writes. */
static void output_of(void (*body)(void), char *text, size_t bytes)
{
    int ends[2];
    size_t length = 0;
    must(pipe(ends) == 0);
    pid_t child = fork_mortal();
    if (child == 0) {
        must(dup2(ends[1], 1) == 1);
        body();
        abort();
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + length, bytes - 1 - length)) > 0;)
        length += (size_t)got;
    close(ends[0]);
    text[length] = '\0';
    check_exit_status(child, 0);
}

/* It neither clears its mask nor handles anything, as a shell would. */
static void show_signals(void)
{
    execl("/bin/grep", "grep", "-E", "SigPnd|ShdPnd|SigBlk", "/proc/self/status", (char *)NULL);
}

static void make_pending(void)
{
    handle(SIGUSR1);
    handle(SIGUSR2);
    handle(SIGRTMIN + 1);
    change(SIG_BLOCK, SIGUSR1);
    change(SIG_BLOCK, SIGUSR2);
    change(SIG_BLOCK, SIGRTMIN + 1);
    must(kill(getpid(), SIGUSR1) == 0);
    must(green_raise(SIGUSR2) == 0);
    must(green_sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 3}) == 0);
    wait_for(pends(SIGUSR1));
}

static void exec_with_pending(void)
{
    make_pending();
    start_hogs(2);
    show_signals();
}

ON_BOTH(signal_exec, new_program_finds_it_pending)
{
    char text[512];
    output_of(exec_with_pending, text, sizeof text);
    const uint64_t pending = set_after(text, "ShdPnd:") | set_after(text, "SigPnd:");
    cr_assert(has(pending, SIGUSR1) && has(pending, SIGRTMIN + 1) && has(pending, SIGUSR2), "%s", text);
    const uint64_t mask = set_after(text, "SigBlk:");
    cr_assert(has(mask, SIGUSR1) && has(mask, SIGUSR2) && has(mask, SIGRTMIN + 1) && !has(mask, SIGHUP), "%s", text);
}

static void exec_with_signalfd(void)
{
    sigset_t set = set_of(SIGUSR1);
    handle(SIGUSR1);
    must(signalfd(-1, &set, SFD_CLOEXEC) >= 0);
    change(SIG_BLOCK, SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(pends(SIGUSR1));
    show_signals();
}

ON_BOTH(signal_exec, so_is_what_the_kernel_keeps)
{
    char text[512];
    output_of(exec_with_signalfd, text, sizeof text);
    cr_assert(has(set_after(text, "ShdPnd:") | set_after(text, "SigPnd:"), SIGUSR1), "%s", text);
}

/* A thread that is open has a kernel thread that is not, and its program must not inherit that. */
static void exec_open(void)
{
    sigset_t set = set_of(SIGUSR1);
    handle(SIGUSR1);
    must(signalfd(-1, &set, SFD_CLOEXEC) >= 0);
    show_signals();
}

ON_BOTH(signal_exec, mask_is_the_thread_s_whatever_is_kept)
{
    char text[512];
    output_of(exec_open, text, sizeof text);
    cr_assert_eq(set_after(text, "SigBlk:") & ~(UINT64_C(7) << 31), 0, "%s", text);
}

/* Everything is as it was: in order, to the thread what was the thread's. */
ON_BOTH(signal_exec, failed_exec_changes_nothing)
{
    pid_t child = fork_mortal();
    if (child == 0) {
        handle(SIGRTMIN + 2);
        handle(SIGALRM);
        make_pending();
        change(SIG_BLOCK, SIGRTMIN + 2);
        change(SIG_BLOCK, SIGALRM);
        for (int i = 0; i < 10; i++)
            queue(green_self(), SIGRTMIN + 2, i);
        must(green_raise(SIGALRM) == 0);
        must(green_raise(SIGUSR1) == 0); /* pending for the process, too */
        const uint64_t pending = stats_now().signals_pending;
        start_hogs(2);
        for (int i = 0; i < 50; i++)
            must(execl("/no/such/program", "x", (char *)NULL) == -1 && errno == ENOENT);
        stop_hogs();
        must(stats_now().signals_pending == pending && seen.count == 0);
        must(pends(SIGUSR1) && pends(SIGUSR2) && pends(SIGRTMIN + 1) && pends(SIGALRM));
        change(SIG_UNBLOCK, SIGRTMIN + 2);
        must(seen.count == 10);
        for (int i = 0; i < 10; i++)
            must(seen.value[i] == i);
        change(SIG_UNBLOCK, SIGRTMIN + 1);
        must(seen.count == 11 && seen.value[10] == 3);
        change(SIG_UNBLOCK, SIGUSR1);
        change(SIG_UNBLOCK, SIGUSR2);
        change(SIG_UNBLOCK, SIGALRM);
        must(seen.count == 15);
        _exit(0);
    }
    check_exit_status(child, 0);
}

extern char **environ;

static void spawn_blocked(void)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {"grep", "-E", "SigPnd|ShdPnd|SigBlk", "/proc/self/status", NULL};
    pid_t child;
    int status;
    make_pending();
    must(posix_spawn_file_actions_init(&actions) == 0);
    must(posix_spawnp(&child, "grep", &actions, NULL, argv, environ) == 0);
    must(waitpid(child, &status, 0) == child);
    _exit(status);
}

ON_BOTH(signal_exec, spawned_program_has_the_mask_and_nothing_pending)
{
    char text[512];
    output_of(spawn_blocked, text, sizeof text);
    cr_assert_eq(set_after(text, "SigBlk:"), UINT64_C(1) << (SIGUSR1 - 1) | UINT64_C(1) << (SIGUSR2 - 1) |
                 UINT64_C(1) << SIGRTMIN, "%s", text);
    cr_assert(!set_after(text, "ShdPnd:") && !set_after(text, "SigPnd:"), "%s", text);
}
