/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery slots: an RSA public key whose private key stays offline.  Wrapped blob: kms/PROTOCOL.md, "recovery".
 *
 * Opened in one of three ways: recovery:///FILE.pem (a public key file), the settings pem and id (from the volume
 * record), or the setting private_key_file (given by the operator to open what nothing else opens).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/public_file.h"
#include "kms/credentials/secret_source.h"
#include "kms/crypto/rsa.h"
#include "kms/providers/providers.h"
#include "meta/encoding.h"

#define BLOB_VERSION 1
/* Inside the blob, RSA-OAEP has no associated data: secret | volume | snapshot. */
#define PLAIN_SIZE   (SLOT_SECRET_SIZE + 2 * UUID_SIZE)

struct recovery {
	struct rsa_key *key;
	bool is_private;
	char key_id[KEY_ID_SIZE];
};

static void recovery_close(void *state)
{
	struct recovery *recovery = state;

	rsa_key_free(recovery->key);
	free(recovery);
}

static int load_private(struct recovery *recovery, const struct kms_config *config,
			const char *path, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *pem = NULL;
	CLEANUP(secret_cleanup) struct secret *passphrase = NULL;
	int r;

	r = secret_source_file(path, &pem, reterr);
	if (r < 0)
		return r;
	r = secret_source_read(config, "passphrase", &passphrase, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	r = rsa_private_from_pem(secret_bytes(pem), passphrase, &recovery->key);
	if (r == -EKEYREJECTED)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
				"%s is encrypted; decrypt it on a safe medium first", path);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
				"%s: not an RSA private key of 2048 to 8192 bits", path);
	recovery->is_private = true;
	return 0;
}

static int load_public(struct recovery *recovery, const char *path, struct kms_error *reterr)
{
	char *pem = NULL;
	int r;

	r = public_file_read(path, &pem, reterr);
	if (r < 0)
		return r;
	r = rsa_public_from_pem(bytes_from_text(pem), &recovery->key);
	free(pem);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
				"%s: not an RSA public key of 2048 to 8192 bits", path);
	return 0;
}

static int load_key(struct recovery *recovery, const struct kms_config *config,
		    struct kms_error *reterr)
{
	static const char scheme[] = "recovery://";
	const char *private_key = kms_config_get(config, "private_key_file");
	const char *pem = kms_config_get(config, "pem");

	if (private_key)
		return load_private(recovery, config, private_key, reterr);
	if (pem) {
		int r = rsa_public_from_pem(bytes_from_text(pem), &recovery->key);

		return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN,
					"recovery key %s: not an RSA public key", config->uri)
			     : 0;
	}
	if (strncmp(config->uri, scheme, sizeof(scheme) - 1) != 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: write recovery:///FILE.pem", config->uri);
	return load_public(recovery, config->uri + sizeof(scheme) - 1, reterr);
}

static int recovery_open(const struct kms_config *config, void **ret_state,
			 struct kms_error *reterr)
{
	struct recovery *recovery = calloc(1, sizeof(*recovery));
	uint8_t digest[RSA_FINGERPRINT_SIZE];
	char text[HEX_TEXT_SIZE(RSA_FINGERPRINT_SIZE)];
	const char *expected = kms_config_get(config, "id");
	int r;

	if (!recovery)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = load_key(recovery, config, reterr);
	if (r == 0)
		r = rsa_fingerprint(recovery->key, digest);
	if (r < 0) {
		recovery_close(recovery);
		return r;
	}
	hex_encode((struct bytes){ digest, sizeof(digest) }, text);
	(void)snprintf(recovery->key_id, sizeof(recovery->key_id), "recovery:%s", text);
	if (expected && strcmp(expected, recovery->key_id) != 0) {
		r = kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
			     "recovery key %s: the stored public key is %s", expected,
			     recovery->key_id);
		recovery_close(recovery);
		return r;
	}
	*ret_state = recovery;
	return 0;
}

static int recovery_wrap(void *state, const struct kms_call *call,
			 const struct wrap_context *context, const struct secret *secret,
			 struct slot *slot, struct kms_error *reterr)
{
	struct recovery *recovery = state;
	CLEANUP(secret_cleanup) struct secret *plain = NULL;
	int r;

	(void)call;
	r = secret_new(PLAIN_SIZE, &plain);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	memcpy(secret_data(plain), secret_bytes(secret).data, SLOT_SECRET_SIZE);
	memcpy(secret_data(plain) + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE);
	memcpy(secret_data(plain) + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes,
	       UUID_SIZE);
	slot->wrapped[0] = BLOB_VERSION;
	r = rsa_wrap(recovery->key, secret_bytes(plain), slot->wrapped + 1, &slot->wrapped_size);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "wrapping with %s: %s",
				recovery->key_id, strerror(-r));
	slot->wrapped_size++;
	memcpy(slot->provider, "recovery", sizeof("recovery"));
	memcpy(slot->key_id, recovery->key_id, sizeof(slot->key_id));
	return 0;
}

static int recovery_unwrap(void *state, const struct kms_call *call,
			   const struct wrap_context *context, const struct slot *slot,
			   struct secret **ret_secret, struct kms_error *reterr)
{
	struct recovery *recovery = state;
	CLEANUP(secret_cleanup) struct secret *plain = NULL;
	struct bytes opened;
	int r;

	(void)call;
	if (!recovery->is_private) {
		r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "the private key of %s is offline", slot->key_id);
		kms_advise(reterr, "bring it and name it with --recovery-key FILE");
		return r;
	}
	if (slot->wrapped_size < 2 || slot->wrapped[0] != BLOB_VERSION)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN, "%s: not a recovery slot",
				slot->key_id);
	r = rsa_unwrap(recovery->key, (struct bytes){ slot->wrapped + 1, slot->wrapped_size - 1 },
		       &plain);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s does not open this slot",
				recovery->key_id);
	opened = secret_bytes(plain);
	if (opened.size != PLAIN_SIZE ||
	    memcmp(opened.data + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE) != 0 ||
	    memcmp(opened.data + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes,
		   UUID_SIZE) != 0)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"the slot of %s belongs to another snapshot", recovery->key_id);
	return secret_copy((struct bytes){ opened.data, SLOT_SECRET_SIZE }, ret_secret);
}

static int recovery_describe(void *state, const struct kms_call *call,
			     struct kms_key_info *ret_info, struct kms_error *reterr)
{
	struct recovery *recovery = state;

	(void)call;
	(void)reterr;
	*ret_info = (struct kms_key_info){ .state = KEY_STATE_ENABLED };
	memcpy(ret_info->key_id, recovery->key_id, sizeof(ret_info->key_id));
	return 0;
}

static bool recovery_owns(void *state, const struct slot *slot)
{
	struct recovery *recovery = state;

	return !strcmp(slot->key_id, recovery->key_id);
}

static const char *const recovery_schemes[] = { "recovery", NULL };

const struct kms_provider provider_recovery = {
	.name = "recovery",
	.schemes = recovery_schemes,
	.open = recovery_open,
	.wrap = recovery_wrap,
	.unwrap = recovery_unwrap,
	.describe = recovery_describe,
	.owns = recovery_owns,
	.close = recovery_close,
};
