/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a volume that a command asks for. */
#include "fs/control/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/access.h"
#include "fs/store/key_list.h"
#include "meta/exit_code.h"

__attribute__((format(printf, 4, 5))) static int change_fail(struct store_error *reterr, int code,
							     int exit_code, const char *format, ...)
{
	va_list arguments;

	memset(reterr, 0, sizeof(*reterr));
	reterr->code = code;
	reterr->exit_code = exit_code;
	va_start(arguments, format);
	vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);
	return code;
}

/* ---- The default key -------------------------------------------------------------------------- */

int change_default_key(const struct change_target *target, const char *uri,
		       char ret_key_id[static KEY_ID_SIZE], struct store_error *reterr)
{
	struct kms_error key_error = { 0 };
	struct kms_key_info info = { 0 };
	struct volume_record record = { 0 };
	int r = 0;

	if (!store_is_encrypted(target->store))
		return change_fail(reterr, -EINVAL, EXIT_USAGE,
				   "the volume was made with --encryption off: it has no key");
	if (config_is_set(target->config, target->volume_name, "key") &&
	    strcmp(config_text(target->config, target->volume_name, "key"), uri) != 0)
		return change_fail(reterr, -EINVAL, EXIT_USAGE,
				   "the configuration says key = %s, which counts; change it there",
				   config_text(target->config, target->volume_name, "key"));
	r = access_check_key(target->config, target->volume_name, uri, reterr);
	if (r < 0)
		return r;
	r = access_add_key(target->config, target->kms, uri, &key_error);
	if (r == 0)
		r = kms_test_key(target->kms, uri, &info, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, reterr);
	r = trust_add_kek(target->trust, uri, info.key_id);
	if (r == 0)
		r = store_copy_volume(target->store, &record);
	if (r < 0)
		return change_fail(reterr, r, EXIT_FAILED, "default key: %s", strerror(-r));
	if (strlen(uri) >= sizeof(record.default_key)) {
		volume_record_free(&record);
		return change_fail(reterr, -ENAMETOOLONG, EXIT_USAGE, "the URI is too long");
	}
	strcpy(record.default_key, uri);
	strcpy(record.default_key_id, info.key_id);
	r = store_publish_volume_record(target->store, &record);
	volume_record_free(&record);
	if (r < 0)
		return change_fail(reterr, r, exit_code_from_errno(r),
				   "settings of the volume were not written: %s", strerror(-r));
	memcpy(ret_key_id, info.key_id, KEY_ID_SIZE);
	return 0;
}

/* ---- Finding a snapshot ------------------------------------------------------------------------ */

struct search {
	const char *text;
	struct uuid id;
	bool has_id;
	bool wants_sealed;
	bool wants_latest;
	struct snapshot *found;
	int fd;
};

static bool search_matches(const struct search *search, const struct snapshot *snapshot)
{
	const enum snapshot_state state = snapshot_state(snapshot);

	if (search->wants_latest)
		return state != SNAPSHOT_FOREIGN &&
		       (!search->wants_sealed || state == SNAPSHOT_SEALED) &&
		       (search->found == NULL ||
			snapshot_created_s(snapshot) >= snapshot_created_s(search->found));
	if (search->has_id && state != SNAPSHOT_FOREIGN &&
	    uuid_equal(&search->id, snapshot_id(snapshot)))
		return true;
	return strcmp(search->text, snapshot_name(snapshot)) == 0;
}

static int search_visit(void *arg, struct snapshot *snapshot, int fd)
{
	struct search *search = arg;
	int copy_fd = -1;

	if (!search_matches(search, snapshot))
		return 0;
	copy_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy_fd < 0)
		return -errno;
	snapshot_put(search->found);
	if (search->fd >= 0)
		close(search->fd);
	search->found = snapshot_ref(snapshot);
	search->fd = copy_fd;
	return search->wants_latest ? 0 : 1;
}

static int search_fail(const struct search *search, struct store_error *reterr)
{
	if (search->wants_sealed)
		return change_fail(reterr, -ENOENT, EXIT_NOT_SEALED,
				   "latest: no snapshot is sealed; name one, or use latest-any");
	return change_fail(reterr, -ENOENT, EXIT_FAILED,
			   "snapshot %s: there is none of this name; see 'snapcrypt snapshot list'",
			   search->text);
}

int change_find_snapshot(struct store *store, const char *text, struct snapshot **ret_snapshot,
			 int *ret_fd, struct store_error *reterr)
{
	struct search search = { .text = text, .fd = -1 };
	int r = 0;

	search.has_id = uuid_parse(text, &search.id) == 0;
	search.wants_sealed = strcmp(text, "latest") == 0;
	search.wants_latest = search.wants_sealed || strcmp(text, "latest-any") == 0;
	if (strcmp(text, ".") == 0) {
		search.found = snapshot_root(store);
		search.fd = fcntl(store_root_fd(store), F_DUPFD_CLOEXEC, 0);
	} else {
		r = snapshot_each(store, search_visit, &search);
	}
	if (r >= 0 && search.found == NULL)
		return search_fail(&search, reterr);
	if (r < 0 || search.fd < 0) {
		snapshot_put(search.found);
		return change_fail(reterr, r < 0 ? r : -EMFILE, EXIT_STORAGE, "snapshot %s: %s",
				   text, strerror(r < 0 ? -r : EMFILE));
	}
	*ret_snapshot = search.found;
	if (ret_fd != NULL)
		*ret_fd = search.fd;
	else
		close(search.fd);
	return 0;
}

/* ---- Trusting data keys ------------------------------------------------------------------------- */

struct trusting {
	const struct change_target *target;
	const struct uuid *snapshot;
	const struct uuid *own_dek;
	struct store_error *reterr;
	size_t count;
};

/* A key that does not open for this snapshot was never wrapped for it. */
static int trust_key(struct trusting *trusting, const struct key_record *record)
{
	const struct change_target *target = trusting->target;
	struct kms_error key_error = { 0 };
	struct dek_pin pin = { 0 };
	struct dek *dek = NULL;
	int r = trust_dek_pin(target->trust, &record->volume, &record->dek, &pin);

	if (r < 0 && r != -ENOENT)
		return change_fail(trusting->reterr, r, EXIT_FAILED, "state directory: %s",
				   strerror(-r));
	if (r == 0 && pin.is_trusted)
		return 0;
	r = dek_ring_get(store_deks(target->store), &record->dek, &dek, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, trusting->reterr);
	dek_put(dek);
	pin.is_trusted = true;
	pin.snapshot = record->snapshot;
	pin.period_start_s = record->period_start_s;
	if (pin.generation < record->generation)
		pin.generation = record->generation;
	memcpy(pin.commitment, record->commitment, sizeof(pin.commitment));
	r = trust_pin_dek(target->trust, &record->volume, &record->dek, &pin);
	if (r < 0)
		return change_fail(trusting->reterr, r, EXIT_FAILED, "state directory: %s",
				   strerror(-r));
	trusting->count++;
	return 0;
}

static int trust_visit(void *arg, const struct uuid *dek, const struct key_record *record,
		       enum trust_origin origin, int error)
{
	struct trusting *trusting = arg;
	const bool is_own = uuid_equal(dek, trusting->own_dek);
	int r = 0;

	(void)origin;
	if (error < 0 && is_own)
		return change_fail(trusting->reterr, error, EXIT_FAILED, "its key record: %s",
				   strerror(-error));
	if (error < 0 || !uuid_equal(&record->snapshot, trusting->snapshot))
		return 0;
	r = trust_key(trusting, record);
	return r;
}

static int audit_trust(const struct change_target *target, const struct snapshot *snapshot,
		       struct store_error *reterr)
{
	const struct audit_entry entry = {
		.operation = AUDIT_TRUST,
		.volume = &store_volume(target->store)->volume,
		.snapshot = snapshot_id(snapshot),
		.detail = snapshot_name(snapshot),
	};
	const int r = kms_audit(target->kms, &entry);

	return r < 0 ? change_fail(reterr, r, EXIT_FAILED,
				   "the audit log cannot be written, and audit_on_failure is block")
		     : 0;
}

int change_trust_keys(const struct change_target *target, const char *text, size_t *ret_count,
		      struct store_error *reterr)
{
	struct snapshot *snapshot = NULL;
	struct trusting trusting = { .target = target, .reterr = reterr };
	int r = change_find_snapshot(target->store, text, &snapshot, NULL, reterr);

	if (r < 0)
		return r;
	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN || !snapshot_is_encrypted(snapshot)) {
		r = change_fail(reterr, -EINVAL, EXIT_USAGE, "snapshot %s has no data key", text);
		snapshot_put(snapshot);
		return r;
	}
	trusting.snapshot = snapshot_id(snapshot);
	trusting.own_dek = snapshot_dek_id(snapshot);
	memset(reterr, 0, sizeof(*reterr));
	r = audit_trust(target, snapshot, reterr);
	if (r == 0)
		r = key_list_each(target->store, trust_visit, &trusting);
	if (r < 0 && reterr->code == 0)
		change_fail(reterr, r, EXIT_STORAGE, "key records: %s", strerror(-r));
	snapshot_put(snapshot);
	if (r == 0)
		*ret_count = trusting.count;
	return r;
}
