/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/journal_fixture.h"

static void commit_and_undo(void *arg)
{
	struct crash *crash = arg;
	struct journal *journal = make_journal(crash->volume);
	struct journal_file *journal_file = open_in(journal, crash->file);

	if (append_text(journal_file, 1000, "first") < 0 || journal_commit(journal_file) < 0)
		_exit(1);
	if (append_text(journal_file, 1002, "second") < 0 || journal_commit(journal_file) < 0)
		_exit(1);
	/* The bytes in place did not reach the disk. */
	if (pwrite(crash->file->fd, "aaaaaaaaaa", 10, 1000) != 10)
		_exit(1);
}

static void commit_then_retire(void *arg)
{
	struct crash *crash = arg;
	struct journal *journal = make_journal(crash->volume);
	struct journal_file *in_file = open_in(journal, crash->file);
	struct journal_file *in_other = open_in(journal, crash->other);

	if (append_text(in_file, 1000, "record") < 0 || append_text(in_other, 1000, "record") < 0)
		_exit(1);
	if (journal_retire(in_file) < 0 || journal_commit(in_other) < 0)
		_exit(1);
}

static void committed_changes_are_applied_by_the_next_mount(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	struct recovery *recovery;
	char text[16];

	assert_int_equal(in_child(commit_and_undo, &crash, 0), 0);
	assert_int_equal(random_uuid(&volume->store.mount), 0);
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_true(recovery_is_needed(recovery, dek_id(volume->dek)));
	assert_int_equal(recovery_pending(recovery), 2);
	assert_int_equal(recovery_apply(recovery, volume->dek), 0);
	assert_false(recovery_is_needed(recovery, dek_id(volume->dek)));
	assert_int_equal(recovery_pending(recovery), 0);
	recovery_free(recovery);
	read_back(&file, 1000, text, 9);
	assert_string_equal(text, "fiseconda");
	assert_int_equal(volume->store.reports, 0);

	/* The journal is gone. */
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_int_equal(recovery_pending(recovery), 0);
	recovery_free(recovery);
	close(file.fd);
}

static void retired_records_are_not_applied(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct crash crash = { volume, &file, &other };
	char text[16];

	assert_int_equal(in_child(commit_then_retire, &crash, 0), 0);
	assert_int_equal(pwrite(file.fd, "direct", 6, 1000), 6);
	assert_int_equal(pwrite(other.fd, "direct", 6, 1000), 6);
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 6);
	assert_string_equal(text, "direct");
	read_back(&other, 1000, text, 6);
	assert_string_equal(text, "record");
	close(file.fd);
	close(other.fd);
}

static void commit_two(void *arg)
{
	struct crash *crash = arg;
	struct journal *journal = make_journal(crash->volume);
	struct journal_file *in_file = open_in(journal, crash->file);
	struct journal_file *in_other = open_in(journal, crash->other);

	if (append_text(in_file, 1000, "record") < 0 || append_text(in_other, 1000, "record") < 0 ||
	    journal_commit(in_file) < 0)
		_exit(1);
}

static void journal_that_waits_for_another_dek_is_not_applied_twice(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct crash crash = { volume, &file, &other };
	struct recovery *recovery;
	struct dek *dek;
	uint8_t header[HEADER_SIZE];
	char text[16];

	assert_int_equal(dek_generate(&volume->store.volume.volume, &dek), 0);
	other.dek = dek;
	other.header.dek = *dek_id(dek);
	header_bytes(&other, header);
	assert_int_equal(pwrite(other.fd, header, sizeof(header), 0), sizeof(header));
	assert_int_equal(in_child(commit_two, &crash, 0), 0);

	recover_with(volume, volume->dek);
	assert_int_equal(pwrite(file.fd, "newer.", 6, 1000), 6);
	assert_int_equal(pwrite(other.fd, "older.", 6, 1000), 6);
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 6);
	assert_string_equal(text, "newer.");

	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_false(recovery_is_needed(recovery, dek_id(volume->dek)) &&
		     recovery_pending(recovery) == 0);
	assert_true(recovery_is_needed(recovery, dek_id(dek)));
	assert_int_equal(recovery_apply(recovery, dek), 0);
	assert_int_equal(recovery_apply(recovery, volume->dek), 0);
	recovery_free(recovery);
	read_back(&file, 1000, text, 6);
	assert_string_equal(text, "newer.");
	read_back(&other, 1000, text, 6);
	assert_string_equal(text, "record");
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_int_equal(recovery_pending(recovery), 0);
	recovery_free(recovery);
	dek_put(dek);
	close(file.fd);
	close(other.fd);
}

static void journals_are_applied_in_the_order_of_their_numbers(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");

	for (char c = '1'; c <= '5'; c++) {
		char text[2] = { c, 0 };
		struct journal *journal = make_journal(volume);
		struct journal_file *journal_file = open_in(journal, &file);

		calls.fail_inode = inode_of(file.fd);
		calls.fail_error = EIO;
		assert_int_equal(append_text(journal_file, 1000, text), 0);
		assert_int_equal(journal_retire(journal_file), -EIO);
		assert_int_equal(journal_close(journal), -EIO);
	}
	calls.fail_error = 0;
	recover_with(volume, volume->dek);

	char text[2];

	read_back(&file, 1000, text, 1);
	assert_string_equal(text, "5");
	close(file.fd);
}

/* Where the first record of the only epoch lies. */
#define FIRST_RECORD (JOURNAL_AREA_OFFSET + 32 * MIB)

static void changed_record_is_reported_not_applied_and_put_aside(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct crash crash = { volume, &file, &other };
	uint8_t record[256];
	char text[16], path[128], mount[UUID_TEXT_SIZE];
	int fd;

	assert_int_equal(in_child(commit_two, &crash, 0), 0);
	assert_int_equal(random_uuid(&volume->store.mount), 0);

	/* The child drew the mount's id: there is one journal only. */
	FILE *listing;

	snprintf(path, sizeof(path), "ls %s/.snapcrypt/journal", volume->path);
	listing = popen(path, "r");
	assert_non_null(fgets(mount, sizeof(mount), listing));
	pclose(listing);
	snprintf(path, sizeof(path), ".snapcrypt/journal/%s", mount);
	fd = openat(volume->store.root_fd, path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);

	/* Changed with a checksum that fits: no torn write. */
	const size_t size = journal_record_size(1, 6);

	assert_true(size <= sizeof(record));
	assert_int_equal(pread(fd, record, size, FIRST_RECORD), size);
	record[size - 1] ^= 1;
	journal_record_finish(record, size);
	assert_int_equal(pwrite(fd, record, size, FIRST_RECORD), size);
	close(fd);

	assert_int_equal(pwrite(file.fd, "older.", 6, 1000), 6);
	assert_int_equal(pwrite(other.fd, "older.", 6, 1000), 6);
	recover_with(volume, volume->dek);
	assert_true(volume->store.reports > 0);
	read_back(&file, 1000, text, 6);
	assert_string_equal(text, "older.");
	read_back(&other, 1000, text, 6);
	assert_string_equal(text, "record");
	assert_int_equal(faccessat(volume->store.root_fd, path, F_OK, 0), -1);
	snprintf(path, sizeof(path), ".snapcrypt/quarantine/journal-%s", mount);
	assert_int_equal(faccessat(volume->store.root_fd, path, F_OK, 0), 0);
	close(file.fd);
	close(other.fd);
}

static void foreign_files_among_the_journals_are_left_as_they_are(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	char text[16];
	int fd;

	assert_int_equal(in_child(commit_and_undo, &crash, 0), 0);
	fd = openat(volume->store.root_fd, ".snapcrypt/journal/garbage", O_RDWR | O_CREAT, 0600);
	assert_int_equal(pwrite(fd, "garbage", 7, 0), 7);
	close(fd);
	assert_int_equal(mkdirat(volume->store.root_fd, ".snapcrypt/journal/directory", 0700), 0);
	assert_int_equal(symlinkat("garbage", volume->store.root_fd, ".snapcrypt/journal/link"), 0);
	recover_with(volume, volume->dek);
	assert_true(volume->store.reports > 0);
	read_back(&file, 1000, text, 5);
	assert_string_equal(text, "fisec");
	assert_int_equal(faccessat(volume->store.root_fd, ".snapcrypt/journal/garbage", F_OK, 0),
			 0);
	close(file.fd);
}

static void obsolete_records_change_nothing(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct crash crash = { volume, &file, &other };
	uint8_t header[HEADER_SIZE];
	char text[16];

	assert_int_equal(in_child(commit_two, &crash, 0), 0);
	/* One has got a new body, the other is another file. */
	file.header.content_id[0] ^= 1;
	header_bytes(&file, header);
	assert_int_equal(pwrite(file.fd, header, sizeof(header), 0), sizeof(header));
	assert_int_equal(pwrite(file.fd, "newer.", 6, 1000), 6);
	other.header.object_id[0] ^= 1;
	header_bytes(&other, header);
	assert_int_equal(pwrite(other.fd, header, sizeof(header), 0), sizeof(header));
	assert_int_equal(pwrite(other.fd, "newer.", 6, 1000), 6);
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 6);
	assert_string_equal(text, "newer.");
	read_back(&other, 1000, text, 6);
	assert_string_equal(text, "newer.");
	close(file.fd);
	close(other.fd);
}

static void records_of_a_sealed_dek_change_nothing(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	char text[16];

	assert_int_equal(in_child(commit_and_undo, &crash, 0), 0);
	volume->store.is_sealed = true;
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 5);
	assert_string_equal(text, "aaaaa");
	volume->store.is_sealed = false;
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 5);
	assert_string_equal(text, "aaaaa");
	close(file.fd);
}

static void renamed_file_is_found_by_its_object_id(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f"), decoy;
	struct crash crash = { volume, &file, NULL };
	char text[16];

	assert_int_equal(in_child(commit_and_undo, &crash, 0), 0);
	assert_int_equal(mkdirat(volume->store.root_fd, "d", 0700), 0);
	assert_int_equal(mkdirat(volume->store.root_fd, "d/e", 0700), 0);
	assert_int_equal(renameat(volume->store.root_fd, "f", volume->store.root_fd, "d/e/g"), 0);
	decoy = make_file(volume, "f");
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 5);
	assert_string_equal(text, "fisec");
	read_back(&decoy, 1000, text, 5);
	assert_string_equal(text, "aaaaa");
	close(file.fd);
	close(decoy.fd);
}

static void symlink_at_the_path_is_not_followed(void **state)
{
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	char text[16], outside[80], target[128];

	assert_int_equal(in_child(commit_and_undo, &crash, 0), 0);
	snprintf(outside, sizeof(outside), "%s.outside", volume->path);
	snprintf(target, sizeof(target), "%s/f", volume->path);
	assert_int_equal(rename(target, outside), 0);
	assert_int_equal(symlink(outside, target), 0);
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 5);
	assert_string_equal(text, "aaaaa");
	assert_int_equal(unlink(outside), 0);
	close(file.fd);
}

/* ---- Protected ends ------------------------------------------------------------------------- */

static uint8_t end_block[28];

static int append_open(struct journal_file *file, uint64_t result)
{
	const struct journal_change change = {
		.offset = result - sizeof(end_block),
		.data = { end_block, sizeof(end_block) },
		.result = result,
		.is_open = true,
	};

	memset(end_block, 'E', sizeof(end_block));
	return journal_append(file, &change);
}

static void commit_open(void *arg)
{
	struct crash *crash = arg;
	struct journal *journal = make_journal(crash->volume);
	struct journal_file *journal_file = open_in(journal, crash->file);

	if (append_open(journal_file, FILE_SIZE) < 0 || journal_commit(journal_file) < 0)
		_exit(1);
	if (crash->other != NULL) {
		/* Two checkpoints, one because the area is full. */
		struct journal_file *in_other = open_in(journal, crash->other);

		if (journal_checkpoint(journal) < 0)
			_exit(1);
		write_large(in_other, 40);
		if (journal_commit(in_other) < 0)
			_exit(1);
	}
}

static void check_open(struct volume *volume, bool has_checkpoint, const char *behind,
		       uint64_t expected_size)
{
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct crash crash = { volume, &file, has_checkpoint ? &other : NULL };
	char text[32];

	assert_int_equal(in_child(commit_open, &crash, 0), 0);
	/* Appends behind the end overwrite it. */
	assert_int_equal(pwrite(file.fd, behind, strlen(behind), FILE_SIZE - 28), strlen(behind));
	recover_with(volume, volume->dek);
	assert_int_equal(size_of(&file), expected_size);
	read_back(&file, FILE_SIZE - 28, text, 28);
	assert_memory_equal(
		text, expected_size == FILE_SIZE ? "EEEEEEEEEEEEEEEEEEEEEEEEEEEE" : behind, 28);
	assert_int_equal(unlinkat(volume->store.root_fd, "f", 0), 0);
	assert_int_equal(unlinkat(volume->store.root_fd, "g", 0), 0);
	close(file.fd);
	close(other.fd);
}

static void torn_append_behind_a_protected_end_is_taken_back(void **state)
{
	check_open(*state, false, "torn", FILE_SIZE);
	check_open(*state, false, "0123456789012345678901234567890123456789", FILE_SIZE);
}

static void whole_append_behind_a_protected_end_stays(void **state)
{
	check_open(*state, false, "012345678901234567890123456789012345678E", FILE_SIZE + 12);
}

static void protected_end_outlives_checkpoints(void **state)
{
	check_open(*state, true, "0123456789012345678901234567890123456789", FILE_SIZE);
	check_open(*state, true, "012345678901234567890123456789012345678E", FILE_SIZE + 12);
}

/* ---- Another mount ------------------------------------------------------------------------- */

static void journal_of_a_mount_that_lives_is_left_alone(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	struct uuid mount = volume->store.mount;
	struct recovery *recovery;

	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(random_uuid(&volume->store.mount), 0);
	volume->store.is_writable = false;
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_int_equal(recovery_pending(recovery), 0);
	recovery_free(recovery);
	volume->store.is_writable = true;
	volume->store.mount = mount;
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(committed_changes_are_applied_by_the_next_mount),
		TEST(retired_records_are_not_applied),
		TEST(journal_that_waits_for_another_dek_is_not_applied_twice),
		TEST(journals_are_applied_in_the_order_of_their_numbers),
		TEST(changed_record_is_reported_not_applied_and_put_aside),
		TEST(foreign_files_among_the_journals_are_left_as_they_are),
		TEST(obsolete_records_change_nothing),
		TEST(records_of_a_sealed_dek_change_nothing),
		TEST(renamed_file_is_found_by_its_object_id),
		TEST(symlink_at_the_path_is_not_followed),
		TEST(torn_append_behind_a_protected_end_is_taken_back),
		TEST(whole_append_behind_a_protected_end_stays),
		TEST(protected_end_outlives_checkpoints),
		TEST(journal_of_a_mount_that_lives_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
