/* SPDX-License-Identifier: Apache-2.0 */
/* A volume in a directory, with files and a journal, for the tests of the journal. */
#ifndef SNAPCRYPT_TESTS_UNIT_JOURNAL_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_JOURNAL_FIXTURE_H

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

static inline int setup(void **state)
{
	struct volume *volume = calloc(1, sizeof(*volume));

	memset(&calls, 0, sizeof(calls));
	assert_int_equal(secret_init(), 0);
	/* In memory where possible: what is tested is the order of syncs, not the disk. */
	snprintf(volume->path, sizeof(volume->path), "%s/snapcrypt-journal-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
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

static inline int teardown(void **state)
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

static inline void header_bytes(const struct backing *file, uint8_t data[static HEADER_SIZE])
{
	header_encode(&file->header, data);

	const struct bytes input = header_mac_input(data);

	assert_int_equal(dek_mac(file->dek, DEK_LABEL_HEADER, &input, 1, header_mac_slot(data)), 0);
}

/* A file of FILE_SIZE bytes: a header, then 'a's. */
static inline struct backing make_file(struct volume *volume, const char *name)
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

static inline struct journal *make_journal(struct volume *volume)
{
	struct journal *journal;

	assert_int_equal(random_uuid(&volume->store.mount), 0);
	assert_int_equal(journal_create(&volume->store, &journal), 0);
	return journal;
}

static inline struct journal_file *open_in(struct journal *journal, const struct backing *file)
{
	struct journal_identity identity = { .dek = file->dek, .path = file->name };
	struct journal_file *journal_file;

	memcpy(identity.object_id, file->header.object_id, sizeof(identity.object_id));
	memcpy(identity.content_id, file->header.content_id, sizeof(identity.content_id));
	assert_int_equal(journal_file_open(journal, &identity, file->fd, &journal_file), 0);
	return journal_file;
}

static inline int append_text(struct journal_file *file, uint64_t offset, const char *text)
{
	const struct journal_change change = {
		.offset = offset,
		.data = bytes_from_text(text),
		.result = FILE_SIZE,
	};

	return journal_append(file, &change);
}

static inline void read_back(const struct backing *file, uint64_t offset, char *text, size_t size)
{
	assert_int_equal(pread(file->fd, text, size, (off_t)offset), size);
	text[size] = '\0';
}

static inline uint64_t size_of(const struct backing *file)
{
	struct stat stat;

	assert_int_equal(fstat(file->fd, &stat), 0);
	return (uint64_t)stat.st_size;
}

static inline bool has_journal_of(const struct volume *volume, const struct uuid *mount)
{
	char path[128], text[UUID_TEXT_SIZE];

	uuid_format(mount, text);
	snprintf(path, sizeof(path), ".snapcrypt/journal/%s", text);
	return faccessat(volume->store.root_fd, path, F_OK, 0) == 0;
}

static inline int journal_fd(const struct volume *volume, const struct uuid *mount)
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
static inline int in_child(void (*body)(void *arg), void *arg, unsigned die_at)
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

static inline void recover_with(struct volume *volume, struct dek *dek)
{
	struct recovery *recovery;

	assert_int_equal(random_uuid(&volume->store.mount), 0);
	assert_int_equal(recovery_scan(&volume->store, &recovery), 0);
	assert_int_equal(recovery_apply(recovery, dek), 0);
	recovery_free(recovery);
}

static inline void write_large(struct journal_file *journal_file, unsigned count)
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

struct crash {
	struct volume *volume;
	struct backing *file;
	struct backing *other;
};

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
