/*
 * Files, for the library's own use at depth 0: under libc's names these calls are cancellation points (cancel/point.h),
 * and may be the program's.  -1 and errno, as libc's.
 */
#ifndef PLAIN_H
#define PLAIN_H

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline int plain_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags);
}

static inline int plain_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static inline ssize_t plain_read(int fd, void *buffer, size_t bytes)
{
    return syscall(SYS_read, fd, buffer, bytes);
}

static inline ssize_t plain_pread(int fd, void *buffer, size_t bytes, off_t at)
{
    return syscall(SYS_pread64, fd, buffer, bytes, at);
}

static inline ssize_t plain_write(int fd, const void *buffer, size_t bytes)
{
    return syscall(SYS_write, fd, buffer, bytes);
}

#endif
