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
#include "fs/store/own_credentials.h"
#include "fs/store/sealing.h"
#include "fs/store/tag_memory.h"

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
		store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r), "data key: %s",
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
	r = sealing_open_spools(sealing, heap_name);
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

	sealing_close_spools(sealing, heap_name);
	HASH_ITER (hh, sealing->links, link, next) {
		HASH_DEL(sealing->links, link);
		free(link);
	}
	sealing_free_older(sealing);
	tag_memory_close(sealing->memory);
	if (sealing->snapshot_fd >= 0)
		close(sealing->snapshot_fd);
	free(sealing->first_changed);
	free(sealing->deks);
}

/* Written down before it is done. */
static int audit_seal(struct sealing *sealing)
{
	const struct audit_entry entry = {
		.operation = AUDIT_SEAL,
		.volume = &sealing->store->volume.volume,
		.snapshot = &sealing->snapshot->id,
		.data_key = dek_id(sealing->dek),
		.detail = snapshot_name(sealing->snapshot),
	};
	int r = sealing->store->kms ? kms_audit(sealing->store->kms, &entry) : 0;

	return r < 0 ? store_fail(sealing->reterr, r, EXIT_FAILED,
				  "the audit log cannot be written, and audit_on_failure is block")
		     : 0;
}

static int seal_frozen(struct sealing *sealing, struct seal *seal)
{
	char heap_name[UUID_TEXT_SIZE] = "";
	struct seal_manifest manifest = { 0 };
	int r = prepare(sealing, heap_name);

	if (r == 0)
		r = sealing_walk(sealing);
	if (r == 0)
		r = sealing_check_changed(sealing);
	if (r == 0)
		r = sealing_write_manifest(sealing, &manifest);
	if (r == 0)
		r = audit_seal(sealing);
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
			store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r), "%s: %s",
				   snapshot_name(snapshot), strerror(-r));
		return r;
	}
	*ret_seal = seal;
	seal = (struct seal){ 0 };
	return 0;
}
