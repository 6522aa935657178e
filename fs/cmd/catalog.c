/* SPDX-License-Identifier: Apache-2.0 */
/* catalog register, sync, list-volumes, forget: which volumes the catalogue knows, and how fresh its data is. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/cmd/catalog_rebuild.h"
#include "fs/cmd/catalog_rows.h"
#include "fs/cmd/cataloging.h"
#include "fs/cmd/commands.h"
#include "fs/store/store.h"

const struct option_spec options_catalog_forget[] = {
	{ "host", 0, "HOST", "only the copy that this host has entered" },
	{ "path", 0, "PATH", "only the copy at this path" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* ---- sync and register ---------------------------------------------------------------------------- */

/* Scan one place, and read its row anew. */
static int sync_one(struct session *session, struct catalog *catalog, int64_t number,
		    struct catalog_results *results)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	char text[512] = "";
	int r = 0;

	if (catalog_list(catalog, &volumes, &error) < 0)
		return cataloging_fail(session, &error);
	for (size_t i = 0; r == 0 && i < volumes.count; i++)
		if (volumes.volumes[i].number == number)
			r = cataloging_sync(session, catalog, &volumes.volumes[i], text);
	catalog_volumes_free(&volumes);
	return r < 0 ? -r : catalog_results_add(results, number, text);
}

/* Enter the volume that OPERAND names, by a session of its own. */
static int enter(struct invocation *invocation, const char *operand_text, struct catalog *catalog,
		 int64_t *ret_number)
{
	struct store_description description = { 0 };
	struct store_error store_error = { 0 };
	struct catalog_error error = { 0 };
	char host[CATALOGING_HOST_SIZE];
	struct session session;
	int r = 0;

	cataloging_host(host);
	session_init(&session, invocation);
	r = session_open_volume(&session, operand_text);
	if (r == 0 && store_describe(session.access.backing_fd, session.access.trust, &description,
				     &store_error) < 0)
		r = session_fail(&session, &store_error);
	if (r == 0)
		(void)!trust_see_backing(session.access.trust, &description.record.volume,
					 session.access.backing);
	if (r == 0 && catalog_register(catalog,
				       &(struct catalog_place){ description.record.volume, host,
								session.access.backing },
				       time(NULL), ret_number, &error) < 0)
		r = cataloging_fail(&session, &error);
	volume_record_free(&description.record);
	session_close(&session);
	return r;
}

int cmd_catalog_register(struct invocation *invocation)
{
	struct catalog_results results = { 0 };
	struct catalog *catalog = NULL;
	struct session session;
	int64_t number = 0;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = cataloging_open(&session, CATALOGING_TIMEOUT_S, &catalog);
	if (r == 0)
		r = enter(invocation, operand(invocation, 0), catalog, &number);
	if (r == 0)
		r = sync_one(&session, catalog, number, &results);
	if (r == 0)
		r = catalog_results_print(&session, catalog, &results);
	catalog_results_free(&results);
	catalog_close(catalog);
	session_close(&session);
	return r;
}

/* All registered places of this host. */
static int sync_all(struct session *session, struct catalog *catalog,
		    struct catalog_results *results)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	int r = 0;

	if (catalog_list(catalog, &volumes, &error) < 0)
		return cataloging_fail(session, &error);
	for (size_t i = 0; r == 0 && i < volumes.count; i++) {
		const struct catalog_volume *volume = &volumes.volumes[i];
		char text[512] = "";

		if (volume->forgotten_s != 0 || !cataloging_is_here(volume))
			continue;
		r = cataloging_sync(session, catalog, volume, text);
		r = r < 0 ? -r : catalog_results_add(results, volume->number, text);
	}
	catalog_volumes_free(&volumes);
	return r;
}

int catalog_sync_all(struct session *session, struct catalog *catalog)
{
	struct catalog_results results = { 0 };
	int r = sync_all(session, catalog, &results);

	if (r == 0)
		r = catalog_results_print(session, catalog, &results);
	catalog_results_free(&results);
	return r;
}

int cmd_catalog_sync(struct invocation *invocation)
{
	struct catalog_results results = { 0 };
	struct catalog *catalog = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = cataloging_open(&session, CATALOGING_TIMEOUT_S, &catalog);
	for (int i = 0; r == 0 && i < invocation->operand_count; i++) {
		int64_t number = 0;

		r = enter(invocation, operand(invocation, i), catalog, &number);
		if (r == 0)
			r = sync_one(&session, catalog, number, &results);
	}
	if (r == 0 && invocation->operand_count == 0)
		r = sync_all(&session, catalog, &results);
	if (r == 0)
		r = catalog_results_print(&session, catalog, &results);
	catalog_results_free(&results);
	catalog_close(catalog);
	session_close(&session);
	return r;
}

/* ---- list-volumes --------------------------------------------------------------------------------- */

int cmd_catalog_list_volumes(struct invocation *invocation)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	struct catalog *catalog = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = cataloging_open(&session, CATALOGING_TIMEOUT_S, &catalog);
	if (r == 0 && catalog_list(catalog, &volumes, &error) < 0)
		r = cataloging_fail(&session, &error);
	if (r == 0)
		r = catalog_rows_print(invocation, &volumes);
	catalog_volumes_free(&volumes);
	catalog_close(catalog);
	session_close(&session);
	return r;
}

/* ---- forget --------------------------------------------------------------------------------------- */

/* Which rows are meant: a volume that is gone can be named only by what the catalogue has of it. */
struct forgetting {
	const char *named;
	struct uuid id;
	bool has_id;
	char path[PATH_MAX];
	const char *only_host;
	const char *only_path;
};

static void find_names(struct session *session, struct forgetting *forgetting)
{
	const struct config *config = session->access.config;
	const char *named = forgetting->named;
	const char *backing = strchr(named, '/') == NULL && config_has_volume(config, named)
				      ? config_text(config, named, "backing")
				      : NULL;

	forgetting->has_id = uuid_parse(named, &forgetting->id) == 0;
	if (backing != NULL)
		named = backing;
	if (realpath(named, forgetting->path) == NULL)
		snprintf(forgetting->path, sizeof(forgetting->path), "%s", named);
}

static bool is_meant(const struct forgetting *forgetting, const struct catalog_volume *volume)
{
	if (volume->forgotten_s != 0 ||
	    (forgetting->only_host != NULL && strcmp(volume->host, forgetting->only_host) != 0) ||
	    (forgetting->only_path != NULL && strcmp(volume->path, forgetting->only_path) != 0))
		return false;
	if (forgetting->has_id)
		return uuid_equal(&volume->volume, &forgetting->id);
	/* A path means this host's, unless another one is named. */
	return strcmp(volume->path, forgetting->path) == 0 &&
	       (forgetting->only_host != NULL || cataloging_is_here(volume));
}

static int forget_rows(struct session *session, struct catalog *catalog,
		       const struct forgetting *forgetting, struct catalog_volumes *volumes)
{
	struct invocation *invocation = session->invocation;
	struct catalog_error error = { 0 };
	size_t kept = 0;
	char question[256];

	for (size_t i = 0; i < volumes->count; i++)
		if (is_meant(forgetting, &volumes->volumes[i])) {
			const struct catalog_volume meant = volumes->volumes[i];

			volumes->volumes[i] = volumes->volumes[kept];
			volumes->volumes[kept++] = meant;
		}
	if (kept == 0) {
		fail(invocation, EXIT_NO_VOLUME, "%s: not in the catalogue", forgetting->named);
		advise(invocation, "'snapcrypt catalog list-volumes' shows what is");
		return EXIT_NO_VOLUME;
	}
	if (option_is_set(invocation, "dry-run"))
		return catalog_forgotten_print(invocation, volumes, kept);
	snprintf(question, sizeof(question),
		 "Forget %zu place%s? Keys that only they need will count as not needed.", kept,
		 kept == 1 ? "" : "s");
	if (confirm(invocation, question) != 0)
		return invocation->failure.exit_code;
	for (size_t i = 0; i < kept; i++)
		if (catalog_forget(catalog, volumes->volumes[i].number, time(NULL), &error) < 0)
			return cataloging_fail(session, &error);
	return catalog_forgotten_print(invocation, volumes, kept);
}

int cmd_catalog_forget(struct invocation *invocation)
{
	struct forgetting forgetting = {
		.named = operand(invocation, 0),
		.only_host = option_value(invocation, "host"),
		.only_path = option_value(invocation, "path"),
	};
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	struct catalog *catalog = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = cataloging_open(&session, CATALOGING_TIMEOUT_S, &catalog);
	if (r == 0 && catalog_list(catalog, &volumes, &error) < 0)
		r = cataloging_fail(&session, &error);
	if (r == 0) {
		find_names(&session, &forgetting);
		r = forget_rows(&session, catalog, &forgetting, &volumes);
	}
	catalog_volumes_free(&volumes);
	catalog_close(catalog);
	session_close(&session);
	return r;
}
