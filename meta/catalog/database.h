/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalogue asks of a database; for meta/catalog/ only.  One file per database fills the table; the statements are the
 * same for all, with $1, $2 ... for values.
 */
#ifndef SNAPCRYPT_META_CATALOG_DATABASE_H
#define SNAPCRYPT_META_CATALOG_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/catalog/catalog.h"
#include "meta/macros.h"

/* TEXT, or where it is NULL the number; IS_NULL: neither. */
struct database_value {
	const char *text;
	int64_t number;
	bool is_null;
};

#define DATABASE_VALUES_MAX 16

/* Cells of one row as text, NULL for null; valid during the call.  Non-zero stops and is returned. */
typedef int (*database_row)(void *arg, const char *const *cells);

/* One statement: VALUE_COUNT values, and what is called for each row (NULL: there are none). */
struct database_statement {
	const char *sql;
	const struct database_value *values;
	size_t value_count;
	database_row row;
	void *arg;
};

/*
 * Errors: -EBUSY: another process holds it, try again; -EEXIST: unique already; -EBADMSG: damaged; -EHOSTUNREACH;
 * -EACCES; -EIO.  reterr then says which and why.
 *
 *   scheme     of the URL
 *   begin      starts a transaction that will write
 *   lock_all   keeps everybody else from changing the tables until its end; NULL: `begin` does
 *   lock_row   appended to a SELECT: keep what was read from being changed until the end
 *   identity   type of a column that numbers its rows
 *   check      damage that can be seen; NULL: the server's own business
 */
struct database_driver {
	const char *scheme;
	const char *begin;
	const char *lock_all;
	const char *lock_row;
	const char *identity;
	int (*open)(const struct catalog_options *options, const char *place, void **ret_state,
		    struct catalog_error *reterr);
	int (*run)(void *state, const struct database_statement *statement,
		   struct catalog_error *reterr);
	int (*check)(void *state, struct catalog_error *reterr);
	void (*close)(void *state);
};

extern const struct database_driver database_sqlite;
extern const struct database_driver database_postgres;

struct catalog {
	const struct database_driver *driver;
	void *state;
};

/* Fill ERROR and return CODE. */
__attribute__((format(printf, 3, 4))) int catalog_fail(struct catalog_error *reterr, int code,
						       const char *format, ...);

/* Run one statement without rows. */
MUST_CHECK int database_execute(struct catalog *catalog, const char *sql,
				const struct database_value *values, size_t count,
				struct catalog_error *reterr);

/* The same with rows. */
MUST_CHECK int database_query(struct catalog *catalog, const struct database_statement *statement,
			      struct catalog_error *reterr);

/* End the transaction: commit after RESULT 0, else roll back.  Returns RESULT, or why the commit failed. */
MUST_CHECK int database_end(struct catalog *catalog, int result, struct catalog_error *reterr);

/* Numbers in cells: 0 for null. */
int64_t database_number(const char *cell);

/* Make the tables, or bring older ones up to date: schema.c.  -ENOTSUP: those of a newer version. */
MUST_CHECK int catalog_prepare(struct catalog *catalog, struct catalog_error *reterr);

#endif
