/* What a thread is doing now, by the library's own table and by the kernel's. */
#ifndef DOING_H
#define DOING_H

#include "unit.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Off any processor, and not ready. */
int is_parked(green_t id);

/* Asleep in read() from that descriptor.  Where the kernel does not say in which call a thread is: always. */
int is_reading(green_t id, int fd);

#ifdef __cplusplus
}
#endif

#endif
