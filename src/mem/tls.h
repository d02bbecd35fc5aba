/*
 * A libc TLS block for every thread: what makes errno, malloc, stdio, locale and every __thread variable a thread's
 * own.
 *
 * A block is what libc would have made for a kernel thread: static TLS, struct pthread, dtv.  It lies at the top of
 * the thread's stack, as libc places it, and is never freed: libc's own part (malloc's cache, locale, resolver) is
 * kept for the next thread, the application's part is made anew.
 *
 *   low                                                      tp                                low + bytes
 *   | stack, grows down <--------- top | static TLS of modules | struct pthread | struct tls_block |
 *
 * Two providers, chosen and tried out at the start:
 *   allocate  _dl_allocate_tls() and a struct pthread filled by hand.  Its offsets are measured on real threads, and
 *             any surprise means donor.
 *   donor     a real pthread is created on our stack and leaves its kernel thread by the raw system call.  Slower, but
 *             libc and the sanitizers have done all of it themselves; so it serves their builds, too.
 * Rejected: sharing the kernel thread's block (what other libraries do): a preempted thread would find its malloc
 * cache, errno and locks' owners in somebody else's hands.
 */
#ifndef TLS_H
#define TLS_H

#include <stdbool.h>
#include <stdint.h>

#include <arch.h>

#include "mem/stack.h"

enum tls_choice { TLS_AUTO, TLS_ALLOCATE, TLS_DONOR };

/* Choose a provider.  Creates real threads, so malloc knows from here on that it must lock.  0, EAGAIN or ENOMEM. */
int tls_init(enum tls_choice choice);

const char *tls_provider_name(void);

/* Bytes a block takes at the top of a stack. */
size_t tls_bytes(void);

/* Make a block on a stack, which begins at *top below it.  Calls malloc: at depth 0 only.  0, ENOMEM or EAGAIN. */
int tls_create(const struct stack *stack, void **tp, void **top);

/* Where a stack with that block at its top begins. */
void *tls_stack_top(const void *tp);

/* The address in another block of an initial-exec variable, given its address in the caller's. */
static inline void *tls_translate(void *tp, void *own)
{
    return (char *)tp + ((char *)own - (char *)arch_thread_pointer());
}

/* On a fresh block, by the thread that runs on it, first of all. */
void tls_first_run(void);

/* Give a block that a thread has left the initial values of libc's error numbers and the application's variables. */
void tls_refresh(void *tp);

/* The calling thread ends: run destructors, thread_local's and keys', free dynamic blocks and what libc kept.  At depth 0. */
void tls_run_destructors(void);

/* Take the calling kernel thread off rseq: its TLS base will not be the one that was registered. */
void tls_unregister_rseq(void *tp);

/* keys.c: a round of destructors of the calling thread's green_key values; true when one ran.  And drop all. */
bool tls_run_own_keys(void);
void tls_drop_own_keys(void);

/* tls_keys.c: run the destructors of the calling thread's pthread_key and green_key values.  At depth 0. */
void tls_run_key_destructors(void);
/* Forget the keys of a sanitizer. */
void tls_keys_init(void);

/* tls_libc.c: where a block has libc's state.  Not to be asked on the first kernel thread, whose resolver's is elsewhere. */
void tls_libc_init(void);
/* libc's error numbers, in a block that a thread has left. */
void tls_libc_refresh(void *tp);
/* Of the calling thread, which ends, what libc has kept in the block that is not the next one's.  At depth 0. */
void tls_libc_forget(void);

/* tls_modules.c: the application's modules with static TLS. */
int tls_modules_init(void);
void tls_modules_refresh(void *tp);
void tls_dynamic_release(void);
/* In the child of a fork: nobody scans. */
void tls_modules_fork_reset(void);
/* True for an address in a sanitizer's runtime. */
bool tls_in_sanitizer(const void *address);

/* tls_tsan.c: what of the program's TLS image is ThreadSanitizer's state of the thread; 0 bytes when that is not known. */
struct tls_part {
    size_t from, bytes;
};
#ifdef GREEN_TSAN
struct tls_part tls_tsan_part(void);
#else
static inline struct tls_part tls_tsan_part(void)
{
    return (struct tls_part){0, 0};
}
#endif

/* tls_allocate.c and tls_donor.c: create as above. */
int tls_allocate_init(void);
int tls_allocate_create(const struct stack *stack, void **tp);
int tls_donor_create(const struct stack *stack, void **tp);

/* Every block made here, newest first; pushed once, never removed. */
struct tls_block {
    struct tls_block *next;
    void *tp;
};
struct tls_block *tls_blocks(void);

/* What is known of struct pthread (tls_layout.c). */
struct tls_layout {
    size_t pthread_bytes;
    size_t static_bytes; /* static TLS with struct pthread */
    size_t align;
    size_t tid, list, robust_prev, robust_head, user_stack, stackblock, stackblock_bytes;
    size_t resolver;       /* struct __res_state within struct pthread */
    ptrdiff_t resolver_pointer; /* libc's __resp, from the thread pointer */
    bool known;            /* all of the above was found as expected */
};
extern struct tls_layout tls_layout;

/* Measure; creates the first real threads.  0 or an error of pthread_create. */
int tls_layout_measure(void);

/* The tid of a thread that the kernel does not know: never a real one, never another's. */
int tls_unique_tid(void);

#endif
