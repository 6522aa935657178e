/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys the snapshots of a volume need: from what was found to the list. */
#include "fs/store/need_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/need_internal.h"
#include "fs/store/store_internal.h"

#define ROUNDS_MAX 8

int need_note(struct need_scan *scan, size_t place, const struct uuid *dek)
{
	const struct need_pair_key key = { *dek, place };
	struct need_pair *pair = NULL;
	int r = 0;

	pthread_mutex_lock(&scan->lock);
	HASH_FIND(hh, scan->pairs, &key, sizeof(key), pair);
	if (!pair) {
		pair = calloc(1, sizeof(*pair));
		r = pair ? 0 : -ENOMEM;
		if (pair) {
			pair->key = key;
			HASH_ADD(hh, scan->pairs, key, sizeof(pair->key), pair);
		}
	}
	pthread_mutex_unlock(&scan->lock);
	return r;
}

static void scan_free(struct need_scan *scan)
{
	struct need_record *record;
	struct need_record *next_record;
	struct need_pair *pair;
	struct need_pair *next_pair;

	HASH_ITER (hh, scan->records, record, next_record) {
		HASH_DEL(scan->records, record);
		free(record->slots);
		free(record);
	}
	HASH_ITER (hh, scan->pairs, pair, next_pair) {
		HASH_DEL(scan->pairs, pair);
		free(pair);
	}
	for (size_t i = 0; i < scan->place_count; i++) {
		free(scan->places[i].path);
		free(scan->places[i].sealed_name);
	}
	free(scan->places);
	if (scan->control_fd >= 0)
		close(scan->control_fd);
	pthread_mutex_destroy(&scan->lock);
}

/* ---- Looking until nothing changes ------------------------------------------------------------------------------- */

/* A snapshot's names need its data key, whatever is in it. */
static int note_identities(struct need_scan *scan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < scan->place_count; i++)
		if (!uuid_is_zero(&scan->places[i].dek))
			r = need_note(scan, i, &scan->places[i].dek);
	return r;
}

static bool is_later(const struct need_record *record, const struct need_record *than)
{
	return !than || record->period_start_s > than->period_start_s;
}

/* More may come under the data key of a period that is not over. */
static int note_periods(struct need_scan *scan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < scan->place_count; i++) {
		const struct need_place *place = &scan->places[i];
		const struct need_record *current = NULL;

		if (!place->path || place->period_s == 0)
			continue;
		for (const struct need_record *record = scan->records; record;
		     record = record->hh.next)
			if (uuid_equal(&record->owner, &place->id) && is_later(record, current))
				current = record;
		if (current && scan->now_s - current->period_start_s < place->period_s)
			r = need_note(scan, i, &current->dek);
	}
	return r;
}

/* Walk those that were never walked.  RET_COUNT: how many. */
static int walk_new(struct need_scan *scan, size_t *ret_count)
{
	size_t *places = calloc(scan->place_count + 1, sizeof(*places));
	size_t count = 0;
	int r;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < scan->place_count; i++)
		if (!scan->places[i].is_walked)
			places[count++] = i;
	r = count > 0 ? need_walk(scan, places, count) : 0;
	free(places);
	*ret_count = count;
	return r;
}

/* Places to look at again. */
struct suspects {
	bool *is_suspect;
	size_t count;
};

static void suspect(struct need_scan *scan, const struct uuid *snapshot, struct suspects *suspects)
{
	for (size_t i = 0; i < scan->place_count; i++) {
		const struct need_place *place = &scan->places[i];

		if (place->path && place->has_identity && uuid_equal(&place->id, snapshot) &&
		    !suspects->is_suspect[i]) {
			suspects->is_suspect[i] = true;
			suspects->count++;
		}
	}
}

/* Of a data key that was found nowhere: the snapshots in which it could be. */
static int suspect_holders(struct need_scan *scan, const struct need_record *record,
			   struct suspects *suspects)
{
	struct uuid *snapshots = NULL;
	size_t count = 0;
	int r = need_read_markers(scan, &record->dek, &snapshots, &count);

	if (r < 0)
		return r;
	suspect(scan, &record->owner, suspects);
	for (size_t i = 0; i < count; i++)
		suspect(scan, &snapshots[i], suspects);
	free(snapshots);
	return 0;
}

static int compare_deks(const void *a, const void *b)
{
	return uuid_compare(a, b);
}

static int needed_deks(struct need_scan *scan, struct uuid **ret_deks, size_t *ret_count)
{
	struct uuid *deks = calloc(HASH_COUNT(scan->pairs) + 1, sizeof(*deks));
	size_t count = 0;

	if (!deks)
		return -ENOMEM;
	for (const struct need_pair *pair = scan->pairs; pair; pair = pair->hh.next)
		deks[count++] = pair->key.dek;
	if (count > 1)
		qsort(deks, count, sizeof(*deks), compare_deks);
	*ret_deks = deks;
	*ret_count = count;
	return 0;
}

static int find_suspects(struct need_scan *scan, struct suspects *suspects)
{
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = needed_deks(scan, &deks, &count);

	for (const struct need_record *record = scan->records; r == 0 && record;
	     record = record->hh.next)
		if (count == 0 || !bsearch(&record->dek, deks, count, sizeof(*deks), compare_deks))
			r = suspect_holders(scan, record, suspects);
	free(deks);
	return r;
}

/* Walk again where directories are not what they were.  RET_CHANGED: how many were. */
static int walk_changed(struct need_scan *scan, const struct suspects *suspects,
			size_t *ret_changed)
{
	size_t changed = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < scan->place_count; i++) {
		uint64_t fingerprint = 0;

		if (!suspects->is_suspect[i])
			continue;
		r = need_walk_directories(scan, i, &fingerprint);
		if (r == 0 && fingerprint != scan->places[i].fingerprint) {
			r = need_walk(scan, &i, 1);
			changed++;
		}
	}
	*ret_changed = changed;
	return r;
}

static int look_again(struct need_scan *scan, size_t *ret_changed)
{
	struct suspects suspects = {
		.is_suspect = calloc(scan->place_count + 1, sizeof(*suspects.is_suspect)),
	};
	int r = suspects.is_suspect ? find_suspects(scan, &suspects) : -ENOMEM;

	*ret_changed = 0;
	if (r == 0 && suspects.count > 0)
		r = walk_changed(scan, &suspects, ret_changed);
	free(suspects.is_suspect);
	return r;
}

/*
 * One round: key records first, then who is there, then what is in them.  A round that finds nothing new and nothing changed
 * is the last: between the walks and this round's looks, nothing that matters was added, so all of it was seen at one time.
 */
static int run_round(struct need_scan *scan, bool *ret_is_last)
{
	const unsigned known = HASH_COUNT(scan->records);
	size_t walked = 0;
	size_t changed = 0;
	int r = need_read_records(scan);

	if (r == 0)
		r = need_list_places(scan);
	if (r == 0)
		r = walk_new(scan, &walked);
	if (r == 0)
		r = note_identities(scan);
	if (r == 0)
		r = note_periods(scan);
	if (r == 0)
		r = look_again(scan, &changed);
	*ret_is_last = walked == 0 && changed == 0 && HASH_COUNT(scan->records) == known;
	return r;
}

static int run_rounds(struct need_scan *scan)
{
	bool is_last = false;
	int r = 0;

	for (int i = 0; r == 0 && !is_last && i < ROUNDS_MAX; i++)
		r = run_round(scan, &is_last);
	scan->list->is_stable = is_last;
	return r < 0 ? r : need_read_seals(scan);
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

static bool has_slot_before(const struct need_record *record, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (record->slots[i].key == record->slots[index].key &&
		    record->slots[i].role == record->slots[index].role)
			return true;
	return false;
}

static int add_uses(struct need_scan *scan, const struct need_pair *pair, uint32_t snapshot)
{
	const struct need_place *place = &scan->places[pair->key.snapshot];
	const struct need_record *record = NULL;
	int r = 0;

	HASH_FIND(hh, scan->records, &pair->key.dek, sizeof(pair->key.dek), record);
	/* A plain directory may hold a copy of some other volume. */
	if (!record && !(place->has_identity && place->is_encrypted))
		return 0;
	if (!record || !record->is_usable) {
		scan->list->unusable_count++;
		return 0;
	}
	for (size_t i = 0; r == 0 && i < record->slot_count; i++)
		if (!has_slot_before(record, i))
			r = need_list_add_use(scan->list, &(struct need_use){
								  .snapshot = snapshot,
								  .key = record->slots[i].key,
								  .role = record->slots[i].role,
								  .dek_count = 1,
							  });
	return r;
}

static int compare_places(const void *a, const void *b)
{
	const struct need_place *const *left = a;
	const struct need_place *const *right = b;
	const char *left_name = (*left)->path ? (*left)->path : (*left)->sealed_name;
	const char *right_name = (*right)->path ? (*right)->path : (*right)->sealed_name;

	return strcmp(left_name, right_name);
}

/* Add all places by name; INDEXES: where each of scan->places is in the list. */
static int add_snapshots(struct need_scan *scan, uint32_t *indexes)
{
	const struct need_place **sorted = calloc(scan->place_count + 1, sizeof(*sorted));
	int r = sorted ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < scan->place_count; i++)
		sorted[i] = &scan->places[i];
	if (r == 0)
		qsort(sorted, scan->place_count, sizeof(*sorted), compare_places);
	for (size_t i = 0; r == 0 && i < scan->place_count; i++) {
		const struct need_place *place = sorted[i];
		const struct need_snapshot snapshot = {
			.id = place->id,
			.name = place->path ? place->path : place->sealed_name,
			.kind = place->kind,
			.is_present = place->path != NULL,
			.is_foreign = !place->has_identity,
			.is_encrypted = place->is_encrypted,
			.created_s = place->created_s,
			.sealed_s = place->sealed_s,
		};

		scan->list->damaged_count += place->damaged;
		scan->list->unreadable_count += place->unreadable;
		r = need_list_add_snapshot(scan->list, &snapshot, &indexes[place - scan->places]);
	}
	free(sorted);
	return r;
}

static int make_list(struct need_scan *scan)
{
	uint32_t *indexes = calloc(scan->place_count + 1, sizeof(*indexes));
	int r = indexes ? add_snapshots(scan, indexes) : -ENOMEM;

	for (const struct need_pair *pair = scan->pairs; r == 0 && pair; pair = pair->hh.next)
		r = add_uses(scan, pair, indexes[pair->key.snapshot]);
	free(indexes);
	scan->list->unreadable_count += scan->unreadable;
	need_list_finish(scan->list);
	return r;
}

/* ---- Beginning and end ------------------------------------------------------------------------------------------- */

static int begin(struct need_scan *scan, int backing_fd, struct store_error *reterr)
{
	struct store_description description = { 0 };
	struct need_fingerprint fingerprint;
	struct need_list *list = scan->list;
	int r = store_describe(backing_fd, scan->trust, &description, reterr);

	if (r < 0)
		return r;
	scan->volume = description.record.volume;
	scan->depth = description.record.snapshot_depth;
	list->volume = scan->volume;
	list->is_encrypted = description.record.is_encrypted;
	memcpy(list->default_key_id, description.record.default_key_id,
	       sizeof(list->default_key_id));
	volume_record_free(&description.record);
	list->scanned_s = scan->now_s;
	/* Before anything else is looked at: what changes from now on changes it. */
	r = need_fingerprint(backing_fd, scan->trust, &fingerprint, reterr);
	if (r < 0)
		return r;
	memcpy(list->fingerprint, fingerprint.text, sizeof(list->fingerprint));
	return store_open_control(backing_fd, &scan->control_fd, reterr);
}

/* The scan itself, with scan->list filled. */
static int run(struct need_scan *scan, int backing_fd, struct store_error *reterr)
{
	int r = begin(scan, backing_fd, reterr);

	if (r < 0)
		return r;
	r = run_rounds(scan);
	if (r == 0)
		r = make_list(scan);
	return r < 0 ? store_fail(reterr, r, EXIT_STORAGE, "scan: %s", strerror(-r)) : 0;
}

static void scan_init(struct need_scan *scan, int backing_fd, struct trust *trust,
		      struct need_list *list)
{
	*scan = (struct need_scan){
		.root_fd = backing_fd,
		.control_fd = -1,
		.trust = trust,
		.now_s = time(NULL),
		.list = list,
	};
	pthread_mutex_init(&scan->lock, NULL);
}

int need_scan(int backing_fd, struct trust *trust, struct need_list *ret_list,
	      struct store_error *reterr)
{
	struct need_list list = { 0 };
	struct need_scan scan;
	int r;

	scan_init(&scan, backing_fd, trust, &list);
	r = run(&scan, backing_fd, reterr);
	scan_free(&scan);
	if (r < 0) {
		need_list_free(&list);
		return r;
	}
	*ret_list = list;
	return 0;
}

static int compare_needs(const void *a, const void *b)
{
	const struct need_dek *left = a;
	const struct need_dek *right = b;
	const int r = uuid_compare(&left->dek, &right->dek);

	return r != 0 ? r : uuid_compare(&left->snapshot, &right->snapshot);
}

static int copy_deks(const struct need_scan *scan, struct need_dek **ret_deks, size_t *ret_count)
{
	struct need_dek *deks = calloc(HASH_COUNT(scan->pairs) + 1, sizeof(*deks));
	size_t count = 0;

	if (!deks)
		return -ENOMEM;
	for (const struct need_pair *pair = scan->pairs; pair; pair = pair->hh.next)
		deks[count++] = (struct need_dek){ scan->places[pair->key.snapshot].id,
						   pair->key.dek };
	if (count > 1)
		qsort(deks, count, sizeof(*deks), compare_needs);
	*ret_deks = deks;
	*ret_count = count;
	return 0;
}

int need_scan_deks(int backing_fd, struct trust *trust, struct need_dek **ret_deks,
		   size_t *ret_count, struct store_error *reterr)
{
	struct need_list list = { 0 };
	struct need_scan scan;
	int r;

	scan_init(&scan, backing_fd, trust, &list);
	r = run(&scan, backing_fd, reterr);
	if (r == 0 && !(list.is_stable && list.damaged_count == 0 && list.unreadable_count == 0))
		r = store_fail(reterr, -EAGAIN, EXIT_STORAGE,
			       "not all of the volume could be read, or it was changing");
	if (r == 0)
		r = copy_deks(&scan, ret_deks, ret_count);
	scan_free(&scan);
	need_list_free(&list);
	return r;
}
