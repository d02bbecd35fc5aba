/* What the program's files refer to. */
#ifndef LINKED_H
#define LINKED_H

#include <stdbool.h>

/* Whether a file that is loaded refers to a symbol of another file's.  Takes the loader's lock. */
bool linked_against(const char *symbol);

#endif
