/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of the libraries that this process runs with. */
#ifndef SNAPCRYPT_FS_CMD_LIBRARIES_H
#define SNAPCRYPT_FS_CMD_LIBRARIES_H

#include <stddef.h>

#define LIBRARIES_MAX 8

struct library {
	const char *name;
	char version[32];
};

/* Fill those that are loaded; returns how many. */
size_t libraries_list(struct library libraries[static LIBRARIES_MAX]);

#endif
