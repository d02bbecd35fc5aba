#include <green.h>
#include <green/activation.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int added;

static void observe(const struct green_activation_event *events,
                    size_t count, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind == GREEN_ACTIVATION_ADDED)
            atomic_fetch_add(&added, 1);
    }
}

int main(void)
{
    green_activation_t registration;
    unsigned kinds = GREEN_ACTIVATION_ADDED;

    if (green_activation_register(&registration, kinds, observe, NULL))
        return 1;
    if (green_setconcurrency(green_getconcurrency() + 1) != 0)
        return 1;
    while (!atomic_load(&added))
        green_usleep(1000);
    puts("a processor more");
    return green_activation_unregister(registration);
}
