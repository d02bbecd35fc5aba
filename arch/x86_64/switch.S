/*
 * x86_64: switching stacks and TLS bases.
 *
 * A parked thread's stack, from its saved stack pointer up:
 *      0  mxcsr (4 bytes), x87 control word (2)
 *      8  r15 r14 r13 r12 rbx rbp, then the return address
 *
 * The control words are compared and loaded only when they differ: a load costs more than all the rest.  wrfsbase is
 * used where the kernel allows it (a tenth of the cost of arch_prctl); Valgrind does not know it and hides its bit.
 */

#define FRAME 56
#define SYS_ARCH_PRCTL 158
#define ARCH_SET_FS 0x1002
#define SYS_FUTEX 202
#define FUTEX_WAKE_PRIVATE 129
#define SYS_EXIT 60

        .hidden arch_fast_tls
        .text

/* Set the TLS base to rax.  Clobbers rax, rcx, r11, rdi, rsi. */
        .macro set_tls_base
        cmpb    $0, arch_fast_tls(%rip)
        je      8f
        wrfsbase %rax
        jmp     9f
8:      movq    %rax, %rsi
        movl    $ARCH_SET_FS, %edi
        movl    $SYS_ARCH_PRCTL, %eax
        syscall
9:
        .endm

/* void arch_switch(struct arch_context *from, struct arch_context *to) */
        .globl  arch_switch
        .hidden arch_switch
        .type   arch_switch, @function
        .p2align 5
arch_switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    8(%rsi), %rax
        movq    %rsp, %rdx
        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp
        set_tls_base
        .globl  arch_switch_resume              /* where a parked thread continues: debuggers start unwinding here */
        .hidden arch_switch_resume
arch_switch_resume:
        movl    (%rdx), %ecx
        cmpl    (%rsp), %ecx
        jne     2f
1:      movzwl  4(%rdx), %ecx
        cmpw    4(%rsp), %cx
        jne     3f
4:      addq    $8, %rsp
        .cfi_remember_state
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        ret
        .cfi_restore_state
2:      ldmxcsr (%rsp)
        jmp     1b
3:      fldcw   4(%rsp)
        jmp     4b
        .cfi_endproc
        .size   arch_switch, . - arch_switch

/*
 * void arch_context_init(struct arch_context *context, void *top, void *tls, void (*entry)(void))
 * Builds the frame arch_switch leaves, with entry in rbx, rbp 0 and arch_start as the return address.
 */
        .globl  arch_context_init
        .hidden arch_context_init
        .type   arch_context_init, @function
arch_context_init:
        .cfi_startproc
        andq    $-16, %rsi
        leaq    arch_start(%rip), %rax
        movq    %rax, -8(%rsi)
        movq    $0, -16(%rsi)                   /* rbp */
        movq    %rcx, -24(%rsi)                 /* rbx */
        leaq    -8-FRAME(%rsi), %rsi
        stmxcsr (%rsi)
        fnstcw  4(%rsi)
        movq    %rsi, (%rdi)
        movq    %rdx, 8(%rdi)
        ret
        .cfi_endproc
        .size   arch_context_init, . - arch_context_init

/* The first code of a thread.  Its return address is undefined: here unwinding ends. */
        .type   arch_start, @function
arch_start:
        .cfi_startproc
        .cfi_undefined %rip
        call    *%rbx
        hlt
        .cfi_endproc
        .size   arch_start, . - arch_start

/* void arch_call_with_tls(void *tls, handler, int signal, siginfo_t *info, void *ucontext) */
        .globl  arch_call_with_tls
        .hidden arch_call_with_tls
        .type   arch_call_with_tls, @function
arch_call_with_tls:
        .cfi_startproc
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        movq    %fs:0, %rbx                     /* the base's first word is its own address */
        movq    %rsi, %r12
        movq    %rcx, %r13
        movq    %rdi, %rax
        set_tls_base
        movl    %edx, %edi
        movq    %r13, %rsi
        movq    %r8, %rdx
        call    *%r12
        movq    %rbx, %rax
        set_tls_base
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
        .cfi_endproc
        .size   arch_call_with_tls, . - arch_call_with_tls

/* void arch_leave_kernel_thread(uint32_t *done) */
        .globl  arch_leave_kernel_thread
        .hidden arch_leave_kernel_thread
        .type   arch_leave_kernel_thread, @function
arch_leave_kernel_thread:
        .cfi_startproc
        movl    $1, (%rdi)
        movl    $FUTEX_WAKE_PRIVATE, %esi
        movl    $1, %edx
        movl    $SYS_FUTEX, %eax
        syscall
        xorl    %edi, %edi
        movl    $SYS_EXIT, %eax
        syscall
        hlt
        .cfi_endproc
        .size   arch_leave_kernel_thread, . - arch_leave_kernel_thread

        .section .note.GNU-stack, "", @progbits
