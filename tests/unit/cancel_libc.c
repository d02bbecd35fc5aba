/* See cancel_libc.h. */
#include "cancel_libc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/table.h"

char folder[] = "/tmp/green-cancel-XXXXXX";

int bound_listener(const char *name, int backlog, struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", folder, name);
    must(fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, backlog) == 0);
    return fd;
}

int client_of(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    must(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

static int sleeps(int tid)
{
    char path[64], text[256] = "";

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t bytes = read(fd, text, sizeof text - 1);
    must(close(fd) == 0);
    const char *state = bytes > 0 ? strrchr(text, ')') : NULL;
    return state && state[1] == ' ' && state[2] == 'S';
}

int is_blocked(green_t id)
{
    const struct thread *thread = table_find(id);

    if (!thread || !atomic_load(&thread->cancellable))
        return 0;
    const unsigned state = atomic_load(&thread->state);
    return state == THREAD_READY || state == THREAD_PARKED || sleeps(thread->worker->tid);
}

void pass(void *arg)
{
    (void)arg;
    atomic_fetch_add(&passed, 1);
}
