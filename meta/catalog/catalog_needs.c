/* SPDX-License-Identifier: Apache-2.0 */
/* Needs in the catalogue: storing what a scan found, and searching for a key. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/catalog/database.h"

#define STORE_ATTEMPTS 5

/* ---- Store ------------------------------------------------------------------------------------------------------- */

/* Numbers of the list's keys in the catalogue. */
struct storing {
	struct catalog *catalog;
	int64_t place;
	const struct need_list *list;
	int64_t *keks;
	struct catalog_error *error;
};

struct found_place {
	bool is_found;
	int64_t scanned_s;
	int64_t forgotten_s;
};

static int take_place(void *arg, const char *const *cells)
{
	struct found_place *found = arg;

	found->is_found = true;
	found->scanned_s = database_number(cells[0]);
	found->forgotten_s = database_number(cells[1]);
	return 0;
}

static int find_place(const struct storing *storing, struct found_place *ret_found)
{
	const struct database_value value = { .number = storing->place };
	char sql[128];
	const struct database_statement statement = {
		.sql = sql,
		.values = &value,
		.value_count = 1,
		.row = take_place,
		.arg = ret_found,
	};

	snprintf(sql, sizeof(sql), "select scanned_s, forgotten_s from volume where number = $1%s",
		 storing->catalog->driver->lock_row);
	return database_query(storing->catalog, &statement, storing->error);
}

static int take_number(void *arg, const char *const *cells)
{
	int64_t *number = arg;

	*number = database_number(cells[0]);
	return 0;
}

static int enter_key(const struct storing *storing, const struct need_key *key, int64_t *ret_number)
{
	const struct database_value values[] = { { .text = key->provider },
						 { .text = key->key_id },
						 { .text = key->alias } };
	const struct database_statement find = {
		.sql = "select number from kek where provider = $1 and key_id = $2 and alias = $3",
		.values = values,
		.value_count = ARRAY_SIZE(values),
		.row = take_number,
		.arg = ret_number,
	};
	int r;

	*ret_number = 0;
	r = database_query(storing->catalog, &find, storing->error);
	if (r < 0 || *ret_number != 0)
		return r;
	r = database_execute(storing->catalog,
			     "insert into kek (provider, key_id, alias) values ($1, $2, $3) "
			     "on conflict (key_id, alias, provider) do nothing",
			     values, ARRAY_SIZE(values), storing->error);
	if (r == 0)
		r = database_query(storing->catalog, &find, storing->error);
	return r == 0 && *ret_number == 0 ? catalog_fail(storing->error, -EIO,
							 "catalogue: a key that was just entered "
							 "is not there")
					  : r;
}

static int store_snapshot(const struct storing *storing, size_t position)
{
	const struct need_snapshot *snapshot = &storing->list->snapshots[position];
	char id[UUID_TEXT_SIZE];
	char *name = NULL;
	int r = catalog_text_encode(snapshot->name, &name);

	if (r < 0)
		return catalog_fail(storing->error, r, "out of memory");
	uuid_format(&snapshot->id, id);
	r = database_execute(
		storing->catalog,
		"insert into snapshot values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		(const struct database_value[]){
			{ .number = storing->place },
			{ .number = (int64_t)position },
			{ .text = id },
			{ .text = name },
			{ .number = snapshot->kind },
			{ .number = snapshot->is_present },
			{ .number = snapshot->is_foreign },
			{ .number = snapshot->is_encrypted },
			{ .number = snapshot->created_s },
			{ .number = snapshot->sealed_s },
		},
		10, storing->error);
	free(name);
	return r;
}

static int store_use(const struct storing *storing, const struct need_use *use)
{
	return database_execute(storing->catalog, "insert into need values ($1, $2, $3, $4, $5)",
				(const struct database_value[]){
					{ .number = storing->place },
					{ .number = use->snapshot },
					{ .number = storing->keks[use->key] },
					{ .number = use->role },
					{ .number = (int64_t)use->dek_count },
				},
				5, storing->error);
}

static int store_volume(const struct storing *storing)
{
	const struct need_list *list = storing->list;

	return database_execute(
		storing->catalog,
		"update volume set default_key_id = $2, scanned_s = $3, failed_s = 0, "
		"failure = '', fingerprint = $4, snapshots = $5, needs = $6, "
		"damaged = $7, unusable = $8, unreadable = $9, is_stable = $10 "
		"where number = $1",
		(const struct database_value[]){
			{ .number = storing->place },
			{ .text = list->default_key_id },
			{ .number = list->scanned_s },
			{ .text = list->fingerprint },
			{ .number = (int64_t)list->snapshot_count },
			{ .number = (int64_t)list->use_count },
			{ .number = (int64_t)list->damaged_count },
			{ .number = (int64_t)list->unusable_count },
			{ .number = (int64_t)list->unreadable_count },
			{ .number = list->is_stable },
		},
		10, storing->error);
}

static int delete_rows(const struct storing *storing, const char *sql)
{
	const struct database_value value = { .number = storing->place };

	return database_execute(storing->catalog, sql, &value, 1, storing->error);
}

static int store_rows(const struct storing *storing)
{
	const struct need_list *list = storing->list;
	struct found_place found = { 0 };
	int r = find_place(storing, &found);

	if (r < 0)
		return r;
	if (!found.is_found || found.forgotten_s != 0)
		return catalog_fail(storing->error, -ENOENT,
				    "the volume is not registered any more");
	if (found.scanned_s > list->scanned_s)
		return 0;
	r = delete_rows(storing, "delete from need where place = $1");
	if (r == 0)
		r = delete_rows(storing, "delete from snapshot where place = $1");
	for (size_t i = 0; r == 0 && i < list->snapshot_count; i++)
		r = store_snapshot(storing, i);
	for (size_t i = 0; r == 0 && i < list->use_count; i++)
		r = store_use(storing, &list->uses[i]);
	return r < 0 ? r : store_volume(storing);
}

/*
 * Keys are entered before the transaction: a key that nothing needs does no harm, and two scans that enter the same keys in
 * another order cannot wait for each other.
 */
static int store_once(struct storing *storing)
{
	const struct need_list *list = storing->list;
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->key_count; i++)
		r = enter_key(storing, &list->keys[i], &storing->keks[i]);
	if (r == 0)
		r = database_execute(storing->catalog, storing->catalog->driver->begin, NULL, 0,
				     storing->error);
	return r < 0 ? r : database_end(storing->catalog, store_rows(storing), storing->error);
}

int catalog_store(struct catalog *catalog, int64_t number, const struct need_list *list,
		  struct catalog_error *reterr)
{
	struct storing storing = {
		.catalog = catalog,
		.place = number,
		.list = list,
		.keks = calloc(list->key_count + 1, sizeof(*storing.keks)),
		.error = reterr,
	};
	int r = storing.keks ? -EBUSY : catalog_fail(reterr, -ENOMEM, "out of memory");

	for (int i = 0; r == -EBUSY && i < STORE_ATTEMPTS; i++)
		r = store_once(&storing);
	free(storing.keks);
	return r;
}

int catalog_store_failure(struct catalog *catalog, int64_t number, int64_t now_s,
			  const char *failure, struct catalog_error *reterr)
{
	const struct database_value values[] = { { .number = number },
						 { .number = now_s },
						 { .text = failure } };

	return database_execute(catalog,
				"update volume set failed_s = $2, failure = $3 where number = $1 "
				"and scanned_s <= $2",
				values, ARRAY_SIZE(values), reterr);
}

/* ---- Search ------------------------------------------------------------------------------------------------------ */

struct asked_key {
	int64_t number;
	struct need_key key;
};
struct searching {
	const struct catalog_search *search;
	struct asked_key *keys;
	size_t key_count;
	const struct need_key *current;
	struct catalog_error *error;
};

static int take_key(void *arg, const char *const *cells)
{
	struct searching *searching = arg;
	const struct need_key key = { (char *)(uintptr_t)cells[1], (char *)(uintptr_t)cells[2],
				      (char *)(uintptr_t)cells[3] };
	struct asked_key *grown;

	if (!searching->search->is_asked(searching->search->arg, &key))
		return 0;
	grown = reallocarray(searching->keys, searching->key_count + 1, sizeof(*grown));
	if (!grown)
		return catalog_fail(searching->error, -ENOMEM, "out of memory");
	searching->keys = grown;
	grown[searching->key_count++] = (struct asked_key){
		.number = database_number(cells[0]),
		.key = { strdup(cells[1]), strdup(cells[2]), strdup(cells[3]) },
	};
	return 0;
}

static int take_use(void *arg, const char *const *cells)
{
	const struct searching *searching = arg;
	struct catalog_use use = {
		.number = database_number(cells[0]),
		.key = searching->current,
		.role = (enum slot_role)database_number(cells[1]),
		.dek_count = (uint64_t)database_number(cells[2]),
		.snapshot = {
			.kind = (enum identity_kind)database_number(cells[5]),
			.is_present = database_number(cells[6]) != 0,
			.is_foreign = database_number(cells[7]) != 0,
			.is_encrypted = database_number(cells[8]) != 0,
			.created_s = database_number(cells[9]),
			.sealed_s = database_number(cells[10]),
		},
	};
	int r = uuid_parse(cells[3], &use.snapshot.id);

	if (r == 0)
		r = catalog_text_decode(cells[4], &use.snapshot.name);
	if (r < 0)
		return catalog_fail(searching->error, r, "catalogue: a snapshot's row is damaged");
	r = searching->search->visit(searching->search->arg, &use);
	free(use.snapshot.name);
	return r;
}

static int search_key(struct catalog *catalog, struct searching *searching,
		      const struct asked_key *key)
{
	const struct database_value value = { .number = key->number };
	const struct database_statement statement = {
		.sql = "select n.place, n.role, n.deks, s.snapshot, s.name, s.kind, s.is_present, "
		       "s.is_foreign, s.is_encrypted, s.created_s, s.sealed_s from need n "
		       "join snapshot s on s.place = n.place and s.position = n.position "
		       "where n.kek = $1",
		.values = &value,
		.value_count = 1,
		.row = take_use,
		.arg = searching,
	};

	searching->current = &key->key;
	return database_query(catalog, &statement, searching->error);
}

int catalog_search(struct catalog *catalog, const struct catalog_search *search,
		   struct catalog_error *reterr)
{
	struct searching searching = { .search = search, .error = reterr };
	const struct database_statement statement = {
		.sql = "select number, provider, key_id, alias from kek order by number",
		.row = take_key,
		.arg = &searching,
	};
	int r = database_query(catalog, &statement, reterr);

	for (size_t i = 0; r == 0 && i < searching.key_count; i++) {
		const struct need_key *key = &searching.keys[i].key;

		if (!key->provider || !key->key_id || !key->alias)
			r = catalog_fail(reterr, -ENOMEM, "out of memory");
		else
			r = search_key(catalog, &searching, &searching.keys[i]);
	}
	for (size_t i = 0; i < searching.key_count; i++) {
		free(searching.keys[i].key.provider);
		free(searching.keys[i].key.key_id);
		free(searching.keys[i].key.alias);
	}
	free(searching.keys);
	return r;
}
