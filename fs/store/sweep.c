/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing what nothing needs any more.
 *
 * What could be removed is listed first, then who is there, then the volume is scanned for what is needed.  So a key record is only
 * removed if it was complete before the scan began and nothing had come to need it when the scan ended: whatever could be made under
 * a data key that nothing names would have to be linked from something that does.  Two exceptions are kept whatever the scan says: the
 * newest data key of a stream that is there, and those that it took the place of within the last hour, for a change may be on its way
 * that has taken the older one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/need_scan.h"
#include "fs/store/own_credentials.h"
#include "fs/store/removal_internal.h"

#define ON_ITS_WAY_S 3600

struct marker {
	struct uuid dek;
	struct uuid snapshot;
};

/* A data key that there is. */
struct candidate {
	struct uuid dek;
	struct uuid owner; /* zero: its record cannot be read */
	int64_t period_start_s;
	char *key_id;
};

/* A snapshot that is there. */
struct present {
	struct uuid id;
	bool is_fixed; /* sealed: nothing is linked into it any more */
};

struct survey {
	struct store *store;
	int64_t now_s;
	struct candidate *candidates;
	size_t candidate_count;
	struct marker *markers;
	size_t marker_count;
	struct present *present;
	size_t present_count;
	struct need_dek *needs;
	size_t need_count;
};

static void survey_free(struct survey *survey)
{
	for (size_t i = 0; i < survey->candidate_count; i++)
		free(survey->candidates[i].key_id);
	free(survey->candidates);
	free(survey->markers);
	free(survey->present);
	free(survey->needs);
}

void sweep_free(struct sweep *sweep)
{
	names_free(sweep->key_ids, sweep->key_id_count);
	free(sweep->deks);
	*sweep = (struct sweep){ 0 };
}

/* ---- What there is ----------------------------------------------------------------------------------------------- */

static int list_candidate(void *arg, const struct uuid *dek_id)
{
	struct survey *survey = arg;
	struct candidate candidate = { .dek = *dek_id };
	struct candidate *grown = reallocarray(survey->candidates, survey->candidate_count + 1,
					       sizeof(*grown));
	struct key_record record;

	if (!grown)
		return -ENOMEM;
	survey->candidates = grown;
	if (store_key_record(survey->store, dek_id, &record, NULL) == 0) {
		candidate.owner = record.snapshot;
		candidate.period_start_s = record.period_start_s;
		candidate.key_id = strdup(key_record_primary(&record)->key_id);
		key_record_free(&record);
		if (!candidate.key_id)
			return -ENOMEM;
	}
	survey->candidates[survey->candidate_count++] = candidate;
	return 0;
}

static void marker_directory(const struct uuid *dek_id, char path[static CONTROL_NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(dek_id, id);
	snprintf(path, CONTROL_NAME_SIZE, "keys/%s/needed-by", id);
}

static int add_marker(struct survey *survey, const struct uuid *dek_id, const char *name)
{
	struct marker marker = { .dek = *dek_id };
	struct marker *grown;

	if (uuid_parse(name, &marker.snapshot) < 0)
		return 0;
	grown = reallocarray(survey->markers, survey->marker_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	survey->markers = grown;
	survey->markers[survey->marker_count++] = marker;
	return 0;
}

static int list_markers(struct survey *survey, const struct uuid *dek_id)
{
	char path[CONTROL_NAME_SIZE];
	char **names = NULL;
	size_t count = 0;
	int fd;
	int r;

	marker_directory(dek_id, path);
	fd = open_beneath(survey->store->control_fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	close(fd);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_marker(survey, dek_id, names[i]);
	names_free(names, count);
	return r;
}

static int add_present(struct survey *survey, const struct uuid *id, bool is_fixed)
{
	struct present *grown = reallocarray(survey->present, survey->present_count + 1,
					     sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	survey->present = grown;
	survey->present[survey->present_count++] = (struct present){ *id, is_fixed };
	return 0;
}

static int see_present(void *arg, struct snapshot *snapshot, int fd)
{
	const enum snapshot_state state = snapshot_state(snapshot);

	(void)fd;
	if (state == SNAPSHOT_FOREIGN)
		return 0;
	return add_present(arg, snapshot_id(snapshot), state == SNAPSHOT_SEALED);
}

static int list_present(struct survey *survey)
{
	struct snapshot *root = snapshot_root(survey->store);
	int r = add_present(survey, snapshot_id(root), false);

	snapshot_put(root);
	return r < 0 ? r : snapshot_each(survey->store, see_present, survey);
}

static int take_survey(struct survey *survey, struct store_error *reterr)
{
	struct store *store = survey->store;
	int r;

	/* Nobody is between a key record and the directory that names it. */
	pthread_rwlock_wrlock(&store->creation_lock);
	r = dek_each(store, list_candidate, survey);
	for (size_t i = 0; r == 0 && i < survey->candidate_count; i++)
		r = list_markers(survey, &survey->candidates[i].dek);
	pthread_rwlock_unlock(&store->creation_lock);
	if (r == 0)
		r = list_present(survey);
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "key records: %s", strerror(-r));
	return need_scan_deks(store->root_fd, store->trust, &survey->needs, &survey->need_count,
			      reterr);
}

/* ---- What is needed ---------------------------------------------------------------------------------------------- */

/* The first need of a data key, or the end: they are sorted by it. */
static size_t first_need(const struct survey *survey, const struct uuid *dek)
{
	size_t low = 0;
	size_t high = survey->need_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (uuid_compare(&survey->needs[middle].dek, dek) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_needed(const struct survey *survey, const struct uuid *dek)
{
	const size_t first = first_need(survey, dek);

	return first < survey->need_count && uuid_equal(&survey->needs[first].dek, dek);
}

static bool is_needed_by(const struct survey *survey, const struct marker *marker)
{
	for (size_t i = first_need(survey, &marker->dek);
	     i < survey->need_count && uuid_equal(&survey->needs[i].dek, &marker->dek); i++)
		if (uuid_equal(&survey->needs[i].snapshot, &marker->snapshot))
			return true;
	return false;
}

static const struct present *find_present(const struct survey *survey, const struct uuid *id)
{
	for (size_t i = 0; i < survey->present_count; i++)
		if (uuid_equal(&survey->present[i].id, id))
			return &survey->present[i];
	return NULL;
}

/* Has a stream that is there replaced it, and long enough ago? */
static bool is_replaced(const struct survey *survey, const struct candidate *candidate)
{
	for (size_t i = 0; i < survey->candidate_count; i++) {
		const struct candidate *other = &survey->candidates[i];

		if (uuid_equal(&other->owner, &candidate->owner) &&
		    other->period_start_s > candidate->period_start_s &&
		    other->period_start_s <= survey->now_s - ON_ITS_WAY_S)
			return true;
	}
	return false;
}

static bool is_removable(const struct survey *survey, const struct candidate *candidate)
{
	if (is_needed(survey, &candidate->dek))
		return false;
	return candidate->period_start_s == 0 || !find_present(survey, &candidate->owner) ||
	       is_replaced(survey, candidate);
}

/* ---- Removing ---------------------------------------------------------------------------------------------------- */

static int note_key_id(struct sweep *sweep, const char *key_id)
{
	char **grown;

	for (size_t i = 0; i < sweep->key_id_count; i++)
		if (strcmp(sweep->key_ids[i], key_id) == 0)
			return 0;
	grown = reallocarray(sweep->key_ids, sweep->key_id_count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	sweep->key_ids = grown;
	grown[sweep->key_id_count] = strdup(key_id);
	return grown[sweep->key_id_count++] ? 0 : -ENOMEM;
}

static int remove_dek(const struct survey *survey, const struct candidate *candidate,
		      struct sweep *sweep)
{
	struct uuid *grown = reallocarray(sweep->deks, sweep->dek_count + 1, sizeof(*grown));
	int r = grown ? 0 : -ENOMEM;

	if (grown) {
		sweep->deks = grown;
		r = removal_drop_dek(survey->store, &candidate->dek);
	}
	if (r == 0 && candidate->key_id)
		r = note_key_id(sweep, candidate->key_id);
	if (r == 0)
		sweep->deks[sweep->dek_count++] = candidate->dek;
	return r;
}

/* Of a snapshot that may still be written to a marker is kept: it may be there for a link that is being made. */
static bool is_marker_spent(const struct survey *survey, const struct marker *marker)
{
	const struct present *present = find_present(survey, &marker->snapshot);

	return (!present || present->is_fixed) && !is_needed_by(survey, marker);
}

static int remove_marker(const struct survey *survey, const struct marker *marker)
{
	char path[CONTROL_NAME_SIZE];
	char name[UUID_TEXT_SIZE];
	int r = 0;
	int fd;

	marker_directory(&marker->dek, path);
	fd = open_beneath(survey->store->control_fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	uuid_format(&marker->snapshot, name);
	if ((unlinkat(fd, name, 0) < 0 && errno != ENOENT) || fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Files or directories of snapshots, by their id, below DIRECTORY: those of snapshots that are gone. */
static int remove_orphans(const struct survey *survey, const char *directory)
{
	struct store *store = survey->store;
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(store->control_fd, directory, O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct uuid id;
		bool is_buried = false;

		if (uuid_parse(names[i], &id) < 0 || find_present(survey, &id))
			continue;
		/* One that was moved away by hand may come back: only what has a tombstone is gone for good. */
		r = store_is_buried(store, &id, &is_buried);
		if (r == 0 && is_buried)
			r = removal_move_aside(store, fd, names[i]);
	}
	names_free(names, count);
	close(fd);
	return r;
}

static int remove_unneeded(const struct survey *survey, struct sweep *sweep)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < survey->candidate_count; i++)
		if (is_removable(survey, &survey->candidates[i]))
			r = remove_dek(survey, &survey->candidates[i], sweep);
	for (size_t i = 0; r == 0 && i < survey->marker_count; i++)
		if (is_marker_spent(survey, &survey->markers[i])) {
			r = remove_marker(survey, &survey->markers[i]);
			sweep->markers++;
		}
	if (r == 0)
		r = remove_orphans(survey, "manifests");
	if (r == 0)
		r = remove_orphans(survey, "labels");
	if (r == 0)
		r = remove_orphans(survey, "writing");
	return r == 0 ? removal_empty(survey->store) : r;
}

static int sweep_locked(struct store *store, struct sweep *sweep, struct store_error *reterr)
{
	struct survey survey = { .store = store, .now_s = time(NULL) };
	int r = removal_empty(store);

	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "what a deletion left in tmp: %s",
				  strerror(-r));
	r = take_survey(&survey, reterr);
	if (r == 0) {
		r = remove_unneeded(&survey, sweep);
		if (r < 0)
			store_fail(reterr, r, EXIT_STORAGE, "key records and markers: %s",
				   strerror(-r));
		dek_index_forget(store);
		if (sweep->markers > 0)
			snapshots_refresh_index(store);
	}
	survey_free(&survey);
	return r;
}

int store_sweep(struct store *store, struct sweep *ret_sweep, struct store_error *reterr)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct sweep sweep = { 0 };
	int r;

	(void)saved;
	if (!store->is_writable)
		return store_fail(reterr, -EROFS, EXIT_FAILED, "the volume is open read-only");
	pthread_mutex_lock(&store->removal_mutex);
	r = sweep_locked(store, &sweep, reterr);
	pthread_mutex_unlock(&store->removal_mutex);
	if (r < 0) {
		sweep_free(&sweep);
		return r;
	}
	*ret_sweep = sweep;
	return 0;
}
