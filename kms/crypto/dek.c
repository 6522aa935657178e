/* SPDX-License-Identifier: Apache-2.0 */
/* A data key in use, and what is derived from it (meta/FORMAT.md, "Keys"). */
#include "kms/crypto/dek.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/aead_family.h"
#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/kdf.h"
#include "kms/crypto/key_pool.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"

#define SUBKEY_SIZE 32

static const char *const mac_labels[] = {
	[DEK_LABEL_HEADER] = "header", [DEK_LABEL_IDENTITY] = "identity",
	[DEK_LABEL_SLOTS] = "slots",   [DEK_LABEL_JOURNAL] = "journal",
	[DEK_LABEL_SEAL] = "seal",
};

/* In secret memory. */
struct dek_secrets {
	uint8_t dek[DEK_SIZE];
	uint8_t commitment[SUBKEY_SIZE];
	uint8_t content[SUBKEY_SIZE];
	uint8_t macs[ARRAY_SIZE(mac_labels)][SUBKEY_SIZE];
};

/*
 * USERS points to USERS_STORAGE: using a DEK changes nothing that a const one would show.  SECRETS
 * may be used between key_pool_take() and key_pool_give() of it, and is NULL once revoked.
 */
struct dek {
	atomic_uint ref_count;
	struct uuid volume;
	struct uuid id;
	struct key_pool *users;
	struct key_pool users_storage;
	pthread_mutex_t revoke_lock;
	struct dek_secrets *secrets;
	struct aead_family *family; /* file keys and META */
	struct aead_key *meta;
	struct siv_key *name;
};

static void free_dek(struct dek *dek)
{
	aead_key_free(dek->meta);
	siv_key_free(dek->name);
	aead_family_free(dek->family);
	secret_free(dek->secrets);
	key_pool_destroy(dek->users);
	pthread_mutex_destroy(&dek->revoke_lock);
	free(dek);
}

/* HKDF-Expand(PRK, "snapcrypt/1/" | label | volume | dek). */
static int derive_subkey(const struct dek *dek, const uint8_t *prk, const char *label,
			 struct kdf_output subkey)
{
	const struct bytes info[] = {
		bytes_from_text("snapcrypt/1/"),
		bytes_from_text(label),
		{ dek->volume.bytes, UUID_SIZE },
		{ dek->id.bytes, UUID_SIZE },
	};

	return kdf_expand((struct bytes){ prk, HMAC_SIZE }, info, ARRAY_SIZE(info), subkey);
}

/* The subkeys that stay bytes. */
static int derive_secrets(struct dek *dek, const uint8_t *prk)
{
	struct dek_secrets *secrets = dek->secrets;
	int r = derive_subkey(dek, prk, "commitment",
			      (struct kdf_output){ secrets->commitment, SUBKEY_SIZE });

	if (r < 0)
		return r;
	r = derive_subkey(dek, prk, "content",
			  (struct kdf_output){ secrets->content, SUBKEY_SIZE });
	for (size_t i = 0; i < ARRAY_SIZE(mac_labels) && r == 0; i++)
		r = derive_subkey(dek, prk, mac_labels[i],
				  (struct kdf_output){ secrets->macs[i], SUBKEY_SIZE });
	return r;
}

/* The subkeys that become keys of a cipher. */
static int derive_cipher_keys(struct dek *dek, const uint8_t *prk)
{
	CLEANUP(secret_free_cleanup) uint8_t *subkey = secret_alloc(SIV_KEY_SIZE);

	if (!subkey)
		return -ENOMEM;

	int r = derive_subkey(dek, prk, "name", (struct kdf_output){ subkey, SIV_KEY_SIZE });

	if (r == 0)
		r = siv_key_import((struct bytes){ subkey, SIV_KEY_SIZE }, &dek->name);
	if (r == 0)
		r = derive_subkey(dek, prk, "meta", (struct kdf_output){ subkey, SUBKEY_SIZE });
	if (r == 0)
		r = aead_family_import(dek->family, AEAD_AES_256_GCM,
				       (struct bytes){ subkey, SUBKEY_SIZE }, &dek->meta);
	return r;
}

/* From DEK bytes that are in place. */
static int derive_all(struct dek *dek)
{
	CLEANUP(secret_free_cleanup) uint8_t *prk = secret_alloc(HMAC_SIZE);

	if (!prk)
		return -ENOMEM;

	int r = kdf_extract((struct bytes){ NULL, 0 },
			    (struct bytes){ dek->secrets->dek, DEK_SIZE }, prk);

	if (r == 0)
		r = derive_secrets(dek, prk);
	if (r == 0)
		r = derive_cipher_keys(dek, prk);
	return r;
}

/* A DEK whose bytes are zero and whose keys are not derived. */
static int new_dek(const struct uuid *volume, const struct uuid *id, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = calloc(1, sizeof(*dek));

	if (!dek)
		return -ENOMEM;
	atomic_init(&dek->ref_count, 1);
	dek->volume = *volume;
	dek->id = *id;
	dek->users = &dek->users_storage;
	key_pool_init(dek->users);
	pthread_mutex_init(&dek->revoke_lock, NULL);
	dek->secrets = secret_alloc(sizeof(*dek->secrets));
	if (!dek->secrets)
		return -ENOMEM;

	int r = aead_family_new(&dek->family);

	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

int dek_import(struct bytes key_bytes, const struct uuid *volume, const struct uuid *id,
	       struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;

	if (key_bytes.size != DEK_SIZE)
		return -EINVAL;

	int r = new_dek(volume, id, &dek);

	if (r < 0)
		return r;
	memcpy(dek->secrets->dek, key_bytes.data, DEK_SIZE);
	r = derive_all(dek);
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

int dek_generate(const struct uuid *volume, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct uuid id;
	int r = random_uuid(&id);

	if (r < 0)
		return r;
	r = new_dek(volume, &id, &dek);
	if (r < 0)
		return r;
	r = random_fill(dek->secrets->dek, DEK_SIZE);
	if (r < 0)
		return r;
	r = derive_all(dek);
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

struct dek *dek_ref(struct dek *dek)
{
	atomic_fetch_add_explicit(&dek->ref_count, 1, memory_order_relaxed);
	return dek;
}

void dek_put(struct dek *dek)
{
	if (dek && atomic_fetch_sub_explicit(&dek->ref_count, 1, memory_order_acq_rel) == 1)
		free_dek(dek);
}

void dek_cleanup(struct dek **dek)
{
	dek_put(*dek);
}

bool dek_is_shared(const struct dek *dek)
{
	return atomic_load(&dek->ref_count) > 1;
}

const struct uuid *dek_id(const struct dek *dek)
{
	return &dek->id;
}

const struct uuid *dek_volume(const struct dek *dek)
{
	return &dek->volume;
}

int dek_export(const struct dek *dek, struct secret **ret_secret)
{
	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	r = secret_copy((struct bytes){ dek->secrets->dek, DEK_SIZE }, ret_secret);
	key_pool_give(dek->users, NULL);
	return r;
}

int dek_commitment(const struct dek *dek, uint8_t commitment[static DEK_MAC_SIZE])
{
	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	memcpy(commitment, dek->secrets->commitment, DEK_MAC_SIZE);
	key_pool_give(dek->users, NULL);
	return 0;
}

int dek_check_commitment(const struct dek *dek, const uint8_t commitment[static DEK_MAC_SIZE])
{
	uint8_t own[DEK_MAC_SIZE];
	int r = dek_commitment(dek, own);

	if (r < 0)
		return r;
	return secret_equal(own, commitment, sizeof(own)) ? 0 : -EKEYREJECTED;
}

int dek_mac(const struct dek *dek, enum dek_label label, const struct bytes *parts,
	    size_t part_count, uint8_t mac[static DEK_MAC_SIZE])
{
	if ((size_t)label >= ARRAY_SIZE(mac_labels))
		return -EINVAL;

	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	r = hmac_sha256((struct bytes){ dek->secrets->macs[label], SUBKEY_SIZE }, parts, part_count,
			mac);
	key_pool_give(dek->users, NULL);
	return r;
}

int dek_mac_verify(const struct dek *dek, enum dek_label label, const struct bytes *parts,
		   size_t part_count, const uint8_t mac[static DEK_MAC_SIZE])
{
	uint8_t expected[DEK_MAC_SIZE];
	int r = dek_mac(dek, label, parts, part_count, expected);

	if (r < 0)
		return r;

	/* The right MAC of forged data must not stay on the stack. */
	bool is_right = secret_equal(expected, mac, sizeof(expected));

	secret_wipe(expected, sizeof(expected));
	return is_right ? 0 : -EBADMSG;
}

/* HKDF-Expand(content, "file" | algorithm | log2 block size | volume | dek | content id), in use. */
static int derive_file_key(const struct dek *dek, const struct file_key_spec *spec, uint8_t *bytes)
{
	const uint8_t parameters[] = { (uint8_t)spec->algorithm, spec->block_size_log2 };
	const struct bytes info[] = {
		bytes_from_text("file"),
		{ parameters, sizeof(parameters) },
		{ dek->volume.bytes, UUID_SIZE },
		{ dek->id.bytes, UUID_SIZE },
		{ spec->content_id, DEK_CONTENT_ID_SIZE },
	};

	return kdf_expand((struct bytes){ dek->secrets->content, SUBKEY_SIZE }, info,
			  ARRAY_SIZE(info), (struct kdf_output){ bytes, AEAD_KEY_SIZE });
}

int dek_file_key(const struct dek *dek, const struct file_key_spec *spec, struct aead_key **ret_key)
{
	CLEANUP(secret_free_cleanup) uint8_t *bytes = secret_alloc(AEAD_KEY_SIZE);

	if (!bytes)
		return -ENOMEM;

	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	r = derive_file_key(dek, spec, bytes);
	if (r == 0)
		r = aead_family_import(dek->family, spec->algorithm,
				       (struct bytes){ bytes, AEAD_KEY_SIZE }, ret_key);
	key_pool_give(dek->users, NULL);
	return r;
}

int dek_meta_key(const struct dek *dek, struct aead_key **ret_key)
{
	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	*ret_key = aead_key_ref(dek->meta);
	key_pool_give(dek->users, NULL);
	return 0;
}

int dek_name_key(const struct dek *dek, struct siv_key **ret_key)
{
	int r = key_pool_take(dek->users, NULL);

	if (r < 0)
		return r;
	*ret_key = siv_key_ref(dek->name);
	key_pool_give(dek->users, NULL);
	return 0;
}

void dek_revoke(struct dek *dek, int error)
{
	/* A second caller returns when all is wiped, too. */
	pthread_mutex_lock(&dek->revoke_lock);
	key_pool_revoke(dek->users, error);

	/* From here on nothing new is derived. */
	aead_family_revoke(dek->family, error);
	siv_key_revoke(dek->name, error);
	secret_free(dek->secrets);
	dek->secrets = NULL;
	pthread_mutex_unlock(&dek->revoke_lock);
}

void dek_wipe(struct dek *dek)
{
	dek_revoke(dek, -EKEYREVOKED);
}

bool dek_is_wiped(const struct dek *dek)
{
	return key_pool_is_revoked(dek->users);
}
