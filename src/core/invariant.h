/* Who holds which processor, checked.  See invariant.c. */
#ifndef INVARIANT_H
#define INVARIANT_H

/* What does not hold, or NULL.  With the sched lock held. */
const char *invariant_violation(void);

/* After a change of holds, the same: debug builds end the process. */
#ifdef GREEN_DEBUG
void invariant_assert(void);
#else
static inline void invariant_assert(void)
{
}
#endif

#endif
