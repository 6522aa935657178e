/* SPDX-License-Identifier: Apache-2.0 */
/* keys usage: what needs a key, as the catalogue knows it. */
#include <stdio.h>
#include <string.h>

#include "fs/cmd/catalog_rows.h"
#include "fs/cmd/commands.h"
#include "fs/cmd/key_uses.h"

const struct option_spec options_keys_usage[] = {
	{ "live", 0, NULL, "scan the volumes of this host first" },
	{ NULL, 0, NULL, NULL },
};

static void print_json(const struct key_asked *asked, const struct catalog_volumes *volumes,
		       const struct key_uses *uses)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.keys-usage/1");
	struct json_object *list = document_new_array();
	struct json_object *default_of = document_new_array();

	document_add_text(output, "key_id", asked->key_id);
	for (size_t i = 0; i < uses->count; i++) {
		struct json_object *object = document_new_object();

		key_use_json(&uses->uses[i], object);
		document_append(list, object);
	}
	for (size_t i = 0; i < volumes->count; i++) {
		struct json_object *object = NULL;

		if (!key_uses_is_default(asked, &volumes->volumes[i]))
			continue;
		object = document_new_object();
		catalog_place_json(&volumes->volumes[i], object);
		document_append(default_of, object);
	}
	document_add(output, "uses", list);
	document_add(output, "default_of", default_of);
	document_print(output, stdout);
}

static int print_text(struct invocation *invocation, const struct key_asked *asked,
		      const struct catalog_volumes *volumes, const struct key_uses *uses)
{
	const int r = key_uses_print(uses, NULL);

	if (r < 0)
		return fail(invocation, EXIT_FAILED, "listing: %s", strerror(-r));
	for (size_t i = 0; i < volumes->count; i++)
		if (key_uses_is_default(asked, &volumes->volumes[i]))
			notice(invocation, "it is the key of new snapshots of %s on %s",
			       volumes->volumes[i].path, volumes->volumes[i].host);
	return EXIT_OK;
}

/* What the catalogue does not know cannot be in the list. */
static void say_gaps(const struct invocation *invocation, const struct catalog_volumes *volumes)
{
	for (size_t i = 0; i < volumes->count; i++) {
		const struct catalog_volume *volume = &volumes->volumes[i];

		if (volume->forgotten_s == 0 && (volume->scanned_s == 0 || !volume->is_complete))
			notice(invocation, "%s on %s: %s", volume->path, volume->host,
			       volume->scanned_s == 0
				       ? "never scanned; run 'snapcrypt catalog sync' there"
				       : "not all of it could be read");
	}
}

/* --live: what is here, as it is now. */
static int scan_here(struct session *session, struct catalog *catalog,
		     struct catalog_volumes *volumes)
{
	struct catalog_error error = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < volumes->count; i++) {
		const struct catalog_volume *volume = &volumes->volumes[i];
		char text[512];

		if (volume->forgotten_s != 0 || !cataloging_is_here(volume))
			continue;
		r = cataloging_sync(session, catalog, volume, text);
		if (r > 0)
			notice(session->invocation, "%s: not scanned: %s", volume->path, text);
		r = r < 0 ? -r : 0;
	}
	catalog_volumes_free(volumes);
	if (r == 0 && catalog_list(catalog, volumes, &error) < 0)
		r = cataloging_fail(session, &error);
	return r;
}

int cmd_keys_usage(struct invocation *invocation)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };
	struct key_asked asked = { 0 };
	struct key_uses uses = { 0 };
	struct catalog *catalog = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = key_uses_resolve(&session, operand(invocation, 0), &asked);
	if (r == 0)
		r = cataloging_open(&session, CATALOGING_TIMEOUT_S, &catalog);
	if (r == 0 && catalog_list(catalog, &volumes, &error) < 0)
		r = cataloging_fail(&session, &error);
	if (r == 0 && option_is_set(invocation, "live"))
		r = scan_here(&session, catalog, &volumes);
	if (r == 0)
		r = key_uses_find(&session, catalog, &asked, &volumes, &uses);
	if (r == 0) {
		say_gaps(invocation, &volumes);
		if (invocation->is_json)
			print_json(&asked, &volumes, &uses);
		else
			r = print_text(invocation, &asked, &volumes, &uses);
	}
	key_uses_free(&uses);
	catalog_volumes_free(&volumes);
	catalog_close(catalog);
	session_close(&session);
	return r;
}
