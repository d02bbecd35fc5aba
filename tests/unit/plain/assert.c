/*
 * What Criterion's macros call, for a program without its library: see main.c.
 *
 * A test that fails says where and ends its process; Criterion would jump out of it, to send a message to a runner.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "plain.h"

struct criterion_options criterion_options;

void criterion_internal_test_setup(void)
{
}

void criterion_internal_test_main(void (*test)(void))
{
    test();
}

void criterion_internal_test_teardown(void)
{
}

void cri_asserts_passed_incr(void)
{
}

int cr_asprintf(char **text, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    const int length = vasprintf(text, format, list);
    va_end(list);
    return length;
}

void cr_asprintf_free(char *text)
{
    free(text);
}

/* The assertion's text follows, of which some kinds have none. */
char *cr_translate_assert_msg(int kind, ...)
{
    va_list list;

    va_start(list, kind);
    char *text = strdup(kind == CRITERION_ASSERT_MSG_FAIL ? "" : va_arg(list, const char *));
    va_end(list);
    return text;
}

void criterion_send_assert(struct criterion_assert_stats *assertion)
{
    dprintf(STDERR_FILENO, "%s:%u: does not hold: %s\n", assertion->file, assertion->line, assertion->message);
}

void criterion_abort_test(void)
{
    _exit(PLAIN_FAILED);
}

static __attribute__((noreturn)) void end_test(int status, const char *format, va_list list)
{
    vdprintf(STDERR_FILENO, format, list);
    dprintf(STDERR_FILENO, "\n");
    _exit(status);
}

void criterion_skip_test(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    end_test(PLAIN_SKIPPED, format, list);
}

void criterion_test_die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    end_test(PLAIN_FAILED, format, list);
}

void cr_log(enum criterion_severity severity, const char *format, ...)
{
    va_list list;

    (void)severity;
    va_start(list, format);
    vdprintf(STDERR_FILENO, format, list);
    va_end(list);
}
