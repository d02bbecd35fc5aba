/*
 * Threads started in any C function: every letter of a signature, structures by value, and what is refused.
 */
#include "unit.h"

#include <green/call.h>
#include <limits.h>

TestSuite(call, .timeout = LIMIT);

#define FUNCTION(name) ((void (*)(void))(name))

/*
 * For each letter one function that returns its argument, and a check that the result is stored in its own width: the
 * bytes after it must stay as they were.
 */
#define ECHO(letter, type)                \
    static type echo_##letter(type value) \
    {                                     \
        return value;                     \
    }

ECHO(c, signed char)
ECHO(C, unsigned char)
ECHO(s, short)
ECHO(S, unsigned short)
ECHO(i, int)
ECHO(I, unsigned)
ECHO(l, long)
ECHO(L, unsigned long)
ECHO(q, long long)
ECHO(Q, unsigned long long)
ECHO(b, int8_t)
ECHO(B, uint8_t)
ECHO(h, int16_t)
ECHO(H, uint16_t)
ECHO(w, int32_t)
ECHO(W, uint32_t)
ECHO(x, int64_t)
ECHO(X, uint64_t)
ECHO(z, size_t)
ECHO(f, float)
ECHO(d, double)
typedef void *pointer;

ECHO(p, pointer)

#define CHECK_ECHO(letter, type, number)                                                                           \
    do {                                                                                                           \
        struct {                                                                                                   \
            _Alignas(16) unsigned char bytes[32];                                                                  \
        } room;                                                                                                    \
        green_t thread;                                                                                            \
        type sent = (type)(number), got;                                                                           \
        memset(&room, 0xa5, sizeof room);                                                                          \
        cr_assert_eq(green_call(&thread, NULL, &room, #letter "(" #letter ")", FUNCTION(echo_##letter), sent), 0); \
        cr_assert_null(join_result(thread));                                                                       \
        memcpy(&got, &room, sizeof got);                                                                           \
        cr_assert(got == sent, "letter " #letter);                                                                 \
        for (size_t i = sizeof got; i < sizeof room; i++)                                                          \
            cr_assert_eq(room.bytes[i], 0xa5, "letter " #letter " wrote byte %zu", i);                             \
    } while (0)

ON_BOTH(call, signed_integers)
{
    CHECK_ECHO(c, signed char, SCHAR_MIN);
    CHECK_ECHO(s, short, SHRT_MIN);
    CHECK_ECHO(i, int, INT_MIN);
    CHECK_ECHO(l, long, LONG_MIN);
    CHECK_ECHO(q, long long, LLONG_MIN);
    CHECK_ECHO(b, int8_t, -1);
    CHECK_ECHO(h, int16_t, INT16_MIN);
    CHECK_ECHO(w, int32_t, INT32_MIN);
    CHECK_ECHO(x, int64_t, INT64_MIN);
}

ON_BOTH(call, unsigned_integers)
{
    CHECK_ECHO(C, unsigned char, UCHAR_MAX);
    CHECK_ECHO(S, unsigned short, USHRT_MAX);
    CHECK_ECHO(I, unsigned, UINT_MAX);
    CHECK_ECHO(L, unsigned long, ULONG_MAX);
    CHECK_ECHO(Q, unsigned long long, ULLONG_MAX);
    CHECK_ECHO(B, uint8_t, UINT8_MAX);
    CHECK_ECHO(H, uint16_t, UINT16_MAX);
    CHECK_ECHO(W, uint32_t, UINT32_MAX);
    CHECK_ECHO(X, uint64_t, UINT64_MAX);
    CHECK_ECHO(z, size_t, SIZE_MAX);
}

ON_BOTH(call, others)
{
    CHECK_ECHO(f, float, 0.1f);
    CHECK_ECHO(d, double, -1e300);
    CHECK_ECHO(p, pointer, &errno);
}

static int touched;

static void touch(void)
{
    touched++;
}

static long mixed(signed char a, unsigned short b, float c, double d, const char *e, long long f, uint8_t g, float h,
                  double i, int16_t j, size_t k, unsigned l, double m, double n, double o, double p, double q, long r)
{
    return a + b + (long)c + (long)d + (long)strlen(e) + (long)f + g + (long)h + (long)i + j + (long)k + l + (long)m +
           (long)n + (long)o + (long)p + (long)q + r;
}

ON_BOTH(call, many_arguments_and_none)
{
    green_t thread;
    long sum = 0;
    cr_assert_eq(green_call(&thread, NULL, NULL, "v()", FUNCTION(touch)), 0);
    join_result(thread);
    cr_assert_eq(touched, 1);
    cr_assert_eq(green_call(&thread, NULL, &sum, " l ( c S f d p q B f d h z I d d d d d l ) ", FUNCTION(mixed), -1,
                            2, 3.0f, 4.0, "12345", 6LL, 7, 8.0f, 9.0, -10, (size_t)11, 12u, 13.0, 14.0, 15.0, 16.0,
                            17.0, 18L), 0);
    join_result(thread);
    cr_assert_eq(sum, -1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 - 10 + 11 + 12 + 13 + 14 + 15 + 16 + 17 + 18);
    cr_assert_eq(green_call(&thread, NULL, NULL, "i(i)", FUNCTION(echo_i), 5), 0, "the result is not wanted");
    join_result(thread);
}

ON_BOTH(call, bad_signatures)
{
    static const char *const bad[] = {
        "",     " ",      "i",     "i(",    "i(i",   "i)",     "(i)",    "()",  "y(i)", "i(y)",
        "i(v)", "i(i)x", "ii(i)", "i(i)(", "i((i)", "i(i))", "i(i,i)", "v(v)", "-(i)",
    };
    green_t thread;
    int result;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(green_call(&thread, NULL, &result, bad[i], FUNCTION(echo_i), 1, 1), EINVAL, "<%s>", bad[i]);
    cr_assert_eq(stats_now().threads_live, 1);
}

ON_BOTH(call, null)
{
    green_t thread, *volatile none = NULL;
    const char *volatile no_signature = NULL;
    void (*volatile nothing)(void) = NULL;
    cr_assert_eq(green_call(none, NULL, NULL, "v()", FUNCTION(touch)), EINVAL);
    cr_assert_eq(green_call(&thread, NULL, NULL, no_signature, FUNCTION(touch)), EINVAL);
    cr_assert_eq(green_call(&thread, NULL, NULL, "v()", nothing), EINVAL);
}

static void name_of_caller(char *buffer)
{
    green_getname_np(green_self(), buffer, 16);
}

ON_BOTH(call, attributes)
{
    green_attr_t attr;
    green_t thread;
    char name[16] = "";
    green_attr_init(&attr);
    green_attr_setname_np(&attr, "called");
    cr_assert_eq(green_call(&thread, &attr, NULL, "v(p)", FUNCTION(name_of_caller), name), 0);
    join_result(thread);
    cr_assert_str_eq(name, "called");
}

struct mix {
    int number;
    double real;
    char text[24];
};

static struct mix double_it(struct mix mix, signed char add)
{
    mix.number = mix.number * 2 + add;
    mix.real *= 2;
    mix.text[0]++;
    return mix;
}

static ffi_type *mix_fields[27] = {&ffi_type_sint, &ffi_type_double};
static ffi_type mix_type = {0, 0, FFI_TYPE_STRUCT, mix_fields};

static void describe_mix(void)
{
    for (int i = 0; i < 24; i++)
        mix_fields[2 + i] = &ffi_type_schar;
}

/* The arguments are gone when the thread runs: they must have been copied. */
ON_BOTH(call, structures_by_value)
{
    ffi_cif cif;
    ffi_type *types[] = {&mix_type, &ffi_type_schar};
    describe_mix();
    cr_assert_eq(ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 2, &mix_type, types), FFI_OK);
    for (int i = 0; i < 500; i++) {
        struct mix argument = {i, i * 0.5, "A structure by value"}, result;
        signed char add = -3;
        void *args[] = {&argument, &add};
        green_t thread;
        cr_assert_eq(green_call_cif(&thread, NULL, &cif, FUNCTION(double_it), &result, args), 0);
        memset(&argument, 0, sizeof argument);
        memset(args, 0, sizeof args);
        add = 0;
        join_result(thread);
        cr_assert_eq(result.number, 2 * i - 3);
        cr_assert(result.real == i * 1.0);
        cr_assert_str_eq(result.text, "B structure by value");
    }
}

ON_BOTH(call, cif_result_has_its_width)
{
    ffi_cif cif;
    ffi_type *types[] = {&ffi_type_schar};
    signed char value = -5, room[16];
    void *args[] = {&value};
    green_t thread;
    memset(room, 0x5a, sizeof room);
    cr_assert_eq(ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 1, &ffi_type_schar, types), FFI_OK);
    cr_assert_eq(green_call_cif(&thread, NULL, &cif, FUNCTION(echo_c), room, args), 0);
    join_result(thread);
    cr_assert_eq(room[0], -5);
    for (size_t i = 1; i < sizeof room; i++)
        cr_assert_eq(room[i], 0x5a);
}

ON_BOTH(call, cif_bad_arguments)
{
    ffi_cif cif, none_cif, *volatile no_cif = NULL;
    ffi_type *types[] = {&ffi_type_sint};
    green_t thread, *volatile none = NULL;
    void (*volatile nothing)(void) = NULL;
    void **volatile no_args = NULL;
    int value = 1;
    void *args[] = {&value};
    cr_assert_eq(ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 1, &ffi_type_sint, types), FFI_OK);
    cr_assert_eq(ffi_prep_cif(&none_cif, FFI_DEFAULT_ABI, 0, &ffi_type_void, NULL), FFI_OK);
    cr_assert_eq(green_call_cif(none, NULL, &cif, FUNCTION(echo_i), NULL, args), EINVAL);
    cr_assert_eq(green_call_cif(&thread, NULL, no_cif, FUNCTION(echo_i), NULL, args), EINVAL);
    cr_assert_eq(green_call_cif(&thread, NULL, &cif, nothing, NULL, args), EINVAL);
    cr_assert_eq(green_call_cif(&thread, NULL, &cif, FUNCTION(echo_i), NULL, no_args), EINVAL);
    cr_assert_eq(green_call_cif(&thread, NULL, &none_cif, FUNCTION(touch), NULL, no_args), 0);
    join_result(thread);
    cr_assert_eq(touched, 1);
}
