/* SPDX-License-Identifier: Apache-2.0 */
/* What needs a key, over all volumes of the catalogue. */
#include "fs/cmd/key_uses.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/human.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/table.h"
#include "kms/provider.h"
#include "meta/key_id.h"

/* ---- Which key ------------------------------------------------------------------------------------ */

/* An URI without a version means every version, and the service answers with the one in use. */
static void drop_version(const char *uri, char *key_id)
{
	const char *version = key_id_version(key_id);
	char below_name[KEY_ID_SIZE + 1];

	if (version == NULL)
		return;
	/* Only Azure's URIs can name one: as their last element. */
	snprintf(below_name, sizeof(below_name), "/%s", version);
	if (strncmp(key_id, "https://", strlen("https://")) == 0 && strstr(uri, below_name) != NULL)
		return;
	if (strncmp(key_id, "projects/", strlen("projects/")) == 0)
		*strstr(key_id, "/cryptoKeyVersions/") = '\0';
	else
		key_id[version - key_id - 1] = '\0';
}

/* alias/NAME, wherever it stands in TEXT; slots keep it so. */
static void take_alias(const char *text, char alias[static KEY_ID_SIZE])
{
	const char *found = strstr(text, "alias/");

	alias[0] = '\0';
	if (found == NULL || (found != text && found[-1] != '/' && found[-1] != ':'))
		return;
	snprintf(alias, KEY_ID_SIZE, "%.*s", (int)strcspn(found, "?&#"), found);
}

static int ask_service(struct session *session, const char *uri, struct kms_key_info *ret_info)
{
	struct kms_error error = { 0 };
	int r = session_open_trust(session);

	if (r == 0 && session->access.kms == NULL)
		r = session_open_kms(session);
	if (r != 0)
		return r;
	r = access_add_key(session->access.config, session->access.kms, uri, &error);
	if (r == 0)
		r = kms_describe(session->access.kms, uri, ret_info, &error);
	return r < 0 ? fail_key(session->invocation, r, &error) : 0;
}

static int resolve_uri(struct session *session, const char *uri, struct key_asked *asked)
{
	struct kms_key_info info = { 0 };
	const int r = ask_service(session, uri, &info);

	/* Some services go on telling the id of a key that they do not let anybody use. */
	if (info.key_id[0] == '\0') {
		const struct failure failure = session->invocation->failure;

		if (r == 0)
			return fail(session->invocation, EXIT_FAILED,
				    "%s: the service does not say which key it is", uri);
		fail(session->invocation, r, "which key %s is cannot be asked: %s", uri,
		     failure.text);
		advise(session->invocation, "name its Encryption Key ID, as 'snapcrypt keys list' "
					    "and 'snapcrypt snapshot list' show it");
		return r;
	}
	memset(&session->invocation->failure, 0, sizeof(session->invocation->failure));
	memcpy(asked->key_id, info.key_id, sizeof(asked->key_id));
	drop_version(uri, asked->key_id);
	return 0;
}

int key_uses_resolve(struct session *session, const char *text, struct key_asked *ret_asked)
{
	struct key_asked asked = { 0 };

	if (strlen(text) >= sizeof(asked.key_id))
		return fail(session->invocation, EXIT_USAGE, "the key id is too long");
	take_alias(text, asked.alias);
	if (key_uri_is_uri(text)) {
		const int r = resolve_uri(session, text, &asked);

		if (r != 0)
			return r;
	} else if (asked.alias[0] != '\0') {
		fail(session->invocation, EXIT_USAGE, "%s: an alias alone names no key", text);
		advise(session->invocation,
		       "name it as URI, awskms:///%s?region=REGION, or by its key ARN",
		       asked.alias);
		return EXIT_USAGE;
	} else if (key_id_is_canonical(text)) {
		strcpy(asked.key_id, text);
	} else {
		fail(session->invocation, EXIT_USAGE, "%s: not an Encryption Key ID and no URI",
		     text);
		advise(session->invocation, "'snapcrypt keys list' shows keys with their ids");
		return EXIT_USAGE;
	}
	*ret_asked = asked;
	return 0;
}

/* ---- What needs it -------------------------------------------------------------------------------- */

/* The listed volumes by number: a fleet has thousands, and uses come in no order. */
struct numbered {
	int64_t number;
	const struct catalog_volume *volume;
};

struct finding {
	const struct key_asked *asked;
	struct numbered *numbered;
	size_t count;
	struct key_uses *uses;
};

static bool is_asked(void *arg, const struct need_key *key)
{
	const struct finding *finding = arg;

	return key_asked_matches(finding->asked, key);
}

static int compare_numbers(const void *a, const void *b)
{
	const struct numbered *left = a;
	const struct numbered *right = b;

	return (left->number > right->number) - (left->number < right->number);
}

static int number_volumes(const struct catalog_volumes *volumes, struct finding *finding)
{
	finding->numbered = calloc(volumes->count + 1, sizeof(*finding->numbered));
	if (finding->numbered == NULL)
		return -ENOMEM;
	finding->count = volumes->count;
	for (size_t i = 0; i < volumes->count; i++)
		finding->numbered[i] = (struct numbered){ volumes->volumes[i].number,
							  &volumes->volumes[i] };
	qsort(finding->numbered, finding->count, sizeof(*finding->numbered), compare_numbers);
	return 0;
}

static const struct catalog_volume *find_volume(const struct finding *finding, int64_t number)
{
	const struct numbered wanted = { .number = number };
	const struct numbered *found = bsearch(&wanted, finding->numbered, finding->count,
					       sizeof(wanted), compare_numbers);

	return found == NULL ? NULL : found->volume;
}

static int add_use(void *arg, const struct catalog_use *found)
{
	const struct finding *finding = arg;
	struct key_uses *uses = finding->uses;
	const struct key_use *last = uses->count == 0 ? NULL : &uses->uses[uses->count - 1];
	struct key_use use = {
		.number = found->number,
		.volume = last != NULL && last->number == found->number
				  ? last->volume
				  : find_volume(finding, found->number),
		.snapshot = found->snapshot,
		.role = found->role,
		.dek_count = found->dek_count,
	};

	/* Entered since the volumes were listed: it is not part of this answer. */
	if (use.volume == NULL)
		return 0;
	if ((uses->count & (uses->count - 1)) == 0) {
		struct key_use *grown = reallocarray(
			uses->uses, uses->count == 0 ? 1 : uses->count * 2, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		uses->uses = grown;
	}
	use.snapshot.name = strdup(found->snapshot.name);
	use.key_id = strdup(found->key->key_id);
	uses->uses[uses->count++] = use;
	return use.snapshot.name == NULL || use.key_id == NULL ? -ENOMEM : 0;
}

static int compare_uses(const void *a, const void *b)
{
	const struct key_use *left = a;
	const struct key_use *right = b;
	int r = 0;

	/* Volumes are sorted. */
	if (left->volume != right->volume)
		return left->volume < right->volume ? -1 : 1;
	r = strcmp(left->snapshot.name, right->snapshot.name);
	if (r == 0)
		r = uuid_compare(&left->snapshot.id, &right->snapshot.id);
	if (r == 0)
		r = (int)left->role - (int)right->role;
	return r != 0 ? r : strcmp(left->key_id, right->key_id);
}

int key_uses_find(struct session *session, struct catalog *catalog, const struct key_asked *asked,
		  const struct catalog_volumes *volumes, struct key_uses *ret_uses)
{
	struct key_uses uses = { 0 };
	struct finding finding = { .asked = asked, .uses = &uses };
	const struct catalog_search search = { is_asked, add_use, &finding };
	struct catalog_error error = { .text = "out of memory" };
	int r = number_volumes(volumes, &finding);

	if (r == 0)
		r = catalog_search(catalog, &search, &error);
	free(finding.numbered);
	if (r < 0) {
		key_uses_free(&uses);
		return cataloging_fail(session, &error);
	}
	if (uses.count > 1)
		qsort(uses.uses, uses.count, sizeof(*uses.uses), compare_uses);
	*ret_uses = uses;
	return 0;
}

void key_uses_free(struct key_uses *uses)
{
	for (size_t i = 0; i < uses->count; i++) {
		free(uses->uses[i].snapshot.name);
		free(uses->uses[i].key_id);
	}
	free(uses->uses);
	*uses = (struct key_uses){ 0 };
}

bool key_uses_is_default(const struct key_asked *asked, const struct catalog_volume *volume)
{
	const struct need_key key = { .key_id = (char *)(uintptr_t)volume->default_key_id,
				      .alias = (char *)(uintptr_t) "" };

	return volume->default_key_id[0] != '\0' && key_asked_matches(asked, &key);
}

/* ---- Output --------------------------------------------------------------------------------------- */

void key_use_json(const struct key_use *use, struct json_object *object)
{
	const struct need_snapshot *snapshot = &use->snapshot;

	document_add_uuid(object, "volume", &use->volume->volume);
	document_add_text(object, "host", use->volume->host);
	document_add_path(object, "path", use->volume->path);
	document_add_path(object, "name", snapshot->name);
	document_add_uuid(object, "snapshot", snapshot->is_foreign ? NULL : &snapshot->id);
	document_add_text(object, "kind",
			  snapshot->is_foreign ? NULL : identity_kind_name(snapshot->kind));
	document_add_bool(object, "present", snapshot->is_present);
	document_add_time(object, "created", snapshot->created_s);
	document_add_time(object, "sealed", snapshot->sealed_s);
	document_add_text(object, "role", slot_role_name(use->role));
	document_add_number(object, "data_keys", use->dek_count);
	document_add_text(object, "key_id", use->key_id);
}

int key_uses_print(const struct key_uses *uses, bool (*is_wanted)(enum slot_role role))
{
	static const struct table_column columns[] = {
		{ "SNAPSHOT", false },          { "ROLE", false }, { "CREATED", false },
		{ "DATA KEYS", true },          { "HOST", false }, { "PATH", false },
		{ "ENCRYPTION KEY ID", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < uses->count; i++) {
		const struct key_use *use = &uses->uses[i];
		char created[HUMAN_SIZE];
		char count[HUMAN_SIZE];

		if (is_wanted != NULL && !is_wanted(use->role))
			continue;
		r = table_add(table, (const char *const[]){
					     use->snapshot.name, slot_role_name(use->role),
					     human_time(use->snapshot.created_s, created),
					     human_number(use->dek_count, count), use->volume->host,
					     use->volume->path, use->key_id });
	}
	if (r == 0)
		table_print(table);
	return r;
}
