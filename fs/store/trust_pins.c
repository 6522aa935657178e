/* SPDX-License-Identifier: Apache-2.0 */
/* Pins: what this host has written down about volumes and data keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/beneath.h"
#include "fs/store/state_dir.h"
#include "fs/store/trust_internal.h"

#define NAME_SIZE 160

static void volume_file(const struct uuid *volume, const char *file, char name[static NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(volume, id);
	snprintf(name, NAME_SIZE, "volumes/%s%s%s", id, file[0] != '\0' ? "/" : "", file);
}

static void volume_item(const struct uuid *volume, const char *directory, const struct uuid *item,
			char name[static NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];
	char file[64];

	uuid_format(item, id);
	snprintf(file, sizeof(file), "%s/%s", directory, id);
	volume_file(volume, file, name);
}

static int lock_volume(struct trust *trust, const struct uuid *volume)
{
	char name[NAME_SIZE];

	volume_file(volume, "", name);
	return state_dir_lock(trust->state, name);
}

/* ---- Volumes --------------------------------------------------------------------------------------------------- */

int trust_volume_pin(struct trust *trust, const struct uuid *volume, struct volume_pin *ret_pin)
{
	char name[NAME_SIZE];
	char *text = NULL;
	size_t size;
	int r;

	volume_file(volume, "pinned.json", name);
	r = state_dir_read(trust->state, name, &text, &size);
	if (r < 0)
		return r;
	r = volume_pin_decode((struct bytes){ (const uint8_t *)text, size }, ret_pin);
	free(text);
	return r;
}

static int write_pin(struct trust *trust, const struct uuid *volume, const struct volume_pin *pin)
{
	char name[NAME_SIZE];
	char *text = NULL;
	int r = volume_pin_encode(pin, &text);

	if (r < 0)
		return r;
	volume_file(volume, "pinned.json", name);
	r = state_dir_write(trust->state, name, text);
	free(text);
	return r;
}

static int pin_volume_locked(struct trust *trust, const struct volume_record *record,
			     const char *backing)
{
	struct volume_pin pin = { 0 };
	int r = trust_volume_pin(trust, &record->volume, &pin);

	if (r < 0 && r != -ENOENT)
		return r;
	volume_record_free(&pin.record);
	r = volume_record_copy(record, &pin.record);
	if (r == 0 && backing)
		r = volume_pin_add_backing(&pin, backing);
	if (r == 0) {
		if (pin.generation < record->generation)
			pin.generation = record->generation;
		r = write_pin(trust, &record->volume, &pin);
	}
	volume_pin_free(&pin);
	return r;
}

int trust_pin_volume(struct trust *trust, const struct volume_record *record, const char *backing)
{
	int lock = lock_volume(trust, &record->volume);
	int r;

	if (lock < 0)
		return lock;
	r = pin_volume_locked(trust, record, backing);
	state_dir_unlock(trust->state, lock);
	return r;
}

static int see_sequence_locked(struct trust *trust, const struct uuid *volume, uint64_t sequence)
{
	struct volume_pin pin = { 0 };
	int r = trust_volume_pin(trust, volume, &pin);

	if (r < 0)
		return r;
	if (pin.sequence < sequence) {
		pin.sequence = sequence;
		r = write_pin(trust, volume, &pin);
	}
	volume_pin_free(&pin);
	return r;
}

int trust_see_sequence(struct trust *trust, const struct uuid *volume, uint64_t sequence)
{
	int lock = lock_volume(trust, volume);
	int r;

	if (lock < 0)
		return lock;
	r = see_sequence_locked(trust, volume, sequence);
	state_dir_unlock(trust->state, lock);
	return r;
}

static int see_backing_locked(struct trust *trust, const struct uuid *volume, const char *backing)
{
	struct volume_pin pin = { 0 };
	size_t known;
	int r = trust_volume_pin(trust, volume, &pin);

	if (r < 0)
		return r;
	known = pin.backing_count;
	r = volume_pin_add_backing(&pin, backing);
	if (r == 0 && pin.backing_count != known)
		r = write_pin(trust, volume, &pin);
	volume_pin_free(&pin);
	return r;
}

int trust_see_backing(struct trust *trust, const struct uuid *volume, const char *backing)
{
	struct volume_pin pin;
	int r = trust_volume_pin(trust, volume, &pin);
	int lock;

	/* Nothing is made for a volume that is not pinned. */
	if (r < 0)
		return r;
	volume_pin_free(&pin);
	lock = lock_volume(trust, volume);
	if (lock < 0)
		return lock;
	r = see_backing_locked(trust, volume, backing);
	state_dir_unlock(trust->state, lock);
	return r;
}

int trust_list_volumes(struct trust *trust, struct uuid **ret_volumes, size_t *ret_count)
{
	char **names = NULL;
	struct uuid *volumes;
	size_t name_count = 0;
	size_t count = 0;
	int r = state_dir_list(trust->state, "volumes", &names, &name_count);

	if (r < 0 && r != -ENOENT)
		return r;
	volumes = calloc(name_count + 1, sizeof(*volumes));
	for (size_t i = 0; volumes && i < name_count; i++) {
		if (uuid_parse(names[i], &volumes[count]) == 0)
			count++;
	}
	names_free(names, name_count);
	if (!volumes)
		return -ENOMEM;
	*ret_volumes = volumes;
	*ret_count = count;
	return 0;
}

static bool is_pinned_at(struct trust *trust, const struct uuid *volume, const char *backing)
{
	struct volume_pin pin = { 0 };
	bool is_found = false;

	if (trust_volume_pin(trust, volume, &pin) < 0)
		return false;
	for (size_t i = 0; i < pin.backing_count; i++)
		is_found = is_found || strcmp(pin.backings[i], backing) == 0;
	volume_pin_free(&pin);
	return is_found;
}

int trust_volume_by_backing(struct trust *trust, const char *backing, struct uuid *ret_volume)
{
	struct uuid *volumes = NULL;
	size_t count = 0;
	int r = trust_list_volumes(trust, &volumes, &count);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; r < 0 && i < count; i++) {
		if (is_pinned_at(trust, &volumes[i], backing)) {
			*ret_volume = volumes[i];
			r = 0;
		}
	}
	free(volumes);
	return r;
}

/* ---- Data keys ------------------------------------------------------------------------------------------------- */

int trust_dek_pin(struct trust *trust, const struct uuid *volume, const struct uuid *dek,
		  struct dek_pin *ret_pin)
{
	char name[NAME_SIZE];
	char *text = NULL;
	size_t size;
	int r;

	volume_item(volume, "deks", dek, name);
	r = state_dir_read(trust->state, name, &text, &size);
	if (r < 0)
		return r;
	r = dek_pin_decode((struct bytes){ (const uint8_t *)text, size }, ret_pin);
	free(text);
	return r;
}

/* What was known stays known: trust is not taken back and generations do not go down. */
static bool merge_pin(const struct dek_pin *known, struct dek_pin *pin)
{
	if (known->is_trusted && !pin->is_trusted) {
		const uint64_t generation = pin->generation;

		*pin = *known;
		pin->generation = generation;
	}
	pin->is_made_here = pin->is_made_here || known->is_made_here;
	if (pin->generation < known->generation)
		pin->generation = known->generation;
	return pin->is_trusted != known->is_trusted || pin->is_made_here != known->is_made_here ||
	       pin->generation != known->generation ||
	       memcmp(pin->commitment, known->commitment, sizeof(pin->commitment)) != 0;
}

static int pin_dek_locked(struct trust *trust, const struct uuid *volume, const struct uuid *dek,
			  const struct dek_pin *pin)
{
	struct dek_pin merged = *pin;
	struct dek_pin known;
	char name[NAME_SIZE];
	char *text = NULL;
	int r = trust_dek_pin(trust, volume, dek, &known);

	if (r < 0 && r != -ENOENT)
		return r;
	if (r == 0 && !merge_pin(&known, &merged))
		return 0;
	r = dek_pin_encode(&merged, &text);
	if (r < 0)
		return r;
	volume_item(volume, "deks", dek, name);
	r = state_dir_write(trust->state, name, text);
	free(text);
	return r;
}

int trust_pin_dek(struct trust *trust, const struct uuid *volume, const struct uuid *dek,
		  const struct dek_pin *pin)
{
	int lock = lock_volume(trust, volume);
	int r;

	if (lock < 0)
		return lock;
	r = pin_dek_locked(trust, volume, dek, pin);
	state_dir_unlock(trust->state, lock);
	return r;
}

int trust_forget_dek(struct trust *trust, const struct uuid *volume, const struct uuid *dek)
{
	char name[NAME_SIZE];

	volume_item(volume, "deks", dek, name);
	return state_dir_remove(trust->state, name);
}

int trust_stream_dek(struct trust *trust, const struct uuid *volume, const struct uuid *snapshot,
		     struct uuid *ret_dek)
{
	char name[NAME_SIZE];
	char *text = NULL;
	size_t size;
	int r;

	volume_item(volume, "streams", snapshot, name);
	r = state_dir_read(trust->state, name, &text, &size);
	if (r < 0)
		return r;
	if (size > 0 && text[size - 1] == '\n')
		text[size - 1] = '\0';
	r = uuid_parse(text, ret_dek);
	free(text);
	return r;
}

int trust_set_stream_dek(struct trust *trust, const struct uuid *volume,
			 const struct uuid *snapshot, const struct uuid *dek)
{
	char text[UUID_TEXT_SIZE + 1];
	char name[NAME_SIZE];
	int lock = lock_volume(trust, volume);
	int r;

	if (lock < 0)
		return lock;
	uuid_format(dek, text);
	strcat(text, "\n");
	volume_item(volume, "streams", snapshot, name);
	r = state_dir_write(trust->state, name, text);
	state_dir_unlock(trust->state, lock);
	return r;
}
