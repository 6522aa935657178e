/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-SIV (RFC 5297) without associated data: the same plaintext gives the same sealed bytes,
 * for names.
 *
 * Thread-safe; -EKEYREVOKED (or the error named at revocation) once the key is revoked.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_SIV_H
#define SNAPCRYPT_KMS_CRYPTO_SIV_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define SIV_KEY_SIZE  64
#define SIV_OVERHEAD  16
#define SIV_PLAIN_MAX 1024

/* Counted, immutable, thread-safe. */
struct siv_key;

/* Make a key of 64 bytes, which are copied.  -EINVAL: another size.  -ENOMEM. */
MUST_CHECK int siv_key_import(struct bytes key_bytes, struct siv_key **ret_key);
struct siv_key *siv_key_ref(struct siv_key *key);
void siv_key_free(struct siv_key *key);
void siv_key_cleanup(struct siv_key **key);

/* Make every operation, now and later, fail with ERROR (negative); wait for those that run; wipe.
 */
void siv_key_revoke(struct siv_key *key, int error);

/*
 * Seal PLAIN, 1 to SIV_PLAIN_MAX bytes, else -EINVAL.
 *
 *   sealed  plain.size + SIV_OVERHEAD bytes: synthetic IV | ciphertext; may not overlap plain
 */
MUST_CHECK int siv_seal(const struct siv_key *key, struct bytes plain, uint8_t *sealed);

/*
 * Open sealed bytes.
 *
 *   plain   sealed.size - SIV_OVERHEAD bytes, wiped on failure; may not overlap sealed
 *
 * -EBADMSG: a size that siv_seal() does not make, or it does not verify.
 */
MUST_CHECK int siv_open(const struct siv_key *key, struct bytes sealed, uint8_t *plain);

#endif
