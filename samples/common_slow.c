/*
 * See common_slow.h.
 *
 * The FUSE server speaks the kernel's protocol itself: a file system of one file is less code than the use of a
 * library, and nothing has to be installed.  It mounts in a mount namespace of its own, over /dev/fuse, the one path
 * that certainly exists there; others reach the file by /proc/PID/root.  So nobody else sees the mount, and when the
 * server ends, by whatever signal, the kernel takes it away: there is nothing that could be forgotten on some way out.
 */
#define _GNU_SOURCE 1 /* unshare, O_TMPFILE */
#include "common_slow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

unsigned char slow_value(size_t page)
{
    return (unsigned char)(1 + page % 250);
}

static void wait_ms(unsigned ms)
{
    struct timespec rest = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

/* fork() of a process that ends with its parent. */
static pid_t fork_server(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(1);
    }
    return child;
}

void slow_end(pid_t server)
{
    kill(server, SIGKILL);
    while (waitpid(server, NULL, 0) < 0 && errno == EINTR) {
    }
}

/*
 * A file by FUSE.
 */
struct server {
    int device;
    size_t pages;
    unsigned delay_ms;
};

static void answer(const struct server *server, const struct fuse_in_header *in, int error, const void *data,
                   size_t bytes)
{
    struct {
        struct fuse_out_header header;
        char data[PAGE_BYTES];
    } out = {.header = {.len = (uint32_t)(sizeof out.header + bytes), .error = -error, .unique = in->unique}};
    memcpy(out.data, data, bytes);
    if (write(server->device, &out, out.header.len) < 0 && errno != ENOENT) { /* ENOENT: nobody waits any more */
        _exit(1);
    }
}

static void answer_attributes(const struct server *server, const struct fuse_in_header *in)
{
    struct fuse_attr_out out = {.attr_valid = 3600,
                                .attr = {.ino = FUSE_ROOT_ID,
                                         .size = server->pages * PAGE_BYTES,
                                         .mode = S_IFREG | 0444,
                                         .nlink = 1,
                                         .blksize = PAGE_BYTES}};
    answer(server, in, 0, &out, sizeof out);
}

static void answer_read(const struct server *server, const struct fuse_in_header *in, const struct fuse_read_in *want)
{
    unsigned char page[PAGE_BYTES];
    size_t bytes = want->size < sizeof page ? want->size : sizeof page;
    wait_ms(server->delay_ms);
    memset(page, slow_value(want->offset / PAGE_BYTES), bytes);
    answer(server, in, 0, page, bytes);
}

static void answer_one(const struct server *server, const struct fuse_in_header *in)
{
    const struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
                                       .minor = FUSE_KERNEL_MINOR_VERSION,
                                       .max_readahead = 0, /* a page at a time */
                                       .max_write = PAGE_BYTES,
                                       .time_gran = 1};
    const struct fuse_open_out opened = {.fh = 0};
    switch (in->opcode) {
    case FUSE_INIT: answer(server, in, 0, &init, sizeof init); return;
    case FUSE_GETATTR: answer_attributes(server, in); return;
    case FUSE_OPEN: answer(server, in, 0, &opened, sizeof opened); return;
    case FUSE_READ: answer_read(server, in, (const void *)(in + 1)); return;
    case FUSE_RELEASE: answer(server, in, 0, "", 0); return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET: return;
    default: answer(server, in, ENOSYS, "", 0); return;
    }
}

static void serve_file(const struct server *server)
{
    static _Alignas(8) char request[16384];
    for (;;) {
        ssize_t got = read(server->device, request, sizeof request);
        if (got >= (ssize_t)sizeof(struct fuse_in_header)) {
            answer_one(server, (const void *)request);
        } else if (got >= 0 || (errno != EINTR && errno != EAGAIN && errno != ENOENT)) {
            return;
        }
    }
}

static void write_text(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        if (write(file, text, strlen(text)) < 0) {
            perror(path);
        }
        close(file);
    }
}

/* A mount namespace of our own; who is not root needs a user namespace for it, in which to be root. */
static int own_namespace(void)
{
    char map[64];
    if (unshare(CLONE_NEWNS) == 0) {
        return 0;
    }
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return errno;
    }
    snprintf(map, sizeof map, "0 %u 1", user);
    write_text("/proc/self/uid_map", map);
    write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %u 1", group);
    write_text("/proc/self/gid_map", map);
    return 0;
}

/* In the server: 0 when the file is there. */
static int mount_file(struct server *server)
{
    char options[128];
    int error = own_namespace();
    if (error) {
        return error;
    }
    server->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (server->device < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) {
        return errno;
    }
    snprintf(options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0", server->device, S_IFREG | 0444);
    return mount("slow", "/dev/fuse", "fuse", MS_RDONLY | MS_NOSUID | MS_NODEV, options) == 0 ? 0 : errno;
}

/* The kernel does not know the size of a file system's root before somebody asks for it, and to map it is not to ask. */
static int open_at_server(pid_t pid)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/root/dev/fuse", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0 && fstat(file, &status) != 0) {
        close(file);
        return -1;
    }
    return file;
}

int slow_file(size_t pages, unsigned delay_ms, pid_t *pid)
{
    struct server server = {.pages = pages, .delay_ms = delay_ms};
    int ends[2], error = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    *pid = fork_server();
    if (*pid == 0) {
        error = mount_file(&server);
        if (write(ends[1], &error, sizeof error) == sizeof error && !error) {
            serve_file(&server);
        }
        _exit(1);
    }
    close(ends[1]);
    if (*pid > 0 && read(ends[0], &error, sizeof error) != sizeof error) {
        error = EPIPE;
    }
    close(ends[0]);
    if (*pid < 0) {
        return -1;
    }
    int file = error ? -1 : open_at_server(*pid);
    if (file < 0) {
        error = error ? error : errno;
        slow_end(*pid);
        errno = error;
    }
    return file;
}

/*
 * Memory by userfaultfd.  The server is another process, so that the one that is measured has no thread for it.
 */
static void serve_memory(int uffd, size_t pages, uintptr_t memory, unsigned delay_ms)
{
    unsigned char content[PAGE_BYTES];
    struct uffd_msg message;
    while (read(uffd, &message, sizeof message) == sizeof message) {
        uintptr_t page = (message.arg.pagefault.address - memory) / PAGE_BYTES;
        if (message.event != UFFD_EVENT_PAGEFAULT || page >= pages) {
            continue;
        }
        wait_ms(delay_ms);
        memset(content, slow_value(page), sizeof content);
        struct uffdio_copy copy = {
            .dst = memory + page * PAGE_BYTES, .src = (uintptr_t)content, .len = PAGE_BYTES};
        if (ioctl(uffd, UFFDIO_COPY, &copy) != 0 && errno != EEXIST) {
            return;
        }
    }
}

static int userfaultfd_open(bool *user_only)
{
    int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    *user_only = uffd < 0;
    return uffd < 0 ? (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) : uffd;
}

unsigned char *slow_memory(size_t pages, unsigned delay_ms, pid_t *server, bool *user_only)
{
    const size_t bytes = pages * PAGE_BYTES;
    struct uffdio_api api = {.api = UFFD_API};
    int uffd = userfaultfd_open(user_only);
    if (uffd < 0) {
        return NULL;
    }
    unsigned char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct uffdio_register area = {.range = {(uintptr_t)memory, bytes}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    *server = -1;
    if (memory != MAP_FAILED && ioctl(uffd, UFFDIO_API, &api) == 0 && ioctl(uffd, UFFDIO_REGISTER, &area) == 0) {
        *server = fork_server();
    }
    if (*server == 0) {
        serve_memory(uffd, pages, (uintptr_t)memory, delay_ms);
        _exit(1);
    }
    int error = errno;
    close(uffd); /* the server has it */
    errno = error;
    return *server > 0 ? memory : NULL;
}

/*
 * A file on a disk.
 */
static int file_without_name(void)
{
    const char *const folders[] = {".", "/var/tmp"};
    int file = -1;
    for (size_t i = 0; i < 2 && file < 0; i++) {
        file = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    return file;
}

int cold_file(size_t pages)
{
    unsigned char page[PAGE_BYTES];
    int file = file_without_name();
    for (size_t i = 0; i < pages && file >= 0; i++) {
        memset(page, slow_value(i), sizeof page);
        if (write(file, page, sizeof page) != (ssize_t)sizeof page) {
            close(file);
            return -1;
        }
    }
    return file;
}

bool cold_file_drop(int file, size_t pages)
{
    unsigned char *in_core = malloc(pages), present = 0;
    void *memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ, MAP_SHARED, file, 0);
    bool looked = fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0 && in_core &&
                  memory != MAP_FAILED && mincore(memory, pages * PAGE_BYTES, in_core) == 0;
    for (size_t i = 0; i < pages && looked; i++) {
        present |= in_core[i] & 1;
    }
    if (memory != MAP_FAILED) {
        munmap(memory, pages * PAGE_BYTES);
    }
    free(in_core);
    return looked && !present;
}
