/* SPDX-License-Identifier: Apache-2.0 */
/* Seal records and tombstones: read one by one, the whole chain, and adding to its end. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/store/own_credentials.h"
#include "fs/store/seal_internal.h"
#include "fs/store/sealed_view.h"
#include "kms/crypto/hash.h"
#include "meta/encoding.h"

#define APPEND_ATTEMPTS 64

void seal_free(struct seal *seal)
{
	seal_record_free(&seal->record);
	*seal = (struct seal){ 0 };
}

void seal_cleanup(struct seal *seal)
{
	seal_free(seal);
}

void seal_root_format(const uint8_t root[static SEAL_ROOT_SIZE],
		      char text[static SEAL_ROOT_TEXT_SIZE])
{
	base64url_encode((struct bytes){ root, SEAL_ROOT_SIZE }, text);
}

int seal_root_parse(const char *text, uint8_t root[static SEAL_ROOT_SIZE])
{
	return base64url_decode_exact(text, root, SEAL_ROOT_SIZE) < 0 ? -EINVAL : 0;
}

static void record_name(uint64_t sequence, char name[static CONTROL_NAME_SIZE])
{
	snprintf(name, CONTROL_NAME_SIZE, "seals/%" PRIu64, sequence);
}

int seal_file_root(const struct signed_record *record, uint8_t root[static SEAL_ROOT_SIZE])
{
	return sha256(bytes_from_text(record->data), root);
}

/* ---- One record ---------------------------------------------------------------------------------------------------- */

static int decode_seal(struct store *store, const struct signed_record *found, uint64_t sequence,
		       struct seal *seal)
{
	enum record_type type;
	struct uuid volume;
	int r = record_peek(found->record.line, &type, &volume);

	if (r == 0 && type != RECORD_SEAL)
		r = -EBADMSG;
	if (r == 0)
		r = seal_record_decode(found->record.line, &seal->record);
	if (r < 0)
		return r;
	if (seal->record.sequence != sequence ||
	    !uuid_equal(&seal->record.volume, &store->volume.volume))
		r = -EBADMSG;
	seal->origin = found->origin;
	if (r == 0)
		r = trust_fingerprint(found->record.public_key, seal->writer);
	if (r == 0)
		r = seal_file_root(found, seal->root);
	if (r < 0)
		seal_free(seal);
	return r;
}

int seal_load(struct store *store, uint64_t sequence, struct seal *ret_seal)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct signed_record found;
	struct seal seal = { 0 };
	char name[CONTROL_NAME_SIZE];
	int r;

	(void)saved;
	record_name(sequence, name);
	r = signed_record_load(store->trust, store->control_fd, name, &found);
	if (r < 0)
		return r;
	r = decode_seal(store, &found, sequence, &seal);
	signed_record_free(&found);
	if (r == 0)
		*ret_seal = seal;
	return r;
}

int seal_of_snapshot(struct store *store, const struct uuid *snapshot, struct seal *ret_seal)
{
	const uint64_t sequence = store_seal_sequence(store, snapshot);
	int r;

	if (sequence == 0)
		return store_snapshot_is_sealed(store, snapshot) ? -EBADMSG : -ENOENT;
	r = seal_load(store, sequence, ret_seal);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (uuid_equal(&ret_seal->record.snapshot, snapshot))
		return 0;
	seal_free(ret_seal);
	return -EBADMSG;
}

/* ---- The chain ----------------------------------------------------------------------------------------------------- */

struct chain_walk {
	struct store *store;
	int (*visit)(void *arg, const struct seal_entry *entry);
	void *arg;
	bool has_previous;
	uint8_t previous[SEAL_ROOT_SIZE];
};

static bool is_chained(const struct chain_walk *walk, bool has_previous, const uint8_t *previous)
{
	return !has_previous ||
	       (walk->has_previous && memcmp(previous, walk->previous, SEAL_ROOT_SIZE) == 0);
}

static int visit_seal(struct chain_walk *walk, const struct signed_record *found,
		      struct seal_entry *entry)
{
	struct seal_record record;
	int r = seal_record_decode(found->record.line, &record);

	if (r == 0 && (record.sequence != entry->sequence ||
		       !uuid_equal(&record.volume, &walk->store->volume.volume)))
		r = -EBADMSG;
	if (r == 0) {
		entry->kind = SEAL_ENTRY_SEAL;
		entry->snapshot = record.snapshot;
		entry->name = record.name;
		entry->is_deleted = !store_seal_is_live(walk->store, entry->sequence);
		if (!is_chained(walk, record.has_previous, record.previous))
			entry->fault = "its predecessor is another than the one that is there";
		r = walk->visit(walk->arg, entry);
	} else if (r == -EBADMSG) {
		entry->fault = "not a whole record";
		r = walk->visit(walk->arg, entry);
	}
	seal_record_free(&record);
	return r;
}

static int visit_tombstone(struct chain_walk *walk, const struct signed_record *found,
			   struct seal_entry *entry)
{
	struct tombstone tombstone;
	int r = tombstone_decode(found->record.line, &tombstone);

	if (r == 0 && (tombstone.sequence != entry->sequence ||
		       !uuid_equal(&tombstone.volume, &walk->store->volume.volume)))
		r = -EBADMSG;
	if (r == 0) {
		entry->kind = SEAL_ENTRY_TOMBSTONE;
		entry->snapshot = tombstone.snapshot;
		entry->name = tombstone.name;
		if (!is_chained(walk, tombstone.has_previous, tombstone.previous))
			entry->fault = "its predecessor is another than the one that is there";
		r = walk->visit(walk->arg, entry);
	} else if (r == -EBADMSG) {
		entry->fault = "not a whole record";
		r = walk->visit(walk->arg, entry);
	}
	tombstone_free(&tombstone);
	return r;
}

static int visit_found(struct chain_walk *walk, const struct signed_record *found,
		       struct seal_entry *entry)
{
	enum record_type type;
	struct uuid volume;
	int r = seal_file_root(found, entry->root);

	if (r < 0)
		return r;
	entry->origin = found->origin;
	if (!store_root_is_expected(walk->store, entry->sequence, entry->root))
		entry->fault = "another record than this host has seen";
	r = record_peek(found->record.line, &type, &volume);
	if (r == 0 && type == RECORD_SEAL)
		r = visit_seal(walk, found, entry);
	else if (r == 0 && type == RECORD_TOMBSTONE)
		r = visit_tombstone(walk, found, entry);
	else {
		entry->fault = "not a seal record";
		r = walk->visit(walk->arg, entry);
	}
	memcpy(walk->previous, entry->root, SEAL_ROOT_SIZE);
	walk->has_previous = true;
	return r;
}

static int visit_number(struct chain_walk *walk, uint64_t sequence)
{
	struct seal_entry entry = { .sequence = sequence, .kind = SEAL_ENTRY_BAD, .name = "" };
	struct signed_record found;
	char name[CONTROL_NAME_SIZE];
	int r;

	record_name(sequence, name);
	r = signed_record_load(walk->store->trust, walk->store->control_fd, name, &found);
	if (r == 0) {
		r = visit_found(walk, &found, &entry);
		signed_record_free(&found);
		return r;
	}
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	walk->has_previous = false;
	entry.kind = r == -ENOENT ? SEAL_ENTRY_MISSING : SEAL_ENTRY_BAD;
	entry.fault = r == -ENOENT ? "missing" : "not a whole record";
	return walk->visit(walk->arg, &entry);
}

int seal_each(struct store *store, int (*visit)(void *arg, const struct seal_entry *entry),
	      void *arg)
{
	struct chain_walk walk = { .store = store, .visit = visit, .arg = arg };
	uint64_t highest = store_highest_seal(store);
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(store->control_fd, "seals", &numbers, &count);

	if (r < 0 && r != -ENOENT)
		return r;
	if (count > 0 && numbers[0] > highest)
		highest = numbers[0];
	free(numbers);
	r = 0;
	for (uint64_t sequence = 1; r == 0 && sequence <= highest; sequence++)
		r = visit_number(&walk, sequence);
	return r;
}

/* ---- Adding to it -------------------------------------------------------------------------------------------------- */

/* The end of the chain on storage: 0 where there is none yet. */
static int find_end(struct store *store, uint64_t *ret_sequence,
		    uint8_t root[static SEAL_ROOT_SIZE])
{
	struct signed_record found;
	char name[CONTROL_NAME_SIZE];
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(store->control_fd, "seals", &numbers, &count);

	*ret_sequence = 0;
	if (r == 0 && count > 0)
		*ret_sequence = numbers[0];
	free(numbers);
	if (r == -ENOENT || (r == 0 && count == 0))
		return 0;
	if (r < 0)
		return r;
	record_name(*ret_sequence, name);
	r = signed_record_load(store->trust, store->control_fd, name, &found);
	if (r < 0)
		return r;
	r = seal_file_root(&found, root);
	signed_record_free(&found);
	return r;
}

/* 0; -EEXIST: somebody else was quicker. */
static int append_once(struct store *store, const struct chain_append *append,
		       uint64_t *ret_sequence, uint8_t root[static SEAL_ROOT_SIZE])
{
	uint8_t previous[SEAL_ROOT_SIZE] = { 0 };
	char name[24];
	char *line = NULL;
	char *text = NULL;
	uint64_t sequence = 0;
	int r = find_end(store, &sequence, previous);

	if (r < 0)
		return r;
	sequence++;
	r = append->encode(append->arg, sequence, sequence > 1 ? previous : NULL, &line);
	if (r == 0)
		r = trust_sign(store->trust, line, &text);
	free(line);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%" PRIu64, sequence);
	r = record_publish(store->control_fd, "seals", name, text);
	if (r == 0)
		r = sha256(bytes_from_text(text), root);
	free(text);
	*ret_sequence = sequence;
	return r;
}

int chain_append(struct store *store, const struct chain_append *append, uint64_t *ret_sequence,
		 uint8_t root[static SEAL_ROOT_SIZE])
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	int r = -EEXIST;

	(void)saved;
	for (unsigned i = 0; r == -EEXIST && i < APPEND_ATTEMPTS; i++)
		r = append_once(store, append, ret_sequence, root);
	return r;
}

static int encode_tombstone(void *arg, uint64_t sequence, const uint8_t *previous, char **ret_line)
{
	struct tombstone *tombstone = arg;

	tombstone->sequence = sequence;
	tombstone->has_previous = previous != NULL;
	if (previous)
		memcpy(tombstone->previous, previous, SEAL_ROOT_SIZE);
	return tombstone_encode(tombstone, ret_line);
}

int snapshot_bury(struct snapshot *snapshot, const char *reason, const struct uuid *shredded,
		  size_t shredded_count)
{
	struct store *store = snapshot->store;
	struct tombstone tombstone = {
		.volume = store->volume.volume,
		.snapshot = snapshot->id,
		.name = strdup(snapshot_name(snapshot)),
		.deleted_s = time(NULL),
		.reason = strdup(reason),
		.seal = store_seal_sequence(store, &snapshot->id),
		.shredded = calloc(shredded_count + 1, sizeof(*shredded)),
		.shredded_count = shredded_count,
	};
	const struct chain_append append = { encode_tombstone, &tombstone };
	uint8_t root[SEAL_ROOT_SIZE];
	uint64_t sequence = 0;
	int r = tombstone.name && tombstone.reason && tombstone.shredded ? 0 : -ENOMEM;

	if (r == 0 && !store->is_writable)
		r = -EROFS;
	if (r == 0 && shredded_count > 0)
		memcpy(tombstone.shredded, shredded, shredded_count * sizeof(*shredded));
	if (r == 0)
		r = chain_append(store, &append, &sequence, root);
	if (r == 0)
		r = store_note_tombstone(store, &tombstone, root);
	tombstone_free(&tombstone);
	if (r == 0)
		snapshot_drop_view(snapshot);
	return r;
}
