/* See shared.h. */
#include "shared.h"

#include <sys/mman.h>

struct shared_page *page;

void shared_make_mutex(int type)
{
    green_mutexattr_t attr;
    int shared = -1;
    must(green_mutexattr_init(&attr) == 0);
    must(green_mutexattr_settype(&attr, type) == 0);
    must(green_mutexattr_setpshared(&attr, GREEN_PROCESS_SHARED) == 0);
    must(green_mutexattr_getpshared(&attr, &shared) == 0 && shared == GREEN_PROCESS_SHARED);
    must(green_mutex_init(&page->mutex, &attr) == 0);
}

void shared_make_cond(clockid_t clock)
{
    green_condattr_t attr;
    must(green_condattr_init(&attr) == 0);
    must(green_condattr_setclock(&attr, clock) == 0);
    must(green_condattr_setpshared(&attr, GREEN_PROCESS_SHARED) == 0);
    must(green_cond_init(&page->cond, &attr) == 0);
}

void shared_make(int type)
{
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED);
    shared_make_mutex(type);
    shared_make_cond(CLOCK_REALTIME);
    must(green_sem_init(&page->sem, 1, 0) == 0);
    must(green_sem_init(&page->other, 1, 0) == 0);
}

void shared_run(void *(*routine)(void *))
{
    green_t threads[SHARED_THREADS];
    for (int i = 0; i < SHARED_THREADS; i++)
        threads[i] = spawn(routine, (void *)(intptr_t)i);
    for (int i = 0; i < SHARED_THREADS; i++)
        join_result(threads[i]);
}

void shared_on_both_sides(void *(*routine)(void *))
{
    pid_t child = fork_mortal();
    shared_run(routine);
    if (child == 0)
        _exit(0);
    check_exit_status(child, 0);
}
