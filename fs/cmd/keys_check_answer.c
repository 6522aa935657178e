/* SPDX-License-Identifier: Apache-2.0 */
/* What keys check says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/catalog_rows.h"
#include "fs/cmd/keys_check.h"

#define REDUNDANCY_SHOWN 100

bool keys_check_is_needed(enum slot_role role)
{
	return role != SLOT_ALTERNATE && role != SLOT_RECOVERY;
}

static bool is_redundancy(enum slot_role role)
{
	return !keys_check_is_needed(role);
}

static const char *answer_word(enum exit_code code)
{
	switch (code) {
	case EXIT_OK:
		return "not-needed";
	case EXIT_NEEDED:
		return "needed";
	default:
		return "unknown";
	}
}

static struct json_object *uses_json(const struct check *check, bool (*is_wanted)(enum slot_role))
{
	struct json_object *array = document_new_array();

	for (size_t i = 0; i < check->uses.count; i++) {
		struct json_object *object = NULL;

		if (!is_wanted(check->uses.uses[i].role))
			continue;
		object = document_new_object();
		key_use_json(&check->uses.uses[i], object);
		document_append(array, object);
	}
	return array;
}

static struct json_object *volumes_json(const struct check *check, struct json_object *default_of)
{
	char host[CATALOGING_HOST_SIZE];
	struct json_object *array = document_new_array();

	cataloging_host(host);
	for (size_t i = 0; i < check->count; i++) {
		const struct check_volume *volume = &check->volumes[i];
		struct json_object *object = document_new_object();

		if (volume->volume != NULL) {
			catalog_place_json(volume->volume, object);
		} else {
			document_add_uuid(object, "volume", &volume->unregistered_id);
			document_add_text(object, "host", host);
			document_add_path(object, "path", volume->unregistered);
		}
		document_add_time(object, "scanned",
				  volume->volume == NULL ? 0 : volume->volume->scanned_s);
		document_add_bool(object, "live", volume->look == LOOK_SCANNED);
		document_add_text(
			object, "doubt",
			volume->doubt == DOUBT_NONE ? NULL : key_check_doubt_name(volume->doubt));
		document_add_text(object, "message", volume->text[0] == '\0' ? NULL : volume->text);
		document_append(array, object);
		if (volume->is_default) {
			struct json_object *place = document_new_object();

			catalog_place_json(volume->volume, place);
			document_append(default_of, place);
		}
	}
	return array;
}

static void print_json(const struct check *check, enum exit_code code)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.keys-check/1");
	struct json_object *default_of = document_new_array();

	document_add_text(output, "key_id", check->asked.key_id);
	document_add_text(output, "answer", answer_word(code));
	document_add_text(output, "scope", check->is_host_only ? "host" : "fleet");
	document_add_bool(output, "scope_declared", check->facts.is_declared);
	document_add(output, "needed_by", uses_json(check, keys_check_is_needed));
	document_add(output, "redundancy", uses_json(check, is_redundancy));
	document_add(output, "volumes", volumes_json(check, default_of));
	document_add(output, "default_of", default_of);
	document_print(output, stdout);
}

static const char *doubt_words(enum key_check_doubt doubt)
{
	switch (doubt) {
	case DOUBT_UNREACHABLE:
		return "cannot be reached";
	case DOUBT_NEVER:
		return "was never scanned";
	case DOUBT_FAILED:
		return "could not be scanned last";
	case DOUBT_OLD:
		return "was scanned longer ago than catalog_max_age";
	case DOUBT_CHANGED:
		return "changed since it was scanned";
	case DOUBT_INCOMPLETE:
		return "does not say everything";
	case DOUBT_DAMAGED:
		return "rows of it are missing in the catalogue";
	case DOUBT_UNREGISTERED:
		return "is known to this host and not in the catalogue";
	case DOUBT_NONE:
		break;
	}
	return "";
}

static void print_doubts(const struct check *check)
{
	const struct invocation *invocation = check->session.invocation;

	for (size_t i = 0; i < check->count; i++) {
		const struct check_volume *volume = &check->volumes[i];

		if (volume->doubt == DOUBT_NONE)
			continue;
		notice(invocation, "%s%s%s %s%s%s",
		       volume->volume == NULL ? volume->unregistered : volume->volume->path,
		       volume->volume == NULL ? "" : " on ",
		       volume->volume == NULL ? "" : volume->volume->host,
		       doubt_words(volume->doubt), volume->text[0] == '\0' ? "" : ": ",
		       volume->text);
	}
}

/* Of a fleet there may be a hundred thousand: some of them, as --json lists all. */
static void warn_of_redundancy(const struct check *check)
{
	const struct invocation *invocation = check->session.invocation;
	uint64_t shown = 0;

	if (check->redundant_count == 0)
		return;
	notice(invocation,
	       "without it %" PRIu64 " snapshots lose their alternate or recovery slot:",
	       check->redundant_count);
	for (size_t i = 0; i < check->uses.count && shown < REDUNDANCY_SHOWN; i++) {
		const struct key_use *use = &check->uses.uses[i];

		if (!is_redundancy(use->role))
			continue;
		notice(invocation, "  %s: %s on %s, %s", slot_role_name(use->role),
		       use->volume->path, use->volume->host, use->snapshot.name);
		shown++;
	}
	if (shown < check->redundant_count)
		notice(invocation, "  and %" PRIu64 " more; --json lists all",
		       check->redundant_count - shown);
}

static int print_needed(struct check *check)
{
	struct invocation *invocation = check->session.invocation;
	const int r = invocation->is_quiet ? 0 : key_uses_print(&check->uses, keys_check_is_needed);

	if (r < 0)
		return fail(invocation, EXIT_NEEDED, "it is still needed; listing: %s",
			    strerror(-r));
	for (size_t i = 0; i < check->count; i++)
		if (check->volumes[i].is_default)
			notice(invocation, "it is the key of new snapshots of %s on %s",
			       check->volumes[i].volume->path, check->volumes[i].volume->host);
	return 0;
}

static int say_needed(struct check *check)
{
	struct invocation *invocation = check->session.invocation;

	if (!invocation->is_json && print_needed(check) != 0)
		return EXIT_NEEDED;
	fail(invocation, EXIT_NEEDED, "key %s is still needed; do not delete it",
	     check->asked.key_id);
	advise(invocation,
	       "'snapcrypt keys rewrap' and 'keys set-default' move what needs it to another key");
	return EXIT_NEEDED;
}

static int say_unknown(struct check *check)
{
	struct invocation *invocation = check->session.invocation;
	const struct key_check_facts *facts = &check->facts;

	if (facts->volume_count == 0) {
		fail(invocation, EXIT_UNKNOWN, "no volume is in the catalogue");
		advise(invocation, "'snapcrypt catalog register VOLUME' or 'catalog rebuild'");
	} else if (facts->doubt_count > 0) {
		fail(invocation, EXIT_UNKNOWN,
		     "whether key %s is needed cannot be known: %" PRIu64 " of %" PRIu64
		     " volumes are in doubt",
		     check->asked.key_id, facts->doubt_count, facts->volume_count);
		advise(invocation,
		       "'snapcrypt catalog sync' on their hosts, or --live here; 'catalog forget' "
		       "takes out a volume that is gone for good");
	} else {
		fail(invocation, EXIT_UNKNOWN,
		     "whether key %s is needed elsewhere cannot be known: nothing says that the "
		     "catalogue knows every volume",
		     check->asked.key_id);
		advise(invocation, "--scope host asks about this host only; set 'catalog_scope = "
				   "fleet' once every host's volumes are registered");
	}
	return EXIT_UNKNOWN;
}

int keys_check_answer(struct check *check)
{
	const enum exit_code code = key_check_decide(&check->facts);
	const struct invocation *invocation = check->session.invocation;

	if (invocation->is_json)
		print_json(check, code);
	print_doubts(check);
	if (code == EXIT_NEEDED)
		return say_needed(check);
	warn_of_redundancy(check);
	if (code != EXIT_OK)
		return say_unknown(check);
	if (!invocation->is_json && !invocation->is_quiet)
		printf("Not needed: %" PRIu64 " volumes were looked at, and no snapshot needs %s "
		       "to be opened.\n",
		       check->facts.volume_count, check->asked.key_id);
	return EXIT_OK;
}
