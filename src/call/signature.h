/*
 * The readable signatures of green_call(), as libffi types.
 */
#ifndef CALL_SIGNATURE_H
#define CALL_SIGNATURE_H

#include <ffi.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Read "i(pid)".  types is NULL to count only: the block that the types live in is made once their number is known.
 * False when the text is not of that form.
 */
bool signature_parse(const char *text, ffi_type **result, ffi_type **types, unsigned *args);

/* Take one argument as `...` passes it, and store it in the width of its type. */
void signature_take(void *value, const ffi_type *type, va_list *from);

/* The low bytes of a word as an integer of that size. */
void integer_store(void *value, size_t bytes, uint64_t word);

#endif
