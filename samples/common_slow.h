/*
 * Memory and files whose page faults take long, for real: what the samples about blocking need of the system.
 *
 * Every page is filled with one value, slow_value(page).  The processes that serve the faults end with their parent,
 * whatever ends that one, and leave neither a mount nor a file.
 */
#ifndef SAMPLES_COMMON_SLOW_H
#define SAMPLES_COMMON_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PAGE_BYTES 4096u

unsigned char slow_value(size_t page);

/*
 * A FUSE file of so many pages, open for reading; each page is read by itself and answered after `delay_ms`.  -1 and
 * errno when the system does not let us have one.  *server is the process that answers, until slow_end(*server).
 */
int slow_file(size_t pages, unsigned delay_ms, pid_t *server);

/*
 * Anonymous memory of this process, of so many pages, filled by userfaultfd, each page after `delay_ms`.  NULL and
 * errno when not permitted.  *user_only: faults inside system calls, as green_prefault() makes them, are not served.
 * Before the library is started.
 */
unsigned char *slow_memory(size_t pages, unsigned delay_ms, pid_t *server, bool *user_only);

void slow_end(pid_t server);

/*
 * A file on a disk, open and without a name, of so many pages.  Its pages are on the disk and can be dropped from the
 * page cache by cold_file_drop(), which tells whether that worked.  -1 and errno when it cannot be made.
 */
int cold_file(size_t pages);
bool cold_file_drop(int file, size_t pages);

#endif
