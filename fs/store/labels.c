/* SPDX-License-Identifier: Apache-2.0 */
/* Labels records: finding the one that counts, and adding one. */
#include "fs/store/labels.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/store/own_credentials.h"
#include "fs/store/store_internal.h"

static void labels_directory(const struct uuid *snapshot, char name[static CONTROL_NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(snapshot, id);
	snprintf(name, CONTROL_NAME_SIZE, "labels/%s", id);
}

struct labels_search {
	struct store *store;
	const struct uuid *snapshot;
	struct labels_record *record;
};

static int decode_labels(void *arg, struct bytes line, uint64_t generation)
{
	const struct labels_search *search = arg;
	struct labels_record decoded;
	int r = labels_record_decode(line, &decoded);

	if (r < 0)
		return r;
	if (decoded.generation != generation ||
	    !uuid_equal(&decoded.volume, &search->store->volume.volume) ||
	    !uuid_equal(&decoded.snapshot, search->snapshot)) {
		labels_record_free(&decoded);
		return -EBADMSG;
	}
	labels_record_free(search->record);
	*search->record = decoded;
	return 0;
}

static void report_ignored(void *arg, const char *name, int error)
{
	const struct labels_search *search = arg;

	(void)error;
	store_report(search->store, LOG_WARNING, name,
		     "not a whole labels record of this snapshot; it is ignored");
}

/* Of somebody who is not trusted here: it may forbid, not allow. */
static void keep_holds(struct labels_record *record)
{
	while (record->tag_count > 0)
		free(record->tags[--record->tag_count]);
	record->keep_until_s = 0;
}

static int check_seen(struct store *store, const struct uuid *snapshot, const char *name,
		      uint64_t generation)
{
	uint64_t seen = 0;
	int r = trust_labels_generation(store->trust, &store->volume.volume, snapshot, &seen);

	if (r == -ENOENT || (r == 0 && generation >= seen))
		return 0;
	if (r < 0)
		return r;
	store_report(store, LOG_ERR, name,
		     "generation %" PRIu64 " is below %" PRIu64
		     ", which this host has seen: newer labels were removed",
		     generation, seen);
	return -EBADMSG;
}

int labels_load(struct store *store, const struct uuid *snapshot, struct labels_record *ret_record)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char name[CONTROL_NAME_SIZE];
	struct labels_record record = { 0 };
	struct chosen_record chosen = { 0 };
	struct labels_search search = { store, snapshot, &record };
	const struct record_choice choice = {
		.directory = name,
		.decode = decode_labels,
		.ignored = report_ignored,
		.arg = &search,
	};
	int r;

	(void)saved;
	labels_directory(snapshot, name);
	r = control_choose(store->trust, store->control_fd, &choice, &chosen);
	if (r == 0 && !trust_origin_is_trusted(chosen.origin))
		keep_holds(&record);
	if (r == 0 || r == -ENOENT)
		r = check_seen(store, snapshot, name,
			       r == 0 && trust_origin_is_trusted(chosen.origin) ? chosen.generation
										: 0);
	if (r < 0) {
		labels_record_free(&record);
		return r;
	}
	record.volume = store->volume.volume;
	record.snapshot = *snapshot;
	*ret_record = record;
	return 0;
}

static int publish(struct store *store, struct labels_record *record, const char *directory)
{
	char name[24];
	char *line = NULL;
	char *text = NULL;
	int r = labels_record_encode(record, &line);

	if (r == 0)
		r = trust_sign(store->trust, line, &text);
	snprintf(name, sizeof(name), "%" PRIu64, record->generation);
	if (r == 0)
		r = record_publish(store->control_fd, directory, name, text);
	free(line);
	free(text);
	return r;
}

int labels_publish(struct store *store, struct labels_record *record)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char directory[CONTROL_NAME_SIZE];
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r;

	(void)saved;
	if (!store->is_writable)
		return -EROFS;
	labels_directory(&record->snapshot, directory);
	r = control_numbers(store->control_fd, directory, &numbers, &count);
	if (r < 0 && r != -ENOENT)
		return r;
	record->generation = count > 0 ? numbers[0] + 1 : 1;
	record->volume = store->volume.volume;
	record->written_s = time(NULL);
	free(numbers);
	r = publish(store, record, directory);
	if (r == 0)
		r = trust_see_labels(store->trust, &record->volume, &record->snapshot,
				     record->generation);
	return r;
}
