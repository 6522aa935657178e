/* SPDX-License-Identifier: Apache-2.0 */
/* Two snapshots and the root above them: for the tests of entries, once each. */
#ifndef SNAPCRYPT_TESTS_UNIT_ENTRY_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_ENTRY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/store/entry.h"
#include "tests/unit/fake_snapshots.h"
#include "tests/unit/temporary.h"

static struct store store;
static struct snapshot root, first, second, plain;
static struct place at_root, in_first, in_second;

static inline struct place enter(struct snapshot *snapshot, const char *name)
{
	const int fd = openat(store.root_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return (struct place){ &store, snapshot, fd, 1, name };
}

static inline int set_up(void **state)
{
	fake_store_init(&store, temporary_open());
	fake_snapshot_init(&root, &store, SNAPSHOT_ROOT);
	fake_snapshot_init(&first, &store, SNAPSHOT_PLAIN_DIRECTORY);
	fake_snapshot_init(&second, &store, SNAPSHOT_PLAIN_DIRECTORY);
	fake_snapshot_init(&plain, &store, SNAPSHOT_PLAIN_DIRECTORY);
	at_root = (struct place){ &store, &root, store.root_fd, 0, "" };
	assert_int_equal(mkdirat(store.root_fd, ".snapcrypt", 0700), 0);
	assert_int_equal(mkdirat(store.root_fd, ".snapcrypt/tmp", 0700), 0);
	assert_int_equal(entry_mkdir(&at_root, "first", 0755), 0);
	assert_int_equal(entry_mkdir(&at_root, "second", 0755), 0);
	fake_list("first", &first);
	fake_list("second", &second);
	in_first = enter(&first, "first");
	in_second = enter(&second, "second");
	return 0;
}

static inline int tear_down(void **state)
{
	close(in_first.fd);
	close(in_second.fd);
	fake_store_clear(&store);
	temporary_remove(store.root_fd);
	return 0;
}

static inline char *backing_of(const struct place *place, const char *name)
{
	static struct backing_name backing;

	assert_int_equal(name_encode(place, name, &backing), 0);
	return backing.text;
}

static inline bool is_there(const struct place *place, const char *name)
{
	struct backing_name backing;
	struct stat st;
	const int r = entry_lookup(place, name, &backing, &st);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* A file in PLACE, of the engine, under the DEK of SNAPSHOT. */
static inline void make_file(const struct place *place, const char *name,
			     const struct snapshot *snapshot)
{
	struct backing_name backing;
	uint8_t object_id[16];

	assert_int_equal(name_encode(place, name, &backing), 0);
	assert_int_equal(name_prepare(place, &backing), 0);
	fake_file(place->fd, backing.text, &store, snapshot->dek->dek, object_id);
}

static inline unsigned count_below(const struct place *place)
{
	struct entry_list *list = NULL;
	struct entry entry;
	unsigned count = 0;

	/* As a stream, so that nothing is decoded and nothing left out. */
	struct snapshot stream = *place->snapshot;
	struct place raw = *place;

	stream.has_encrypted_names = false;
	raw.snapshot = &stream;
	assert_int_equal(entry_list_open(&raw, &list), 0);
	while (entry_list_next(list, &entry) == 1)
		count++;
	entry_list_close(list);
	return count - 2;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
