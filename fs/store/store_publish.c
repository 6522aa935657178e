/* SPDX-License-Identifier: Apache-2.0 */
/* New records of a volume: signed by this host, published, pinned. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/own_credentials.h"
#include "fs/store/store_internal.h"

static int next_generation(struct store *store, const char *directory, uint64_t *ret_generation)
{
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(store->control_fd, directory, &numbers, &count);

	if (r < 0 && r != -ENOENT)
		return r;
	*ret_generation = count > 0 ? numbers[0] + 1 : 1;
	free(numbers);
	return 0;
}

static int publish_line(struct store *store, const char *directory, uint64_t generation,
			const char *line)
{
	char name[24];
	char *text = NULL;
	int r = trust_sign(store->trust, line, &text);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%" PRIu64, generation);
	r = record_publish(store->control_fd, directory, name, text);
	free(text);
	return r;
}

static int publish_key(struct store *store, struct key_record *record, const struct dek *dek)
{
	char directory[CONTROL_NAME_SIZE];
	char *line = NULL;
	int r;

	key_directory(&record->dek, directory);
	r = next_generation(store, directory, &record->generation);
	if (r < 0)
		return r;
	if (record->created_s == 0)
		record->created_s = time(NULL);
	r = kms_authenticate_record(dek, record);
	if (r == 0)
		r = key_record_encode(record, &line);
	if (r == 0)
		r = publish_line(store, directory, record->generation, line);
	free(line);
	return r;
}

static int pin_key(struct store *store, const struct key_record *record, bool is_made_here)
{
	struct dek_pin pin = {
		.is_trusted = is_made_here,
		.is_made_here = is_made_here,
		.generation = record->generation,
		.snapshot = record->snapshot,
		.period_start_s = record->period_start_s,
	};

	memcpy(pin.commitment, record->commitment, sizeof(pin.commitment));
	return trust_pin_dek(store->trust, &record->volume, &record->dek, &pin);
}

int store_publish_new_dek(struct store *store, struct key_record *record, struct dek *dek)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	int r = publish_key(store, record, dek);

	(void)saved;
	if (r == 0)
		r = pin_key(store, record, true);
	if (r == 0)
		r = store_take_note(store, record, true);
	return r < 0 ? r : dek_ring_insert(store->deks, dek);
}

/* The note of a DEK that was opened past the ring. */
static int need_note(struct store *store, const struct uuid *dek_id)
{
	struct key_record record;
	enum trust_origin origin;
	struct uuid snapshot;
	int r;

	if (store_dek_snapshot(store, dek_id, &snapshot))
		return 0;
	r = store_key_record(store, dek_id, &record, &origin);
	if (r < 0)
		return r;
	r = store_take_note(store, &record, trust_origin_is_trusted(origin));
	key_record_free(&record);
	return r;
}

/* This host's signature would make a data key that it does not trust look like one of its own. */
static int check_rewrap(struct store *store, const struct dek *dek)
{
	int r;

	if (!store->is_writable)
		return -EROFS;
	r = need_note(store, dek_id(dek));
	return r < 0 ? r : store_check_trust(store, dek);
}

int store_publish_key_record(struct store *store, struct key_record *record, const struct dek *dek)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	int r = check_rewrap(store, dek);

	(void)saved;
	if (r == 0)
		r = publish_key(store, record, dek);
	if (r == 0)
		r = pin_key(store, record, false);
	if (r == 0)
		r = store_take_note(store, record, true);
	if (r == 0)
		(void)store_tell_key(store, &record->dek, STORE_KEY_REWRAPPED);
	return r;
}

int store_count_key_records(struct store *store, const struct uuid *dek_id, size_t *ret_count)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char directory[CONTROL_NAME_SIZE];
	uint64_t *numbers = NULL;
	int r;

	(void)saved;
	key_directory(dek_id, directory);
	r = control_numbers(store->control_fd, directory, &numbers, ret_count);
	free(numbers);
	return r;
}

int store_drop_key_records(struct store *store, const struct uuid *dek_id, uint64_t generation)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char directory[CONTROL_NAME_SIZE];
	uint64_t *numbers = NULL;
	size_t count = 0;
	int fd;
	int r;

	(void)saved;
	if (!store->is_writable)
		return -EROFS;
	key_directory(dek_id, directory);
	r = control_numbers(store->control_fd, directory, &numbers, &count);
	if (r < 0)
		return r;
	fd = open_beneath(store->control_fd, directory, O_RDONLY | O_DIRECTORY, 0);
	r = fd < 0 ? fd : 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "%" PRIu64, numbers[i]);
		if (numbers[i] < generation && unlinkat(fd, name, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(numbers);
	return r;
}

int store_copy_volume(struct store *store, struct volume_record *ret_record)
{
	int r;

	pthread_mutex_lock(&store->mutex);
	r = volume_record_copy(store->current.generation ? &store->current : &store->volume,
			       ret_record);
	pthread_mutex_unlock(&store->mutex);
	return r;
}

int store_publish_volume_record(struct store *store, struct volume_record *record)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct volume_record copy = { 0 };
	char *line = NULL;
	int r;

	(void)saved;
	if (!store->is_writable)
		return -EROFS;
	r = next_generation(store, "volume", &record->generation);
	if (r == 0)
		r = volume_record_encode(record, &line);
	if (r == 0)
		r = publish_line(store, "volume", record->generation, line);
	free(line);
	if (r == 0)
		r = trust_pin_volume(store->trust, record, NULL);
	if (r == 0)
		r = volume_record_copy(record, &copy);
	if (r < 0)
		return r;
	/* Data keys made from now on are wrapped as it says. */
	pthread_mutex_lock(&store->mutex);
	strcpy(store->default_key, record->default_key);
	volume_record_free(&store->current);
	store->current = copy;
	pthread_mutex_unlock(&store->mutex);
	/* The settings are published, whether or not one can be made at once. */
	(void)!store_keep_spares(store);
	return 0;
}
