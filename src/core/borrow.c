/*
 * Stacks that are not from the pool: the program's (green_attr_setstack), and those with a guard larger than a page.
 *
 * Such a thread is a structure of the pool's smallest class, whose own stack lies idle meanwhile: its TLS block lies at
 * the top of that one.  So the whole of the program's stack is the thread's, a TLS block is never in memory that the
 * program may free (blocks live for ever: see tls.h), and what is pooled when the thread has ended is the structure
 * with its own stack and never the program's.  It costs 16 KiB of addresses and the pages of the block.
 *
 * Rejected: the block at the top of the program's stack, as libc places it.  It would have to be taken down at the end,
 * with what malloc keeps in it, and would take a third of the smallest stack.
 *
 * A stack with a guard of its own is mapped when its thread is created and unmapped when it has ended.  Kept in the
 * pool, it would have to be looked for by two sizes, for a case that hardly occurs.
 */
#include "core/borrow.h"

#include "base/annotate.h"
#include "mem/tls.h"

bool stack_is_borrowed(const green_attr_t *attr)
{
    return attr->__stack_addr || attr->__guard_bytes > stack_page_bytes();
}

int stack_borrow(struct thread *thread, const green_attr_t *attr)
{
    struct stack stack = {attr->__stack_addr, attr->__stack_bytes, 0};

    if (!attr->__stack_addr) {
        int error = stack_map_alone(attr->__stack_bytes, attr->__guard_bytes, &stack);
        if (error)
            return error;
    }
    thread->borrowed = attr->__stack_addr ? STACK_PROGRAM : STACK_ALONE;
    thread->own_stack = thread->stack;
    thread->stack = stack;
    thread->stack_top = (char *)stack.low + stack.bytes;
    thread->stack_note = annotate_stack(stack.low, stack.bytes);
    annotate_stack_reuse(stack.low, stack.bytes); /* another thread may have left it */
    annotate_stack_reuse(thread->own_stack.low, thread->own_stack.bytes); /* its block, too */
    return 0;
}

void stack_return(struct thread *thread)
{
    annotate_stack_gone(thread->stack_note, thread->stack.low, thread->stack.bytes);
    annotate_stack_reuse(thread->stack.low, thread->stack.bytes);
    if (thread->borrowed == STACK_ALONE)
        stack_unmap(&thread->stack);
    thread->stack = thread->own_stack;
    thread->stack_top = tls_stack_top(thread->context.tls);
    thread->borrowed = STACK_OWN;
}
