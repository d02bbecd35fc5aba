/*
 * Named semaphores of this process.
 *
 * A list under a mutex of ours, as calls allocate.  A semaphore is on it while it has a name or somebody has it open;
 * the name is taken away by unlink, and the next open of it makes another one.  In the child of a fork the list is as
 * it was at the fork, each change being the store of one pointer or number; the mutex is new, as its holder is not
 * there.
 */
#include "sync/sem_named.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <green/sync.h>

enum { NAME_MOST = NAME_MAX - 4 }; /* as glibc has it, which needs room for "sem." */

struct named {
    green_sem_t sem; /* first: what the program has */
    struct named *next;
    unsigned opened;
    bool unlinked;
    char name[];
};

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;
static struct named *all; /* guarded by the mutex, as are all that are on it */

void sem_named_fork_reset(void)
{
    green_mutex_init(&mutex, NULL);
}

/* The name without its slash, or NULL and *error. */
static const char *bare(const char *name, int *error)
{
    *error = EINVAL;
    if (!name)
        return NULL;
    if (*name == '/')
        name++;
    if (*name == '\0' || strchr(name, '/'))
        return NULL;
    *error = ENAMETOOLONG;
    return strlen(name) > NAME_MOST ? NULL : name;
}

static struct named *find(const char *name)
{
    struct named *named = all;

    while (named && (named->unlinked || strcmp(named->name, name) != 0))
        named = named->next;
    return named;
}

static void forget_if_unused(struct named *named)
{
    struct named **at = &all;

    if (named->opened > 0 || !named->unlinked)
        return;
    while (*at != named)
        at = &(*at)->next;
    *at = named->next;
    green_sem_destroy(&named->sem);
    free(named);
}

static struct named *make(const char *name, unsigned value, int *error)
{
    struct named *named = malloc(sizeof *named + strlen(name) + 1);

    *error = ENOMEM;
    if (!named)
        return NULL;
    memset(named, 0, sizeof *named);
    strcpy(named->name, name);
    if (green_sem_init(&named->sem, 0, value) != 0) {
        *error = errno;
        free(named);
        return NULL;
    }
    named->next = all;
    all = named;
    return named;
}

static struct named *open_locked(const char *name, int flags, unsigned value, int *error)
{
    struct named *named = find(name);

    if (named && flags & O_CREAT && flags & O_EXCL) {
        *error = EEXIST;
        return NULL;
    }
    if (!named && !(flags & O_CREAT)) {
        *error = ENOENT;
        return NULL;
    }
    if (!named)
        named = make(name, value, error);
    if (named)
        named->opened++;
    return named;
}

green_sem_t *green_sem_open(const char *name, int flags, ...)
{
    unsigned value = 0;
    int error;

    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        (void)va_arg(args, mode_t);
        value = va_arg(args, unsigned);
        va_end(args);
    }
    const char *name_bare = bare(name, &error);
    struct named *named = NULL;
    if (name_bare) {
        error = green_mutex_lock(&mutex);
        if (!error) {
            named = open_locked(name_bare, flags, value, &error);
            green_mutex_unlock(&mutex);
        }
    }
    if (!named)
        errno = error;
    return named ? &named->sem : GREEN_SEM_FAILED;
}

static int close_locked(const green_sem_t *sem)
{
    struct named *named = all;

    while (named && &named->sem != sem)
        named = named->next;
    if (!named || named->opened == 0)
        return EINVAL;
    named->opened--;
    forget_if_unused(named);
    return 0;
}

static int unlink_locked(const char *name)
{
    struct named *named = find(name);

    if (!named)
        return ENOENT;
    named->unlinked = true;
    forget_if_unused(named);
    return 0;
}

static int fail(int error)
{
    if (error)
        errno = error;
    return error ? -1 : 0;
}

int green_sem_close(green_sem_t *sem)
{
    int error = sem ? green_mutex_lock(&mutex) : EINVAL;

    if (error)
        return fail(error);
    error = close_locked(sem);
    green_mutex_unlock(&mutex);
    return fail(error);
}

int green_sem_unlink(const char *name)
{
    int error;
    const char *name_bare = bare(name, &error);

    if (!name_bare)
        return fail(error == EINVAL ? ENOENT : error); /* POSIX knows no EINVAL here: there is none of that name */
    error = green_mutex_lock(&mutex);
    if (error)
        return fail(error);
    error = unlink_locked(name_bare);
    green_mutex_unlock(&mutex);
    return fail(error);
}
