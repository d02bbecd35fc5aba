/* Cancellation points: files. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "cancel/point.h"

POINT(ssize_t, read, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes), SYS_read, fd, W(buffer), W(bytes))
POINT(ssize_t, write, (int fd, const void *buffer, size_t bytes), (fd, buffer, bytes), SYS_write, fd, W(buffer),
      W(bytes))
POINT(ssize_t, pread, (int fd, void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at), SYS_pread64, fd,
      W(buffer), W(bytes), at)
POINT(ssize_t, pread64, (int fd, void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at), SYS_pread64, fd,
      W(buffer), W(bytes), at)
POINT(ssize_t, pwrite, (int fd, const void *buffer, size_t bytes, off_t at), (fd, buffer, bytes, at), SYS_pwrite64, fd,
      W(buffer), W(bytes), at)
POINT(ssize_t, pwrite64, (int fd, const void *buffer, size_t bytes, off64_t at), (fd, buffer, bytes, at), SYS_pwrite64,
      fd, W(buffer), W(bytes), at)
POINT(ssize_t, readv, (int fd, const struct iovec *parts, int count), (fd, parts, count), SYS_readv, fd, W(parts),
      count)
POINT(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count), SYS_writev, fd, W(parts),
      count)
/* The offset is one word; the next is the high half of what a register does not hold. */
POINT(ssize_t, preadv, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at), SYS_preadv, fd,
      W(parts), count, at)
POINT(ssize_t, preadv64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at), SYS_preadv,
      fd, W(parts), count, at)
POINT(ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at), SYS_pwritev,
      fd, W(parts), count, at)
POINT(ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at),
      SYS_pwritev, fd, W(parts), count, at)

POINT(int, close, (int fd), (fd), SYS_close, fd)
POINT(int, fsync, (int fd), (fd), SYS_fsync, fd)
POINT(int, fdatasync, (int fd), (fd), SYS_fdatasync, fd)
POINT(int, msync, (void *low, size_t bytes, int flags), (low, bytes, flags), SYS_msync, W(low), W(bytes), flags)
POINT(int, tcdrain, (int fd), (fd), SYS_ioctl, fd, TCSBRK, 1)

POINT(int, creat, (const char *path, mode_t mode), (path, mode), SYS_openat, AT_FDCWD, W(path),
      O_CREAT | O_WRONLY | O_TRUNC, mode)
POINT(int, creat64, (const char *path, mode_t mode), (path, mode), SYS_openat, AT_FDCWD, W(path),
      O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode)

/* The mode is given when a file may be made. */
#define OPEN_MODE(mode, flags) \
    mode_t mode = 0; \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

#define POINT_OPEN(name, more) \
    POINT_LIBC(name) \
    POINT_API int name(const char *path, int flags, ...) \
    { \
        struct thread *self = point_self(); \
        OPEN_MODE(mode, flags) \
        if (!self) \
            return LIBC(name)(path, flags, mode); \
        return (int)point_call(self, CALL(SYS_openat, AT_FDCWD, W(path), flags | (more), mode)); \
    }

#define POINT_OPENAT(name, more) \
    POINT_LIBC(name) \
    POINT_API int name(int folder, const char *path, int flags, ...) \
    { \
        struct thread *self = point_self(); \
        OPEN_MODE(mode, flags) \
        if (!self) \
            return LIBC(name)(folder, path, flags, mode); \
        return (int)point_call(self, CALL(SYS_openat, folder, W(path), flags | (more), mode)); \
    }

POINT_OPEN(open, 0)
POINT_OPEN(open64, O_LARGEFILE)
POINT_OPENAT(openat, 0)
POINT_OPENAT(openat64, O_LARGEFILE)

static bool waits_for_lock(int command)
{
    return command == F_SETLKW || command == F_OFD_SETLKW;
}

#define POINT_FCNTL(name) \
    POINT_LIBC(name) \
    POINT_API int name(int fd, int command, ...) \
    { \
        struct thread *self = waits_for_lock(command) ? point_self() : NULL; \
        va_list list; \
        va_start(list, command); \
        void *argument = va_arg(list, void *); \
        va_end(list); \
        if (!self) \
            return LIBC(name)(fd, command, argument); \
        return (int)point_call(self, CALL(SYS_fcntl, fd, command, W(argument))); \
    }

POINT_FCNTL(fcntl)
POINT_FCNTL(fcntl64)

static int lock_here(struct thread *self, int fd, off_t bytes)
{
    const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_len = bytes};

    return (int)point_call(self, CALL(SYS_fcntl, fd, F_SETLKW, W(&lock)));
}

#define POINT_LOCKF(name, offset) \
    POINT_LIBC(name) \
    POINT_API int name(int fd, int command, offset bytes) \
    { \
        struct thread *self = command == F_LOCK ? point_self() : NULL; \
        return self ? lock_here(self, fd, bytes) : LIBC(name)(fd, command, bytes); \
    }

POINT_LOCKF(lockf, off_t)
POINT_LOCKF(lockf64, off64_t)
