/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of a manifest while it is being made: appended to, then copied.  What is in clear below anyway (ids, sizes, tags) is
 * kept in a file without a name in the state directory; names and values in an encrypted file of the volume.
 */
#ifndef SNAPCRYPT_FS_STORE_SEAL_SPOOL_H
#define SNAPCRYPT_FS_STORE_SEAL_SPOOL_H

#include <stdint.h>

#include "fs/store/file.h"
#include "kms/crypto/hash.h"
#include "meta/bytes.h"

#define SPOOL_BUFFER_SIZE ((size_t)256 << 10)

/* Zero-initialise; spool_close() accepts every state.  FILE: encrypted; else FD. */
struct spool {
	struct file *file;
	int fd;
	uint8_t *buffer;
	size_t fill;
	uint64_t size;     /* of all, the buffer included */
	struct hash *hash; /* NULL, or of everything appended; borrowed */
};

/* In the directory DIRECTORY, without a name. */
MUST_CHECK int spool_open(struct spool *spool, const char *directory);
/* FILE is taken over, also on failure. */
MUST_CHECK int spool_open_file(struct spool *spool, struct file *file);
void spool_close(struct spool *spool);

MUST_CHECK int spool_append(struct spool *spool, const void *data, size_t size);
MUST_CHECK int spool_flush(struct spool *spool);
/* Bytes that are there, from the buffer or below. */
MUST_CHECK int spool_read(struct spool *spool, uint64_t offset, void *data, size_t size);
/* Not for encrypted ones. */
MUST_CHECK int spool_patch(struct spool *spool, uint64_t offset, const void *data, size_t size);
MUST_CHECK int spool_cut(struct spool *spool, uint64_t size);
/* All of FROM behind TO's end. */
MUST_CHECK int spool_copy(struct spool *from, struct spool *to);

#endif
