/*
 * Named semaphores: who has which, in this process and others, and every error number.
 */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(sem_named, .timeout = LIMIT);

/* Names are the system's: those of one test must not be another's, nor a child's other than its parent's. */
static const char *name_in(char name[64], const char *last)
{
    static pid_t test; /* set by the main thread, whose are the first names */
    if (!test)
        test = getpid();
    snprintf(name, 64, "/unit-%d-%s", (int)test, last);
    return name;
}

/* In the block that it is written in. */
#define name_of(last) name_in((char[64]){""}, last)

static int value_of(green_sem_t *sem)
{
    int value = -1;
    must(green_sem_getvalue(sem, &value) == 0);
    return value;
}

ON_BOTH(sem_named, one_for_each_name)
{
    green_sem_t *a = green_sem_open(name_of("a"), O_CREAT, 0600, 3U);
    green_sem_t *b = green_sem_open(name_of("b"), O_CREAT | O_EXCL, 0600, 1U);
    cr_assert_neq(a, GREEN_SEM_FAILED);
    cr_assert_neq(b, GREEN_SEM_FAILED);
    cr_assert_neq(a, b);
    cr_assert_eq(green_sem_open(name_of("a"), 0), a);
    cr_assert_eq(green_sem_open(name_of("a") + 1, O_CREAT, 0600, 9U), a,
                 "the slash may be left out, a value is for a new one");
    cr_assert_eq(value_of(a), 3);
    cr_assert_eq(green_sem_wait(a), 0);
    cr_assert_eq(green_sem_post(b), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(green_sem_close(a), 0);
    assert_fails_as(green_sem_close(a), -1, EINVAL);
    a = green_sem_open(name_of("a"), 0);
    cr_assert_neq(a, GREEN_SEM_FAILED);
    cr_assert_eq(value_of(a), 2, "it stays, value and all");
    cr_assert_eq(green_sem_close(a), 0);
    cr_assert_eq(green_sem_unlink(name_of("a")), 0);
    assert_fails_as(green_sem_open(name_of("a"), 0), GREEN_SEM_FAILED, ENOENT);
    cr_assert_eq(green_sem_unlink(name_of("b")), 0);
    cr_assert_eq(value_of(b), 2, "who has it open keeps it");
    cr_assert_eq(green_sem_close(b), 0);
}

ON_BOTH(sem_named, unlinked_name_is_free)
{
    green_sem_t *first = green_sem_open(name_of("name"), O_CREAT, 0600, 1U);
    cr_assert_eq(green_sem_unlink(name_of("name")), 0);
    green_sem_t *second = green_sem_open(name_of("name"), O_CREAT | O_EXCL, 0600, 2U);
    cr_assert_neq(second, GREEN_SEM_FAILED);
    cr_assert_neq(second, first);
    cr_assert_eq(value_of(first), 1);
    cr_assert_eq(value_of(second), 2);
    cr_assert_eq(green_sem_unlink(name_of("name")), 0);
    cr_assert_eq(green_sem_close(first), 0);
    cr_assert_eq(green_sem_close(second), 0);
    assert_fails_as(green_sem_unlink(name_of("name")), -1, ENOENT);
}

ON_BOTH(sem_named, errors_of_names)
{
    char name[300];
    const char *volatile none = NULL;
    memset(name, 'x', sizeof name);
    name[snprintf(name, sizeof name, "%s", name_of("longest"))] = 'x';
    name[253] = '\0';
    assert_fails_as(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, ENAMETOOLONG);
    assert_fails_as(green_sem_unlink(name), -1, ENAMETOOLONG);
    name[252] = '\0';
    cr_assert_neq(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, "the longest");
    cr_assert_eq(green_sem_unlink(name), 0);
    assert_fails_as(green_sem_open("/no/such", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("/", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open(none, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_unlink("/"), -1, ENOENT);
    assert_fails_as(green_sem_unlink(none), -1, ENOENT);
}

ON_BOTH(sem_named, errors)
{
    green_sem_t unnamed, *volatile no_sem = NULL;
    const char *const v = name_of("v");
    assert_fails_as(green_sem_open(v, O_CREAT, 0600, (unsigned)GREEN_SEM_VALUE_MAX + 1), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open(v, 0), GREEN_SEM_FAILED, ENOENT);
    assert_fails_as(green_sem_open(v, O_EXCL), GREEN_SEM_FAILED, ENOENT);
    cr_assert_neq(green_sem_open(v, O_CREAT, 0600, 1U), GREEN_SEM_FAILED);
    assert_fails_as(green_sem_open(v, O_CREAT | O_EXCL, 0600, 1U), GREEN_SEM_FAILED, EEXIST);
    assert_fails_as(green_sem_unlink(name_of("w")), -1, ENOENT);
    cr_assert_eq(green_sem_unlink(v), 0);
    green_sem_init(&unnamed, 0, 0);
    assert_fails_as(green_sem_close(&unnamed), -1, EINVAL);
    assert_fails_as(green_sem_close(no_sem), -1, EINVAL);
}

/* What has such a file's name and is none, and what is half made; the files' place is known to nobody else. */
static void path_of(char path[NAME_MAX + 1], const char *name)
{
    must(snprintf(path, NAME_MAX + 1, "/dev/shm/grn.%s", name + 1) < NAME_MAX);
}

ON_BOTH(sem_named, what_is_no_semaphore)
{
    char path[NAME_MAX + 1], bytes[sizeof(green_sem_t) + 16] = "";
    const char *const name = name_of("none");
    path_of(path, name);
    for (size_t size = 0; size <= sizeof bytes; size += sizeof bytes / 4) {
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size && close(fd) == 0);
        assert_fails_as(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
        assert_fails_as(green_sem_open(name, O_CREAT | O_EXCL, 0600, 1U), GREEN_SEM_FAILED, EEXIST);
        cr_assert_eq(green_sem_unlink(name), 0);
    }
    must(mkdir(path, 0700) == 0);
    assert_fails_as(green_sem_open(name, 0), GREEN_SEM_FAILED, EINVAL);
    must(rmdir(path) == 0);
    must(symlink("/dev/shm/elsewhere", path) == 0);
    assert_fails_as(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, ELOOP);
    must(unlink(path) == 0);
    must(mkfifo(path, 0600) == 0);
    assert_fails_as(green_sem_open(name, 0), GREEN_SEM_FAILED, EINVAL);
    must(unlink(path) == 0);
}

ON_BOTH(sem_named, mode_less_what_is_masked)
{
    char path[NAME_MAX + 1];
    struct stat status;
    const char *const name = name_of("mode");
    path_of(path, name);
    umask(027);
    cr_assert_neq(green_sem_open(name, O_CREAT, 0666, 1U), GREEN_SEM_FAILED);
    must(stat(path, &status) == 0);
    cr_assert_eq(status.st_mode & 07777, 0640);
    cr_assert_eq(green_sem_unlink(name), 0);
    assert_fails_as(green_sem_open(name, O_CREAT, 0666, (unsigned)GREEN_SEM_VALUE_MAX + 1), GREEN_SEM_FAILED, EINVAL);
    must(stat(path, &status) == -1);
}

/* Many open, use, close and unlink the same few names. */
static atomic_long taken, given;

static void use(unsigned index, uint64_t round)
{
    const char *const names[] = {"x", "y"};
    const char *const name = name_of(names[(index + round) % 2]);
    green_sem_t *sem = green_sem_open(name, O_CREAT, 0600, 1U);
    must(sem != GREEN_SEM_FAILED);
    must(green_sem_wait(sem) == 0);
    atomic_fetch_add(&taken, 1);
    must(green_sem_post(sem) == 0);
    atomic_fetch_add(&given, 1);
    must(green_sem_close(sem) == 0);
    if (round % 8 == 0)
        must(green_sem_unlink(name) == 0 || errno == ENOENT);
}

/* A quarter of the usual, as threads that sleep in the kernel are seldom preempted. */
ON_BOTH(sem_named, come_and_go_under_ticks)
{
    name_of("");
    storm_of(STORM_THREADS, STORM_PREEMPTIONS / 4, use);
    cr_assert_eq(atomic_load(&taken), atomic_load(&given));
    for (int i = 0; i < 2; i++) {
        const char *const name = name_of(i ? "x" : "y");
        green_sem_t *sem = green_sem_open(name, O_CREAT, 0600, 1U);
        cr_assert_eq(value_of(sem), 1);
        cr_assert_eq(green_sem_unlink(name), 0);
    }
}

/* AddressSanitizer's malloc takes no care of its locks at a fork: what another thread holds stays held in the child. */
#ifndef __SANITIZE_ADDRESS__
static void *keep_opening(void *arg)
{
    while (!atomic_load((atomic_bool *)arg))
        use(0, 0);
    return arg;
}

/* However the list is at the fork, the child can open, and has what its parent has. */
ON_BOTH(sem_named, in_the_child_of_a_fork)
{
    atomic_bool over = false;
    const char *const mine = name_of("ours");
    green_t other = spawn(keep_opening, &over);
    green_sem_t *sem = green_sem_open(mine, O_CREAT, 0600, 25U);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork_mortal();
        if (child == 0) {
            must(green_sem_open(mine, 0) == sem && value_of(sem) == 25 - i);
            must(green_sem_wait(sem) == 0);
            must(green_sem_close(sem) == 0 && green_sem_close(sem) == 0);
            must(green_sem_close(sem) == -1 && errno == EINVAL);
            _exit(7);
        }
        check_exit_status(child, 7);
    }
    atomic_store(&over, true);
    join_result(other);
    cr_assert_eq(value_of(sem), 5, "there is one of that name, for all");
    cr_assert_eq(green_sem_unlink(mine), 0);
    green_sem_unlink(name_of("x"));
    green_sem_unlink(name_of("y"));
}

/* They have nothing in common but names: each makes, finds, waits and posts. */
static void ball_with(const char *mine, const char *yours)
{
    green_sem_t *in = green_sem_open(mine, O_CREAT, 0600, 0U), *out = green_sem_open(yours, O_CREAT, 0600, 0U);
    must(in != GREEN_SEM_FAILED && out != GREEN_SEM_FAILED);
    for (int i = 0; i < 500; i++) {
        must(green_sem_post(out) == 0);
        must(green_sem_wait(in) == 0);
    }
    must(green_sem_trywait(in) == -1 && errno == EAGAIN);
    must(green_sem_close(in) == 0 && green_sem_close(out) == 0);
}

ON_BOTH(sem_named, between_processes)
{
    const char *const ping = name_of("ping"), *const pong = name_of("pong");
    pid_t child = fork_mortal();
    if (child == 0) {
        ball_with(ping, pong);
        _exit(0);
    }
    ball_with(pong, ping);
    check_exit_status(child, 0);
    cr_assert_eq(green_sem_unlink(ping), 0);
    cr_assert_eq(green_sem_unlink(pong), 0);
}

/* Of those who make it at once, one does, and all have the same. */
ON_BOTH(sem_named, one_maker)
{
    enum { PROCESSES = 4, ROUNDS = 50 };
    const char *const name = name_of("raced"), *const count = name_of("count");
    pid_t children[PROCESSES];
    green_sem_t *makers = green_sem_open(count, O_CREAT | O_EXCL, 0600, 0U);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork_mortal();
        if (children[i] != 0)
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            green_sem_t *sem = green_sem_open(name, O_CREAT | O_EXCL, 0600, 1U);
            if (sem != GREEN_SEM_FAILED)
                must(green_sem_post(makers) == 0);
            else
                must(errno == EEXIST && (sem = green_sem_open(name, O_CREAT, 0600, 1U)) != GREEN_SEM_FAILED);
            must(green_sem_wait(sem) == 0 && green_sem_post(sem) == 0 && green_sem_close(sem) == 0);
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++)
        check_exit_status(children[i], 0);
    cr_assert_eq(value_of(makers), 1);
    cr_assert_eq(green_sem_unlink(name), 0);
    cr_assert_eq(green_sem_unlink(count), 0);
}

ON_BOTH(sem_named, of_others)
{
    const char *const name = name_of("others");
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    cr_assert_neq(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED);
    pid_t child = fork_mortal();
    if (child == 0) {
        must(setuid(65534) == 0);
        must(green_sem_open(name, 0) == GREEN_SEM_FAILED && errno == EACCES);
        must(green_sem_open(name, O_CREAT, 0600, 1U) == GREEN_SEM_FAILED && errno == EACCES);
        must(green_sem_unlink(name) == -1 && errno == EACCES);
        _exit(0);
    }
    check_exit_status(child, 0);
    cr_assert_eq(green_sem_unlink(name), 0);
}
#endif
