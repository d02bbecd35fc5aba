#include <green.h>
#include <stdio.h>

static void *square(void *arg)
{
    int *number = arg;

    *number *= *number;
    return number;
}

int main(void)
{
    green_t threads[3];
    int numbers[3] = {2, 3, 4};

    for (int i = 0; i < 3; i++)
        if (green_create(&threads[i], NULL, square, &numbers[i]) != 0)
            return 1;
    for (int i = 0; i < 3; i++) {
        void *result;
        if (green_join(threads[i], &result) != 0)
            return 1;
        printf("%d\n", *(int *)result);
    }
    return 0;
}
