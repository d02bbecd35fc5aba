/*
 * The locks of wait queues, which are not taken while one processor is alone with them (core/alone.c), and the kernel
 * thread of another kind that comes.
 *
 * Bounds: two workers, of which one at a time holds the processor; each has a buffer of STORES plain stores (x86's),
 * for the depth of the thread that it runs.  One foreign thread.  Workers and the foreign thread enter one section
 * again and again.
 *
 * The processor goes from one worker to the other while the first is at depth 0, as retake.pml has it; a thread that
 * finds it gone as it enters waits, inside, until it comes back.
 *
 * Left out: threads and switches.  A section that ends on another thread's stack ends on the same worker, which is
 * inside throughout.
 *
 * Checked: one at a time is in the section.  Leaving something out must be found:
 *   NO_BARRIER  the foreign thread does not make the others' stores visible before it looks
 *   NO_WAIT     it does not wait for who is inside
 *   ONE_LOOK    it looks for the worker that holds the processor, and then waits for nobody else, but looks too early:
 *               before it has said that it is there
 */
#ifndef STORES
#define STORES 2
#endif

#define NOBODY 2

chan buffer[2] = [STORES] of { bit };
bit depth[2];  /* as memory has it */
bit shared;
bit word;      /* the lock */
byte holder;
byte in_section;

inline drain(w)
{
    do
    :: nempty(buffer[w]) -> buffer[w]?depth[w]
    :: empty(buffer[w]) -> break
    od
}

proctype Buffer(byte w)
{
end:
    do
    :: buffer[w]?depth[w]
    od
}

inline section()
{
    in_section++;
    assert(in_section == 1);
    in_section--
}

proctype Worker(byte w)
{
    bit real;

end:
    do
    :: buffer[w]!1;                                                /* enter(); a full buffer waits */
end_inside:
       holder == w;
       real = shared;
       if
       :: real -> atomic { word == 0 -> drain(w); word = 1 }       /* a locked instruction */
       :: else
       fi;
       section();
       if
       :: shared -> d_step { drain(w); word = 0 }                  /* perhaps of a lock that was not taken */
       :: else
       fi;
       buffer[w]!0                                                 /* leave() */
    od
}

/* With its membarrier: the depth that it sees is the true one. */
proctype Monitor()
{
    byte w;

end:
    do
    :: atomic {
           w = holder;
           drain(w);
           if
           :: depth[w] == 0 -> holder = 1 - w
           :: else
           fi
       }
    od
}

proctype Foreigner()
{
    byte w, first = NOBODY;

#ifdef ONE_LOOK
    first = holder;
#endif
    shared = 1;
#ifndef NO_BARRIER
    d_step { drain(0) };
    d_step { drain(1) };
    skip;
#endif
#ifndef NO_WAIT
    for (w : 0 .. 1) {
        if
        :: first == NOBODY || first == w -> (holder != w || depth[w] == 0)
        :: else
        fi
    }
#endif
end:
    do
    :: atomic { word == 0 -> word = 1 };
       section();
       word = 0
    od
}

init {
    atomic {
        run Buffer(0);
        run Buffer(1);
        run Worker(0);
        run Worker(1);
        run Monitor();
        run Foreigner()
    }
}
