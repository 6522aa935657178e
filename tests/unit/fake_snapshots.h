/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store and its snapshots without records, journal and key service: for tests of what is built on
 * fs/store/store.h and snapshot.h.  Include it in one file of a program.
 */
#ifndef SNAPCRYPT_TESTS_UNIT_FAKE_SNAPSHOTS_H
#define SNAPCRYPT_TESTS_UNIT_FAKE_SNAPSHOTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/place.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"
#include "meta/format/header.h"

#define FAKE_DEKS_MAX      8
#define FAKE_NEEDED_MAX    16
#define FAKE_SNAPSHOTS_MAX 8

/* A DEK, and what becomes of those who ask for it. */
struct fake_dek {
	struct dek *dek;
	int error;       /* of every use; -EAGAIN: not open yet */
	int write_error; /* of use for writing */
	bool is_sealed;
};

struct store {
	int root_fd;
	struct volume_record volume;
	struct layout layout;
	struct fake_dek deks[FAKE_DEKS_MAX];
	size_t dek_count;
	unsigned report_count;
	struct uuid wanted;
};

struct snapshot {
	struct store *store;
	struct uuid id;
	enum snapshot_kind kind;
	enum snapshot_state state;
	bool is_encrypted;
	bool has_encrypted_names;
	bool is_gone;
	int write_error;
	struct fake_dek *dek;
	struct uuid needed[FAKE_NEEDED_MAX];
	size_t needed_count;
	unsigned ref_count;
};

static struct snapshot *fake_listed[FAKE_SNAPSHOTS_MAX]; /* snapshot-level directories, by order */
static char fake_listed_names[FAKE_SNAPSHOTS_MAX][64];

/* ---- Making --------------------------------------------------------------------------------- */

static struct fake_dek *fake_dek_new(struct store *store)
{
	struct fake_dek *fake = &store->deks[store->dek_count++];

	*fake = (struct fake_dek){ .dek = NULL };
	if (dek_generate(&store->volume.volume, &fake->dek) < 0)
		abort();
	return fake;
}

static void fake_store_init(struct store *store, int root_fd)
{
	*store = (struct store){ .root_fd = root_fd };
	if (secret_init() < 0 || random_uuid(&store->volume.volume) < 0 ||
	    layout_init(4096, &store->layout) < 0)
		abort();
	store->volume.algorithm = 1;
	store->volume.block_size = 4096;
	store->volume.snapshot_depth = 1;
	store->volume.is_encrypted = true;
	store->volume.has_encrypted_names = true;
}

static void fake_store_clear(struct store *store)
{
	for (size_t i = 0; i < store->dek_count; i++)
		dek_put(store->deks[i].dek);
	memset(fake_listed, 0, sizeof(fake_listed));
}

static void fake_snapshot_init(struct snapshot *snapshot, struct store *store,
			       enum snapshot_kind kind)
{
	*snapshot = (struct snapshot){
		.store = store,
		.kind = kind,
		.state = SNAPSHOT_OPEN,
		.is_encrypted = true,
		.has_encrypted_names = kind == SNAPSHOT_PLAIN_DIRECTORY,
		.dek = fake_dek_new(store),
		.ref_count = 1,
	};
	if (random_uuid(&snapshot->id) < 0)
		abort();
}

/* snapshot_open() of the directory NAME gives SNAPSHOT. */
static inline void fake_list(const char *name, struct snapshot *snapshot)
{
	for (size_t i = 0; i < FAKE_SNAPSHOTS_MAX; i++) {
		if (fake_listed[i])
			continue;
		snprintf(fake_listed_names[i], sizeof(fake_listed_names[i]), "%s", name);
		fake_listed[i] = snapshot;
		return;
	}
	abort();
}

int store_check_trust(struct store *store, const struct dek *dek);

/* ---- store.h --------------------------------------------------------------------------------- */

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

bool store_is_encrypted(const struct store *store)
{
	return store->volume.is_encrypted;
}

/* Writable, with nothing left of earlier mounts, and without a journal. */
bool store_is_writable(const struct store *store)
{
	(void)store;
	return true;
}

struct journal *store_journal(struct store *store)
{
	(void)store;
	return NULL;
}

struct recovery *store_recovery(struct store *store)
{
	(void)store;
	return NULL;
}

const struct uuid *store_mount_id(const struct store *store)
{
	return &store->volume.volume;
}

static struct fake_dek *fake_find(struct store *store, const struct uuid *id)
{
	for (size_t i = 0; i < store->dek_count; i++)
		if (uuid_equal(dek_id(store->deks[i].dek), id))
			return &store->deks[i];
	return NULL;
}

static int fake_use(struct store *store, const struct fake_dek *fake, struct dek **ret_dek)
{
	if (fake->error < 0) {
		store->wanted = *dek_id(fake->dek);
		return fake->error;
	}
	*ret_dek = dek_ref(fake->dek);
	return 0;
}

int store_dek(struct store *store, const struct uuid *dek_id, struct dek **ret_dek)
{
	const struct fake_dek *fake = fake_find(store, dek_id);

	return fake ? fake_use(store, fake, ret_dek) : -ENOKEY;
}

int store_dek_for_write(struct store *store, const struct uuid *dek_id, struct dek **ret_dek)
{
	const struct fake_dek *fake = fake_find(store, dek_id);

	if (!fake)
		return -ENOKEY;
	if (fake->error == 0 && fake->is_sealed)
		return -EROFS;
	if (fake->error == 0 && fake->write_error < 0)
		return fake->write_error;
	return fake_use(store, fake, ret_dek);
}

int store_check_trust(struct store *store, const struct dek *dek)
{
	return fake_find(store, dek_id(dek))->write_error;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *dek_id)
{
	const struct fake_dek *fake = fake_find(store, dek_id);

	return fake && fake->is_sealed;
}

void store_report(struct store *store, int priority, const char *path, const char *format, ...)
{
	(void)priority;
	(void)path;
	(void)format;
	store->report_count++;
}

/* ---- snapshot.h ------------------------------------------------------------------------------ */

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	snapshot->ref_count++;
	return snapshot;
}

void snapshot_put(struct snapshot *snapshot)
{
	if (snapshot)
		snapshot->ref_count--;
}

int snapshot_open(struct store *store, int fd, const char *name, struct snapshot **ret_snapshot)
{
	(void)store;
	(void)fd;
	for (size_t i = 0; i < FAKE_SNAPSHOTS_MAX && fake_listed[i]; i++) {
		if (strcmp(fake_listed_names[i], name) != 0)
			continue;
		*ret_snapshot = snapshot_ref(fake_listed[i]);
		return 0;
	}
	return -EIO;
}

const struct uuid *snapshot_id(const struct snapshot *snapshot)
{
	return &snapshot->id;
}

enum snapshot_kind snapshot_kind(const struct snapshot *snapshot)
{
	return snapshot->kind;
}

enum snapshot_state snapshot_state(const struct snapshot *snapshot)
{
	return snapshot->state;
}

const char *snapshot_state_name(enum snapshot_state state)
{
	return state == SNAPSHOT_OPEN ? "open" : "other";
}

bool snapshot_is_encrypted(const struct snapshot *snapshot)
{
	return snapshot->is_encrypted;
}

bool snapshot_has_encrypted_names(const struct snapshot *snapshot)
{
	return snapshot->has_encrypted_names;
}

int snapshot_may_write(struct snapshot *snapshot)
{
	return snapshot->write_error;
}

int snapshot_name_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	return fake_use(snapshot->store, snapshot->dek, ret_dek);
}

int snapshot_write_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	return fake_use(snapshot->store, snapshot->dek, ret_dek);
}

int snapshot_create(struct store *store, int parent_fd, const char *name, const char *path,
		    mode_t mode)
{
	char identity[512];
	int fd;

	(void)store;
	(void)path;
	if (mkdirat(parent_fd, name, mode) < 0)
		return -errno;
	snprintf(identity, sizeof(identity), "%s/.snapcrypt-id", name);
	fd = openat(parent_fd, identity, O_WRONLY | O_CREAT | O_EXCL, 0600);
	return fd < 0 ? -errno : close(fd);
}

void snapshot_renamed(struct snapshot *snapshot, const char *path)
{
	snapshot->is_gone = !path;
}

const struct uuid *snapshot_dek_id(const struct snapshot *snapshot)
{
	static const struct uuid none;

	return snapshot->kind == SNAPSHOT_PLAIN_DIRECTORY && snapshot->is_encrypted
		       ? dek_id(snapshot->dek->dek)
		       : &none;
}

int snapshot_add_dependency(struct snapshot *snapshot, const struct uuid *dek_id)
{
	if (snapshot->needed_count == FAKE_NEEDED_MAX)
		return -ENOSPC;
	snapshot->needed[snapshot->needed_count++] = *dek_id;
	return 0;
}

int snapshot_key_ids(struct snapshot *snapshot, char ***ret_key_ids, size_t *ret_count)
{
	char **ids = calloc(2, sizeof(*ids));

	(void)snapshot;
	if (!ids)
		return -ENOMEM;
	ids[0] = strdup("keyring:a#1");
	ids[1] = strdup("keyring:b#2");
	*ret_key_ids = ids;
	*ret_count = 2;
	return 0;
}

/* ---- A file of the engine, made here ----------------------------------------------------------- */

/* An empty file under DEK: header and an empty last block.  Gives its object id. */
static inline void fake_file(int dir_fd, const char *backing, struct store *store,
			     const struct dek *dek, uint8_t object_id[static 16])
{
	struct header header = {
		.algorithm = 1,
		.block_size_log2 = 12,
		.volume = store->volume.volume,
		.dek = *dek_id(dek),
	};
	uint8_t data[LAYOUT_EMPTY_FILE_SIZE] = { 0 };
	const struct bytes input = header_mac_input(data);
	const int fd = openat(dir_fd, backing, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (random_fill(header.object_id, 16) < 0 || random_fill(header.content_id, 24) < 0)
		abort();
	header_encode(&header, data);
	if (dek_mac(dek, DEK_LABEL_HEADER, &input, 1, header_mac_slot(data)) < 0 || fd < 0 ||
	    write(fd, data, sizeof(data)) != sizeof(data))
		abort();
	close(fd);
	memcpy(object_id, header.object_id, 16);
}

#endif
