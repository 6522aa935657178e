/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes as the mount's users see them: fs/store/xattr.h. */
#include "fs/store/xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <syslog.h>

#include "fs/store/object.h"
#include "fs/store/xattr_stored.h"
#include "fs/store/xattr_virtual.h"
#include "meta/format/sealed_value.h"

#define SYSTEM_PREFIX "system."

/* ACLs are enforced by the kernel and inherited below, so they are stored as they are. */
static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static bool is_system(const char *name)
{
	return strncmp(name, SYSTEM_PREFIX, sizeof(SYSTEM_PREFIX) - 1) == 0;
}

static bool passes_through(const struct xattr_target *target, const char *name)
{
	return is_acl(name) || !snapshot_is_encrypted(target->parent->snapshot);
}

/* ---- get ------------------------------------------------------------------------------------- */

static ssize_t get_found(struct xattr_scan *scan, const char *stored, const char *name,
			 uint8_t *value, size_t size)
{
	struct xattr_buffer content;
	ssize_t r = xattr_read_below(scan->target, stored, &content);

	if (r < 0)
		return r;
	r = xattr_open_value(scan->target, scan->dek, name, content.bytes, value, size);
	xattr_buffer_free(&content);
	return r;
}

/* One call below tells what most objects have: no attributes of their own. */
static ssize_t get_encrypted(const struct xattr_target *target, const char *name, uint8_t *value,
			     size_t size)
{
	struct xattr_scan scan;
	const char *stored = NULL;
	ssize_t r = xattr_scan_begin(&scan, target);

	if (r < 0)
		return r;
	r = xattr_scan_find(&scan, name, &stored);
	if (r == 0)
		r = get_found(&scan, stored, name, value, size);
	xattr_scan_end(&scan);
	return r;
}

ssize_t xattr_get(const struct xattr_target *target, const char *name, uint8_t *value, size_t size)
{
	if (xattr_is_ours(name))
		return xattr_virtual_get(target, name, value, size);
	if (passes_through(target, name))
		return xattr_get_below(target, name, value, size);
	if (is_system(name))
		return -EOPNOTSUPP;
	return get_encrypted(target, name, value, size);
}

/* ---- list ------------------------------------------------------------------------------------ */

/* Names one after the other, each with its NUL.  SIZE 0: only counted. */
struct name_list {
	char *names;
	size_t size;
	size_t used;
};

/* Under two DEKs, in the middle of a move from one to the other, a name is there twice. */
static bool has_name(const struct name_list *list, const char *name)
{
	if (list->size == 0)
		return false;
	for (size_t at = 0; at < list->used; at += strlen(list->names + at) + 1)
		if (strcmp(list->names + at, name) == 0)
			return true;
	return false;
}

static int add_name(struct name_list *list, const char *name)
{
	const size_t length = strlen(name) + 1;

	if (has_name(list, name))
		return 0;
	if (list->size > 0 && length > list->size - list->used)
		return -ERANGE;
	if (list->size > 0)
		memcpy(list->names + list->used, name, length);
	list->used += length;
	return 0;
}

static int list_one(struct xattr_scan *scan, const char *stored, struct name_list *list)
{
	const struct place *parent = scan->target->parent;
	char plain[XATTR_NAME_MAX + 1];
	int r;

	if (is_acl(stored))
		return add_name(list, stored);
	if (!snapshot_is_encrypted(parent->snapshot))
		return xattr_is_ours(stored) ? 0 : add_name(list, stored);
	if (!xattr_encoded(scan->target, stored))
		return 0;
	r = xattr_scan_decode(scan, stored, plain);
	if (r == -EBADMSG || r == -ENODATA) {
		store_report(parent->store, LOG_WARNING, parent->path,
			     "%s: an attribute is not authentic, so it is not shown",
			     scan->target->backing);
		return 0;
	}
	return r < 0 ? r : add_name(list, plain);
}

ssize_t xattr_list(const struct xattr_target *target, char *names, size_t size)
{
	struct name_list list = { .names = names, .size = size };
	struct xattr_scan scan;
	const char *stored;
	int r = xattr_scan_begin(&scan, target);

	if (r < 0)
		return r;
	while (r == 0 && (stored = xattr_scan_next(&scan)))
		r = list_one(&scan, stored, &list);
	xattr_scan_end(&scan);
	return r < 0 ? r : (ssize_t)list.used;
}

/* ---- set and remove -------------------------------------------------------------------------- */

/* A file linked from a sealed snapshot refuses every change, wherever it has a name. */
static int check_not_sealed(const struct xattr_target *target)
{
	struct uuid dek_id;
	int r;

	if ((!S_ISREG(target->type) && !S_ISLNK(target->type)) ||
	    !snapshot_is_encrypted(target->parent->snapshot))
		return 0;
	r = object_dek_id(target->parent, target->backing, target->type, &dek_id);
	/* Without a readable header there is nothing to protect. */
	if (r == -EBADMSG || r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	return store_dek_is_sealed(target->parent->store, &dek_id) ? -EROFS : 0;
}

/* The DEK of new attributes: the file's own; elsewhere that of new objects. */
/* RET_DEK may be there on failure too: the caller has it in a CLEANUP variable. */
static int write_dek(const struct xattr_target *target, struct xattr_object *ret_object,
		     struct dek **ret_dek)
{
	int r = xattr_object(target, ret_object);

	if (r < 0)
		return r;
	if (!S_ISREG(target->type))
		return snapshot_write_dek(target->parent->snapshot, ret_dek);
	r = store_dek_for_write(target->parent->store, &ret_object->dek, ret_dek);
	return r < 0 ? r : object_verify_header(*ret_dek, ret_object->header);
}

/* Does it exist, under any DEK: 1 or 0. */
static int exists(const struct xattr_target *target, const char *name)
{
	struct xattr_scan scan;
	const char *stored;
	int r = xattr_scan_begin(&scan, target);

	if (r < 0)
		return r;
	r = xattr_scan_find(&scan, name, &stored);
	xattr_scan_end(&scan);
	return r == -ENODATA ? 0 : r < 0 ? r : 1;
}

/* Remove an attribute under every DEK but KEEP (may be NULL); how many there were. */
static int remove_others(const struct xattr_target *target, const char *name,
			 const struct dek *keep)
{
	struct xattr_scan scan;
	const char *stored;
	int count = 0;
	int r = xattr_scan_begin(&scan, target);

	if (r < 0)
		return r;
	while ((r = xattr_scan_find(&scan, name, &stored)) == 0) {
		if (keep && uuid_equal(dek_id(keep), dek_id(scan.dek)))
			continue;
		r = xattr_remove_below(target, stored);
		if (r < 0)
			break;
		count++;
	}
	xattr_scan_end(&scan);
	return r == -ENODATA ? count : r;
}

static int set_encrypted(const struct xattr_target *target, const struct xattr_plain *plain,
			 int flags)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct xattr_object object;
	int r = write_dek(target, &object, &dek);
	int found;

	if (r < 0)
		return r;
	found = exists(target, plain->name);
	if (found < 0)
		return found;
	if ((flags & XATTR_CREATE) && found)
		return -EEXIST;
	if ((flags & XATTR_REPLACE) && !found)
		return -ENODATA;
	r = xattr_store(target, dek, object.id, plain);
	if (r < 0 || !found)
		return r;
	r = remove_others(target, plain->name, dek);
	return r < 0 ? r : 0;
}

static int check_new(const char *name, size_t size)
{
	if (is_system(name))
		return -EOPNOTSUPP;
	if (strlen(name) > XATTR_PLAIN_NAME_MAX)
		return -ENAMETOOLONG;
	return size > XATTR_VALUE_MAX ? -E2BIG : 0;
}

int xattr_set(const struct xattr_target *target, const char *name, const uint8_t *value,
	      size_t size, int flags)
{
	const struct xattr_plain plain = { name, { value, size } };
	int r;

	if (xattr_is_ours(name))
		return -EPERM;
	r = snapshot_may_write(target->parent->snapshot);
	if (r < 0)
		return r;
	if (passes_through(target, name)) {
		r = check_not_sealed(target);
		return r < 0 ? r : xattr_set_below(target, name, plain.value, flags);
	}
	r = check_new(name, size);
	if (r == 0)
		r = check_not_sealed(target);
	return r < 0 ? r : set_encrypted(target, &plain, flags);
}

int xattr_remove(const struct xattr_target *target, const char *name)
{
	int r;

	if (xattr_is_ours(name))
		return -EPERM;
	r = snapshot_may_write(target->parent->snapshot);
	if (r < 0)
		return r;
	if (passes_through(target, name)) {
		r = check_not_sealed(target);
		return r < 0 ? r : xattr_remove_below(target, name);
	}
	if (is_system(name))
		return -EOPNOTSUPP;
	/* First whether there is one: asked at the first write to every file, and there is none. */
	r = exists(target, name);
	if (r <= 0)
		return r < 0 ? r : -ENODATA;
	r = check_not_sealed(target);
	if (r == 0)
		r = remove_others(target, name, NULL);
	return r < 0 ? r : 0;
}

/* ---- Another DEK ----------------------------------------------------------------------------- */

/* Under TO first, then the old one goes: a crash leaves it twice, never lost. */
static int move_one(struct xattr_scan *scan, const char *stored, const struct xattr_object *object,
		    const struct dek *to)
{
	char name[XATTR_NAME_MAX + 1];
	struct xattr_buffer content;
	uint8_t *value;
	ssize_t size;
	int r = xattr_scan_decode(scan, stored, name);

	if (r < 0 || uuid_equal(dek_id(scan->dek), dek_id(to)))
		return r;
	r = xattr_read_below(scan->target, stored, &content);
	if (r < 0)
		return r;
	value = malloc(content.bytes.size + 1);
	size = value ? xattr_open_value(scan->target, scan->dek, name, content.bytes, value,
					content.bytes.size + 1)
		     : -ENOMEM;
	r = size < 0 ? (int)size : 0;
	if (r == 0) {
		const struct xattr_plain plain = { name, { value, (size_t)size } };

		r = xattr_store(scan->target, to, object->id, &plain);
	}
	if (r == 0)
		r = xattr_remove_below(scan->target, stored);
	free(value);
	xattr_buffer_free(&content);
	return r;
}

static int move_all(const struct xattr_target *target, const struct dek *to)
{
	struct xattr_object object;
	struct xattr_scan scan;
	const char *stored;
	int r = xattr_object(target, &object);

	/* A file without a header has lost what its attributes were bound to. */
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	r = xattr_scan_begin(&scan, target);
	if (r < 0)
		return r;
	while (r == 0 && (stored = xattr_scan_next(&scan))) {
		if (!xattr_encoded(target, stored))
			continue;
		r = move_one(&scan, stored, &object, to);
		if (r == -EBADMSG || r == -ENODATA)
			r = 0;
	}
	xattr_scan_end(&scan);
	return r;
}

/* A DEK that an attribute is under must be there before the first one is moved. */
static int want_dek(void *arg, const struct uuid *dek_id)
{
	struct dek *dek = NULL;
	int r = store_dek(arg, dek_id, &dek);

	dek_put(dek);
	return r;
}

int xattr_rekey(const struct xattr_target *target, const struct uuid *from_dek,
		const struct uuid *to_dek)
{
	CLEANUP(dek_cleanup) struct dek *to = NULL;
	struct store *store = target->parent->store;
	int r = xattr_each_dek(target, want_dek, store);

	(void)from_dek;
	if (r == 0)
		r = store_dek_for_write(store, to_dek, &to);
	return r < 0 ? r : move_all(target, to);
}
