/*
 * Park and ready: how a thread waits on a queue, and how a waker and its deadline compete for it.
 *
 * Bounds: THREADS threads that wait ROUNDS times each, with or without a deadline; WORKERS workers, each with a
 * processor; one wait queue (a semaphore's), one timer heap, one run queue; POSTERS other kernel threads that post
 * once each.  A deadline may come at any time.  Within them every interleaving is looked at.
 *
 * A waiter enters the queue under its lock and switches away with the lock held; the thread or the worker's own
 * context that arrives in its place does the rest, once it is off its stack: puts it on the heap if it has a
 * deadline, and releases the lock (after_park).  A waker takes it off the queue and claims it under the lock, an
 * expiry under the heap's; whoever changes `wake` from WAITING makes it ready.  A woken thread takes itself off the
 * heap before it goes on, and one that timed out off the queue.
 *
 * Memory is sequentially consistent here: all that is shared is changed under a lock or by compare and swap.  Left
 * out: heaps that are merged, foreign waiters, fork, a waiter put first in line, waits without a queue (a sleep is
 * one that nobody posts to).
 *
 * Checked:
 *   - a thread is not resumed while somebody stands on its stack, not made ready twice, not run twice;
 *   - an expiry hits the wait that it was meant for, never the thread's next one;
 *   - after_park still has the same wait before it when it is done with it;
 *   - when nothing can move any more, every thread has ended or waits without a deadline, on the queue; and posts are
 *     as many as successful waits and what is left of the count: nothing lost, nothing doubled.
 *   - every execution ends (with -DNP and -l: there is no cycle), so a thread that is to run does, without a claim.
 *
 * Leaving something out must be found, or the model proves nothing:
 *   EARLY_RELEASE  the lock is released before the stack is left
 *   EARLY_TIMER    the deadline is on the heap before the stack is left
 *   PLAIN_CLAIM    a waker claims a waiter with a deadline without compare and swap
 *   LATE_CLAIM     an expiry claims after it has released the heap's lock
 *   NO_CANCEL      a woken thread leaves its deadline on the heap
 */

#define THREADS 2 /* Expiry() names them */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef POSTERS
#define POSTERS 2
#endif

/* `wake` */
#define WAITING 1
#define READY 2
#define TIMEOUT 3

#define OWN_CONTEXT THREADS /* in place of a thread */

chan run_queue = [THREADS] of { byte };

bit queue_lock;
chan queue = [THREADS] of { byte }; /* guarded by queue_lock, as is: */
byte count;                         /* the semaphore's */

bit heap_lock;
bit on_heap[THREADS];               /* guarded by heap_lock; read without */

byte wake[THREADS];
bit timed[THREADS];                 /* its deadline is not NEVER */
bit parked[THREADS];                /* it is to go on behind park() */
byte round[THREADS];

/* For the assertions. */
bit on_stack[THREADS];
bit ready_again[THREADS];           /* made ready, and not yet run */
byte got;                           /* successful waits */
byte posts;

#define acquire(lock) atomic { lock == 0 -> lock = 1 }
#define release(lock) lock = 0

inline ready(t)
{
    atomic {
        assert(!ready_again[t]);
        ready_again[t] = 1;
        run_queue!t
    }
}

inline heap_add(t)
{
    acquire(heap_lock);
    on_heap[t] = 1;
    release(heap_lock)
}

/* Who runs next on this worker. */
inline choose(next)
{
    atomic {
        if
        :: len(run_queue) > 0 -> run_queue?next
        :: else -> next = OWN_CONTEXT
        fi
    }
}

proctype Worker()
{
    byte me = OWN_CONTEXT, left = OWN_CONTEXT, next = OWN_CONTEXT, was;

end_idle:
    run_queue?next;

arrive:
    /* The switch: one stack is left, the other is stood on. */
    atomic {
        if
        :: left != OWN_CONTEXT -> on_stack[left] = 0
        :: else
        fi;
        if
        :: next != OWN_CONTEXT -> assert(!on_stack[next]); on_stack[next] = 1; ready_again[next] = 0
        :: else
        fi;
        me = next;
        next = OWN_CONTEXT
    };
    if
    :: left != OWN_CONTEXT -> /* after_park() */
#ifndef EARLY_TIMER
        if
        :: timed[left] -> heap_add(left)
        :: else
        fi;
#endif
        assert(round[left] == was);
#ifndef EARLY_RELEASE
        release(queue_lock);
#endif
        atomic { left = OWN_CONTEXT; was = 0 }
    :: else
    fi;
    if
    :: me == OWN_CONTEXT -> goto end_idle
    :: me != OWN_CONTEXT && !parked[me] -> goto again
    :: else -> parked[me] = 0
    fi;

    /* Behind the switch in park(): timer_cancel(). */
#ifndef NO_CANCEL
    do
    :: timed[me] && on_heap[me] ->
        acquire(heap_lock);
        on_heap[me] = 0;
        release(heap_lock)
    :: else -> break
    od;
#endif
    assert(wake[me] != WAITING);
    if
    :: wake[me] == READY -> got++
    :: else ->
        acquire(queue_lock);
        atomic {
            if
            :: queue??[eval(me)] -> queue??eval(me)
            :: !(queue??[eval(me)])
            fi
        };
        release(queue_lock)
    fi;

again:
    if
    :: round[me] == ROUNDS -> atomic { on_stack[me] = 0; me = OWN_CONTEXT }; goto end_idle
    :: else -> round[me]++
    fi;
    acquire(queue_lock);
    if
    :: count > 0 -> atomic { count--; got++ }; release(queue_lock); goto again
    :: else
    fi;
    if
    :: timed[me] = 0
    :: timed[me] = 1
    fi;
    wake[me] = WAITING;
    queue!me;
    parked[me] = 1;
#ifdef EARLY_TIMER
    if
    :: timed[me] -> heap_add(me)
    :: else
    fi;
#endif
#ifdef EARLY_RELEASE
    release(queue_lock);
#endif
    choose(next);
    atomic { left = me; was = round[me] };
    goto arrive
}

/* waitq_claim_first(), and ready() once the lock is released. */
proctype Poster()
{
    byte t = OWN_CONTEXT;
    bit claimed;

    acquire(queue_lock);
    posts++;
    do
    :: atomic { len(queue) > 0 -> queue?t };
#ifdef PLAIN_CLAIM
        atomic { wake[t] = READY; claimed = 1 };
#else
        if
        :: !timed[t] -> atomic { wake[t] = READY; claimed = 1 }
        :: else ->
            atomic {
                if
                :: wake[t] == WAITING -> wake[t] = READY; claimed = 1
                :: else
                fi
            }
        fi;
#endif
        if
        :: claimed -> break
        :: else
        fi
    :: atomic { len(queue) == 0 -> count++; break }
    od;
    release(queue_lock);
    if
    :: claimed -> ready(t)
    :: else
    fi
}

/* timers_expire(), on some worker. */
proctype Expiry()
{
    byte t, was;
    bit claimed;

end:
    do
    :: acquire(heap_lock);
        if
        :: atomic { on_heap[0] -> t = 0; was = round[0] }
        :: atomic { on_heap[1] -> t = 1; was = round[1] }
        :: else -> goto nobody
        fi;
#ifdef LATE_CLAIM
        on_heap[t] = 0;
        release(heap_lock);
#endif
        atomic {
            if
            :: wake[t] == WAITING -> wake[t] = TIMEOUT; claimed = 1; assert(round[t] == was)
            :: else
            fi
        };
#ifndef LATE_CLAIM
        on_heap[t] = 0;
#endif
        if
        :: claimed -> ready(t)
        :: else
        fi;
nobody:
        atomic { heap_lock = 0; t = 0; was = 0; claimed = 0 };
end_asleep:
        on_heap[0] || on_heap[1]
    od
}

/* Nothing can move any more. */
proctype Standstill()
{
    byte t;

end:
    timeout;
    atomic {
        assert(posts == POSTERS && posts == got + count);
        assert(queue_lock == 0 && heap_lock == 0 && empty(run_queue));
        for (t : 0 .. THREADS - 1) {
            assert(!on_stack[t] && !ready_again[t]);
            if
            :: parked[t] -> assert(!timed[t] && wake[t] == WAITING && count == 0 && queue??[eval(t)])
            :: else -> assert(round[t] == ROUNDS)
            fi
        }
    }
}

init {
    byte i;

    atomic {
        for (i : 0 .. WORKERS - 1) {
            run Worker()
        }
        for (i : 0 .. POSTERS - 1) {
            run Poster()
        }
        run Expiry();
        run Standstill();
        for (i : 0 .. THREADS - 1) {
            ready(i)
        }
    }
}
