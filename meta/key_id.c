/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing Encryption Key IDs. */
#include "meta/key_id.h"

#include <stddef.h>
#include <string.h>

#include "meta/macros.h"

/* Where a version begins, by the form of the id. */
static const struct {
	const char *prefix;
	const char *separator;
} versioned[] = {
	{ "https://", "/" },
	{ "projects/", "/cryptoKeyVersions/" },
	{ "vault:", "#" },
};

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_version_of(const char *stored, const char *asked)
{
	const size_t length = strlen(asked);

	if (strncmp(stored, asked, length) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(versioned); i++) {
		const char *separator = versioned[i].separator;
		const char *version = stored + length + strlen(separator);

		if (begins_with(stored, versioned[i].prefix) &&
		    begins_with(stored + length, separator))
			return *version != '\0' && strchr(version, '/') == NULL;
	}
	return false;
}

/* arn:PARTITION:kms:REGION:ACCOUNT:key/mrk-...: the fields without the region. */
static bool is_same_multi_region(const char *a, const char *b)
{
	for (int field = 0; field < 5; field++) {
		const size_t a_length = strcspn(a, ":");
		const size_t b_length = strcspn(b, ":");

		if (a[a_length] != ':' || b[b_length] != ':')
			return false;
		if (field != 3 && (a_length != b_length || strncmp(a, b, a_length) != 0))
			return false;
		a += a_length + 1;
		b += b_length + 1;
	}
	return begins_with(a, "key/mrk-") && strcmp(a, b) == 0;
}

bool key_id_matches(const char *stored, const char *asked)
{
	if (strcmp(stored, asked) == 0 || is_version_of(stored, asked))
		return true;
	return begins_with(stored, "arn:") && begins_with(asked, "arn:") &&
	       is_same_multi_region(stored, asked);
}

bool key_id_is_canonical(const char *text)
{
	static const char *const prefixes[] = {
		"arn:",  "https://",       "projects/", "vault:",
		"kmip:", "pkcs11:serial=", "keyring:",  "recovery:",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (begins_with(text, prefixes[i]) && text[strlen(prefixes[i])] != '\0' &&
		    text[strlen(prefixes[i])] != '/')
			return true;
	return false;
}

const char *key_id_version(const char *key_id)
{
	for (size_t i = 0; i < ARRAY_SIZE(versioned); i++) {
		const char *separator = versioned[i].separator;
		const char *found = NULL;

		if (!begins_with(key_id, versioned[i].prefix))
			continue;
		/* https://VAULT/keys/NAME has slashes of its own. */
		if (strcmp(separator, "/") == 0) {
			const char *name = strstr(key_id, "/keys/");

			found = name == NULL ? NULL : strchr(name + strlen("/keys/"), '/');
		} else {
			found = strstr(key_id, separator);
		}
		return found == NULL || found[strlen(separator)] == '\0'
			       ? NULL
			       : found + strlen(separator);
	}
	return NULL;
}
