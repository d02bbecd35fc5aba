/*
 * Leaving handlers by siglongjmp().
 *
 * sigsetjmp() saves the kernel's mask, of which a thread's is independent.  But the mask that a handler interrupted is
 * in its frame, so jumping out of it can bring that back, when the mask was to be saved.  longjmp() and its kin are
 * libc's under other names, and are wrapped alike.  Which frames are left is told by the stack pointer that is jumped
 * to.
 */
#include <setjmp.h>

#include "base/annotate.h"
#include "core/cancel.h"
#include "mem/interpose.h"
#include "signal/signal.h"

static bool on_altstack(const struct thread *self, uintptr_t sp)
{
    return sp - (uintptr_t)self->altstack.ss_sp < self->altstack.ss_size;
}

/* A handler on the alternate stack is left for the other one; its frame may lie on either. */
static bool leaves(const struct thread *self, const struct signal_frame *frame, uintptr_t sp)
{
    if (frame->on_altstack && !on_altstack(self, sp))
        return true;
    return on_altstack(self, (uintptr_t)frame) == on_altstack(self, sp) && (uintptr_t)frame < sp;
}

/*
 * AddressSanitizer marks the frames of a stack, and takes the marks back when they are left by a jump.  But on an
 * alternate stack it gives up, as it does not know it, and leaves the marks of the thread's own stack as well.
 */
static void forget_frames(const struct thread *self, uintptr_t sp)
{
    const uintptr_t low = (uintptr_t)self->stack.low;

    if (!on_altstack(self, sp))
        annotate_stack_reuse(self->altstack.ss_sp, self->altstack.ss_size);
    if (low && sp - low < self->stack.bytes)
        annotate_stack_reuse(self->stack.low, sp - low);
}

/* The call that was interrupted is left with its handlers, and nothing can be put right for it any more. */
static void forget_call(struct thread *self)
{
    cancel_postpone_end(self, self->frames && self->frames->postpones);
}

static void leave_frames(const struct __jmp_buf_tag *env)
{
    struct thread *self = self_thread;
    const uintptr_t sp = arch_jmpbuf_sp(env->__jmpbuf);
    bool left = false;
    uint64_t mask = 0;

    if (!self)
        return;
    for (; self->frames && leaves(self, self->frames, sp); self->frames = self->frames->below) {
        mask = self->frames->mask;
        left = true;
    }
    if (left) {
        forget_frames(self, sp);
        forget_call(self);
    }
    if (!left || !env->__mask_was_saved)
        return;
    const uint64_t before = signal_mask(self);
    atomic_store_explicit(&self->sigmask, mask, memory_order_relaxed);
    if (signal_opens(self, before))
        signal_mask_changed(self, before);
}

static void jump(struct __jmp_buf_tag *env, int value) __attribute__((noreturn));
static void jump(struct __jmp_buf_tag *env, int value)
{
    leave_frames(env);
    annotate_no_return();
    annotate_longjmp(env, value);
    REAL(siglongjmp)(env, value);
    __builtin_unreachable();
}

GREEN_API void siglongjmp(struct __jmp_buf_tag env[1], int value)
{
    jump(env, value);
}

GREEN_API void longjmp(struct __jmp_buf_tag env[1], int value)
{
    jump(env, value);
}

GREEN_API void _longjmp(struct __jmp_buf_tag env[1], int value)
{
    jump(env, value);
}

/* Of programs compiled with _FORTIFY_SOURCE; its check knows nothing of a thread's alternate stack. */
GREEN_API void __longjmp_chk(struct __jmp_buf_tag env[1], int value) __attribute__((noreturn));
GREEN_API void __longjmp_chk(struct __jmp_buf_tag env[1], int value)
{
    jump(env, value);
}
