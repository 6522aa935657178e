/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data key in use: the handle that everything outside kms/ has.  Its bytes cannot be read back.
 *
 * Counted and thread-safe.  After dek_wipe() every operation, those of keys derived from it
 * included, gives -EKEYREVOKED or the error that dek_revoke() named.  Derivation: meta/FORMAT.md,
 * "Keys".
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_DEK_H
#define SNAPCRYPT_KMS_CRYPTO_DEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/crypto/aead.h"
#include "kms/crypto/siv.h"
#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define DEK_SIZE            32
#define DEK_MAC_SIZE        32
#define DEK_CONTENT_ID_SIZE 24

struct dek;

/* What a MAC is for. */
enum dek_label {
	DEK_LABEL_HEADER,
	DEK_LABEL_IDENTITY,
	DEK_LABEL_SLOTS,
	DEK_LABEL_JOURNAL,
	DEK_LABEL_SEAL,
};

/* Draw a new DEK and its id.  -ENOMEM, -EIO. */
MUST_CHECK int dek_generate(const struct uuid *volume, struct dek **ret_dek);

/* One owner more; returns DEK. */
struct dek *dek_ref(struct dek *dek);

/* One owner less; the last one wipes it.  File keys taken from it stay valid.  Accepts NULL. */
void dek_put(struct dek *dek);
void dek_cleanup(struct dek **dek);

/* Does anybody else own it too?  The answer may be out of date at once unless the caller keeps others from asking for it. */
bool dek_is_shared(const struct dek *dek);

const struct uuid *dek_id(const struct dek *dek);
const struct uuid *dek_volume(const struct dek *dek);

/* What the key record stores in clear.  0 or the error of revocation. */
MUST_CHECK int dek_commitment(const struct dek *dek, uint8_t commitment[static DEK_MAC_SIZE]);

/* 0; -EKEYREJECTED: COMMITMENT is another key's. */
MUST_CHECK int dek_check_commitment(const struct dek *dek,
				    const uint8_t commitment[static DEK_MAC_SIZE]);

/* HMAC-SHA-256 of the parts, joined, under the subkey of LABEL. */
MUST_CHECK int dek_mac(const struct dek *dek, enum dek_label label, const struct bytes *parts,
		       size_t part_count, uint8_t mac[static DEK_MAC_SIZE]);

/* 0; -EBADMSG: MAC is not the parts'. */
MUST_CHECK int dek_mac_verify(const struct dek *dek, enum dek_label label,
			      const struct bytes *parts, size_t part_count,
			      const uint8_t mac[static DEK_MAC_SIZE]);

/* What a file key depends on beside its DEK. */
struct file_key_spec {
	enum aead_algorithm algorithm;
	uint8_t block_size_log2;
	uint8_t content_id[DEK_CONTENT_ID_SIZE];
};

/* The key of one file body; aead_key_free().  Some microseconds. */
MUST_CHECK int dek_file_key(const struct dek *dek, const struct file_key_spec *spec,
			    struct aead_key **ret_key);

/* The key of attribute values and symlink targets; aead_key_free(). */
MUST_CHECK int dek_meta_key(const struct dek *dek, struct aead_key **ret_key);

/* The key of names; siv_key_free(). */
MUST_CHECK int dek_name_key(const struct dek *dek, struct siv_key **ret_key);

/*
 * Revocation: refuse new operations with ERROR (negative), wait for those that run, wipe the DEK
 * and all that was derived from it.  Other owners keep a handle that always fails.  Call it without
 * holding anything that an operation waits for.
 */
void dek_revoke(struct dek *dek, int error);

/* dek_revoke() with -EKEYREVOKED. */
void dek_wipe(struct dek *dek);
bool dek_is_wiped(const struct dek *dek);

#endif
