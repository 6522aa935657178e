/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed snapshot as its manifest says: opening it, and reading values. */
#include "fs/store/sealed_view.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/own_credentials.h"
#include "fs/store/seal_internal.h"
#include "fs/store/snapshot_internal.h"
#include "kms/crypto/hash.h"

#define HASH_PIECE_SIZE ((size_t)1 << 20)

/* Inode numbers of sealed objects: a bit that no filesystem below uses, the seal's number, the object. */
#define SEALED_INODE_MARK (UINT64_C(1) << 63)
#define SEALED_INODE_BITS 40

struct sealed_view {
	atomic_uint references;
	struct store *store;
	struct snapshot *snapshot;
	struct seal seal;
	struct file *file;
	struct manifest manifest;
};

struct sealed_view *sealed_view_ref(struct sealed_view *view)
{
	atomic_fetch_add(&view->references, 1);
	return view;
}

void sealed_view_put(struct sealed_view *view)
{
	if (!view || atomic_fetch_sub(&view->references, 1) != 1)
		return;
	(void)file_close(view->file, NULL);
	seal_free(&view->seal);
	snapshot_put(view->snapshot);
	free(view);
}

void sealed_view_cleanup(struct sealed_view **view)
{
	sealed_view_put(*view);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------- */

static int read_manifest(void *arg, uint64_t offset, void *data, size_t size)
{
	const struct sealed_view *view = arg;
	uint8_t *into = data;

	while (size > 0) {
		const ssize_t n = file_read(view->file, into, size, offset);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EBADMSG;
		into += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int check_mac(struct sealed_view *view)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const struct seal_record *record = &view->seal.record;
	const struct bytes input = bytes_from_text(record->mac_input);
	int r;

	/* The DEK that the record names must be the snapshot's own, or anybody's record would do. */
	if (!uuid_equal(&record->dek, snapshot_dek_id(view->snapshot)))
		return -EBADMSG;
	r = snapshot_name_dek(view->snapshot, &dek);
	return r < 0 ? r : dek_mac_verify(dek, DEK_LABEL_SEAL, &input, 1, record->mac);
}

static int open_file(struct sealed_view *view)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	const struct file_open_options options = { .access = FILE_READ };
	char name[UUID_TEXT_SIZE];
	struct place place = {
		.store = view->store,
		.snapshot = view->snapshot,
		.path = CONTROL_DIRECTORY "/manifests",
	};
	int r;

	(void)saved;
	place.fd = open_beneath(view->store->control_fd, "manifests", O_RDONLY | O_DIRECTORY, 0);
	if (place.fd < 0)
		return place.fd == -ENOENT ? -EBADMSG : place.fd;
	uuid_format(&view->seal.record.snapshot, name);
	r = file_open(&place, name, &options, &view->file);
	close(place.fd);
	return r == -ENOENT || r == -ESTALE ? -EBADMSG : r;
}

/* Is it the very file that the seal record names? */
static bool is_named_file(const struct sealed_view *view)
{
	const struct seal_manifest *manifest = &view->seal.record.manifest;
	const struct header *header = &view->file->header;

	return uuid_equal(&header->dek, &view->seal.record.dek) &&
	       memcmp(header->object_id, manifest->object_id, sizeof(header->object_id)) == 0 &&
	       memcmp(header->content_id, manifest->content_id, sizeof(header->content_id)) == 0 &&
	       !header->is_sparse && file_size(view->file) == manifest->size;
}

static int open_manifest(struct sealed_view *view)
{
	const struct manifest_expectation expected = {
		.volume = view->store->volume.volume,
		.snapshot = view->seal.record.snapshot,
	};
	const struct manifest_source source = {
		.read = read_manifest,
		.arg = view,
		.size = view->seal.record.manifest.size,
	};
	int r = open_file(view);

	if (r < 0)
		return r;
	if (!is_named_file(view))
		return -EBADMSG;
	slots_keep_many(view->file);
	return manifest_open(&source, &expected, &view->manifest, NULL);
}

static int fail_to_open(const struct snapshot *snapshot, int error, const char *what,
			struct store_error *reterr)
{
	enum exit_code code = error == -EBADMSG ? EXIT_FINDINGS
						: (enum exit_code)exit_code_from_errno(error);

	if (error == -EACCES)
		code = EXIT_ORIGIN;
	return store_fail(reterr, error, code, "%s: %s: %s", snapshot_name(snapshot), what,
			  error == -EBADMSG ? "not authentic" : strerror(-error));
}

static int open_view(struct sealed_view *view, struct store_error *reterr)
{
	const struct snapshot *snapshot = view->snapshot;
	int r = seal_of_snapshot(view->store, snapshot_id(snapshot), &view->seal);

	if (r == -ENOENT)
		return store_fail(reterr, r, EXIT_NOT_SEALED, "%s: not sealed",
				  snapshot_name(snapshot));
	if (r < 0)
		return fail_to_open(snapshot, r, "seal record", reterr);
	if (!trust_origin_is_trusted(view->seal.origin) &&
	    trust_requires_origin(view->store->trust)) {
		(void)fail_to_open(snapshot, -EACCES, "origin of the seal not verified", reterr);
		store_advise(reterr, "accept its writer with trusted_writers = %s",
			     view->seal.writer);
		return -EACCES;
	}
	r = check_mac(view);
	if (r < 0)
		return fail_to_open(snapshot, r, "seal record", reterr);
	r = open_manifest(view);
	return r < 0 ? fail_to_open(snapshot, r, "manifest", reterr) : 0;
}

int sealed_view_open(struct snapshot *snapshot, struct sealed_view **ret_view,
		     struct store_error *reterr)
{
	struct sealed_view *view;
	int r;

	if (!snapshot_is_encrypted(snapshot) || snapshot_is_foreign(snapshot))
		return store_fail(reterr, -ENOENT, EXIT_NOT_SEALED, "%s: not sealed",
				  snapshot_name(snapshot));
	view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	atomic_init(&view->references, 1);
	view->store = snapshot->store;
	view->snapshot = snapshot_ref(snapshot);
	r = open_view(view, reterr);
	if (r < 0) {
		sealed_view_put(view);
		return r;
	}
	*ret_view = view;
	return 0;
}

static void report_refusal(struct snapshot *snapshot, int code, const struct store_error *error)
{
	const bool is_about_seal = code == -EBADMSG ||
				   (code == -EACCES && error->exit_code == EXIT_ORIGIN);

	if (is_about_seal && !atomic_exchange(&snapshot->is_refusal_reported, true))
		store_report(snapshot->store, LOG_ERR, snapshot_name(snapshot),
			     "sealed, and not served: %s (seals/%" PRIu64
			     "); see 'snapcrypt verify'",
			     error->text, store_seal_sequence(snapshot->store, &snapshot->id));
}

int snapshot_sealed_view(struct snapshot *snapshot, struct sealed_view **ret_view)
{
	struct store_error error = { 0 };
	int r = 0;

	pthread_mutex_lock(&snapshot->mutex);
	if (!snapshot->view) {
		r = sealed_view_open(snapshot, &snapshot->view, &error);
		if (r < 0)
			report_refusal(snapshot, r, &error);
	}
	if (r == 0)
		*ret_view = sealed_view_ref(snapshot->view);
	pthread_mutex_unlock(&snapshot->mutex);
	return r;
}

void snapshot_drop_view(struct snapshot *snapshot)
{
	struct sealed_view *view;

	pthread_mutex_lock(&snapshot->mutex);
	view = TAKE(snapshot->view);
	pthread_mutex_unlock(&snapshot->mutex);
	sealed_view_put(view);
}

int sealed_view_check_hash(struct sealed_view *view)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	const uint64_t size = view->seal.record.manifest.size;
	uint8_t digest[SHA256_SIZE];
	uint8_t *data = malloc(HASH_PIECE_SIZE);
	int r = data ? hash_new(&hash) : -ENOMEM;

	for (uint64_t at = 0; r == 0 && at < size; at += HASH_PIECE_SIZE) {
		const size_t piece = size - at < HASH_PIECE_SIZE ? (size_t)(size - at)
								 : HASH_PIECE_SIZE;

		r = read_manifest(view, at, data, piece);
		if (r == 0)
			r = hash_update(hash, (struct bytes){ data, piece });
	}
	if (data)
		explicit_bzero(data, HASH_PIECE_SIZE);
	free(data);
	if (r == 0)
		r = hash_final(hash, digest);
	if (r < 0)
		return r;
	return memcmp(digest, view->seal.record.manifest.sha256, sizeof(digest)) == 0 ? 0
										      : -EBADMSG;
}

/* ---- What is in it ------------------------------------------------------------------------------------------------- */

const struct seal *sealed_view_seal(const struct sealed_view *view)
{
	return &view->seal;
}

struct snapshot *sealed_view_snapshot(struct sealed_view *view)
{
	return view->snapshot;
}

struct store *sealed_view_store(struct sealed_view *view)
{
	return view->store;
}

const struct manifest *sealed_view_manifest(const struct sealed_view *view)
{
	return &view->manifest;
}

uint64_t sealed_object_count(const struct sealed_view *view)
{
	return view->manifest.header.sections[MANIFEST_OBJECTS].count;
}

int sealed_object(struct sealed_view *view, uint64_t index, struct manifest_object *ret_object)
{
	return manifest_read_object(&view->manifest, index, ret_object, NULL);
}

int sealed_object_dek(struct sealed_view *view, const struct manifest_object *object,
		      struct uuid *ret_dek)
{
	if (object->dek != MANIFEST_NO_DEK)
		return manifest_read_dek(&view->manifest, object->dek, ret_dek);
	*ret_dek = (struct uuid){ 0 };
	return 0;
}

static int read_directory(struct sealed_view *view, const struct manifest_object *object,
			  struct manifest_directory *ret_directory)
{
	if (!S_ISDIR(object->mode))
		return -ENOTDIR;
	return manifest_read_directory(&view->manifest, object->directory, ret_directory, NULL);
}

int sealed_entry_count(struct sealed_view *view, const struct manifest_object *directory,
		       uint64_t *ret_count)
{
	struct manifest_directory found;
	int r = read_directory(view, directory, &found);

	if (r == 0)
		*ret_count = found.entry_count;
	return r;
}

int sealed_entry_at(struct sealed_view *view, const struct manifest_object *directory,
		    uint64_t place, struct sealed_entry *ret_entry)
{
	struct manifest_directory found;
	struct manifest_entry entry;
	int r = read_directory(view, directory, &found);

	if (r < 0)
		return r;
	if (place >= found.entry_count)
		return -ENOENT;
	r = manifest_read_entry(&view->manifest, found.first_entry + place, &entry, NULL);
	if (r == 0)
		r = manifest_read_name(&view->manifest, &entry, ret_entry->name);
	if (r < 0)
		return r;
	ret_entry->type = entry.type;
	ret_entry->object = entry.object;
	return 0;
}

int sealed_lookup(struct sealed_view *view, const struct manifest_object *directory,
		  const char *name, struct sealed_entry *ret_entry)
{
	struct manifest_directory found;
	struct manifest_entry entry;
	int r = read_directory(view, directory, &found);

	if (r < 0)
		return r;
	r = manifest_lookup(&view->manifest, &found, name, &entry);
	if (r < 0)
		return r;
	snprintf(ret_entry->name, sizeof(ret_entry->name), "%s", name);
	ret_entry->type = entry.type;
	ret_entry->object = entry.object;
	return 0;
}

uint64_t sealed_inode(const struct sealed_view *view, uint64_t index)
{
	const uint64_t sequence = view->seal.record.sequence << SEALED_INODE_BITS;

	return SEALED_INODE_MARK | (sequence & ~SEALED_INODE_MARK) | sealed_inode_object(index);
}

uint64_t sealed_inode_object(uint64_t inode)
{
	return inode & ((UINT64_C(1) << SEALED_INODE_BITS) - 1);
}

void sealed_stat(struct sealed_view *view, uint64_t index, const struct manifest_object *object,
		 struct stat *ret_stat)
{
	const struct timespec mtime = { .tv_sec = object->mtime_s, .tv_nsec = object->mtime_ns };

	*ret_stat = (struct stat){
		.st_ino = sealed_inode(view, index),
		.st_mode = object->mode,
		.st_nlink = object->link_count,
		.st_uid = object->uid,
		.st_gid = object->gid,
		.st_rdev = makedev(object->device_major, object->device_minor),
		.st_size = (off_t)(S_ISLNK(object->mode) ? object->target_size : object->size),
		.st_blksize = view->store->layout.block_size,
		.st_atim = mtime,
		.st_mtim = mtime,
		.st_ctim = { .tv_sec = view->seal.record.sealed_s },
	};
	ret_stat->st_blocks = (ret_stat->st_size + 511) / 512;
	/* Tools ask for holes only where something is missing. */
	if (object->is_sparse && ret_stat->st_blocks > 1)
		ret_stat->st_blocks -= 2;
}

/* ---- Attributes ---------------------------------------------------------------------------------------------------- */

static int read_attributes(struct sealed_view *view, const struct manifest_object *object,
			   uint8_t **ret_data)
{
	uint8_t *data = malloc((size_t)object->attributes_size + 1);
	int r = data ? manifest_read_attributes(&view->manifest, object, data) : -ENOMEM;

	if (r < 0) {
		free(data);
		return r;
	}
	*ret_data = data;
	return 0;
}

static ssize_t give(struct bytes value, uint8_t *into, size_t size)
{
	if (size == 0)
		return (ssize_t)value.size;
	if (size < value.size)
		return -ERANGE;
	memcpy(into, value.data, value.size);
	return (ssize_t)value.size;
}

ssize_t sealed_xattr_get(struct sealed_view *view, const struct manifest_object *object,
			 const char *name, uint8_t *value, size_t size)
{
	struct manifest_attribute attribute;
	uint8_t *data = NULL;
	ssize_t got = -ENODATA;
	int r;

	if (object->attributes_size == 0)
		return -ENODATA;
	r = read_attributes(view, object, &data);
	if (r < 0)
		return r;

	struct bytes left = { data, (size_t)object->attributes_size };

	while (got == -ENODATA && (r = manifest_next_attribute(&left, &attribute)) > 0)
		if (bytes_equal(attribute.name, bytes_from_text(name)))
			got = give(attribute.value, value, size);
	free(data);
	return r < 0 ? r : got;
}

ssize_t sealed_xattr_list(struct sealed_view *view, const struct manifest_object *object,
			  char *names, size_t size)
{
	struct manifest_attribute attribute;
	uint8_t *data = NULL;
	size_t used = 0;
	int r;

	if (object->attributes_size == 0)
		return 0;
	r = read_attributes(view, object, &data);
	if (r < 0)
		return r;

	struct bytes left = { data, (size_t)object->attributes_size };

	while ((r = manifest_next_attribute(&left, &attribute)) > 0) {
		const size_t length = attribute.name.size + 1;

		if (size > 0 && length > size - used) {
			r = -ERANGE;
			break;
		}
		if (size > 0) {
			memcpy(names + used, attribute.name.data, attribute.name.size);
			names[used + length - 1] = '\0';
		}
		used += length;
	}
	free(data);
	return r < 0 ? r : (ssize_t)used;
}
