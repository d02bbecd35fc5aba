/*
 * A fence on behalf of others.
 *
 * Where one side runs often and the other hardly ever, the often one stores, then loads, with nothing but the compiler
 * kept in order between; the other stores, calls heavy_barrier(), then loads.  One of the two sees the other's store:
 * the kernel makes every CPU that runs this process pass a full fence.
 */
#ifndef BARRIER_H
#define BARRIER_H

/* Before the first use, and in the child of a fork. */
void heavy_barrier_init(void);

/* 0.3 to 3 us.  In a signal handler, too. */
void heavy_barrier(void);

#endif
