/* The files that named semaphores are.  See sem_file.c. */
#ifndef SEM_FILE_H
#define SEM_FILE_H

#include <limits.h>
#include <sys/stat.h>

#include <green/sync.h>

enum { SEM_NAME_MOST = NAME_MAX - 4 };

/* By a name without a slash.  0, the descriptor and what it is of; or an error number. */
int sem_file_open(const char *name, int flags, mode_t mode, unsigned value, int *fd, struct stat *status);
void sem_file_close(int fd);

/* 0, or EINVAL: it is no semaphore; or another error. */
int sem_file_map(int fd, green_sem_t **sem);
void sem_file_unmap(green_sem_t *sem);

int sem_file_unlink(const char *name);

#endif
