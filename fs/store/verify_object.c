/* SPDX-License-Identifier: Apache-2.0 */
/* What an object has beside its content: attributes, and the target of a symlink. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/entry.h"
#include "fs/store/object.h"
#include "fs/store/verify_internal.h"
#include "fs/store/xattr_stored.h"

#define DATA_KEY_ATTRIBUTE "user.snapcrypt.data_key_id"

int verify_symlink(struct verifying *verifying, const struct walk_item *item, const char *path)
{
	char target[SYMLINK_TARGET_MAX + 1];
	const int r = entry_readlink(&item->directory->place, item->backing, target,
				     sizeof(target));

	if (verify_is_fatal(r))
		return r;
	if (r < 0)
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "its target is not authentic");
	return 0;
}

/* ---- Encrypted attributes -------------------------------------------------------------------- */

static int open_value(struct xattr_scan *scan, const char *stored, const char *name)
{
	struct xattr_buffer content;
	uint8_t *value;
	ssize_t size;
	int r = xattr_read_below(scan->target, stored, &content);

	if (r < 0)
		return r;
	value = malloc(content.bytes.size + 1);
	size = value ? xattr_open_value(scan->target, scan->dek, name, content.bytes, value,
					content.bytes.size + 1)
		     : -ENOMEM;
	free(value);
	xattr_buffer_free(&content);
	return size < 0 ? (int)size : 0;
}

static int check_encrypted(struct verifying *verifying, struct xattr_scan *scan, const char *stored,
			   const char *path)
{
	char name[XATTR_NAME_MAX + 1];
	int r = xattr_scan_decode(scan, stored, name);
	const bool has_name = r == 0;

	if (r == 0)
		r = open_value(scan, stored, name);
	if (verify_is_fatal(r))
		return r;
	if (r < 0 && r != -ENODATA)
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "attribute %s is not authentic", has_name ? name : stored);
	return 0;
}

/* ---- The index ------------------------------------------------------------------------------- */

int verify_index(struct verifying *verifying, const struct xattr_target *target, const char *path)
{
	char stored[UUID_TEXT_SIZE] = "";
	char expected[UUID_TEXT_SIZE];
	struct uuid dek;
	ssize_t size;

	if (!S_ISREG(target->type) ||
	    object_dek_id(target->parent, target->backing, target->type, &dek) < 0)
		return 0;
	size = xattr_get_below(target, DATA_KEY_ATTRIBUTE, (uint8_t *)stored, sizeof(stored) - 1);
	if (size == -ENODATA || size == -EOPNOTSUPP) {
		verify_notice(verifying, FINDING_INDEX, path, "its index attribute is missing");
		return 0;
	}
	uuid_format(&dek, expected);
	if (size < 0 || strcmp(stored, expected) != 0)
		verify_report(verifying, FINDING_INDEX, path, FINDING_NO_BLOCK,
			      "its index attribute names another data key");
	return 0;
}

int verify_attributes(struct verifying *verifying, const struct xattr_target *target,
		      const char *path)
{
	struct xattr_scan scan;
	const char *stored;
	int r;

	if (!snapshot_is_encrypted(target->parent->snapshot))
		return 0;
	r = xattr_scan_begin(&scan, target);
	if (r < 0)
		return verify_is_fatal(r) ? r : 0;
	while (r == 0 && (stored = xattr_scan_next(&scan))) {
		if (xattr_encoded(target, stored))
			r = check_encrypted(verifying, &scan, stored, path);
	}
	xattr_scan_end(&scan);
	return r < 0 ? r : verify_index(verifying, target, path);
}
