/*
 * Channels: threads that hand values to each other, and wait for several such at once.
 *
 * Overview.  A channel carries elements of one size from senders to receivers, in order.  Without a buffer (capacity 0)
 * a send and a receive meet: the element is copied from one thread's variable to the other's, and both go on.  With a
 * buffer a send waits only while it is full, a receive only while it is empty.  Those who wait are served first come
 * first served.
 *
 * How to use it.
 *
 *     green_chan_t *jobs;
 *     green_chan_create(&jobs, sizeof(struct job), 16);
 *     ...
 *     green_chan_send(jobs, &job);                     a producer
 *     green_chan_close(jobs);                          the last of them
 *     while (green_chan_recv(jobs, &job) == 0) ...     a consumer
 *
 * Closing says that nothing more is sent: receivers still get what is in the buffer, and then EPIPE; a sender gets EPIPE
 * at once, one that waits too, and its element was not sent.  EPIPE is what write(2) says of a pipe whose other end has
 * gone, and what libdill says of its channels.  (Go panics at a send; C has nothing like it that a program could handle.)
 *
 * An element is copied as by memcpy, while the calling thread is not preempted: keep it in ordinary memory, which does
 * not wait for a disk, and send a pointer to what is large.
 *
 * All threads may use channels: multiplexed and bound ones, and kernel threads of the program's own, which sleep in the
 * kernel where others park.  A signal handler that runs on a thread that waits does not end the wait: it goes on behind
 * those who wait already.  A send, a receive or a select that may wait is a cancellation point; one that is cancelled has
 * sent and received nothing.  There is no POSIX source; the model is Go's channels.
 */
#ifndef GREEN_CHAN_H
#define GREEN_CHAN_H

#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct green_chan green_chan_t;

/* The largest element, in bytes. */
#define GREEN_CHAN_ELEMENT_MAX 65536

/*
 * Make a channel whose elements are of so many bytes, 0 for a mere signal, with a buffer for so many of them, 0 for none.
 * Does not block.  Signal handler: no.
 *   EINVAL  an element of more than GREEN_CHAN_ELEMENT_MAX bytes; a null pointer
 *   ENOMEM  no memory for the buffer
 */
GREEN_API int green_chan_create(green_chan_t **chan, size_t element_bytes, size_t capacity);

/*
 * Free a channel that nobody will use any more, with what is left in its buffer.  Who has got the last element may do so
 * at once: its sender touches the channel no more.  Does not block.  Signal handler: no.
 *   EBUSY   threads wait on it, or are only leaving a green_select() that it is a case of
 *   EINVAL  a null pointer
 */
GREEN_API int green_chan_destroy(green_chan_t *chan);

/*
 * Send *element.  abstime is an absolute time: of CLOCK_REALTIME for timedsend, of the given clock (that or
 * CLOCK_MONOTONIC) for clocksend; it is looked at only when the call would wait.  `element` may be null when elements
 * have 0 bytes.  send, timedsend and clocksend block.  Signal handler: green_chan_trysend(), from one that
 * green_sigaction() has set.
 *   EPIPE      the channel is closed, or was while the call waited; the element was not sent
 *   EAGAIN     trysend: nobody waits to receive, and there is no room in the buffer
 *   ETIMEDOUT  the time came first; the element was not sent
 *   EINVAL     a time that is none, an unknown clock, a null pointer
 */
GREEN_API int green_chan_send(green_chan_t *chan, const void *element);
GREEN_API int green_chan_trysend(green_chan_t *chan, const void *element);
GREEN_API int green_chan_timedsend(green_chan_t *chan, const void *element, const struct timespec *abstime);
GREEN_API int green_chan_clocksend(green_chan_t *chan, const void *element, clockid_t clock,
                                   const struct timespec *abstime);

/*
 * Receive into *element, or drop what is received when that is null.  abstime is an absolute time, as of sending.  recv,
 * timedrecv and clockrecv block.  Signal handler: green_chan_tryrecv(), from one that green_sigaction() has set.
 *   EPIPE      the channel is closed and nothing is left in it; *element is as it was
 *   EAGAIN     tryrecv: nothing is in the buffer, and nobody waits to send
 *   ETIMEDOUT  the time came first; nothing was received
 *   EINVAL     a time that is none, an unknown clock, a null channel
 */
GREEN_API int green_chan_recv(green_chan_t *chan, void *element);
GREEN_API int green_chan_tryrecv(green_chan_t *chan, void *element);
GREEN_API int green_chan_timedrecv(green_chan_t *chan, void *element, const struct timespec *abstime);
GREEN_API int green_chan_clockrecv(green_chan_t *chan, void *element, clockid_t clock, const struct timespec *abstime);

/*
 * Nothing more is sent: wakes everybody who waits on the channel.  Does not block.  Signal handler: yes, from one that
 * green_sigaction() has set.
 *   EPIPE   it is closed already: of several closers one alone gets 0
 *   EINVAL  a null pointer
 */
GREEN_API int green_chan_close(green_chan_t *chan);

/*
 * len returns the number of elements in the buffer, now; cap how many it has room for; 0 for a null channel.  Neither
 * blocks.  Signal handler: yes.
 */
GREEN_API size_t green_chan_len(const green_chan_t *chan);
GREEN_API size_t green_chan_cap(const green_chan_t *chan);

/*
 * Selecting: of several sends and receives do one, whichever can be done first.
 *
 *     struct green_case cases[] = {
 *         {jobs, GREEN_RECV, &job, 0},
 *         {results, GREEN_SEND, &result, 0},
 *     };
 *     switch (green_select(cases, 2, NULL)) { case 0: ... }
 *
 * When several can be done, one of them is chosen at random, each as likely as another.  On a closed channel either can
 * be done at once, and has EPIPE for an error.  A case whose channel is null is never chosen, so that a program can
 * switch it off.  The same channel may stand in several cases.
 */
enum green_case_op { GREEN_SEND = 1, GREEN_RECV = 2 };

struct green_case {
    green_chan_t *chan;
    int op;        /* GREEN_SEND or GREEN_RECV */
    void *element; /* as green_chan_send(), which only reads it, and green_chan_recv() have it */
    int error;     /* set in the case that is chosen: 0 or EPIPE */
};

/* The most cases of a select. */
#define GREEN_SELECT_MAX 1024

/*
 * Do one of the cases, waiting until abstime, an absolute time of CLOCK_REALTIME or of the given clock, or for ever when
 * that is null; a time that has passed asks and does not wait.  Returns the index of the case that was done; -1 and sets
 * errno when none was.  tryselect does not block, the others do.  Signal handler: green_tryselect(), from one that
 * green_sigaction() has set.
 *   EAGAIN     tryselect: none can be done now
 *   ETIMEDOUT  the time came first
 *   EDEADLK    the wait would have no end: no time, and no case that has a channel
 *   EINVAL     more than GREEN_SELECT_MAX cases; an operation that is none; a null element to be sent of a channel whose
 *              elements have bytes; a time that is none, an unknown clock; a null pointer
 *   ENOMEM     no memory for more than 16 cases
 */
GREEN_API int green_select(struct green_case *cases, size_t count, const struct timespec *abstime);
GREEN_API int green_clockselect(struct green_case *cases, size_t count, clockid_t clock,
                                const struct timespec *abstime);
GREEN_API int green_tryselect(struct green_case *cases, size_t count);

#ifdef __cplusplus
}
#endif

#endif
