/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight of restore: may this snapshot be restored, and can it be opened? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/restore_check.h"
#include "fs/store/verify.h"

/* ---- The snapshot ---------------------------------------------------------------------------- */

static int refuse_unsealed(struct session *session, struct snapshot *snapshot)
{
	const char *name = snapshot_name(snapshot);

	fail(session->invocation, EXIT_NOT_SEALED,
	     "%s is not sealed (%s): what is missing in it "
	     "cannot be known",
	     name, snapshot_state_name(snapshot_state(snapshot)));
	if (config_bool(session->access.config, session->access.volume_name, "require_sealed"))
		advise(session->invocation,
		       "require_sealed is set; seal it with 'snapcrypt snapshot seal %s %s'",
		       session->access.backing, name);
	else
		advise(session->invocation,
		       "seal it with 'snapcrypt snapshot seal %s %s', or restore what is there "
		       "with --unsealed",
		       session->access.backing, name);
	return EXIT_NOT_SEALED;
}

static int refuse_foreign(struct session *session, struct snapshot *snapshot)
{
	fail(session->invocation, EXIT_ORIGIN,
	     "%s is foreign: its identity is not valid here, or of a writer that is not trusted",
	     snapshot_name(snapshot));
	advise(session->invocation,
	       "-v says which; accept a writer with 'trusted_writers' in the configuration");
	return EXIT_ORIGIN;
}

static int refuse_plaintext(struct session *session, const struct snapshot *snapshot)
{
	fail(session->invocation, EXIT_POLICY, "%s is not encrypted, and encryption is required",
	     snapshot_name(snapshot));
	advise(session->invocation, "leave out --require-encryption, or change "
				    "require_encryption in the configuration");
	return EXIT_POLICY;
}

/* Streams and the root snapshot never end; a plaintext snapshot has nothing to be checked against. */
static bool can_be_sealed(const struct snapshot *snapshot)
{
	return snapshot_kind(snapshot) == SNAPSHOT_PLAIN_DIRECTORY &&
	       snapshot_is_encrypted(snapshot);
}

static int check_kind(struct session *session, struct snapshot *snapshot)
{
	const struct config *config = session->access.config;
	const char *volume = session->access.volume_name;

	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN)
		return refuse_foreign(session, snapshot);
	if (!snapshot_is_encrypted(snapshot) &&
	    (config_bool(config, volume, "require_encryption") ||
	     option_is_set(session->invocation, "require-encryption")))
		return refuse_plaintext(session, snapshot);
	if (!snapshot_is_trusted(snapshot))
		notice(session->invocation,
		       "%s: origin not verified; 'snapcrypt snapshot show' prints its writer, "
		       "trusted_writers accepts it",
		       snapshot_name(snapshot));
	return 0;
}

/* ---- The seal -------------------------------------------------------------------------------- */

static int refuse_tampered(struct session *session, const struct snapshot *snapshot,
			   const char *why)
{
	fail(session->invocation, EXIT_ORIGIN, "%s: %s", snapshot_name(snapshot), why);
	advise(session->invocation, "'snapcrypt verify %s' says more", session->access.backing);
	return EXIT_ORIGIN;
}

static int find_fault(void *arg, const struct seal_entry *entry)
{
	struct seal_entry *fault = arg;

	if (entry->fault == NULL)
		return 0;
	*fault = *entry;
	return 1;
}

/* A chain with gaps may have lost the newest seal of this very snapshot, or of the one that was here. */
static int check_chain(struct session *session, const struct snapshot *snapshot)
{
	struct seal_entry entry = { 0 };
	const int r = seal_each(session->store, find_fault, &entry);
	char text[256];

	if (r < 0)
		return fail(session->invocation, EXIT_STORAGE, "seal records: %s", strerror(-r));
	if (entry.fault == NULL)
		return 0;
	snprintf(text, sizeof(text), "the chain of seals is not whole: record %llu: %s",
		 (unsigned long long)entry.sequence, entry.fault);
	if (!option_is_set(session->invocation, "unsealed"))
		return refuse_tampered(session, snapshot, text);
	notice(session->invocation, "%s", text);
	return 0;
}

static int check_seal(struct session *session, struct snapshot *snapshot, const struct seal *seal)
{
	char text[256];

	if (trust_origin_is_trusted(seal->origin) || !verify_knows_writer(session->store))
		return 0;
	snprintf(text, sizeof(text), "its seal is signed by %s, which is not trusted here",
		 seal->writer);
	return refuse_tampered(session, snapshot, text);
}

static int check_sealed(struct session *session, struct snapshot *snapshot, int found)
{
	const bool requires_sealed = config_bool(session->access.config,
						 session->access.volume_name, "require_sealed");
	const bool is_allowed = option_is_set(session->invocation, "unsealed") ||
				!can_be_sealed(snapshot);

	if (found == -EBADMSG)
		return refuse_tampered(session, snapshot,
				       "it was sealed, and its seal record is gone or not whole");
	return found == -ENOENT && (requires_sealed || !is_allowed)
		       ? refuse_unsealed(session, snapshot)
		       : 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static int unwrap_all(struct session *session, const struct uuid *deks, size_t count)
{
	struct dek_ring *ring = store_deks(session->store);
	struct dek *dek = NULL;
	struct kms_error key_error = { 0 };
	int r = 0;

	/* Ask for all of them before waiting for the first. */
	for (size_t i = 0; i < count; i++)
		if (dek_ring_try(ring, &deks[i], &dek) == 0)
			dek_put(dek);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = dek_ring_get(ring, &deks[i], &dek, &key_error);
		if (r == 0)
			dek_put(dek);
	}
	return r < 0 ? fail_key(session->invocation, r, &key_error) : 0;
}

static int check_open_keys(struct session *session, struct snapshot *snapshot)
{
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = 0;

	if (!snapshot_is_encrypted(snapshot) || store_deks(session->store) == NULL)
		return 0;
	r = snapshot_deks(snapshot, &deks, &count);
	if (r < 0)
		return fail(session->invocation, EXIT_STORAGE, "key records: %s", strerror(-r));
	r = unwrap_all(session, deks, count);
	free(deks);
	return r;
}

static int open_view(struct session *session, struct snapshot *snapshot,
		     struct sealed_view **ret_view)
{
	struct store_error error = { 0 };
	const int r = sealed_view_open(snapshot, ret_view, &error);

	if (r < 0 && error.text[0] != '\0')
		return session_fail(session, &error);
	if (r == -EBADMSG)
		return refuse_tampered(session, snapshot,
				       "its seal or its manifest is not authentic, or gone");
	return r < 0 ? session_fail_errno(session, r, "manifest of", snapshot_name(snapshot)) : 0;
}

int restore_check_snapshot(struct session *session, struct snapshot *snapshot,
			   struct sealed_view **ret_view)
{
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	int found = 0;
	int r = check_kind(session, snapshot);

	*ret_view = NULL;
	if (r == 0)
		r = check_chain(session, snapshot);
	if (r != 0)
		return r;
	found = seal_of_snapshot(session->store, snapshot_id(snapshot), &seal);
	if (found < 0 && found != -ENOENT && found != -EBADMSG)
		return fail(session->invocation, EXIT_STORAGE, "seal records: %s",
			    strerror(-found));
	r = check_sealed(session, snapshot, found);
	if (r != 0)
		return r;
	if (found < 0)
		return check_open_keys(session, snapshot);
	r = check_seal(session, snapshot, &seal);
	if (r == 0)
		r = unwrap_all(session, seal.record.deks, seal.record.dek_count);
	return r != 0 ? r : open_view(session, snapshot, ret_view);
}
