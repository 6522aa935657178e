/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that are answered, not stored: meta/NAMES.md, "Extended attributes in the mount". */
#include "fs/store/xattr_virtual.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/object.h"
#include "fs/store/snapshot.h"

#define NOT_ENABLED "Not enabled"

static ssize_t give_text(const char *text, uint8_t *value, size_t size)
{
	const size_t length = strlen(text);

	if (size == 0)
		return (ssize_t)length;
	if (size < length)
		return -ERANGE;
	memcpy(value, text, length);
	return (ssize_t)length;
}

static ssize_t give_uuid(const struct uuid *uuid, uint8_t *value, size_t size)
{
	char text[UUID_TEXT_SIZE];

	if (!uuid || uuid_is_zero(uuid))
		return -ENODATA;
	uuid_format(uuid, text);
	return give_text(text, value, size);
}

static char *join(char **texts, size_t count)
{
	size_t size = 1;
	char *joined, *end;

	for (size_t i = 0; i < count; i++)
		size += strlen(texts[i]) + 1;
	joined = end = malloc(size);
	for (size_t i = 0; joined && i < count; i++) {
		if (i > 0)
			*end++ = ',';
		end = stpcpy(end, texts[i]);
	}
	if (joined)
		*end = '\0';
	return joined;
}

static ssize_t get_key_ids(const struct xattr_target *target, uint8_t *value, size_t size)
{
	struct snapshot *snapshot = target->parent->snapshot;
	char **ids = NULL;
	size_t count = 0;
	char *text;
	ssize_t r;

	if (!snapshot_is_encrypted(snapshot))
		return give_text(NOT_ENABLED, value, size);
	r = snapshot_key_ids(snapshot, &ids, &count);
	if (r < 0)
		return r;
	text = join(ids, count);
	r = text ? give_text(text, value, size) : -ENOMEM;
	free(text);
	for (size_t i = 0; i < count; i++)
		free(ids[i]);
	free(ids);
	/* A stream has none before its first file. */
	return r == 0 ? -ENODATA : r;
}

static ssize_t get_data_key_id(const struct xattr_target *target, uint8_t *value, size_t size)
{
	struct uuid dek_id;
	int r;

	if (!snapshot_is_encrypted(target->parent->snapshot))
		return -ENODATA;
	if (!S_ISREG(target->type) && !S_ISLNK(target->type))
		return give_uuid(snapshot_dek_id(target->parent->snapshot), value, size);
	r = object_dek_id(target->parent, target->backing, target->type, &dek_id);
	return r < 0 ? r : give_uuid(&dek_id, value, size);
}

static ssize_t get_snapshot(const struct xattr_target *target, uint8_t *value, size_t size)
{
	return give_uuid(snapshot_id(target->parent->snapshot), value, size);
}

static ssize_t get_state(const struct xattr_target *target, uint8_t *value, size_t size)
{
	const enum snapshot_state state = snapshot_state(target->parent->snapshot);

	return give_text(snapshot_state_name(state), value, size);
}

ssize_t xattr_virtual_get(const struct xattr_target *target, const char *name, uint8_t *value,
			  size_t size)
{
	static const struct {
		const char *name;
		ssize_t (*get)(const struct xattr_target *target, uint8_t *value, size_t size);
	} attributes[] = {
		{ "user.snapcrypt.key_id", get_key_ids },
		{ "user.snapcrypt.data_key_id", get_data_key_id },
		{ "user.snapcrypt.snapshot", get_snapshot },
		{ "user.snapcrypt.state", get_state },
	};

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (strcmp(name, attributes[i].name) == 0)
			return attributes[i].get(target, value, size);
	return -ENODATA;
}
