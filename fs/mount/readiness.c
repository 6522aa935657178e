/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager, if there is one. */
#include "fs/mount/readiness.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>

static void tell(const char *state)
{
	/* Without a service manager there is nobody to tell. */
	(void)sd_notify(0, state);
}
#else
static void tell(const char *state)
{
	(void)state;
}
#endif

void readiness_serving(void)
{
	tell("READY=1\nSTATUS=serving");
}

void readiness_stopping(void)
{
	tell("STOPPING=1\nSTATUS=writing everything down");
}
