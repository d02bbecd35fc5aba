/*
 * Any C function as a thread: typed arguments and results, by libffi.
 *
 * green_call() takes a signature such as "d(di)", a result and arguments in parentheses; the letters are listed in
 * <green/call.h>.  green_call_cif() takes whatever libffi can describe: here a structure by value.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <green/call.h>

#include "common.h"

struct point {
    double x, y;
    int16_t tag;
};

static int8_t negate(int8_t value)
{
    return (int8_t)-value;
}

static uint16_t join_bytes(unsigned char high, unsigned char low)
{
    return (uint16_t)(high << 8 | low);
}

static int sum(short a, int b, long c)
{
    return (int)(a + b + c);
}

static uint64_t shift(uint32_t value, unsigned bits)
{
    return (uint64_t)value << bits;
}

static float halve(float value)
{
    return value / 2;
}

static double area(double width, float height)
{
    return width * (double)height;
}

static const char *skip(const char *text, size_t bytes)
{
    return text + bytes;
}

static void add_to(int *total, int value)
{
    *total += value;
}

static struct point mirror(struct point point, double around)
{
    return (struct point){2 * around - point.x, point.y, (int16_t)(point.tag + 1)};
}

static bool all_right = true;

static void expect(bool right, const char *what)
{
    printf("%-5s %s\n", right ? "ok" : "WRONG", what);
    all_right = all_right && right;
}

/* libffi wants functions as void (*)(void), whatever they are. */
#define CALL(result, signature, function, ...)                                                                \
    do {                                                                                                      \
        green_t thread;                                                                                       \
        MUST(green_call(&thread, NULL, result, signature, (void (*)(void))(function), __VA_ARGS__));          \
        MUST(green_join(thread, NULL));                                                                       \
    } while (0)

static void call_by_signature(void)
{
    struct {
        int8_t narrow;
        char behind; /* a result narrower than int must not reach here */
    } byte = {0, 77};
    CALL(&byte.narrow, "b(b)", negate, 5);
    expect(byte.narrow == -5 && byte.behind == 77, "int8_t negate(int8_t)");
    uint16_t word;
    CALL(&word, "H(CC)", join_bytes, 0xab, 0xcd);
    expect(word == 0xabcd, "uint16_t join_bytes(unsigned char, unsigned char)");
    int number;
    CALL(&number, "i(sil)", sum, -1, 20, 300L);
    expect(number == 319, "int sum(short, int, long)");
    uint64_t big;
    CALL(&big, "X(WI)", shift, UINT32_C(0x80000001), 8u);
    expect(big == UINT64_C(0x8000000100), "uint64_t shift(uint32_t, unsigned)");
    float half;
    CALL(&half, "f(f)", halve, 5.0);
    expect(half == 2.5f, "float halve(float)");
    double square;
    CALL(&square, "d(df)", area, 2.5, 4.0);
    expect(square == 10.0, "double area(double, float)");
    const char *rest;
    CALL(&rest, "p(pz)", skip, "green", (size_t)2);
    expect(rest[0] == 'e' && rest[2] == 'n', "const char *skip(const char *, size_t)");
    int total = 40;
    CALL(NULL, "v(pi)", add_to, &total, 2);
    expect(total == 42, "void add_to(int *, int)");
}

static void call_with_structure(void)
{
    ffi_type *fields[] = {&ffi_type_double, &ffi_type_double, &ffi_type_sint16, NULL};
    ffi_type point_type = {.type = FFI_TYPE_STRUCT, .elements = fields};
    ffi_type *types[] = {&point_type, &ffi_type_double};
    ffi_cif cif;
    MUST(ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 2, &point_type, types) == FFI_OK ? 0 : EINVAL);

    struct point point = {1, 2, 3}, result;
    double around = 10;
    green_t thread;
    MUST(green_call_cif(&thread, NULL, &cif, (void (*)(void))mirror, &result, (void *[]){&point, &around}));
    point.x = around = 0; /* the arguments were copied */
    MUST(green_join(thread, NULL));
    expect(result.x == 19 && result.y == 2 && result.tag == 4, "struct point mirror(struct point, double)");
}

static void refuse(const char *signature)
{
    green_t thread;
    char what[64];
    snprintf(what, sizeof what, "\"%s\" is refused", signature);
    expect(green_call(&thread, NULL, NULL, signature, (void (*)(void))sum, 1, 2, 3L) == EINVAL, what);
}

int main(void)
{
    call_by_signature();
    call_with_structure();
    refuse("i(sil");
    refuse("i(siy)");
    refuse("i(siv)");
    refuse("i(sil) ;");
    refuse("");
    return all_right ? 0 : 1;
}
