/*
 * A library with thread-local variables in the dynamic model, as most have.
 */
static __thread int value = 42;
static __thread char zeroes[3000];
static __thread _Alignas(64) long aligned = 7;

int *dynamic_value(void);
char *dynamic_zeroes(void);
long *dynamic_aligned(void);

int *dynamic_value(void)
{
    return &value;
}

char *dynamic_zeroes(void)
{
    return zeroes;
}

long *dynamic_aligned(void)
{
    return &aligned;
}
