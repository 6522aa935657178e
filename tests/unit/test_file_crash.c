/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file engine and the journal together: a process works on a file and ends without closing it, again and again.
 * What the journal left is seen by a read-only store, then applied by the next writer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>

#define FIXTURE_REAL_JOURNAL
#include "tests/unit/file_fixture.h"

#define NAME "file"
#define MOST (UINT32_C(512) << 10)

/* Shared with the process that ends. */
struct ledger {
	uint8_t bytes[MOST];   /* as written */
	uint8_t synced[MOST];  /* as of the last fsync */
	bool is_touched[MOST]; /* changed since */
	size_t size;
	size_t synced_size;
	size_t lowest_size; /* since */
	int failures;
};

static struct ledger *ledger;
static uint64_t random_state = 88172645463325252U;

static uint64_t draw(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void expect_at(bool is_true, int line)
{
	if (!is_true)
		fprintf(stderr, "line %d: not as expected\n", line);
	ledger->failures += !is_true;
}

#define expect(is_true) expect_at(is_true, __LINE__)

/* ---- the process that ends ------------------------------------------------------------------------ */

static void touch(size_t begin, size_t end)
{
	if (begin < end)
		memset(ledger->is_touched + begin, true, end - begin);
}

static void set_size(size_t size)
{
	if (size > ledger->size) {
		memset(ledger->bytes + ledger->size, 0, size - ledger->size);
		touch(ledger->size, size);
	}
	ledger->size = size;
	if (size < ledger->lowest_size)
		ledger->lowest_size = size;
}

static void do_write(struct file *file, size_t size, size_t offset)
{
	static uint8_t data[MOST];

	if (offset + size > MOST || size == 0)
		return;
	memset(data, (int)draw(256), size);
	touch(offset, offset + size);
	expect(file_write(file, data, size, offset) == (ssize_t)size);
	if (offset + size > ledger->size)
		set_size(offset + size);
	memcpy(ledger->bytes + offset, data, size);
}

static void do_punch(struct file *file, size_t size, size_t offset)
{
	size_t end = offset + size < ledger->size ? offset + size : ledger->size;

	if (size == 0 || offset >= end)
		return;
	touch(offset, end);
	int r = file_allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);

	expect(r == 0);
	memset(ledger->bytes + offset, 0, end - offset);
}

static void do_sync(struct file *file)
{
	expect(file_sync(file, true) == 0);
	memcpy(ledger->synced, ledger->bytes, MOST);
	memset(ledger->is_touched, 0, MOST);
	ledger->synced_size = ledger->size;
	ledger->lowest_size = ledger->size;
}

static void do_truncate(struct file *file, size_t size)
{
	if (size < ledger->lowest_size)
		ledger->lowest_size = size;
	expect(file_truncate(file, size) == 0);
	set_size(size);
}

static struct file *reopen(struct file *file)
{
	const struct file_open_options options = { .access = FILE_WRITE };

	expect(file_close(file, NULL) == 0);
	expect(file_open(&fake_place, NAME, &options, &file) == 0);
	return file;
}

static struct file *step(struct file *file)
{
	uint64_t kind = draw(100);

	if (kind < 30)
		do_write(file, draw(20000), ledger->size);
	else if (kind < 35)
		do_write(file, 60000 + draw(60000), ledger->size);
	else if (kind < 60)
		do_write(file, draw(9000), draw(ledger->size + 1));
	else if (kind < 64)
		do_write(file, draw(9000), ledger->size + draw(60000));
	else if (kind < 72)
		do_truncate(file, draw(6) ? draw(ledger->size + 1) : 0);
	else if (kind < 76)
		do_truncate(file, (ledger->size + draw(40000)) % MOST);
	else if (kind < 80)
		do_punch(file, draw(40000), draw(ledger->size + 1));
	else if (kind < 92)
		do_sync(file);
	else if (kind < 95)
		return reopen(file);
	else
		expect(file_flush(file) == 0);
	return file;
}

static void work_and_end(struct store *store, uint64_t steps)
{
	const struct file_open_options options = { .access = FILE_WRITE };
	struct file *file = NULL;

	if (random_uuid(&store->mount) < 0 || journal_create(store, &store->journal) < 0 ||
	    file_open(&fake_place, NAME, &options, &file) < 0)
		_exit(1);
	for (uint64_t i = 0; i < steps; i++)
		file = step(file);
	_exit(0);
}

static void run_process(struct store *store)
{
	uint64_t steps = draw(60);
	pid_t pid;
	int status = 0;

	uint64_t seed = draw(UINT64_MAX) | 1;

	pid = fork();
	if (pid == 0) {
		random_state = seed;
		work_and_end(store, steps);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(ledger->failures, 0);
}

/* ---- what is found afterwards ---------------------------------------------------------------------- */

static size_t read_file(uint8_t *data)
{
	const struct file_open_options options = { .access = FILE_READ };
	struct file *file = NULL;

	assert_int_equal(file_open(&fake_place, NAME, &options, &file), 0);
	size_t size = file_size(file);

	assert_true(size <= MOST);
	assert_int_equal(file_read(file, data, MOST, 0), size);
	assert_int_equal(file_close(file, NULL), 0);
	return size;
}

static size_t read_only_view(struct store *store, uint8_t *data)
{
	store->is_writable = false;
	assert_int_equal(recovery_scan(store, &store->recovery), 0);
	assert_int_equal(recovery_apply(store->recovery, store->dek), 0);
	size_t size = read_file(data);

	recovery_free(store->recovery);
	store->recovery = NULL;
	store->is_writable = true;
	return size;
}

static void recover(struct store *store)
{
	assert_int_equal(random_uuid(&store->mount), 0);
	assert_int_equal(recovery_scan(store, &store->recovery), 0);
	if (recovery_is_needed(store->recovery, dek_id(store->dek)))
		assert_int_equal(recovery_apply(store->recovery, store->dek), 0);
	recovery_free(store->recovery);
	store->recovery = NULL;
}

/* What was synced and not changed since is there. */
static void check_synced(const uint8_t *data, size_t size)
{
	size_t kept = ledger->synced_size < ledger->lowest_size ? ledger->synced_size
								: ledger->lowest_size;

	assert_true(size >= kept);
	for (size_t i = 0; i < kept; i++) {
		if (!ledger->is_touched[i] && data[i] != ledger->synced[i])
			fail_msg("byte %zu of %zu", i, kept);
	}
}

/* Nothing is lost but what the journal had in memory: the next process goes on from what is there. */
static void go_on_from(const uint8_t *data, size_t size)
{
	memcpy(ledger->bytes, data, size);
	memcpy(ledger->synced, data, size);
	memset(ledger->is_touched, 0, MOST);
	ledger->size = size;
	ledger->synced_size = size;
	ledger->lowest_size = size;
}

static void run(uint32_t block_size, unsigned rounds)
{
	struct store *store = fake_store_open(block_size, NULL);
	struct backing_name backing;
	struct file *file = NULL;
	uint8_t *seen = calloc(1, MOST);
	uint8_t *found = calloc(1, MOST);

	assert_non_null(store);
	assert_int_equal(mkdirat(store->root_fd, ".snapcrypt", 0700), 0);
	assert_int_equal(file_create(&fake_place, NAME, 0600, &backing, &file), 0);
	assert_int_equal(file_close(file, NULL), 0);
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	assert_true(ledger != MAP_FAILED);
	for (unsigned i = 0; i < rounds; i++) {
		run_process(store);
		size_t seen_size = read_only_view(store, seen);

		recover(store);
		size_t size = read_file(found);

		assert_int_equal(seen_size, size);
		assert_memory_equal(seen, found, size);
		check_synced(found, size);
		assert_int_equal(store->reports, 0);
		go_on_from(found, size);
	}
	munmap(ledger, sizeof(*ledger));
	fake_store_close(store);
	free(seen);
	free(found);
}

static void what_was_synced_survives_the_process_4k(void **state)
{
	run(4096, 30);
}

static void what_was_synced_survives_the_process_64k(void **state)
{
	run(65536, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_synced_survives_the_process_4k),
		cmocka_unit_test(what_was_synced_survives_the_process_64k),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
