/* When the wait queues' locks begin to be taken.  See alone.c. */
#ifndef ALONE_H
#define ALONE_H

#include "core/thread.h"

/* From here on, by a thread on the only processor, at depth > 0 and with none of them held. */
void queues_share(void);
/* The same by a kernel thread that is no worker; waits for who is inside. */
void queues_share_and_wait(void);

#endif
