/* Settings from green_init() and the environment.  See config.c. */
#ifndef CONFIG_H
#define CONFIG_H

#include <green/sched.h>

/* Fill in `settings`.  config may be NULL.  0 or EINVAL, with a line on standard error. */
int config_load(const struct green_config *config);

#endif
