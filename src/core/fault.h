/* Stack overflow reports.  See fault.c. */
#ifndef FAULT_H
#define FAULT_H

#include <signal.h>
#include <stdbool.h>

/* Install the handler unless the program (or a sanitizer) has one.  0 or an error number. */
int fault_init(void);
bool fault_is_ours(const struct sigaction *action);

#endif
