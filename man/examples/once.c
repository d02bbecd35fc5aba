#include <green.h>
#include <stdio.h>

static green_once_t once = GREEN_ONCE_INIT;
static int table[100];

static void fill_table(void)
{
    for (int i = 0; i < 100; i++)
        table[i] = i * i;
}

/* Whoever asks first fills the table. */
static void *look_up(void *arg)
{
    green_once(&once, fill_table);
    return &table[*(int *)arg];
}

int main(void)
{
    int seven = 7;
    green_t thread;
    void *result;

    if (green_create(&thread, NULL, look_up, &seven) != 0 ||
        green_join(thread, &result) != 0)
        return 1;
    printf("%d\n", *(int *)result);
    return *(int *)result != 49;
}
