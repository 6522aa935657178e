/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing a snapshot.
 *
 * Order: refuse changes, wait for those that run, sync everything, write the manifest into tmp/, sync it, give it its name,
 * then the seal record, exclusively.  A crash before the last step leaves the snapshot open; a manifest without a seal is
 * written anew.
 */
#include "fs/store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/own_credentials.h"
#include "fs/store/sealing.h"
#include "fs/store/tag_memory.h"
#include "kms/crypto/random.h"

#define ATTEMPTS_MAX     16
#define DEPENDENCIES_MAX 1024

/* ---- Keys that are needed ------------------------------------------------------------------------------------------ */

static int open_key(struct store *store, const struct uuid *dek_id, struct store_error *reterr)
{
	struct kms_error error = { 0 };
	struct dek *dek = NULL;
	int r = dek_ring_get(store->deks, dek_id, &dek, &error);

	dek_put(dek);
	if (r < 0) {
		store_fail(reterr, r, exit_code_from_errno(r), "data key: %s",
			   error.text[0] != '\0' ? error.text : strerror(-r));
		store_advise(reterr, "%s", error.advice);
	}
	return r;
}

/* The owner of a DEK that is a snapshot of its own: still there, and not sealed. */
struct owner_search {
	const struct uuid *id;
	struct snapshot *found;
};

static int visit_owner(void *arg, struct snapshot *snapshot, int fd)
{
	struct owner_search *search = arg;

	(void)fd;
	if (!uuid_equal(snapshot_id(snapshot), search->id))
		return 0;
	search->found = snapshot_ref(snapshot);
	return 1;
}

/* 1 and a reference; 0: there is none. */
static int find_snapshot(struct store *store, const struct uuid *id, struct snapshot **ret_snapshot)
{
	struct owner_search search = { .id = id };
	int r = snapshot_each(store, visit_owner, &search);

	if (!search.found)
		return r;
	*ret_snapshot = search.found;
	return 1;
}

/* Is it under a DEK that only another open snapshot could go on using?  1: yes. */
static int is_open_owner(struct store *store, const struct uuid *owner)
{
	struct snapshot *snapshot = NULL;
	int r = find_snapshot(store, owner, &snapshot);
	bool is_open = false;

	if (r <= 0)
		return r;
	is_open = snapshot_kind(snapshot) == SNAPSHOT_PLAIN_DIRECTORY &&
		  snapshot_state(snapshot) != SNAPSHOT_SEALED;
	snapshot_put(snapshot);
	return is_open;
}

/*
 * What is frozen with the snapshot: its own DEK, and those of streams, of the root and of snapshots that are gone, under
 * which files of it are.  Those of other open snapshots are not: a file under one makes the seal fail.
 */
static int collect_deks(struct sealing *sealing, struct uuid **ret_deks, size_t *ret_count)
{
	struct store *store = sealing->store;
	struct uuid *needed = NULL;
	size_t needed_count = 0;
	size_t count = 1;
	int r = dek_index_needed(store, &sealing->snapshot->id, &needed, &needed_count);
	struct uuid *deks = r < 0 ? NULL : calloc(needed_count + 1, sizeof(*deks));

	if (r == 0 && !deks)
		r = -ENOMEM;
	if (r == 0)
		deks[0] = *snapshot_dek_id(sealing->snapshot);
	for (size_t i = 0; r == 0 && i < needed_count; i++) {
		struct uuid owner;

		r = open_key(store, &needed[i], sealing->reterr);
		if (r < 0)
			break;
		if (store_dek_is_sealed(store, &needed[i]) ||
		    !store_dek_snapshot(store, &needed[i], &owner))
			continue;
		r = is_open_owner(store, &owner);
		if (r == 0)
			deks[count++] = needed[i];
		else if (r > 0)
			r = 0;
	}
	free(needed);
	if (r < 0) {
		free(deks);
		return r;
	}
	*ret_deks = deks;
	*ret_count = count;
	return 0;
}

/* ---- The manifest -------------------------------------------------------------------------------------------------- */

static int control_place(const struct sealing *sealing, const char *directory,
			 struct place *ret_place)
{
	*ret_place = (struct place){
		.store = sealing->store,
		.snapshot = sealing->snapshot,
		.path = strcmp(directory, "tmp") == 0 ? CONTROL_DIRECTORY "/tmp"
						      : CONTROL_DIRECTORY "/manifests",
	};
	ret_place->fd = open_beneath(sealing->store->control_fd, directory, O_RDONLY | O_DIRECTORY,
				     0);
	return ret_place->fd < 0 ? ret_place->fd : 0;
}

/* A new file of ours in tmp/; NAME is drawn. */
static int make_temporary(const struct sealing *sealing, char name[static UUID_TEXT_SIZE],
			  struct file **ret_file)
{
	struct place place;
	struct uuid id;
	int r = random_uuid(&id);

	if (r == 0)
		r = control_place(sealing, "tmp", &place);
	if (r < 0)
		return r;
	uuid_format(&id, name);
	r = file_create_control(&place, name, sealing->dek, ret_file);
	close(place.fd);
	return r;
}

static void remove_temporary(const struct sealing *sealing, const char *name)
{
	struct place place;

	if (*name && control_place(sealing, "tmp", &place) == 0) {
		(void)unlinkat(place.fd, name, 0);
		close(place.fd);
	}
}

static int open_spools(struct sealing *sealing, char heap_name[static UUID_TEXT_SIZE])
{
	struct spool *const plain[] = { &sealing->directories, &sealing->entries, &sealing->objects,
					&sealing->tags, &sealing->queue };
	const char *directory = trust_state_dir(sealing->store->trust);
	struct file *heap = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(plain); i++)
		r = spool_open(plain[i], directory);
	if (r == 0)
		r = make_temporary(sealing, heap_name, &heap);
	return r < 0 ? r : spool_open_file(&sealing->heap, heap);
}

static void close_spools(struct sealing *sealing)
{
	spool_close(&sealing->directories);
	spool_close(&sealing->entries);
	spool_close(&sealing->objects);
	spool_close(&sealing->heap);
	spool_close(&sealing->tags);
	spool_close(&sealing->queue);
}

static uint64_t align(uint64_t size)
{
	return (size + MANIFEST_ALIGNMENT - 1) / MANIFEST_ALIGNMENT * MANIFEST_ALIGNMENT;
}

static void make_header(const struct sealing *sealing, struct manifest_header *header)
{
	const uint64_t sizes[MANIFEST_SECTION_COUNT] = {
		[MANIFEST_DEKS] = sealing->dek_count * UUID_SIZE,
		[MANIFEST_DIRECTORIES] = sealing->directories.size,
		[MANIFEST_ENTRIES] = sealing->entries.size,
		[MANIFEST_OBJECTS] = sealing->objects.size,
		[MANIFEST_HEAP] = sealing->heap.size,
		[MANIFEST_TAGS] = sealing->tags.size,
	};
	uint64_t offset = MANIFEST_HEADER_SIZE;

	*header = (struct manifest_header){
		.volume = sealing->store->volume.volume,
		.snapshot = sealing->snapshot->id,
	};
	for (unsigned i = 0; i < MANIFEST_SECTION_COUNT; i++) {
		header->sections[i].offset = offset;
		header->sections[i].count = sizes[i] / manifest_record_size(i);
		offset = align(offset + sizes[i]);
	}
}

static int pad(struct spool *out)
{
	static const uint8_t zeros[MANIFEST_ALIGNMENT];

	return spool_append(out, zeros, (size_t)(align(out->size) - out->size));
}

static int write_sections(struct sealing *sealing, struct spool *out)
{
	struct spool *const sections[] = { &sealing->directories, &sealing->entries,
					   &sealing->objects, &sealing->heap, &sealing->tags };
	struct manifest_header header;
	uint8_t data[MANIFEST_HEADER_SIZE];
	int r;

	make_header(sealing, &header);
	manifest_header_encode(&header, data);
	r = spool_append(out, data, sizeof(data));
	for (size_t i = 0; r == 0 && i < sealing->dek_count; i++)
		r = spool_append(out, sealing->deks[i].bytes, UUID_SIZE);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sections); i++) {
		r = pad(out);
		if (r == 0)
			r = spool_copy(sections[i], out);
	}
	return r < 0 ? r : spool_flush(out);
}

static int name_manifest(const struct sealing *sealing, const char *temporary)
{
	char target[CONTROL_NAME_SIZE];
	char source[CONTROL_NAME_SIZE];
	char id[UUID_TEXT_SIZE];
	int fd;
	int r = control_make_directory(sealing->store->control_fd, "manifests");

	if (r < 0)
		return r;
	uuid_format(&sealing->snapshot->id, id);
	snprintf(target, sizeof(target), "manifests/%s", id);
	snprintf(source, sizeof(source), "tmp/%s", temporary);
	if (renameat(sealing->store->control_fd, source, sealing->store->control_fd, target) < 0)
		return -errno;
	fd = open_beneath(sealing->store->control_fd, "manifests", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int write_manifest(struct sealing *sealing, struct seal_manifest *ret_manifest)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	char name[UUID_TEXT_SIZE] = "";
	struct spool out = { .fd = -1 };
	struct file *file = NULL;
	int r = hash_new(&hash);

	if (r == 0)
		r = make_temporary(sealing, name, &file);
	if (r == 0)
		r = spool_open_file(&out, file);
	if (r == 0) {
		out.hash = hash;
		r = write_sections(sealing, &out);
	}
	if (r == 0)
		r = file_sync(out.file, false);
	if (r == 0) {
		memcpy(ret_manifest->object_id, out.file->header.object_id,
		       sizeof(ret_manifest->object_id));
		memcpy(ret_manifest->content_id, out.file->header.content_id,
		       sizeof(ret_manifest->content_id));
		ret_manifest->size = out.size;
		r = hash_final(hash, ret_manifest->sha256);
	}
	spool_close(&out);
	if (r == 0)
		r = name_manifest(sealing, name);
	if (r < 0)
		remove_temporary(sealing, name);
	return r;
}

/* ---- The record ---------------------------------------------------------------------------------------------------- */

struct record_draft {
	struct seal_record *record;
	const struct dek *dek;
};

static int encode_record(void *arg, uint64_t sequence, const uint8_t *previous, char **ret_line)
{
	const struct record_draft *draft = arg;
	struct seal_record *record = draft->record;
	struct bytes input;
	int r;

	record->sequence = sequence;
	record->has_previous = previous != NULL;
	if (previous)
		memcpy(record->previous, previous, SEAL_ROOT_SIZE);
	free(TAKE(record->mac_input));
	r = seal_record_encode_mac_input(record);
	if (r < 0)
		return r;
	input = bytes_from_text(record->mac_input);
	r = dek_mac(draft->dek, DEK_LABEL_SEAL, &input, 1, record->mac);
	return r < 0 ? r : seal_record_encode(record, ret_line);
}

static int publish_seal(struct sealing *sealing, const struct seal_manifest *manifest,
			struct seal *seal)
{
	struct seal_record *record = &seal->record;
	struct record_draft draft = { record, sealing->dek };
	const struct chain_append append = { encode_record, &draft };
	uint64_t sequence = 0;
	int r;

	*record = (struct seal_record){
		.volume = sealing->store->volume.volume,
		.snapshot = sealing->snapshot->id,
		.name = strdup(snapshot_name(sealing->snapshot)),
		.created_s = snapshot_created_s(sealing->snapshot),
		.sealed_s = time(NULL),
		.manifest = *manifest,
		.dek = *dek_id(sealing->dek),
		.deks = TAKE(sealing->deks),
		.dek_count = sealing->dek_count,
		.counts = sealing->counts,
		.roots_remembered = sealing->roots_remembered,
		.roots_reread = sealing->roots_reread,
	};
	if (!record->name)
		return -ENOMEM;
	r = chain_append(sealing->store, &append, &sequence, seal->root);
	if (r < 0)
		return r;
	seal->origin = TRUST_THIS_HOST;
	r = trust_own_fingerprint(sealing->store->trust, seal->writer);
	return r < 0 ? r : store_note_seal(sealing->store, record, seal->root);
}

/* ---- All of it ----------------------------------------------------------------------------------------------------- */

static int prepare(struct sealing *sealing, char heap_name[static UUID_TEXT_SIZE])
{
	int r;

	sealing->snapshot_fd = open_beneath(sealing->store->root_fd,
					    snapshot_name(sealing->snapshot),
					    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (sealing->snapshot_fd < 0)
		return sealing->snapshot_fd;
	sealing->deks = calloc(1, sizeof(*sealing->deks));
	if (!sealing->deks)
		return -ENOMEM;
	sealing->deks[0] = *dek_id(sealing->dek);
	sealing->dek_count = 1;
	r = open_spools(sealing, heap_name);
	if (r == 0)
		r = tag_memory_open(sealing->store, &sealing->snapshot->id, &sealing->memory);
	/* All that was acknowledged, its attributes and its directories: durable before the seal says that it is there. */
	if (r == 0 && syncfs(sealing->store->root_fd) < 0)
		r = -errno;
	return r;
}

static void finish(struct sealing *sealing, const char *heap_name)
{
	struct sealing_link *link;
	struct sealing_link *next;

	close_spools(sealing);
	remove_temporary(sealing, heap_name);
	HASH_ITER (hh, sealing->links, link, next) {
		HASH_DEL(sealing->links, link);
		free(link);
	}
	sealing_free_older(sealing);
	tag_memory_close(sealing->memory);
	if (sealing->snapshot_fd >= 0)
		close(sealing->snapshot_fd);
	free(sealing->deks);
}

static int seal_frozen(struct sealing *sealing, struct seal *seal)
{
	char heap_name[UUID_TEXT_SIZE] = "";
	struct seal_manifest manifest = { 0 };
	int r = prepare(sealing, heap_name);

	if (r == 0)
		r = sealing_walk(sealing);
	if (r == 0)
		r = write_manifest(sealing, &manifest);
	if (r == 0)
		r = publish_seal(sealing, &manifest, seal);
	finish(sealing, heap_name);
	return r;
}

static int freeze_and_seal(struct sealing *sealing, struct seal *seal)
{
	struct store *store = sealing->store;
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = collect_deks(sealing, &deks, &count);

	if (r == 0)
		r = store_freeze(store, &sealing->snapshot->id, deks, count);
	if (r < 0) {
		free(deks);
		return r;
	}
	if (sealing->options->quiesce)
		r = sealing->options->quiesce(sealing->options->arg, sealing->snapshot, deks,
					      count);
	if (r == 0)
		r = seal_frozen(sealing, seal);
	store_thaw(store);
	free(deks);
	return r;
}

static int check_sealable(struct snapshot *snapshot, struct store_error *reterr)
{
	const char *name = snapshot_name(snapshot);
	const char *why = NULL;
	int code = -EINVAL;

	if (snapshot_kind(snapshot) != SNAPSHOT_PLAIN_DIRECTORY)
		why = "a stream or the root is never finished, so it cannot be sealed";
	else if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN)
		why = "foreign: it has no valid identity";
	else if (!snapshot_is_encrypted(snapshot))
		why = "not encrypted, so it has no key to seal it with";
	else if (snapshot_state(snapshot) == SNAPSHOT_DUPLICATE)
		why = "another directory has the same identity";
	else if (!snapshot->store->is_writable)
		why = "the volume is open read-only";
	else if (snapshot_state(snapshot) == SNAPSHOT_SEALED)
		why = "sealed already";
	if (!why)
		return 0;
	if (!snapshot->store->is_writable || snapshot_state(snapshot) == SNAPSHOT_SEALED)
		code = -EROFS;
	return store_fail(reterr, code, EXIT_FAILED, "%s: %s", name, why);
}

static int seal_once(struct snapshot *snapshot, const struct seal_options *options,
		     struct seal *seal, struct uuid *ret_owner, struct store_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct sealing sealing = {
		.store = snapshot->store,
		.snapshot = snapshot,
		.options = options,
		.reterr = reterr,
		.snapshot_fd = -1,
	};
	int r = open_key(snapshot->store, snapshot_dek_id(snapshot), reterr);

	if (r == 0)
		r = snapshot_may_write(snapshot);
	if (r == 0)
		r = snapshot_name_dek(snapshot, &dek);
	if (r < 0)
		return r;
	sealing.dek = dek;
	r = freeze_and_seal(&sealing, seal);
	*ret_owner = sealing.open_owner;
	return r;
}

static int fail_dependency(struct snapshot *snapshot, const struct uuid *owner,
			   struct store_error *reterr)
{
	struct snapshot *other = NULL;
	char name[UUID_TEXT_SIZE];

	uuid_format(owner, name);
	(void)!find_snapshot(snapshot->store, owner, &other);
	store_fail(reterr, -EXDEV, EXIT_FAILED,
		   "%s: files of it are linked from %s, which is not sealed",
		   snapshot_name(snapshot), other ? snapshot_name(other) : name);
	store_advise(reterr, "seal that first, or both with --with-dependencies");
	snapshot_put(other);
	return -EXDEV;
}

static int seal_at_depth(struct snapshot *snapshot, const struct seal_options *options,
			 unsigned depth, struct seal *seal, struct store_error *reterr);

static int seal_owner(struct snapshot *snapshot, const struct uuid *owner,
		      const struct seal_options *options, unsigned depth,
		      struct store_error *reterr)
{
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	struct snapshot *other = NULL;
	int r = find_snapshot(snapshot->store, owner, &other);

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = depth >= DEPENDENCIES_MAX ? -ELOOP
				      : seal_at_depth(other, options, depth + 1, &seal, reterr);
	snapshot_put(other);
	return r;
}

static int seal_at_depth(struct snapshot *snapshot, const struct seal_options *options,
			 unsigned depth, struct seal *seal, struct store_error *reterr)
{
	int r = check_sealable(snapshot, reterr);

	if (r < 0)
		return r;
	r = -EAGAIN;
	for (unsigned i = 0; r == -EAGAIN && i < ATTEMPTS_MAX + DEPENDENCIES_MAX; i++) {
		struct uuid owner = { 0 };

		seal_free(seal);
		reterr->code = 0;
		r = seal_once(snapshot, options, seal, &owner, reterr);
		if (r == -EAGAIN) {
			r = open_key(snapshot->store, store_wanted_dek(), reterr);
			r = r == 0 ? -EAGAIN : r;
		} else if (r == -EXDEV && !uuid_is_zero(&owner)) {
			if (!options->seals_dependencies)
				return fail_dependency(snapshot, &owner, reterr);
			r = seal_owner(snapshot, &owner, options, depth, reterr);
			r = r == 0 ? -EAGAIN : r;
		}
	}
	if (r == 0) {
		snapshot_unmark(snapshot->store, &snapshot->id);
		snapshot_close_tags(snapshot);
		tag_memory_remove(snapshot->store, &snapshot->id);
		if (options->sealed)
			options->sealed(options->arg, snapshot);
	}
	return r;
}

int snapshot_seal(struct snapshot *snapshot, const struct seal_options *options,
		  struct seal *ret_seal, struct store_error *reterr)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	int r;

	(void)saved;
	*reterr = (struct store_error){ 0 };
	r = seal_at_depth(snapshot, options, 0, &seal, reterr);
	if (r < 0) {
		if (reterr->code == 0)
			store_fail(reterr, r, exit_code_from_errno(r), "%s: %s",
				   snapshot_name(snapshot), strerror(-r));
		return r;
	}
	*ret_seal = seal;
	seal = (struct seal){ 0 };
	return 0;
}
