/* x86_64 System V.  See arch.h for the contract. */
#ifndef MACHINE_H
#define MACHINE_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#define ARCH_CACHE_LINE 64
#define ARCH_HWCAP2_TLS (1UL << 1) /* FSGSBASE: wrfsbase works in user mode */
#define ARCH_TLS_MODULE_OFFSET_SIGN (-1)

struct arch_context {
    void *sp;
    void *tls;
    void *pc;
    void *fp; /* rbp, which cannot be a clobber; of a context that never ran, its entry */
    uint32_t mxcsr;
    uint16_t x87_control;
};

void arch_start(void);

#ifdef __AVX512F__ /* then the compiler may keep values there, too */
#define ARCH_CLOBBERS_AVX512 \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", \
        "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define ARCH_CLOBBERS_AVX512
#endif

/*
 * In line, so that the compiler saves the registers that hold something, once, where its unwind information says; and
 * left by a jump: a `ret` from a function of its own would be mispredicted whenever the two threads switch at
 * different places, and with it the returns above it (a sixth of the cost of create and join).
 *
 * The control words are compared and loaded only when they differ: a load costs more than all the rest.  wrfsbase is
 * used where the kernel allows it (a tenth of the cost of arch_prctl, 158, ARCH_SET_FS, 0x1002); Valgrind does not
 * know it and hides its bit.  It waits for all that came before, so what can come after it does.
 */
static inline __attribute__((always_inline)) void arch_switch(struct arch_context *from, struct arch_context *to)
{
    register struct arch_context *leaving __asm__("rdx") = from;
    register struct arch_context *arriving __asm__("r8") = to;

    __asm__ volatile("leaq    1f(%%rip), %%rax\n\t"
                     "movq    %%rax, 16(%0)\n\t"
                     "movq    %%rsp, (%0)\n\t"
                     "movq    %%rbp, 24(%0)\n\t"
                     "movq    8(%1), %%rsi\n\t"
                     "movq    (%1), %%rsp\n\t"
                     "movq    24(%1), %%rbp\n\t"
                     "cmpb    $0, arch_fast_tls(%%rip)\n\t"
                     "je      2f\n\t"
                     "wrfsbase %%rsi\n"
                     "3:\tstmxcsr 32(%0)\n\t"
                     "fnstcw  36(%0)\n\t"
                     "movl    32(%1), %%ecx\n\t"
                     "cmpl    32(%0), %%ecx\n\t"
                     "jne     4f\n"
                     "5:\tmovzwl  36(%1), %%ecx\n\t"
                     "cmpw    36(%0), %%cx\n\t"
                     "jne     6f\n"
                     "7:\tjmp     *16(%1)\n"
                     "2:\tmovl    $0x1002, %%edi\n\t"
                     "movl    $158, %%eax\n\t"
                     "syscall\n\t"
                     "jmp     3b\n"
                     "4:\tldmxcsr 32(%1)\n\t"
                     "jmp     5b\n"
                     "6:\tfldcw   36(%1)\n\t"
                     "jmp     7b\n"
                     "1:"
                     : "+r"(leaving), "+r"(arriving)
                     :
                     : "rax", "rbx", "rcx", "rsi", "rdi", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc",
                       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15" ARCH_CLOBBERS_AVX512);
}

/* The stack as it is at a function's first instruction is arch_start's to make. */
static inline void arch_context_init(struct arch_context *context, void *top, void *tls, void (*entry)(void))
{
    context->sp = (void *)((uintptr_t)top & ~(uintptr_t)15);
    context->tls = tls;
    context->pc = (void *)arch_start;
    context->fp = (void *)entry;
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(context->mxcsr), "=m"(context->x87_control));
}

/*
 * The CPU predicts that a `ret` goes back to the latest call that has not returned.  One that never returns would make
 * it mispredict the next return of the thread that is switched to: a twentieth of the cost of create and join.
 */
static inline __attribute__((always_inline, noreturn)) void arch_call_last(void (*function)(void *), void *argument)
{
    __asm__ volatile("leaq    1f(%%rip), %%rax\n\t"
                     "pushq   %%rax\n\t"
                     "jmp     *%0\n"
                     "1:\tud2"
                     :
                     : "r"(function), "D"(argument)
                     : "rax", "memory");
    __builtin_unreachable();
}

static inline void arch_floating_point_empty(void)
{
    __asm__ volatile("fninit");
}

static inline void arch_pause(void)
{
    __builtin_ia32_pause();
}

static inline uint64_t arch_cycles(void)
{
    return __builtin_ia32_rdtsc();
}

static inline void *arch_thread_pointer(void)
{
    return __builtin_thread_pointer();
}

/* glibc hides the stack pointer in a jmp_buf: rotated, and xored with a word of the TCB. */
static inline uintptr_t arch_jmpbuf_sp(const void *jmpbuf)
{
    uintptr_t sp = ((const uintptr_t *)jmpbuf)[6];

    __asm__("rorq $17, %0\n\txorq %%fs:0x30, %0" : "+r"(sp) : : "cc");
    return sp;
}

/* A kernel's signal frame that was copied to another stack. */
struct arch_signal_frame {
    void *low; /* below it is free */
    siginfo_t *info;
    ucontext_t *context;
};

/*
 * The kernel's ucontext ends with the first word of the mask; the vector registers lie elsewhere, on a boundary of 64
 * bytes, and say themselves how many they are.
 */
static inline struct arch_signal_frame arch_signal_frame_copy(void *below, const siginfo_t *info,
                                                              const ucontext_t *context)
{
    enum { LEGACY_BYTES = 512, MAGIC_AT = 464, MAGIC = 0x46505853 };
    const char *vectors = (const char *)context->uc_mcontext.fpregs;
    const size_t context_bytes = offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t);
    uint32_t magic_and_bytes[2];
    struct arch_signal_frame frame;

    __builtin_memcpy(magic_and_bytes, vectors + MAGIC_AT, sizeof magic_and_bytes);
    size_t bytes = magic_and_bytes[0] == MAGIC ? magic_and_bytes[1] : LEGACY_BYTES;
    char *low = (char *)(((uintptr_t)below - bytes) & ~(uintptr_t)63);
    __builtin_memcpy(low, vectors, bytes);
    frame.info = (siginfo_t *)(void *)(low - sizeof *info);
    *frame.info = *info;
    frame.context = (ucontext_t *)(void *)((char *)frame.info - ((context_bytes + 15) & ~(size_t)15));
    __builtin_memcpy(frame.context, context, context_bytes);
    frame.context->uc_mcontext.fpregs = (fpregset_t)(void *)low;
    frame.low = (char *)frame.context - 16; /* sigreturn looks for a return address in front of it */
    return frame;
}

/* When the signal handler returns, function(argument) is called on the stack below `stack`; it must not return. */
static inline void arch_ucontext_call(ucontext_t *context, void *stack, void (*function)(void *), void *argument)
{
    greg_t *registers = context->uc_mcontext.gregs;

    registers[REG_RSP] = (greg_t)(((uintptr_t)stack & ~(uintptr_t)15) - 8);
    registers[REG_RIP] = (greg_t)function;
    registers[REG_RDI] = (greg_t)argument;
    registers[REG_EFL] &= ~0x400; /* strings go upwards */
}

static inline __attribute__((noreturn)) void arch_sigreturn(const ucontext_t *context)
{
    __asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall" : : "r"(context) : "memory");
    __builtin_unreachable();
}

/* Within arch_syscall_unless(): its first instruction, what follows the system call, and its way out without one. */
#define ARCH_NOT_MADE (-4096L) /* the kernel's errors end at -4095 */
extern const char arch_unless_begin[], arch_unless_made[], arch_unless_skip[];

static inline bool arch_ucontext_in_call(const ucontext_t *context)
{
    const greg_t pc = context->uc_mcontext.gregs[REG_RIP];

    return pc >= (greg_t)arch_unless_begin && pc <= (greg_t)arch_unless_made;
}

/* The kernel moves the program counter back to the system call that it will make again. */
static inline void arch_ucontext_skip_call(ucontext_t *context)
{
    greg_t *pc = &context->uc_mcontext.gregs[REG_RIP];

    if (*pc >= (greg_t)arch_unless_begin && *pc < (greg_t)arch_unless_made)
        *pc = (greg_t)arch_unless_skip;
}

static inline uintptr_t arch_ucontext_sp(const void *ucontext)
{
    return (uintptr_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP];
}

#endif
