/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a KMIP server, versions 1.2 to 2.0: kmip://HOST:PORT/UID.  What is asked and stored: kms/PROTOCOL.md, "kmip". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/config_copy.h"
#include "kms/credentials/public_file.h"
#include "kms/credentials/secret_source.h"
#include "kms/crypto/rsa.h"
#include "kms/providers/kmip_internal.h"
#include "kms/providers/providers.h"
#include "meta/encoding.h"

static void kmip_close(void *state)
{
	struct kmip *kmip = state;

	kmip_close_connections(kmip);
	http_close(kmip->http);
	kms_config_free(kmip->config);
	pthread_mutex_destroy(&kmip->lock);
	free(kmip);
}

static int choose_mode(struct kmip *kmip, struct kms_error *reterr)
{
	const char *mode = kms_config_get(kmip->config, "mode");
	const char *version = kms_config_get(kmip->config, "kmip_version");
	const char *name = kms_config_get(kmip->config, "server_name");

	if (kmip->uri.mode[0])
		mode = kmip->uri.mode;
	kmip->is_fetching = mode && !strcmp(mode, "get");
	if (!kmip->uri.version && version) {
		kmip->uri.version = kmip_parse_version(version, strlen(version));
		if (!kmip->uri.version)
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"kmip_version %s: write 1.2, 1.3, 1.4 or 2.0", version);
	}
	kmip->version = kmip->uri.version;
	if (!name)
		name = kmip->uri.server;
	if (strchr(name, '/') || !*name || strlen(name) >= sizeof(kmip->server))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"server_name %s: too long, or not a name", name);
	(void)snprintf(kmip->server, sizeof(kmip->server), "%s", name);
	(void)snprintf(kmip->key_id, sizeof(kmip->key_id), "kmip:%s/%s", kmip->server,
		       kmip->uri.uid);
	return 0;
}

static int open_http(struct kmip *kmip, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *passphrase = NULL;
	struct http_options options;
	int r;

	http_options_from_config(kmip->config, &options);
	if (!options.client_certificate && !kms_config_get(kmip->config, "username")) {
		r = kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			     "%s: a KMIP server must know who asks", kmip->config->uri);
		kms_advise(reterr, "name client_certificate and client_key in a [key] section");
		return r;
	}
	r = secret_source_read(kmip->config, "client_key_passphrase", &passphrase, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	options.client_key_passphrase = passphrase;
	return http_open(&options, &kmip->http, reterr);
}

static int kmip_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct kmip *kmip = calloc(1, sizeof(*kmip));
	int r;

	if (!kmip)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&kmip->lock, NULL);
	r = kmip_parse_uri(config->uri, &kmip->uri, reterr);
	if (r == 0 && kms_config_copy(config, &kmip->config) < 0)
		r = kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	if (r == 0)
		r = choose_mode(kmip, reterr);
	if (r == 0)
		r = open_http(kmip, reterr);
	if (r < 0) {
		kmip_close(kmip);
		return r;
	}
	*ret_state = kmip;
	return 0;
}

/* As whom: the user, or the certificate by its thumbprint. */
static int describe_access(const struct kmip *kmip, struct text_pairs *access)
{
	const char *user = kms_config_get(kmip->config, "username");
	const char *certificate = kms_config_get(kmip->config, "client_certificate");
	uint8_t digest[RSA_THUMBPRINT_SIZE];
	char principal[HEX_TEXT_SIZE(RSA_THUMBPRINT_SIZE)] = "unknown";
	char *pem = NULL;
	int r;

	if (!user && public_file_read(certificate, &pem, NULL) == 0 &&
	    rsa_certificate_thumbprint(bytes_from_text(pem), digest) == 0)
		hex_encode((struct bytes){ digest, sizeof(digest) }, principal);
	free(pem);
	r = text_pairs_set(access, "principal", user ? user : principal);
	if (r == 0)
		r = text_pairs_set(access, "source", user ? "password" : "certificate");
	if (r == 0 && kmip->config->section)
		r = text_pairs_set(access, "section", kmip->config->section);
	return r;
}

static int kmip_wrap_slot(void *state, const struct kms_call *call,
			  const struct wrap_context *context, const struct secret *secret,
			  struct slot *slot, struct kms_error *reterr)
{
	struct kmip *kmip = state;
	int r = kmip_wrap(kmip, call, context, secret, slot, reterr);

	if (r < 0)
		return r;
	memcpy(slot->provider, "kmip", sizeof("kmip"));
	memcpy(slot->key_id, kmip->key_id, sizeof(slot->key_id));
	r = describe_access(kmip, &slot->access);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "describing the slot: %s",
				strerror(-r))
		     : 0;
}

static bool kmip_owns(void *state, const struct slot *slot)
{
	const struct kmip *kmip = state;

	return !strcmp(slot->key_id, kmip->key_id);
}

static int kmip_unwrap_slot(void *state, const struct kms_call *call,
			    const struct wrap_context *context, const struct slot *slot,
			    struct secret **ret_secret, struct kms_error *reterr)
{
	if (!kmip_owns(state, slot))
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of this key", slot->key_id);
	return kmip_unwrap(state, call, context, slot, ret_secret, reterr);
}

static int kmip_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			 struct kms_error *reterr)
{
	struct kmip *kmip = state;
	struct kmip_facts facts;
	struct kms_error error = { 0 };
	int r;

	r = kmip_read_facts(kmip, call, &facts, &error);
	if (r < 0) {
		/* Using a key and reading its attributes are separate permissions: this says nothing about the key. */
		if (r == -EACCES)
			error.state = KEY_STATE_UNKNOWN;
		if (reterr)
			*reterr = error;
		return r;
	}
	*ret_info = (struct kms_key_info){ .state = kmip_key_state(facts.state),
					   .created_s = facts.created_s };
	memcpy(ret_info->key_id, kmip->key_id, sizeof(ret_info->key_id));
	return 0;
}

/* Servers may let deactivated keys decrypt, so their state is believed over that; where it may not be read, it is no verdict. */
static int kmip_probe(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct slot *slot, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kmip *kmip = state;
	struct kmip_facts facts;
	int r;

	r = kmip_unwrap_slot(kmip, call, context, slot, &secret, reterr);
	if (r < 0 || kmip_read_facts(kmip, call, &facts, NULL) < 0)
		return r;
	return kmip_check_state(kmip, facts.state, reterr);
}

static int kmip_policy(const struct kms_config *config, enum kms_use use, struct text *text,
		       struct kms_error *reterr)
{
	const char *mode = kms_config_get(config, "mode");
	struct kmip_uri uri;
	bool is_fetching;
	int r;

	r = kmip_parse_uri(config->uri, &uri, reterr);
	if (r < 0)
		return r;
	is_fetching = !strcmp(uri.mode[0] ? uri.mode : mode ? mode : "", "get");
	text_add_format(text, "object      %s\n", uri.uid);
	text_add(text, "type        Symmetric Key, AES, 256 bits, state Active\n");
	if (is_fetching)
		text_add(text, "operations  Get, Get Attributes\n");
	else if (use == KMS_USE_MAKE)
		text_add(text, "usage       Encrypt\noperations  Encrypt, Get Attributes\n");
	else if (use == KMS_USE_OPEN)
		text_add(text, "usage       Decrypt\noperations  Decrypt, Get Attributes\n");
	else
		text_add(text, "usage       Encrypt, Decrypt\n"
			       "operations  Encrypt, Decrypt, Get Attributes\n");
	return 0;
}

static const char *const kmip_schemes[] = { "kmip", NULL };

const struct kms_provider provider_kmip = {
	.name = "kmip",
	.schemes = kmip_schemes,
	.open = kmip_open,
	.wrap = kmip_wrap_slot,
	.unwrap = kmip_unwrap_slot,
	.describe = kmip_describe,
	.probe = kmip_probe,
	.owns = kmip_owns,
	.close = kmip_close,
	.policy = kmip_policy,
};
