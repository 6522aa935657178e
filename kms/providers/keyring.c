/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring:///PATH#ID, the embedded local key store, as a key service.  Wrapped blob: kms/PROTOCOL.md, "keyring".
 *
 * Without #ID it opens slots of every key in the file, and wraps with the key "default".
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/secret_source.h"
#include "kms/crypto/aead.h"
#include "kms/keyring_file.h"
#include "kms/providers/providers.h"

#define BLOB_VERSION 1
#define BLOB_SIZE    (1 + SLOT_SECRET_SIZE + AEAD_OVERHEAD)
#define DEFAULT_KEY  "default"

struct keyring {
	char *path;
	char id[KEYRING_KEY_ID_SIZE]; /* empty: any */
	pthread_mutex_t lock;         /* guards unlock, uuid, is_known */
	struct uuid uuid;             /* the file's, once it was read */
	bool is_known;
	struct keyring_unlock unlock;
	struct secret *passphrase;
};

static void keyring_close(void *state)
{
	struct keyring *keyring = state;

	keyring_unlock_wipe(&keyring->unlock);
	secret_drop(keyring->passphrase);
	pthread_mutex_destroy(&keyring->lock);
	free(keyring->path);
	free(keyring);
}

static int parse_uri(struct keyring *keyring, const char *uri, struct kms_error *reterr)
{
	static const char scheme[] = "keyring://";
	const char *path = uri + sizeof(scheme) - 1;
	const char *id;

	if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0 || *path != '/')
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: write keyring:///PATH#ID",
				uri);
	id = strchr(path, '#');
	if (id && strlen(id + 1) >= sizeof(keyring->id))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: the key id is too long",
				uri);
	keyring->path = id ? strndup(path, (size_t)(id - path)) : strdup(path);
	if (!keyring->path)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	if (id)
		memcpy(keyring->id, id + 1, strlen(id));
	return 0;
}

static int keyring_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct keyring *keyring = calloc(1, sizeof(*keyring));
	int r;

	if (!keyring)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&keyring->lock, NULL);
	r = parse_uri(keyring, config->uri, reterr);
	if (r == 0) {
		r = secret_source_read(config, "passphrase", &keyring->passphrase, reterr);
		if (r == -ENOENT)
			r = secret_source_environment("SNAPCRYPT_KEYRING_PASSPHRASE",
						      &keyring->passphrase);
		if (r == -ENOENT)
			r = 0;
	}
	if (r < 0) {
		keyring_close(keyring);
		return r;
	}
	keyring->unlock.passphrase = keyring->passphrase;
	*ret_state = keyring;
	return 0;
}

static int load_key(struct keyring *keyring, const char *id, struct keyring_found *ret_found,
		    struct secret **ret_key, struct kms_error *reterr)
{
	int r;

	pthread_mutex_lock(&keyring->lock);
	r = keyring_file_key(keyring->path, id, &keyring->unlock, ret_found, ret_key, reterr);
	if (r == 0) {
		keyring->uuid = ret_found->keyring;
		keyring->is_known = true;
	}
	pthread_mutex_unlock(&keyring->lock);
	return r;
}

static void format_key_id(const struct keyring_found *found, char key_id[static KEY_ID_SIZE])
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&found->keyring, uuid);
	(void)snprintf(key_id, KEY_ID_SIZE, "keyring:%s#%s", uuid, found->key.id);
}

static struct bytes context_aad(const struct wrap_context *context, uint8_t aad[static 64])
{
	static const char label[] = "snapcrypt/1";
	size_t size = sizeof(label) - 1;

	memcpy(aad, label, size);
	memcpy(aad + size, context->volume.bytes, UUID_SIZE);
	memcpy(aad + size + UUID_SIZE, context->snapshot.bytes, UUID_SIZE);
	return (struct bytes){ aad, size + 2 * (size_t)UUID_SIZE };
}

static int keyring_wrap(void *state, const struct kms_call *call,
			const struct wrap_context *context, const struct secret *secret,
			struct slot *slot, struct kms_error *reterr)
{
	struct keyring *keyring = state;
	CLEANUP(secret_cleanup) struct secret *key_bytes = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	struct keyring_found found;
	uint8_t aad[64];
	int r;

	(void)call;
	r = load_key(keyring, keyring->id[0] ? keyring->id : DEFAULT_KEY, &found, &key_bytes,
		     reterr);
	if (r < 0)
		return r;
	r = aead_key_import(AEAD_AES_256_GCM, secret_bytes(key_bytes), &key);
	if (r == 0)
		r = aead_seal(key, context_aad(context, aad), secret_bytes(secret),
			      slot->wrapped + 1);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "wrapping with keyring %s: %s",
				keyring->path, strerror(-r));
	slot->wrapped[0] = BLOB_VERSION;
	slot->wrapped_size = BLOB_SIZE;
	memcpy(slot->provider, "keyring", sizeof("keyring"));
	format_key_id(&found, slot->key_id);
	return 0;
}

/* The key's id within the file, from "keyring:UUID#ID"; NULL if it is not of that form. */
static const char *slot_key(const struct slot *slot)
{
	const char *id = strchr(slot->key_id, '#');

	return id && id[1] ? id + 1 : NULL;
}

static int keyring_unwrap(void *state, const struct kms_call *call,
			  const struct wrap_context *context, const struct slot *slot,
			  struct secret **ret_secret, struct kms_error *reterr)
{
	struct keyring *keyring = state;
	CLEANUP(secret_cleanup) struct secret *key_bytes = NULL;
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	struct keyring_found found;
	uint8_t aad[64];
	int r;

	(void)call;
	if (!slot_key(slot) || slot->wrapped_size != BLOB_SIZE || slot->wrapped[0] != BLOB_VERSION)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of a keyring", slot->key_id);
	r = load_key(keyring, slot_key(slot), &found, &key_bytes, reterr);
	if (r < 0)
		return r;
	r = aead_key_import(AEAD_AES_256_GCM, secret_bytes(key_bytes), &key);
	if (r == 0)
		r = secret_new(SLOT_SECRET_SIZE, &secret);
	if (r == 0)
		r = aead_open(key, context_aad(context, aad),
			      (struct bytes){ slot->wrapped + 1, BLOB_SIZE - 1 },
			      secret_data(secret));
	if (r == -EBADMSG)
		return kms_fail(
			reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
			"key %s does not open this slot: it was changed, or moved from elsewhere",
			slot->key_id);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "unwrapping with keyring %s: %s",
				keyring->path, strerror(-r));
	*ret_secret = TAKE(secret);
	return 0;
}

static int keyring_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			    struct kms_error *reterr)
{
	struct keyring *keyring = state;
	struct keyring_found found;
	int r;

	(void)call;
	r = load_key(keyring, keyring->id[0] ? keyring->id : DEFAULT_KEY, &found, NULL, reterr);
	if (r < 0)
		return r;
	*ret_info = (struct kms_key_info){ .state = found.key.state,
					   .created_s = found.key.created_s };
	format_key_id(&found, ret_info->key_id);
	return 0;
}

static bool keyring_owns(void *state, const struct slot *slot)
{
	struct keyring *keyring = state;
	const char *id = slot_key(slot);
	struct keyring_found found = { 0 };
	char key_id[KEY_ID_SIZE];
	bool is_known;

	if (!id || strlen(id) >= sizeof(found.key.id) ||
	    (keyring->id[0] && strcmp(keyring->id, id) != 0))
		return false;
	if (load_key(keyring, id, &found, NULL, NULL) < 0) {
		/* The file is gone, or this key is: what it was is still known, and the service gives the reason. */
		pthread_mutex_lock(&keyring->lock);
		is_known = keyring->is_known;
		found.keyring = keyring->uuid;
		pthread_mutex_unlock(&keyring->lock);
		if (!is_known)
			return false;
		memcpy(found.key.id, id, strlen(id) + 1);
	}
	format_key_id(&found, key_id);
	return !strcmp(key_id, slot->key_id);
}

static const char *const keyring_schemes[] = { "keyring", NULL };

const struct kms_provider provider_keyring = {
	.name = "keyring",
	.schemes = keyring_schemes,
	.open = keyring_open,
	.wrap = keyring_wrap,
	.unwrap = keyring_unwrap,
	.describe = keyring_describe,
	.owns = keyring_owns,
	.close = keyring_close,
};
