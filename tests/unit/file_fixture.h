/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of one directory, one DEK and one snapshot, for tests of the file engine alone.  It defines the
 * functions of store.h, snapshot.h, name.h and xattr.h that the engine calls; include it once.
 *
 * Its journal applies a batch at commit like the real one, but keeps it in memory only; with FIXTURE_REAL_JOURNAL defined it
 * is the real one, which the test makes.
 */
#ifndef SNAPCRYPT_TESTS_UNIT_FILE_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_FILE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file.h"
#include "fs/store/journal.h"
#include "fs/store/name.h"
#include "fs/store/xattr.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"

struct store {
	struct volume_record volume;
	struct layout layout;
	struct dek *dek;       /* of the snapshot */
	struct dek *other_dek; /* known and trusted, but not the snapshot's */
	bool is_writable;
	bool is_encrypted;
	int root_fd;
	char path[64];
	unsigned reports;
	unsigned commits; /* of the journal */
	unsigned retirements;
	struct uuid mount;
	struct journal *journal; /* the real one */
	struct recovery *recovery;
};

struct snapshot {
	struct store *store;
	struct uuid id;
};

static struct snapshot fake_snapshot;
static struct place fake_place;

/* ---- store.h, snapshot.h, name.h, xattr.h ------------------------------------------------------ */

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

int store_dek(struct store *store, const struct uuid *id, struct dek **ret_dek)
{
	struct dek *const deks[] = { store->dek, store->other_dek };

	for (size_t i = 0; i < ARRAY_SIZE(deks); i++) {
		if (!deks[i] || !uuid_equal(dek_id(deks[i]), id))
			continue;
		if (dek_is_wiped(deks[i]))
			return -EKEYREVOKED;
		*ret_dek = dek_ref(deks[i]);
		return 0;
	}
	return -ENOKEY;
}

int store_dek_for_write(struct store *store, const struct uuid *id, struct dek **ret_dek)
{
	return store_dek(store, id, ret_dek);
}

void store_report(struct store *store, int priority, const char *path, const char *format, ...)
{
	(void)priority;
	(void)path;
	(void)format;
	store->reports++;
}

const struct uuid *store_mount_id(const struct store *store)
{
	return &store->mount;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *id)
{
	(void)store;
	(void)id;
	return false;
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
	return snapshot->store->is_encrypted;
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
	return 0;
}

#ifdef FIXTURE_REAL_JOURNAL

struct journal *store_journal(struct store *store)
{
	return store->journal;
}

struct recovery *store_recovery(struct store *store)
{
	return store->recovery;
}

#else

/* ---- journal.h ---------------------------------------------------------------------------------- */

struct journal *store_journal(struct store *store)
{
	return (struct journal *)store;
}

struct recovery *store_recovery(struct store *store)
{
	(void)store;
	return NULL;
}

struct pending {
	struct pending *next;
	struct journal_change change;
	uint8_t data[];
};

struct journal_file {
	struct store *store;
	int fd;
	struct pending *first;
	struct pending **end;
	size_t size;
	uint64_t applied;
};

int journal_file_open(struct journal *journal, const struct journal_identity *identity, int fd,
		      struct journal_file **ret_file)
{
	struct journal_file *file = calloc(1, sizeof(*file));

	(void)identity;
	if (!file)
		return -ENOMEM;
	file->store = (struct store *)journal;
	file->fd = dup(fd);
	file->end = &file->first;
	*ret_file = file;
	return 0;
}

static int fake_apply(int fd, const struct journal_change *change)
{
	struct stat st;
	ssize_t n = pwrite(fd, change->data.data, change->data.size, (off_t)change->offset);

	if (n < 0)
		return -errno;
	if ((size_t)n < change->data.size)
		return -EFBIG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (change->is_exact || (uint64_t)st.st_size < change->result)
		return ftruncate(fd, (off_t)change->result) < 0 ? -errno : 0;
	return 0;
}

int journal_commit(struct journal_file *file)
{
	int r = 0;

	while (file->first && r == 0) {
		struct pending *pending = file->first;

		r = fake_apply(file->fd, &pending->change);
		if (r == 0) {
			file->first = pending->next;
			free(pending);
		}
	}
	if (!file->first)
		file->end = &file->first;
	file->size = 0;
	file->applied++;
	file->store->commits++;
	return r;
}

int journal_append(struct journal_file *file, const struct journal_change *change)
{
	struct pending *pending = malloc(sizeof(*pending) + change->data.size);

	if (!pending)
		return -ENOMEM;
	pending->next = NULL;
	pending->change = *change;
	if (change->data.size > 0)
		memcpy(pending->data, change->data.data, change->data.size);
	pending->change.data.data = pending->data;
	*file->end = pending;
	file->end = &pending->next;
	file->size += change->data.size;
	return file->size > (1U << 20) ? journal_commit(file) : 0;
}

int journal_settle(struct journal *journal, const uint8_t object_id[static 16])
{
	(void)journal;
	(void)object_id;
	return 0;
}

int journal_retire(struct journal_file *file)
{
	int r = journal_commit(file);

	file->store->retirements++;
	close(file->fd);
	free(file);
	return r;
}

void journal_overlay(struct journal_file *file, uint64_t offset, uint8_t *data, size_t size)
{
	for (const struct pending *pending = file->first; pending; pending = pending->next) {
		const struct bytes from = pending->change.data;
		uint64_t begin = pending->change.offset;
		uint64_t end = begin + from.size;

		if (begin < offset)
			begin = offset;
		if (end > offset + size)
			end = offset + size;
		if (begin < end)
			memcpy(data + (begin - offset),
			       from.data + (begin - pending->change.offset), (size_t)(end - begin));
	}
}

uint64_t journal_applied_count(struct journal_file *file)
{
	return file->applied;
}

bool recovery_is_needed(const struct recovery *recovery, const struct uuid *id)
{
	(void)recovery;
	(void)id;
	return false;
}

size_t recovery_pending(const struct recovery *recovery)
{
	(void)recovery;
	return 0;
}

bool recovery_overlay(struct recovery *recovery, const uint8_t object_id[static 16],
		      const uint8_t content_id[static 24], const struct recovery_backing *backing,
		      uint64_t offset, uint8_t *data, size_t size)
{
	(void)recovery;
	(void)object_id;
	(void)content_id;
	(void)backing;
	(void)offset;
	(void)data;
	(void)size;
	return false;
}

uint64_t recovery_size(struct recovery *recovery, const uint8_t object_id[static 16],
		       const uint8_t content_id[static 24], const struct recovery_backing *backing)
{
	(void)recovery;
	(void)object_id;
	(void)content_id;
	return backing->size;
}

#endif

/* ---- a store to work in -------------------------------------------------------------------------- */

/* In PARENT (NULL: where it is fast) a new directory is made.  NULL: not possible. */
static struct store *fake_store_open(uint32_t block_size, const char *parent)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	if (!parent)
		parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(store->path, sizeof(store->path), "%s/snapcrypt-test-XXXXXX", parent);
	if (secret_init() < 0 || random_uuid(&store->volume.volume) < 0 ||
	    layout_init(block_size, &store->layout) < 0 ||
	    dek_generate(&store->volume.volume, &store->dek) < 0 || !mkdtemp(store->path)) {
		free(store);
		return NULL;
	}
	store->volume.algorithm = AEAD_AES_256_GCM;
	store->volume.block_size = block_size;
	store->is_writable = true;
	store->is_encrypted = true;
	store->root_fd = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fake_snapshot.store = store;
	fake_place = (struct place){ store, &fake_snapshot, store->root_fd, 1, "" };
	return store;
}

static void fake_store_close(struct store *store)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", store->path);
	if (system(command) != 0)
		fprintf(stderr, "%s is left\n", store->path);
	close(store->root_fd);
	dek_put(store->dek);
	dek_put(store->other_dek);
	free(store);
}

#endif
