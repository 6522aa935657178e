/* SPDX-License-Identifier: Apache-2.0 */
/* An empty catalogue: in memory, or in the database that SNAPCRYPT_TEST_CATALOG names. */
#ifndef SNAPCRYPT_TESTS_UNIT_CATALOG_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_CATALOG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meta/catalog/catalog.h"
#include "meta/catalog/database.h"

static const char *catalog_fixture_url(void)
{
	const char *url = getenv("SNAPCRYPT_TEST_CATALOG");

	return url ? url : "sqlite::memory:";
}

static struct catalog *catalog_fixture_open(void)
{
	const struct catalog_options options = { .url = catalog_fixture_url(), .timeout_s = 5 };
	struct catalog_error error = { 0 };
	struct catalog *catalog = NULL;

	if (catalog_open(&options, &catalog, &error) < 0)
		fail_msg("%s", error.text);
	return catalog;
}

static void catalog_fixture_execute(struct catalog *catalog, const char *sql)
{
	struct catalog_error error = { 0 };

	if (database_execute(catalog, sql, NULL, 0, &error) < 0)
		fail_msg("%s: %s", sql, error.text);
}

/* A server keeps what the test before has left. */
static struct catalog *catalog_fixture_new(void)
{
	static const char *const tables[] = { "need", "snapshot", "kek", "volume" };
	struct catalog *catalog = catalog_fixture_open();

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "delete from %s", tables[i]);
		catalog_fixture_execute(catalog, sql);
	}
	return catalog;
}

/* A UUID that ends with NUMBER. */
static struct uuid catalog_fixture_uuid(unsigned number)
{
	struct uuid id = { .bytes = { 0xa5, 0, 0, 0, 0, 0, 0x40, 0, 0x80 } };

	id.bytes[12] = (uint8_t)(number >> 24);
	id.bytes[13] = (uint8_t)(number >> 16);
	id.bytes[14] = (uint8_t)(number >> 8);
	id.bytes[15] = (uint8_t)number;
	return id;
}

static int64_t catalog_fixture_enter(struct catalog *catalog, unsigned volume, const char *host,
				     const char *path)
{
	const struct catalog_place place = { catalog_fixture_uuid(volume), host, path };
	struct catalog_error error = { 0 };
	int64_t number = 0;

	if (catalog_register(catalog, &place, 1000, &number, &error) < 0)
		fail_msg("%s", error.text);
	return number;
}

#endif
