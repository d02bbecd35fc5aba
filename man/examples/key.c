#include <green.h>
#include <stdio.h>
#include <stdlib.h>

static green_key_t key;

/* A buffer for each thread, freed when the thread ends. */
static char *buffer(void)
{
    char *mine = green_getspecific(key);

    if (!mine && (mine = malloc(64)) != NULL)
        green_setspecific(key, mine);
    return mine;
}

static void *work(void *arg)
{
    char *text = buffer();

    if (text) {
        snprintf(text, 64, "thread %d", *(int *)arg);
        puts(text);
    }
    return NULL;
}

int main(void)
{
    int number = 1;
    green_t thread;

    if (green_key_create(&key, free) != 0 ||
        green_create(&thread, NULL, work, &number) != 0)
        return 1;
    return green_join(thread, NULL);
}
