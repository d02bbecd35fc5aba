/*
 * Claiming a parked thread: a waker, its deadline and a signal compete for it (sched.h, dispatch.c).
 *
 * Bounds: one thread that waits ROUNDS times on one queue, with or without a deadline, and then ends; WAKERS that post
 * once each; SENDERS of one signal each.  Within them every interleaving is looked at, with x86's store buffers for the
 * thread and the wakers, whose fast paths have plain stores.
 *
 * The thread announces its wait, leaves its stack, is said to be PARKED, and looks whether it was marked.  A waker
 * without a deadline to compete with stores `wake` and looks at `claim`.  The sender marks the thread, passes a
 * barrier, and when it finds it parked asks (ASKED), passes another one, and takes it if it still waits.
 *
 * Left out: how a running thread is made to look (a kick, at which the model lets it look), several threads, the
 * threads of others, joining.
 *
 * Checked: the thread is not made ready twice, nor while it stands on its stack; when nothing can move any more posts
 * are as many as successful waits and what is left of the count, the thread has ended or is on the queue, and no
 * signal is unhandled.
 *
 * With CANCEL, somebody asks the thread to end: it does at a wait that is a cancellation point, before it or in it, as
 * some of its waits are.  A request never takes a post with it, and the thread does not wait on at such a point.
 *
 * Leaving something out must be found:
 *   NO_BARRIER    the sender does not make the others' stores visible
 *   EARLY_RESET   the claim ends when the thread resumes, while it is on the queue
 *   EARLY_STATE   the thread is said to be PARKED while it stands on its stack
 *   NO_LOOK       the thread does not look whether it was marked when it has parked
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef WAKERS
#define WAKERS 2
#endif
#ifndef SENDERS
#define SENDERS 2
#endif

/* `wake` */
#define WAITING 1
#define READY 2
#define TIMEOUT 3
/* `state` */
#define RUNNING 0
#define PARKED 1
/* `claim` */
#define NONE 0
#define ASKED 1
#define WAKER 2
#define SIGNAL 3

/* In memory, as others see them. */
byte wake, state, claim;
bit marked;                     /* SPECIAL_SIGNAL */
bit cancel_marked;              /* SPECIAL_CANCEL, and the request */
bit cancellable;
bit timed;

bit queue_lock, signal_lock, heap_lock;
bit on_heap;                    /* its deadline may come; guarded by the heap's lock */
bit queued;                     /* the thread is on the queue; guarded by its lock */
byte count;
byte unhandled;                 /* signals that are pending; guarded by the signal lock */
bit kicked;

/* For the assertions. */
bit ready, on_stack = 1, ended;
byte got, posts;

/* Stores on their way to memory: which variable, and what. */
#define WAKE 0
#define STATE 1
#define CLAIM 2
#define POINT 3
chan stores[2] = [4] of { byte, byte }; /* the thread's CPU, the wakers' */

inline apply(variable, value)
{
    if
    :: variable == WAKE -> wake = value
    :: variable == STATE -> state = value
    :: variable == CLAIM -> claim = value
    :: variable == POINT -> cancellable = value
    fi
}

proctype Memory(byte cpu)
{
    byte variable, value;

end:
    do
    :: atomic { stores[cpu]?variable, value -> apply(variable, value); variable = 0; value = 0 }
    od
}

#define store(cpu, variable, value) stores[cpu]!variable, value
/* Every atomic instruction waits until the stores before it are done. */
#define fence(cpu) empty(stores[cpu])
#define acquire(lock) atomic { lock == 0 -> lock = 1 }
#define release(cpu, lock) atomic { fence(cpu) -> lock = 0 }
#ifdef NO_BARRIER
#define barrier() skip
#else
#define barrier() atomic { fence(0) && fence(1) }
#endif

inline make_ready()
{
    atomic { assert(!ready && !on_stack); ready = 1 }
}

/* park_claim_for_signal(), under the signal lock; took says whether. */
inline claim_for_signal(took)
{
    took = 0;
    if
    :: wake == WAITING ->
        if
        :: state == PARKED ->
            atomic {
                if
                :: claim == NONE -> claim = ASKED; took = 1
                :: else
                fi
            };
            if
            :: took ->
                barrier();
                took = 0;
                if
                :: wake == WAITING ->
                    if
                    :: state == PARKED -> took = 1
                    :: else
                    fi
                :: else
                fi;
                atomic {
                    if
                    :: claim == ASKED && took -> claim = SIGNAL
                    :: claim == ASKED && !took -> claim = NONE
                    :: else -> took = 0
                    fi
                }
            :: else
            fi
        :: else
        fi
    :: else
    fi
}

/* signal_run(): at a safe point of the thread's. */
inline handle()
{
    acquire(signal_lock);
    atomic { unhandled = 0; marked = 0; kicked = 0 };
    release(0, signal_lock)
}

proctype Thread()
{
    byte round = 0;
    bit took;
    bit point;

next:
    do
    :: marked || kicked -> handle()
    :: break
    od;
#ifdef CANCEL
    if
    :: point = 0
    :: point = 1
    fi;
    store(0, POINT, point);
    if
    :: point && cancel_marked -> goto cancelled
    :: else
    fi;
#endif
    acquire(queue_lock);
    if
    :: count > 0 -> atomic { count--; got++ }; release(0, queue_lock); goto done
    :: else
    fi;
    if
    :: timed = 0
    :: timed = 1
    fi;
    store(0, CLAIM, NONE);
    store(0, WAKE, WAITING);
    queued = 1;
#ifdef EARLY_STATE
    store(0, STATE, PARKED);
#endif
    /* The switch, and after_park() on the same CPU. */
    atomic { on_stack = 0 };
    if
    :: timed -> acquire(heap_lock); on_heap = 1; release(0, heap_lock)
    :: else
    fi;
#ifndef EARLY_STATE
    store(0, STATE, PARKED);
#endif
    took = 0;
#ifndef NO_LOOK
    if
    :: marked || cancel_marked -> took = 1
    :: else
    fi;
#endif
    release(0, queue_lock);
    if
    :: took ->
        acquire(signal_lock);
        if
        :: unhandled > 0 || (cancel_marked && point) -> claim_for_signal(took)
        :: else -> took = 0
        fi;
        release(0, signal_lock);
        if
        :: took -> make_ready()
        :: else
        fi
    :: else
    fi;
    took = 0;

end_parked:
    atomic { ready -> ready = 0; on_stack = 1 };
    store(0, STATE, RUNNING);
    if
    :: timed -> acquire(heap_lock); on_heap = 0; release(0, heap_lock)
    :: else
    fi;
    if
    :: claim == SIGNAL ->
#ifdef EARLY_RESET
        store(0, CLAIM, NONE);
#endif
        acquire(queue_lock);
        queued = 0;
        release(0, queue_lock);
        handle();
        if
        :: point && cancel_marked -> goto cancelled
        :: else
        fi;
        goto next
    :: else
    fi;
    if
    :: wake == READY -> got++
    :: else ->
        acquire(queue_lock);
        queued = 0;
        release(0, queue_lock)
    fi;
done:
    round++;
    if
    :: round < ROUNDS -> goto next
    :: else
    fi;
cancelled:
    atomic { ended = 1; state = RUNNING }
}

/* park_claim() on a CPU of its own: stores `how`; won says whether. */
inline claim_for_wake(how, won)
{
    won = 1;
    if
    :: !timed -> store(1, WAKE, how)
    :: else ->
        atomic {
            fence(1) ->
            if
            :: wake == WAITING -> wake = how
            :: else -> won = 0
            fi
        }
    fi;
    if
    :: won && claim != NONE ->
        atomic {
            fence(1) ->
            if
            :: claim == ASKED -> claim = WAKER
            :: claim == SIGNAL -> won = 0
            :: else
            fi
        }
    :: else
    fi
}

proctype Waker()
{
    bit won;

    acquire(queue_lock);
    posts++;
    if
    :: queued -> queued = 0; claim_for_wake(READY, won)
    :: else
    fi;
    if
    :: !won -> count++
    :: else
    fi;
    release(1, queue_lock);
    if
    :: won -> make_ready()
    :: else
    fi
}

/* timers_expire(): the deadline comes, or not. */
proctype Deadline()
{
    bit won;

end:
    do
    :: on_heap ->
        acquire(heap_lock);
        if
        :: on_heap ->
            on_heap = 0;
            atomic {
                if
                :: wake == WAITING -> wake = TIMEOUT; won = 1
                :: else
                fi
            };
            atomic {
                if
                :: won && claim == ASKED -> claim = WAKER
                :: won && claim == SIGNAL -> won = 0
                :: else
                fi
            }
        :: else
        fi;
        atomic { heap_lock = 0 };
        if
        :: won -> make_ready(); won = 0
        :: else
        fi
    od
}

proctype Sender()
{
    bit took;

    acquire(signal_lock);
    if
    :: ended
    :: else ->
        unhandled++;
        marked = 1;
        barrier();
        claim_for_signal(took);
        if
        :: took -> make_ready()
        :: !took && state == RUNNING -> kicked = 1
        :: else
        fi
    fi;
    atomic { signal_lock = 0 }
}

/* green_cancel() */
proctype Canceller()
{
    bit took;

    cancel_marked = 1;
    barrier();
    acquire(signal_lock);
    if
    :: cancellable ->
        claim_for_signal(took);
        if
        :: took -> make_ready()
        :: else
        fi
    :: else
    fi;
    atomic { signal_lock = 0 }
}

proctype Standstill()
{
end:
    timeout;
    atomic {
        assert(posts == WAKERS && posts == got + count);
        assert(queue_lock == 0 && signal_lock == 0 && heap_lock == 0 && !ready);
        assert(ended || (!on_stack && queued && count == 0));
        assert(ended || unhandled == 0);
        assert(ended || !cancellable || !cancel_marked)
    }
}

init {
    byte i;

    atomic {
        run Memory(0);
        run Memory(1);
        run Thread();
        for (i : 1 .. WAKERS) {
            run Waker()
        }
#if SENDERS > 0
        for (i : 1 .. SENDERS) {
            run Sender()
        }
#endif
#ifdef CANCEL
        run Canceller();
#endif
        run Deadline();
        run Standstill()
    }
}
