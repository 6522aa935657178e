/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of a volume: settings, keys, the chain of seals; and the snapshots that they speak of.
 *
 * Who signed a record counts only where this host trusts somebody for the volume.  Where it does not, all that can be said is
 * that the origin is not verified.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/key_list.h"
#include "fs/store/seal.h"
#include "fs/store/store_internal.h"
#include "fs/store/verify.h"

#define TEXT_SIZE 512

struct sealed_note {
	struct uuid snapshot;
	char *name;
	bool is_there;
};

struct volume_check {
	const struct verify_options *options;
	struct store *store;
	bool knows_writer; /* somebody is trusted for this volume */
	struct sealed_note *seals;
	size_t seal_count;
};

__attribute__((format(printf, 4, 5))) static void report(const struct volume_check *check,
							 enum finding_class class, const char *path,
							 const char *format, ...)
{
	const struct verify_observer *observer = check->options->observer;
	char text[TEXT_SIZE];
	const struct finding finding = {
		.class = class,
		.is_notice = class == FINDING_ORIGIN && !check->knows_writer,
		.path = path,
		.block = FINDING_NO_BLOCK,
		.text = text,
	};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	observer->found(observer->arg, &finding);
}

static void report_origin(const struct volume_check *check, const char *path,
			  const struct record *record)
{
	char writer[WRITER_FINGERPRINT_SIZE];

	if (trust_fingerprint(record->public_key, writer) < 0)
		writer[0] = '\0';
	report(check, FINDING_ORIGIN, path, "origin not verified: signed by %s", writer);
}

/* ---- Settings -------------------------------------------------------------------------------- */

static int check_generation(struct volume_check *check, const char *name)
{
	struct signed_record record;
	struct volume_record settings;
	int r = signed_record_load(check->store->trust, check->store->control_fd, name, &record);

	if (r == 0) {
		r = volume_record_decode(record.record.line, &settings);
		if (r == 0)
			volume_record_free(&settings);
		if (r == 0 && !trust_origin_is_trusted(record.origin))
			report_origin(check, name, &record.record);
		signed_record_free(&record);
	}
	if (r == -EBADMSG)
		report(check, FINDING_TAMPERED, name,
		       "not a whole record, or its signature is not good");
	if (r == -ENOTSUP)
		report(check, FINDING_TAMPERED, name, "of a newer format");
	return r == -EBADMSG || r == -ENOTSUP || r == -ENOENT ? 0 : r;
}

static int check_settings(struct volume_check *check)
{
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(check->store->control_fd, "volume", &numbers, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[CONTROL_NAME_SIZE];

		snprintf(name, sizeof(name), "volume/%" PRIu64, numbers[i]);
		r = check_generation(check, name);
	}
	free(numbers);
	return r;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static int check_key(void *arg, const struct uuid *dek, const struct key_record *record,
		     enum trust_origin origin, int error)
{
	const struct volume_check *check = arg;
	char name[CONTROL_NAME_SIZE];
	struct dek_pin pin;

	key_directory(dek, name);
	if (error == -ENOMEM)
		return error;
	if (error == -ENOENT) {
		report(check, FINDING_MISSING, name, "there is no record of this data key");
		return 0;
	}
	if (error < 0) {
		report(check, FINDING_TAMPERED, name, "no record that counts: %s",
		       error == -EBADMSG ? "none is authentic, or newer ones were removed"
					 : strerror(-error));
		return 0;
	}
	if (trust_origin_is_trusted(origin) ||
	    (trust_dek_pin(check->store->trust, &record->volume, dek, &pin) == 0 && pin.is_trusted))
		return 0;
	report(check, FINDING_ORIGIN, name, "origin not verified: a data key of another writer");
	return 0;
}

/* ---- The chain of seals ---------------------------------------------------------------------- */

static int add_seal(struct volume_check *check, const struct seal_entry *entry)
{
	struct sealed_note *grown = reallocarray(check->seals, check->seal_count + 1,
						 sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	check->seals = grown;
	grown[check->seal_count] = (struct sealed_note){
		.snapshot = entry->snapshot,
		.name = strdup(entry->name),
	};
	if (!grown[check->seal_count].name)
		return -ENOMEM;
	check->seal_count++;
	return 0;
}

static int check_entry(void *arg, const struct seal_entry *entry)
{
	struct volume_check *check = arg;
	char name[CONTROL_NAME_SIZE];

	snprintf(name, sizeof(name), "seals/%" PRIu64, entry->sequence);
	if (entry->fault)
		report(check, FINDING_TAMPERED, name, "%s", entry->fault);
	if (entry->kind != SEAL_ENTRY_SEAL && entry->kind != SEAL_ENTRY_TOMBSTONE)
		return 0;
	if (!trust_origin_is_trusted(entry->origin))
		report(check, FINDING_ORIGIN, name, "origin not verified: of another writer");
	return entry->kind == SEAL_ENTRY_SEAL && !entry->is_deleted ? add_seal(check, entry) : 0;
}

static int check_chain(struct volume_check *check)
{
	return seal_each(check->store, check_entry, check);
}

/* ---- Sealed snapshots must be there ---------------------------------------------------------- */

static int note_snapshot(void *arg, struct snapshot *snapshot, int fd)
{
	struct volume_check *check = arg;

	(void)fd;
	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN)
		return 0;
	for (size_t i = 0; i < check->seal_count; i++) {
		if (uuid_equal(&check->seals[i].snapshot, snapshot_id(snapshot)))
			check->seals[i].is_there = true;
	}
	return 0;
}

static int check_sealed(struct volume_check *check)
{
	const struct verify_observer *observer = check->options->observer;
	int r = snapshot_each(check->store, note_snapshot, check);

	for (size_t i = 0; r == 0 && i < check->seal_count; i++) {
		const struct sealed_note *seal = &check->seals[i];
		const struct finding finding = {
			.class = FINDING_MISSING,
			.snapshot = seal->name,
			.path = "",
			.block = FINDING_NO_BLOCK,
			.text = "the snapshot was sealed and is gone",
		};

		if (!seal->is_there)
			observer->found(observer->arg, &finding);
	}
	return r;
}

/* ---- All of it ------------------------------------------------------------------------------- */

bool verify_knows_writer(struct store *store)
{
	struct store_description description;
	struct store_error ignored;
	struct volume_pin pin;
	bool is_known = false;

	if (trust_volume_pin(store->trust, &store->volume.volume, &pin) == 0) {
		volume_pin_free(&pin);
		return true;
	}
	if (store_describe(store->root_fd, store->trust, &description, &ignored) == 0) {
		is_known = trust_origin_is_trusted(description.origin);
		volume_record_free(&description.record);
	}
	return is_known;
}

int verify_volume(const struct verify_options *options)
{
	struct volume_check check = {
		.options = options,
		.store = options->store,
		.knows_writer = verify_knows_writer(options->store),
	};
	int r = check_settings(&check);

	if (r == 0)
		r = key_list_each(check.store, check_key, &check);
	if (r == 0)
		r = check_chain(&check);
	if (r == 0)
		r = check_sealed(&check);
	for (size_t i = 0; i < check.seal_count; i++)
		free(check.seals[i].name);
	free(check.seals);
	return r;
}
