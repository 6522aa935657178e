/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "fs/store/write_queue.h"
#include "tests/unit/file_fixture.h"

#define LIMIT (UINT32_C(256) << 10)

static atomic_uint released;

static void release(void *buffer)
{
	free(buffer);
	atomic_fetch_add(&released, 1);
}

static struct file *create(const char *name)
{
	struct backing_name backing;
	struct file *file = NULL;

	assert_int_equal(file_create(&fake_place, name, 0600, &backing, &file), 0);
	return file;
}

/* SIZE bytes of VALUE at OFFSET, in a buffer of their own. */
static int submit(struct write_queue *queue, struct file *file, int value, size_t size,
		  uint64_t offset)
{
	uint8_t *buffer = malloc(size);

	assert_non_null(buffer);
	memset(buffer, value, size);
	const struct queued_write write = { file, buffer, size, offset, release, buffer };
	int r = write_queue_submit(queue, &write);

	if (r < 0)
		free(buffer);
	return r;
}

static void writes_of_a_file_stay_in_order(void **state)
{
	struct store *store = fake_store_open(4096, NULL);
	struct write_queue *queue = NULL;
	struct file *file = create("file");
	uint8_t *expected = calloc(1, 1 << 20);
	uint8_t *found = calloc(1, 1 << 20);
	size_t end = 0;

	srand(1);
	atomic_store(&released, 0);
	assert_int_equal(write_queue_create(LIMIT, 3, &queue), 0);
	for (int i = 0; i < 3000; i++) {
		size_t size = (size_t)(rand() % (i % 7 ? 5000 : 100000) + 1);
		size_t offset = rand() % 2 ? end : (size_t)(rand() % (int)(end + 1));

		if (offset + size > 1 << 20) {
			end = 0;
			continue;
		}
		assert_int_equal(submit(queue, file, i, size, offset), 0);
		assert_true(write_queue_bytes(queue) <= LIMIT);
		memset(expected + offset, i, size);
		end = offset + size;
		if (i % 500 == 0) {
			assert_int_equal(write_queue_wait(queue, file), 0);
			size_t told = file_size(file);

			assert_int_equal(file_read(file, found, told, 0), told);
			assert_memory_equal(found, expected, told);
		}
	}
	assert_int_equal(write_queue_wait(queue, file), 0);
	assert_int_equal(write_queue_bytes(queue), 0);
	size_t told = file_size(file);

	assert_int_equal(file_read(file, found, 1 << 20, 0), told);
	assert_memory_equal(found, expected, told);
	assert_int_equal(file_close(file, NULL), 0);
	write_queue_free(queue);
	fake_store_close(store);
	free(expected);
	free(found);
}

struct job {
	struct write_queue *queue;
	struct file *file;
	int failures;
};

static void *write_much(void *arg)
{
	struct job *job = arg;

	for (unsigned i = 0; i < 400; i++) {
		uint8_t *buffer = calloc(1, 10000);
		const struct queued_write write = { job->file,           buffer,  10000,
						    i * UINT64_C(10000), release, buffer };

		job->failures += write_queue_submit(job->queue, &write) != 0;
		if (i % 50 == 49) {
			job->failures += write_queue_wait(job->queue, job->file) != 0;
			job->failures += file_size(job->file) != (i + 1) * UINT64_C(10000);
		}
	}
	job->failures += write_queue_wait(job->queue, job->file) != 0;
	return NULL;
}

static void files_share_the_queue(void **state)
{
	struct store *store = fake_store_open(16384, NULL);
	struct write_queue *queue = NULL;
	struct job jobs[5];
	pthread_t threads[5];
	char name[8];

	atomic_store(&released, 0);
	assert_int_equal(write_queue_create(LIMIT, 2, &queue), 0);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		jobs[i] = (struct job){ queue, create(name), 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, write_much, &jobs[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(jobs[i].failures, 0);
		assert_int_equal(file_size(jobs[i].file), 4000000);
		assert_int_equal(file_close(jobs[i].file, NULL), 0);
	}
	assert_int_equal(atomic_load(&released), 2000);
	write_queue_free(queue);
	fake_store_close(store);
}

static void an_error_is_told_once_and_stops_what_follows(void **state)
{
	struct store *store = fake_store_open(4096, NULL);
	struct write_queue *queue = NULL;
	struct file *file = create("file");
	struct rlimit limit;
	unsigned accepted = 0;

	atomic_store(&released, 0);
	assert_int_equal(write_queue_create(LIMIT, 1, &queue), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 50000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (unsigned i = 0; i < 100; i++)
		accepted += submit(queue, file, 'x', 8192, i * UINT64_C(8192)) == 0;
	assert_int_equal(write_queue_wait(queue, file), -EFBIG);
	assert_int_equal(write_queue_wait(queue, file), 0);
	assert_int_equal(atomic_load(&released), accepted);
	assert_int_equal(file_size(file), 49152);
	limit.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(submit(queue, file, 'y', 10, 49152), 0);
	assert_int_equal(file_flush(file), 0);
	assert_int_equal(file_size(file), 49162);
	assert_int_equal(file_close(file, NULL), 0);
	write_queue_free(queue);
	fake_store_close(store);
}

static void close_waits_and_tells_the_error(void **state)
{
	struct store *store = fake_store_open(4096, NULL);
	const struct file_open_options options = { .access = FILE_READ };
	struct write_queue *queue = NULL;
	struct file *file = create("file");

	assert_int_equal(write_queue_create(LIMIT, 1, &queue), 0);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(submit(queue, file, 'x', 5000, i * UINT64_C(5000)), 0);
	assert_int_equal(file_close(file, NULL), 0);
	assert_int_equal(file_open(&fake_place, "file", &options, &file), 0);
	assert_int_equal(file_size(file), 250000);
	assert_int_equal(submit(queue, file, 'x', 1, 0), 0);
	assert_int_equal(file_close(file, NULL), -EBADF);
	write_queue_free(queue);
	fake_store_close(store);
}

static void a_write_larger_than_the_queue_goes_through(void **state)
{
	struct store *store = fake_store_open(65536, NULL);
	struct write_queue *queue = NULL;
	struct file *file = create("file");

	assert_int_equal(write_queue_create(4096, 1, &queue), 0);
	assert_int_equal(submit(queue, file, 'x', 3 << 20, 0), 0);
	assert_int_equal(submit(queue, file, 'y', 3 << 20, 3 << 20), 0);
	assert_int_equal(write_queue_wait(queue, file), 0);
	assert_int_equal(file_size(file), 6 << 20);
	assert_int_equal(file_close(file, NULL), 0);
	write_queue_free(queue);
	fake_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_of_a_file_stay_in_order),
		cmocka_unit_test(files_share_the_queue),
		cmocka_unit_test(an_error_is_told_once_and_stops_what_follows),
		cmocka_unit_test(close_waits_and_tells_the_error),
		cmocka_unit_test(a_write_larger_than_the_queue_goes_through),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
