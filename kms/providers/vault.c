/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HashiCorp Vault and OpenBao, Transit engine: vault://HOST:PORT/MOUNT/KEY.  Requests and blob: kms/PROTOCOL.md, "vault".
 *
 * We draw the slot secret ourselves and have it encrypted with associated data: of the two servers only one would bind what
 * its datakey operation draws.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/secret_source.h"
#include "kms/crypto/secret.h"
#include "kms/providers/providers.h"
#include "kms/providers/vault_internal.h"

#define AAD_LABEL "snapcrypt/1"
#define AAD_SIZE  (sizeof(AAD_LABEL) - 1 + 2 * (size_t)UUID_SIZE)

static void vault_close(void *state)
{
	struct vault *vault = state;

	vault_login_close(vault->login);
	http_close(vault->http);
	pthread_mutex_destroy(&vault->lock);
	free(vault);
}

/* The first of these variables that is set; NULL: none. */
static const char *from_environment(const char *vault_name, const char *bao_name)
{
	const char *value = getenv(vault_name);

	if (!value || !*value)
		value = bao_name ? getenv(bao_name) : NULL;
	return value && *value ? value : NULL;
}

static void set_base(struct vault *vault, const char *address)
{
	size_t len = strlen(address);

	while (len && address[len - 1] == '/')
		len--;
	(void)snprintf(vault->base, sizeof(vault->base), "%.*s", (int)len, address);
}

/* The URI names the server; where it does not, VAULT_ADDR does.  `endpoint` only says how to reach it. */
static int find_server(struct vault *vault, const struct kms_config *config,
		       struct kms_error *reterr)
{
	const char *address = from_environment("VAULT_ADDR", "BAO_ADDR");
	const char *endpoint = kms_config_get(config, "endpoint");
	const char *name = kms_config_get(config, "server_name");
	char server[VAULT_SERVER_SIZE] = "";

	if (address && vault_parse_address(address, server) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "VAULT_ADDR=%s: not an address",
				address);
	if (!vault->uri.server[0] && !address && !endpoint)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s names no server, and VAULT_ADDR is not set", config->uri);
	if (!vault->uri.server[0] && !address && vault_parse_address(endpoint, server) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "endpoint %s: not an address",
				endpoint);
	if (endpoint)
		set_base(vault, endpoint);
	else if (!vault->uri.server[0] || !strcmp(vault->uri.server, server))
		set_base(vault, address);
	else
		(void)snprintf(vault->base, sizeof(vault->base), "https://%s", vault->uri.server);
	if (!name)
		name = vault->uri.server[0] ? vault->uri.server : server;
	if (strpbrk(name, "/#") || strlen(name) >= sizeof(vault->server))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"server_name %s: too long, or "
				"not a name",
				name);
	(void)snprintf(vault->server, sizeof(vault->server), "%s", name);
	return http_check_service_url(vault->base, reterr);
}

static int find_namespace(struct vault *vault, const struct kms_config *config,
			  struct kms_error *reterr)
{
	const char *namespace = kms_config_get(config, "namespace");
	size_t len;

	if (vault->uri.namespace[0])
		return 0;
	if (!namespace)
	namespace = from_environment("VAULT_NAMESPACE", "BAO_NAMESPACE");
	len = namespace ? strlen(namespace) : 0;
	while (len && namespace[len - 1] == '/')
		len--;
	if (len >= sizeof(vault->uri.namespace))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "the namespace is too long");
	if (len)
		(void)snprintf(vault->uri.namespace, sizeof(vault->uri.namespace), "%.*s", (int)len,
			       namespace);
	return 0;
}

static int open_http(struct vault *vault, const struct kms_config *config, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *passphrase = NULL;
	struct http_options options;
	int r;

	http_options_from_config(config, &options);
	if (!options.ca_file)
		options.ca_file = from_environment("VAULT_CACERT", "BAO_CACERT");
	if (!options.client_certificate) {
		options.client_certificate = from_environment("VAULT_CLIENT_CERT", NULL);
		options.client_key = from_environment("VAULT_CLIENT_KEY", NULL);
	}
	if (!options.tls_server_name)
		options.tls_server_name = from_environment("VAULT_TLS_SERVER_NAME", NULL);
	r = secret_source_read(config, "client_key_passphrase", &passphrase, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	options.client_key_passphrase = passphrase;
	return http_open(&options, &vault->http, reterr);
}

static int open_parts(struct vault *vault, const struct kms_config *config,
		      struct kms_error *reterr)
{
	struct vault_server server = { 0 };
	int r;

	r = vault_parse_uri(config->uri, &vault->uri, reterr);
	if (r == 0)
		r = find_server(vault, config, reterr);
	if (r == 0)
		r = find_namespace(vault, config, reterr);
	if (r == 0)
		r = open_http(vault, config, reterr);
	if (r < 0)
		return r;
	server.http = vault->http;
	server.base = vault->base;
	server.namespace = vault->uri.namespace[0] ? vault->uri.namespace : NULL;
	return vault_login_open(config, vault->uri.auth[0] ? vault->uri.auth : NULL, &server,
				&vault->login, reterr);
}

static int vault_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct vault *vault = calloc(1, sizeof(*vault));
	int r;

	if (!vault)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&vault->lock, NULL);
	r = open_parts(vault, config, reterr);
	if (r < 0) {
		vault_close(vault);
		return r;
	}
	*ret_state = vault;
	return 0;
}

static void add_context(struct text *body, const struct wrap_context *context)
{
	uint8_t aad[AAD_SIZE];

	memcpy(aad, AAD_LABEL, sizeof(AAD_LABEL) - 1);
	memcpy(aad + sizeof(AAD_LABEL) - 1, context->volume.bytes, UUID_SIZE);
	memcpy(aad + sizeof(AAD_LABEL) - 1 + UUID_SIZE, context->snapshot.bytes, UUID_SIZE);
	text_add(body, ",\"associated_data\":\"");
	text_add_base64(body, (struct bytes){ aad, sizeof(aad) });
	text_add(body, "\"}");
}

static void format_key_id(const struct vault *vault, int64_t version,
			  char key_id[static KEY_ID_SIZE])
{
	(void)snprintf(key_id, KEY_ID_SIZE, "vault:%s/%s/%s#%" PRId64, vault->server,
		       vault->uri.mount, vault->uri.key, version);
}

static int fill_slot(struct vault *vault, struct slot *slot, struct kms_error *reterr)
{
	int r = 0;

	memcpy(slot->provider, "vault", sizeof("vault"));
	format_key_id(vault,
		      vault_ciphertext_version((struct bytes){ slot->wrapped, slot->wrapped_size }),
		      slot->key_id);
	slot->parameters.count = 0;
	if (vault->uri.namespace[0])
		r = text_pairs_set(&slot->parameters, "namespace", vault->uri.namespace);
	if (r == 0)
		r = vault_login_access(vault->login, &slot->access);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "describing the slot: %s",
				strerror(-r))
		     : 0;
}

static int vault_wrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct secret *secret, struct slot *slot, struct kms_error *reterr)
{
	struct vault *vault = state;
	char path[2 * VAULT_PATH_SIZE + 16], shown[2 * VAULT_PATH_SIZE + 16];
	const struct request_name name = { VAULT_SERVICE, "encrypt", shown };
	struct http_reply reply = { 0 };
	struct text body = { 0 };
	int r;

	r = vault_ensure_key(vault, call, reterr);
	if (r < 0)
		return r;
	vault_format_path(vault, "", shown, sizeof(shown));
	vault_format_path(vault, "encrypt", path, sizeof(path));
	text_add(&body, "{\"plaintext\":\"");
	text_add_base64(&body, secret_bytes(secret));
	text_add(&body, "\"");
	add_context(&body, context);
	r = text_check(&body) < 0 ? kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory")
				  : vault_request(vault, call, &name, path, &body, &reply, reterr);
	text_free(&body);
	if (r == 0 &&
	    vault_decode_encrypt((struct bytes){ (const uint8_t *)reply.body, reply.size },
				 slot->wrapped, &slot->wrapped_size) < 0)
		r = outcome_malformed(&name, &reply, "no ciphertext of a key version", reterr);
	http_reply_free(&reply);
	return r < 0 ? r : fill_slot(vault, slot, reterr);
}

static bool vault_owns(void *state, const struct slot *slot)
{
	struct vault *vault = state;
	const char *version = strrchr(slot->key_id, '#');
	const char *namespace = text_pairs_get(&slot->parameters, "namespace");
	char key_id[KEY_ID_SIZE];

	format_key_id(vault, 0, key_id);
	return version && !strcmp(namespace ? namespace : "", vault->uri.namespace) &&
	       strlen(key_id) - 1 == (size_t)(version - slot->key_id) + 1 &&
	       !strncmp(key_id, slot->key_id, strlen(key_id) - 1);
}

/* For "rewrap recommended": the oldest version that something here was wrapped under. */
static void note_version(struct vault *vault, int64_t version)
{
	long long oldest = atomic_load(&vault->oldest_version);

	while ((!oldest || version < oldest) &&
	       !atomic_compare_exchange_weak(&vault->oldest_version, &oldest, version))
		;
}

/* The blob and the id that is shown must name one version. */
static int64_t slot_version(struct vault *vault, const struct slot *slot)
{
	int64_t version =
		vault_ciphertext_version((struct bytes){ slot->wrapped, slot->wrapped_size });
	char key_id[KEY_ID_SIZE];

	format_key_id(vault, version, key_id);
	return version && vault_owns(vault, slot) && !strcmp(key_id, slot->key_id) ? version : 0;
}

static int vault_unwrap(void *state, const struct kms_call *call,
			const struct wrap_context *context, const struct slot *slot,
			struct secret **ret_secret, struct kms_error *reterr)
{
	struct vault *vault = state;
	int64_t version = slot_version(vault, slot);
	const struct request_name name = { VAULT_SERVICE, "decrypt", slot->key_id };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	char path[2 * VAULT_PATH_SIZE + 16];
	struct http_reply reply = { 0 };
	struct text body = { 0 };
	int r;

	if (!version)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of this key", slot->key_id);
	r = secret_new(SLOT_SECRET_SIZE, &secret);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	vault_format_path(vault, "decrypt", path, sizeof(path));
	text_add(&body, "{\"ciphertext\":\"");
	for (size_t i = 0; i < slot->wrapped_size; i++)
		if (slot->wrapped[i] < 0x20 || strchr("\"\\\x7f", slot->wrapped[i]))
			body.has_failed = true;
	text_add_bytes(&body, (struct bytes){ slot->wrapped, slot->wrapped_size });
	text_add(&body, "\"");
	add_context(&body, context);
	r = text_check(&body) < 0 ? kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
					     "%s: not a slot of this key", slot->key_id)
				  : vault_request(vault, call, &name, path, &body, &reply, reterr);
	text_free(&body);
	if (r == 0 &&
	    vault_decode_decrypt((struct bytes){ (const uint8_t *)reply.body, reply.size },
				 secret_data(secret)) < 0)
		r = outcome_malformed(&name, &reply, "no plaintext of 32 bytes", reterr);
	http_reply_free(&reply);
	if (r < 0)
		return r;
	note_version(vault, version);
	*ret_secret = TAKE(secret);
	return 0;
}

static int vault_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			  struct kms_error *reterr)
{
	struct vault *vault = state;
	long long oldest = atomic_load(&vault->oldest_version);
	struct kms_error error = { 0 };
	struct vault_key key;
	int r;

	r = vault_read_key(vault, call, &key, &error);
	if (r < 0) {
		/* Using a key and reading it are separate permissions: this says nothing about the key. */
		if (r == -EACCES)
			error.state = KEY_STATE_UNKNOWN;
		if (reterr)
			*reterr = error;
		return r;
	}
	*ret_info = key.info;
	ret_info->has_old_version = oldest && oldest < key.latest_version;
	format_key_id(vault, key.latest_version, ret_info->key_id);
	return 0;
}

static const char *const vault_schemes[] = { "vault", NULL };

const struct kms_provider provider_vault = {
	.name = "vault",
	.schemes = vault_schemes,
	.open = vault_open,
	.wrap = vault_wrap,
	.unwrap = vault_unwrap,
	.describe = vault_describe,
	.owns = vault_owns,
	.close = vault_close,
	.policy = vault_policy,
};
