#include <green.h>
#include <stdio.h>

static green_rwlock_t lock = GREEN_RWLOCK_INITIALIZER;
static int low = 1, high = 1;

static void *reader(void *arg)
{
    int *differ = arg;

    green_rwlock_rdlock(&lock);
    *differ = low != high;
    green_rwlock_unlock(&lock);
    return NULL;
}

int main(void)
{
    green_t threads[4];
    int differ[4] = {0}, sum = 0;

    for (int i = 0; i < 4; i++)
        if (green_create(&threads[i], NULL, reader, &differ[i]) != 0)
            return 1;
    green_rwlock_wrlock(&lock);
    low = 2;
    green_yield();
    high = 2;
    green_rwlock_unlock(&lock);
    for (int i = 0; i < 4; i++) {
        green_join(threads[i], NULL);
        sum += differ[i];
    }
    printf("%d readers saw half a change\n", sum);
    return sum;
}
