/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of the catalogue's volumes. */
#include "fs/cmd/catalog_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/cataloging.h"
#include "fs/cmd/human.h"
#include "fs/cmd/table.h"

#define SYNC_SCHEMA "snapcrypt.catalog-sync/1"

int catalog_results_add(struct catalog_results *results, int64_t number, const char *text)
{
	struct catalog_result *grown = reallocarray(results->results, results->count + 1,
						    sizeof(*grown));

	if (grown == NULL)
		return EXIT_FAILED;
	results->results = grown;
	grown[results->count] = (struct catalog_result){ number, strdup(text) };
	return grown[results->count++].text == NULL ? EXIT_FAILED : 0;
}

void catalog_results_free(struct catalog_results *results)
{
	for (size_t i = 0; i < results->count; i++)
		free(results->results[i].text);
	free(results->results);
	*results = (struct catalog_results){ 0 };
}

/* ---- One volume ----------------------------------------------------------------------------------- */

void catalog_place_json(const struct catalog_volume *volume, struct json_object *object)
{
	document_add_uuid(object, "volume", &volume->volume);
	document_add_text(object, "host", volume->host);
	document_add_path(object, "path", volume->path);
}

void catalog_volume_json(const struct catalog_volume *volume, struct json_object *object)
{
	catalog_place_json(volume, object);
	document_add_bool(object, "here", cataloging_is_here(volume));
	document_add_text(object, "default_key_id",
			  volume->default_key_id[0] == '\0' ? NULL : volume->default_key_id);
	document_add_time(object, "registered", volume->registered_s);
	document_add_time(object, "scanned", volume->scanned_s);
	document_add_time(object, "failed", volume->failed_s);
	document_add_text(object, "failure", volume->failure[0] == '\0' ? NULL : volume->failure);
	document_add_number(object, "snapshots", volume->snapshot_count);
	document_add_bool(object, "complete", volume->scanned_s != 0 && volume->is_complete);
	document_add_number(object, "damaged_objects", volume->damaged_count);
	document_add_number(object, "unusable_keys", volume->unusable_count);
	document_add_number(object, "unreadable_objects", volume->unreadable_count);
}

void catalog_volume_gaps(const struct catalog_volume *volume, char *text, size_t size)
{
	const struct {
		uint64_t count;
		const char *what;
	} gaps[] = {
		{ volume->damaged_count, "objects do not say which data key they are under" },
		{ volume->unusable_count, "data keys have no readable key record" },
		{ volume->unreadable_count, "objects could not be read" },
	};
	size_t used = 0;

	text[0] = '\0';
	if (volume->scanned_s == 0)
		return;
	if (!volume->is_stable)
		used = (size_t)snprintf(text, size, "it changed while it was scanned");
	for (size_t i = 0; i < ARRAY_SIZE(gaps) && used < size; i++)
		if (gaps[i].count > 0)
			used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64 " %s",
						 used > 0 ? ", " : "", gaps[i].count, gaps[i].what);
}

static const char *state_of(const struct catalog_volume *volume)
{
	if (volume->forgotten_s != 0)
		return "forgotten";
	if (volume->failed_s != 0)
		return "scan failed";
	if (volume->scanned_s == 0)
		return "never scanned";
	return volume->is_complete ? "complete" : "incomplete";
}

/* ---- Lists ---------------------------------------------------------------------------------------- */

static int print_table(struct invocation *invocation, const struct catalog_volumes *volumes)
{
	static const struct table_column columns[] = {
		{ "VOLUME", false },   { "HOST", false },    { "PATH", false },
		{ "SNAPSHOTS", true }, { "SCANNED", false }, { "STATE", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < volumes->count; i++) {
		const struct catalog_volume *volume = &volumes->volumes[i];
		char id[UUID_TEXT_SIZE];
		char snapshots[HUMAN_SIZE];
		char scanned[HUMAN_SIZE];

		uuid_format(&volume->volume, id);
		r = table_add(table,
			      (const char *const[]){
				      id, volume->host, volume->path,
				      human_number(volume->snapshot_count, snapshots),
				      human_time(volume->scanned_s, scanned), state_of(volume) });
	}
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "listing: %s", strerror(-r));
	table_print(table);
	return EXIT_OK;
}

int catalog_rows_print(struct invocation *invocation, const struct catalog_volumes *volumes)
{
	CLEANUP(document_cleanup) struct json_object *output = NULL;
	struct json_object *list = NULL;

	if (!invocation->is_json)
		return print_table(invocation, volumes);
	output = document_new_output("snapcrypt.catalog-list-volumes/1");
	list = document_new_array();
	for (size_t i = 0; i < volumes->count; i++) {
		struct json_object *object = document_new_object();

		catalog_volume_json(&volumes->volumes[i], object);
		document_add_time(object, "forgotten", volumes->volumes[i].forgotten_s);
		document_append(list, object);
	}
	document_add(output, "volumes", list);
	document_print(output, stdout);
	return EXIT_OK;
}

int catalog_forgotten_print(const struct invocation *invocation,
			    const struct catalog_volumes *volumes, size_t count)
{
	CLEANUP(document_cleanup) struct json_object *output = document_new_output(SYNC_SCHEMA);
	const bool is_dry_run = option_is_set(invocation, "dry-run");
	struct json_object *list = document_new_array();

	for (size_t i = 0; i < count; i++) {
		const struct catalog_volume *volume = &volumes->volumes[i];
		struct json_object *object = document_new_object();

		catalog_volume_json(volume, object);
		document_add_text(object, "outcome", is_dry_run ? "would-forget" : "forgotten");
		document_append(list, object);
		if (!invocation->is_json && !invocation->is_quiet)
			printf("%s: %s on %s\n", is_dry_run ? "would forget" : "forgotten",
			       volume->path, volume->host);
	}
	document_add(output, "volumes", list);
	if (invocation->is_json)
		document_print(output, stdout);
	return EXIT_OK;
}

/* ---- Results -------------------------------------------------------------------------------------- */

static const struct catalog_volume *find(const struct catalog_volumes *volumes, int64_t number)
{
	for (size_t i = 0; i < volumes->count; i++)
		if (volumes->volumes[i].number == number)
			return &volumes->volumes[i];
	return NULL;
}

static void say_result(const struct invocation *invocation, const struct catalog_volume *volume,
		       const char *text)
{
	char gaps[256];

	catalog_volume_gaps(volume, gaps, sizeof(gaps));
	if (text[0] != '\0')
		notice(invocation, "%s: not scanned: %s", volume->path, text);
	else if (gaps[0] != '\0')
		notice(invocation, "%s: %s", volume->path, gaps);
	if (text[0] == '\0' && !invocation->is_json && !invocation->is_quiet)
		printf("%s: %" PRIu64 " snapshots\n", volume->path, volume->snapshot_count);
}

int catalog_results_print(struct session *session, struct catalog *catalog,
			  const struct catalog_results *results)
{
	struct invocation *invocation = session->invocation;
	CLEANUP(document_cleanup) struct json_object *output = document_new_output(SYNC_SCHEMA);
	struct json_object *list = document_new_array();
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	size_t failed = 0;

	document_add(output, "volumes", list);
	if (catalog_list(catalog, &volumes, &error) < 0)
		return cataloging_fail(session, &error);
	for (size_t i = 0; i < results->count; i++) {
		const struct catalog_result *result = &results->results[i];
		const struct catalog_volume *volume = find(&volumes, result->number);
		struct json_object *object = NULL;

		if (volume == NULL)
			continue;
		object = document_new_object();
		catalog_volume_json(volume, object);
		document_add_text(object, "outcome", result->text[0] == '\0' ? "synced" : "failed");
		document_append(list, object);
		say_result(invocation, volume, result->text);
		failed += result->text[0] != '\0';
	}
	catalog_volumes_free(&volumes);
	if (invocation->is_json)
		document_print(output, stdout);
	if (failed == 0)
		return EXIT_OK;
	fail(invocation, EXIT_PARTIAL, "%zu of %zu volumes could not be scanned", failed,
	     results->count);
	advise(invocation, "'snapcrypt catalog forget' takes out one that is gone for good");
	return EXIT_PARTIAL;
}
