/*
 * POSIX has no channels.  This is one without a buffer, and without elements, as it is made of a mutex and a condition
 * variable: a sender waits until somebody has received.
 */
#ifndef GREEN_CHAN_H
#define GREEN_CHAN_H

#include <green.h>
#include <stdlib.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned sent, received;
} green_chan_t;

static inline int green_chan_create(green_chan_t **chan, size_t element_bytes, size_t capacity)
{
    if (element_bytes || capacity || !(*chan = malloc(sizeof **chan)))
        return 1;
    **chan = (green_chan_t){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    return 0;
}

static inline int green_chan_send(green_chan_t *chan, const void *element)
{
    (void)element;
    pthread_mutex_lock(&chan->mutex);
    const unsigned mine = ++chan->sent;
    pthread_cond_broadcast(&chan->changed);
    while (chan->received < mine)
        pthread_cond_wait(&chan->changed, &chan->mutex);
    pthread_mutex_unlock(&chan->mutex);
    return 0;
}

static inline int green_chan_recv(green_chan_t *chan, void *element)
{
    (void)element;
    pthread_mutex_lock(&chan->mutex);
    while (chan->received == chan->sent)
        pthread_cond_wait(&chan->changed, &chan->mutex);
    chan->received++;
    pthread_cond_broadcast(&chan->changed);
    pthread_mutex_unlock(&chan->mutex);
    return 0;
}

#endif
