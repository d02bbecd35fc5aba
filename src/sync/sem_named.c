/*
 * Named semaphores: which of them this process has open.
 *
 * Who opens a name twice gets the same address.  So there is a list of what is mapped, by the files' numbers, which are
 * the file's alone for as long as it is mapped; a name may be another file's by then.  It is under a mutex of ours, as
 * calls allocate.  In the child of a fork the list is as it was at the fork, each change being the store of one pointer
 * or number, and what is mapped is shared with the parent; the mutex is new, as its holder is not there.
 */
#include "sync/sem_named.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sync/sem_file.h"

struct named {
    struct named *next;
    green_sem_t *sem;
    unsigned opened;
    dev_t device;
    ino_t number;
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
    return strlen(name) > SEM_NAME_MOST ? NULL : name;
}

static struct named *find(const struct stat *status)
{
    struct named *named = all;

    while (named && (named->device != status->st_dev || named->number != status->st_ino))
        named = named->next;
    return named;
}

static void forget_if_unused(struct named *named)
{
    struct named **at = &all;

    if (named->opened > 0)
        return;
    while (*at != named)
        at = &(*at)->next;
    *at = named->next;
    sem_file_unmap(named->sem);
    free(named);
}

static struct named *map(int fd, const struct stat *status, int *error)
{
    struct named *named = malloc(sizeof *named);

    *error = ENOMEM;
    if (!named)
        return NULL;
    *named = (struct named){.next = all, .device = status->st_dev, .number = status->st_ino};
    *error = sem_file_map(fd, &named->sem);
    if (*error) {
        free(named);
        return NULL;
    }
    all = named;
    return named;
}

static struct named *open_locked(const char *name, int flags, mode_t mode, unsigned value, int *error)
{
    struct stat status;
    int fd;

    *error = sem_file_open(name, flags, mode, value, &fd, &status);
    if (*error)
        return NULL;
    struct named *named = find(&status);
    if (!named)
        named = map(fd, &status, error);
    sem_file_close(fd);
    if (named)
        named->opened++;
    return named;
}

green_sem_t *green_sem_open(const char *name, int flags, ...)
{
    mode_t mode = 0;
    unsigned value = 0;
    int error;

    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        value = va_arg(args, unsigned);
        va_end(args);
    }
    const char *name_bare = bare(name, &error);
    struct named *named = NULL;
    if (name_bare) {
        error = green_mutex_lock(&mutex);
        if (!error) {
            named = open_locked(name_bare, flags, mode, value, &error);
            green_mutex_unlock(&mutex);
        }
    }
    if (!named)
        errno = error;
    return named ? named->sem : GREEN_SEM_FAILED;
}

static int close_locked(const green_sem_t *sem)
{
    struct named *named = all;

    while (named && named->sem != sem)
        named = named->next;
    if (!named || named->opened == 0)
        return EINVAL;
    named->opened--;
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
    return fail(sem_file_unlink(name_bare));
}
