/*
 * green_call, green_call_cif: a thread in any C function, by libffi.
 *
 * A call travels to its thread in one block from malloc: a header, the argument types (only when the signature is
 * ours), the argument pointers, the values, and room for the result.  The new thread moves the block to its own stack
 * and frees it before it calls the function, because the function may leave by green_exit() and must not take memory
 * along.  Everything behind the header is found by place(), which therefore runs twice: for the creator and after the
 * move.
 *
 * libffi writes an integral result as a whole ffi_arg, whatever its width, so the call goes to room of our own and
 * the result's own width is copied.  One path for all: writing structures straight to the caller would save a copy,
 * and trust every port of libffi to stay within the structure.
 *
 * Rejected: making the creator wait until the arguments are taken (green_call() must not block); a thread-specific
 * destructor for the block (a key for ever, for what a move of some 200 bytes does).
 */
#include "call/signature.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <green/call.h>

struct call {
    ffi_cif own_cif;
    ffi_cif *cif; /* the caller's; NULL: own_cif, whose types are in this block */
    void (*function)(void);
    void *result;
    size_t bytes; /* of the whole block */
    unsigned args;
    ffi_type **types; /* this and what follows: set by place() */
    void **values;
    void *room;
};

/* Suits every type, and the whole words that a port of libffi may write for a small structure. */
#define UNIT ((size_t)16)

_Static_assert(_Alignof(struct call) <= UNIT, "malloc and the stack align blocks to UNIT");

static size_t round_up(size_t bytes)
{
    return (bytes + UNIT - 1) & ~(UNIT - 1);
}

/* Add `bytes` and padding to *total; false when that is more than there can be. */
static bool grow(size_t *total, size_t bytes)
{
    return bytes <= SIZE_MAX - UNIT && !__builtin_add_overflow(*total, round_up(bytes), total);
}

/* What the result needs as libffi writes it. */
static size_t room_bytes(const ffi_type *result)
{
    return result->size < sizeof(ffi_arg) ? sizeof(ffi_arg) : result->size;
}

/* Where the types of a signature are. */
static ffi_type **own_types(struct call *call)
{
    return (ffi_type **)(void *)((char *)call + round_up(sizeof *call));
}

/* Set the pointers into the block.  The types of a signature must be filled in, or be the caller's. */
static void place(struct call *call)
{
    call->types = call->cif ? call->cif->arg_types : own_types(call);
    char *at = (char *)own_types(call);
    if (!call->cif) {
        at += round_up(call->args * sizeof(ffi_type *));
    }
    call->values = (void **)(void *)at;
    at += round_up(call->args * sizeof(void *));
    for (unsigned i = 0; i < call->args; i++) {
        call->values[i] = at;
        at += round_up(call->types[i]->size);
    }
    call->room = at;
}

static void store_result(void *result, const ffi_type *type, const void *room)
{
    ffi_arg word;
    memcpy(&word, room, sizeof word);
    switch (type->type) {
    case FFI_TYPE_VOID: /* has a size of 1 */
        return;
    case FFI_TYPE_FLOAT:
    case FFI_TYPE_DOUBLE:
    case FFI_TYPE_LONGDOUBLE:
    case FFI_TYPE_COMPLEX:
    case FFI_TYPE_STRUCT:
        memcpy(result, room, type->size);
        return;
    default:
        integer_store(result, type->size, word);
    }
}

static void *run(void *arg)
{
    struct call *given = arg;
    struct call *call = __builtin_alloca_with_align(given->bytes, UNIT * CHAR_BIT);
    memcpy(call, given, given->bytes);
    free(given);
    place(call);
    ffi_cif *cif = call->cif;
    if (!cif) {
        cif = &call->own_cif;
        cif->arg_types = call->types;
    }
    ffi_call(cif, call->function, call->room, call->values);
    if (call->result) {
        store_result(call->result, cif->rtype, call->room);
    }
    return NULL;
}

/*
 * Arguments and result lie on the thread's stack, and libffi may copy structures twice more: they may take a quarter
 * of it.  Checked here, since one large step down a stack can miss the guard.
 */
static bool fits_stack(const green_attr_t *attr, size_t bytes)
{
    green_attr_t defaults;
    if (!attr) {
        green_attr_init(&defaults);
        attr = &defaults;
    }
    size_t stack;
    return green_attr_getstacksize(attr, &stack) != 0 || bytes <= stack / 4; /* a bad attr: green_create() says so */
}

/* A block for `args` pointers and `bytes` behind them. */
static int make(struct call **made, const green_attr_t *attr, unsigned args, size_t bytes)
{
    if (!grow(&bytes, sizeof(struct call)) || !grow(&bytes, args * sizeof(void *)) || !fits_stack(attr, bytes)) {
        return ENOMEM;
    }
    struct call *call = malloc(bytes);
    if (!call) {
        return ENOMEM;
    }
    call->bytes = bytes;
    call->args = args;
    *made = call;
    return 0;
}

static int start(green_t *thread, const green_attr_t *attr, struct call *call)
{
    int error = green_create(thread, attr, run, call);
    if (error) {
        free(call);
    }
    return error;
}

int green_call_cif(green_t *thread, const green_attr_t *attr, ffi_cif *cif, void (*function)(void), void *result,
                   void **args)
{
    if (!thread || !cif || !function || (cif->nargs && !args)) {
        return EINVAL;
    }
    size_t bytes = round_up(room_bytes(cif->rtype));
    for (unsigned i = 0; i < cif->nargs; i++) {
        if (!grow(&bytes, cif->arg_types[i]->size)) {
            return ENOMEM;
        }
    }
    struct call *call;
    int error = make(&call, attr, cif->nargs, bytes);
    if (error) {
        return error;
    }
    call->cif = cif;
    call->function = function;
    call->result = result;
    place(call);
    for (unsigned i = 0; i < cif->nargs; i++) {
        memcpy(call->values[i], args[i], cif->arg_types[i]->size);
    }
    return start(thread, attr, call);
}

int green_call(green_t *thread, const green_attr_t *attr, void *result, const char *signature,
               void (*function)(void), ...)
{
    unsigned args;
    ffi_type *result_type;
    if (!thread || !function || !signature || !signature_parse(signature, &result_type, NULL, &args)) {
        return EINVAL;
    }
    struct call *call; /* types, values of one UNIT each, and the result */
    int error = make(&call, attr, args, round_up(args * sizeof(ffi_type *)) + args * UNIT + UNIT);
    if (error) {
        return error;
    }
    call->cif = NULL;
    call->function = function;
    call->result = result;
    signature_parse(signature, &result_type, own_types(call), &args);
    place(call);
    ffi_prep_cif(&call->own_cif, FFI_DEFAULT_ABI, args, result_type, call->types); /* fails for bad types only */
    va_list from;
    va_start(from, function);
    for (unsigned i = 0; i < args; i++) {
        signature_take(call->values[i], call->types[i], &from);
    }
    va_end(from);
    return start(thread, attr, call);
}
