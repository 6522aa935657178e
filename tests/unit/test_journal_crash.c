/* SPDX-License-Identifier: Apache-2.0 */
/* The process ends in front of every call that writes, in turn; then the next mount comes. */
#include <dirent.h>

#include "tests/unit/journal_fixture.h"

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

	calls.fallocate_max = 2 * MIB;
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

/* What a run may have left. */
static void remove_journals(const struct volume *volume)
{
	static const char *const directories[] = { ".snapcrypt/journal", ".snapcrypt/tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		int fd = openat(volume->store.root_fd, directories[i], O_RDONLY | O_DIRECTORY);
		DIR *directory = fd < 0 ? NULL : fdopendir(fd);
		const struct dirent *entry;

		while (directory != NULL && (entry = readdir(directory)) != NULL) {
			if (entry->d_name[0] != '.')
				assert_int_equal(unlinkat(fd, entry->d_name, 0), 0);
		}
		if (directory != NULL)
			closedir(directory);
	}
}

static void reset_file(struct volume *volume, struct backing *file, const struct model *start)
{
	assert_int_equal(ftruncate(file->fd, (off_t)start->size), 0);
	assert_int_equal(pwrite(file->fd, start->data, start->size, 0), start->size);
	remove_journals(volume);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(crash_at_any_call_loses_nothing_acknowledged),
		TEST(crash_while_recovering_at_any_call_changes_nothing_in_the_end),
		TEST(overlay_shows_what_recovery_would_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
