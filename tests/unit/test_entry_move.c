/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/entry.h: what is linked, moved and removed, and what is refused. */
#include "tests/unit/entry_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
