#ifndef PLAIN_H
#define PLAIN_H

/* How the process of a test ends that failed, or cannot run here. */
#define PLAIN_FAILED 98
#define PLAIN_SKIPPED 97

#endif
