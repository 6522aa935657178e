/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of digests as sha256sum(1) writes and checks them, made while a snapshot is exported.  Thread-safe.
 *
 * A list is passed on when it is large, so that memory is bounded; an export has one or several of them.
 */
#ifndef SNAPCRYPT_FS_EXPORT_DIGESTS_H
#define SNAPCRYPT_FS_EXPORT_DIGESTS_H

#include <stddef.h>
#include <stdint.h>

#include "fs/document.h"
#include "kms/crypto/hash.h"
#include "meta/macros.h"

struct digests;

/* PUT stores a list: at NAME in the directory that holds the file at path NEAR; "": the export's own. */
struct digests_options {
	int (*put)(void *arg, const char *near, const char *name, const void *data, size_t size,
		   char **ret_path);
	void *arg;
};

MUST_CHECK int digests_new(const struct digests_options *options, struct digests **ret_digests);
void digests_free(struct digests *digests); /* accepts NULL */

/* The file at PATH is whole.  As restore_options.digested. */
int digests_add(void *arg, const char *path, const uint8_t digest[static SHA256_SIZE]);

/* Pass the last list on. */
MUST_CHECK int digests_finish(struct digests *digests);

/* Into OBJECT: "digest_lists", their paths in order, and "digest_lists_sha256", of all their bytes. */
MUST_CHECK int digests_document(struct digests *digests, struct json_object *object);

#endif
