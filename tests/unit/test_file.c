/* SPDX-License-Identifier: Apache-2.0 */
/* The file engine against a byte array; after every change the backing file is checked by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>

#include "meta/format/header.h"
#include "tests/unit/file_fixture.h"

#define NAME            "file"
#define SIZE_MAX_TESTED (UINT32_C(1) << 20)

static uint64_t random_state = 88172645463325252U;

static uint64_t draw(uint64_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void fill(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)draw(256);
}

/* ---- an independent look at a backing file ------------------------------------------------------- */

struct image {
	uint8_t *data;
	size_t size;
};

static struct image read_backing(const struct store *store, const char *name)
{
	int fd = openat(store->root_fd, name, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	struct image image = { malloc((size_t)st.st_size + 1), (size_t)st.st_size };

	assert_non_null(image.data);
	assert_int_equal(pread(fd, image.data, image.size, 0), st.st_size);
	close(fd);
	return image;
}

static void write_backing(const struct store *store, const char *name, const struct image *image)
{
	int fd = openat(store->root_fd, name, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, image->data, image->size, 0), image->size);
	close(fd);
}

static bool is_zero(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (data[i])
			return false;
	}
	return true;
}

/* Decode by FORMAT.md, sections 4 to 6, block by block; -1: not well-formed. */
static ssize_t decode(const struct store *store, const struct image *image, uint8_t *plain)
{
	const size_t step = store->layout.block_size + 28;
	struct aead_key *key = NULL;
	struct file_key_spec spec = { image->data[10], image->data[11], { 0 } };
	const struct bytes head = { image->data, 96 };
	size_t done = 0;
	uint64_t index = 0;

	if (image->size < 128 || (image->size - 128) % step < 28)
		return -1;
	if (dek_mac_verify(store->dek, DEK_LABEL_HEADER, &head, 1, image->data + 96) < 0)
		return -1;
	memcpy(spec.content_id, image->data + 64, 24);
	if (dek_file_key(store->dek, &spec, &key) < 0)
		return -1;
	for (size_t at = 128; at < image->size; at += step, index++) {
		size_t size = image->size - at < step ? image->size - at : step;
		uint8_t aad[8];

		for (size_t i = 0; i < 8; i++)
			aad[i] = (uint8_t)(index >> (8 * i));
		if ((image->data[12] & 1) && size == step && is_zero(image->data + at, step))
			memset(plain + done, 0, size - 28);
		else if (aead_open(key, (struct bytes){ aad, 8 },
				   (struct bytes){ image->data + at, size }, plain + done) < 0)
			break;
		done += size - 28;
	}
	aead_key_free(key);
	return index * step + 128 >= image->size ? (ssize_t)done : -1;
}

/* ---- the model ----------------------------------------------------------------------------------- */

struct model {
	struct store *store;
	struct file *file;
	struct file_history history;
	uint8_t *bytes;
	size_t size;
	uint8_t *scratch;
	bool was_synced;
};

static const struct file_open_options for_writing = { .access = FILE_WRITE };
static const struct file_open_options for_reading = { .access = FILE_READ };

static struct model model_begin(uint32_t block_size)
{
	struct model model = { .store = fake_store_open(block_size, NULL) };
	struct backing_name backing;

	assert_non_null(model.store);
	model.bytes = calloc(2, SIZE_MAX_TESTED);
	model.scratch = calloc(2, SIZE_MAX_TESTED);
	assert_int_equal(file_create(&fake_place, NAME, 0600, &backing, &model.file), 0);
	return model;
}

static void model_end(struct model *model)
{
	assert_int_equal(file_close(model->file, NULL), 0);
	fake_store_close(model->store);
	free(model->bytes);
	free(model->scratch);
}

/* What is below, once nothing is pending, is what the model says. */
static void check_below(struct model *model)
{
	assert_int_equal(file_flush(model->file), 0);
	struct image image = read_backing(model->store, NAME);
	ssize_t size = decode(model->store, &image, model->scratch);

	assert_int_equal(size, model->size);
	assert_memory_equal(model->scratch, model->bytes, model->size);
	free(image.data);
}

static void check_read(struct model *model, size_t size, uint64_t offset)
{
	ssize_t n = file_read(model->file, model->scratch, size, offset);
	size_t expected = offset >= model->size ? 0 : model->size - offset;

	if (expected > size)
		expected = size;
	assert_int_equal(n, expected);
	if (expected > 0)
		assert_memory_equal(model->scratch, model->bytes + offset, expected);
}

static void do_write(struct model *model, size_t size, uint64_t offset)
{
	if (offset + size > SIZE_MAX_TESTED)
		return;
	fill(model->scratch, size);
	assert_int_equal(file_write(model->file, model->scratch, size, offset), size);
	if (size == 0)
		return;
	if (offset > model->size)
		memset(model->bytes + model->size, 0, offset - model->size);
	memcpy(model->bytes + offset, model->scratch, size);
	if (offset + size > model->size)
		model->size = offset + size;
}

static void do_truncate(struct model *model, size_t size)
{
	assert_int_equal(file_truncate(model->file, size), 0);
	if (size > model->size)
		memset(model->bytes + model->size, 0, size - model->size);
	model->size = size;
}

static void do_allocate(struct model *model, int mode, size_t size, uint64_t offset)
{
	if (size == 0 || offset + size > SIZE_MAX_TESTED)
		return;
	int r = file_allocate(model->file, mode, offset, size);

	if (r == -EOPNOTSUPP)
		return;
	assert_int_equal(r, 0);
	size_t end = offset + size;

	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > model->size) {
		memset(model->bytes + model->size, 0, end - model->size);
		model->size = end;
	}
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && offset < model->size)
		memset(model->bytes + offset, 0, (end < model->size ? end : model->size) - offset);
}

static void do_reopen(struct model *model)
{
	struct file_open_options options = for_writing;

	assert_int_equal(file_close(model->file, &model->history), 0);
	assert_true(model->history.is_known);
	if (draw(2))
		options.history = &model->history;
	if (draw(4) == 0) {
		options.access = FILE_READ;
		assert_int_equal(file_open(&fake_place, NAME, &options, &model->file), 0);
		check_read(model, (size_t)draw(100000), draw(model->size + 1));
		assert_int_equal(file_make_writable(&fake_place, NAME, model->file), 0);
		return;
	}
	assert_int_equal(file_open(&fake_place, NAME, &options, &model->file), 0);
}

static uint64_t some_offset(const struct model *model)
{
	const uint64_t block = model->store->layout.block_size;

	switch (draw(6)) {
	case 0:
		return draw(model->size + 1);
	case 1:
		return draw(model->size / block + 2) * block;
	case 2:
		return model->size + draw(3 * block);
	case 3:
		return draw(SIZE_MAX_TESTED / 2);
	default:
		return model->size;
	}
}

static size_t some_size(const struct model *model)
{
	const uint64_t block = model->store->layout.block_size;

	switch (draw(5)) {
	case 0:
		return draw(100);
	case 1:
		return draw(4) * block;
	case 2:
		return block - model->size % block;
	case 3:
		return draw(5 * block);
	default:
		return draw(block);
	}
}

static void step(struct model *model)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };
	uint64_t kind = draw(100);
	uint64_t offset = some_offset(model);

	if (kind < 40)
		do_write(model, some_size(model), offset);
	else if (kind < 70)
		check_read(model, draw(SIZE_MAX_TESTED / 4), draw(model->size + 10));
	else if (kind < 78)
		do_truncate(model, draw(8) == 0 ? 0 : draw(model->size + 1));
	else if (kind < 81)
		do_truncate(model, model->size + draw(SIZE_MAX_TESTED / 4 + 1) > SIZE_MAX_TESTED
					   ? 5
					   : model->size + draw(1000));
	else if (kind < 89)
		do_allocate(model, modes[draw(ARRAY_SIZE(modes))], some_size(model), offset);
	else if (kind < 94)
		assert_int_equal(file_sync(model->file, draw(2)), 0);
	else if (kind < 97)
		do_reopen(model);
	else
		assert_int_equal(file_flush(model->file), 0);
}

static void run_model(uint32_t block_size, unsigned count)
{
	struct model model = model_begin(block_size);

	for (unsigned i = 0; i < count; i++) {
		step(&model);
		assert_int_equal(file_size(model.file), model.size);
		if (draw(3) == 0)
			check_read(&model, SIZE_MAX_TESTED, 0);
		if (draw(4) == 0)
			check_below(&model);
	}
	check_below(&model);
	assert_int_equal(model.store->reports, 0);
	assert_true(model.store->commits > 0);
	model_end(&model);
}

static void random_operations_equal_a_byte_array_4k(void **state)
{
	run_model(4096, 2500);
}

static void random_operations_equal_a_byte_array_16k(void **state)
{
	run_model(16384, 1500);
}

static void random_operations_equal_a_byte_array_64k(void **state)
{
	run_model(65536, 800);
}

/* ---- tampering ----------------------------------------------------------------------------------- */

static struct store *tampered_store(size_t size, uint8_t *bytes)
{
	struct store *store = fake_store_open(4096, NULL);
	struct backing_name backing;
	struct file *file = NULL;

	assert_non_null(store);
	fill(bytes, size);
	assert_int_equal(file_create(&fake_place, NAME, 0600, &backing, &file), 0);
	assert_int_equal(file_write(file, bytes, size, 0), size);
	assert_int_equal(file_close(file, NULL), 0);
	return store;
}

/* Every byte that comes out is right, and whoever reads all of it is told. */
static void expect_detected(struct store *store, const uint8_t *bytes, size_t size)
{
	static uint8_t out[65536];
	struct file *file = NULL;
	unsigned reports = store->reports;
	int r = file_open(&fake_place, NAME, &for_reading, &file);

	if (r < 0) {
		assert_true(r == -EBADMSG || r == -ENOTSUP || r == -ENOKEY);
		assert_true(r == -ENOKEY || store->reports > reports);
		r = file_open(&fake_place, NAME, &for_writing, &file);
		assert_true(r < 0);
		return;
	}
	/* The kernel reads up to the size that it was told, and no further. */
	size_t told = file_size(file);
	size_t done = 0;
	ssize_t n = 1;

	while (done < told && n > 0) {
		n = file_read(file, out + done, told - done, done);
		if (n > 0) {
			assert_true(done + (size_t)n <= size);
			assert_memory_equal(out + done, bytes + done, (size_t)n);
			done += (size_t)n;
		}
	}
	assert_int_equal(n, -EBADMSG);
	assert_true(store->reports > reports);
	assert_int_equal(file_close(file, NULL), 0);
}

static void every_flipped_byte_is_detected(void **state)
{
	static const size_t sizes[] = { 0, 5, 4096, 4100, 8192 };
	static uint8_t bytes[65536];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct store *store = tampered_store(sizes[i], bytes);
		struct image image = read_backing(store, NAME);

		for (size_t at = 0; at < image.size; at += at < 400 ? 1 : 7) {
			uint8_t bit = (uint8_t)(1U << draw(8));

			image.data[at] ^= bit;
			write_backing(store, NAME, &image);
			expect_detected(store, bytes, sizes[i]);
			image.data[at] ^= bit;
		}
		free(image.data);
		fake_store_close(store);
	}
}

static void every_cut_is_detected(void **state)
{
	static uint8_t bytes[65536];
	struct store *store = tampered_store(8192, bytes);
	struct image image = read_backing(store, NAME);
	size_t size = image.size;

	for (size_t cut = 0; cut < size; cut += draw(3) + 1) {
		image.size = cut;
		write_backing(store, NAME, &image);
		expect_detected(store, bytes, 8192);
	}
	/* Exactly at the boundaries, and with as much left as an empty last block needs. */
	for (size_t blocks = 0; blocks < 3; blocks++) {
		for (size_t extra = 0; extra < 30; extra++) {
			image.size = 128 + blocks * 4124 + extra;
			if (image.size >= size)
				continue;
			write_backing(store, NAME, &image);
			expect_detected(store, bytes, 8192);
		}
	}
	image.size = size;
	free(image.data);
	fake_store_close(store);
}

static void swapped_zeroed_and_added_blocks_are_detected(void **state)
{
	static uint8_t bytes[65536];
	static uint8_t saved[4124];
	struct store *store = tampered_store(16384, bytes);
	struct image image = read_backing(store, NAME);
	uint8_t *block = image.data + 128;

	memcpy(saved, block, 4124);
	memcpy(block, block + 4124, 4124);
	write_backing(store, NAME, &image);
	expect_detected(store, bytes, 16384);

	memset(block, 0, 4124);
	write_backing(store, NAME, &image);
	expect_detected(store, bytes, 16384);

	memcpy(block, saved, 4124);
	image.data = realloc(image.data, image.size + 2 * 4124);
	assert_non_null(image.data);
	memset(image.data + image.size, 0, 2 * 4124);
	for (size_t more = 1; more < 2 * 4124; more += 97) {
		struct image longer = { image.data, image.size + more };

		write_backing(store, NAME, &longer);
		expect_detected(store, bytes, 16384);
	}
	free(image.data);
	fake_store_close(store);
}

/* ---- holes --------------------------------------------------------------------------------------- */

static void written_zeros_are_no_hole(void **state)
{
	struct model model = model_begin(4096);
	struct image image;
	uint64_t at = 0;

	memset(model.scratch, 0, 65536);
	assert_int_equal(file_write(model.file, model.scratch, 65536, 0), 65536);
	assert_int_equal(file_flush(model.file), 0);
	image = read_backing(model.store, NAME);
	assert_int_equal(image.data[12], 0);
	assert_false(is_zero(image.data + 128, 4124));
	free(image.data);
	assert_int_equal(file_seek(model.file, 0, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 65536);
	model_end(&model);
}

static void holes_are_found_by_seek(void **state)
{
	struct model model = model_begin(4096);
	uint64_t at = 0;

	do_write(&model, 4096, 0);
	do_write(&model, 100, 40960 + 50);
	assert_int_equal(file_seek(model.file, 0, SEEK_DATA, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(file_seek(model.file, 0, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 4096);
	assert_int_equal(file_seek(model.file, 5000, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 5000);
	assert_int_equal(file_seek(model.file, 5000, SEEK_DATA, &at), 0);
	assert_int_equal(at, 40960);
	assert_int_equal(file_seek(model.file, 40960, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 41110);
	assert_int_equal(file_seek(model.file, 41110, SEEK_DATA, &at), -ENXIO);
	do_truncate(&model, 4096 * 20);
	assert_int_equal(file_seek(model.file, 45056, SEEK_DATA, &at), -ENXIO);
	assert_int_equal(file_seek(model.file, 41000, SEEK_HOLE, &at), 0);
	assert_int_equal(at, 45056);
	check_below(&model);
	model_end(&model);
}

/* ---- no space ------------------------------------------------------------------------------------ */

static void limit_file_size(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_write_that_does_not_fit_changes_nothing(void **state)
{
	static const uint32_t block_sizes[] = { 4096, 65536 };

	for (size_t i = 0; i < ARRAY_SIZE(block_sizes); i++) {
		struct model model = model_begin(block_sizes[i]);

		for (unsigned round = 0; round < 60; round++) {
			do_truncate(&model, 0);
			do_write(&model, draw(150000) + 1, 0);
			if (draw(2))
				assert_int_equal(file_sync(model.file, true), 0);
			assert_int_equal(file_flush(model.file), 0);
			uint64_t before = file_size(model.file);
			struct image image = read_backing(model.store, NAME);

			limit_file_size(image.size + draw(20000));
			fill(model.scratch, 400000);
			ssize_t n = file_write(model.file, model.scratch, 400000,
					       draw(2) ? before : before + draw(100000));
			limit_file_size(RLIM_INFINITY);
			/* Or only what completes a block. */
			if (n > 0) {
				assert_true((before + (uint64_t)n) % block_sizes[i] == 0);
				memcpy(model.bytes + before, model.scratch, (size_t)n);
				model.size += (size_t)n;
			} else {
				assert_int_equal(n, -EFBIG);
			}
			assert_int_equal(file_size(model.file), model.size);
			check_below(&model);
			check_read(&model, SIZE_MAX_TESTED, 0);
			do_write(&model, 5000, model.size);
			check_below(&model);
			free(image.data);
		}
		model_end(&model);
	}
}

/* ---- the rest ------------------------------------------------------------------------------------ */

static void uncovered_data_never_enters_the_journal(void **state)
{
	struct model model = model_begin(4096);

	for (unsigned i = 0; i < 200; i++)
		do_write(&model, draw(10000), draw(2) ? model.size : draw(model.size + 1));
	assert_int_equal(model.store->commits, 0);
	check_below(&model);
	model_end(&model);
}

static void covered_data_changes_through_the_journal_only(void **state)
{
	struct model model = model_begin(4096);
	struct image before;
	struct image after;

	do_write(&model, 50000, 0);
	assert_int_equal(file_sync(model.file, true), 0);
	before = read_backing(model.store, NAME);
	do_write(&model, 100, 20000);
	do_write(&model, 100, 49990);
	after = read_backing(model.store, NAME);
	assert_int_equal(before.size, after.size);
	assert_memory_equal(before.data, after.data, before.size);
	free(after.data);
	check_read(&model, 60000, 0);
	check_below(&model);
	assert_true(model.store->commits > 0);
	free(before.data);
	model_end(&model);
}

static void large_appends_leave_the_journal_behind_an_open_end(void **state)
{
	struct model model = model_begin(4096);

	do_write(&model, 50000, 0);
	assert_int_equal(file_sync(model.file, true), 0);
	for (unsigned i = 0; i < 5; i++)
		do_write(&model, 100000, model.size);
	assert_int_equal(model.store->commits, 1);
	assert_int_equal(model.store->retirements, 0);
	assert_int_equal(file_sync(model.file, true), 0);
	assert_int_equal(model.store->retirements, 1);
	check_below(&model);
	model_end(&model);
}

static void truncation_at_open_moves_a_file_to_the_snapshots_dek(void **state)
{
	struct model model = model_begin(4096);
	const struct file_open_options truncating = { .access = FILE_WRITE, .is_truncating = true };
	struct dek *fresh = NULL;

	do_write(&model, 50000, 0);
	assert_int_equal(file_close(model.file, NULL), 0);
	assert_int_equal(dek_generate(&model.store->volume.volume, &fresh), 0);
	model.store->other_dek = model.store->dek;
	model.store->dek = fresh;
	assert_int_equal(file_open(&fake_place, NAME, &truncating, &model.file), 0);
	assert_true(uuid_equal(file_dek_id(model.file), dek_id(fresh)));
	model.size = 0;
	do_write(&model, 10000, 0);
	check_below(&model);
	model_end(&model);
}

static void a_file_without_header_or_end_can_be_truncated(void **state)
{
	static const size_t sizes[] = { 0, 100, 128, 130, 4252 };
	const struct file_open_options truncating = { .access = FILE_WRITE, .is_truncating = true };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct model model = model_begin(4096);

		do_write(&model, 10000, 0);
		assert_int_equal(file_close(model.file, NULL), 0);
		struct image image = read_backing(model.store, NAME);

		image.size = sizes[i];
		write_backing(model.store, NAME, &image);
		free(image.data);
		assert_int_equal(file_open(&fake_place, NAME, &for_reading, &model.file), -EBADMSG);
		assert_int_equal(file_open(&fake_place, NAME, &truncating, &model.file), 0);
		model.size = 0;
		do_write(&model, 5000, 0);
		check_below(&model);
		model_end(&model);
	}
}

static void a_wiped_dek_ends_all_use_and_leaves_a_whole_file(void **state)
{
	struct model model = model_begin(4096);
	uint8_t byte;

	do_write(&model, 50000, 0);
	assert_int_equal(file_sync(model.file, true), 0);
	do_write(&model, 50, 0);
	assert_int_equal(files_flush_dek(model.store, dek_id(model.store->dek)), 0);
	struct image image = read_backing(model.store, NAME);

	assert_int_equal(decode(model.store, &image, model.scratch), 50000);
	assert_memory_equal(model.scratch, model.bytes, 50000);
	free(image.data);
	check_read(&model, 60000, 0);
	do_write(&model, 50, 49990);
	assert_int_equal(files_flush_dek(model.store, dek_id(model.store->dek)), 0);
	dek_wipe(model.store->dek);
	assert_int_equal(file_read(model.file, &byte, 1, 0), -EKEYREVOKED);
	assert_int_equal(file_write(model.file, &byte, 1, 0), -EKEYREVOKED);
	assert_int_equal(file_truncate(model.file, 0), -EKEYREVOKED);
	model_end(&model);
}

static void plain_snapshots_pass_through(void **state)
{
	struct store *store = fake_store_open(4096, NULL);
	struct backing_name backing;
	struct file *file = NULL;
	uint8_t out[10];

	store->is_encrypted = false;
	assert_int_equal(file_create(&fake_place, NAME, 0600, &backing, &file), 0);
	assert_int_equal(file_write(file, (const uint8_t *)"0123456789", 10, 5), 10);
	assert_int_equal(file_truncate(file, 12), 0);
	assert_int_equal(file_size(file), 12);
	assert_int_equal(file_sync(file, false), 0);
	assert_int_equal(file_close(file, NULL), 0);
	assert_int_equal(file_open(&fake_place, NAME, &for_reading, &file), 0);
	assert_int_equal(file_read(file, out, 10, 5), 7);
	assert_memory_equal(out, "0123456", 7);
	assert_int_equal(file_close(file, NULL), 0);
	fake_store_close(store);
}

static void an_exchanged_object_is_stale(void **state)
{
	struct model model = model_begin(4096);
	struct stat other;
	struct file_open_options options = for_reading;
	struct file *file = NULL;

	assert_int_equal(stat("/", &other), 0);
	options.expected = &other;
	assert_int_equal(file_open(&fake_place, NAME, &options, &file), -ESTALE);
	assert_int_equal(symlinkat(NAME, model.store->root_fd, "link"), 0);
	assert_int_equal(file_open(&fake_place, "link", &for_reading, &file), -ELOOP);
	model_end(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_equal_a_byte_array_4k),
		cmocka_unit_test(random_operations_equal_a_byte_array_16k),
		cmocka_unit_test(random_operations_equal_a_byte_array_64k),
		cmocka_unit_test(every_flipped_byte_is_detected),
		cmocka_unit_test(every_cut_is_detected),
		cmocka_unit_test(swapped_zeroed_and_added_blocks_are_detected),
		cmocka_unit_test(written_zeros_are_no_hole),
		cmocka_unit_test(holes_are_found_by_seek),
		cmocka_unit_test(a_write_that_does_not_fit_changes_nothing),
		cmocka_unit_test(uncovered_data_never_enters_the_journal),
		cmocka_unit_test(covered_data_changes_through_the_journal_only),
		cmocka_unit_test(large_appends_leave_the_journal_behind_an_open_end),
		cmocka_unit_test(truncation_at_open_moves_a_file_to_the_snapshots_dek),
		cmocka_unit_test(a_file_without_header_or_end_can_be_truncated),
		cmocka_unit_test(a_wiped_dek_ends_all_use_and_leaves_a_whole_file),
		cmocka_unit_test(plain_snapshots_pass_through),
		cmocka_unit_test(an_exchanged_object_is_stale),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
