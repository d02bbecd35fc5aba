/* Helgrind and DRD.  See annotate.h. */
#include "base/annotate.h"

#ifdef HAVE_HELGRIND

#include <valgrind/drd.h>
#include <valgrind/helgrind.h>

bool annotate_valgrind_races;

/* Asked what only one of the two knows; elsewhere the answer is the default. */
__attribute__((constructor)) static void find_tool(void)
{
    const bool helgrind = VALGRIND_DO_CLIENT_REQUEST_EXPR(0, _VG_USERREQ__HG_CLEAN_MEMORY_HEAPBLOCK, NULL, 0, 0, 0, 0) != 0;

    annotate_valgrind_races = helgrind || DRD_GET_VALGRIND_THREADID != 0;
}

/* DRD has Helgrind's number for these. */
void annotate_valgrind_release(void *object)
{
    ANNOTATE_HAPPENS_BEFORE(object);
}

void annotate_valgrind_acquire(void *object)
{
    ANNOTATE_HAPPENS_AFTER(object);
}

#endif
