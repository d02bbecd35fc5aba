/* See barrier.h. */
#include "base/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

static bool membarrier_works;
static void *page; /* where it does not: taking a permission away interrupts every CPU that runs us */

void heavy_barrier_init(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0) {
        membarrier_works = true;
        return;
    }
    page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        fatal("no memory at the start");
}

static void barrier_by_page(void)
{
    mprotect(page, 1, PROT_READ | PROT_WRITE);
    *(volatile char *)page = 1;
    mprotect(page, 1, PROT_READ);
}

void heavy_barrier(void)
{
    int saved_errno = errno;

    if (membarrier_works)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    else
        barrier_by_page();
    errno = saved_errno;
}
