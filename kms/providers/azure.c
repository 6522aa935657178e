/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Azure Key Vault and Managed HSM: azurekv://VAULT/keys/NAME[/VERSION].  Requests and blob: kms/PROTOCOL.md, "azure".
 *
 * wrapkey has no associated data, so what is wrapped is secret | volume | snapshot.  Probing unwraps, as the service still
 * wraps with a disabled key.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kms/crypto/secret.h"
#include "kms/providers/azure_internal.h"
#include "kms/providers/providers.h"

#define BLOB_VERSION 1
#define PLAIN_SIZE   (SLOT_SECRET_SIZE + 2 * UUID_SIZE)

static const char *const algorithms[] = { "RSA-OAEP-256", "A256KW" };

static void azure_close(void *state)
{
	struct azure *azure = state;

	azure_identity_close(azure->identity);
	http_close(azure->http);
	free(azure);
}

static int choose_algorithm(struct azure *azure, const struct kms_config *config,
			    struct kms_error *reterr)
{
	const char *setting = kms_config_get(config, "algorithm");

	if (!azure->algorithm[0])
		(void)snprintf(azure->algorithm, sizeof(azure->algorithm), "%.15s",
			       setting ? setting : algorithms[0]);
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		if (!strcmp(azure->algorithm, algorithms[i]))
			return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"%s: the algorithm is RSA-OAEP-256 or A256KW, not %s", config->uri,
			azure->algorithm);
}

static int open_parts(struct azure *azure, const struct kms_config *config,
		      struct kms_error *reterr)
{
	const char *endpoint = kms_config_get(config, "endpoint");
	struct http_options options;
	int r;

	r = azure_parse_uri(config->uri, &azure->key, azure->algorithm, reterr);
	if (r == 0)
		r = choose_algorithm(azure, config, reterr);
	if (r < 0)
		return r;
	if (endpoint)
		(void)snprintf(azure->base, sizeof(azure->base), "%.*s",
			       (int)(strlen(endpoint) -
				     (endpoint[0] && endpoint[strlen(endpoint) - 1] == '/')),
			       endpoint);
	else
		(void)snprintf(azure->base, sizeof(azure->base), "https://%s", azure->key.host);
	azure_resource_of(azure->key.host, azure->resource, sizeof(azure->resource));
	r = http_check_service_url(azure->base, reterr);
	if (r < 0)
		return r;
	http_options_from_config(config, &options);
	/* The certificate signs the login; it is no part of TLS. */
	options.client_certificate = NULL;
	options.client_key = NULL;
	r = http_open(&options, &azure->http, reterr);
	if (r < 0)
		return r;
	return azure_identity_open(config, azure->http, azure->resource, &azure->identity, reterr);
}

static int azure_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct azure *azure = calloc(1, sizeof(*azure));
	int r;

	if (!azure)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = open_parts(azure, config, reterr);
	if (r < 0) {
		azure_close(azure);
		return r;
	}
	*ret_state = azure;
	return 0;
}

static int encode_body(const char *algorithm, struct bytes value, struct text *body,
		       struct kms_error *reterr)
{
	text_add(body, "{\"alg\":");
	text_add_json(body, algorithm);
	text_add(body, ",\"value\":\"");
	text_add_base64url(body, value);
	text_add(body, "\"}");
	if (text_check(body) < 0)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	return 0;
}

/* POST /keys/NAME[/VERSION]/OPERATION; what comes back must be of this very key. */
static int operate(struct azure *azure, const struct kms_call *call,
		   const struct request_name *name, const struct azure_key *key,
		   const char *operation, const struct text *body, struct azure_key *ret_kid,
		   uint8_t value[static AZURE_BLOB_MAX], size_t *ret_size, struct kms_error *reterr)
{
	struct http_reply reply = { 0 };
	char path[512];
	int r;

	(void)snprintf(path, sizeof(path), "/keys/%s%s%s/%s?" AZURE_API, key->name,
		       key->version[0] ? "/" : "", key->version, operation);
	r = azure_request(azure, call, name, path, body, &reply, reterr);
	if (r == 0 &&
	    azure_decode_operation((struct bytes){ (const uint8_t *)reply.body, reply.size },
				   ret_kid, value, ret_size) < 0)
		r = outcome_malformed(name, &reply, "no kid, or no base64url value", reterr);
	if (r == 0 && (!azure_same_key(ret_kid, key) ||
		       (key->version[0] && strcasecmp(ret_kid->version, key->version) != 0))) {
		secret_wipe(value, AZURE_BLOB_MAX);
		r = kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
			     "%s: %s was answered by another key: %s version %s", name->key,
			     name->operation, ret_kid->name, ret_kid->version);
	}
	http_reply_free(&reply);
	return r;
}

static int make_plain(const struct wrap_context *context, const struct secret *secret,
		      struct secret **ret_plain, struct kms_error *reterr)
{
	int r = secret_new(PLAIN_SIZE, ret_plain);

	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	memcpy(secret_data(*ret_plain), secret_bytes(secret).data, SLOT_SECRET_SIZE);
	memcpy(secret_data(*ret_plain) + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE);
	memcpy(secret_data(*ret_plain) + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes,
	       UUID_SIZE);
	return 0;
}

static int fill_slot(struct azure *azure, const struct azure_key *kid, struct bytes value,
		     struct slot *slot, struct kms_error *reterr)
{
	int r;

	slot->wrapped[0] = BLOB_VERSION;
	memcpy(slot->wrapped + 1, value.data, value.size);
	slot->wrapped_size = value.size + 1;
	memcpy(slot->provider, "azure", sizeof("azure"));
	/* The name as configured, the version that the service used. */
	struct azure_key key = azure->key;

	memcpy(key.version, kid->version, sizeof(key.version));
	azure_format_kid(&key, slot->key_id);
	slot->key_alias[0] = 0;
	if (!azure->key.version[0])
		azure_format_kid(&azure->key, slot->key_alias);
	slot->parameters.count = 0;
	r = text_pairs_set(&slot->parameters, "algorithm", azure->algorithm);
	if (r == 0)
		r = azure_identity_access(azure->identity, &slot->access);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "describing the slot: %s",
				strerror(-r))
		     : 0;
}

static int azure_wrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct secret *secret, struct slot *slot, struct kms_error *reterr)
{
	struct azure *azure = state;
	CLEANUP(secret_cleanup) struct secret *plain = NULL;
	struct text body = { 0 };
	char shown[KEY_ID_SIZE];
	const struct request_name name = { AZURE_SERVICE, "wrapKey", shown };
	uint8_t value[AZURE_BLOB_MAX];
	struct azure_key kid;
	size_t size;
	int r;

	azure_format_kid(&azure->key, shown);
	r = make_plain(context, secret, &plain, reterr);
	if (r == 0)
		r = encode_body(azure->algorithm, secret_bytes(plain), &body, reterr);
	if (r == 0)
		r = operate(azure, call, &name, &azure->key, "wrapkey", &body, &kid, value, &size,
			    reterr);
	text_free(&body);
	if (r < 0)
		return r;
	return fill_slot(azure, &kid, (struct bytes){ value, size }, slot, reterr);
}

/* The key of a slot, if it is of the key that was opened. */
static bool slot_key(const struct azure *azure, const struct slot *slot, struct azure_key *ret_key)
{
	return azure_parse_kid(slot->key_id, ret_key) == 0 && azure_same_key(ret_key, &azure->key);
}

static int check_plain(const struct wrap_context *context, const struct slot *slot,
		       struct bytes plain, struct secret **ret_secret, struct kms_error *reterr)
{
	int r;

	if (plain.size != PLAIN_SIZE ||
	    memcmp(plain.data + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE) != 0 ||
	    memcmp(plain.data + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes, UUID_SIZE) !=
		    0)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"what %s unwrapped belongs to another snapshot", slot->key_id);
	r = secret_copy((struct bytes){ plain.data, SLOT_SECRET_SIZE }, ret_secret);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory") : 0;
}

static int azure_unwrap(void *state, const struct kms_call *call,
			const struct wrap_context *context, const struct slot *slot,
			struct secret **ret_secret, struct kms_error *reterr)
{
	struct azure *azure = state;
	const char *algorithm = text_pairs_get(&slot->parameters, "algorithm");
	const struct request_name name = { AZURE_SERVICE, "unwrapKey", slot->key_id };
	CLEANUP(secret_free_cleanup) uint8_t *plain = secret_alloc(AZURE_BLOB_MAX);
	struct text body = { 0 };
	struct azure_key key, kid;
	size_t size = 0;
	int r;

	if (!plain)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	if (!slot_key(azure, slot, &key) || slot->wrapped_size < 2 ||
	    slot->wrapped[0] != BLOB_VERSION)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of this key", slot->key_id);
	r = encode_body(algorithm ? algorithm : azure->algorithm,
			(struct bytes){ slot->wrapped + 1, slot->wrapped_size - 1 }, &body, reterr);
	if (r == 0)
		r = operate(azure, call, &name, &key, "unwrapkey", &body, &kid, plain, &size,
			    reterr);
	text_free(&body);
	if (r < 0)
		return r;
	return check_plain(context, slot, (struct bytes){ plain, size }, ret_secret, reterr);
}

/* A key that was deleted can be recovered for a time; the service tells until when, to those who may list deleted keys. */
static int describe_deleted(struct azure *azure, const struct kms_call *call,
			    struct kms_key_info *ret_info)
{
	const struct request_name name = { AZURE_SERVICE, "getDeletedKey", azure->key.name };
	struct http_reply reply = { 0 };
	char path[512];
	int r;

	(void)snprintf(path, sizeof(path), "/deletedkeys/%s?" AZURE_API, azure->key.name);
	r = azure_request(azure, call, &name, path, NULL, &reply, NULL);
	if (r == 0)
		r = azure_decode_deleted((struct bytes){ (const uint8_t *)reply.body, reply.size },
					 ret_info);
	http_reply_free(&reply);
	return r;
}

static int azure_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			  struct kms_error *reterr)
{
	struct azure *azure = state;
	char shown[KEY_ID_SIZE];
	const struct request_name name = { AZURE_SERVICE, "getKey", shown };
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	char path[512];
	int r;

	azure_format_kid(&azure->key, shown);
	(void)snprintf(path, sizeof(path), "/keys/%s%s%s?" AZURE_API, azure->key.name,
		       azure->key.version[0] ? "/" : "", azure->key.version);
	r = azure_request(azure, call, &name, path, NULL, &reply, &error);
	if (r == 0 && azure_decode_key((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       ret_info) < 0)
		r = outcome_malformed(&name, &reply, "no key, or no attributes", &error);
	http_reply_free(&reply);
	if (error.http_status == 404 && describe_deleted(azure, call, ret_info) == 0)
		return 0;
	/* Using a key and reading it are separate permissions: this says nothing about the key. */
	if (r == -EACCES)
		error.state = KEY_STATE_UNKNOWN;
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

static bool azure_owns(void *state, const struct slot *slot)
{
	struct azure_key key;

	return slot_key(state, slot, &key);
}

static const char *const azure_schemes[] = { "azurekv", NULL };

const struct kms_provider provider_azure = {
	.name = "azure",
	.schemes = azure_schemes,
	.open = azure_open,
	.wrap = azure_wrap,
	.unwrap = azure_unwrap,
	.describe = azure_describe,
	.owns = azure_owns,
	.close = azure_close,
	.policy = azure_policy,
};
