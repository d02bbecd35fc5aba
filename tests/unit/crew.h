/* Threads of every kind at one task: multiplexed, bound, and the program's own kernel threads. */
#ifndef CREW_H
#define CREW_H

#include "unit.h"

/*
 * Call work(0) to work(3 * each - 1), each on a thread of its own, kinds in turn; and meanwhile(), if any, on this one.
 * Returns when all have ended.
 */
enum { CREW_KINDS = 3 };
void crew_of_all_kinds(unsigned each, void (*work)(unsigned index), void (*meanwhile)(void));

#endif
