/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities that the processes of a mount keep. */
#include "fs/mount/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

static const unsigned for_users[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,  CAP_FSETID,
	CAP_MKNOD, CAP_SETUID,       CAP_SETGID,          CAP_SETFCAP,
};
static const unsigned for_mounting[] = { CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH };

/* In a container some of them may be missing already: that is what the operator decided. */
static int keep(const unsigned *capabilities, size_t count)
{
	const capng_type_t sets = (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	unsigned kept[ARRAY_SIZE(for_users)];
	size_t kept_count = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; i < count; i++) {
		if (capng_have_capability(CAPNG_PERMITTED, capabilities[i]))
			kept[kept_count++] = capabilities[i];
	}
	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < kept_count; i++) {
		if (capng_update(CAPNG_ADD, sets, kept[i]) < 0)
			return -EPERM;
	}
	return capng_apply(CAPNG_SELECT_BOTH) < 0 ? -EPERM : 0;
}

int privileges_drop(void)
{
	return geteuid() == 0 ? keep(for_users, ARRAY_SIZE(for_users)) : 0;
}

int privileges_keep_mounting(void)
{
	return geteuid() == 0 ? keep(for_mounting, ARRAY_SIZE(for_mounting)) : 0;
}
