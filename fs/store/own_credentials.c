/* SPDX-License-Identifier: Apache-2.0 */
/* Filesystem ids of a thread. */
#include "fs/store/own_credentials.h"

#include <sys/fsuid.h>
#include <unistd.h>

/* An id that no one has makes these calls answer without changing anything. */
#define NO_ID ((uid_t)-1)

struct own_credentials own_credentials_take(void)
{
	struct own_credentials saved = {
		.fsuid = (uid_t)setfsuid(NO_ID),
		.fsgid = (gid_t)setfsgid(NO_ID),
	};

	saved.is_changed = saved.fsuid != geteuid() || saved.fsgid != getegid();
	if (saved.is_changed) {
		setfsuid(geteuid());
		setfsgid(getegid());
	}
	return saved;
}

void own_credentials_restore(struct own_credentials *saved)
{
	if (!saved->is_changed)
		return;
	setfsgid(saved->fsgid);
	setfsuid(saved->fsuid);
}
