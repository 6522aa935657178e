/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work in the control directory as the process itself.  A thread of the mount creates objects with the caller's fsuid and
 * fsgid; the control directory and the state directory are the process's.
 *
 *	CLEANUP(own_credentials_restore) struct own_credentials saved = own_credentials_take();
 */
#ifndef SNAPCRYPT_FS_STORE_OWN_CREDENTIALS_H
#define SNAPCRYPT_FS_STORE_OWN_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* EFFECTIVE: capabilities, because leaving fsuid 0 takes away more than the thread had given up. */
struct own_credentials {
	bool is_changed;
	uid_t fsuid;
	gid_t fsgid;
	uint32_t effective[2];
};

/* This thread's filesystem ids become the process's effective ones. */
struct own_credentials own_credentials_take(void);
void own_credentials_restore(struct own_credentials *saved);

#endif
