/* SPDX-License-Identifier: Apache-2.0 */
/* For trust*.c only. */
#ifndef SNAPCRYPT_FS_STORE_TRUST_INTERNAL_H
#define SNAPCRYPT_FS_STORE_TRUST_INTERNAL_H

#include <pthread.h>

#include "fs/store/trust.h"

struct state_dir;
struct sign_key;

struct trust {
	struct state_dir *state;
	pthread_mutex_t mutex; /* guards `key` and its public half while it is made */
	struct sign_key *key;  /* loaded at the first signature */
	bool has_public_key;
	bool has_no_key; /* there was none when it was looked for */
	uint8_t public_key[RECORD_PUBLIC_KEY_SIZE];
	char (*writers)[WRITER_FINGERPRINT_SIZE];
	size_t writer_count;
	bool requires_origin;
};

#endif
