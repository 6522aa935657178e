/* SPDX-License-Identifier: Apache-2.0 */
/* Every key that a configuration may hold. */
#include "fs/config/config_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/config/config.h"

#define BOTH   (CONFIG_IN_GLOBAL | CONFIG_IN_VOLUME)
#define HOST   CONFIG_IN_GLOBAL
#define VOLUME CONFIG_IN_VOLUME
#define KEY    CONFIG_IN_KEY
#define NO_ENV CONFIG_NOT_IN_ENVIRONMENT
#define SECRET (CONFIG_IS_SECRET | CONFIG_NOT_IN_ENVIRONMENT)

#define NETWORK "awskms azurekv gcpkms vault kmip"

const struct config_key config_keys[] = {
	{ "key", BOTH, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "alternate_key", BOTH, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "recovery_key", BOTH, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "keyring", BOTH, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "role", BOTH, CONFIG_TYPE_TEXT, "read-write", "read-write write-only", NULL },
	{ "trusted_writers", BOTH, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "require_trusted_origin", BOTH, CONFIG_TYPE_BOOL, "no", NULL, NULL },
	{ "require_encryption", BOTH, CONFIG_TYPE_BOOL, "no", NULL, NULL },
	{ "require_cmk", BOTH, CONFIG_TYPE_BOOL, "no", NULL, NULL },
	{ "require_sealed", BOTH, CONFIG_TYPE_BOOL, "no", NULL, NULL },
	{ "key_timeout", BOTH, CONFIG_TYPE_DURATION, "10s", NULL, NULL },
	{ "key_poll", BOTH, CONFIG_TYPE_DURATION, "900s", NULL, NULL },
	{ "hedge_after", BOTH, CONFIG_TYPE_DURATION, "2s", NULL, NULL },
	{ "slot_order", BOTH, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "spare_keys", BOTH, CONFIG_TYPE_NUMBER, "1", NULL, NULL },
	{ "on_revoke", BOTH, CONFIG_TYPE_TEXT, "block", "block readonly prevent_new", NULL },
	{ "unreachable_grace", BOTH, CONFIG_TYPE_DURATION, "none", NULL, NULL },
	{ "event_command", BOTH, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "rotation_age", BOTH, CONFIG_TYPE_DURATION, "90d", NULL, NULL },
	{ "read_ahead", BOTH, CONFIG_TYPE_SIZE, "1M", NULL, NULL },
	{ "write_queue", BOTH, CONFIG_TYPE_SIZE, "8M", NULL, NULL },
	{ "threads", BOTH, CONFIG_TYPE_NUMBER, "0", NULL, NULL },
	{ "log_level", BOTH, CONFIG_TYPE_TEXT, "info", "error warning info debug", NULL },
	{ "log_format", BOTH, CONFIG_TYPE_TEXT, "text", "text json", NULL },

	{ "state_dir", HOST, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "runtime_dir", HOST, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "catalog", HOST, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "catalog_scope", HOST, CONFIG_TYPE_TEXT, "host", "host fleet", NULL },
	{ "catalog_max_age", HOST, CONFIG_TYPE_DURATION, "1d", NULL, NULL },
	{ "catalog_password", HOST | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "audit_log", HOST, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "audit_on_failure", HOST, CONFIG_TYPE_TEXT, "warn", "warn block", NULL },
	{ "ca_file", HOST | KEY, CONFIG_TYPE_TEXT, NULL, NULL, NETWORK },
	{ "proxy", HOST | KEY, CONFIG_TYPE_TEXT, NULL, NULL, NETWORK },
	{ "no_proxy", HOST | KEY, CONFIG_TYPE_TEXT, NULL, NULL, NETWORK },

	{ "backing", VOLUME | NO_ENV, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "mountpoint", VOLUME | NO_ENV, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "volume_id", VOLUME, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "encryption", VOLUME, CONFIG_TYPE_TEXT, NULL, "on off", NULL },
	{ "names", VOLUME, CONFIG_TYPE_TEXT, NULL, "encrypted plain", NULL },
	{ "block_size", VOLUME, CONFIG_TYPE_SIZE, NULL, NULL, NULL },
	{ "snapshot_depth", VOLUME, CONFIG_TYPE_NUMBER, NULL, NULL, NULL },
	{ "plaintext_snapshots", VOLUME, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "seal_on", VOLUME, CONFIG_TYPE_TEXT, "command", "command rename unmount", NULL },
	{ "delete_sealed", VOLUME, CONFIG_TYPE_TEXT, "command", "command mount", NULL },
	{ "stream_period", VOLUME, CONFIG_TYPE_DURATION, "1d", NULL, NULL },
	{ "pit_window", VOLUME, CONFIG_TYPE_DURATION, "none", NULL, NULL },
	{ "keep_within", VOLUME, CONFIG_TYPE_DURATION, NULL, NULL, NULL },
	{ "keep_last", VOLUME, CONFIG_TYPE_NUMBER, NULL, NULL, NULL },
	{ "keep_hourly", VOLUME, CONFIG_TYPE_KEEP, NULL, NULL, NULL },
	{ "keep_daily", VOLUME, CONFIG_TYPE_KEEP, NULL, NULL, NULL },
	{ "keep_weekly", VOLUME, CONFIG_TYPE_KEEP, NULL, NULL, NULL },
	{ "keep_monthly", VOLUME, CONFIG_TYPE_KEEP, NULL, NULL, NULL },
	{ "keep_yearly", VOLUME, CONFIG_TYPE_KEEP, NULL, NULL, NULL },
	{ "keep_tag", VOLUME, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "group_by", VOLUME, CONFIG_TYPE_LIST, NULL, NULL, NULL },
	{ "min_keep", VOLUME, CONFIG_TYPE_NUMBER, "1", NULL, NULL },
	{ "require_verified", VOLUME, CONFIG_TYPE_BOOL, "no", NULL, NULL },
	{ "policy_lock", VOLUME, CONFIG_TYPE_TEXT, "none", "none governance compliance", NULL },
	{ "policy_lock_min", VOLUME, CONFIG_TYPE_DURATION, NULL, NULL, NULL },

	{ "uri", KEY, CONFIG_TYPE_TEXT, NULL, NULL, NULL },
	{ "endpoint", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms azurekv gcpkms vault" },
	{ "server_name", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault kmip" },
	{ "tls_server_name", KEY, CONFIG_TYPE_TEXT, NULL, NULL, NETWORK },
	{ "client_certificate", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault kmip azurekv" },
	{ "client_key", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault kmip azurekv" },
	{ "client_key_passphrase", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL,
	  "vault kmip azurekv" },
	{ "auth", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms azurekv gcpkms vault" },
	{ "region", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "profile", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "fips", KEY, CONFIG_TYPE_BOOL, NULL, NULL, "awskms" },
	{ "access_key_id", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "secret_access_key", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "session_token", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "role_arn", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "external_id", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "role_session_name", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "sts_endpoint", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "awskms" },
	{ "tenant_id", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "azurekv" },
	{ "client_id", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "azurekv" },
	{ "client_secret", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "azurekv" },
	{ "federated_token_file", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "azurekv" },
	{ "authority_host", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "azurekv" },
	{ "algorithm", KEY, CONFIG_TYPE_TEXT, NULL, "RSA-OAEP-256 A256KW", "azurekv" },
	{ "credentials_file", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "gcpkms" },
	{ "impersonate", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "gcpkms" },
	{ "namespace", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "token", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "auth_mount", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "vault_role", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "role_id", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "secret_id", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "jwt_file", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "vault" },
	{ "kmip_version", KEY, CONFIG_TYPE_TEXT, NULL, "1.2 1.3 1.4 2.0", "kmip" },
	{ "mode", KEY, CONFIG_TYPE_TEXT, NULL, "encrypt get", "kmip" },
	{ "username", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "kmip" },
	{ "password", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "kmip" },
	{ "module", KEY, CONFIG_TYPE_TEXT, NULL, NULL, "pkcs11" },
	{ "pin", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "pkcs11" },
	{ "passphrase", KEY | SECRET, CONFIG_TYPE_TEXT, NULL, NULL, "keyring" },
};
const size_t config_key_table_size = ARRAY_SIZE(config_keys);

bool config_words_have(const char *words, const char *word, size_t len)
{
	while (*words) {
		size_t next = strcspn(words, " ");

		if (next == len && !memcmp(words, word, len))
			return true;
		words += next;
		words += strspn(words, " ");
	}
	return false;
}

/* The part of NAME before one of the suffixes of a secret; 0: it has none. */
static size_t secret_base(const char *name)
{
	static const char *const suffixes[] = { "_file", "_credential", "_command", "_env" };
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t suffix = strlen(suffixes[i]);

		if (len > suffix && !strcmp(name + len - suffix, suffixes[i]))
			return len - suffix;
	}
	return 0;
}

const struct config_key *config_key_find(const char *name, unsigned place)
{
	size_t base = secret_base(name);

	for (size_t i = 0; i < config_key_table_size; i++) {
		const struct config_key *key = &config_keys[i];

		if (!(key->places & place))
			continue;
		if (key->places & CONFIG_IS_SECRET) {
			if (base == strlen(key->name) && !memcmp(name, key->name, base))
				return key;
		} else if (!strcmp(name, key->name)) {
			return key;
		}
	}
	return NULL;
}

int config_key_check(const struct config_key *key, const char *value)
{
	uint64_t size;
	int64_t duration;
	bool is_on;
	char *end;

	if (key->places & CONFIG_IS_SECRET)
		return 0;
	switch (key->type) {
	case CONFIG_TYPE_BOOL:
		return config_parse_bool(value, &is_on);
	case CONFIG_TYPE_SIZE:
		return config_parse_size(value, &size);
	case CONFIG_TYPE_DURATION:
	case CONFIG_TYPE_KEEP:
		return config_parse_duration(value, &duration);
	case CONFIG_TYPE_NUMBER:
		errno = 0;
		(void)strtoul(value, &end, 10);
		return errno || end == value || *end || *value == '-' ? -EINVAL : 0;
	case CONFIG_TYPE_TEXT:
		return key->words && !config_words_have(key->words, value, strlen(value)) ? -EINVAL
											  : 0;
	case CONFIG_TYPE_LIST:
		return 0;
	}
	return -EINVAL;
}
