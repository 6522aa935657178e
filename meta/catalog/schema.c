/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of the catalogue, and bringing older ones up to date. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meta/catalog/database.h"

#define STATEMENTS_MAX 12
#define STATEMENT_SIZE 1024
#define IDENTITY       '@'

/*
 * What brings the tables from one version to the next, in order; @ stands for the type of a column that numbers its rows.
 * A released step is never changed: a change is a new step and a higher CATALOG_VERSION.
 */
static const char *const steps[CATALOG_VERSION][STATEMENTS_MAX] = {
	{
		"create table volume (number @, volume text not null, host text not null, "
		"path text not null, default_key_id text not null default '', "
		"registered_s bigint not null, scanned_s bigint not null default 0, "
		"failed_s bigint not null default 0, failure text not null default '', "
		"fingerprint text not null default '', snapshots bigint not null default 0, "
		"needs bigint not null default 0, damaged bigint not null default 0, "
		"unusable bigint not null default 0, unreadable bigint not null default 0, "
		"is_stable integer not null default 0, forgotten_s bigint not null default 0, "
		"unique (volume, host, path))",
		"create table snapshot (place bigint not null references volume (number), "
		"position integer not null, snapshot text not null, name text not null, "
		"kind integer not null, is_present integer not null, "
		"is_foreign integer not null, is_encrypted integer not null, "
		"created_s bigint not null, sealed_s bigint not null, "
		"primary key (place, position))",
		"create table kek (number @, provider text not null, key_id text not null, "
		"alias text not null, unique (key_id, alias, provider))",
		"create table need (place bigint not null, position integer not null, "
		"kek bigint not null references kek (number), role integer not null, "
		"deks bigint not null, primary key (place, position, kek, role), "
		"foreign key (place, position) references snapshot (place, position))",
		"create index need_of_kek on need (kek, place, position)",
	},
};

struct version {
	int64_t number;
	bool is_there;
};

static int take_version(void *arg, const char *const *cells)
{
	struct version *version = arg;

	version->number = database_number(cells[0]);
	version->is_there = true;
	return 0;
}

static int read_version(struct catalog *catalog, struct version *ret_version,
			struct catalog_error *reterr)
{
	const struct database_statement statement = {
		.sql = "select version from catalog_version",
		.row = take_version,
		.arg = ret_version,
	};

	*ret_version = (struct version){ 0 };
	return database_query(catalog, &statement, reterr);
}

static int run_step(struct catalog *catalog, int64_t from, struct catalog_error *reterr)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < STATEMENTS_MAX && steps[from][i]; i++) {
		const char *text = steps[from][i];
		const char *place = strchr(text, IDENTITY);
		char sql[STATEMENT_SIZE];

		snprintf(sql, sizeof(sql), "%.*s%s%s",
			 place ? (int)(place - text) : (int)strlen(text), text,
			 place ? catalog->driver->identity : "", place ? place + 1 : "");
		r = database_execute(catalog, sql, NULL, 0, reterr);
	}
	return r;
}

/* Inside a transaction that keeps others out. */
static int migrate(struct catalog *catalog, struct catalog_error *reterr)
{
	struct version version;
	struct database_value value = { .number = CATALOG_VERSION };
	int r = read_version(catalog, &version, reterr);

	if (r == 0 && version.number > CATALOG_VERSION)
		return catalog_fail(reterr, -ENOTSUP,
				    "the catalogue has version %" PRId64
				    ", made by a newer snapcrypt; this one knows up to %d",
				    version.number, CATALOG_VERSION);
	for (int64_t from = version.number; r == 0 && from < CATALOG_VERSION; from++)
		r = run_step(catalog, from, reterr);
	if (r < 0 || version.number == CATALOG_VERSION)
		return r;
	return database_execute(catalog,
				version.is_there ? "update catalog_version set version = $1"
						 : "insert into catalog_version values ($1)",
				&value, 1, reterr);
}

int catalog_prepare(struct catalog *catalog, struct catalog_error *reterr)
{
	struct catalog_error ignored;
	struct version version;
	int r = read_version(catalog, &version, &ignored);

	if (r == 0 && version.number == CATALOG_VERSION)
		return 0;
	/* No such table, most likely; anything worse shows again below. */
	r = database_execute(catalog, catalog->driver->begin, NULL, 0, reterr);
	if (r < 0)
		return r;
	if (catalog->driver->lock_all)
		r = database_execute(catalog, catalog->driver->lock_all, NULL, 0, reterr);
	if (r == 0)
		r = database_execute(catalog,
				     "create table if not exists catalog_version "
				     "(version integer not null)",
				     NULL, 0, reterr);
	if (r == 0)
		r = migrate(catalog, reterr);
	return database_end(catalog, r, reterr);
}
