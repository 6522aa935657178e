/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue of a fleet, in PostgreSQL. */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/catalog/database.h"

#define COLUMNS_MAX 24
#define NUMBER_SIZE 24

struct postgres {
	PGconn *connection;
};

/* What the server said, in one line. */
static int say(struct catalog_error *reterr, int code, const char *message)
{
	char line[512];

	snprintf(line, sizeof(line), "%s", message);
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	for (size_t length = strlen(line); length > 0 && line[length - 1] == ' '; length--)
		line[length - 1] = '\0';
	return catalog_fail(reterr, code, "catalogue database: %s", line);
}

/* SQLSTATE classes: PostgreSQL documentation, appendix A. */
static int error_of_state(const char *state)
{
	static const struct {
		const char *prefix;
		int error;
	} known[] = {
		{ "23505", -EEXIST }, { "40", -EBUSY },         { "55P03", -EBUSY },
		{ "57014", -EBUSY },  { "28", -EACCES },        { "42501", -EACCES },
		{ "53100", -ENOSPC }, { "57P", -EHOSTUNREACH }, { "08", -EHOSTUNREACH },
		{ "25006", -EROFS },
	};

	for (size_t i = 0; state && i < ARRAY_SIZE(known); i++)
		if (strncmp(state, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].error;
	return -EIO;
}

static int postgres_fail(const struct postgres *postgres, const PGresult *result,
			 struct catalog_error *reterr)
{
	if (PQstatus(postgres->connection) != CONNECTION_OK)
		return say(reterr, -EHOSTUNREACH, PQerrorMessage(postgres->connection));
	return say(reterr, error_of_state(PQresultErrorField(result, PG_DIAG_SQLSTATE)),
		   PQresultErrorMessage(result));
}

static void close_postgres(void *state)
{
	struct postgres *postgres = state;

	PQfinish(postgres->connection);
	free(postgres);
}

/* Notices (a table is there already) are none of the user's business. */
static void drop_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* A password in an URL would be in the configuration and in listings. */
static int check_url(const char *url, struct catalog_error *reterr)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &message);
	bool has_password = false;
	int r = 0;

	if (!options) {
		r = say(reterr, -EINVAL, message ? message : "not an URL");
		PQfreemem(message);
		return r;
	}
	for (const PQconninfoOption *option = options; option->keyword; option++)
		if (strcmp(option->keyword, "password") == 0 && option->val)
			has_password = true;
	PQconninfoFree(options);
	return has_password ? catalog_fail(reterr, -EINVAL,
					   "catalog: no password in the URL; name its place with "
					   "catalog_password_file")
			    : 0;
}

static int connect_postgres(struct postgres *postgres, const struct catalog_options *options,
			    struct catalog_error *reterr)
{
	char timeout[NUMBER_SIZE];
	char settings[128];
	const char *const names[] = { "connect_timeout", "options", "application_name",
				      "password",        "dbname",  NULL };
	const char *const values[] = { timeout,           settings,     "snapcrypt",
				       options->password, options->url, NULL };

	snprintf(timeout, sizeof(timeout), "%u", options->timeout_s < 2 ? 2 : options->timeout_s);
	/* Memory for joining a fleet's rows in one pass; compiling a statement takes longer than running ours. */
	snprintf(settings, sizeof(settings),
		 "-c lock_timeout=%us -c client_encoding=UTF8 -c work_mem=32MB -c jit=off",
		 options->timeout_s);
	postgres->connection = PQconnectdbParams(names, values, 1);
	if (!postgres->connection)
		return catalog_fail(reterr, -ENOMEM, "out of memory");
	PQsetNoticeProcessor(postgres->connection, drop_notice, NULL);
	if (PQstatus(postgres->connection) == CONNECTION_OK)
		return 0;
	return say(reterr,
		   PQconnectionNeedsPassword(postgres->connection) ||
				   PQconnectionUsedPassword(postgres->connection)
			   ? -EACCES
			   : -EHOSTUNREACH,
		   PQerrorMessage(postgres->connection));
}

static int open_postgres(const struct catalog_options *options, const char *place, void **ret_state,
			 struct catalog_error *reterr)
{
	struct postgres *postgres = calloc(1, sizeof(*postgres));
	int r;

	(void)place;
	if (!postgres)
		return catalog_fail(reterr, -ENOMEM, "out of memory");
	r = check_url(options->url, reterr);
	if (r == 0)
		r = connect_postgres(postgres, options, reterr);
	if (r < 0) {
		close_postgres(postgres);
		return r;
	}
	*ret_state = postgres;
	return 0;
}

static int visit_rows(const PGresult *result, const struct database_statement *statement)
{
	const int column_count = PQnfields(result);
	const int row_count = PQntuples(result);
	const char *cells[COLUMNS_MAX] = { NULL };
	int r = 0;

	for (int row = 0; r == 0 && statement->row && row < row_count; row++) {
		for (int i = 0; i < column_count && i < COLUMNS_MAX; i++)
			cells[i] = PQgetisnull(result, row, i) ? NULL : PQgetvalue(result, row, i);
		r = statement->row(statement->arg, cells);
	}
	return r;
}

static int run_postgres(void *state, const struct database_statement *statement,
			struct catalog_error *reterr)
{
	struct postgres *postgres = state;
	char numbers[DATABASE_VALUES_MAX][NUMBER_SIZE];
	const char *texts[DATABASE_VALUES_MAX] = { NULL };
	PGresult *result;
	ExecStatusType status;
	int r;

	for (size_t i = 0; i < statement->value_count; i++) {
		const struct database_value *value = &statement->values[i];

		if (value->is_null)
			continue;
		snprintf(numbers[i], NUMBER_SIZE, "%lld", (long long)value->number);
		texts[i] = value->text ? value->text : numbers[i];
	}
	result = PQexecParams(postgres->connection, statement->sql, (int)statement->value_count,
			      NULL, texts, NULL, NULL, 0);
	status = PQresultStatus(result);
	r = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK
		    ? visit_rows(result, statement)
		    : postgres_fail(postgres, result, reterr);
	PQclear(result);
	return r;
}

const struct database_driver database_postgres = {
	.scheme = "postgresql://",
	.begin = "begin",
	.lock_all = "select pg_advisory_xact_lock(7021847390)",
	.lock_row = " for update",
	.identity = "bigint generated by default as identity primary key",
	.open = open_postgres,
	.run = run_postgres,
	.close = close_postgres,
};
