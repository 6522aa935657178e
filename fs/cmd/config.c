/* SPDX-License-Identifier: Apache-2.0 */
/* config show, config check. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/session.h"

const struct option_spec options_config_show[] = {
	{ "origin", 0, NULL, "where each comes from: file and line, variable or option" },
	{ "volume", 0, "NAME", "only this section, and [global]" },
	{ NULL, 0, NULL, NULL },
};

struct showing {
	const struct invocation *invocation;
	const char *volume;
	bool with_origin;
	struct json_object *items;
	const char *section;
	const char *name;
};

static bool is_shown(const struct showing *showing, const struct config_item *item)
{
	return showing->volume == NULL || strcmp(item->section, "volume") != 0 ||
	       (item->name != NULL && strcmp(item->name, showing->volume) == 0);
}

static void add_json(struct showing *showing, const struct config_item *item)
{
	struct json_object *object = document_new_object();

	document_add_text(object, "section", item->section);
	document_add_text(object, "name", item->name);
	document_add_text(object, "key", item->key);
	document_add_text(object, "value", item->value);
	document_add_text(object, "origin", config_origin_name(item->origin));
	document_add_text(object, "source", item->source);
	if (item->line == 0)
		document_add_null(object, "line");
	else
		document_add_number(object, "line", item->line);
	document_append(showing->items, object);
}

static void print_heading(struct showing *showing, const struct config_item *item)
{
	const bool is_same_name = (showing->name == NULL && item->name == NULL) ||
				  (showing->name != NULL && item->name != NULL &&
				   strcmp(showing->name, item->name) == 0);

	if (showing->section != NULL && strcmp(showing->section, item->section) == 0 &&
	    is_same_name)
		return;
	printf("%s[%s%s%s%s]\n", showing->section == NULL ? "" : "\n", item->section,
	       item->name == NULL ? "" : " \"", item->name == NULL ? "" : item->name,
	       item->name == NULL ? "" : "\"");
	showing->section = item->section;
	showing->name = item->name;
}

static void print_origin(const struct config_item *item)
{
	const char *origin = config_origin_name(item->origin);

	if (item->source == NULL || strcmp(item->source, origin) == 0)
		printf("   # %s", origin);
	else
		printf("   # %s %s", origin, item->source);
}

static int show_item(void *arg, const struct config_item *item)
{
	struct showing *showing = arg;

	if (!is_shown(showing, item))
		return 0;
	if (showing->items != NULL) {
		add_json(showing, item);
		return 0;
	}
	print_heading(showing, item);
	printf("%s%s = %s", item->value == NULL ? "# " : "", item->key,
	       item->value == NULL ? "" : item->value);
	if (showing->with_origin && item->line != 0)
		printf("   # %s:%u", item->source, item->line);
	else if (showing->with_origin)
		print_origin(item);
	printf("\n");
	return 0;
}

int cmd_config_show(struct invocation *invocation)
{
	struct showing showing = {
		.invocation = invocation,
		.volume = option_value(invocation, "volume"),
		.with_origin = option_is_set(invocation, "origin"),
	};
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0 && showing.volume != NULL &&
	    !config_has_volume(session.access.config, showing.volume))
		r = fail(invocation, EXIT_USAGE, "there is no section [volume \"%s\"]",
			 showing.volume);
	if (r == 0) {
		if (invocation->is_json)
			showing.items = document_new_array();
		(void)config_each(session.access.config, show_item, &showing);
	}
	if (showing.items != NULL) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.config-show/1");

		document_add(output, "settings", showing.items);
		document_print(output, stdout);
	}
	session_close(&session);
	return r;
}

/* Reading it has found unknown keys and malformed values; what else can be wrong without a network? */
static int check_volumes(struct session *session)
{
	const struct config *config = session->access.config;

	for (size_t i = 0; i < config_volume_count(config); i++) {
		const char *name = config_volume_name(config, i);

		if (config_text(config, name, "backing") == NULL)
			return fail(session->invocation, EXIT_USAGE,
				    "[volume \"%s\"] has no backing directory", name);
	}
	return 0;
}

/* Opening trust and keys parses fingerprints, URIs and their settings. */
int cmd_config_check(struct invocation *invocation)
{
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = check_volumes(&session);
	if (r == 0)
		r = session_open_trust(&session);
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0 && invocation->is_json) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.config-check/1");

		document_add_number(output, "volumes", config_volume_count(session.access.config));
		document_add_number(output, "keys", config_key_count(session.access.config));
		document_print(output, stdout);
	} else if (r == 0 && !invocation->is_quiet) {
		printf("configuration: nothing wrong\n");
	}
	session_close(&session);
	return r;
}
