/*
 * Where handlers run: on which stack, on a thread of their own, and how they are left.
 */
#include "signals.h"

#include <setjmp.h>
#include <unistd.h>

TestSuite(signal_stack, .timeout = LIMIT);

static green_mutex_t mutex = GREEN_MUTEX_INITIALIZER;

/* Faults and jumps. */

static sigjmp_buf escape;

static void jump_out(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    siglongjmp(escape, 1);
}

static void fault(void)
{
    *(volatile int *)4096 = 1;
}

static void *faults_again_and_again(void *arg)
{
    char *stack = arg;
    stack_t mine = {.ss_sp = stack, .ss_size = 32768}, old;
    sigset_t mask;
    if (stack)
        must(green_sigaltstack(&mine, NULL) == 0);
    for (volatile int i = 0; i < 5; i++) {
        if (sigsetjmp(escape, 1) == 0) {
            fault();
            must(0);
        }
        must(seen.count == i + 1);
        must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGSEGV));
        must(green_sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_ONSTACK));
        green_yield();
    }
    return arg;
}

ON_BOTH(signal_stack, jump_out_of_a_fault)
{
    handle_with(SIGSEGV, jump_out, 0);
    start_hogs(2);
    join_result(spawn(faults_again_and_again, NULL));
    stop_hogs();
}

ON_BOTH(signal_stack, jump_out_of_a_fault_on_the_alternate_stack)
{
    static char stack[32768];
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    start_hogs(2);
    join_result(spawn(faults_again_and_again, stack));
    stop_hogs();
}

ON_BOTH(signal_stack, jump_out_of_a_fault_without_an_alternate_stack)
{
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    join_result(spawn(faults_again_and_again, NULL));
}

static char alternate[65536];

static bool on_alternate(const void *address)
{
    return (const char *)address >= alternate && (const char *)address < alternate + sizeof alternate;
}

/* The handler parks and is preempted, and returns behind the instruction. */
static void skip(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    char here;
    must(on_alternate(&here));
    must(info->si_code == ILL_ILLOPN);
    green_usleep(500);
    uint64_t target = stats_now().preemptions + 20;
    while (stats_now().preemptions < target)
        ;
    note(number, info, context);
    interrupted->uc_mcontext.gregs[REG_RIP] += 2;
}

static void *execute_illegally(void *arg)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    volatile double kept = 0.1;
    for (int i = 0; i < 5; i++) {
        double x = kept * i;
        __asm__ volatile("ud2" : "+x"(x)); /* held in a vector register across */
        must(x == kept * i);
    }
    return arg;
}

ON_BOTH(signal_stack, return_from_a_fault_on_the_alternate_stack)
{
    handle_with(SIGILL, skip, SA_ONSTACK);
    start_hogs(3);
    join_result(spawn(execute_illegally, NULL));
    stop_hogs();
    cr_assert_eq(seen.count, 5);
}

static void *deep_down(void *arg)
{
    volatile char page[4096];
    page[0] = 1;
    return page[0] ? deep_down((void *)(uintptr_t)page) : arg;
}

static void *overflows(void *arg)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    if (sigsetjmp(escape, 1) == 0)
        deep_down(NULL);
    return arg;
}

ON_BOTH(signal_stack, jump_out_of_an_overflow)
{
    handle_with(SIGSEGV, jump_out, SA_ONSTACK);
    join_result(spawn(overflows, NULL));
    cr_assert_eq(seen.count, 1);
    join_result(spawn(overflows, NULL));
    cr_assert_eq(seen.count, 2);
}

static void on_stack(int number, siginfo_t *info, void *context)
{
    char here;
    stack_t old;
    must(on_alternate(&here));
    must(green_sigaltstack(NULL, &old) == 0 && old.ss_flags & SS_ONSTACK);
    must(green_sigaltstack(&old, NULL) == -1 && errno == EPERM);
    note(number, info, context);
}

ON_BOTH(signal_stack, handler_on_the_alternate_stack)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate}, small = {.ss_sp = alternate, .ss_size = 100};
    cr_assert_eq(green_sigaltstack(&small, NULL), -1);
    cr_assert_eq(errno, ENOMEM);
    cr_assert_eq(green_sigaltstack(&mine, NULL), 0);
    handle_with(SIGUSR1, on_stack, SA_ONSTACK);
    green_raise(SIGUSR1);
    must(kill(getpid(), SIGUSR1) == 0);
    wait_for(seen.count == 2);
}

/* Handlers as threads. */

static atomic_bool locked_there;

static void lock_it(int number, siginfo_t *info, void *context)
{
    must(green_mutex_lock(&mutex) == 0);
    atomic_store(&locked_there, true);
    note(number, info, context); /* one after the other */
    must(green_mutex_unlock(&mutex) == 0);
}

ON_BOTH(signal_stack, handler_as_a_thread_may_lock)
{
    handle_with(SIGUSR1, lock_it, GREEN_SA_THREAD);
    must(green_mutex_lock(&mutex) == 0);
    must(green_raise(SIGUSR1) == 0); /* a plain handler would wait for us for ever */
    must(kill(getpid(), SIGUSR1) == 0);
    green_usleep(1000);
    cr_assert(!atomic_load(&locked_there));
    must(green_mutex_unlock(&mutex) == 0);
    wait_for(atomic_load(&seen.count) == 2);
    cr_assert_neq(seen.thread[0], green_self());
}

/* A handler may sleep, and be preempted meanwhile. */
static void sleeps_in_handler(int number, siginfo_t *info, void *context)
{
    green_usleep(2000);
    uint64_t target = stats_now().preemptions + 5;
    while (stats_now().preemptions < target)
        ;
    note(number, info, context);
}

ON_BOTH(signal_stack, handler_parks_and_is_preempted)
{
    handle_with(SIGUSR1, sleeps_in_handler, 0);
    start_hogs(2);
    for (int i = 0; i < 10; i++) {
        must((i % 2 ? green_raise(SIGUSR1) : kill(getpid(), SIGUSR1)) == 0);
        wait_for(atomic_load(&seen.count) == i + 1);
    }
    stop_hogs();
}

/* A jump within a handler on the alternate stack leaves no handler. */
static void jumps_within(int number, siginfo_t *info, void *context)
{
    sigjmp_buf here;
    sigset_t mask;
    note(number, info, context);
    if (sigsetjmp(here, 1) == 0)
        siglongjmp(here, 1);
    must(green_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, number));
}

ON_BOTH(signal_stack, jump_within_a_handler)
{
    stack_t mine = {.ss_sp = alternate, .ss_size = sizeof alternate};
    must(green_sigaltstack(&mine, NULL) == 0);
    handle_with(SIGUSR1, jumps_within, SA_ONSTACK);
    green_raise(SIGUSR1);
    handle_with(SIGUSR1, jumps_within, 0);
    green_raise(SIGUSR1);
    cr_assert_eq(seen.count, 2);
}
