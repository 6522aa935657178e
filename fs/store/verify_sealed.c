/* SPDX-License-Identifier: Apache-2.0 */
/* A sealed snapshot against its seal record and its manifest. */
#include <errno.h>
#include <string.h>

#include "fs/store/beneath.h"
#include "fs/store/name_internal.h"
#include "fs/store/verify_internal.h"

#define UNKNOWN 1

/* ---- The seal -------------------------------------------------------------------------------- */

static void check_root(struct verifying *verifying, const struct seal *seal)
{
	const uint8_t *expected = verifying->options->expected_root;
	char found[SEAL_ROOT_TEXT_SIZE];

	if (!expected || memcmp(expected, seal->root, SEAL_ROOT_SIZE) == 0)
		return;
	seal_root_format(seal->root, found);
	verify_report(verifying, FINDING_TAMPERED, "", FINDING_NO_BLOCK,
		      "the root of its seal is %s, which is not the expected one", found);
}

static void check_origin(struct verifying *verifying, const struct seal *seal)
{
	if (trust_origin_is_trusted(seal->origin))
		return;
	if (verify_knows_writer(verifying->options->store))
		verify_report(verifying, FINDING_ORIGIN, "", FINDING_NO_BLOCK,
			      "origin not verified: sealed by %s", seal->writer);
	else
		verify_notice(verifying, FINDING_ORIGIN, "",
			      "origin not verified: sealed by a writer that is not trusted here");
}

static int open_view(struct verifying *verifying)
{
	int r = sealed_view_open(verifying->snapshot, &verifying->view, NULL);

	if (r == 0)
		r = sealed_view_check_hash(verifying->view);
	if (r == 0)
		return 0;
	if (verify_is_fatal(r))
		return r;
	sealed_view_put(TAKE(verifying->view));
	verify_report(verifying, FINDING_TAMPERED, "", FINDING_NO_BLOCK,
		      "its seal or its manifest is not authentic, or gone: %s", strerror(-r));
	return UNKNOWN;
}

static int check_seal(struct verifying *verifying, const struct seal *seal)
{
	check_root(verifying, seal);
	check_origin(verifying, seal);
	verifying->counts->has_root = true;
	memcpy(verifying->counts->root, seal->root, SEAL_ROOT_SIZE);
	return open_view(verifying);
}

int verify_seal(struct verifying *verifying)
{
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	const int r = seal_of_snapshot(verifying->options->store, snapshot_id(verifying->snapshot),
				       &seal);

	if (r == 0)
		return check_seal(verifying, &seal);
	if (r == -EBADMSG) {
		verify_report(verifying, FINDING_TAMPERED, "", FINDING_NO_BLOCK,
			      "it was sealed, and its seal record is gone or not whole");
		return UNKNOWN;
	}
	if (r != -ENOENT)
		return r;
	if (verifying->options->expected_root)
		verify_report(verifying, FINDING_TAMPERED, "", FINDING_NO_BLOCK,
			      "it is not sealed, and a root is expected");
	return 0;
}

/* ---- Objects --------------------------------------------------------------------------------- */

int verify_against_manifest(struct verifying *verifying, const struct sealed_item *item,
			    const char *path)
{
	struct sealed_difference difference;
	const int r = sealed_compare(item, &difference);

	if (r == 0 || verify_is_fatal(r))
		return r;
	if (r < 0) {
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "cannot be looked at: %s", strerror(-r));
		return 1;
	}
	verify_report(verifying, difference.class, path, FINDING_NO_BLOCK, "%s", difference.text);
	return difference.class == FINDING_METADATA ? 0 : 1;
}

/* ---- What should not be there ---------------------------------------------------------------- */

static bool is_shown(const char *name)
{
	return !name_is_reserved(name);
}

static void report_added(struct verifying *verifying, const struct walk_directory *directory,
			 const char *name, const char *text)
{
	char path[WALK_PATH_SIZE];

	verify_report(verifying, FINDING_ADDED, walk_path(directory, name, path), FINDING_NO_BLOCK,
		      "%s", text);
}

static int check_name(struct verifying *verifying, const struct walk_directory *directory,
		      const struct siv_key *key, const char *backing)
{
	struct sealed_entry entry;
	char name[256];
	int r = name_decode_with(key, &directory->place, backing, name);

	if (r == -ENODATA)
		return 0;
	if (r == -EBADMSG) {
		report_added(verifying, directory, backing,
			     "it is not in the manifest; its name does not decrypt");
		return 0;
	}
	if (r < 0)
		return r;
	r = sealed_lookup(verifying->view, &directory->sealed, name, &entry);
	if (r == -ENOENT) {
		report_added(verifying, directory, name, "it is not in the manifest");
		return 0;
	}
	return r;
}

int verify_added(struct verifying *verifying, const struct walk_directory *directory)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = NULL;
	char **names = NULL;
	size_t count = 0;
	int r = name_key(&directory->place, &key);

	if (r == 0)
		r = directory_names(directory->place.fd, ".", is_shown, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = check_name(verifying, directory, key, names[i]);
	names_free(names, count);
	if (r < 0 && !verify_is_fatal(r)) {
		verify_report(verifying, FINDING_TAMPERED, directory->path, FINDING_NO_BLOCK,
			      "cannot be looked at: %s", strerror(-r));
		r = 0;
	}
	return r;
}
