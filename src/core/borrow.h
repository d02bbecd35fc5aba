/* Threads on a stack other than their structure's own.  See borrow.c. */
#ifndef BORROW_H
#define BORROW_H

#include "core/thread.h"

/* Whether the attributes ask for what the stacks of the pool are not. */
bool stack_is_borrowed(const green_attr_t *attr);

/* Put a thread that has not begun on the stack of the attributes: 0, ENOMEM or EAGAIN.  At depth > 0. */
int stack_borrow(struct thread *thread, const green_attr_t *attr);

/* It has ended and is off that stack, which it leaves for its own.  At depth > 0. */
void stack_return(struct thread *thread);

#endif
