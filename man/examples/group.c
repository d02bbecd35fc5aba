#include <errno.h>
#include <green/group.h>
#include <stdio.h>

static int task(void *arg)
{
    const int *number = arg;

    if (*number == 2)
        return ENOENT; /* a failure: the others are asked to end */
    green_sleep(3600);
    return 0;
}

int main(void)
{
    green_group_t *group;
    int numbers[4] = {0, 1, 2, 3}, failure = 0;

    if (green_group_create(&group, NULL) != 0)
        return 1;
    for (int i = 0; i < 4; i++)
        green_group_spawn(group, NULL, task, &numbers[i]);
    green_group_wait(group, &failure);
    green_group_destroy(group);
    puts(failure == ENOENT ? "one failed" : "all is well");
    return failure != ENOENT;
}
