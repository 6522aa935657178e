/* SPDX-License-Identifier: Apache-2.0 */
/* Which settings of a volume count: configuration, pin, then a trusted record; nothing merely found on storage. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/store_internal.h"

/* What the configuration can only expect: it is how objects are stored. */
#define FIELDS_CHECKED                                                                   \
	((unsigned)(VOLUME_FIELD_VOLUME | VOLUME_FIELD_ENCRYPTION | VOLUME_FIELD_NAMES | \
		    VOLUME_FIELD_DEPTH | VOLUME_FIELD_BLOCK_SIZE | VOLUME_FIELD_ALGORITHM))

/* What decides where new plaintext goes and who can read it: each needs a source that is trusted. */
#define FIELDS_CONFIRMED                                                                       \
	((unsigned)(VOLUME_FIELD_ENCRYPTION | VOLUME_FIELD_DEFAULT_KEY |                       \
		    VOLUME_FIELD_RECOVERY_KEYS | VOLUME_FIELD_NAMES | VOLUME_FIELD_PLAINTEXT | \
		    VOLUME_FIELD_DEPTH | VOLUME_FIELD_ALTERNATE_KEYS))

int store_open_control(int backing_fd, int *ret_fd, struct store_error *reterr)
{
	int fd = open_beneath(backing_fd, CONTROL_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
			      0);

	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return store_fail(reterr, -ENOMEDIUM, EXIT_NO_VOLUME,
				  "not a volume: there is no directory " CONTROL_DIRECTORY);
	if (fd < 0)
		return store_fail(reterr, fd, EXIT_STORAGE, CONTROL_DIRECTORY ": %s",
				  strerror(-fd));
	*ret_fd = fd;
	return 0;
}

static int decode_volume(void *arg, struct bytes line, uint64_t generation)
{
	struct volume_record *record = arg;
	struct volume_record decoded;
	int r = volume_record_decode(line, &decoded);

	if (r < 0)
		return r;
	if (decoded.generation != generation) {
		volume_record_free(&decoded);
		return -EBADMSG;
	}
	volume_record_free(record);
	*record = decoded;
	return 0;
}

static void ignore(void *arg, const char *name, int error)
{
	(void)arg;
	(void)name;
	(void)error;
}

static int describe(int control_fd, struct trust *trust, struct store_description *description,
		    struct store_error *reterr)
{
	const struct record_choice choice = {
		.directory = "volume",
		.decode = decode_volume,
		.ignored = ignore,
		.arg = &description->record,
	};
	struct chosen_record chosen;
	int r = control_choose(trust, control_fd, &choice, &chosen);

	if (r == -ENOENT)
		return store_fail(reterr, -ENOMEDIUM, EXIT_NO_VOLUME,
				  "not a volume: there is no volume record");
	if (r == -ENOTSUP) {
		store_fail(reterr, r, EXIT_NEWER, "the volume record is of a newer format");
		store_advise(reterr, "use a newer snapcrypt");
		return r;
	}
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "volume record: %s",
				  r == -EBADMSG ? "none is authentic" : strerror(-r));
	description->highest_generation = chosen.highest;
	description->origin = chosen.origin;
	r = trust_fingerprint(chosen.public_key, description->writer);
	return r < 0 ? store_fail(reterr, r, EXIT_FAILED, "fingerprint: %s", strerror(-r)) : 0;
}

int store_describe(int backing_fd, struct trust *trust, struct store_description *ret_description,
		   struct store_error *reterr)
{
	struct store_description description = { 0 };
	int control_fd = -1;
	int r = store_open_control(backing_fd, &control_fd, reterr);

	if (r < 0)
		return r;
	r = describe(control_fd, trust, &description, reterr);
	close(control_fd);
	if (r < 0) {
		volume_record_free(&description.record);
		return r;
	}
	*ret_description = description;
	return 0;
}

/* The lowest bit of FIELDS: the one that a message names. */
static enum volume_field first_field(unsigned fields)
{
	return (enum volume_field)(fields & -fields);
}

static int refuse_difference(const struct store_description *found,
			     const struct volume_record *expected, unsigned fields,
			     const char *source, struct store_error *reterr)
{
	const enum volume_field field = first_field(fields);
	char stored_text[256];
	char expected_text[256];

	volume_field_text(&found->record, field, stored_text, sizeof(stored_text));
	volume_field_text(expected, field, expected_text, sizeof(expected_text));
	store_fail(reterr, -EUCLEAN, EXIT_ORIGIN, "%s differs: the volume says '%s', %s says '%s'",
		   volume_field_name(field), stored_text, source, expected_text);
	store_advise(
		reterr,
		"see 'snapcrypt volume show'; if the change is yours: 'snapcrypt volume trust'");
	return -EUCLEAN;
}

static int check_configured(const struct store_options *options,
			    const struct store_description *found, struct store_error *reterr)
{
	unsigned fields;

	if (!options->expected)
		return 0;
	fields = volume_record_differences(options->expected, &found->record) &
		 options->expected_fields & FIELDS_CHECKED;
	return fields ? refuse_difference(found, options->expected, fields, "the configuration",
					  reterr)
		      : 0;
}

static int refuse_unknown(const struct store_description *found, unsigned fields,
			  struct store_error *reterr)
{
	store_fail(
		reterr, -EACCES, EXIT_ORIGIN,
		"origin not verified: the volume's settings (%s) are signed by %s, which is not trusted here",
		volume_field_name(first_field(fields)), found->writer);
	store_advise(
		reterr,
		"check the fingerprint on the host that writes there, then 'snapcrypt volume trust', or name it in trusted_writers");
	return -EACCES;
}

/* Nothing is pinned: a writable store needs a trusted record, or every setting from the configuration. */
static int decide_without_pin(const struct store *store, const struct store_options *options,
			      const struct store_description *found, struct store_error *reterr)
{
	unsigned fields = FIELDS_CONFIRMED;

	if (trust_origin_is_trusted(found->origin))
		return 0;
	if (!store->is_writable)
		return trust_requires_origin(store->trust) ? refuse_unknown(found, fields, reterr)
							   : 0;
	if (options->expected)
		fields &= ~options->expected_fields;
	/* A record without alternates gives nobody anything. */
	if (found->record.alternate_key_count == 0)
		fields &= ~(unsigned)VOLUME_FIELD_ALTERNATE_KEYS;
	if (options->default_key)
		fields &= ~(unsigned)VOLUME_FIELD_DEFAULT_KEY;
	return fields ? refuse_unknown(found, fields, reterr) : 0;
}

static int check_generation(struct store *store, const struct volume_pin *pin,
			    const struct store_description *found, struct store_error *reterr)
{
	if (found->record.generation >= pin->generation)
		return 0;
	if (!store->is_writable) {
		/* An older copy of the volume, kept elsewhere, looks the same: say so, and serve it. */
		store_report(store, LOG_WARNING, CONTROL_DIRECTORY "/volume",
			     "generation %" PRIu64 " of the settings is older than %" PRIu64
			     ", which this host has seen",
			     found->record.generation, pin->generation);
		return 0;
	}
	store_fail(reterr, -EUCLEAN, EXIT_ORIGIN,
		   "generation differs: the newest settings that count are %" PRIu64
		   ", this host has seen %" PRIu64,
		   found->record.generation, pin->generation);
	store_advise(reterr,
		     "somebody removed newer records, or this is an old copy of the volume");
	return -EUCLEAN;
}

/* 1: the found record replaces the pin. */
static int decide_with_pin(struct store *store, const struct store_options *options,
			   const struct volume_pin *pin, const struct store_description *found,
			   struct store_error *reterr)
{
	unsigned fields = volume_record_differences(&pin->record, &found->record);
	int r = check_generation(store, pin, found, reterr);

	if (r < 0)
		return r;
	if (trust_origin_is_trusted(found->origin) &&
	    found->record.generation > pin->record.generation)
		return 1;
	if (options->expected)
		fields &= ~options->expected_fields;
	if (!fields)
		return 0;
	if (store->is_writable)
		return refuse_difference(found, &pin->record, fields, "what is pinned here",
					 reterr);
	store_report(store, LOG_WARNING, CONTROL_DIRECTORY "/volume",
		     "%s differs from what is pinned here, which is used",
		     volume_field_name(first_field(fields)));
	return 0;
}

/* What the configuration says in place of the record. */
static int apply_overrides(struct store *store, const struct store_options *options)
{
	const struct volume_record *expected = options->expected;
	const unsigned fields = expected ? options->expected_fields : 0;
	struct volume_record lists = { 0 };
	int r;

	if (fields & VOLUME_FIELD_DELETE_SEALED)
		store->volume.delete_sealed = expected->delete_sealed;
	if (fields & VOLUME_FIELD_SEAL_ON)
		store->volume.seal_on = expected->seal_on;
	if (!(fields &
	      (VOLUME_FIELD_RECOVERY_KEYS | VOLUME_FIELD_PLAINTEXT | VOLUME_FIELD_ALTERNATE_KEYS)))
		return 0;
	r = volume_record_copy(expected, &lists);
	if (r < 0)
		return r;
	if (fields & VOLUME_FIELD_RECOVERY_KEYS) {
		struct recovery_key *keys = store->volume.recovery_keys;
		size_t count = store->volume.recovery_key_count;

		store->volume.recovery_keys = lists.recovery_keys;
		store->volume.recovery_key_count = lists.recovery_key_count;
		lists.recovery_keys = keys;
		lists.recovery_key_count = count;
	}
	if (fields & VOLUME_FIELD_ALTERNATE_KEYS) {
		struct alternate_key *keys = store->volume.alternate_keys;
		size_t count = store->volume.alternate_key_count;

		store->volume.alternate_keys = lists.alternate_keys;
		store->volume.alternate_key_count = lists.alternate_key_count;
		lists.alternate_keys = keys;
		lists.alternate_key_count = count;
	}
	if (fields & VOLUME_FIELD_PLAINTEXT) {
		struct plaintext_snapshot *list = store->volume.plaintext_snapshots;
		size_t count = store->volume.plaintext_snapshot_count;

		store->volume.plaintext_snapshots = lists.plaintext_snapshots;
		store->volume.plaintext_snapshot_count = lists.plaintext_snapshot_count;
		lists.plaintext_snapshots = list;
		lists.plaintext_snapshot_count = count;
	}
	volume_record_free(&lists);
	return 0;
}

static int adopt_settings(struct store *store, const struct store_options *options,
			  const struct volume_record *settings, struct store_error *reterr)
{
	const char *default_key = options->default_key ? options->default_key
						       : settings->default_key;
	int r = volume_record_copy(settings, &store->volume);

	if (r == 0)
		r = apply_overrides(store, options);
	if (r == 0 && strlen(default_key) >= sizeof(store->default_key))
		r = -EINVAL;
	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "settings: %s", strerror(-r));
	strcpy(store->default_key, default_key);
	return 0;
}

static int decide(struct store *store, const struct store_options *options,
		  const struct store_description *found, struct store_error *reterr)
{
	const bool is_trusted = trust_origin_is_trusted(found->origin);
	struct volume_pin pin = { 0 };
	int r = check_configured(options, found, reterr);
	bool is_new;

	if (r < 0)
		return r;
	r = trust_volume_pin(store->trust, &found->record.volume, &pin);
	if (r < 0 && r != -ENOENT)
		return store_fail(reterr, r, EXIT_FAILED, "pinned settings: %s", strerror(-r));
	is_new = r == -ENOENT;
	r = is_new ? decide_without_pin(store, options, found, reterr)
		   : decide_with_pin(store, options, &pin, found, reterr);
	if (r >= 0) {
		const bool uses_found = is_new || r == 1;

		if (store->is_writable && is_trusted && uses_found)
			r = trust_pin_volume(store->trust, &found->record, NULL);
		if (r < 0)
			store_fail(reterr, r, EXIT_FAILED, "pinning of the settings: %s",
				   strerror(-r));
		else
			r = adopt_settings(store, options,
					   uses_found ? &found->record : &pin.record, reterr);
	}
	volume_pin_free(&pin);
	return r < 0 ? r : 0;
}

int store_decide_settings(struct store *store, const struct store_options *options,
			  struct store_error *reterr)
{
	struct store_description found = { 0 };
	int r = describe(store->control_fd, store->trust, &found, reterr);

	if (r == 0)
		r = decide(store, options, &found, reterr);
	if (r == 0 && !trust_origin_is_trusted(found.origin))
		store_report(
			store, LOG_WARNING, CONTROL_DIRECTORY "/volume",
			"origin not verified: settings signed by %s; accept it with trusted_writers or 'snapcrypt volume trust'",
			found.writer);
	volume_record_free(&found.record);
	return r;
}
