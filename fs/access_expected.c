/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says about a volume, to be compared with its record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/access.h"
#include "fs/access_fail.h"
#include "meta/exit_code.h"

static int read_file(const char *path, char **ret_text)
{
	char *text = calloc(1, VOLUME_PEM_SIZE_MAX + 1);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n = 0;

	if (text == NULL || fd < 0) {
		const int error = text == NULL ? -ENOMEM : -errno;

		free(text);
		if (fd >= 0)
			close(fd);
		return error;
	}
	while (used < VOLUME_PEM_SIZE_MAX &&
	       (n = read(fd, text + used, VOLUME_PEM_SIZE_MAX - used)) > 0)
		used += (size_t)n;
	close(fd);
	if (n < 0 || used == VOLUME_PEM_SIZE_MAX) {
		free(text);
		return n < 0 ? -EIO : -EFBIG;
	}
	*ret_text = text;
	return 0;
}

int access_add_recovery_key(const struct config *config, struct kms *kms, const char *path,
			    struct volume_record *record, struct store_error *reterr)
{
	struct kms_error key_error = { 0 };
	struct kms_key_info info;
	char *absolute = realpath(path, NULL);
	char *uri = NULL;
	char *pem = NULL;
	int r = 0;

	if (absolute == NULL)
		return access_fail(reterr, -errno, EXIT_USAGE, "recovery key %s: %s", path,
				   strerror(errno));
	r = read_file(absolute, &pem);
	if (r < 0 || asprintf(&uri, "recovery://%s", absolute) < 0) {
		free(absolute);
		free(pem);
		return access_fail(reterr, r < 0 ? r : -ENOMEM, EXIT_USAGE, "recovery key %s: %s",
				   path, strerror(r < 0 ? -r : ENOMEM));
	}
	r = access_add_key(config, kms, uri, &key_error);
	if (r == 0)
		r = kms_describe(kms, uri, &info, &key_error);
	if (r < 0)
		access_key_error(r, &key_error, reterr);
	else
		r = volume_record_add_recovery_key(record, info.key_id, pem);
	free(absolute);
	free(pem);
	free(uri);
	return r;
}

static int test_alternate(struct access *access, const char *uri, char id[static KEY_ID_SIZE],
			  struct store_error *reterr)
{
	struct kms_error key_error = { 0 };
	struct kms_key_info info = { 0 };
	int r = access_check_key(access->config, access->volume_name, uri, reterr);

	if (r < 0)
		return r;
	r = kms_test_key(access->kms, uri, &info, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, reterr);
	memcpy(id, info.key_id, KEY_ID_SIZE);
	r = trust_add_kek(access->trust, uri, id);
	return r < 0 ? access_fail(reterr, r, EXIT_FAILED, "state directory: %s", strerror(-r)) : 0;
}

int access_add_alternate_keys(struct access *access, bool is_tested, struct volume_record *record,
			      struct store_error *reterr)
{
	size_t count = 0;
	const char *const *uris = config_list(access->config, access->volume_name, "alternate_key",
					      &count);

	for (size_t i = 0; i < count; i++) {
		char id[KEY_ID_SIZE] = "";
		int r = is_tested ? test_alternate(access, uris[i], id, reterr) : 0;

		if (r < 0)
			return r;
		r = strlen(uris[i]) < KEY_ID_SIZE ? volume_record_add_alternate(record, id, uris[i])
						  : -ENAMETOOLONG;
		if (r < 0)
			return access_fail(reterr, r, EXIT_USAGE, "alternate_key %s: %s", uris[i],
					   strerror(-r));
	}
	return 0;
}

static int expect_recovery_keys(struct access *access, struct volume_record *expected,
				unsigned *fields, struct store_error *reterr)
{
	size_t count = 0;
	const char *const *files = config_list(access->config, access->volume_name, "recovery_key",
					       &count);

	for (size_t i = 0; i < count; i++) {
		const int r = access_add_recovery_key(access->config, access->kms, files[i],
						      expected, reterr);

		if (r < 0)
			return r;
	}
	if (config_is_set(access->config, access->volume_name, "recovery_key"))
		*fields |= VOLUME_FIELD_RECOVERY_KEYS;
	return 0;
}

/* Entries are UUID=NAME. */
static int expect_plaintext(const struct access *access, struct volume_record *expected,
			    unsigned *fields, struct store_error *reterr)
{
	size_t count = 0;
	const char *const *entries = config_list(access->config, access->volume_name,
						 "plaintext_snapshots", &count);

	for (size_t i = 0; i < count; i++) {
		char id_text[UUID_TEXT_SIZE] = "";
		struct uuid id;
		const char *equals = strchr(entries[i], '=');

		if (equals == NULL || (size_t)(equals - entries[i]) != UUID_TEXT_SIZE - 1)
			return access_fail(reterr, -EINVAL, EXIT_USAGE,
					   "plaintext_snapshots: %s is not UUID=NAME", entries[i]);
		memcpy(id_text, entries[i], UUID_TEXT_SIZE - 1);
		if (uuid_parse(id_text, &id) < 0 ||
		    volume_record_add_plaintext(expected, &id, equals + 1) < 0)
			return access_fail(reterr, -EINVAL, EXIT_USAGE,
					   "plaintext_snapshots: %s is not UUID=NAME", entries[i]);
	}
	if (config_is_set(access->config, access->volume_name, "plaintext_snapshots"))
		*fields |= VOLUME_FIELD_PLAINTEXT;
	return 0;
}

static bool text_is(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

/* The settings that have one value each. */
static void expect_values(const struct access *access, struct volume_record *expected,
			  unsigned *fields)
{
	const struct config *config = access->config;
	const char *name = access->volume_name;
	const char *key = config_text(config, name, "key");

	if (config_is_set(config, name, "encryption")) {
		expected->is_encrypted = text_is(config_text(config, name, "encryption"), "on");
		*fields |= VOLUME_FIELD_ENCRYPTION;
	}
	if (key != NULL && config_is_set(config, name, "key")) {
		snprintf(expected->default_key, sizeof(expected->default_key), "%s", key);
		*fields |= VOLUME_FIELD_DEFAULT_KEY;
	}
	if (config_is_set(config, name, "names")) {
		expected->has_encrypted_names = text_is(config_text(config, name, "names"),
							"encrypted");
		*fields |= VOLUME_FIELD_NAMES;
	}
	if (config_is_set(config, name, "block_size")) {
		expected->block_size = (uint32_t)config_size(config, name, "block_size");
		*fields |= VOLUME_FIELD_BLOCK_SIZE;
	}
	if (config_is_set(config, name, "snapshot_depth")) {
		expected->snapshot_depth = (unsigned)config_number(config, name, "snapshot_depth");
		*fields |= VOLUME_FIELD_DEPTH;
	}
	if (config_is_set(config, name, "seal_on")) {
		const char *seal_on = config_text(config, name, "seal_on");

		expected->seal_on = text_is(seal_on, "rename")    ? SEAL_ON_RENAME
				    : text_is(seal_on, "unmount") ? SEAL_ON_UNMOUNT
								  : SEAL_ON_COMMAND;
		*fields |= VOLUME_FIELD_SEAL_ON;
	}
	if (config_is_set(config, name, "delete_sealed")) {
		expected->delete_sealed = text_is(config_text(config, name, "delete_sealed"),
						  "mount")
						  ? DELETE_SEALED_MOUNT
						  : DELETE_SEALED_COMMAND;
		*fields |= VOLUME_FIELD_DELETE_SEALED;
	}
}

static int expect_volume(struct access *access, struct volume_record *expected, unsigned *fields,
			 struct store_error *reterr)
{
	const char *id = config_text(access->config, access->volume_name, "volume_id");
	int r = 0;

	if (id != NULL) {
		if (uuid_parse(id, &expected->volume) < 0)
			return access_fail(reterr, -EINVAL, EXIT_USAGE, "volume_id: %s is no UUID",
					   id);
		*fields |= VOLUME_FIELD_VOLUME;
	}
	expect_values(access, expected, fields);
	if (config_is_set(access->config, access->volume_name, "alternate_key"))
		*fields |= VOLUME_FIELD_ALTERNATE_KEYS;
	r = access_add_alternate_keys(access, false, expected, reterr);
	if (r < 0)
		return r;
	r = expect_recovery_keys(access, expected, fields, reterr);
	return r < 0 ? r : expect_plaintext(access, expected, fields, reterr);
}

int access_expected(struct access *access, struct volume_record *ret_record, unsigned *ret_fields,
		    struct store_error *reterr)
{
	struct volume_record expected = { 0 };
	unsigned fields = 0;
	const int r = expect_volume(access, &expected, &fields, reterr);

	if (r < 0) {
		volume_record_free(&expected);
		return r;
	}
	*ret_record = expected;
	*ret_fields = fields;
	return 0;
}
