/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/xattr.h: attributes survive, nothing of them is in clear below, ours are ours. */
#include "meta/format/sealed_value.h"
#include "tests/unit/xattr_fixture.h"

/* ---- What is stored -------------------------------------------------------------------------- */

static void attributes_survive_on_every_kind(void **state)
{
	need_attributes();
	assert_int_equal(set(&file, "user." MARKER, MARKER), 0);
	assert_int_equal(set(&directory, "trusted.x", ""), 0);
	assert_int_equal(set(&self, "security.capability", "caps"), 0);
	assert_value(&file, "user." MARKER, MARKER);
	assert_value(&directory, "trusted.x", "");
	assert_value(&self, "security.capability", "caps");
	assert_none(&file, "trusted.x");
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 1);
}

static void attributes_of_special_files_need_a_privilege(void **state)
{
	struct xattr_target link = { &place, "link", S_IFLNK };

	need_trusted();
	assert_int_equal(symlinkat("nowhere", place.fd, "link"), 0);
	assert_int_equal(set(&link, "user.a", "value"), 0);
	assert_value(&link, "user.a", "value");
	assert_int_equal(set(&fifo, "user.a", "value"), 0);
	assert_value(&fifo, "user.a", "value");
	assert_int_equal(count_below(&fifo, "trusted.snapcrypt.x."), 1);
	assert_int_equal(xattr_remove(&fifo, "user.a"), 0);
	assert_none(&fifo, "user.a");
}

static void values_are_not_stored_in_clear(void **state)
{
	char path[64], names[4096], value[4096];

	need_attributes();
	assert_int_equal(set(&file, "user." MARKER, MARKER), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	const ssize_t size = listxattr(path, names, sizeof(names));

	for (char *name = names; name < names + size; name += strlen(name) + 1) {
		const ssize_t value_size = getxattr(path, name, value, sizeof(value));

		assert_true(value_size > 0);
		assert_null(memmem(value, (size_t)value_size, MARKER, strlen(MARKER)));
	}
}

static void values_are_sealed_anew_at_every_change(void **state)
{
	need_attributes();
	assert_int_equal(set(&file, "user.a", "one"), 0);
	assert_int_equal(set(&file, "user.a", "two"), 0);
	assert_value(&file, "user.a", "two");
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 1);
}

static void flags_are_obeyed(void **state)
{
	const uint8_t value[1] = { 'v' };

	need_attributes();
	assert_int_equal(xattr_set(&file, "user.a", value, 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(xattr_set(&file, "user.a", value, 1, XATTR_CREATE), 0);
	assert_int_equal(xattr_set(&file, "user.a", value, 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(xattr_set(&file, "user.a", value, 1, XATTR_REPLACE), 0);
	assert_int_equal(xattr_remove(&file, "user.a"), 0);
	assert_int_equal(xattr_remove(&file, "user.a"), -ENODATA);
}

static void limits_are_those_of_the_format(void **state)
{
	char name[XATTR_PLAIN_NAME_MAX + 2];
	uint8_t *value = calloc(1, XATTR_VALUE_MAX + 1);
	uint8_t small[4];

	assert_non_null(value);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[XATTR_PLAIN_NAME_MAX + 1] = '\0';
	assert_int_equal(set(&file, name, "v"), -ENAMETOOLONG);
	assert_int_equal(xattr_set(&file, "user.a", value, XATTR_VALUE_MAX + 1, 0), -E2BIG);
	if (has_attributes) {
		name[XATTR_PLAIN_NAME_MAX] = '\0';
		assert_int_equal(set(&file, name, "value"), 0);
		assert_value(&file, name, "value");
		assert_int_equal(xattr_get(&file, name, small, sizeof(small)), -ERANGE);
	}
	free(value);
}

static void large_values_survive(void **state)
{
	uint8_t value[3000], found[3000];

	need_attributes();
	memset(value, 'v', sizeof(value));
	assert_int_equal(xattr_set(&file, "user.large", value, sizeof(value), 0), 0);
	assert_int_equal(xattr_get(&file, "user.large", found, sizeof(found)), sizeof(found));
	assert_memory_equal(value, found, sizeof(value));
}

/* ---- List ------------------------------------------------------------------------------------ */

static void list_shows_plain_names_only(void **state)
{
	char names[256], path[64];
	unsigned seen = 0;

	need_attributes();
	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	assert_int_equal(setxattr(path, "user.snapcrypt.data_key_id", "x", 1, 0), 0);
	assert_int_equal(setxattr(path, "user.planted", "x", 1, 0), 0);
	assert_int_equal(xattr_list(&file, NULL, 0), 0);
	assert_int_equal(set(&file, "user.a", "1"), 0);
	assert_int_equal(set(&file, "security.b", "2"), 0);

	const ssize_t size = xattr_list(&file, names, sizeof(names));

	assert_int_equal(size, strlen("user.a") + strlen("security.b") + 2);
	assert_int_equal(xattr_list(&file, NULL, 0), size);
	assert_int_equal(xattr_list(&file, names, 5), -ERANGE);
	for (char *name = names; name < names + size; name += strlen(name) + 1)
		seen += strcmp(name, "user.a") == 0 || strcmp(name, "security.b") == 0;
	assert_int_equal(seen, 2);
}

static void what_does_not_verify_is_left_out(void **state)
{
	char path[64], names[1024];

	need_attributes();
	assert_int_equal(set(&file, "user.a", "1"), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	assert_int_equal(setxattr(path, "user.snapcrypt.x.AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", 1, 0),
			 0);
	assert_int_equal(xattr_list(&file, names, sizeof(names)), strlen("user.a") + 1);
	assert_int_equal(store.report_count, 1);
	assert_value(&file, "user.a", "1");
	assert_none(&file, "user.b");
}

static void objects_without_attributes_need_no_key(void **state)
{
	char names[16];

	snapshot.dek->error = -EAGAIN;
	assert_none(&file, "security.capability");
	assert_int_equal(xattr_list(&file, names, sizeof(names)), 0);
	assert_int_equal(xattr_remove(&file, "security.capability"), -ENODATA);
}

static void attributes_wait_for_their_key(void **state)
{
	uint8_t value[16];

	need_attributes();
	assert_int_equal(set(&file, "user.a", "1"), 0);
	snapshot.dek->error = -EAGAIN;
	assert_int_equal(xattr_get(&file, "user.a", value, sizeof(value)), -EAGAIN);
	assert_int_equal(xattr_list(&file, NULL, 0), -EAGAIN);
	assert_int_equal(set(&file, "user.b", "1"), -EAGAIN);
	assert_int_equal(xattr_remove(&file, "user.a"), -EAGAIN);
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 1);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static void names_of_ours_cannot_be_set(void **state)
{
	assert_int_equal(set(&file, "user.snapcrypt.key_id", "x"), -EPERM);
	assert_int_equal(set(&file, "user.snapcrypt.x.abc", "x"), -EPERM);
	assert_int_equal(set(&file, "trusted.snapcrypt.x.abc", "x"), -EPERM);
	assert_int_equal(xattr_remove(&file, "user.snapcrypt.data_key_id"), -EPERM);
	assert_none(&file, "user.snapcrypt.x.abc");
	assert_int_equal(set(&file, "system.nfs4_acl", "x"), -EOPNOTSUPP);
}

static void sealed_files_refuse_changes_from_everywhere(void **state)
{
	need_attributes();
	assert_int_equal(set(&file, "user.a", "1"), 0);
	snapshot.dek->is_sealed = true;
	assert_int_equal(set(&file, "user.a", "2"), -EROFS);
	assert_int_equal(xattr_remove(&file, "user.a"), -EROFS);
	assert_int_equal(set(&file, "system.posix_acl_access", "x"), -EROFS);
	assert_value(&file, "user.a", "1");
	snapshot.dek->is_sealed = false;
	snapshot.write_error = -EROFS;
	assert_int_equal(set(&directory, "user.a", "2"), -EROFS);
	assert_int_equal(xattr_remove(&file, "user.a"), -EROFS);
}

static void untrusted_keys_are_not_written_under(void **state)
{
	need_attributes();
	snapshot.dek->write_error = -EACCES;
	assert_int_equal(set(&file, "user.a", "1"), -EACCES);
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 0);
}

/* ---- What passes through --------------------------------------------------------------------- */

static void acls_pass_through(void **state)
{
	/* Version 2: user:: rw-, user:0 r--, group:: r--, mask:: r--, other:: r-- */
	static const uint8_t acl[] = { 2,   0,   0,   0,   1,   0,   6,  0,   255, 255, 255,
				       255, 2,   0,   4,   0,   0,   0,  0,   0,   4,   0,
				       4,   0,   255, 255, 255, 255, 16, 0,   4,   0,   255,
				       255, 255, 255, 32,  0,   4,   0,  255, 255, 255, 255 };
	uint8_t value[64];
	char names[64];
	const int r = xattr_set(&file, "system.posix_acl_access", acl, sizeof(acl), 0);

	if (r == -EOPNOTSUPP) {
		print_message("skipped: the filesystem of TMPDIR has no ACLs\n");
		skip();
	}
	assert_int_equal(r, 0);
	assert_int_equal(xattr_get(&file, "system.posix_acl_access", value, sizeof(value)),
			 sizeof(acl));
	assert_memory_equal(value, acl, sizeof(acl));
	assert_int_equal(xattr_list(&file, names, sizeof(names)),
			 sizeof("system.posix_acl_access"));
	assert_int_equal(xattr_remove(&file, "system.posix_acl_access"), 0);
}

static void everything_passes_through_without_encryption(void **state)
{
	char path[64], value[64], names[64];

	need_attributes();
	snapshot.is_encrypted = false;
	assert_int_equal(set(&file, "user.a", "value"), 0);
	assert_value(&file, "user.a", "value");
	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	assert_int_equal(getxattr(path, "user.a", value, sizeof(value)), 5);
	assert_int_equal(setxattr(path, "user.snapcrypt.key_id", "x", 1, 0), 0);
	assert_int_equal(xattr_list(&file, names, sizeof(names)), strlen("user.a") + 1);
	assert_int_equal(set(&file, "user.snapcrypt.key_id", "x"), -EPERM);
	assert_int_equal(xattr_remove(&file, "user.a"), 0);
	assert_value(&file, "user.snapcrypt.key_id", "Not enabled");
}

/* ---- Virtual attributes ---------------------------------------------------------------------- */

static void virtual_attributes_are_answered_and_not_listed(void **state)
{
	char dek[UUID_TEXT_SIZE], id[UUID_TEXT_SIZE], names[64];

	uuid_format(dek_id(snapshot.dek->dek), dek);
	uuid_format(&snapshot.id, id);
	assert_value(&file, "user.snapcrypt.key_id", "keyring:a#1,keyring:b#2");
	assert_value(&self, "user.snapcrypt.key_id", "keyring:a#1,keyring:b#2");
	assert_value(&file, "user.snapcrypt.data_key_id", dek);
	assert_value(&directory, "user.snapcrypt.data_key_id", dek);
	assert_value(&fifo, "user.snapcrypt.snapshot", id);
	assert_value(&self, "user.snapcrypt.state", "open");
	assert_none(&self, "user.snapcrypt.seal");
	assert_int_equal(xattr_list(&file, names, sizeof(names)), 0);
	snapshot.dek->error = -EAGAIN;
	assert_value(&file, "user.snapcrypt.data_key_id", dek);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attributes_survive_on_every_kind),
		TEST(attributes_of_special_files_need_a_privilege),
		TEST(values_are_not_stored_in_clear),
		TEST(values_are_sealed_anew_at_every_change),
		TEST(flags_are_obeyed),
		TEST(limits_are_those_of_the_format),
		TEST(large_values_survive),
		TEST(list_shows_plain_names_only),
		TEST(what_does_not_verify_is_left_out),
		TEST(objects_without_attributes_need_no_key),
		TEST(attributes_wait_for_their_key),
		TEST(names_of_ours_cannot_be_set),
		TEST(sealed_files_refuse_changes_from_everywhere),
		TEST(untrusted_keys_are_not_written_under),
		TEST(acls_pass_through),
		TEST(everything_passes_through_without_encryption),
		TEST(virtual_attributes_are_answered_and_not_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
