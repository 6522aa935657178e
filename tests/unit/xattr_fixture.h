/* SPDX-License-Identifier: Apache-2.0 */
/* A file, a directory and a fifo to carry attributes: for the tests of them, once each. */
#ifndef SNAPCRYPT_TESTS_UNIT_XATTR_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_XATTR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "fs/store/xattr.h"
#include "tests/unit/fake_snapshots.h"
#include "tests/unit/temporary.h"

#define MARKER "plaintext-marker"

static struct store store;
static struct snapshot snapshot, other;
static struct place place;
static struct xattr_target file, directory, self, fifo;
static bool has_attributes, has_trusted;

static inline void probe(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/file", place.fd);
	has_attributes = setxattr(path, "user.probe", "1", 1, 0) == 0;
	has_trusted = has_attributes && setxattr(path, "trusted.probe", "1", 1, 0) == 0;
	if (has_attributes)
		assert_int_equal(removexattr(path, "user.probe"), 0);
	if (has_trusted)
		assert_int_equal(removexattr(path, "trusted.probe"), 0);
}

static inline int set_up(void **state)
{
	uint8_t object_id[16];

	fake_store_init(&store, temporary_open());
	fake_snapshot_init(&snapshot, &store, SNAPSHOT_PLAIN_DIRECTORY);
	fake_snapshot_init(&other, &store, SNAPSHOT_PLAIN_DIRECTORY);
	place = (struct place){ &store, &snapshot, store.root_fd, 1, "s" };
	fake_file(place.fd, "file", &store, snapshot.dek->dek, object_id);
	assert_int_equal(mkdirat(place.fd, "directory", 0755), 0);
	assert_int_equal(mknodat(place.fd, "fifo", S_IFIFO | 0644, 0), 0);
	file = (struct xattr_target){ &place, "file", S_IFREG };
	directory = (struct xattr_target){ &place, "directory", S_IFDIR };
	fifo = (struct xattr_target){ &place, "fifo", S_IFIFO };
	self = (struct xattr_target){ &place, "", S_IFDIR };
	probe();
	return 0;
}

static inline int tear_down(void **state)
{
	fake_store_clear(&store);
	temporary_remove(store.root_fd);
	return 0;
}

static inline void need_attributes(void)
{
	if (!has_attributes) {
		print_message("skipped: the filesystem of TMPDIR has no extended attributes\n");
		skip();
	}
}

static inline void need_trusted(void)
{
	need_attributes();
	if (!has_trusted) {
		print_message("skipped: no privilege for trusted attributes\n");
		skip();
	}
}

static inline int set(const struct xattr_target *target, const char *name, const char *value)
{
	return xattr_set(target, name, (const uint8_t *)value, strlen(value), 0);
}

static inline void assert_value(const struct xattr_target *target, const char *name,
				const char *expected)
{
	uint8_t value[256];
	const ssize_t size = xattr_get(target, name, value, sizeof(value));

	assert_int_equal(size, strlen(expected));
	assert_memory_equal(value, expected, strlen(expected));
	assert_int_equal(xattr_get(target, name, NULL, 0), strlen(expected));
}

static inline void assert_none(const struct xattr_target *target, const char *name)
{
	uint8_t value[256];

	assert_int_equal(xattr_get(target, name, value, sizeof(value)), -ENODATA);
}

/* Names below, joined; how many begin with PREFIX. */
static inline unsigned count_below(const struct xattr_target *target, const char *prefix)
{
	char path[300], names[4096];
	ssize_t size;
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", place.fd, target->backing);
	size = llistxattr(path, names, sizeof(names));
	assert_true(size >= 0);
	for (char *name = names; name < names + size; name += strlen(name) + 1) {
		assert_null(strstr(name, "marker"));
		if (strncmp(name, prefix, strlen(prefix)) == 0)
			count++;
	}
	return count;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
