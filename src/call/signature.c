/*
 * Signatures such as "i(pid)": the letters are listed in <green/call.h>.  Reading is strict: nothing but spaces
 * between the letters, nothing behind the parenthesis.
 */
#include "call/signature.h"

#include <limits.h>
#include <stddef.h>

_Static_assert(sizeof(size_t) == sizeof(unsigned long), "'z' is passed as unsigned long");

/* libffi counts the bytes of all arguments in an unsigned. */
#define ARGUMENTS_MAX (UINT_MAX / 16)

static ffi_type *letter_type(char letter)
{
    switch (letter) {
    case 'c': return &ffi_type_schar;
    case 'C': return &ffi_type_uchar;
    case 's': return &ffi_type_sshort;
    case 'S': return &ffi_type_ushort;
    case 'i': return &ffi_type_sint;
    case 'I': return &ffi_type_uint;
    case 'l': return &ffi_type_slong;
    case 'z':
    case 'L': return &ffi_type_ulong;
    case 'b': return &ffi_type_sint8;
    case 'B': return &ffi_type_uint8;
    case 'h': return &ffi_type_sint16;
    case 'H': return &ffi_type_uint16;
    case 'w': return &ffi_type_sint32;
    case 'W': return &ffi_type_uint32;
    case 'q':
    case 'x': return &ffi_type_sint64;
    case 'Q':
    case 'X': return &ffi_type_uint64;
    case 'f': return &ffi_type_float;
    case 'd': return &ffi_type_double;
    case 'p': return &ffi_type_pointer;
    case 'v': return &ffi_type_void;
    default: return NULL;
    }
}

/* The next character that is no space; *text is left behind it, but never behind the end. */
static char next_letter(const char **text)
{
    while (**text == ' ') {
        (*text)++;
    }
    return **text ? *(*text)++ : '\0';
}

bool signature_parse(const char *text, ffi_type **result, ffi_type **types, unsigned *args)
{
    *args = 0;
    *result = letter_type(next_letter(&text));
    if (!*result || next_letter(&text) != '(') {
        return false;
    }
    char letter;
    while ((letter = next_letter(&text)) != ')') {
        ffi_type *type = letter_type(letter);
        if (!type || type == &ffi_type_void || *args == ARGUMENTS_MAX) {
            return false;
        }
        if (types) {
            types[*args] = type;
        }
        (*args)++;
    }
    return next_letter(&text) == '\0';
}

void integer_store(void *value, size_t bytes, uint64_t word)
{
    switch (bytes) {
    case 1: *(uint8_t *)value = (uint8_t)word; return;
    case 2: *(uint16_t *)value = (uint16_t)word; return;
    case 4: *(uint32_t *)value = (uint32_t)word; return;
    default: *(uint64_t *)value = word;
    }
}

void signature_take(void *value, const ffi_type *type, va_list *from)
{
    switch (type->type) {
    case FFI_TYPE_FLOAT:
        *(float *)value = (float)va_arg(*from, double);
        return;
    case FFI_TYPE_DOUBLE:
        *(double *)value = va_arg(*from, double);
        return;
    case FFI_TYPE_POINTER:
        *(void **)value = va_arg(*from, void *);
        return;
    default: /* what is narrower than an int has become one */
        integer_store(value, type->size, type->size <= sizeof(int) ? va_arg(*from, unsigned) : va_arg(*from, uint64_t));
    }
}
