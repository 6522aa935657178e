/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Azure. */
#include "kms/credentials/azure_identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/azure_internal.h"

static const struct azure_source *const sources[] = {
	&azure_client_secret,
	&azure_client_certificate,
	&azure_workload_identity,
	&azure_managed_identity,
};

const char *azure_value(const struct azure_identity *identity, const char *setting,
			const char *variable)
{
	const char *value = kms_config_get(identity->config, setting);

	if (!value && variable)
		value = getenv(variable);
	return value && *value ? value : NULL;
}

static bool has_setting(const struct kms_config *config, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < config->setting_count; i++)
		if (!strncmp(config->settings[i].name, name, len) &&
		    (!config->settings[i].name[len] || config->settings[i].name[len] == '_'))
			return true;
	return false;
}

static const struct azure_source *source_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (!strcmp(sources[i]->name, name))
			return sources[i];
	return NULL;
}

/* What is there decides; the machine's own identity needs nothing. */
static const struct azure_source *source_present(const struct azure_identity *identity)
{
	static const struct {
		const char *setting;
		const char *variable;
		const struct azure_source *source;
	} signs[] = {
		{ "client_secret", "AZURE_CLIENT_SECRET", &azure_client_secret },
		{ "client_certificate", "AZURE_CLIENT_CERTIFICATE_PATH",
		  &azure_client_certificate },
		{ "federated_token_file", "AZURE_FEDERATED_TOKEN_FILE", &azure_workload_identity },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (has_setting(identity->config, signs[i].setting))
			return signs[i].source;
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		const char *value = getenv(signs[i].variable);

		if (value && *value)
			return signs[i].source;
	}
	return &azure_managed_identity;
}

static int choose(struct azure_identity *identity, struct kms_error *reterr)
{
	const char *auth = kms_config_get(identity->config, "auth");

	identity->source = auth ? source_by_name(auth) : source_present(identity);
	if (!identity->source)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"auth = %s: Azure has client-secret, client-certificate, "
				"workload-identity and managed-identity",
				auth);
	return identity->source->check(identity, reterr);
}

int azure_identity_open(const struct kms_config *config, struct http *http, const char *resource,
			struct azure_identity **ret_identity, struct kms_error *reterr)
{
	struct azure_identity *identity = calloc(1, sizeof(*identity));
	int r;

	if (!identity)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	identity->http = http;
	identity->resource = strdup(resource);
	r = kms_config_copy(config, &identity->config);
	if (r < 0 || !identity->resource) {
		azure_identity_close(identity);
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	}
	r = choose(identity, reterr);
	if (r == 0) {
		r = token_cache_open(identity->source->fetch, identity, &identity->cache);
		if (r < 0)
			r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	}
	if (r < 0) {
		azure_identity_close(identity);
		return r;
	}
	*ret_identity = identity;
	return 0;
}

void azure_identity_close(struct azure_identity *identity)
{
	if (!identity)
		return;
	token_cache_close(identity->cache);
	kms_config_free(identity->config);
	free(identity->resource);
	free(identity);
}

int azure_identity_token(struct azure_identity *identity, const struct kms_call *call,
			 struct secret **ret_token, struct kms_error *reterr)
{
	return token_cache_get(identity->cache, call, ret_token, reterr);
}

void azure_identity_reject(struct azure_identity *identity, const struct secret *token)
{
	token_cache_reject(identity->cache, token);
}

int azure_identity_access(const struct azure_identity *identity, struct text_pairs *access)
{
	const char *principal = azure_value(identity, "client_id", "AZURE_CLIENT_ID");
	int r;

	access->count = 0;
	r = text_pairs_set(access, "principal", principal ? principal : "system-assigned");
	if (r == 0)
		r = text_pairs_set(access, "source", identity->source->name);
	if (r == 0 && identity->config->section)
		r = text_pairs_set(access, "section", identity->config->section);
	return r;
}
