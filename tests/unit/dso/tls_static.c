/*
 * A library that takes its thread-local variables from the static block, as libraries built for speed do: opened
 * while threads exist, its image has to reach the block of each of them.
 */
static __thread int value __attribute__((tls_model("initial-exec"))) = 4242;
static __thread long zero __attribute__((tls_model("initial-exec")));

int *static_value(void);
long *static_zero(void);

int *static_value(void)
{
    return &value;
}

long *static_zero(void)
{
    return &zero;
}
