/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/xattr.h: attributes are bound to their object, and found under any DEK. */
#include "tests/unit/xattr_fixture.h"

/* ---- Tampering ------------------------------------------------------------------------------- */

static void copy_below(const char *from, const char *to)
{
	char from_path[64], to_path[64], names[4096], value[4096];

	snprintf(from_path, sizeof(from_path), "/proc/self/fd/%d/%s", place.fd, from);
	snprintf(to_path, sizeof(to_path), "/proc/self/fd/%d/%s", place.fd, to);
	const ssize_t size = listxattr(from_path, names, sizeof(names));

	for (char *name = names; name < names + size; name += strlen(name) + 1) {
		const ssize_t value_size = getxattr(from_path, name, value, sizeof(value));

		assert_int_equal(setxattr(to_path, name, value, (size_t)value_size, 0), 0);
	}
}

static void value_of_another_file_is_not_authentic(void **state)
{
	struct xattr_target second = { &place, "second", S_IFREG };
	uint8_t object_id[16], value[16];

	need_attributes();
	fake_file(place.fd, "second", &store, snapshot.dek->dek, object_id);
	assert_int_equal(set(&file, "user.a", "1"), 0);
	copy_below("file", "second");
	assert_int_equal(xattr_get(&second, "user.a", value, sizeof(value)), -EBADMSG);
}

static void value_of_another_attribute_is_not_authentic(void **state)
{
	char path[64], names[512], first[256] = "", second[256] = "";
	uint8_t value[64];

	need_attributes();
	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	assert_int_equal(set(&file, "user.a", "1"), 0);
	assert_true(listxattr(path, names, sizeof(names)) > 0);
	strcpy(first, names);
	assert_int_equal(removexattr(path, first), 0);
	assert_int_equal(set(&file, "user.b", "2"), 0);
	assert_true(listxattr(path, names, sizeof(names)) > 0);
	strcpy(second, names);
	const ssize_t size = getxattr(path, second, value, sizeof(value));

	assert_int_equal(setxattr(path, first, value, (size_t)size, 0), 0);
	assert_int_equal(xattr_get(&file, "user.a", value, sizeof(value)), -EBADMSG);
	assert_value(&file, "user.b", "2");
}

static void file_without_header_takes_no_attributes(void **state)
{
	struct xattr_target planted = { &place, "planted", S_IFREG };

	assert_int_equal(mknodat(place.fd, "planted", S_IFREG | 0600, 0), 0);
	assert_int_equal(set(&planted, "user.a", "1"), -EBADMSG);
	assert_none(&planted, "user.a");
}

/* ---- Other DEKs ------------------------------------------------------------------------------ */

/* The file moves to another snapshot and keeps its DEK. */
static void attributes_of_a_file_from_another_snapshot_are_its_own(void **state)
{
	need_attributes();
	assert_int_equal(set(&file, "user.a", "1"), 0);
	place.snapshot = &other;
	assert_value(&file, "user.a", "1");
	assert_int_equal(set(&file, "user.a", "2"), 0);
	assert_value(&file, "user.a", "2");
	assert_int_equal(set(&file, "user.b", "3"), 0);
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 2);
	place.snapshot = &snapshot;
	assert_value(&file, "user.b", "3");
}

/* A directory's new attributes are under the DEK of new objects: an old one gives way. */
static void attribute_under_an_older_key_is_replaced(void **state)
{
	need_attributes();
	snapshot.kind = other.kind = SNAPSHOT_STREAM;
	assert_int_equal(set(&directory, "user.a", "old"), 0);
	place.snapshot = &other;
	assert_value(&directory, "user.a", "old");
	assert_int_equal(xattr_set(&directory, "user.a", NULL, 0, XATTR_CREATE), -EEXIST);
	assert_int_equal(set(&directory, "user.a", "new"), 0);
	assert_value(&directory, "user.a", "new");
	assert_int_equal(count_below(&directory, "user.snapcrypt.x."), 1);
	snapshot.dek->error = -ENOKEY;
	assert_value(&directory, "user.a", "new");
}

static void rekey_moves_every_attribute(void **state)
{
	need_attributes();
	assert_int_equal(set(&file, "user.a", "1"), 0);
	assert_int_equal(set(&file, "user.b", ""), 0);
	place.snapshot = &other;
	snapshot.dek->error = -EAGAIN;
	assert_int_equal(xattr_rekey(&file, dek_id(snapshot.dek->dek), dek_id(other.dek->dek)),
			 -EAGAIN);
	snapshot.dek->error = 0;
	assert_int_equal(xattr_rekey(&file, dek_id(snapshot.dek->dek), dek_id(other.dek->dek)), 0);
	assert_int_equal(count_below(&file, "user.snapcrypt.x."), 2);
	/* The old key is gone, and nobody asks for it. */
	snapshot.dek->error = -ENOKEY;
	assert_int_equal(xattr_list(&file, NULL, 0), 2 * strlen("user.a") + 2);
	assert_int_equal(xattr_get(&file, "user.a", NULL, 0), 1);
	snapshot.dek->error = 0;
	assert_value(&file, "user.a", "1");
	assert_value(&file, "user.b", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(value_of_another_file_is_not_authentic),
		TEST(value_of_another_attribute_is_not_authentic),
		TEST(file_without_header_takes_no_attributes),
		TEST(attributes_of_a_file_from_another_snapshot_are_its_own),
		TEST(attribute_under_an_older_key_is_replaced),
		TEST(rekey_moves_every_attribute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
