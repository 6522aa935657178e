/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/entry.h: what is made, read and listed, and what is refused. */
#include "meta/format/sealed_value.h"
#include "tests/unit/entry_fixture.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
