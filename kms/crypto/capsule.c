/* SPDX-License-Identifier: Apache-2.0 */
/* The capsule of a slot: a DEK under the slot secret (meta/FORMAT.md, "Wrapping"). */
#include "kms/crypto/capsule.h"

#include <errno.h>
#include <string.h>

#include "kms/crypto/aead_nonce.h"
#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/kdf.h"
#include "kms/crypto/secret.h"

#define CAPSULE_SEALED_SIZE (AEAD_NONCE_SIZE + CAPSULE_SIZE)

/* Derive the capsule's key and nonce, which are used for this one capsule. */
static int derive(struct bytes slot_secret, struct bytes slot_header, struct aead_key **ret_key,
		  uint8_t nonce[static AEAD_NONCE_SIZE])
{
	const struct bytes no_salt = { NULL, 0 };
	const size_t size = AEAD_KEY_SIZE + AEAD_NONCE_SIZE;

	if (slot_secret.size != CAPSULE_SECRET_SIZE)
		return -EINVAL;

	CLEANUP(secret_free_cleanup) uint8_t *derived = secret_alloc(size);

	if (!derived)
		return -ENOMEM;

	int r = kdf_extract_expand(no_salt, slot_secret, slot_header,
				   (struct kdf_output){ derived, size });

	if (r < 0)
		return r;
	memcpy(nonce, derived + AEAD_KEY_SIZE, AEAD_NONCE_SIZE);
	return aead_key_import(AEAD_AES_256_GCM, (struct bytes){ derived, AEAD_KEY_SIZE }, ret_key);
}

int capsule_seal(const struct dek *dek, struct bytes slot_secret, struct bytes slot_header,
		 uint8_t capsule[static CAPSULE_SIZE])
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	CLEANUP(secret_cleanup) struct secret *bytes = NULL;
	uint8_t nonce[AEAD_NONCE_SIZE];
	uint8_t sealed[CAPSULE_SEALED_SIZE];
	int r = derive(slot_secret, slot_header, &key, nonce);

	if (r < 0)
		return r;
	r = dek_export(dek, &bytes);
	if (r < 0)
		return r;
	r = aead_seal_with_nonce(key, nonce, (struct bytes){ NULL, 0 }, secret_bytes(bytes),
				 sealed);
	if (r < 0)
		return r;

	/* The nonce is derived again when the capsule is opened; it is not stored. */
	memcpy(capsule, sealed + AEAD_NONCE_SIZE, CAPSULE_SIZE);
	return 0;
}

int capsule_open(struct bytes slot_secret, struct bytes slot_header,
		 const uint8_t capsule[static CAPSULE_SIZE], const struct capsule_owner *owner,
		 struct dek **ret_dek)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	CLEANUP(secret_free_cleanup) uint8_t *bytes = secret_alloc(DEK_SIZE);
	uint8_t sealed[CAPSULE_SEALED_SIZE];

	if (!bytes)
		return -ENOMEM;

	int r = derive(slot_secret, slot_header, &key, sealed);

	if (r < 0)
		return r;
	memcpy(sealed + AEAD_NONCE_SIZE, capsule, CAPSULE_SIZE);
	r = aead_open(key, (struct bytes){ NULL, 0 }, (struct bytes){ sealed, sizeof(sealed) },
		      bytes);
	if (r == -EBADMSG)
		return -EKEYREJECTED;
	if (r < 0)
		return r;
	return dek_import((struct bytes){ bytes, DEK_SIZE }, &owner->volume, &owner->dek, ret_dek);
}
