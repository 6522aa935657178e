/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which DEKs belong to a snapshot, and which others need one: read from keys/ once, so that listing many snapshots does not
 * walk many keys for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/snapshot_internal.h"

/* A store that does not write sees what another mount has changed after this time. */
#define INDEX_AGE_MAX_S 10

/* SNAPSHOT needs DEK. */
struct dek_pair {
	struct uuid snapshot;
	struct uuid dek;
};
struct dek_pairs {
	struct dek_pair *pairs;
	size_t count;
	size_t capacity;
};

/* Whose DEK it is: that never changes. */
struct dek_owner {
	struct uuid dek;
	struct uuid snapshot;
	UT_hash_handle hh;
};

struct dek_index {
	struct dek_pairs needed;
	bool is_needed_known;
	time_t needed_s;
	struct dek_owner *owners;
};

int dek_each(struct store *store, int (*visit)(void *arg, const struct uuid *dek_id), void *arg)
{
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(store->control_fd, "keys", O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	close(fd);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct uuid id;

		if (uuid_parse(names[i], &id) == 0)
			r = visit(arg, &id);
	}
	names_free(names, count);
	return r;
}

static int add_pair(struct dek_pairs *pairs, const struct uuid *snapshot, const struct uuid *dek_id)
{
	if (pairs->count == pairs->capacity) {
		const size_t capacity = pairs->capacity ? pairs->capacity * 2 : 64;
		struct dek_pair *grown = reallocarray(pairs->pairs, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		pairs->pairs = grown;
		pairs->capacity = capacity;
	}
	pairs->pairs[pairs->count++] = (struct dek_pair){ .snapshot = *snapshot, .dek = *dek_id };
	return 0;
}

static int index_markers(void *arg, const struct uuid *dek_id)
{
	struct store *store = arg;
	char directory[CONTROL_NAME_SIZE];
	char needed[CONTROL_NAME_SIZE + sizeof("/needed-by")];
	char **names = NULL;
	size_t count = 0;
	int fd;
	int r;

	key_directory(dek_id, directory);
	snprintf(needed, sizeof(needed), "%s/needed-by", directory);
	fd = open_beneath(store->control_fd, needed, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	close(fd);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct uuid snapshot;

		if (uuid_parse(names[i], &snapshot) == 0)
			r = add_pair(&store->dek_index->needed, &snapshot, dek_id);
	}
	names_free(names, count);
	return r;
}

static int compare_pairs(const void *a, const void *b)
{
	return uuid_compare(&((const struct dek_pair *)a)->snapshot,
			    &((const struct dek_pair *)b)->snapshot);
}

static time_t monotonic_s(void)
{
	struct timespec now;

	return clock_gettime(CLOCK_MONOTONIC, &now) < 0 ? 0 : now.tv_sec;
}

static int need_index(struct store *store)
{
	if (!store->dek_index)
		store->dek_index = calloc(1, sizeof(*store->dek_index));
	return store->dek_index ? 0 : -ENOMEM;
}

/* Under the index's mutex. */
static int need_pairs(struct store *store)
{
	struct dek_index *index = store->dek_index;
	int r;

	if (index->is_needed_known &&
	    (store->is_writable || monotonic_s() - index->needed_s < INDEX_AGE_MAX_S))
		return 0;
	index->needed.count = 0;
	index->is_needed_known = false;
	r = dek_each(store, index_markers, store);
	if (r < 0)
		return r;
	if (index->needed.count > 1)
		qsort(index->needed.pairs, index->needed.count, sizeof(*index->needed.pairs),
		      compare_pairs);
	index->is_needed_known = true;
	index->needed_s = monotonic_s();
	return 0;
}

/* The first of a snapshot's pairs, or the end. */
static size_t first_pair(const struct dek_pairs *pairs, const struct uuid *snapshot)
{
	size_t low = 0;
	size_t high = pairs->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (uuid_compare(&pairs->pairs[middle].snapshot, snapshot) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int copy_needed(const struct dek_pairs *pairs, const struct uuid *snapshot,
		       struct uuid **ret_deks, size_t *ret_count)
{
	const size_t first = first_pair(pairs, snapshot);
	size_t count = 0;
	struct uuid *deks;

	while (first + count < pairs->count &&
	       uuid_equal(&pairs->pairs[first + count].snapshot, snapshot))
		count++;
	deks = calloc(count + 1, sizeof(*deks));
	if (!deks)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		deks[i] = pairs->pairs[first + i].dek;
	*ret_deks = deks;
	*ret_count = count;
	return 0;
}

int dek_index_needed(struct store *store, const struct uuid *snapshot, struct uuid **ret_deks,
		     size_t *ret_count)
{
	int r;

	pthread_mutex_lock(&store->index_mutex);
	r = need_index(store);
	if (r == 0)
		r = need_pairs(store);
	if (r == 0)
		r = copy_needed(&store->dek_index->needed, snapshot, ret_deks, ret_count);
	pthread_mutex_unlock(&store->index_mutex);
	return r;
}

void dek_index_forget(struct store *store)
{
	pthread_mutex_lock(&store->index_mutex);
	if (store->dek_index)
		store->dek_index->is_needed_known = false;
	pthread_mutex_unlock(&store->index_mutex);
}

/* ---- Owners ------------------------------------------------------------------------------------------------------ */

struct owner_search {
	struct store *store;
	const struct uuid *snapshot;
	struct dek_pairs found;
};

static int learn_owner(struct store *store, const struct uuid *dek_id, struct dek_owner **ret_owner)
{
	struct dek_owner *owner;
	struct key_record record;
	int r = store_key_record(store, dek_id, &record, NULL);

	if (r < 0)
		return r;
	owner = calloc(1, sizeof(*owner));
	if (owner) {
		owner->dek = *dek_id;
		owner->snapshot = record.snapshot;
		HASH_ADD(hh, store->dek_index->owners, dek, sizeof(owner->dek), owner);
	}
	key_record_free(&record);
	*ret_owner = owner;
	return owner ? 0 : -ENOMEM;
}

static int visit_owner(void *arg, const struct uuid *dek_id)
{
	struct owner_search *search = arg;
	struct dek_owner *owner = NULL;
	int r = 0;

	HASH_FIND(hh, search->store->dek_index->owners, dek_id, sizeof(*dek_id), owner);
	if (!owner)
		r = learn_owner(search->store, dek_id, &owner);
	if (r < 0)
		/* One that cannot be read is nobody's, and reported. */
		return r == -ENOMEM ? r : 0;
	return uuid_equal(&owner->snapshot, search->snapshot)
		       ? add_pair(&search->found, search->snapshot, dek_id)
		       : 0;
}

int dek_index_owned(struct store *store, const struct uuid *snapshot, struct uuid **ret_deks,
		    size_t *ret_count)
{
	struct owner_search search = { .store = store, .snapshot = snapshot };
	int r;

	pthread_mutex_lock(&store->index_mutex);
	r = need_index(store);
	if (r == 0)
		r = dek_each(store, visit_owner, &search);
	pthread_mutex_unlock(&store->index_mutex);
	if (r == 0)
		r = copy_needed(&search.found, snapshot, ret_deks, ret_count);
	free(search.found.pairs);
	return r;
}

void dek_index_free(struct store *store)
{
	struct dek_owner *owner;
	struct dek_owner *next;

	if (!store->dek_index)
		return;
	HASH_ITER (hh, store->dek_index->owners, owner, next) {
		HASH_DEL(store->dek_index->owners, owner);
		free(owner);
	}
	free(store->dek_index->needed.pairs);
	free(store->dek_index);
	store->dek_index = NULL;
}
