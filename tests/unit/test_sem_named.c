/*
 * Named semaphores: who has which, and every error number.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(sem_named, .timeout = LIMIT);

static int value_of(green_sem_t *sem)
{
    int value = -1;
    must(green_sem_getvalue(sem, &value) == 0);
    return value;
}

ON_BOTH(sem_named, one_for_each_name)
{
    green_sem_t *a = green_sem_open("/a", O_CREAT, 0600, 3U), *b = green_sem_open("/b", O_CREAT | O_EXCL, 0600, 1U);
    cr_assert_neq(a, GREEN_SEM_FAILED);
    cr_assert_neq(b, GREEN_SEM_FAILED);
    cr_assert_neq(a, b);
    cr_assert_eq(green_sem_open("/a", 0), a);
    cr_assert_eq(green_sem_open("a", O_CREAT, 0600, 9U), a, "the slash may be left out, a value is for a new one");
    cr_assert_eq(value_of(a), 3);
    cr_assert_eq(green_sem_wait(a), 0);
    cr_assert_eq(green_sem_post(b), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(green_sem_close(a), 0);
    assert_fails_as(green_sem_close(a), -1, EINVAL);
    cr_assert_eq(green_sem_open("/a", 0), a);
    cr_assert_eq(value_of(a), 2, "it stays, value and all");
    cr_assert_eq(green_sem_close(a), 0);
    cr_assert_eq(green_sem_unlink("/a"), 0);
    assert_fails_as(green_sem_open("/a", 0), GREEN_SEM_FAILED, ENOENT);
    cr_assert_eq(green_sem_unlink("/b"), 0);
    cr_assert_eq(value_of(b), 2, "who has it open keeps it");
    cr_assert_eq(green_sem_close(b), 0);
}

ON_BOTH(sem_named, unlinked_name_is_free)
{
    green_sem_t *first = green_sem_open("/name", O_CREAT, 0600, 1U);
    cr_assert_eq(green_sem_unlink("/name"), 0);
    green_sem_t *second = green_sem_open("/name", O_CREAT | O_EXCL, 0600, 2U);
    cr_assert_neq(second, GREEN_SEM_FAILED);
    cr_assert_neq(second, first);
    cr_assert_eq(value_of(first), 1);
    cr_assert_eq(value_of(second), 2);
    cr_assert_eq(green_sem_unlink("/name"), 0);
    cr_assert_eq(green_sem_close(first), 0);
    cr_assert_eq(green_sem_close(second), 0);
    assert_fails_as(green_sem_unlink("/name"), -1, ENOENT);
}

ON_BOTH(sem_named, errors)
{
    char name[300] = "/";
    const char *volatile none = NULL;
    green_sem_t unnamed, *volatile no_sem = NULL;
    memset(name + 1, 'x', 252);
    assert_fails_as(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, ENAMETOOLONG);
    assert_fails_as(green_sem_unlink(name), -1, ENAMETOOLONG);
    name[252] = '\0';
    cr_assert_neq(green_sem_open(name, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, "the longest");
    cr_assert_eq(green_sem_unlink(name), 0);
    assert_fails_as(green_sem_open("/no/such", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("/", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("", O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open(none, O_CREAT, 0600, 1U), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("/v", O_CREAT, 0600, (unsigned)GREEN_SEM_VALUE_MAX + 1), GREEN_SEM_FAILED, EINVAL);
    assert_fails_as(green_sem_open("/v", 0), GREEN_SEM_FAILED, ENOENT);
    assert_fails_as(green_sem_open("/v", O_EXCL), GREEN_SEM_FAILED, ENOENT);
    cr_assert_neq(green_sem_open("/v", O_CREAT, 0600, 1U), GREEN_SEM_FAILED);
    assert_fails_as(green_sem_open("/v", O_CREAT | O_EXCL, 0600, 1U), GREEN_SEM_FAILED, EEXIST);
    assert_fails_as(green_sem_unlink("/w"), -1, ENOENT);
    green_sem_init(&unnamed, 0, 0);
    assert_fails_as(green_sem_close(&unnamed), -1, EINVAL);
    assert_fails_as(green_sem_close(no_sem), -1, EINVAL);
}

/* Many open, use, close and unlink the same few names. */
static atomic_long taken, given;

static void use(unsigned index, uint64_t round)
{
    const char *const names[] = {"/x", "/y"};
    const char *name = names[(index + round) % 2];
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

ON_BOTH(sem_named, come_and_go_under_ticks)
{
    storm(use);
    cr_assert_eq(atomic_load(&taken), atomic_load(&given));
    for (int i = 0; i < 2; i++) {
        green_sem_t *sem = green_sem_open(i ? "/x" : "/y", O_CREAT, 0600, 1U);
        cr_assert_eq(value_of(sem), 1);
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

/* However the names are at the fork, the child can use its own. */
ON_BOTH(sem_named, in_the_child_of_a_fork)
{
    atomic_bool over = false;
    int status;
    green_t other = spawn(keep_opening, &over);
    green_sem_t *sem = green_sem_open("/mine", O_CREAT, 0600, 5U);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            must(green_sem_open("/mine", 0) == sem && value_of(sem) == 5);
            must(green_sem_wait(sem) == 0);
            must(green_sem_unlink("/mine") == 0);
            _exit(7);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }
    atomic_store(&over, true);
    join_result(other);
    cr_assert_eq(value_of(sem), 5, "the child's value is its own");
}
#endif
