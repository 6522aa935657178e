/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes in the catalogue: entering, listing, forgetting. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/catalog/database.h"

static int take_number(void *arg, const char *const *cells)
{
	int64_t *number = arg;

	*number = database_number(cells[0]);
	return 0;
}

static int enter(struct catalog *catalog, const struct database_value values[static 4],
		 int64_t *ret_number, struct catalog_error *reterr)
{
	const struct database_statement find = {
		.sql = "select number from volume where volume = $1 and host = $2 and path = $3",
		.values = values,
		.value_count = 3,
		.row = take_number,
		.arg = ret_number,
	};
	int r = database_execute(catalog,
				 "insert into volume (volume, host, path, registered_s) "
				 "values ($1, $2, $3, $4) on conflict (volume, host, path) "
				 "do update set forgotten_s = 0, registered_s = "
				 "case when volume.forgotten_s = 0 then volume.registered_s "
				 "else excluded.registered_s end",
				 values, 4, reterr);

	return r < 0 ? r : database_query(catalog, &find, reterr);
}

int catalog_register(struct catalog *catalog, const struct catalog_place *place, int64_t now_s,
		     int64_t *ret_number, struct catalog_error *reterr)
{
	char volume[UUID_TEXT_SIZE];
	char *path = NULL;
	int64_t number = 0;
	int r = catalog_text_encode(place->path, &path);

	if (r < 0)
		return catalog_fail(reterr, r, "out of memory");
	uuid_format(&place->volume, volume);
	r = enter(catalog,
		  (const struct database_value[]){ { .text = volume },
						   { .text = place->host },
						   { .text = path },
						   { .number = now_s } },
		  &number, reterr);
	free(path);
	if (r == 0)
		*ret_number = number;
	return r;
}

/* ---- List -------------------------------------------------------------------------------------------------------- */

enum {
	COLUMN_NUMBER,
	COLUMN_VOLUME,
	COLUMN_HOST,
	COLUMN_PATH,
	COLUMN_DEFAULT_KEY_ID,
	COLUMN_REGISTERED,
	COLUMN_SCANNED,
	COLUMN_FAILED,
	COLUMN_FAILURE,
	COLUMN_FINGERPRINT,
	COLUMN_SNAPSHOTS,
	COLUMN_NEEDS,
	COLUMN_DAMAGED,
	COLUMN_UNUSABLE,
	COLUMN_UNREADABLE,
	COLUMN_STABLE,
	COLUMN_FORGOTTEN,
	COLUMN_SNAPSHOT_ROWS,
	COLUMN_NEED_ROWS,
};

#define LIST                                                                                \
	"select number, volume, host, path, default_key_id, registered_s, scanned_s, "      \
	"failed_s, failure, fingerprint, snapshots, needs, damaged, unusable, unreadable, " \
	"is_stable, forgotten_s, coalesce(s.there, 0), coalesce(n.there, 0) from volume "   \
	"left join (select place, count(*) as there from snapshot group by place) s "       \
	"on s.place = number "                                                              \
	"left join (select place, count(*) as there from need group by place) n "           \
	"on n.place = number"

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

static int fill(const char *const *cells, struct catalog_volume *volume)
{
	int r;

	volume->number = database_number(cells[COLUMN_NUMBER]);
	volume->host = strdup(cells[COLUMN_HOST]);
	volume->failure = strdup(cells[COLUMN_FAILURE]);
	if (!volume->host || !volume->failure)
		return -ENOMEM;
	r = uuid_parse(cells[COLUMN_VOLUME], &volume->volume);
	if (r == 0)
		r = catalog_text_decode(cells[COLUMN_PATH], &volume->path);
	if (r < 0)
		return r;
	copy_text(volume->default_key_id, sizeof(volume->default_key_id),
		  cells[COLUMN_DEFAULT_KEY_ID]);
	copy_text(volume->fingerprint, sizeof(volume->fingerprint), cells[COLUMN_FINGERPRINT]);
	volume->registered_s = database_number(cells[COLUMN_REGISTERED]);
	volume->scanned_s = database_number(cells[COLUMN_SCANNED]);
	volume->failed_s = database_number(cells[COLUMN_FAILED]);
	volume->snapshot_count = (uint64_t)database_number(cells[COLUMN_SNAPSHOTS]);
	volume->damaged_count = (uint64_t)database_number(cells[COLUMN_DAMAGED]);
	volume->unusable_count = (uint64_t)database_number(cells[COLUMN_UNUSABLE]);
	volume->unreadable_count = (uint64_t)database_number(cells[COLUMN_UNREADABLE]);
	volume->is_stable = database_number(cells[COLUMN_STABLE]) != 0;
	volume->forgotten_s = database_number(cells[COLUMN_FORGOTTEN]);
	volume->is_complete = volume->is_stable && volume->damaged_count == 0 &&
			      volume->unusable_count == 0 && volume->unreadable_count == 0;
	volume->is_consistent = database_number(cells[COLUMN_SNAPSHOT_ROWS]) ==
					database_number(cells[COLUMN_SNAPSHOTS]) &&
				database_number(cells[COLUMN_NEED_ROWS]) ==
					database_number(cells[COLUMN_NEEDS]);
	return 0;
}

struct listing {
	struct catalog_volumes *volumes;
	struct catalog_error *error;
};

static int take_volume(void *arg, const char *const *cells)
{
	const struct listing *listing = arg;
	struct catalog_volumes *volumes = listing->volumes;
	struct catalog_volume *grown = reallocarray(volumes->volumes, volumes->count + 1,
						    sizeof(*grown));
	int r;

	if (!grown)
		return catalog_fail(listing->error, -ENOMEM, "out of memory");
	volumes->volumes = grown;
	grown[volumes->count] = (struct catalog_volume){ 0 };
	r = fill(cells, &grown[volumes->count++]);
	return r < 0 ? catalog_fail(listing->error, r, "catalogue: row %s of the volumes: %s",
				    cells[COLUMN_NUMBER],
				    r == -ENOMEM ? "out of memory" : "it is damaged")
		     : 0;
}

/* Here and not in the statement: databases order text as their locale says. */
static int compare_volumes(const void *a, const void *b)
{
	const struct catalog_volume *left = a;
	const struct catalog_volume *right = b;
	int r = (left->forgotten_s != 0) - (right->forgotten_s != 0);

	if (r == 0)
		r = strcmp(left->host, right->host);
	if (r == 0)
		r = strcmp(left->path, right->path);
	return r != 0 ? r : uuid_compare(&left->volume, &right->volume);
}

int catalog_list(struct catalog *catalog, struct catalog_volumes *ret_volumes,
		 struct catalog_error *reterr)
{
	struct catalog_volumes volumes = { 0 };
	struct listing listing = { &volumes, reterr };
	const struct database_statement statement = {
		.sql = LIST,
		.row = take_volume,
		.arg = &listing,
	};
	int r = database_query(catalog, &statement, reterr);

	if (r < 0) {
		catalog_volumes_free(&volumes);
		return r;
	}
	if (volumes.count > 1)
		qsort(volumes.volumes, volumes.count, sizeof(*volumes.volumes), compare_volumes);
	*ret_volumes = volumes;
	return 0;
}

void catalog_volumes_free(struct catalog_volumes *volumes)
{
	for (size_t i = 0; i < volumes->count; i++) {
		free(volumes->volumes[i].host);
		free(volumes->volumes[i].path);
		free(volumes->volumes[i].failure);
	}
	free(volumes->volumes);
	*volumes = (struct catalog_volumes){ 0 };
}

/* ---- Forget ------------------------------------------------------------------------------------------------------ */

static int forget(struct catalog *catalog, int64_t number, int64_t now_s,
		  struct catalog_error *reterr)
{
	const struct database_value values[] = { { .number = number }, { .number = now_s } };
	int r = database_execute(catalog, "delete from need where place = $1", values, 1, reterr);

	if (r == 0)
		r = database_execute(catalog, "delete from snapshot where place = $1", values, 1,
				     reterr);
	if (r == 0)
		r = database_execute(catalog,
				     "update volume set forgotten_s = $2, scanned_s = 0, "
				     "snapshots = 0, needs = 0, fingerprint = '', failed_s = 0, "
				     "failure = '' where number = $1",
				     values, 2, reterr);
	return r;
}

int catalog_forget(struct catalog *catalog, int64_t number, int64_t now_s,
		   struct catalog_error *reterr)
{
	int r = database_execute(catalog, catalog->driver->begin, NULL, 0, reterr);

	return r < 0 ? r : database_end(catalog, forget(catalog, number, now_s, reterr), reterr);
}
