/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the catalogue, and what all statements have in common. */
#include "meta/catalog/catalog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/bytes.h"
#include "meta/catalog/database.h"
#include "meta/encoding.h"

static const struct database_driver *const drivers[] = {
	&database_sqlite,
#if HAVE_LIBPQ
	&database_postgres,
#endif
};

int catalog_fail(struct catalog_error *reterr, int code, const char *format, ...)
{
	va_list arguments;

	reterr->code = code;
	va_start(arguments, format);
	vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);
	return code;
}

int database_query(struct catalog *catalog, const struct database_statement *statement,
		   struct catalog_error *reterr)
{
	return catalog->driver->run(catalog->state, statement, reterr);
}

int database_execute(struct catalog *catalog, const char *sql, const struct database_value *values,
		     size_t count, struct catalog_error *reterr)
{
	const struct database_statement statement = {
		.sql = sql,
		.values = values,
		.value_count = count,
	};

	return database_query(catalog, &statement, reterr);
}

int database_end(struct catalog *catalog, int result, struct catalog_error *reterr)
{
	struct catalog_error ignored;

	if (result == 0)
		result = database_execute(catalog, "commit", NULL, 0, reterr);
	/* Of a connection that is gone nothing is left to be undone. */
	if (result < 0)
		(void)!database_execute(catalog, "rollback", NULL, 0, &ignored);
	return result;
}

int64_t database_number(const char *cell)
{
	return cell ? strtoll(cell, NULL, 10) : 0;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static const struct database_driver *find_driver(const char *url)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (strncmp(url, drivers[i]->scheme, strlen(drivers[i]->scheme)) == 0)
			return drivers[i];
	return NULL;
}

const char *catalog_file(const char *url)
{
	return find_driver(url) == &database_sqlite ? url + strlen(database_sqlite.scheme) : NULL;
}

int catalog_open(const struct catalog_options *options, struct catalog **ret_catalog,
		 struct catalog_error *reterr)
{
	const struct database_driver *driver = find_driver(options->url);
	struct catalog *catalog;
	int r;

	/* The text may hold a password. */
	if (!driver)
		return strncmp(options->url, "postgresql:", strlen("postgresql:")) == 0
			       ? catalog_fail(
					 reterr, -ENOTSUP,
					 "catalog: this program was built without PostgreSQL, or "
					 "the URL does not begin with postgresql://")
			       : catalog_fail(reterr, -EINVAL,
					      "catalog: neither sqlite:PATH nor postgresql://...");
	catalog = calloc(1, sizeof(*catalog));
	if (!catalog)
		return catalog_fail(reterr, -ENOMEM, "out of memory");
	catalog->driver = driver;
	r = driver->open(options, options->url + strlen(driver->scheme), &catalog->state, reterr);
	if (r < 0) {
		free(catalog);
		return r;
	}
	r = catalog_prepare(catalog, reterr);
	if (r < 0) {
		catalog_close(catalog);
		return r;
	}
	*ret_catalog = catalog;
	return 0;
}

void catalog_close(struct catalog *catalog)
{
	if (!catalog)
		return;
	catalog->driver->close(catalog->state);
	free(catalog);
}

int catalog_check(struct catalog *catalog, struct catalog_error *reterr)
{
	return catalog->driver->check ? catalog->driver->check(catalog->state, reterr) : 0;
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static bool is_plain(char c)
{
	return c >= ' ' && c <= '~' && c != '%';
}

int catalog_text_encode(const char *text, char **ret_encoded)
{
	char *encoded = malloc(strlen(text) * 3 + 1);
	char *end = encoded;

	if (!encoded)
		return -ENOMEM;
	for (; *text != '\0'; text++) {
		if (is_plain(*text)) {
			*end++ = *text;
			continue;
		}
		*end++ = '%';
		hex_encode((struct bytes){ (const uint8_t *)text, 1 }, end);
		end += 2;
	}
	*end = '\0';
	*ret_encoded = encoded;
	return 0;
}

int catalog_text_decode(const char *encoded, char **ret_text)
{
	char *text = malloc(strlen(encoded) + 1);
	char *end = text;

	if (!text)
		return -ENOMEM;
	while (*encoded != '\0') {
		if (*encoded != '%') {
			*end++ = *encoded++;
			continue;
		}
		if (encoded[1] == '\0' ||
		    hex_decode((struct bytes){ (const uint8_t *)encoded + 1, 2 }, (uint8_t *)end,
			       1) != 1 ||
		    *end == '\0') {
			free(text);
			return -EBADMSG;
		}
		end++;
		encoded += 3;
	}
	*end = '\0';
	*ret_text = text;
	return 0;
}
