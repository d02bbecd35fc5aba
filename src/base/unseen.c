/*
 * What the library calls of libc where ThreadSanitizer must not look: the build with it puts these in libc's place.
 *
 * A tick may come anywhere, also within ThreadSanitizer's runtime while that changes what it keeps of the thread, and
 * its wrappers of libc's functions would do so once more.  And to it, what the library copies would be accesses that
 * nothing guards, as are its uses of file descriptors: it does not see the library's locks.
 */
#ifdef GREEN_TSAN

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void *unseen_memcpy(void *to, const void *from, size_t bytes);
void *unseen_memmove(void *to, const void *from, size_t bytes);
void *unseen_memset(void *to, int value, size_t bytes);
int unseen_ioctl(int fd, unsigned long request, ...);
int unseen_open(const char *path, int flags, ...);
int unseen_close(int fd);
ssize_t unseen_pread(int fd, void *memory, size_t bytes, off_t offset);
ssize_t unseen_writev(int fd, const struct iovec *parts, int count);
void *unseen_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
int unseen_munmap(void *at, size_t bytes);
int unseen_sigemptyset(sigset_t *set);
int unseen_sigfillset(sigset_t *set);
void *unseen_memchr(const void *memory, int byte, size_t bytes);
char *unseen_strchr(const char *text, int byte);
char *unseen_strrchr(const char *text, int byte);

/* Volatile, or compilers make a call of memcpy() of the loop, which is this one. */
void *unseen_memcpy(void *to, const void *from, size_t bytes)
{
    volatile unsigned char *at = to;
    const unsigned char *source = from;

    for (size_t i = 0; i < bytes; i++)
        at[i] = source[i];
    return to;
}

void *unseen_memmove(void *to, const void *from, size_t bytes)
{
    volatile unsigned char *at = to;
    const unsigned char *source = from;

    if ((uintptr_t)to - (uintptr_t)from >= bytes)
        return unseen_memcpy(to, from, bytes);
    for (size_t i = bytes; i-- > 0;)
        at[i] = source[i];
    return to;
}

void *unseen_memset(void *to, int value, size_t bytes)
{
    volatile unsigned char *at = to;

    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char)value;
    return to;
}

int unseen_ioctl(int fd, unsigned long request, ...)
{
    va_list list;

    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* Files of /proc, to read. */
int unseen_open(const char *path, int flags, ...)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);
}

int unseen_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

ssize_t unseen_pread(int fd, void *memory, size_t bytes, off_t offset)
{
    return syscall(SYS_pread64, fd, memory, bytes, offset);
}

/* Of the maker of workers, which must not wait for a lock that a thread without one has. */
ssize_t unseen_writev(int fd, const struct iovec *parts, int count)
{
    return syscall(SYS_writev, fd, parts, count);
}

void *unseen_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

int unseen_munmap(void *at, size_t bytes)
{
    return (int)syscall(SYS_munmap, at, bytes);
}

int unseen_sigemptyset(sigset_t *set)
{
    unseen_memset(set, 0, sizeof *set);
    return 0;
}

/* All but libc's own two, 32 and 33, as libc's does. */
int unseen_sigfillset(sigset_t *set)
{
    unseen_memset(set, 0xff, sizeof *set);
    *(unsigned long *)(void *)set &= ~(3UL << 31);
    return 0;
}

/* Of the monitor, which reads /proc: it must not wait for what a thread has that is to be given a processor. */
void *unseen_memchr(const void *memory, int byte, size_t bytes)
{
    const unsigned char *at = memory;

    for (size_t i = 0; i < bytes; i++)
        if (at[i] == (unsigned char)byte)
            return (void *)(uintptr_t)&at[i];
    return NULL;
}

char *unseen_strchr(const char *text, int byte)
{
    for (; *text != (char)byte; text++)
        if (!*text)
            return NULL;
    return (char *)(uintptr_t)text;
}

char *unseen_strrchr(const char *text, int byte)
{
    const char *last = NULL;

    do
        if (*text == (char)byte)
            last = text;
    while (*text++);
    return (char *)(uintptr_t)last;
}

#endif
