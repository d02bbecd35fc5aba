/* Stack slabs.  See stack.h. */
#include "mem/stack.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/lock.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { SLAB_SLOTS = 64, STACK_KEPT = 8192 };

/* What is left of the newest slab of each class; guarded by slab_lock. */
static struct {
    char *next;
    size_t slots;
} slabs[STACK_CLASSES];

static struct lock slab_lock;

size_t stack_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

unsigned stack_class(size_t bytes)
{
    unsigned class = 0;

    while ((STACK_CLASS_MIN << class) < bytes || (STACK_CLASS_MIN << class) < annotate_stack_least())
        class++;
    return class;
}

/* Map the largest slab there is room for.  Called with slab_lock held. */
static int slab_map(unsigned class, size_t slot)
{
    for (size_t slots = SLAB_SLOTS; slots > 0; slots /= 2) {
        if (slot > SIZE_MAX / slots)
            continue;
        void *slab = mmap(NULL, slots * slot, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (slab != MAP_FAILED) {
            madvise(slab, slots * slot, MADV_NOHUGEPAGE);
            slabs[class].next = slab;
            slabs[class].slots = slots;
            return 0;
        }
    }
    return ENOMEM;
}

static int guard_install(void *page, size_t bytes)
{
    if (madvise(page, bytes, MADV_GUARD_INSTALL) == 0 || mprotect(page, bytes, PROT_NONE) == 0)
        return 0;
    return EAGAIN;
}

int stack_map(unsigned class, size_t reserve, struct stack *stack)
{
    size_t guard = stack_page_bytes();
    size_t slot = guard + round_up((STACK_CLASS_MIN << class) + reserve, guard);
    char *low = NULL;
    int error = 0;

    lock_acquire(&slab_lock, RANK_SLAB);
    if (slabs[class].slots == 0)
        error = slab_map(class, slot);
    if (error == 0)
        error = guard_install(slabs[class].next, guard);
    if (error == 0) {
        low = slabs[class].next + guard;
        slabs[class].next += slot;
        slabs[class].slots--;
    }
    lock_release(&slab_lock, RANK_SLAB);
    if (error)
        return error;
    stack->low = low;
    stack->bytes = slot - guard;
    stack->guard = guard;
    annotate_stack(stack->low, stack->bytes);
    return 0;
}

int stack_map_alone(size_t bytes, size_t guard, struct stack *stack)
{
    const size_t page = stack_page_bytes();

    stack->bytes = round_up(bytes, page);
    stack->guard = round_up(guard, page);
    char *low = mmap(NULL, stack->guard + stack->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (low == MAP_FAILED)
        return ENOMEM;
    stack->low = low + stack->guard;
    int error = guard_install(low, stack->guard);
    if (error)
        stack_unmap(stack);
    return error;
}

void stack_unmap(const struct stack *stack)
{
    munmap((char *)stack->low - stack->guard, stack->guard + stack->bytes);
}

void stack_trim(const struct stack *stack, const void *top)
{
    uintptr_t low = (uintptr_t)stack->low, end = (uintptr_t)top / stack_page_bytes() * stack_page_bytes();

    if (end > low + STACK_KEPT)
        madvise(stack->low, end - STACK_KEPT - low, MADV_DONTNEED);
}

bool stack_in_guard(const struct stack *stack, const void *address)
{
    uintptr_t low = (uintptr_t)stack->low, at = (uintptr_t)address;

    return at < low && low - at <= stack->guard;
}

void stack_fork_reset(void)
{
    for (unsigned class = 0; class < STACK_CLASSES; class++)
        slabs[class].slots = 0;
    slab_lock.word = 0;
}
