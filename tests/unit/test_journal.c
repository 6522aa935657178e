/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "fs/store/journal.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"
#include "meta/format/header.h"
#include "meta/format/journal_record.h"
#include "tests/unit/fake_store.h"

#define FILE_SIZE 20000
#define MIB       (1u << 20)

/* ---- A volume in a directory --------------------------------------------------------------- */

struct volume {
	char path[64];
	struct store store;
	struct dek *dek;
};

struct backing {
	char name[64];
	struct header header;
	struct dek *dek;
	int fd;
};

static int setup(void **state)
{
	struct volume *volume = calloc(1, sizeof(*volume));

	memset(&calls, 0, sizeof(calls));
	assert_int_equal(secret_init(), 0);
	strcpy(volume->path, "/tmp/snapcrypt-journal-XXXXXX");
	assert_non_null(mkdtemp(volume->path));
	volume->store.root_fd = open(volume->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	volume->store.is_writable = true;
	assert_int_equal(random_uuid(&volume->store.volume.volume), 0);
	assert_int_equal(random_uuid(&volume->store.mount), 0);
	volume->store.volume.algorithm = 1;
	volume->store.volume.block_size = 4096;
	assert_int_equal(layout_init(4096, &volume->store.layout), 0);
	assert_int_equal(mkdirat(volume->store.root_fd, ".snapcrypt", 0700), 0);
	assert_int_equal(dek_generate(&volume->store.volume.volume, &volume->dek), 0);
	*state = volume;
	return 0;
}

static int teardown(void **state)
{
	struct volume *volume = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", volume->path);
	assert_int_equal(system(command), 0);
	close(volume->store.root_fd);
	dek_put(volume->dek);
	free(volume);
	return 0;
}

static void header_bytes(const struct backing *file, uint8_t data[static HEADER_SIZE])
{
	header_encode(&file->header, data);

	const struct bytes input = header_mac_input(data);

	assert_int_equal(dek_mac(file->dek, DEK_LABEL_HEADER, &input, 1, header_mac_slot(data)), 0);
}

/* A file of FILE_SIZE bytes: a header, then 'a's. */
static struct backing make_file(struct volume *volume, const char *name)
{
	struct backing file = { .dek = volume->dek };
	uint8_t *data = malloc(FILE_SIZE);

	snprintf(file.name, sizeof(file.name), "%s", name);
	file.header = (struct header){
		.algorithm = 1,
		.block_size_log2 = 12,
		.volume = volume->store.volume.volume,
		.dek = *dek_id(volume->dek),
	};
	assert_int_equal(random_fill(file.header.object_id, sizeof(file.header.object_id)), 0);
	assert_int_equal(random_fill(file.header.content_id, sizeof(file.header.content_id)), 0);
	memset(data, 'a', FILE_SIZE);
	header_bytes(&file, data);
	file.fd = openat(volume->store.root_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(file.fd >= 0);
	assert_int_equal(pwrite(file.fd, data, FILE_SIZE, 0), FILE_SIZE);
	free(data);
	return file;
}

static struct journal *make_journal(struct volume *volume)
{
	struct journal *journal;

	assert_int_equal(random_uuid(&volume->store.mount), 0);
	assert_int_equal(journal_create(&volume->store, &journal), 0);
	return journal;
}

static struct journal_file *open_in(struct journal *journal, const struct backing *file)
{
	struct journal_identity identity = { .dek = file->dek, .path = file->name };
	struct journal_file *journal_file;

	memcpy(identity.object_id, file->header.object_id, sizeof(identity.object_id));
	memcpy(identity.content_id, file->header.content_id, sizeof(identity.content_id));
	assert_int_equal(journal_file_open(journal, &identity, file->fd, &journal_file), 0);
	return journal_file;
}

static int append_text(struct journal_file *file, uint64_t offset, const char *text)
{
	const struct journal_change change = {
		.offset = offset,
		.data = bytes_from_text(text),
		.result = FILE_SIZE,
	};

	return journal_append(file, &change);
}

static void read_back(const struct backing *file, uint64_t offset, char *text, size_t size)
{
	assert_int_equal(pread(file->fd, text, size, (off_t)offset), size);
	text[size] = '\0';
}

static uint64_t size_of(const struct backing *file)
{
	struct stat stat;

	assert_int_equal(fstat(file->fd, &stat), 0);
	return (uint64_t)stat.st_size;
}

static bool has_journal_of(const struct volume *volume, const struct uuid *mount)
{
	char path[128], text[UUID_TEXT_SIZE];

	uuid_format(mount, text);
	snprintf(path, sizeof(path), ".snapcrypt/journal/%s", text);
	return faccessat(volume->store.root_fd, path, F_OK, 0) == 0;
}

static int journal_fd(const struct volume *volume, const struct uuid *mount)
{
	char path[128], text[UUID_TEXT_SIZE];
	int fd;

	uuid_format(mount, text);
	snprintf(path, sizeof(path), ".snapcrypt/journal/%s", text);
	fd = openat(volume->store.root_fd, path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Run BODY in a child, which ends without closing anything, as after SIGKILL. */
static int in_child(void (*body)(void *arg), void *arg, unsigned die_at)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		calls.count = 0;
		calls.die_at = die_at;
		body(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void recover_with(struct volume *volume, struct dek *dek)
{
	struct recovery *recovery;

	assert_int_equal(random_uuid(&volume->store.mount), 0);
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_int_equal(recovery_apply(recovery, dek), 0);
	recovery_free(recovery);
}

/* ---- The journal ---------------------------------------------------------------------------- */

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

static void write_large(struct journal_file *journal_file, unsigned count)
{
	uint8_t *data = malloc(MIB);

	for (unsigned i = 0; i < count; i++) {
		const struct journal_change change = {
			.offset = 4096 + (uint64_t)(i % 3) * MIB,
			.data = { data, MIB },
			.result = 4096 + (uint64_t)(i % 3 + 1) * MIB,
		};

		memset(data, (int)('A' + i % 26), MIB);
		assert_int_equal(journal_append(journal_file, &change), 0);
	}
	free(data);
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
	assert_int_equal(journal_settle(journal, file.header.object_id), 0);
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

/* ---- Recovery ------------------------------------------------------------------------------- */

struct crash {
	struct volume *volume;
	struct backing *file;
	struct backing *other;
};

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
	uint8_t mac;
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

	const off_t place = FIRST_RECORD + (off_t)journal_record_size(1, 6) - 1;

	assert_int_equal(pread(fd, &mac, 1, place), 1);
	mac ^= 1;
	assert_int_equal(pwrite(fd, &mac, 1, place), 1);
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

/* ---- Crashes at every call ------------------------------------------------------------------- */

#define STEPS 24

/* What the child has been told is durable. */
static unsigned *acknowledged;

struct step {
	uint64_t offset;
	uint8_t data[64];
	size_t size;
	uint64_t result;
	bool is_exact;
	bool has_header;
	bool is_committed;
};

static struct step steps[STEPS];
static uint8_t header_of_step[HEADER_SIZE];

struct model {
	uint8_t data[FILE_SIZE * 2];
	uint64_t size;
};

static void plan(const struct backing *file)
{
	struct backing new_body = *file;
	unsigned seed = 4711;

	new_body.header.content_id[3] ^= 0xff;
	header_bytes(&new_body, header_of_step);
	for (unsigned i = 0; i < STEPS; i++) {
		struct step *step = &steps[i];

		*step = (struct step){ .size = 1 + (unsigned)rand_r(&seed) % 60 };
		step->offset = 200 + (unsigned)rand_r(&seed) % 30000;
		memset(step->data, (int)('A' + i), step->size);
		step->result = step->offset + step->size;
		step->is_exact = i % 5 == 3;
		step->has_header = i == STEPS / 2;
		if (step->has_header) {
			step->offset = 0;
			step->result = HEADER_SIZE;
			step->is_exact = true;
		}
		step->is_committed = i % 3 == 2;
	}
}

static void model_step(struct model *model, const struct step *step)
{
	const uint8_t *data = step->has_header ? header_of_step : step->data;
	const size_t size = step->has_header ? HEADER_SIZE : step->size;

	memcpy(model->data + step->offset, data, size);
	if (step->is_exact) {
		memset(model->data + step->result, 0, sizeof(model->data) - step->result);
		model->size = step->result;
	} else if (step->result > model->size) {
		model->size = step->result;
	}
}

static void run_steps(void *arg)
{
	struct crash *crash = arg;
	struct journal *journal = make_journal(crash->volume);
	struct journal_file *journal_file = open_in(journal, crash->file);

	for (unsigned i = 0; i < STEPS; i++) {
		const struct step *step = &steps[i];
		const struct journal_change change = {
			.offset = step->offset,
			.data = { step->has_header ? header_of_step : step->data,
				  step->has_header ? HEADER_SIZE : step->size },
			.result = step->result,
			.is_exact = step->is_exact,
			.has_header = step->has_header,
		};

		if (journal_append(journal_file, &change) < 0)
			_exit(1);
		if (i % 7 == 6 && journal_checkpoint(journal) < 0)
			_exit(1);
		if (step->is_committed && journal_commit(journal_file) < 0)
			_exit(1);
		if (step->is_committed || i % 7 == 6)
			*acknowledged = i + 1;
	}
	if (journal_retire(journal_file) < 0)
		_exit(1);
	*acknowledged = STEPS;
	if (journal_close(journal) < 0)
		_exit(1);
}

static bool file_is(const struct backing *file, const struct model *model)
{
	static uint8_t data[FILE_SIZE * 2];
	ssize_t n = pread(file->fd, data, sizeof(data), 0);

	return n == (ssize_t)model->size && memcmp(data, model->data, model->size) == 0;
}

/* The state after some number of steps, not fewer than were acknowledged. */
static void check_is_prefix(const struct backing *file, const struct model *start)
{
	static struct model model;

	model = *start;
	for (unsigned i = 0; i <= STEPS; i++) {
		if (i >= *acknowledged && file_is(file, &model))
			return;
		if (i < STEPS)
			model_step(&model, &steps[i]);
	}
	fail_msg("file has none of the states after step %u", *acknowledged);
}

static void reset_file(struct volume *volume, struct backing *file, const struct model *start)
{
	char command[160];

	assert_int_equal(ftruncate(file->fd, (off_t)start->size), 0);
	assert_int_equal(pwrite(file->fd, start->data, start->size, 0), start->size);
	snprintf(command, sizeof(command), "rm -rf '%s/.snapcrypt/journal' '%s/.snapcrypt/tmp'",
		 volume->path, volume->path);
	assert_int_equal(system(command), 0);
	*acknowledged = 0;
}

static void recover_in_child(void *arg)
{
	struct crash *crash = arg;
	struct recovery *recovery;

	if (random_uuid(&crash->volume->store.mount) < 0 ||
	    recovery_scan(&crash->volume->store, &recovery) < 0 ||
	    recovery_apply(recovery, crash->volume->dek) < 0)
		_exit(1);
}

static void crash_at_any_call_loses_nothing_acknowledged(void **state)
{
	static struct model start;
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	unsigned die_at, status = 42;

	acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	plan(&file);
	start.size = FILE_SIZE;
	assert_int_equal(pread(file.fd, start.data, FILE_SIZE, 0), FILE_SIZE);
	for (die_at = 1; status == 42; die_at++) {
		reset_file(volume, &file, &start);
		status = (unsigned)in_child(run_steps, &crash, die_at);
		assert_true(status == 42 || status == 0);
		/* Recovery may be cut short itself, at a call that moves on from round to round. */
		(void)in_child(recover_in_child, &crash, 1 + die_at % 9);
		assert_int_equal(in_child(recover_in_child, &crash, 0), 0);
		check_is_prefix(&file, &start);
	}
	assert_true(die_at > 30);
	print_message("%u crashes\n", die_at - 1);
	munmap(acknowledged, 4096);
	close(file.fd);
}

static void crash_while_recovering_at_any_call_changes_nothing_in_the_end(void **state)
{
	static struct model start;
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	unsigned status = 42, die_at;

	acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	plan(&file);
	start.size = FILE_SIZE;
	assert_int_equal(pread(file.fd, start.data, FILE_SIZE, 0), FILE_SIZE);
	for (die_at = 1; status == 42; die_at++) {
		reset_file(volume, &file, &start);
		assert_int_equal(in_child(run_steps, &crash, 40), 42);
		assert_int_equal(ftruncate(file.fd, FILE_SIZE / 2), 0);
		assert_int_equal(ftruncate(file.fd, FILE_SIZE), 0);
		status = (unsigned)in_child(recover_in_child, &crash, die_at);
		assert_int_equal(in_child(recover_in_child, &crash, 0), 0);
		assert_int_equal(in_child(recover_in_child, &crash, 0), 0);
	}
	assert_true(die_at > 5);
	print_message("%u crashes\n", die_at - 1);
	munmap(acknowledged, 4096);
	close(file.fd);
}

/* ---- Read-only ------------------------------------------------------------------------------- */

static void overlay_shows_what_recovery_would_leave(void **state)
{
	static struct model start;
	static uint8_t seen[FILE_SIZE * 2], left[FILE_SIZE * 2];
	struct volume *volume = *state;
	struct backing file = make_file(volume, "f");
	struct crash crash = { volume, &file, NULL };
	const uint8_t *object_id = file.header.object_id;

	acknowledged = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	plan(&file);
	start.size = FILE_SIZE;
	assert_int_equal(pread(file.fd, start.data, FILE_SIZE, 0), FILE_SIZE);
	for (unsigned die_at = 20; die_at < 70; die_at++) {
		struct recovery *recovery;
		struct recovery_backing backing;
		uint8_t content_id[24];
		uint64_t size;
		bool applies;

		reset_file(volume, &file, &start);
		(void)in_child(run_steps, &crash, die_at);
		assert_int_equal(pread(file.fd, content_id, 24, HEADER_CONTENT_ID_OFFSET), 24);

		volume->store.is_writable = false;
		assert_int_equal(random_uuid(&volume->store.mount), 0);
		assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
		assert_int_equal(recovery_apply(recovery, volume->dek), 0);
		backing = (struct recovery_backing){ .size = size_of(&file) };
		memset(seen, 0, sizeof(seen));
		assert_true(pread(file.fd, seen, sizeof(seen), 0) > 0);
		/* In pieces, as readers do. */
		for (uint64_t at = 0; at < sizeof(seen); at += 1000)
			applies = recovery_overlay(recovery, object_id, content_id, &backing, at,
						   seen + at, 1000);
		size = recovery_size(recovery, object_id, content_id, &backing);
		volume->store.is_writable = true;
		recover_with(volume, volume->dek);
		assert_int_equal(size, size_of(&file));
		memset(left, 0, sizeof(left));
		assert_int_equal(pread(file.fd, left, sizeof(left), 0), size);
		assert_memory_equal(seen, left, size);
		if (applies) {
			/* A writable mount has been here: what is in place is right. */
			assert_int_equal(pwrite(file.fd, "newer.", 6, 150), 6);
			assert_int_equal(pread(file.fd, seen, 1000, 0), size < 1000 ? size : 1000);
			assert_false(recovery_overlay(recovery, object_id, content_id, &backing, 0,
						      seen, 1000));
			assert_memory_equal(seen + 150, "newer.", 6);
		}
		recovery_free(recovery);
	}
	munmap(acknowledged, 4096);
	close(file.fd);
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		TEST(crash_at_any_call_loses_nothing_acknowledged),
		TEST(crash_while_recovering_at_any_call_changes_nothing_in_the_end),
		TEST(overlay_shows_what_recovery_would_leave),
		TEST(journal_of_a_mount_that_lives_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
