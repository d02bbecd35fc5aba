/*
 * The port contract: everything that differs between processors, and all of it.
 *
 * A port is a folder with machine.h (types, constants, one-line accessors) and switch.S (what cannot be written in
 * C).  The build picks the folder; nothing outside arch/ asks which one.
 *
 * Why the thread-local storage base moves in assembly only: compilers take `&errno` and the address of any __thread
 * variable for constant within a function, so C code that changes the base would go on using the old thread's.  Around
 * arch_switch() they may: a thread has one TLS base for life, so whoever comes back from a switch has the base that
 * it went with.
 */
#ifndef ARCH_H
#define ARCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when arch_switch() may set the base by itself; else it makes a system call each time. Set once, before use. */
extern bool arch_fast_tls;

/* machine.h supplies:
 *   ARCH_CACHE_LINE                              bytes that two processors should not share
 *   struct arch_context { void *sp, *tls, *pc, *fp; ... }   what a parked thread keeps outside its stack
 *   arch_switch(from, to)                        an inline function: save where the running thread stands, and
 *                                                continue where `to` was saved, with its TLS base and floating-point
 *                                                control words.  Returns when somebody switches back.
 *   arch_context_init(context, top, tls, entry)  an inline function: prepare a context that runs entry() on the stack
 *                                                below top when first switched to, with the floating-point control
 *                                                words of the caller.  entry() must not return.  Unwinders and
 *                                                debuggers find the end of the stack above it, at arch_start.
 *   arch_call_last(function, argument)           call a function that never returns and ends in a switch
 *   arch_floating_point_empty()                  no value in a floating-point register that a call must find empty
 *   arch_pause()                                 the spin loop hint
 *   arch_cycles()                                a counter of about the processor's pace, cheap to read; for guesses, as
 *                                                it need not be the same on every processor
 *   arch_thread_pointer()                        the thread-local storage base
 *   arch_ucontext_sp(ucontext)                   the stack pointer a signal interrupted
 *   arch_jmpbuf_sp(jmpbuf)                       the stack pointer that a longjmp() would set
 *   arch_signal_frame_copy, arch_ucontext_call, arch_sigreturn  move a signal's frame to another stack, and end it
 *   ARCH_NOT_MADE                                no result of a system call
 *   arch_ucontext_in_call(ucontext)              a signal interrupted arch_syscall_unless(), before or after the call
 *   arch_ucontext_skip_call(ucontext)            a signal interrupted arch_syscall_unless(): see there
 *   ARCH_HWCAP2_TLS                              AT_HWCAP2 bit: the base may be set without a system call
 *   ARCH_TLS_MODULE_OFFSET_SIGN                  +1 when static TLS blocks lie above the thread pointer, -1 below */
#include <machine.h>

_Static_assert(offsetof(struct arch_context, sp) == 0 && offsetof(struct arch_context, tls) == 8 &&
               offsetof(struct arch_context, pc) == 16 && offsetof(struct arch_context, fp) == 24,
               "what debuggers and the switch rely on");
_Static_assert(ARCH_CACHE_LINE >= 32 && (ARCH_CACHE_LINE & (ARCH_CACHE_LINE - 1)) == 0, "a power of 2");

/* Run a signal handler with another TLS base. */
void arch_call_with_tls(void *tls, void (*handler)(int, siginfo_t *, void *), int signal, siginfo_t *info,
                        void *ucontext);

/* Run a signal handler on another stack. */
void arch_call_on_stack(void *top, void (*handler)(int, siginfo_t *, void *), int signal, siginfo_t *info,
                        void *ucontext);

/*
 * Make a system call (its number, then six arguments) unless the lowest bit of *word is set; the kernel's result, or
 * ARCH_NOT_MADE.  Between the test and the call nothing comes unseen: a signal's handler that interrupts it where the
 * call is still to be made, or to be made again, finds the program counter there, and arch_ucontext_skip_call() has it
 * return ARCH_NOT_MADE.  A call that has come back with a result returns it.
 */
long arch_syscall_unless(const _Atomic uint64_t *word, const long call[7]);

/*
 * End the calling kernel thread without returning to libc: store 1 to *done, wake its futex, exit.  Touches no stack
 * after the store, as the stack is somebody else's from then on.
 */
void arch_leave_kernel_thread(uint32_t *done) __attribute__((noreturn));

#endif
