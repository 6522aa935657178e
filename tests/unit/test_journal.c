/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/journal_fixture.h"

static void unused_journal_writes_nothing(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);

	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_checkpoint(journal), 0);
	assert_int_equal(journal_close(journal), 0);
	assert_int_equal(faccessat(volume->store.root_fd, ".snapcrypt/journal", F_OK, 0), -1);
	close(file.fd);
}

static void appended_bytes_are_seen_before_they_are_in_place(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	char text[16];

	assert_int_equal(append_text(journal_file, 1000, "old"), 0);
	assert_int_equal(append_text(journal_file, 1001, "new"), 0);
	read_back(&file, 999, text, 6);
	assert_string_equal(text, "aaaaaa");
	journal_overlay(journal_file, 999, (uint8_t *)text, 6);
	assert_string_equal(text, "aonewa");
	assert_int_equal(journal_applied_count(journal_file), 0);

	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(journal_applied_count(journal_file), 2);
	read_back(&file, 999, text, 6);
	assert_string_equal(text, "aonewa");
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	assert_false(has_journal_of(volume, &volume->store.mount));
	close(file.fd);
}

static void cut_and_longer_again_reads_zeros_between(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	const struct journal_change cut = { .result = 500, .is_exact = true };
	const struct journal_change grow = {
		.offset = 510,
		.data = bytes_from_text("xy"),
		.result = 600,
	};
	char text[16] = "aaaaaaaaaaaaaa";
	struct stat stat;

	assert_int_equal(journal_append(journal_file, &cut), 0);
	assert_int_equal(journal_pending_size(journal_file, FILE_SIZE), 500);
	assert_int_equal(journal_append(journal_file, &grow), 0);
	assert_int_equal(journal_pending_size(journal_file, FILE_SIZE), 600);
	journal_overlay(journal_file, 498, (uint8_t *)text, 14);
	assert_memory_equal(text, "aa\0\0\0\0\0\0\0\0\0\0xy", 14);
	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(fstat(file.fd, &stat), 0);
	assert_int_equal(stat.st_size, 600);
	read_back(&file, 498, text, 14);
	assert_memory_equal(text, "aa\0\0\0\0\0\0\0\0\0\0xy", 14);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void commit_of_one_file_makes_the_whole_batch_durable_at_once(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing a = make_file(volume, "a"), b = make_file(volume, "b");
	struct journal_file *in_a = open_in(journal, &a), *in_b = open_in(journal, &b);
	unsigned before;
	char text[8];

	assert_int_equal(append_text(in_a, 1000, "A"), 0);
	assert_int_equal(append_text(in_b, 1000, "B"), 0);
	before = calls.count;
	assert_int_equal(journal_commit(in_a), 0);
	assert_int_equal(calls.count - before, 4); /* journal write and sync, two files */
	assert_int_equal(journal_commit(in_b), 0);
	assert_int_equal(calls.count - before, 4);
	read_back(&b, 1000, text, 1);
	assert_string_equal(text, "B");
	assert_int_equal(journal_retire(in_a), 0);
	assert_int_equal(journal_retire(in_b), 0);
	assert_int_equal(journal_close(journal), 0);
	close(a.fd);
	close(b.fd);
}

static void change_that_makes_no_sense_is_refused(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	uint8_t header[HEADER_SIZE];
	struct journal_change bad[] = {
		{ .offset = UINT64_MAX - 1, .data = bytes_from_text("abc") },
		{ .offset = 10, .data = bytes_from_text("abc"), .result = 12, .is_exact = true },
		{ .offset = 10, .data = bytes_from_text("abc"), .result = 13, .is_open = true },
		{ .offset = 0, .data = { header, 100 }, .has_header = true },
		{ .offset = 0, .data = { header, HEADER_SIZE }, .has_header = true },
	};

	file.header.dek.bytes[0] ^= 1;
	header_encode(&file.header, header);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(journal_append(journal_file, &bad[i]) < 0);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void full_area_begins_a_new_epoch(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	char text[8];

	write_large(journal_file, 80); /* two and a half halves of 32 MiB */
	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(size_of(&file), 4096 + 3 * MIB);
	read_back(&file, 4096, text, 1);
	assert_int_equal(text[0], 'A' + 78 % 26);
	read_back(&file, 4096 + MIB, text, 1);
	assert_int_equal(text[0], 'A' + 79 % 26);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void small_filesystem_gets_a_small_area(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	struct stat stat;
	int fd;

	calls.fallocate_max = 5 * MIB;
	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_commit(journal_file), 0);
	fd = journal_fd(volume, &volume->store.mount);
	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(stat.st_size, JOURNAL_AREA_OFFSET + 4 * MIB);
	close(fd);
	write_large(journal_file, 10);
	assert_int_equal(journal_commit(journal_file), 0);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void no_space_for_any_area_is_the_writers_error_and_may_pass(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);

	calls.fallocate_max = 1000;
	assert_int_equal(append_text(journal_file, 1000, "x"), -ENOSPC);
	assert_int_equal(journal_commit(journal_file), 0);
	calls.fallocate_max = 0;
	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void failed_write_in_place_is_told_kept_and_tried_again(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing a = make_file(volume, "a"), b = make_file(volume, "b");
	struct journal_file *in_a = open_in(journal, &a), *in_b = open_in(journal, &b);
	char text[8];

	calls.fail_inode = inode_of(a.fd);
	calls.fail_error = ENOSPC;
	assert_int_equal(append_text(in_a, 1000, "x"), 0);
	assert_int_equal(append_text(in_b, 1000, "y"), 0);
	assert_int_equal(journal_commit(in_b), 0);
	assert_int_equal(journal_commit(in_a), -ENOSPC);
	assert_int_equal(append_text(in_a, 1000, "z"), -ENOSPC);
	read_back(&a, 1000, text, 1);
	journal_overlay(in_a, 1000, (uint8_t *)text, 1);
	assert_string_equal(text, "x");
	/* Other files go on, also over checkpoints. */
	write_large(in_b, 80);
	assert_int_equal(journal_commit(in_b), 0);

	calls.fail_error = 0;
	assert_int_equal(append_text(in_a, 1001, "z"), 0);
	assert_int_equal(journal_commit(in_a), 0);
	read_back(&a, 1000, text, 2);
	assert_string_equal(text, "xz");
	assert_int_equal(journal_retire(in_a), 0);
	assert_int_equal(journal_retire(in_b), 0);
	assert_int_equal(journal_close(journal), 0);
	close(a.fd);
	close(b.fd);
}

static void what_could_not_be_placed_is_left_for_the_next_mount(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	char text[8];

	calls.fail_inode = inode_of(file.fd);
	calls.fail_error = EIO;
	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_retire(journal_file), -EIO);
	assert_int_equal(journal_settle(journal, file.header.object_id), -EIO);
	assert_int_equal(journal_close(journal), -EIO);
	assert_true(has_journal_of(volume, &volume->store.mount));

	calls.fail_error = 0;
	recover_with(volume, volume->dek);
	read_back(&file, 1000, text, 1);
	assert_string_equal(text, "x");
	close(file.fd);
}

static void settle_puts_in_place_what_an_earlier_open_could_not(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	char text[8];

	assert_int_equal(journal_settle(journal, file.header.object_id), 0);
	calls.fail_inode = inode_of(file.fd);
	calls.fail_error = ENOSPC;
	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_retire(journal_file), -ENOSPC);
	calls.fail_error = 0;
	assert_int_equal(journal_settle(journal, file.header.object_id), 1);
	read_back(&file, 1000, text, 1);
	assert_string_equal(text, "x");
	assert_int_equal(journal_close(journal), 0);
	close(file.fd);
}

static void failed_sync_of_a_data_file_keeps_its_records_for_ever(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);

	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	assert_int_equal(journal_commit(journal_file), 0);
	calls.fail_inode = inode_of(file.fd);
	calls.fail_sync_error = EIO;
	assert_int_equal(journal_checkpoint(journal), -EIO);
	calls.fail_sync_error = 0; /* as the kernel does after it has told once */
	assert_int_equal(journal_checkpoint(journal), -EIO);
	assert_int_equal(journal_retire(journal_file), -EIO);
	assert_int_equal(journal_close(journal), -EIO);
	assert_true(has_journal_of(volume, &volume->store.mount));
	close(file.fd);
}

static void failed_journal_write_loses_nothing(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f");
	struct journal_file *journal_file = open_in(journal, &file);
	char text[8];
	int fd;

	assert_int_equal(append_text(journal_file, 1000, "x"), 0);
	fd = journal_fd(volume, &volume->store.mount);
	calls.fail_inode = inode_of(fd);
	calls.fail_error = EIO;
	assert_int_equal(journal_commit(journal_file), -EIO);
	read_back(&file, 1000, text, 1);
	assert_string_equal(text, "a");
	journal_overlay(journal_file, 1000, (uint8_t *)text, 1);
	assert_string_equal(text, "x");
	calls.fail_error = 0;
	assert_int_equal(journal_commit(journal_file), 0);
	read_back(&file, 1000, text, 1);
	assert_string_equal(text, "x");
	assert_int_equal(journal_retire(journal_file), 0);
	assert_int_equal(journal_close(journal), 0);
	close(fd);
	close(file.fd);
}

static void records_of_a_wiped_dek_are_dropped_and_reported(void **state)
{
	struct volume *volume = *state;
	struct journal *journal = make_journal(volume);
	struct backing file = make_file(volume, "f"), other = make_file(volume, "g");
	struct dek *dek;
	struct journal_file *in_file, *in_other;

	assert_int_equal(dek_generate(&volume->store.volume.volume, &dek), 0);
	file.dek = dek;
	in_file = open_in(journal, &file);
	in_other = open_in(journal, &other);
	assert_int_equal(append_text(in_file, 1000, "x"), 0);
	assert_int_equal(append_text(in_other, 1000, "y"), 0);
	dek_wipe(dek);
	assert_int_equal(journal_commit(in_other), 0);
	assert_int_equal(journal_commit(in_file), -EKEYREVOKED);
	assert_int_equal(append_text(in_file, 1000, "x"), -EKEYREVOKED);
	assert_int_equal(journal_retire(in_file), -EKEYREVOKED);
	assert_int_equal(journal_retire(in_other), 0);
	assert_int_equal(journal_close(journal), 0);
	dek_put(dek);
	close(file.fd);
	close(other.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unused_journal_writes_nothing),
		TEST(appended_bytes_are_seen_before_they_are_in_place),
		TEST(cut_and_longer_again_reads_zeros_between),
		TEST(commit_of_one_file_makes_the_whole_batch_durable_at_once),
		TEST(change_that_makes_no_sense_is_refused),
		TEST(full_area_begins_a_new_epoch),
		TEST(small_filesystem_gets_a_small_area),
		TEST(no_space_for_any_area_is_the_writers_error_and_may_pass),
		TEST(failed_write_in_place_is_told_kept_and_tried_again),
		TEST(what_could_not_be_placed_is_left_for_the_next_mount),
		TEST(settle_puts_in_place_what_an_earlier_open_could_not),
		TEST(failed_sync_of_a_data_file_keeps_its_records_for_ever),
		TEST(failed_journal_write_loses_nothing),
		TEST(records_of_a_wiped_dek_are_dropped_and_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
