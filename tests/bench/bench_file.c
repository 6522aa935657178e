/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the file engine is by itself, beside what it cannot avoid: sealing, and pwrite() of as many bytes.
 *
 *   bench_file [DIRECTORY [BLOCK_SIZE]]      default /dev/shm, 65536
 */
#include <stdarg.h>
#include <time.h>

#include "fs/store/write_queue.h"
#include "tests/unit/file_fixture.h"

#define TOTAL       (UINT64_C(512) << 20)
#define CHUNK       (UINT32_C(1) << 20)
#define SMALL_FILES 5000
#define ROUNDS      3

static uint8_t *data;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(bool is_good, const char *what)
{
	if (is_good)
		return;
	fprintf(stderr, "bench_file: %s failed\n", what);
	exit(1);
}

static struct file *create(const char *name)
{
	struct backing_name backing;
	struct file *file = NULL;

	check(file_create(&fake_place, name, 0600, &backing, &file) == 0, "create");
	return file;
}

static struct file *open_again(const char *name, enum file_access access)
{
	const struct file_open_options options = { .access = access };
	struct file *file = NULL;

	check(file_open(&fake_place, name, &options, &file) == 0, "open");
	return file;
}

/* ---- one measurement: bytes moved ---------------------------------------------------------------- */

static uint64_t seal_only(size_t size)
{
	const size_t block = fake_place.store->layout.block_size;
	const struct aead_run run = { block, size / block + 1, 0 };
	struct file_key_spec spec = { AEAD_AES_256_GCM, 16, { 0 } };
	uint8_t *sealed = malloc(size + run.block_count * AEAD_OVERHEAD);
	struct aead_key *key = NULL;

	check(dek_file_key(fake_place.store->dek, &spec, &key) == 0, "key");
	for (uint64_t at = 0; at < TOTAL; at += size)
		check(aead_seal_blocks(key, &run, (struct bytes){ data, size }, sealed) == 0,
		      "seal");
	aead_key_free(key);
	free(sealed);
	return TOTAL;
}

static uint64_t pwrite_only(size_t size)
{
	int fd = openat(fake_place.fd, "plain", O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (uint64_t at = 0; at < TOTAL; at += size)
		check(pwrite(fd, data, size, (off_t)at) == (ssize_t)size, "pwrite");
	close(fd);
	return TOTAL;
}

static uint64_t pread_only(size_t size)
{
	int fd = openat(fake_place.fd, "plain", O_RDONLY);

	for (uint64_t at = 0; at < TOTAL; at += size)
		check(pread(fd, data, size, (off_t)at) == (ssize_t)size, "pread");
	close(fd);
	return TOTAL;
}

static uint64_t write_sequential(size_t size)
{
	struct file *file = create("file");

	for (uint64_t at = 0; at < TOTAL; at += size)
		check(file_write(file, data, size, at) == (ssize_t)size, "write");
	check(file_close(file, NULL) == 0, "close");
	return TOTAL;
}

static void release_nothing(void *buffer)
{
	(void)buffer;
}

static uint64_t write_queued(size_t size)
{
	struct file *file = create("file");
	struct write_queue *queue = NULL;

	check(write_queue_create(8 << 20, 1, &queue) == 0, "queue");
	for (uint64_t at = 0; at < TOTAL; at += size) {
		const struct queued_write write = { file, data, size, at, release_nothing, NULL };

		check(write_queue_submit(queue, &write) == 0, "submit");
	}
	check(write_queue_wait(queue, file) == 0, "wait");
	check(file_close(file, NULL) == 0, "close");
	write_queue_free(queue);
	return TOTAL;
}

static uint64_t read_sequential(size_t size)
{
	struct file *file = open_again("file", FILE_READ);

	for (uint64_t at = 0; at < TOTAL; at += size)
		check(file_read(file, data, size, at) == (ssize_t)size, "read");
	check(file_close(file, NULL) == 0, "close");
	return TOTAL;
}

static uint64_t random_offset(size_t size)
{
	static uint64_t state = 88172645463325252U;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % (TOTAL / size) * size;
}

static uint64_t read_random(size_t size)
{
	struct file *file = open_again("file", FILE_READ);
	const uint64_t total = TOTAL / 16;

	for (uint64_t done = 0; done < total; done += size)
		check(file_read(file, data, size, random_offset(size)) == (ssize_t)size, "read");
	check(file_close(file, NULL) == 0, "close");
	return total;
}

static uint64_t write_random(size_t size)
{
	const struct file_history history = { .is_known = true };
	const struct file_open_options options = { .access = FILE_WRITE, .history = &history };
	const uint64_t total = TOTAL / 16;
	struct file *file = NULL;

	check(file_open(&fake_place, "file", &options, &file) == 0, "open");
	for (uint64_t done = 0; done < total; done += size)
		check(file_write(file, data, size, random_offset(size)) == (ssize_t)size, "write");
	check(file_close(file, NULL) == 0, "close");
	return total;
}

static uint64_t write_small_files(size_t size)
{
	char name[32];

	for (unsigned i = 0; i < SMALL_FILES; i++) {
		snprintf(name, sizeof(name), "small-%u", i);
		struct file *file = create(name);

		check(file_write(file, data, size, 0) == (ssize_t)size, "write");
		check(file_flush(file) == 0, "flush");
		check(file_close(file, NULL) == 0, "close");
	}
	return SMALL_FILES * size;
}

static uint64_t read_small_files(size_t size)
{
	char name[32];

	for (unsigned i = 0; i < SMALL_FILES; i++) {
		snprintf(name, sizeof(name), "small-%u", i);
		struct file *file = open_again(name, FILE_READ);

		check(file_read(file, data, CHUNK, 0) == (ssize_t)size, "read");
		check(file_close(file, NULL) == 0, "close");
	}
	return SMALL_FILES * size;
}

/* ---- the table ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	uint64_t (*run)(size_t size);
	size_t size;
	const char *remove; /* before each round */
} cases[] = {
	{ "seal only, 1 MiB", seal_only, 1 << 20, NULL },
	{ "pwrite only, 1 MiB", pwrite_only, 1 << 20, "plain" },
	{ "pread only, 1 MiB", pread_only, 1 << 20, NULL },
	{ "write, 1 MiB", write_sequential, 1 << 20, "file" },
	{ "write, 128 KiB", write_sequential, 128 << 10, "file" },
	{ "write, 4 KiB", write_sequential, 4 << 10, "file" },
	{ "queued write, 1 MiB", write_queued, 1 << 20, "file" },
	{ "queued write, 128 KiB", write_queued, 128 << 10, "file" },
	{ "queued write, 4 KiB", write_queued, 4 << 10, "file" },
	{ "read, 1 MiB", read_sequential, 1 << 20, NULL },
	{ "read, 128 KiB", read_sequential, 128 << 10, NULL },
	{ "read, 4 KiB", read_sequential, 4 << 10, NULL },
	{ "random read, 4 KiB", read_random, 4 << 10, NULL },
	{ "random write, 4 KiB", write_random, 4 << 10, NULL },
	{ "random write, 8 KiB", write_random, 8 << 10, NULL },
	{ "small files, write 4 KiB", write_small_files, 4 << 10, "small-*" },
	{ "small files, read 4 KiB", read_small_files, 4 << 10, NULL },
};

static void remove_files(const char *pattern)
{
	char command[128];

	if (!pattern)
		return;
	snprintf(command, sizeof(command), "find %s -name '%s' -delete", fake_place.store->path,
		 pattern);
	check(system(command) == 0, "remove");
}

static void measure(size_t index)
{
	double best = 1e9;
	uint64_t bytes = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		remove_files(cases[index].remove);
		double begin = now();

		bytes = cases[index].run(cases[index].size);
		double took = now() - begin;

		if (took < best)
			best = took;
	}
	printf("%-28s %8.0f MB/s %8.2f us/call\n", cases[index].name, (double)bytes / best / 1e6,
	       best * 1e6 / (double)(bytes / cases[index].size));
}

int main(int argc, char **argv)
{
	const char *directory = argc > 1 ? argv[1] : "/dev/shm";
	unsigned long block = argc > 2 ? strtoul(argv[2], NULL, 10) : 65536;
	struct store *store = fake_store_open((uint32_t)block, directory);

	check(store != NULL, "store");
	data = malloc(CHUNK);
	check(data && random_fill(data, CHUNK) == 0, "data");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (argc <= 3 || strstr(cases[i].name, argv[3]))
			measure(i);
	}
	fake_store_close(store);
	free(data);
	return 0;
}
