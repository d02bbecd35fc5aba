/*
 * The retake: how the monitor takes the processor away from a worker that is blocked in the kernel.
 *
 * Bounds: THREADS threads, WORKERS workers, PROCS processors (run says which), one monitor, one waker; STORES plain
 * stores in flight for each worker.  Within them every interleaving is looked at.
 *
 * Memory is that of x86 (TSO).  A worker's plain stores (depth, cur, tick, its ring) go through a first-in-first-out
 * buffer (STORES=0: there is none), which drains whenever it likes.  A locked instruction, so also a lock's acquisition and release, finds it
 * empty; membarrier() empties that of every worker, one after the other.  The kernel's own barriers, when a thread
 * sleeps or a signal comes, are left out: nothing here may depend on them.
 *
 * A thread computes, perhaps blocks in the kernel, for a while or for ever, and then enters the runtime: for a call
 * that only comes and goes, to yield, to park, to make another ready.  A tick, and the return tick of a worker that
 * has lost its processor, are such entries too.  That a thread enters the runtime sometime, unless it blocks for
 * ever, is what those ticks are for; it is taken for granted here.
 *
 * More is allowed than the library does:
 *   - blocked() is answered yes for any worker at any time, so the model does not rest on how blocking is seen; only a
 *     worker that really sleeps is never answered no;
 *   - the monitor does not look at the depth before it begins, which saves it time and nothing else.
 * And less: `tick` counts without end, so of the two looks at it only "it moved in between" is kept; depth is 0 or 1;
 * threads do not begin and end; there are no timers.
 *
 * Checked:
 *   - whoever is inside the runtime, or runs its own context with a processor, has that processor alone, and keeps it
 *     until it lets go (a thread whose worker was revoked may compute on until its return tick; it touches nothing);
 *   - a thread is run by one worker, on one queue, or parked: never two of these;
 *   - when nothing can move any more, every thread is blocked in the kernel for ever: no deadlock, no thread lost;
 *   - LIVE: a thread that waits for a processor gets one, whatever the others do, be it to block for ever (`runs`,
 *     under weak fairness).  To keep that small, run looks at it with STORES=0, memory at once; a locked section is
 *     one step; and a thread yields at the latest at its second entry, for else its slice would never end.
 *
 * Leaving something out must be found, or the model proves nothing:
 *   NO_MEMBARRIER  the monitor does not pay for the worker's missing fence
 *   NO_TICK        the monitor does not look whether the worker has switched; needs two processors
 *   WAIT_OWNED     a spare worker sleeps while it is not OWNED, instead of while it is NONE
 *   NO_LAST_LOOK   a worker queues its thread without looking for an idle processor under the same lock
 */

#ifndef PROCS
#define PROCS 1
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef THREADS
#define THREADS 2
#endif
#ifndef STORES
#define STORES 4
#endif

/* Of a worker. */
#define NONE 0
#define OWNED 1
#define REVOKING 2
#define REVOKED 3

/* Where a thread is; for assertions. */
#define QUEUED 0
#define RUNS 1
#define PARKED 2

#define OWN_CONTEXT THREADS /* in place of a thread */
#define BIT(i) (1 << (i))

/* A store in flight. */
#define CUR(t) (t)
#define RAISE(t) (8 + (t))
#define LOWER(t) (16 + (t))
#define PUSH(p, t) (24 + 4 * (p) + (t))
#define POP(p, t) (32 + 4 * (p) + (t))
#define TICK 40

#if STORES > 0
chan buffer[WORKERS] = [STORES] of { byte };
#endif

byte own[WORKERS];
byte proc[WORKERS];
byte cur[WORKERS];           /* as memory has it, as the next three */
bit moved[WORKERS];          /* tick has changed since the monitor looked */
bit depth[THREADS + 1];
byte ring[PROCS];            /* a set of threads */
byte view[WORKERS];          /* the ring as its worker sees it while it has stores to it in flight, and their number */
byte in_flight[WORKERS];
bit asleep[WORKERS];         /* in the kernel */

bit lock;                    /* sched_lock, which guards: */
chan global = [THREADS] of { byte };
byte idle;                   /* processors */
byte spares;                 /* workers */

bit woken[WORKERS];          /* a spare worker's futex */
byte parked;                 /* threads; a wait queue and its lock in one */

bit resumes_inside[THREADS]; /* it was queued on its way in, and has yet to do what it came for */

#ifdef LIVE
bit used[THREADS];           /* its slice: it comes and goes once, and then it yields */
#endif

/* For the assertions. */
bit inside[WORKERS];
byte where[THREADS];
bit waits[THREADS];          /* for a processor */
bit for_ever[THREADS];       /* blocked in the kernel */

/* Memory.  These are parts of d_steps. */

inline apply(w, store)
{
    if
    :: store < RAISE(0) -> cur[w] = store
    :: store >= RAISE(0) && store < LOWER(0) -> depth[store - RAISE(0)] = 1
    :: store >= LOWER(0) && store < PUSH(0, 0) -> depth[store - LOWER(0)] = 0
    :: store == TICK -> moved[w] = 1
    :: store >= PUSH(0, 0) && store < TICK ->
        if
        :: store < POP(0, 0) -> ring[(store - PUSH(0, 0)) / 4] = ring[(store - PUSH(0, 0)) / 4] | BIT(store % 4)
        :: else -> ring[(store - POP(0, 0)) / 4] = ring[(store - POP(0, 0)) / 4] & ~BIT(store % 4)
        fi;
        in_flight[w]--;
        if
        :: in_flight[w] == 0 -> view[w] = 0
        :: else
        fi
    fi;
    store = 0
}

#if STORES > 0

inline fence(w)
{
    do
    :: nempty(buffer[w]) -> buffer[w]?store; apply(w, store)
    :: empty(buffer[w]) -> break
    od
}

#define may_store(w) nfull(buffer[w])
#define issue(w, what) buffer[w]!what

proctype Buffer(byte w)
{
    byte store;

end:
    do
    :: d_step { nempty(buffer[w]) -> buffer[w]?store; apply(w, store) }
    od
}

#else /* memory at once */

#define fence(w) skip
#define may_store(w) true
#define issue(w, what) store = what; apply(w, store)

#endif

/* A store that waits for room in the buffer. */
inline put(w, what)
{
    d_step { may_store(w) -> issue(w, what) }
}

inline put_ring(w, how, t)
{
    d_step {
        may_store(w);
        if
        :: in_flight[w] == 0 -> view[w] = ring[proc[w]]
        :: else
        fi;
        if
        :: how == PUSH(0, 0) -> view[w] = view[w] | BIT(t)
        :: else -> view[w] = view[w] & ~BIT(t)
        fi;
        in_flight[w]++;
        issue(w, how + 4 * proc[w] + t)
    }
}

inline acquire(w)
{
    d_step { lock == 0 -> fence(w); lock = 1 }
}

inline release(w)
{
    d_step { fence(w); lock = 0 }
}

/*
 * A locked section, step by step.  With LIVE it is one step: weak fairness gets nobody a lock that others take and
 * release again and again, and a lock that starves somebody is not what this model is about.
 */
#ifdef LIVE
#define locked atomic
#else
#define locked
#endif

/* What the runtime does. */

#define holds(w) (own[w] == OWNED || own[w] == REVOKING)
#if WORKERS == 2
#define alone(w) !(inside[1 - w] && proc[1 - w] == proc[w])
#else
#define alone(w) (!(inside[(w + 1) % 3] && proc[(w + 1) % 3] == proc[w]) && \
                  !(inside[(w + 2) % 3] && proc[(w + 2) % 3] == proc[w]))
#endif

inline go_in(w)
{
    inside[w] = 1;
    assert(holds(w) && alone(w))
}

inline pick(set, t)
{
    if
    :: set & 1 -> t = 0
    :: set & 2 -> t = 1
#if THREADS > 2
    :: set & 4 -> t = 2
#endif
    fi
}

inline pick_worker(t)
{
    if
    :: spares & 1 -> t = 0
    :: spares & 2 -> t = 1
#if WORKERS > 2
    :: spares & 4 -> t = 2
#endif
    fi
}

/* With the lock held: any idle processor will do. */
inline take_idle(w)
{
    if
    :: idle & 1 -> idle = idle & ~1; proc[w] = 0
#if PROCS > 1
    :: idle & 2 -> idle = idle & ~2; proc[w] = 1
#endif
    fi
}

/* Wake a spare worker for an idle processor.  `v` is scratch. */
inline give_idle(v)
{
    if
    :: idle && spares -> pick_worker(v); spares = spares & ~BIT(v); take_idle(v); own[v] = OWNED; woken[v] = 1; v = 0
    :: else
    fi
}

/*
 * Who is next on the worker's processor; OWN_CONTEXT: nobody.  With several processors the ring's head is moved by
 * compare and swap, with one it is a plain store.
 */
inline choose(w, next)
{
    assert(inside[w] && holds(w) && alone(w));
    next = OWN_CONTEXT;
#if PROCS > 1
    atomic {
        d_step { fence(w) };
        if
        :: ring[proc[w]] -> pick(ring[proc[w]], next); ring[proc[w]] = ring[proc[w]] & ~BIT(next)
        :: else
        fi
    };
#else
    atomic {
        if
        :: in_flight[w] && view[w] -> pick(view[w], next)
        :: in_flight[w] == 0 && ring[proc[w]] -> pick(ring[proc[w]], next)
        :: else
        fi
    };
    if
    :: next != OWN_CONTEXT -> put_ring(w, POP(0, 0), next)
    :: else
    fi;
#endif
    if
    :: next == OWN_CONTEXT && len(global) > 0 ->
        atomic {
            lock == 0;
            d_step { fence(w) };
            if
            :: len(global) > 0 -> global?next
            :: else
            fi
        }
    :: else
    fi
}

#ifdef WAIT_OWNED
#define given(w) (own[w] == OWNED)
#else
#define given(w) (own[w] != NONE)
#endif

proctype Worker(byte w)
{
    byte me = OWN_CONTEXT, left = OWN_CONTEXT, next = OWN_CONTEXT;
    byte seen, store, v;
    bit parks;

end_spare:
    /* Its own context, asleep until given a processor. */
    do
    :: atomic { given(w) -> go_in(w); woken[w] = 0; break }
    :: else ->
end_asleep:
        woken[w] -> woken[w] = 0
    od;

search:
    choose(w, next);
#if PROCS > 1
    if
    :: next == OWN_CONTEXT && ring[1 - proc[w]] ->
        atomic {
            d_step { fence(w) };
            if
            :: ring[1 - proc[w]] ->
                pick(ring[1 - proc[w]], next);
                ring[1 - proc[w]] = ring[1 - proc[w]] & ~BIT(next)
            :: else
            fi
        }
    :: else
    fi;
#endif
    if
    :: next != OWN_CONTEXT -> goto arrive
    :: else
    fi;

    /* Nothing to do: give the processor up. */
    locked {
        acquire(w);
        if
        :: d_step { len(global) > 0 -> lock = 0 }; goto search
        :: else
        fi;
        d_step {
            assert(own[w] != REVOKED);
            inside[w] = 0;
            idle = idle | BIT(proc[w])
        };
        d_step { own[w] = NONE; spares = spares | BIT(w) };
        release(w)
    };
#if PROCS > 1
    /* Once more, now that pushers see the processor idle. */
    if
    :: ring[0] || ring[1] ->
        atomic {
            lock == 0;
            d_step { fence(w) };
            if
            :: own[w] == NONE && idle -> spares = spares & ~BIT(w); take_idle(w); own[w] = OWNED
            :: else
            fi
        }
    :: else
    fi;
#endif
    goto end_spare;

arrive:
    /* The switch to `next`, which has the processor from here on. */
    atomic { assert(where[next] == QUEUED); where[next] = RUNS; waits[next] = 0 };
    put(w, CUR(next));
    put(w, TICK);
    d_step {
#ifdef LIVE
        used[next] = 0;
#endif
        me = next;
        next = OWN_CONTEXT
    };
    if
    :: left == OWN_CONTEXT
    :: left != OWN_CONTEXT && parks ->
        d_step { fence(w); where[left] = PARKED; parked = parked | BIT(left); left = OWN_CONTEXT; parks = 0 }
    :: left != OWN_CONTEXT && !parks ->
        d_step { where[left] = QUEUED; waits[left] = 1 };
        put_ring(w, PUSH(0, 0), left);
        left = OWN_CONTEXT
    fi;
    if
    :: d_step { resumes_inside[me] -> resumes_inside[me] = 0 }; goto operation
    :: else
    fi;

leave:
    atomic {
        assert(inside[w] && holds(w) && alone(w));
        put(w, LOWER(me));
        inside[w] = 0
    };

    /* The thread's own code, at depth 0. */
    if
    :: true
    :: asleep[w] = 1;
        if
        :: asleep[w] = 0
        :: for_ever[me] = 1;
end_blocked:
            false
        fi
    fi;

    /* enter() */
    atomic { put(w, RAISE(me)); waits[me] = 1 };
    atomic {
        if
        :: own[w] == OWNED -> go_in(w); waits[me] = 0; goto operation
        :: else
        fi
    };

    /* enter_slow() */
    seen = own[w];
    do
    :: atomic { seen == OWNED -> seen = 0; go_in(w); waits[me] = 0; goto operation }
    :: seen == REVOKING ->
        d_step {
            fence(w);
            if
            :: own[w] == REVOKING -> own[w] = OWNED
            :: else
            fi;
            seen = own[w]
        }
    :: seen == REVOKED -> seen = 0; break
    od;
    atomic {
        lock == 0;
        d_step { fence(w); assert(own[w] == REVOKED) };
        if
        :: idle -> take_idle(w); own[w] = OWNED; go_in(w); waits[me] = 0; goto operation
        :: else
        fi
    };

    /* To its own context, which takes the thread off this worker. */
    d_step { left = me; me = OWN_CONTEXT };
    put(w, CUR(OWN_CONTEXT));
    put(w, TICK);
    locked {
        acquire(w);
        assert(own[w] == REVOKED);
        if
#ifndef NO_LAST_LOOK
        :: atomic {
                idle -> take_idle(w); own[w] = OWNED; lock = 0;
                go_in(w);
                where[left] = QUEUED; resumes_inside[left] = 1; next = left; left = OWN_CONTEXT
            };
            goto arrive
        :: else ->
#else
        :: true ->
#endif
            d_step { global!left; where[left] = QUEUED; resumes_inside[left] = 1; left = OWN_CONTEXT };
            d_step { own[w] = NONE; spares = spares | BIT(w) };
            release(w)
        fi
    };
    goto end_spare;

operation:
    if
#ifdef LIVE
    :: !used[me] -> used[me] = 1; goto leave
#else
    :: true -> goto leave
#endif
    :: true -> /* yield */
        choose(w, next);
        if
        :: next == OWN_CONTEXT -> goto leave
        :: else -> left = me; goto arrive
        fi
#ifdef PARK
    :: true -> /* park */
        choose(w, next);
        d_step { left = me; parks = 1 };
        if
        :: next != OWN_CONTEXT -> goto arrive
        :: else
        fi;
        put(w, CUR(OWN_CONTEXT));
        put(w, TICK);
        d_step {
            fence(w); where[left] = PARKED; parked = parked | BIT(left);
            left = OWN_CONTEXT; parks = 0; me = OWN_CONTEXT
        };
        goto search
    :: parked -> /* ready, and wake_for() */
        atomic {
            if
            :: parked -> pick(parked, next); parked = parked & ~BIT(next); where[next] = QUEUED; waits[next] = 1
            :: else -> goto leave
            fi
        };
        put_ring(w, PUSH(0, 0), next);
        d_step { fence(w); next = OWN_CONTEXT };
        if
        :: idle -> atomic { lock == 0; give_idle(v) }
        :: else
        fi;
        goto leave
#endif
    fi
}

/* Other kernel threads that make parked threads ready: sooner or later all of them. */
proctype Waker()
{
    byte t, v;

end:
    do
    :: atomic {
            parked && lock == 0;
            pick(parked, t);
            parked = parked & ~BIT(t); where[t] = QUEUED; waits[t] = 1;
            global!t;
            t = 0;
            give_idle(v)
        }
    od
}

proctype Monitor()
{
    byte w, v, t, store;
    bit busy;

end:
    do
    :: atomic { own[0] == OWNED -> own[0] = REVOKING; w = 0 }; goto revoke
    :: atomic { own[1] == OWNED -> own[1] = REVOKING; w = 1 }; goto revoke
#if WORKERS > 2
    :: atomic { own[2] == OWNED -> own[2] = REVOKING; w = 2 }; goto revoke
#endif
    od;

revoke:
#ifndef NO_MEMBARRIER
    atomic { fence(0) }; /* atomic: a jump may not lead to a d_step */
    d_step { fence(1) };
#if WORKERS > 2
    d_step { fence(2) };
#endif
#endif
    moved[w] = 0;     /* s1 = tick */
    t = cur[w];
    busy = depth[t];
    t = 0;
#ifndef NO_TICK
    busy = busy | moved[w]; /* s1 != s2 */
#endif
    if
    :: busy -> goto give_up
    :: !busy
    :: !busy && !asleep[w] -> goto give_up
    fi;
    locked {
        atomic { lock == 0 -> lock = 1 };
        if
        :: d_step { own[w] == REVOKING -> own[w] = REVOKED; assert(!inside[w]) };
            atomic { idle = idle | BIT(proc[w]); give_idle(v) }
        :: else
        fi;
        d_step { lock = 0; w = 0; busy = 0 }
    };
    goto end;

give_up:
    atomic {
        if
        :: own[w] == REVOKING -> own[w] = OWNED
        :: else
        fi;
        w = 0; busy = 0
    };
    goto end
}

/* Nothing can move any more: only threads that the kernel holds for ever may be left. */
proctype Standstill()
{
    byte t;

end:
    timeout;
    d_step {
        assert(empty(global) && parked == 0 && ring[0] == 0 && ring[PROCS - 1] == 0);
        for (t : 0 .. THREADS - 1) {
            assert(for_ever[t])
        }
    }
}

init {
    byte i;

    atomic {
        for (i : 0 .. THREADS) {
            depth[i] = 1
        }
        for (i : 0 .. THREADS - 1) {
            waits[i] = 1
        }
        if /* who is first in line */
        :: global!0; global!1
        :: global!1; global!0
        fi;

        for (i : 0 .. WORKERS - 1) {
            cur[i] = OWN_CONTEXT;
            run Worker(i);
#if STORES > 0
            run Buffer(i)
#endif
        }
#if THREADS > 2
        global!2;
#endif
        own[0] = OWNED;
        spares = BIT(WORKERS) - 2;
        idle = BIT(PROCS) - 2;
        run Monitor();
#ifdef PARK
        run Waker();
#endif
        run Standstill()
    }
}

#ifdef LIVE
/* One thread stands for all: nothing above tells them apart. */
ltl runs { [] (waits[0] -> <> !waits[0]) }
#endif
