/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file engine with its journal and recovery, alone: a store of one directory under one fixed DEK, driven by commands on
 * standard input.  For power cuts by the thousand, without a mount.
 *
 *   engine_driver ROOT ACCESS BLOCK_SIZE     ACCESS: w, r
 *
 * Each command is a line, each answer a line with 0 or a negative errno.  Files are in ROOT/files.
 *
 *   create NAME | open NAME | close NAME | flush NAME | sync NAME (0|1: data only)
 *   write NAME OFFSET SIZE, then SIZE bytes | truncate NAME SIZE | allocate NAME MODE OFFSET SIZE
 *   rename OLD NEW | link OLD NEW | unlink NAME | syncdir
 *   read NAME      answer: 0 SIZE COUNT, then COUNT lines "START END" of what cannot be read, then SIZE bytes
 *   quit
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/file.h"
#include "fs/store/journal.h"
#include "fs/store/name.h"
#include "fs/store/xattr.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"

#define OPEN_MAX_FILES 16
#define DIRECTORY      "files"

struct store {
	int root_fd;
	bool is_writable;
	struct volume_record volume;
	struct layout layout;
	struct uuid mount;
	struct dek *dek;
	struct journal *journal;
	struct recovery *recovery;
};

struct snapshot {
	struct store *store;
	struct uuid id;
};

struct open_file {
	char name[256];
	struct file *file;
};

static struct store the_store;
static struct snapshot the_snapshot = { .store = &the_store };
static struct place the_place;
static struct open_file open_files[OPEN_MAX_FILES];

/* ---- What the engine asks of a store ----------------------------------------------------------- */

int store_root_fd(const struct store *store)
{
	return store->root_fd;
}

const struct volume_record *store_volume(const struct store *store)
{
	return &store->volume;
}

const struct layout *store_layout(const struct store *store)
{
	return &store->layout;
}

bool store_is_writable(const struct store *store)
{
	return store->is_writable;
}

const struct uuid *store_mount_id(const struct store *store)
{
	return &store->mount;
}

struct journal *store_journal(struct store *store)
{
	return store->journal;
}

struct recovery *store_recovery(struct store *store)
{
	return store->recovery;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *dek)
{
	(void)store;
	(void)dek;
	return false;
}

int store_dek(struct store *store, const struct uuid *id, struct dek **ret_dek)
{
	if (!uuid_equal(id, dek_id(store->dek)))
		return -ENOKEY;
	*ret_dek = dek_ref(store->dek);
	return 0;
}

int store_dek_for_write(struct store *store, const struct uuid *id, struct dek **ret_dek)
{
	return store_dek(store, id, ret_dek);
}

void store_report(struct store *store, int priority, const char *path, const char *format, ...)
{
	va_list arguments;

	(void)store;
	fprintf(stderr, "<%d> %s: ", priority, path);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

const struct uuid *snapshot_id(const struct snapshot *snapshot)
{
	return &snapshot->id;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	return snapshot;
}

void snapshot_put(struct snapshot *snapshot)
{
	(void)snapshot;
}

bool snapshot_is_encrypted(const struct snapshot *snapshot)
{
	(void)snapshot;
	return true;
}

int snapshot_may_write(struct snapshot *snapshot)
{
	return snapshot->store->is_writable ? 0 : -EROFS;
}

int snapshot_write_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	*ret_dek = dek_ref(snapshot->store->dek);
	return 0;
}

int name_encode(const struct place *place, const char *name, struct backing_name *ret_backing)
{
	(void)place;
	*ret_backing = (struct backing_name){ 0 };
	snprintf(ret_backing->text, sizeof(ret_backing->text), "%s", name);
	return 0;
}

int name_prepare(const struct place *place, const struct backing_name *backing)
{
	(void)place;
	(void)backing;
	return 0;
}

void name_forget(const struct place *place, const struct backing_name *backing)
{
	(void)place;
	(void)backing;
}

int xattr_rekey(const struct xattr_target *target, const struct uuid *from_dek,
		const struct uuid *to_dek)
{
	(void)target;
	(void)from_dek;
	(void)to_dek;
	return -ENOTSUP;
}

/* ---- Start and end ------------------------------------------------------------------------------ */

static int start_journal(struct store *store)
{
	int r = recovery_scan(store, &store->recovery);

	if (r == 0)
		r = recovery_apply(store->recovery, store->dek);
	if (r < 0)
		return r;
	return store->is_writable ? journal_create(store, &store->journal) : 0;
}

static int start(const char *root, const char *access, const char *block_size)
{
	static const uint8_t key[DEK_SIZE] = { 1, 2, 3 };
	static const struct uuid dek = { { 4, 5, 6 } };
	struct store *store = &the_store;
	int fd, r;

	r = secret_init();
	if (r < 0)
		return r;
	store->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->root_fd < 0)
		return -errno;
	if (mkdirat(store->root_fd, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (mkdirat(store->root_fd, ".snapcrypt", 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(store->root_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	store->is_writable = strcmp(access, "w") == 0;
	store->volume.volume = (struct uuid){ { 7, 8, 9 } };
	store->volume.algorithm = 1;
	store->volume.block_size = (uint32_t)strtoul(block_size, NULL, 10);
	r = layout_init(store->volume.block_size, &store->layout);
	if (r == 0)
		r = random_uuid(&store->mount);
	if (r == 0)
		r = dek_import((struct bytes){ key, sizeof(key) }, &store->volume.volume, &dek,
			       &store->dek);
	if (r < 0)
		return r;
	the_place = (struct place){
		.store = store,
		.snapshot = &the_snapshot,
		.fd = fd,
		.depth = 1,
		.path = DIRECTORY,
	};
	return start_journal(store);
}

static struct open_file *find(const char *name)
{
	for (size_t i = 0; i < OPEN_MAX_FILES; i++) {
		if (open_files[i].file != NULL && strcmp(open_files[i].name, name) == 0)
			return &open_files[i];
	}
	return NULL;
}

static int keep(const char *name, struct file *file)
{
	for (size_t i = 0; i < OPEN_MAX_FILES; i++) {
		if (open_files[i].file != NULL)
			continue;
		snprintf(open_files[i].name, sizeof(open_files[i].name), "%s", name);
		open_files[i].file = file;
		return 0;
	}
	return file_close(file, NULL) < 0 ? -EIO : -EMFILE;
}

static int close_file(struct open_file *open_file)
{
	int r = file_close(open_file->file, NULL);

	open_file->file = NULL;
	return r;
}

static int finish(void)
{
	int r = 0;

	for (size_t i = 0; i < OPEN_MAX_FILES; i++) {
		if (open_files[i].file != NULL && close_file(&open_files[i]) < 0)
			r = -EIO;
	}
	if (the_store.journal != NULL && journal_close(the_store.journal) < 0)
		r = -EIO;
	recovery_free(the_store.recovery);
	dek_put(the_store.dek);
	close(the_place.fd);
	close(the_store.root_fd);
	return r;
}

/* ---- Commands ------------------------------------------------------------------------------------ */

struct command {
	char verb[16];
	char name[256];
	char other[256];
	uint64_t numbers[3];
};

static int open_one(const char *name, enum file_access access, struct file **ret_file)
{
	const struct file_open_options options = { .access = access };

	return file_open(&the_place, name, &options, ret_file);
}

static int do_create(const struct command *command)
{
	struct backing_name backing;
	struct file *file;
	int r = file_create(&the_place, command->name, 0600, &backing, &file);

	return r < 0 ? r : keep(command->name, file);
}

static int do_open(const struct command *command)
{
	struct file *file;
	int r = open_one(command->name, FILE_WRITE, &file);

	return r < 0 ? r : keep(command->name, file);
}

static int do_write(struct open_file *open_file, const struct command *command)
{
	const size_t size = command->numbers[1];
	uint8_t *data = malloc(size + 1);
	ssize_t n = -EIO;

	if (data == NULL)
		return -ENOMEM;
	if (fread(data, 1, size, stdin) == size)
		n = file_write(open_file->file, data, size, command->numbers[0]);
	free(data);
	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EIO;
}

static int do_rename(const struct command *command)
{
	struct open_file *moved = find(command->name), *replaced = find(command->other);
	char path[600];

	if (replaced != NULL && close_file(replaced) < 0)
		return -EIO;
	if (renameat(the_place.fd, command->name, the_place.fd, command->other) < 0)
		return -errno;
	if (moved == NULL)
		return 0;
	snprintf(moved->name, sizeof(moved->name), "%s", command->other);
	snprintf(path, sizeof(path), "%s/%s", DIRECTORY, command->other);
	return file_moved(moved->file, path);
}

/* Whole if possible, else block by block. */
static int read_all_of(struct file *file, uint8_t *data, uint64_t size)
{
	const uint32_t block_size = the_store.layout.block_size;
	uint64_t starts[1024];
	size_t count = 0;

	if (file_read(file, data, size, 0) != (ssize_t)size) {
		for (uint64_t at = 0; at < size; at += block_size) {
			const size_t left = size - at < block_size ? (size_t)(size - at)
								   : block_size;

			if (file_read(file, data + at, left, at) == (ssize_t)left)
				continue;
			if (count == sizeof(starts) / sizeof(starts[0]))
				return -E2BIG;
			memset(data + at, 0, left);
			starts[count++] = at;
		}
	}
	printf("0 %" PRIu64 " %zu\n", size, count);
	for (size_t i = 0; i < count; i++) {
		const uint64_t end = starts[i] + block_size;

		printf("%" PRIu64 " %" PRIu64 "\n", starts[i], end < size ? end : size);
	}
	fwrite(data, 1, size, stdout);
	return 0;
}

static int do_read(const struct command *command)
{
	struct file *file;
	uint8_t *data;
	int r = open_one(command->name, FILE_READ, &file);

	if (r < 0)
		return r;
	data = malloc(file_size(file) + 1);
	r = data == NULL ? -ENOMEM : read_all_of(file, data, file_size(file));
	free(data);
	if (file_close(file, NULL) < 0 && r == 0)
		r = -EIO;
	return r == 0 ? 1 : r;
}

static int do_on_open_file(struct open_file *open_file, const struct command *command)
{
	const char *verb = command->verb;

	if (open_file == NULL)
		return -EBADF;
	if (strcmp(verb, "close") == 0)
		return close_file(open_file);
	if (strcmp(verb, "flush") == 0)
		return file_flush(open_file->file);
	if (strcmp(verb, "sync") == 0)
		return file_sync(open_file->file, command->numbers[0] != 0);
	if (strcmp(verb, "write") == 0)
		return do_write(open_file, command);
	if (strcmp(verb, "truncate") == 0)
		return file_truncate(open_file->file, command->numbers[0]);
	if (strcmp(verb, "allocate") == 0)
		return file_allocate(open_file->file, (int)command->numbers[0], command->numbers[1],
				     command->numbers[2]);
	return -EINVAL;
}

/* 1: has answered itself. */
static int run(const struct command *command)
{
	const char *verb = command->verb;

	if (strcmp(verb, "create") == 0)
		return do_create(command);
	if (strcmp(verb, "open") == 0)
		return do_open(command);
	if (strcmp(verb, "read") == 0)
		return do_read(command);
	if (strcmp(verb, "rename") == 0)
		return do_rename(command);
	if (strcmp(verb, "link") == 0)
		return linkat(the_place.fd, command->name, the_place.fd, command->other, 0) < 0
			       ? -errno
			       : 0;
	if (strcmp(verb, "unlink") == 0)
		return unlinkat(the_place.fd, command->name, 0) < 0 ? -errno : 0;
	if (strcmp(verb, "syncdir") == 0)
		return fsync(the_place.fd) < 0 ? -errno : 0;
	return do_on_open_file(find(command->name), command);
}

static void parse(char *line, struct command *command)
{
	char *rest = NULL;
	const char *word = strtok_r(line, " \n", &rest);

	*command = (struct command){ 0 };
	snprintf(command->verb, sizeof(command->verb), "%s", word != NULL ? word : "");
	word = strtok_r(NULL, " \n", &rest);
	snprintf(command->name, sizeof(command->name), "%s", word != NULL ? word : "");
	for (size_t i = 0; i < 3; i++) {
		word = strtok_r(NULL, " \n", &rest);
		if (i == 0)
			snprintf(command->other, sizeof(command->other), "%s",
				 word != NULL ? word : "");
		command->numbers[i] = word != NULL ? strtoull(word, NULL, 10) : 0;
	}
}

int main(int argc, char **argv)
{
	struct command command;
	char *line = NULL;
	size_t size = 0;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: engine_driver ROOT ACCESS BLOCK_SIZE\n");
		return 2;
	}
	r = start(argv[1], argv[2], argv[3]);
	printf("%d\n", r);
	fflush(stdout);
	while (r == 0 && getline(&line, &size, stdin) > 0) {
		parse(line, &command);
		if (strcmp(command.verb, "quit") == 0)
			break;

		int result = run(&command);

		if (result <= 0)
			printf("%d\n", result);
		fflush(stdout);
	}
	free(line);
	if (r == 0)
		r = finish();
	return r < 0 ? 1 : 0;
}
