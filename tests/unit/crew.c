/* See crew.h. */
#include "crew.h"

#include <pthread.h>
#include <stdlib.h>

struct member {
    void (*work)(unsigned index);
    unsigned index;
    green_t green;
    pthread_t foreign;
    green_sem_t ended; /* of a foreign one: a green thread that waited in pthread_join would keep its processor */
};

static void *run_green(void *arg)
{
    struct member *me = arg;
    me->work(me->index);
    return NULL;
}

static void *run_foreign(void *arg)
{
    struct member *me = arg;
    me->work(me->index);
    must(green_sem_post(&me->ended) == 0);
    return NULL;
}

static void begin(struct member *member)
{
    green_attr_t attr;
    if (member->index % CREW_KINDS == 2) {
        must(green_sem_init(&member->ended, 0, 0) == 0);
        must(pthread_create(&member->foreign, NULL, run_foreign, member) == 0);
        return;
    }
    must(green_attr_init(&attr) == 0);
    if (member->index % CREW_KINDS == 1)
        must(green_attr_setscope(&attr, GREEN_SCOPE_SYSTEM) == 0);
    must(green_create(&member->green, &attr, run_green, member) == 0);
}

static void end(struct member *member)
{
    if (member->index % CREW_KINDS != 2) {
        join_result(member->green);
        return;
    }
    must(green_sem_wait(&member->ended) == 0);
    must(pthread_join(member->foreign, NULL) == 0);
}

void crew_of_all_kinds(unsigned each, void (*work)(unsigned), void (*meanwhile)(void))
{
    const unsigned count = each * CREW_KINDS;
    struct member *members = calloc(count, sizeof *members);
    must(members != NULL);
    for (unsigned i = 0; i < count; i++) {
        members[i].work = work;
        members[i].index = i;
        begin(&members[i]);
    }
    if (meanwhile)
        meanwhile();
    for (unsigned i = 0; i < count; i++)
        end(&members[i]);
    free(members);
}
