/*
 * Bound threads, POSIX's system contention scope: a thread with a kernel thread of its own, never multiplexed.
 *
 * It is what foreign.c makes of the program's kernel threads, but made by green_create(): its creator prepares the
 * structures, so that it has an id at once, and a pthread adopts them.  It parks on a futex, no tick reaches it, and
 * the kernel schedules it, by the policy and on the CPUs that its attributes name.  Rejected: a worker that is given
 * one thread and no queue (what Solaris did): it would need a processor that others must not count, steal from or
 * take away, a special case in every protocol there is, for a thread that wants none of them.
 *
 * Its end, in order.  pthread_exit(), or the return of its function, unwinds the stack to bound_main(), whose cleanup
 * handler runs what libc would run next: thread_local and pthread_key destructors, so that they still are the green
 * thread's, and are over when its joiner goes on.  Then it is announced, on a worker structure of its own stack: from
 * the announcement on its joiner may release its structures, and another thread use them.  What libc does after that
 * is of the kernel thread alone, with signals blocked.  The pthread is detached: whoever joins the thread does not wait
 * for the kernel to take the stack down.  Unless the stack is the program's, which may free it once it has joined: then
 * the pthread is joinable, and whoever releases the thread joins or detaches it.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/futex.h"
#include "base/kernel_signal.h"
#include "core/cancel.h"
#include "core/foreign.h"
#include "core/kernel_thread.h"
#include "core/sched.h"
#include "core/signals.h"
#include "mem/tls.h"
#include "sync/once.h"
#include "sync/robust.h"

enum { ALT_STACK_BYTES = 65536 };

/* For the report of a stack overflow (fault.c). */
static void altstack_use(struct foreign *foreign)
{
    stack_t now;

    if (kernel_sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE)) /* a sanitizer's */
        return;
    if (!foreign->altstack) {
        void *memory = mmap(NULL, ALT_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        foreign->altstack = memory == MAP_FAILED ? NULL : memory;
    }
    if (foreign->altstack)
        kernel_sigaltstack(&(stack_t){.ss_sp = foreign->altstack, .ss_flags = 0, .ss_size = ALT_STACK_BYTES}, NULL);
}

static void altstack_leave(const struct foreign *foreign)
{
    stack_t now;

    if (foreign->altstack && kernel_sigaltstack(NULL, &now) == 0 && now.ss_sp == foreign->altstack)
        kernel_sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
}

/* libc's stack for it, above the guard. */
static void find_stack(struct thread *thread)
{
    pthread_attr_t attr;
    void *low;
    size_t bytes, guard;

    thread->stack = (struct stack){NULL, 0, 0};
    if (kernel_thread_getattr(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &low, &bytes) == 0 && pthread_attr_getguardsize(&attr, &guard) == 0)
        thread->stack = (struct stack){low, bytes, guard};
    pthread_attr_destroy(&attr);
}

/* The structures are another's from here on. */
static void announce(struct foreign *foreign)
{
    struct thread *thread = foreign->thread;
    const bool program_stack = foreign->program_stack;
    struct worker last = {.own = {.kind = THREAD_WORKER, .depth = 1, .worker = &last, .deadline = NEVER},
                          .tid = foreign->worker.tid,
                          .kernel_tls = foreign->worker.kernel_tls};

    compiler_barrier();
    self_thread = &last.own;
    foreign_set_tid(foreign, TID_GONE);
    foreign->worker.kernel_tls = NULL; /* to a debugger, it stands nowhere */
    const bool released = life_announce(thread);
    self_thread = NULL;
    compiler_barrier();
    if (released && program_stack)
        pthread_detach(pthread_self());
}

static void bound_end(void *arg)
{
    struct foreign *foreign = arg;
    struct thread *self = foreign->thread;
    sigset_t all;

    self->ending = ENDING_DESTROYS;
    self->depth = 1; /* whatever sections it is in */
    self->sections = 0;
    leave(self);
    once_abandon(self);
    tls_run_destructors();
    robust_announce(self);
    annotate_release(self);
    enter();
    sync_thread_ends(self);
    signal_thread_ends(self);
    thread_exits(self);
    leave(self);
    sigfillset(&all);
    kernel_sigmask(SIG_SETMASK, &all, NULL);
    altstack_leave(foreign);
    announce(foreign);
}

static void *bound_main(void *arg)
{
    struct foreign *foreign = arg;
    struct thread *self = foreign->thread;

    find_stack(self);
    foreign->kernel_thread = pthread_self();
    foreign_begin(foreign); /* after which others may ask for its stack */
    altstack_use(foreign);
    if (self->name[0])
        prctl(PR_SET_NAME, self->name);
    self->result = PTHREAD_CANCELED;
    pthread_cleanup_push(bound_end, foreign);
    self->result = self->start(self->arg);
    pthread_cleanup_pop(1);
    return NULL;
}

static int stack_for_kernel(pthread_attr_t *to, const green_attr_t *from)
{
    if (from->__stack_addr)
        return pthread_attr_setstack(to, from->__stack_addr, from->__stack_bytes);
    int error = pthread_attr_setguardsize(to, from->__guard_bytes);
    if (error)
        return error;
    return pthread_attr_setstacksize(to, (STACK_CLASS_MIN << stack_class(from->__stack_bytes)) + tls_bytes());
}

static int attr_for_kernel(pthread_attr_t *to, const green_attr_t *from)
{
    int error = pthread_attr_setdetachstate(to, from->__stack_addr ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);

    if (!error)
        error = stack_for_kernel(to, from);
    if (!error && from->__has_cpus)
        error = pthread_attr_setaffinity_np(to, sizeof from->__cpus, &from->__cpus);
    if (error || from->__inherit_sched != GREEN_EXPLICIT_SCHED)
        return error;
    error = pthread_attr_setinheritsched(to, PTHREAD_EXPLICIT_SCHED);
    if (!error)
        error = pthread_attr_setschedpolicy(to, from->__sched_policy);
    if (!error)
        error = pthread_attr_setschedparam(to, &(struct sched_param){.sched_priority = from->__sched_priority});
    return error;
}

static int create_kernel_thread(struct foreign *foreign, const green_attr_t *attr)
{
    pthread_attr_t kernel_attr;
    pthread_t thread;
    int error = pthread_attr_init(&kernel_attr);

    if (error)
        return error;
    error = attr_for_kernel(&kernel_attr, attr);
    if (!error)
        error = pthread_create(&thread, &kernel_attr, bound_main, foreign);
    pthread_attr_destroy(&kernel_attr);
    return error;
}

/* Its id is known, and it is counted, before it runs. */
static void prepare(struct thread *self, struct foreign *foreign, const green_attr_t *attr, void *(*start)(void *),
                    void *arg)
{
    struct thread *thread = foreign->thread;

    foreign_set_tid(foreign, TID_STARTING);
    thread->bound = true;
    foreign->program_stack = attr->__stack_addr != NULL;
    thread->class = (uint8_t)stack_class(attr->__stack_bytes);
    thread->stack = (struct stack){NULL, 0, 0};
    atomic_store_explicit(&thread->state, THREAD_RUNNING, memory_order_relaxed);
    signal_thread_begins(self, thread);
    thread_init(thread, attr, start, arg);
    thread_created(self);
}

void bound_part(struct thread *self, struct thread *ended, bool wait)
{
    struct foreign *foreign = foreign_of(ended);

    if (!foreign->program_stack)
        return;
    const bool before = cancel_postpone(self);
    leave(self);
    if (wait)
        pthread_join(foreign->kernel_thread, NULL); /* which only has to leave its stack */
    else
        pthread_detach(foreign->kernel_thread);
    enter();
    cancel_postpone_end(self, before);
}

static void take_back(struct foreign *foreign)
{
    foreign_set_tid(foreign, TID_GONE);
    thread_not_created();
    life_end(foreign->thread);
    foreign_give(foreign->thread);
}

int bound_create(green_t *id, const green_attr_t *attr, void *(*start)(void *), void *arg)
{
    struct thread *self = enter();
    int error = ENOMEM;

    if (!self)
        return error;
    leave(self);
    struct foreign *foreign = foreign_take(&error);
    if (!foreign)
        return error;
    enter();
    prepare(self, foreign, attr, start, arg);
    *id = thread_id(foreign->thread);
    leave(self);
    error = create_kernel_thread(foreign, attr);
    if (!error)
        return 0;
    enter();
    take_back(foreign);
    leave(self);
    return error;
}
