/*
 * Bringing pages in by system calls, which answer with an error number where an access would raise SIGSEGV or SIGBUS.
 *
 * Looking.  mincore() alone is not to be trusted: it calls every page of a file present that the process neither owns
 * nor may write (256 of 256 pages of a file whose cache was empty).  So what it calls present is looked up in the
 * process's own page table, by /proc/self/pagemap; a page that has an entry there can be read without waiting.  A
 * page of a file that is in the cache but not in the table passes for missing, which costs a wake-up of a helper and
 * saves its faults.  mincore() is asked first because it takes 1 us, and pagemap's open, read and close 5; and where
 * there is no /proc, its word is taken.
 *
 * Bringing.  MADV_POPULATE_WRITE for private writable anonymous memory, which then is memory of its own and not the
 * shared page of zeros; MADV_POPULATE_READ for everything else.  Writing was rejected for shared mappings, whose file
 * it makes dirty, and for private mappings of files, all of which it would copy, whatever the program goes on to
 * write.  Kernels before 5.14 know neither: there a byte of every page is read by process_vm_readv().
 *
 * Nothing here calls malloc or stdio, and no more than 4 KB of stack is taken.
 */
#include "mem/populate.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/plain.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* Pages looked at or read at a time. */
enum { CHUNK = 256, BATCH = 64 };

/* The part of a line of /proc/self/maps up to the inode's number fits. */
enum { LINE_BYTES = 128 };

static const uint64_t PAGEMAP_PRESENT = UINT64_C(1) << 63;

static uintptr_t page_bytes(void)
{
    return (uintptr_t)getpagesize();
}

static void *pointer(uintptr_t address)
{
    return (void *)address;
}

/* A byte of each page, for nothing but the fault. */
static int read_each(uintptr_t at, uintptr_t end)
{
    struct iovec from[BATCH];
    char sink[BATCH];

    while (at < end) {
        size_t count = 0;
        for (; count < BATCH && at < end; at += page_bytes())
            from[count++] = (struct iovec){pointer(at), 1};
        ssize_t got = process_vm_readv(getpid(), &(struct iovec){sink, count}, 1, from, count, 0);
        if (got < 0 && errno != EFAULT)
            return ENOMEM; /* not permitted: nothing can be brought in */
        if (got != (ssize_t)count)
            return EFAULT;
    }
    return 0;
}

static bool kernel_populates(void)
{
    return madvise(pointer(page_bytes()), 0, MADV_POPULATE_READ) == 0;
}

/* 0, ENOMEM, EFAULT, or EINVAL: not readable, or not made of pages. */
static int advise(uintptr_t at, uintptr_t end, int advice)
{
    if (madvise(pointer(at), end - at, advice) == 0)
        return 0;
    if (errno == EINVAL)
        return kernel_populates() ? EINVAL : read_each(at, end);
    return errno == ENOMEM ? ENOMEM : EFAULT; /* beyond the end of its file, a guard, a broken page */
}

/* Whether so many pages have entries in the page table; where that cannot be known, `otherwise`. */
static bool have_entries(uintptr_t at, size_t count, bool otherwise)
{
    uint64_t entries[CHUNK];
    const ssize_t bytes = (ssize_t)(count * sizeof *entries);
    int pagemap = plain_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (pagemap < 0)
        return otherwise;
    bool readable = plain_pread(pagemap, entries, (size_t)bytes, (off_t)(at / page_bytes() * sizeof *entries)) == bytes;
    plain_close(pagemap);
    if (!readable)
        return otherwise;
    for (size_t i = 0; i < count; i++)
        if (!(entries[i] & PAGEMAP_PRESENT))
            return false;
    return true;
}

bool populate_look(uintptr_t *at, uintptr_t end, int *error)
{
    unsigned char in_core[CHUNK];

    while (*at < end) {
        size_t count = (end - *at) / page_bytes();
        if (count > CHUNK)
            count = CHUNK;
        if (mincore(pointer(*at), count * page_bytes(), in_core) != 0) {
            *error = ENOMEM;
            return errno == ENOMEM;
        }
        for (size_t i = 0; i < count; i++)
            if (!(in_core[i] & 1))
                return false;
        if (!have_entries(*at, count, true) || advise(*at, *at + count * page_bytes(), MADV_POPULATE_READ) != 0)
            return false;
        *at += count * page_bytes();
    }
    *error = 0;
    return true;
}

struct mapping {
    uintptr_t start;
    uintptr_t end;
    bool readable;
    bool anonymous; /* private and writable, too */
};

/* "7f52...-7f53... rw-p 00000000 00:00 0", and perhaps a name. */
static bool mapping_parse(const char *line, struct mapping *mapping)
{
    char *rest;

    mapping->start = strtoul(line, &rest, 16);
    if (*rest != '-')
        return false;
    mapping->end = strtoul(rest + 1, &rest, 16);
    if (strnlen(rest, 6) < 6)
        return false;
    const char *rights = rest + 1;
    strtoul(rest + 6, &rest, 16); /* offset */
    strtoul(rest, &rest, 16);     /* device */
    strtoul(rest + (*rest == ':'), &rest, 16);
    mapping->readable = rights[0] == 'r';
    mapping->anonymous = rights[1] == 'w' && rights[3] == 'p' && strtoul(rest, NULL, 10) == 0;
    return true;
}

/* Lines of a file, cut to what is of interest. */
struct lines {
    int file;
    size_t filled, next;
    char buffer[1024];
    char line[LINE_BYTES];
};

static bool lines_next(struct lines *lines)
{
    size_t used = 0;

    for (;;) {
        if (lines->next == lines->filled) {
            ssize_t got = plain_read(lines->file, lines->buffer, sizeof lines->buffer);
            if (got <= 0)
                return false;
            lines->filled = (size_t)got;
            lines->next = 0;
        }
        char c = lines->buffer[lines->next++];
        if (c == '\n')
            break;
        if (used < LINE_BYTES - 1)
            lines->line[used++] = c;
    }
    lines->line[used] = '\0';
    return true;
}

static int populate_mapping(const struct mapping *mapping, uintptr_t at, uintptr_t end)
{
    if (!mapping->readable)
        return EFAULT;
    int error = advise(at, end, mapping->anonymous ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    return error == EINVAL ? 0 : error; /* the kernel's own or a device's: there are no pages to wait for */
}

/* Mappings may change while the list is read; a line may then come twice, in part, but none that lasts is left out. */
static int populate_listed(struct lines *lines, uintptr_t at, uintptr_t end)
{
    struct mapping mapping;

    while (at < end && lines_next(lines)) {
        if (!mapping_parse(lines->line, &mapping) || mapping.end <= at)
            continue;
        if (mapping.start > at)
            return ENOMEM;
        uintptr_t until = mapping.end < end ? mapping.end : end;
        int error = populate_mapping(&mapping, at, until);
        if (error)
            return error;
        at = until;
    }
    return at < end ? ENOMEM : 0;
}

int populate(uintptr_t at, uintptr_t end)
{
    struct lines lines = {.file = plain_open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};

    if (lines.file < 0) {
        int error = advise(at, end, MADV_POPULATE_READ);
        return error == EINVAL ? EFAULT : error;
    }
    int error = populate_listed(&lines, at, end);
    plain_close(lines.file);
    return error;
}
