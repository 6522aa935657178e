/* SPDX-License-Identifier: Apache-2.0 */
/* catalog rebuild: the catalogue made anew from the volumes that this host knows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/cmd/catalog_rebuild.h"
#include "fs/cmd/catalog_rows.h"
#include "fs/cmd/cataloging.h"
#include "fs/cmd/commands.h"

const struct option_spec options_catalog_rebuild[] = {
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* ---- Places that this host knows, whatever the catalogue says ------------------------------------- */

static bool has_place(const struct known_places *places, const char *path)
{
	for (size_t i = 0; i < places->count; i++)
		if (strcmp(places->paths[i], path) == 0)
			return true;
	return false;
}

static int add_place(struct known_places *places, const struct uuid *volume, const char *path)
{
	char **paths = NULL;
	struct uuid *volumes = NULL;

	if (has_place(places, path))
		return 0;
	paths = reallocarray(places->paths, places->count + 1, sizeof(*paths));
	if (paths == NULL)
		return -ENOMEM;
	places->paths = paths;
	volumes = reallocarray(places->volumes, places->count + 1, sizeof(*volumes));
	if (volumes == NULL)
		return -ENOMEM;
	places->volumes = volumes;
	volumes[places->count] = volume == NULL ? (struct uuid){ 0 } : *volume;
	paths[places->count] = strdup(path);
	return paths[places->count++] == NULL ? -ENOMEM : 0;
}

int known_places_pinned(struct trust *trust, struct known_places *places)
{
	struct uuid *volumes = NULL;
	size_t count = 0;
	int r = trust_list_volumes(trust, &volumes, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct volume_pin pin = { 0 };

		r = trust_volume_pin(trust, &volumes[i], &pin);
		if (r == -ENOENT) {
			r = 0;
			continue;
		}
		for (size_t j = 0; r == 0 && j < pin.backing_count; j++)
			r = add_place(places, &volumes[i], pin.backings[j]);
		volume_pin_free(&pin);
	}
	free(volumes);
	return r == -ENOENT ? 0 : r;
}

static int add_configured(const struct config *config, struct known_places *places)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config_volume_count(config); i++) {
		const char *backing = config_text(config, config_volume_name(config, i), "backing");

		if (backing != NULL)
			r = add_place(places, NULL, backing);
	}
	return r;
}

void known_places_free(struct known_places *places)
{
	for (size_t i = 0; i < places->count; i++)
		free(places->paths[i]);
	free(places->paths);
	free(places->volumes);
	*places = (struct known_places){ 0 };
}

/* ---- The command ---------------------------------------------------------------------------------- */

/* What the old one can still tell of this host's places is taken over. */
static int add_registered(struct session *session, struct known_places *places)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	struct catalog *catalog = NULL;
	int r = cataloging_open(session, CATALOGING_TIMEOUT_S, &catalog);

	if (r != 0 || catalog_list(catalog, &volumes, &error) < 0) {
		notice(session->invocation, "the old catalogue: %s",
		       r != 0 ? session->invocation->failure.text : error.text);
		memset(&session->invocation->failure, 0, sizeof(session->invocation->failure));
		catalog_close(catalog);
		return 0;
	}
	for (size_t i = 0; r == 0 && i < volumes.count; i++)
		if (volumes.volumes[i].forgotten_s == 0 && cataloging_is_here(&volumes.volumes[i]))
			r = add_place(places, &volumes.volumes[i].volume, volumes.volumes[i].path);
	catalog_volumes_free(&volumes);
	catalog_close(catalog);
	return r;
}

/* The file and what SQLite keeps beside it go aside: nobody has said that they are worthless. */
static int put_aside(struct session *session, const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(suffixes); i++) {
		char *from = NULL;
		char *to = NULL;

		if (asprintf(&from, "%s%s", path, suffixes[i]) < 0 ||
		    asprintf(&to, "%s.old%s", path, suffixes[i]) < 0)
			r = fail(session->invocation, EXIT_FAILED, "out of memory");
		else if (rename(from, to) != 0 && errno != ENOENT)
			r = fail(session->invocation, EXIT_FAILED, "%s: %s", from, strerror(errno));
		free(from);
		free(to);
	}
	return r;
}

/* Enter each place under the volume that was known there, so that one that is gone is not forgotten. */
static int enter_all(struct session *session, struct catalog *catalog,
		     const struct known_places *places)
{
	struct catalog_error error = { 0 };
	char host[CATALOGING_HOST_SIZE];
	int r = 0;

	cataloging_host(host);
	for (size_t i = 0; r == 0 && i < places->count; i++) {
		struct catalog_place place = { places->volumes[i], host, places->paths[i] };
		int64_t number = 0;

		if (uuid_is_zero(&place.volume) &&
		    !cataloging_identify(session->invocation, place.path, &place.volume))
			continue;
		if (catalog_register(catalog, &place, time(NULL), &number, &error) < 0)
			r = cataloging_fail(session, &error);
	}
	return r;
}

static int rebuild(struct session *session, const char *url, const struct known_places *places)
{
	const char *file = catalog_file(url);
	struct catalog *catalog = NULL;
	int r = 0;

	/* A server's tables are other hosts' too: there, only this host's volumes are made anew. */
	if (file != NULL)
		r = put_aside(session, file);
	if (r == 0)
		r = cataloging_open(session, CATALOGING_TIMEOUT_S, &catalog);
	if (r == 0)
		r = enter_all(session, catalog, places);
	if (r == 0)
		r = catalog_sync_all(session, catalog);
	catalog_close(catalog);
	return r;
}

static int collect(struct session *session, struct known_places *places)
{
	int r = add_registered(session, places);

	if (r == 0)
		r = known_places_pinned(session->access.trust, places);
	if (r == 0)
		r = add_configured(session->access.config, places);
	return r < 0 ? fail(session->invocation, EXIT_FAILED, "volumes of this host: %s",
			    strerror(-r))
		     : r;
}

static int print_plan(const struct invocation *invocation, const struct known_places *places)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.catalog-sync/1");
	struct json_object *list = document_new_array();

	for (size_t i = 0; i < places->count; i++) {
		struct json_object *object = document_new_object();

		document_add_path(object, "path", places->paths[i]);
		document_add_text(object, "outcome", "would-sync");
		document_append(list, object);
		if (!invocation->is_json && !invocation->is_quiet)
			printf("would enter and scan: %s\n", places->paths[i]);
	}
	document_add(output, "volumes", list);
	if (invocation->is_json)
		document_print(output, stdout);
	return EXIT_OK;
}

int cmd_catalog_rebuild(struct invocation *invocation)
{
	struct known_places places = { 0 };
	struct session session;
	char *url = NULL;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = session_open_trust(&session);
	if (r == 0)
		r = cataloging_url(&session, &url);
	if (r == 0)
		r = collect(&session, &places);
	if (r == 0 && option_is_set(invocation, "dry-run")) {
		r = print_plan(invocation, &places);
	} else if (r == 0) {
		r = confirm(invocation, "Make the catalogue anew from the volumes of this host?");
		if (r == 0)
			r = rebuild(&session, url, &places);
	}
	known_places_free(&places);
	free(url);
	session_close(&session);
	return r;
}
