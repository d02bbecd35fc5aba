/* x86_64: what cannot be written in C.  The switch itself is in machine.h. */

#define SYS_ARCH_PRCTL 158
#define ARCH_SET_FS 0x1002
#define SYS_FUTEX 202
#define FUTEX_WAKE_PRIVATE 129
#define SYS_EXIT 60
#define ARCH_NOT_MADE -4096 /* as in machine.h */

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

/*
 * The first code of a thread, its entry in rbp.  Its return address is undefined: here unwinding ends.  The entry never
 * returns, and is not called: see arch_call_last().
 */
        .globl  arch_start
        .hidden arch_start
        .type   arch_start, @function
arch_start:
        .cfi_startproc
        .cfi_undefined %rip
        movq    %rbp, %rax
        xorl    %ebp, %ebp
        leaq    1f(%rip), %rcx
        pushq   %rcx
        jmp     *%rax
1:      hlt
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

/* void arch_call_on_stack(void *top, handler, int signal, siginfo_t *info, void *ucontext) */
        .globl  arch_call_on_stack
        .hidden arch_call_on_stack
        .type   arch_call_on_stack, @function
arch_call_on_stack:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rsp
        andq    $-16, %rsp
        movq    %rsi, %rax
        movl    %edx, %edi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        call    *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   arch_call_on_stack, . - arch_call_on_stack

/*
 * long arch_syscall_unless(const _Atomic uint64_t *word, const long call[7])
 *
 * Nothing is on its stack, so that it may go from any instruction to its way out.
 */
        .globl  arch_syscall_unless, arch_unless_begin, arch_unless_made, arch_unless_skip
        .hidden arch_syscall_unless, arch_unless_begin, arch_unless_made, arch_unless_skip
        .type   arch_syscall_unless, @function
arch_syscall_unless:
        .cfi_startproc
arch_unless_begin:
        testb   $1, (%rdi)
        jne     arch_unless_skip
        movq    (%rsi), %rax
        movq    8(%rsi), %rdi
        movq    24(%rsi), %rdx
        movq    32(%rsi), %r10
        movq    40(%rsi), %r8
        movq    48(%rsi), %r9
        movq    16(%rsi), %rsi
        syscall
arch_unless_made:
        ret
arch_unless_skip:
        movq    $ARCH_NOT_MADE, %rax
        ret
        .cfi_endproc
        .size   arch_syscall_unless, . - arch_syscall_unless

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
