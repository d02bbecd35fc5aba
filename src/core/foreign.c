/*
 * Kernel threads that the library did not make.
 *
 * On its first call such a thread gets a thread structure and a worker structure without a processor: it runs nobody
 * else, and where a green thread parks it sleeps on a futex, its own `wake`.  Both structures are kept for the next
 * such thread when this one ends.  Rejected: running the foreign call on a green thread on its behalf, which would
 * change whose mutex it locks.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/futex.h"
#include "core/sched.h"
#include "core/table.h"
#include "mem/interpose.h"

struct foreign {
    struct thread *thread;
    struct worker worker;
    struct foreign *next;
};

static pthread_mutex_t gone_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct foreign *gone; /* guarded by gone_mutex */
static pthread_key_t key;
static bool key_made;

/* The kernel thread ends. */
static void leave_for_good(void *value)
{
    struct foreign *foreign = value;

    self_thread = NULL;
    life_end(foreign->thread);
    pthread_mutex_lock(&gone_mutex);
    foreign->next = gone;
    gone = foreign;
    pthread_mutex_unlock(&gone_mutex);
}

void foreign_init(void)
{
    if (!key_made)
        key_made = REAL(pthread_key_create)(&key, leave_for_good) == 0;
}

void foreign_fork_reset(void)
{
    pthread_mutex_init(&gone_mutex, NULL);
    gone = NULL;
}

static struct foreign *foreign_new(void)
{
    struct foreign *foreign = mmap(NULL, sizeof *foreign, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error;

    if (foreign == MAP_FAILED)
        return NULL;
    foreign->worker.own.worker = &foreign->worker;
    foreign->worker.clock_fd = foreign->worker.stat_fd = -1;
    foreign->worker.own.depth = 1; /* in the runtime, before it has a thread of its own */
    self_thread = &foreign->worker.own;
    foreign->thread = table_new(&error);
    self_thread = NULL;
    if (foreign->thread)
        return foreign;
    munmap(foreign, sizeof *foreign);
    return NULL;
}

static struct foreign *foreign_take(void)
{
    pthread_mutex_lock(&gone_mutex);
    struct foreign *foreign = gone;
    if (foreign)
        gone = foreign->next;
    pthread_mutex_unlock(&gone_mutex);
    return foreign ? foreign : foreign_new();
}

struct thread *foreign_adopt(void)
{
    struct foreign *foreign = key_made ? foreign_take() : NULL;

    if (!foreign)
        return NULL;
    struct thread *thread = foreign->thread;
    thread->kind = THREAD_FOREIGN;
    thread->worker = &foreign->worker;
    foreign->worker.tid = gettid();
    foreign->worker.kernel_tls = arch_thread_pointer();
    thread->depth = 0;
    thread->name[0] = '\0';
    atomic_store(&thread->state, THREAD_RUNNING);
    life_begin(thread, true);
    self_thread = thread;
    if (pthread_setspecific(key, foreign) == 0)
        return thread;
    leave_for_good(foreign);
    return NULL;
}

enum wake foreign_park(struct thread *self, struct lock *lock, enum lock_rank rank)
{
    int saved_errno = errno;
    uint32_t wake;

    if (lock)
        lock_release(lock, rank);
    self->worker->own_safe = true; /* nothing is half done: the program's handlers may run */
    while ((wake = atomic_load(&self->wake)) == WAKE_WAITING) {
        futex_wait(&self->wake, WAKE_WAITING, self->deadline);
        if (self->deadline != NEVER && clock_now() >= self->deadline)
            park_claim(self, WAKE_TIMEOUT);
    }
    self->worker->own_safe = false;
    errno = saved_errno;
    return wake;
}

/* The claim has changed `wake`; the structure outlives the thread. */
void foreign_ready(struct thread *thread)
{
    futex_wake(&thread->wake, 1);
}

void foreign_exit(void *result)
{
    if (self_thread)
        leave(self_thread);
    REAL(pthread_exit)(result);
    __builtin_unreachable();
}
