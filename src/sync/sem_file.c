/*
 * The files that named semaphores are: in /dev/shm, where libc has its own, each the memory of a semaphore that is shared
 * between processes, and a mark that says so.
 *
 * A file gets its name when it is complete: it is made under another one, and linked.  So who finds one can use it, and of
 * two who make the same one, one does.  Names begin with PREFIX, as long as libc's "sem.": a name may be as long as for
 * libc, and a libc semaphore of the same name is another.  What is half made begins otherwise.
 *
 * System calls are made directly where libc has cancellation points: whoever calls has a lock.
 */
#include "sync/sem_file.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER "/dev/shm/"
#define PREFIX "grn."
#define PREFIX_MAKING "grn-"
enum { PATH_BYTES = sizeof FOLDER + NAME_MAX };

_Static_assert(sizeof PREFIX - 1 + SEM_NAME_MOST == NAME_MAX, "the longest name has room in a file's");

struct file {
    green_sem_t sem; /* first: what the program has */
    char mark[16];
};

static const char mark[sizeof ((struct file *)0)->mark] = "libgreen sem 1";

static void path_of(char path[PATH_BYTES], const char *name)
{
    stpcpy(stpcpy(path, FOLDER PREFIX), name);
}

static int open_raw(const char *path, int flags, mode_t mode, int *fd)
{
    const long result = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, mode);

    *fd = (int)result;
    return result < 0 ? errno : 0;
}

void sem_file_close(int fd)
{
    syscall(SYS_close, fd);
}

/* A name that nobody has: what a process left that was killed here has one, too. */
static int open_new(char path[PATH_BYTES], mode_t mode, int *fd)
{
    static _Atomic unsigned number;
    int error;

    do {
        snprintf(path, PATH_BYTES, FOLDER PREFIX_MAKING "%d.%u", (int)getpid(), atomic_fetch_add(&number, 1));
        error = open_raw(path, O_CREAT | O_EXCL, mode, fd);
    } while (error == EEXIST);
    return error == ENOENT ? ENOSYS : error; /* without the folder there are no such semaphores */
}

static int fill(int fd, const struct file *file)
{
    const long result = syscall(SYS_write, fd, file, sizeof *file);

    if (result == sizeof *file)
        return 0;
    return result < 0 ? errno : ENOSPC;
}

static int make(const char *path, mode_t mode, unsigned value, int *fd)
{
    char path_making[PATH_BYTES];
    struct file file;

    memset(&file, 0, sizeof file);
    memcpy(file.mark, mark, sizeof mark);
    if (green_sem_init(&file.sem, 1, value) != 0)
        return errno;
    int error = open_new(path_making, mode, fd);
    if (error)
        return error;
    error = fill(*fd, &file);
    if (!error && link(path_making, path) != 0)
        error = errno;
    unlink(path_making);
    if (error)
        sem_file_close(*fd);
    return error;
}

static int find_or_make(const char *path, int flags, mode_t mode, unsigned value, int *fd)
{
    const bool makes = flags & O_CREAT, only_makes = makes && flags & O_EXCL;
    int error = ENOENT;

    for (;;) {
        if (!only_makes)
            error = open_raw(path, 0, 0, fd);
        if (error != ENOENT || !makes)
            return error;
        error = make(path, mode, value, fd);
        if (error != EEXIST || only_makes)
            return error;
    }
}

int sem_file_open(const char *name, int flags, mode_t mode, unsigned value, int *fd, struct stat *status)
{
    char path[PATH_BYTES];

    path_of(path, name);
    int error = find_or_make(path, flags, mode, value, fd);
    if (error)
        return error == EISDIR ? EINVAL : error;
    if (fstat(*fd, status) != 0)
        error = errno;
    else if (!S_ISREG(status->st_mode) || status->st_size != sizeof(struct file))
        error = EINVAL;
    if (error)
        sem_file_close(*fd);
    return error;
}

int sem_file_map(int fd, green_sem_t **sem)
{
    struct file *file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (file == MAP_FAILED)
        return errno;
    *sem = &file->sem;
    if (memcmp(file->mark, mark, sizeof mark) == 0)
        return 0;
    sem_file_unmap(*sem);
    return EINVAL;
}

void sem_file_unmap(green_sem_t *sem)
{
    munmap(sem, sizeof(struct file));
}

int sem_file_unlink(const char *name)
{
    char path[PATH_BYTES];

    path_of(path, name);
    if (unlink(path) == 0)
        return 0;
    return errno == EPERM ? EACCES : errno; /* the folder lets its owner alone do it */
}
