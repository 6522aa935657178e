/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue in a file of this host. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "meta/catalog/database.h"

#define COLUMNS_MAX     24
#define STATEMENTS_KEPT 32

/* Statements that were run are kept: storing a scan runs the same few many times. */
struct sqlite {
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS_KEPT];
	size_t next; /* the one that gives way */
	char *path;
};

static int sqlite_fail(const struct sqlite *sqlite, int code, struct catalog_error *reterr)
{
	const char *text = sqlite3_errmsg(sqlite->database);

	switch (code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return catalog_fail(reterr, -EBADMSG, "%s is damaged: %s", sqlite->path, text);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return catalog_fail(reterr, -EBUSY, "%s is in use by another process",
				    sqlite->path);
	case SQLITE_CONSTRAINT:
		return catalog_fail(reterr, -EEXIST, "%s: %s", sqlite->path, text);
	case SQLITE_NOMEM:
		return catalog_fail(reterr, -ENOMEM, "%s: out of memory", sqlite->path);
	case SQLITE_FULL:
		return catalog_fail(reterr, -ENOSPC, "%s: no space left", sqlite->path);
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return catalog_fail(reterr, -EACCES, "%s: %s", sqlite->path, text);
	default:
		return catalog_fail(reterr, -EIO, "%s: %s", sqlite->path, text);
	}
}

static void close_sqlite(void *state)
{
	struct sqlite *sqlite = state;

	for (size_t i = 0; i < STATEMENTS_KEPT; i++)
		sqlite3_finalize(sqlite->statements[i]);
	sqlite3_close(sqlite->database);
	free(sqlite->path);
	free(sqlite);
}

/* Made here, so that nobody else may ever read it. */
static int make_file(const char *path, struct catalog_error *reterr)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return catalog_fail(reterr, -errno, "%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

static int configure(struct sqlite *sqlite, unsigned timeout_s, struct catalog_error *reterr)
{
	static const char *const settings[] = {
		"pragma foreign_keys = on",
		"pragma journal_mode = wal",
		"pragma synchronous = normal",
	};

	sqlite3_extended_result_codes(sqlite->database, 1);
	sqlite3_busy_timeout(sqlite->database, (int)timeout_s * 1000);
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const int code = sqlite3_exec(sqlite->database, settings[i], NULL, NULL, NULL);

		if (code != SQLITE_OK)
			return sqlite_fail(sqlite, code, reterr);
	}
	return 0;
}

static int open_sqlite(const struct catalog_options *options, const char *place, void **ret_state,
		       struct catalog_error *reterr)
{
	struct sqlite *sqlite = calloc(1, sizeof(*sqlite));
	int code = SQLITE_OK;
	int r = 0;

	if (sqlite)
		sqlite->path = strdup(place);
	if (!sqlite || !sqlite->path) {
		free(sqlite);
		return catalog_fail(reterr, -ENOMEM, "out of memory");
	}
	if (strcmp(place, ":memory:") != 0)
		r = make_file(place, reterr);
	if (r == 0) {
		code = sqlite3_open_v2(
			place, &sqlite->database,
			SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
		if (code != SQLITE_OK)
			r = sqlite_fail(sqlite, code, reterr);
	}
	if (r == 0)
		r = configure(sqlite, options->timeout_s, reterr);
	if (r < 0) {
		close_sqlite(sqlite);
		return r;
	}
	*ret_state = sqlite;
	return 0;
}

static int prepare(struct sqlite *sqlite, const char *sql, sqlite3_stmt **ret_statement,
		   struct catalog_error *reterr)
{
	sqlite3_stmt **place = &sqlite->statements[sqlite->next];
	int code;

	for (size_t i = 0; i < STATEMENTS_KEPT; i++) {
		sqlite3_stmt *known = sqlite->statements[i];

		if (known && strcmp(sqlite3_sql(known), sql) == 0) {
			*ret_statement = known;
			return 0;
		}
	}
	sqlite3_finalize(*place);
	*place = NULL;
	code = sqlite3_prepare_v2(sqlite->database, sql, -1, place, NULL);
	if (code != SQLITE_OK)
		return sqlite_fail(sqlite, code, reterr);
	sqlite->next = (sqlite->next + 1) % STATEMENTS_KEPT;
	*ret_statement = *place;
	return 0;
}

static int bind(sqlite3_stmt *prepared, int index, const struct database_value *value)
{
	if (value->is_null)
		return sqlite3_bind_null(prepared, index);
	if (value->text)
		return sqlite3_bind_text(prepared, index, value->text, -1, SQLITE_STATIC);
	return sqlite3_bind_int64(prepared, index, value->number);
}

static int step_all(const struct sqlite *sqlite, sqlite3_stmt *prepared,
		    const struct database_statement *statement, struct catalog_error *reterr)
{
	const char *cells[COLUMNS_MAX] = { NULL };
	const int column_count = sqlite3_column_count(prepared);
	int code;
	int r = 0;

	while (r == 0 && (code = sqlite3_step(prepared)) != SQLITE_DONE) {
		if (code != SQLITE_ROW)
			return sqlite_fail(sqlite, code, reterr);
		for (int i = 0; i < column_count && i < COLUMNS_MAX; i++)
			cells[i] = (const char *)sqlite3_column_text(prepared, i);
		if (statement->row)
			r = statement->row(statement->arg, cells);
	}
	return r;
}

static int run_sqlite(void *state, const struct database_statement *statement,
		      struct catalog_error *reterr)
{
	struct sqlite *sqlite = state;
	sqlite3_stmt *prepared = NULL;
	int r = prepare(sqlite, statement->sql, &prepared, reterr);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < statement->value_count; i++) {
		char name[24];
		int code;

		snprintf(name, sizeof(name), "$%zu", i + 1);
		code = bind(prepared, sqlite3_bind_parameter_index(prepared, name),
			    &statement->values[i]);
		if (code != SQLITE_OK)
			r = sqlite_fail(sqlite, code, reterr);
	}
	if (r == 0)
		r = step_all(sqlite, prepared, statement, reterr);
	sqlite3_reset(prepared);
	sqlite3_clear_bindings(prepared);
	return r;
}

struct check_result {
	struct sqlite *sqlite;
	struct catalog_error *error;
};

static int take_check(void *arg, const char *const *cells)
{
	const struct check_result *result = arg;

	if (cells[0] && strcmp(cells[0], "ok") == 0)
		return 0;
	return catalog_fail(result->error, -EBADMSG, "%s is damaged: %s", result->sqlite->path,
			    cells[0] ? cells[0] : "?");
}

static int check_sqlite(void *state, struct catalog_error *reterr)
{
	struct check_result result = { state, reterr };
	const struct database_statement statement = {
		.sql = "pragma integrity_check(1)",
		.row = take_check,
		.arg = &result,
	};

	return run_sqlite(state, &statement, reterr);
}

const struct database_driver database_sqlite = {
	.scheme = "sqlite:",
	.begin = "begin immediate",
	.lock_row = "",
	.identity = "integer primary key",
	.open = open_sqlite,
	.run = run_sqlite,
	.check = check_sqlite,
	.close = close_sqlite,
};
