/*
 * Typed thread entry by libffi: start a thread in any C function, with any arguments.
 *
 * How to use it.  `double area(double r, int n)` becomes a thread by
 *
 *     double result;
 *     green_call(&thread, NULL, &result, "d(di)",
 *                (void (*)(void))area, 2.0, 3);
 *     green_join(thread, NULL);  // result holds what area() returned
 *
 * The arguments are copied before green_call() returns.  The result is written before the thread ends, so it may be
 * read after green_join(); it must stay valid until then.
 */
#ifndef GREEN_CALL_H
#define GREEN_CALL_H

#include <ffi.h>
#include <green.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The signature is the result's letter and the arguments' in parentheses, as in "i(pid)"; spaces are ignored.
 *
 *     c C  signed, unsigned char    b B  int8_t, uint8_t
 *     s S  short                    h H  int16_t
 *     i I  int                      w W  int32_t
 *     l L  long                     x X  int64_t
 *     q Q  long long                z    size_t
 *     f    float                    d    double
 *     p    pointer                  v    void (result only)
 *
 * Arguments are passed as to any function with `...`: narrow integers as int, float as double.  A result narrower
 * than int is stored in its own width.  result may be NULL when it is not wanted.  The thread's own result, at join,
 * is NULL.  Does not block.  Signal handler: no.
 *   EINVAL  a signature that is not of this form, or a null thread or function
 *   EAGAIN, ENOMEM  as green_create(); ENOMEM also for more arguments than a quarter of the thread's stack holds
 */
GREEN_API int green_call(green_t *thread, const green_attr_t *attr, void *result, const char *signature,
                         void (*function)(void), ...);

/*
 * The same for whatever libffi can describe, structures by value included.  cif must be prepared and, with the types
 * it names, outlive the call of function; args points to the arguments as for ffi_call() and is copied.  result has
 * the width of the cif's result type.  Does not block.  Signal handler: no.
 *   EINVAL  a null thread, cif or function, or no args where the cif has some
 *   EAGAIN, ENOMEM  as green_create()
 */
GREEN_API int green_call_cif(green_t *thread, const green_attr_t *attr, ffi_cif *cif, void (*function)(void),
                             void *result, void **args);

#ifdef __cplusplus
}
#endif

#endif
