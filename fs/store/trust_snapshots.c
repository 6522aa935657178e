/* SPDX-License-Identifier: Apache-2.0 */
/* What this host has written down about single snapshots. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/state_dir.h"
#include "fs/store/trust_internal.h"
#include "meta/encoding.h"

#define NAME_SIZE      160
#define ROOT_TEXT_SIZE (2 * TRUST_ROOT_SIZE + 1)

static void snapshot_file(const struct uuid *volume, const char *directory,
			  const struct uuid *snapshot, char name[static NAME_SIZE])
{
	char volume_text[UUID_TEXT_SIZE];
	char snapshot_text[UUID_TEXT_SIZE];

	uuid_format(volume, volume_text);
	uuid_format(snapshot, snapshot_text);
	snprintf(name, NAME_SIZE, "volumes/%s/%s/%s", volume_text, directory, snapshot_text);
}

static int lock_volume(struct trust *trust, const struct uuid *volume)
{
	char text[UUID_TEXT_SIZE];
	char name[NAME_SIZE];

	uuid_format(volume, text);
	snprintf(name, sizeof(name), "volumes/%s", text);
	return state_dir_lock(trust->state, name);
}

static int write_locked(struct trust *trust, const struct uuid *volume, const char *name,
			const char *text)
{
	int lock = lock_volume(trust, volume);
	int r;

	if (lock < 0)
		return lock;
	r = state_dir_write(trust->state, name, text);
	state_dir_unlock(trust->state, lock);
	return r;
}

int trust_labels_generation(struct trust *trust, const struct uuid *volume,
			    const struct uuid *snapshot, uint64_t *ret_generation)
{
	char name[NAME_SIZE];
	char *text = NULL;
	size_t size = 0;
	char *end = NULL;
	int r;

	snapshot_file(volume, "labels", snapshot, name);
	r = state_dir_read(trust->state, name, &text, &size);
	if (r < 0)
		return r;
	errno = 0;
	*ret_generation = strtoull(text, &end, 10);
	r = errno != 0 || end == text || strcmp(end, "\n") != 0 ? -EBADMSG : 0;
	free(text);
	return r;
}

int trust_see_labels(struct trust *trust, const struct uuid *volume, const struct uuid *snapshot,
		     uint64_t generation)
{
	char name[NAME_SIZE];
	char text[24];

	snapshot_file(volume, "labels", snapshot, name);
	snprintf(text, sizeof(text), "%" PRIu64 "\n", generation);
	return write_locked(trust, volume, name, text);
}

static void root_text(const uint8_t root[static TRUST_ROOT_SIZE],
		      char text[static ROOT_TEXT_SIZE + 1])
{
	hex_encode((struct bytes){ root, TRUST_ROOT_SIZE }, text);
	strcat(text, "\n");
}

int trust_see_verified(struct trust *trust, const struct uuid *volume, const struct uuid *snapshot,
		       const uint8_t root[static TRUST_ROOT_SIZE])
{
	char name[NAME_SIZE];
	char text[ROOT_TEXT_SIZE + 1];

	snapshot_file(volume, "checked", snapshot, name);
	root_text(root, text);
	return write_locked(trust, volume, name, text);
}

bool trust_is_verified(struct trust *trust, const struct uuid *volume, const struct uuid *snapshot,
		       const uint8_t root[static TRUST_ROOT_SIZE])
{
	char expected[ROOT_TEXT_SIZE + 1];
	char name[NAME_SIZE];
	char *text = NULL;
	size_t size = 0;
	bool is_verified = false;

	snapshot_file(volume, "checked", snapshot, name);
	if (state_dir_read(trust->state, name, &text, &size) < 0)
		return false;
	root_text(root, expected);
	is_verified = strcmp(text, expected) == 0;
	free(text);
	return is_verified;
}

void trust_forget_snapshot(struct trust *trust, const struct uuid *volume,
			   const struct uuid *snapshot)
{
	static const char *const directories[] = { "labels", "checked", "streams" };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		char name[NAME_SIZE];

		snapshot_file(volume, directories[i], snapshot, name);
		(void)!state_dir_remove(trust->state, name);
	}
}
