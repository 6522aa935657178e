/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google Cloud KMS: gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K.  Requests and blob: kms/PROTOCOL.md, "gcp".
 *
 * Every request and reply carries CRC-32C of what it holds, and both sides say that they compared.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/providers/gcp_internal.h"
#include "kms/providers/providers.h"
#include "meta/encoding.h"

#define AAD_LABEL "snapcrypt/1"
#define AAD_SIZE  (sizeof(AAD_LABEL) - 1 + 2 * (size_t)UUID_SIZE)

static void gcp_close(void *state)
{
	struct gcp *gcp = state;

	gcp_identity_close(gcp->identity);
	http_close(gcp->http);
	free(gcp);
}

/* The characters of names of Google's resources; projects may be domain-scoped ("example.com:project"). */
static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
		      (name[i] >= '0' && name[i] <= '9') || strchr("-_.:", name[i])))
			return false;
	return len > 0;
}

int gcp_parse_uri(const char *uri, char key[static KEY_ID_SIZE], struct kms_error *reterr)
{
	static const char scheme[] = "gcpkms://";
	static const char *const collections[] = { "projects/", "locations/", "keyRings/",
						   "cryptoKeys/" };
	const char *at = uri + sizeof(scheme) - 1;

	if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0 || strlen(at) >= KEY_ID_SIZE - 64)
		goto bad;
	(void)snprintf(key, KEY_ID_SIZE, "%s", at);
	for (size_t i = 0; i < ARRAY_SIZE(collections); i++) {
		size_t len = strlen(collections[i]);

		if (strncmp(at, collections[i], len) != 0)
			goto bad;
		at += len;
		len = strcspn(at, "/");
		if (!is_name(at, len) || (at[len] == '/') != (i + 1 < ARRAY_SIZE(collections)))
			goto bad;
		at += len + (at[len] == '/');
	}
	return 0;
bad:
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"%s: write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K", uri);
}

bool gcp_is_version_of(const char *version, const char *key)
{
	size_t len = strlen(key);

	if (strncmp(version, key, len) != 0 ||
	    strncmp(version + len, GCP_VERSIONS, sizeof(GCP_VERSIONS) - 1) != 0)
		return false;
	version += len + sizeof(GCP_VERSIONS) - 1;
	return *version && version[strspn(version, "0123456789")] == 0;
}

static int open_parts(struct gcp *gcp, const struct kms_config *config, struct kms_error *reterr)
{
	const char *endpoint = kms_config_get(config, "endpoint");
	struct http_options options;
	size_t len;
	int r;

	r = gcp_parse_uri(config->uri, gcp->key, reterr);
	if (r < 0)
		return r;
	if (!endpoint)
		endpoint = GCP_ENDPOINT;
	len = strlen(endpoint);
	while (len && endpoint[len - 1] == '/')
		len--;
	(void)snprintf(gcp->endpoint, sizeof(gcp->endpoint), "%.*s", (int)len, endpoint);
	r = http_check_service_url(gcp->endpoint, reterr);
	if (r < 0)
		return r;
	http_options_from_config(config, &options);
	r = http_open(&options, &gcp->http, reterr);
	if (r < 0)
		return r;
	return gcp_identity_open(config, gcp->http, &gcp->identity, reterr);
}

static int gcp_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct gcp *gcp = calloc(1, sizeof(*gcp));
	int r;

	if (!gcp)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = open_parts(gcp, config, reterr);
	if (r < 0) {
		gcp_close(gcp);
		return r;
	}
	*ret_state = gcp;
	return 0;
}

/* DATA under two names: its base64, and its checksum as a decimal text. */
static void add_data(struct text *body, const char *name, struct bytes data)
{
	text_add_format(body, "%s\"%s\":\"", body->size ? "," : "{", name);
	text_add_base64(body, data);
	text_add_format(body, "\",\"%sCrc32c\":\"%" PRIu32 "\"", name, crc32c(0, data));
}

static int encode_body(const char *name, struct bytes data, const struct wrap_context *context,
		       struct text *body, struct kms_error *reterr)
{
	uint8_t aad[AAD_SIZE];

	memcpy(aad, AAD_LABEL, sizeof(AAD_LABEL) - 1);
	memcpy(aad + sizeof(AAD_LABEL) - 1, context->volume.bytes, UUID_SIZE);
	memcpy(aad + sizeof(AAD_LABEL) - 1 + UUID_SIZE, context->snapshot.bytes, UUID_SIZE);
	add_data(body, name, data);
	add_data(body, "additionalAuthenticatedData", (struct bytes){ aad, sizeof(aad) });
	text_add(body, "}");
	if (text_check(body) < 0)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	return 0;
}

static int fail_reply(int code, const struct request_name *name, const struct http_reply *reply,
		      struct kms_error *reterr)
{
	return outcome_malformed(name, reply,
				 code == -EIO ? "its checksums do not fit: it was changed on the "
						"way"
					      : "members are missing",
				 reterr);
}

static int fill_slot(struct gcp *gcp, const struct gcp_encrypted *encrypted, struct slot *slot,
		     struct kms_error *reterr)
{
	int r;

	memcpy(slot->wrapped, encrypted->blob, encrypted->size);
	slot->wrapped_size = encrypted->size;
	memcpy(slot->provider, "gcp", sizeof("gcp"));
	memcpy(slot->key_id, encrypted->version, sizeof(slot->key_id));
	memcpy(slot->key_alias, gcp->key, sizeof(slot->key_alias));
	slot->parameters.count = 0;
	r = gcp_identity_access(gcp->identity, &slot->access);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "describing the slot: %s",
				strerror(-r))
		     : 0;
}

static int gcp_wrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		    const struct secret *secret, struct slot *slot, struct kms_error *reterr)
{
	struct gcp *gcp = state;
	const struct request_name name = { GCP_SERVICE, "encrypt", gcp->key };
	struct gcp_encrypted encrypted;
	struct http_reply reply = { 0 };
	struct text body = { 0 };
	char path[KEY_ID_SIZE + 16];
	int r;

	(void)snprintf(path, sizeof(path), "%s:encrypt", gcp->key);
	r = encode_body("plaintext", secret_bytes(secret), context, &body, reterr);
	if (r == 0)
		r = gcp_request(gcp, call, &name, path, &body, &reply, reterr);
	text_free(&body);
	if (r == 0) {
		r = gcp_decode_encrypt((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       &encrypted);
		if (r < 0)
			r = fail_reply(r, &name, &reply, reterr);
		else if (!gcp_is_version_of(encrypted.version, gcp->key))
			r = kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				     "%s: encrypt was answered by another key: %s", gcp->key,
				     encrypted.version);
	}
	http_reply_free(&reply);
	return r < 0 ? r : fill_slot(gcp, &encrypted, slot, reterr);
}

static int gcp_unwrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct slot *slot, struct secret **ret_secret, struct kms_error *reterr)
{
	struct gcp *gcp = state;
	const struct request_name name = { GCP_SERVICE, "decrypt", slot->key_id };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct http_reply reply = { 0 };
	struct text body = { 0 };
	char path[KEY_ID_SIZE + 16];
	bool is_primary = true;
	int r;

	if (!gcp_is_version_of(slot->key_id, gcp->key) || !slot->wrapped_size)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of this key", slot->key_id);
	r = secret_new(SLOT_SECRET_SIZE, &secret);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	/* The key, not its version: the blob itself knows that. */
	(void)snprintf(path, sizeof(path), "%s:decrypt", gcp->key);
	r = encode_body("ciphertext", (struct bytes){ slot->wrapped, slot->wrapped_size }, context,
			&body, reterr);
	if (r == 0)
		r = gcp_request(gcp, call, &name, path, &body, &reply, reterr);
	text_free(&body);
	if (r == 0) {
		r = gcp_decode_decrypt((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       secret_data(secret), &is_primary);
		if (r < 0)
			r = fail_reply(r, &name, &reply, reterr);
	}
	http_reply_free(&reply);
	if (r < 0)
		return r;
	if (!is_primary)
		atomic_store(&gcp->has_old_version, true);
	*ret_secret = TAKE(secret);
	return 0;
}

/* GET a key or a version and read it. */
static int describe(struct gcp *gcp, const struct kms_call *call, const struct request_name *name,
		    int (*decode)(struct bytes body, struct kms_key_info *ret_info),
		    struct kms_key_info *ret_info, struct kms_error *reterr)
{
	struct http_reply reply = { 0 };
	int r;

	r = gcp_request(gcp, call, name, name->key, NULL, &reply, reterr);
	if (r == 0 &&
	    decode((struct bytes){ (const uint8_t *)reply.body, reply.size }, ret_info) < 0)
		r = outcome_malformed(name, &reply, "members are missing", reterr);
	http_reply_free(&reply);
	/* Using a key and reading it are separate permissions: this says nothing about the key. */
	if (r == -EACCES && reterr)
		reterr->state = KEY_STATE_UNKNOWN;
	return r;
}

static int gcp_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			struct kms_error *reterr)
{
	struct gcp *gcp = state;
	const struct request_name name = { GCP_SERVICE, "cryptoKeys.get", gcp->key };
	int r;

	r = describe(gcp, call, &name, gcp_decode_key, ret_info, reterr);
	if (r == 0)
		ret_info->has_old_version = atomic_load(&gcp->has_old_version);
	return r;
}

/* What a version's own state says, after the service has answered a decrypt. */
static int judge_version(const struct slot *slot, const struct kms_key_info *info,
			 struct kms_error *reterr)
{
	int r;

	if (!key_state_is_definite_no(info->state))
		return 0;
	r = kms_fail(reterr, key_state_errno(info->state), info->state, "key %s is %s",
		     slot->key_id, key_state_name(info->state));
	kms_advise(reterr, "%s",
		   info->state == KEY_STATE_DISABLED ? "enable it: gcloud kms keys versions enable"
						     : "see: gcloud kms keys versions describe");
	return r;
}

/*
 * Disabling takes up to hours to reach decrypt, and the version's state shows it at once.  Where this host may not read that,
 * decrypt alone decides.
 */
static int gcp_probe(void *state, const struct kms_call *call, const struct wrap_context *context,
		     const struct slot *slot, struct kms_error *reterr)
{
	struct gcp *gcp = state;
	const struct request_name name = { GCP_SERVICE, "cryptoKeyVersions.get", slot->key_id };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kms_key_info info;
	struct kms_error error = { 0 };
	int r, verdict;

	r = gcp_unwrap(gcp, call, context, slot, &secret, &error);
	if (r == 0 || error.state == KEY_STATE_UNKNOWN) {
		if (gcp_is_version_of(slot->key_id, gcp->key) &&
		    describe(gcp, call, &name, gcp_decode_version, &info, NULL) == 0) {
			verdict = judge_version(slot, &info, &error);
			r = verdict < 0 ? verdict : r;
		}
	}
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

static bool gcp_owns(void *state, const struct slot *slot)
{
	const struct gcp *gcp = state;

	return gcp_is_version_of(slot->key_id, gcp->key);
}

static const char *const gcp_schemes[] = { "gcpkms", NULL };

const struct kms_provider provider_gcp = {
	.name = "gcp",
	.schemes = gcp_schemes,
	.open = gcp_open,
	.wrap = gcp_wrap,
	.unwrap = gcp_unwrap,
	.describe = gcp_describe,
	.probe = gcp_probe,
	.owns = gcp_owns,
	.close = gcp_close,
	.policy = gcp_policy,
};
