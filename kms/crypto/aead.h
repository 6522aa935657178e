/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticated encryption under a key that cannot be read back.
 *
 * Sealed bytes are nonce 12 | ciphertext | tag 16.  The nonce is drawn inside.  Plaintext that does
 * not verify never leaves these functions.  All of them are thread-safe, and give -EKEYREVOKED (or
 * the error named at revocation) once the key is revoked.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_AEAD_H
#define SNAPCRYPT_KMS_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define AEAD_KEY_SIZE   32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE   16
#define AEAD_OVERHEAD   (AEAD_NONCE_SIZE + AEAD_TAG_SIZE)

/* Stored in file headers: meta/FORMAT.md, "Algorithms". */
enum aead_algorithm {
	AEAD_AES_256_GCM = 1,
	AEAD_CHACHA20_POLY1305 = 2,
};

/* A key in use.  Counted, immutable, thread-safe. */
struct aead_key;

/*
 * Make a key of 32 bytes, which are copied.
 *
 * -ENOTSUP: not an algorithm of ours.  -EINVAL: another size.  -ENOMEM.
 */
MUST_CHECK int aead_key_import(enum aead_algorithm algorithm, struct bytes key_bytes,
			       struct aead_key **ret_key);

/* One more owner; returns KEY. */
struct aead_key *aead_key_ref(struct aead_key *key);

/* One owner less; the last one wipes the key.  Accepts NULL. */
void aead_key_free(struct aead_key *key);
void aead_key_cleanup(struct aead_key **key);

/*
 * Seal one message.
 *
 *   sealed  plain.size + AEAD_OVERHEAD bytes; may not overlap plain
 *
 * -EIO: no randomness.  -ENOMEM.
 */
MUST_CHECK int aead_seal(const struct aead_key *key, struct bytes aad, struct bytes plain,
			 uint8_t *sealed);

/*
 * Open one message.
 *
 *   plain   sealed.size - AEAD_OVERHEAD bytes, wiped on failure; may not overlap sealed
 *
 * -EBADMSG: too short, or the tag does not verify.  -ENOMEM.
 */
MUST_CHECK int aead_open(const struct aead_key *key, struct bytes aad, struct bytes sealed,
			 uint8_t *plain);

/*
 * A run of consecutive blocks of a file; the AAD of each is its index as 8 bytes (meta/FORMAT.md,
 * "Blocks").
 *
 *   block_size    plaintext bytes of every block but the last of the run
 *   block_count   at least 1; the last block may be short or empty
 */
struct aead_run {
	size_t block_size;
	size_t block_count;
	uint64_t first_index;
};

/*
 * Seal a run.  Block i of it begins at i * block_size in PLAIN and at i * (block_size +
 * AEAD_OVERHEAD) in SEALED.
 *
 *   plain   (block_count - 1) * block_size plus the last block's 0 to block_size bytes
 *   sealed  plain.size + block_count * AEAD_OVERHEAD bytes; may not overlap plain
 *
 * -EINVAL: sizes that do not fit.  -EIO: no randomness.  -ENOMEM.
 */
MUST_CHECK int aead_seal_blocks(const struct aead_key *key, const struct aead_run *run,
				struct bytes plain, uint8_t *sealed);

/*
 * Open a run.
 *
 *   plain       sealed.size - block_count * AEAD_OVERHEAD bytes; may not overlap sealed
 *   ret_failed  index in the file (not in the run) of the first block that does not verify; may
 *               be NULL
 *
 * -EBADMSG: everything from that block on is wiped; what lies before it is authentic.
 * -EINVAL: sizes that do not fit.  -ENOMEM.
 */
MUST_CHECK int aead_open_blocks(const struct aead_key *key, const struct aead_run *run,
				struct bytes sealed, uint8_t *plain, uint64_t *ret_failed);

#endif
