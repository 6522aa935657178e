/* SPDX-License-Identifier: Apache-2.0 */
/* Filesystem ids of a thread. */
#include "fs/store/own_credentials.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An id that no one has makes these calls answer without changing anything. */
#define NO_ID ((uid_t)-1)

struct capabilities {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];
};

static bool get_capabilities(struct capabilities *capabilities)
{
	*capabilities = (struct capabilities){
		.header = { .version = _LINUX_CAPABILITY_VERSION_3 },
	};
	return syscall(SYS_capget, &capabilities->header, capabilities->data) == 0;
}

static void save_effective(struct own_credentials *saved)
{
	struct capabilities now;

	if (!get_capabilities(&now))
		return;
	saved->effective[0] = now.data[0].effective;
	saved->effective[1] = now.data[1].effective;
}

static void restore_effective(const struct own_credentials *saved)
{
	struct capabilities now;

	if (!get_capabilities(&now))
		return;
	now.data[0].effective = saved->effective[0] & now.data[0].permitted;
	now.data[1].effective = saved->effective[1] & now.data[1].permitted;
	syscall(SYS_capset, &now.header, now.data);
}

struct own_credentials own_credentials_take(void)
{
	struct own_credentials saved = {
		.fsuid = (uid_t)setfsuid(NO_ID),
		.fsgid = (gid_t)setfsgid(NO_ID),
	};

	saved.is_changed = saved.fsuid != geteuid() || saved.fsgid != getegid();
	if (saved.is_changed) {
		save_effective(&saved);
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
	restore_effective(saved);
}
