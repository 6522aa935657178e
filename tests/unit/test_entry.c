/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/entry.h: what is made, listed, linked, moved and removed, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/store/entry.h"
#include "meta/format/sealed_value.h"
#include "tests/unit/fake_snapshots.h"
#include "tests/unit/temporary.h"

static struct store store;
static struct snapshot root, first, second, plain;
static struct place at_root, in_first, in_second;

static struct place enter(struct snapshot *snapshot, const char *name)
{
	const int fd = openat(store.root_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return (struct place){ &store, snapshot, fd, 1, name };
}

static int set_up(void **state)
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

static int tear_down(void **state)
{
	close(in_first.fd);
	close(in_second.fd);
	fake_store_clear(&store);
	temporary_remove(store.root_fd);
	return 0;
}

static char *backing_of(const struct place *place, const char *name)
{
	static struct backing_name backing;

	assert_int_equal(name_encode(place, name, &backing), 0);
	return backing.text;
}

static bool is_there(const struct place *place, const char *name)
{
	struct backing_name backing;
	struct stat st;
	const int r = entry_lookup(place, name, &backing, &st);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* A file in PLACE, of the engine, under the DEK of SNAPSHOT. */
static void make_file(const struct place *place, const char *name, const struct snapshot *snapshot)
{
	struct backing_name backing;
	uint8_t object_id[16];

	assert_int_equal(name_encode(place, name, &backing), 0);
	assert_int_equal(name_prepare(place, &backing), 0);
	fake_file(place->fd, backing.text, &store, snapshot->dek->dek, object_id);
}

static unsigned count_below(const struct place *place)
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

/* ---- Sizes and kinds ------------------------------------------------------------------------- */

static void entry_stat_gives_plain_sizes(void **state)
{
	struct stat st;

	make_file(&in_first, "empty", &first);
	assert_int_equal(entry_stat(&in_first, backing_of(&in_first, "empty"), &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(entry_symlink(&in_first, "link", "target"), 0);
	assert_int_equal(entry_stat(&in_first, backing_of(&in_first, "link"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(st.st_size, 6);
	assert_int_equal(entry_stat(&in_first, "", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(entry_stat(&in_first, "missing", &st), -ENOENT);
}

static void entry_makes_directories_and_special_files(void **state)
{
	struct backing_name backing;
	struct stat st;

	assert_int_equal(entry_mkdir(&in_first, "directory", 0750), 0);
	assert_int_equal(entry_mkdir(&in_first, "directory", 0750), -EEXIST);
	assert_int_equal(entry_lookup(&in_first, "directory", &backing, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(entry_mknod(&in_first, "fifo", S_IFIFO | 0600, 0), 0);
	assert_int_equal(entry_lookup(&in_first, "fifo", &backing, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(entry_mknod(&in_first, "file", S_IFREG | 0600, 0), -EINVAL);
	assert_int_equal(entry_mkdir(&in_first, ".snapcrypt-x", 0700), -EPERM);
	assert_int_equal(entry_lookup(&in_first, ".snapcrypt-id", &backing, &st), -ENOENT);
}

static void entry_refuses_what_the_snapshot_refuses(void **state)
{
	first.write_error = -EROFS;
	assert_int_equal(entry_mkdir(&in_first, "a", 0700), -EROFS);
	assert_int_equal(entry_symlink(&in_first, "a", "b"), -EROFS);
	assert_int_equal(entry_mknod(&in_first, "a", S_IFIFO | 0600, 0), -EROFS);
	assert_int_equal(entry_unlink(&in_first, "a"), -EROFS);
	assert_int_equal(entry_rmdir(&in_first, "a"), -EROFS);
	assert_int_equal(entry_rename(&in_first, "a", &in_second, "b", 0), -EROFS);
	assert_int_equal(entry_rename(&in_second, "a", &in_first, "b", 0), -EROFS);
	assert_int_equal(entry_link(&in_second, "a", &in_first, "b"), -EROFS);
}

static void entry_has_no_effect_before_its_key_is_there(void **state)
{
	const unsigned before = count_below(&in_first);

	first.dek->error = -EAGAIN;
	assert_int_equal(entry_mkdir(&in_first, "a", 0700), -EAGAIN);
	assert_int_equal(entry_symlink(&in_first, "a", "b"), -EAGAIN);
	assert_int_equal(entry_mknod(&in_first, "a", S_IFIFO | 0600, 0), -EAGAIN);
	assert_int_equal(entry_unlink(&in_first, "a"), -EAGAIN);
	assert_int_equal(entry_rename(&in_first, "a", &in_first, "b", 0), -EAGAIN);
	assert_int_equal(count_below(&in_first), before);
}

/* ---- Symlinks -------------------------------------------------------------------------------- */

static void symlink_targets_survive_up_to_their_limit(void **state)
{
	char target[SYMLINK_TARGET_MAX + 2], found[SYMLINK_TARGET_MAX + 1];

	memset(target, 't', sizeof(target));
	target[SYMLINK_TARGET_MAX + 1] = '\0';
	assert_int_equal(entry_symlink(&in_first, "link", target), -ENAMETOOLONG);
	target[SYMLINK_TARGET_MAX] = '\0';
	assert_int_equal(entry_symlink(&in_first, "link", target), 0);
	assert_int_equal(
		entry_readlink(&in_first, backing_of(&in_first, "link"), found, sizeof(found)), 0);
	assert_string_equal(found, target);
	assert_int_equal(entry_readlink(&in_first, backing_of(&in_first, "link"), found,
					sizeof(found) - 1),
			 -ENAMETOOLONG);
	assert_int_equal(entry_symlink(&in_first, "none", ""), -ENOENT);
	assert_int_equal(entry_symlink(&in_first, "link", "again"), -EEXIST);
}

static void symlink_target_is_not_stored_in_clear(void **state)
{
	char stored[4096];

	assert_int_equal(entry_symlink(&in_first, "link", "plaintext-marker"), 0);
	assert_int_equal(entry_symlink(&at_root, "latest", "plaintext-marker"), 0);

	const ssize_t size = readlinkat(in_first.fd, backing_of(&in_first, "link"), stored,
					sizeof(stored) - 1);

	assert_true(size > 0);
	stored[size] = '\0';
	assert_null(strstr(stored, "marker"));
	assert_true(readlinkat(store.root_fd, "latest", stored, sizeof(stored) - 1) > 0);
	assert_null(strstr(stored, "marker"));
}

static void symlink_that_is_not_authentic_is_refused(void **state)
{
	char target[64], stored[4096];

	assert_int_equal(symlinkat("/etc/passwd", in_first.fd, "planted"), 0);
	assert_int_equal(entry_readlink(&in_first, "planted", target, sizeof(target)), -EBADMSG);
	assert_int_equal(entry_symlink(&in_first, "link", "target"), 0);

	const ssize_t size = readlinkat(in_first.fd, backing_of(&in_first, "link"), stored,
					sizeof(stored) - 1);

	stored[size] = '\0';
	stored[size - 5] = stored[size - 5] == 'A' ? 'B' : 'A';
	assert_int_equal(symlinkat(stored, in_first.fd, "changed"), 0);
	assert_int_equal(entry_readlink(&in_first, "changed", target, sizeof(target)), -EBADMSG);
}

/* ---- Listing --------------------------------------------------------------------------------- */

static unsigned list_names(const struct place *place, const char *wanted, unsigned *ret_found)
{
	struct entry_list *list = NULL;
	struct entry entry;
	unsigned count = 0;
	int r;

	*ret_found = 0;
	assert_int_equal(entry_list_open(place, &list), 0);
	while ((r = entry_list_next(list, &entry)) == 1) {
		count++;
		if (strcmp(entry.name, wanted) == 0)
			(*ret_found)++;
		assert_null(strstr(entry.name, ".snapcrypt"));
	}
	assert_int_equal(r, 0);
	const unsigned hidden = entry_list_hidden(list);

	entry_list_close(list);
	assert_true(hidden < 10);
	return count - 2;
}

static void listing_shows_every_name_once(void **state)
{
	char name[64], long_name[256];
	unsigned found;

	memset(long_name, 'l', 255);
	long_name[255] = '\0';
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		make_file(&in_first, name, &first);
	}
	make_file(&in_first, long_name, &first);
	assert_int_equal(list_names(&in_first, "file-123", &found), 501);
	assert_int_equal(found, 1);
	assert_int_equal(list_names(&in_first, long_name, &found), 501);
	assert_int_equal(found, 1);
	assert_int_equal(list_names(&at_root, "first", &found), 2);
	assert_int_equal(found, 1);
}

static void listing_goes_on_from_any_position(void **state)
{
	struct entry_list *list = NULL;
	struct entry entry;
	char name[64], third[256], fourth[256];
	off_t after_third = 0;

	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		make_file(&in_first, name, &first);
	}
	assert_int_equal(entry_list_open(&in_first, &list), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(entry_list_next(list, &entry), 1);
	snprintf(third, sizeof(third), "%s", entry.name);
	after_third = entry.next;
	assert_int_equal(entry_list_next(list, &entry), 1);
	snprintf(fourth, sizeof(fourth), "%s", entry.name);
	while (entry_list_next(list, &entry) == 1)
		assert_string_not_equal(entry.name, third);
	assert_int_equal(entry_list_seek(list, after_third), 0);
	assert_int_equal(entry_list_next(list, &entry), 1);
	assert_string_equal(entry.name, fourth);
	assert_int_equal(entry_list_seek(list, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(entry_list_next(list, &entry), 1);
	assert_string_equal(entry.name, third);
	entry_list_close(list);
}

static void listing_leaves_out_and_counts_what_does_not_decrypt(void **state)
{
	struct entry_list *list = NULL;
	struct entry entry;
	unsigned count = 0;

	make_file(&in_first, "good", &first);
	assert_int_equal(mkdirat(in_first.fd, ".nfs0001", 0700), 0);
	assert_int_equal(mkdirat(in_first.fd, "planted", 0700), 0);
	assert_int_equal(entry_list_open(&in_first, &list), 0);
	while (entry_list_next(list, &entry) == 1)
		count++;
	assert_int_equal(count, 3);
	assert_int_equal(entry_list_hidden(list), 2);
	assert_int_equal(store.report_count, 1);
	entry_list_close(list);
}

static void listing_survives_a_key_that_comes_back(void **state)
{
	struct entry_list *list = NULL;
	struct entry entry;
	unsigned count = 0;
	int r = 0;

	make_file(&in_first, "a", &first);
	make_file(&in_first, "b", &first);
	assert_int_equal(entry_list_open(&in_first, &list), 0);
	first.dek->error = -EKEYREVOKED;
	dek_wipe(first.dek->dek);
	while ((r = entry_list_next(list, &entry)) == 1)
		count++;
	assert_true(count <= 2);
	assert_int_equal(r, -EKEYREVOKED);
	assert_int_equal(entry_list_next(list, &entry), -EKEYREVOKED);
	entry_list_close(list);
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void link_within_a_snapshot_needs_no_marker(void **state)
{
	make_file(&in_first, "file", &first);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "file"), &in_first, "again"),
			 0);
	assert_true(is_there(&in_first, "again"));
	assert_int_equal(first.needed_count, 0);
}

static void link_across_snapshots_writes_the_need_down(void **state)
{
	make_file(&in_first, "file", &first);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "file"), &in_second, "file"),
			 0);
	assert_int_equal(second.needed_count, 1);
	assert_true(uuid_equal(&second.needed[0], dek_id(first.dek->dek)));
	assert_true(is_there(&in_second, "file"));
	/* Back where its DEK is from. */
	assert_int_equal(entry_link(&in_second, backing_of(&in_second, "file"), &in_first, "back"),
			 0);
	assert_int_equal(first.needed_count, 0);
}

static void symlinks_and_special_files_are_linked_across(void **state)
{
	assert_int_equal(entry_symlink(&in_first, "link", "target"), 0);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "link"), &in_second, "link"),
			 0);
	assert_int_equal(second.needed_count, 1);
	assert_int_equal(entry_mknod(&in_first, "fifo", S_IFIFO | 0600, 0), 0);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "fifo"), &in_second, "fifo"),
			 0);
	assert_int_equal(second.needed_count, 1);
}

static void link_across_is_refused_without_a_usable_key(void **state)
{
	static const struct {
		int error;
		int write_error;
		int expected;
	} cases[] = {
		{ -EAGAIN, 0, -EAGAIN },      { -EKEYREVOKED, 0, -EXDEV }, { -ENOKEY, 0, -EXDEV },
		{ -EHOSTUNREACH, 0, -EXDEV }, { -ETIMEDOUT, 0, -EXDEV },   { 0, -EACCES, -EXDEV },
		{ -EKEYREJECTED, 0, -EXDEV },
	};
	struct backing_name backing;

	make_file(&in_first, "file", &first);
	assert_int_equal(name_encode(&in_first, "file", &backing), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		first.dek->error = cases[i].error;
		first.dek->write_error = cases[i].write_error;
		assert_int_equal(entry_link(&in_first, backing.text, &in_second, "file"),
				 cases[i].expected);
	}
	first.dek->error = 0;
	first.dek->write_error = 0;
	assert_int_equal(second.needed_count, 0);
	assert_false(is_there(&in_second, "file"));
}

static void link_from_a_sealed_snapshot_is_allowed(void **state)
{
	make_file(&in_first, "file", &first);
	first.dek->is_sealed = true;
	first.write_error = -EROFS;
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "file"), &in_second, "file"),
			 0);
	assert_int_equal(second.needed_count, 1);
}

static void link_from_plaintext_or_of_a_plain_file_is_refused(void **state)
{
	struct place in_plain;

	assert_int_equal(mkdirat(store.root_fd, "plain", 0755), 0);
	plain.is_encrypted = false;
	plain.has_encrypted_names = false;
	in_plain = enter(&plain, "plain");
	make_file(&in_plain, "file", &first);
	assert_int_equal(entry_link(&in_plain, "file", &in_second, "file"), -EXDEV);
	assert_int_equal(entry_link(&in_first, "missing", &in_second, "file"), -ENOENT);
	assert_int_equal(entry_mkdir(&in_first, "directory", 0700), 0);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, "directory"), &in_second,
				    "directory"),
			 -EPERM);
	assert_int_equal(mknodat(in_first.fd, "planted", S_IFREG | 0600, 0), 0);
	assert_int_equal(entry_link(&in_first, "planted", &in_second, "planted"), -EBADMSG);
	close(in_plain.fd);
}

/* ---- Renames --------------------------------------------------------------------------------- */

static void rename_replaces_unless_told_not_to(void **state)
{
	make_file(&in_first, "a", &first);
	make_file(&in_first, "b", &first);
	assert_int_equal(entry_rename(&in_first, "a", &in_first, "b", RENAME_NOREPLACE), -EEXIST);
	assert_int_equal(entry_rename(&in_first, "a", &in_first, "b", 0), 0);
	assert_false(is_there(&in_first, "a"));
	assert_true(is_there(&in_first, "b"));
	assert_int_equal(entry_rename(&in_first, "a", &in_first, "c", 0), -ENOENT);
	assert_int_equal(entry_rename(&in_first, "b", &in_first, "c", RENAME_EXCHANGE), -EINVAL);
	assert_int_equal(entry_rename(&in_first, "b", &in_first, ".snapcrypt-x", 0), -EPERM);
}

static void rename_takes_the_sidecar_along(void **state)
{
	const unsigned before = count_below(&in_first);
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	make_file(&in_first, name, &first);
	assert_int_equal(count_below(&in_first), before + 2);
	name[0] = 'y';
	assert_int_equal(entry_rename(&in_first, name, &in_first, "short", 0), -ENOENT);
	name[0] = 'x';
	assert_int_equal(entry_rename(&in_first, name, &in_first, "short", 0), 0);
	assert_int_equal(count_below(&in_first), before + 1);
	assert_int_equal(entry_rename(&in_first, "short", &in_first, name, 0), 0);
	assert_int_equal(count_below(&in_first), before + 2);
	assert_true(is_there(&in_first, name));
	assert_int_equal(entry_unlink(&in_first, name), 0);
	assert_int_equal(count_below(&in_first), before);
}

static void rename_between_two_names_of_one_file_keeps_both(void **state)
{
	char name[256];

	memset(name, 'x', 255);
	name[255] = '\0';
	make_file(&in_first, name, &first);
	assert_int_equal(entry_link(&in_first, backing_of(&in_first, name), &in_first, "b"), 0);
	assert_int_equal(entry_rename(&in_first, name, &in_first, "b", 0), 0);
	assert_true(is_there(&in_first, name));
	assert_true(is_there(&in_first, "b"));
	assert_int_equal(first.needed_count, 0);
}

static void rename_of_a_file_across_snapshots_follows_the_rules_of_links(void **state)
{
	make_file(&in_first, "file", &first);
	first.dek->write_error = -EACCES;
	assert_int_equal(entry_rename(&in_first, "file", &in_second, "file", 0), -EXDEV);
	first.dek->write_error = 0;
	assert_int_equal(entry_rename(&in_first, "file", &in_second, "file", 0), 0);
	assert_int_equal(second.needed_count, 1);
	assert_false(is_there(&in_first, "file"));
	assert_true(is_there(&in_second, "file"));
	/* To the root, which is a snapshot too. */
	assert_int_equal(entry_rename(&in_second, "file", &at_root, "file", 0), 0);
	assert_int_equal(root.needed_count, 1);
	assert_int_equal(faccessat(store.root_fd, "file", F_OK, 0), 0);
}

static void directories_never_cross(void **state)
{
	assert_int_equal(entry_mkdir(&in_first, "directory", 0700), 0);
	assert_int_equal(entry_rename(&in_first, "directory", &in_second, "directory", 0), -EXDEV);
	assert_int_equal(entry_rename(&in_first, "directory", &at_root, "third", 0), -EXDEV);
	assert_int_equal(entry_rename(&at_root, "second", &in_first, "second", 0), -EXDEV);
	assert_true(is_there(&in_first, "directory"));
}

static void directories_above_snapshots_stay_at_their_level(void **state)
{
	struct place inside;

	store.volume.snapshot_depth = 3;
	assert_int_equal(entry_mkdir(&at_root, "a", 0700), 0);
	assert_int_equal(entry_mkdir(&at_root, "b", 0700), 0);
	inside = enter(&root, "a");
	assert_int_equal(entry_rename(&at_root, "b", &inside, "b", 0), -EXDEV);
	assert_int_equal(entry_rename(&at_root, "b", &at_root, "c", 0), 0);
	close(inside.fd);
}

static void snapshots_are_renamed_as_they_are(void **state)
{
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "renamed", 0), 0);
	assert_int_equal(faccessat(store.root_fd, "renamed/.snapcrypt-id", F_OK, 0), 0);
	fake_list("renamed", &first);
	first.state = SNAPSHOT_SEALED;
	assert_int_equal(entry_rename(&at_root, "renamed", &at_root, "first", 0), 0);
	first.state = SNAPSHOT_FOREIGN;
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "renamed", 0), -EACCES);
	first.state = SNAPSHOT_DUPLICATE;
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "renamed", 0), -EROFS);
	first.state = SNAPSHOT_OPEN;
	first.is_encrypted = false;
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "renamed", 0), -EROFS);
}

static void rename_over_a_snapshot_needs_it_empty(void **state)
{
	make_file(&in_second, "file", &second);
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "second", RENAME_NOREPLACE),
			 -EEXIST);
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "second", 0), -ENOTEMPTY);
	assert_int_equal(entry_unlink(&in_second, "file"), 0);
	assert_int_equal(entry_rename(&at_root, "first", &at_root, "second", 0), 0);
	assert_true(second.is_gone);
	assert_int_equal(faccessat(store.root_fd, "first", F_OK, 0), -1);
	assert_int_equal(entry_rename(&at_root, "second", &at_root, "second", 0), 0);
}

/* ---- Removal --------------------------------------------------------------------------------- */

static void rmdir_removes_empty_directories_only(void **state)
{
	struct place inside;
	char path[300];

	assert_int_equal(entry_mkdir(&in_first, "directory", 0700), 0);
	snprintf(path, sizeof(path), "first/%s", backing_of(&in_first, "directory"));
	inside = enter(&first, path);
	make_file(&inside, "file", &first);
	assert_int_equal(entry_rmdir(&in_first, "directory"), -ENOTEMPTY);
	assert_int_equal(entry_unlink(&in_first, "directory"), -EISDIR);
	assert_int_equal(entry_unlink(&inside, "file"), 0);
	assert_int_equal(entry_rmdir(&in_first, "directory"), 0);
	assert_int_equal(entry_rmdir(&in_first, "directory"), -ENOENT);
	close(inside.fd);
}

static void rmdir_removes_sidecars_that_a_crash_left(void **state)
{
	struct backing_name backing;
	struct place inside;
	char name[256], path[300];

	memset(name, 'x', 255);
	name[255] = '\0';
	assert_int_equal(entry_mkdir(&in_first, "directory", 0700), 0);
	snprintf(path, sizeof(path), "first/%s", backing_of(&in_first, "directory"));
	inside = enter(&first, path);
	assert_int_equal(name_encode(&inside, name, &backing), 0);
	assert_int_equal(name_prepare(&inside, &backing), 0);
	make_file(&inside, "file", &first);
	assert_int_equal(entry_rmdir(&in_first, "directory"), -ENOTEMPTY);
	assert_int_equal(name_prepare(&inside, &backing), 0);
	assert_int_equal(entry_unlink(&inside, "file"), 0);
	assert_int_equal(entry_rmdir(&in_first, "directory"), 0);
	close(inside.fd);
}

static unsigned count_tmp(void)
{
	struct place tmp = enter(&root, ".snapcrypt/tmp");
	const unsigned count = count_below(&tmp);

	close(tmp.fd);
	return count;
}

static void rmdir_of_a_snapshot_takes_its_identity_last(void **state)
{
	make_file(&in_first, "file", &first);
	assert_int_equal(entry_rmdir(&at_root, "first"), -ENOTEMPTY);
	assert_int_equal(faccessat(store.root_fd, "first/.snapcrypt-id", F_OK, 0), 0);
	assert_int_equal(entry_unlink(&in_first, "file"), 0);
	assert_int_equal(entry_rmdir(&at_root, "first"), 0);
	assert_true(first.is_gone);
	assert_int_equal(faccessat(store.root_fd, "first", F_OK, 0), -1);
	assert_int_equal(count_tmp(), 0);
	assert_int_equal(first.ref_count, 1);
}

static void rmdir_of_a_snapshot_follows_its_state(void **state)
{
	first.state = SNAPSHOT_SEALED;
	assert_int_equal(entry_rmdir(&at_root, "first"), -EROFS);
	first.state = SNAPSHOT_FOREIGN;
	assert_int_equal(entry_rmdir(&at_root, "first"), -EACCES);
	first.state = SNAPSHOT_DUPLICATE;
	assert_int_equal(entry_rmdir(&at_root, "first"), -EROFS);
	assert_int_equal(symlinkat("first", store.root_fd, "link"), 0);
	assert_int_equal(entry_rmdir(&at_root, "link"), -ENOTDIR);
	first.state = SNAPSHOT_SEALED;
	store.volume.delete_sealed = DELETE_SEALED_MOUNT;
	assert_int_equal(entry_rmdir(&at_root, "first"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entry_stat_gives_plain_sizes),
		TEST(entry_makes_directories_and_special_files),
		TEST(entry_refuses_what_the_snapshot_refuses),
		TEST(entry_has_no_effect_before_its_key_is_there),
		TEST(symlink_targets_survive_up_to_their_limit),
		TEST(symlink_target_is_not_stored_in_clear),
		TEST(symlink_that_is_not_authentic_is_refused),
		TEST(listing_shows_every_name_once),
		TEST(listing_goes_on_from_any_position),
		TEST(listing_leaves_out_and_counts_what_does_not_decrypt),
		TEST(listing_survives_a_key_that_comes_back),
		TEST(link_within_a_snapshot_needs_no_marker),
		TEST(link_across_snapshots_writes_the_need_down),
		TEST(symlinks_and_special_files_are_linked_across),
		TEST(link_across_is_refused_without_a_usable_key),
		TEST(link_from_a_sealed_snapshot_is_allowed),
		TEST(link_from_plaintext_or_of_a_plain_file_is_refused),
		TEST(rename_replaces_unless_told_not_to),
		TEST(rename_takes_the_sidecar_along),
		TEST(rename_between_two_names_of_one_file_keeps_both),
		TEST(rename_of_a_file_across_snapshots_follows_the_rules_of_links),
		TEST(directories_never_cross),
		TEST(directories_above_snapshots_stay_at_their_level),
		TEST(snapshots_are_renamed_as_they_are),
		TEST(rename_over_a_snapshot_needs_it_empty),
		TEST(rmdir_removes_empty_directories_only),
		TEST(rmdir_removes_sidecars_that_a_crash_left),
		TEST(rmdir_of_a_snapshot_takes_its_identity_last),
		TEST(rmdir_of_a_snapshot_follows_its_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
