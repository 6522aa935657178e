/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links and renames.
 *
 * Within one snapshot they are what the filesystem below does.  A file that gets a name in another
 * one stays under its DEK; so that DEK must be usable, and the need for it is written down,
 * durably, before the name exists: or a key could be deleted that a snapshot still needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/entry_internal.h"
#include "fs/store/object.h"
#include "fs/store/store_internal.h"
#include "fs/store/xattr_stored.h"

#define NEEDED_MAX 32

/* One end of an operation. */
struct end {
	const struct place *place;
	struct backing_name backing;
};

static bool is_same_snapshot(const struct place *a, const struct place *b)
{
	return a->snapshot == b->snapshot ||
	       uuid_equal(snapshot_id(a->snapshot), snapshot_id(b->snapshot));
}

/* ---- Into another snapshot ------------------------------------------------------------------- */

/* What stands in the way of a DEK: for others to wait for, or why the object must be copied. */
static int as_cross_device(int r)
{
	return r == 0 || r == -EAGAIN || r == -EINTR || r == -ENOMEM ? r : -EXDEV;
}

/* Is the DEK open, trusted and not withdrawn?  It may be sealed: linking changes no file. */
static int check_dek(struct store *store, const struct uuid *dek_id)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r = store_dek(store, dek_id, &dek);

	if (r == 0)
		r = store_check_trust(store, dek);
	return as_cross_device(r);
}

/* The DEKs that an object needs: of its content and of its attributes. */
struct needed {
	struct store *store;
	size_t count;
	struct uuid deks[NEEDED_MAX];
};

static int need(void *arg, const struct uuid *dek_id)
{
	struct needed *needed = arg;

	for (size_t i = 0; i < needed->count; i++)
		if (uuid_equal(&needed->deks[i], dek_id))
			return 0;
	if (needed->count == NEEDED_MAX)
		return -EXDEV;
	needed->deks[needed->count++] = *dek_id;
	return check_dek(needed->store, dek_id);
}

static int need_all(const struct place *from, const char *backing, mode_t type,
		    struct needed *needed)
{
	const struct xattr_target target = { from, backing, type };
	struct uuid dek_id;
	int r = object_dek_id(from, backing, type, &dek_id);

	if (r == 0)
		r = need(needed, &dek_id);
	if (r < 0 && r != -ENODATA)
		return r;
	return xattr_each_dek(&target, need, needed);
}

/* First whether every DEK is usable, then the markers. */
static int cross(const struct place *from, const char *backing, mode_t type, const struct place *to)
{
	struct needed needed = { .store = to->store };
	int r;

	if (snapshot_is_encrypted(from->snapshot) != snapshot_is_encrypted(to->snapshot))
		return -EXDEV;
	if (!snapshot_is_encrypted(to->snapshot))
		return 0;
	r = need_all(from, backing, type, &needed);
	for (size_t i = 0; r == 0 && i < needed.count; i++)
		if (!uuid_equal(&needed.deks[i], snapshot_dek_id(to->snapshot)))
			r = snapshot_add_dependency(to->snapshot, &needed.deks[i]);
	return r;
}

/* ---- Link ------------------------------------------------------------------------------------ */

static int check_link(const struct place *from, const char *backing, const struct place *to)
{
	struct stat st;

	if (is_same_snapshot(from, to))
		return 0;
	if (fstatat(from->fd, backing, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EPERM;
	return cross(from, backing, st.st_mode, to);
}

int entry_link(const struct place *from, const char *from_backing, const struct place *to,
	       const char *to_name)
{
	struct backing_name backing;
	int r = snapshot_may_write(to->snapshot);

	if (r == 0)
		r = name_encode(to, to_name, &backing);
	if (r == 0)
		r = check_link(from, from_backing, to);
	if (r == 0)
		r = name_prepare(to, &backing);
	if (r < 0)
		return r;
	if (linkat(from->fd, from_backing, to->fd, backing.text, 0) < 0) {
		r = -errno;
		name_forget(to, &backing);
	}
	return r;
}

/* ---- Rename ---------------------------------------------------------------------------------- */

/* Not every filesystem below knows the flag; the caller holds the namespace. */
static int rename_below(const struct end *from, const struct end *to, unsigned flags)
{
	struct stat st;
	int r = name_prepare(to->place, &to->backing);

	if (r < 0)
		return r;
	if (renameat2(from->place->fd, from->backing.text, to->place->fd, to->backing.text,
		      flags) == 0)
		return 0;
	if (errno != EINVAL || flags != RENAME_NOREPLACE)
		return -errno;
	if (fstatat(to->place->fd, to->backing.text, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	return renameat(from->place->fd, from->backing.text, to->place->fd, to->backing.text) < 0
		       ? -errno
		       : 0;
}

/* An empty snapshot directory gives way, as any empty directory does. */
static int clear_target(const struct end *from, const struct end *to, unsigned flags)
{
	struct stat st;

	if (fstatat(to->place->fd, to->backing.text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (from->place->fd == to->place->fd && strcmp(from->backing.text, to->backing.text) == 0)
		return 0;
	return entry_remove_snapshot(to->place, to->backing.text);
}

/* A snapshot keeps its identity under any name at its level. */
static int rename_snapshot(const struct end *from, const struct end *to, unsigned flags)
{
	struct snapshot *snapshot = NULL;
	int r = entry_open_snapshot(from->place, from->backing.text, &snapshot);

	if (r < 0)
		return r;
	snapshot_put(snapshot);
	r = clear_target(from, to, flags);
	return r < 0 ? r : rename_below(from, to, flags);
}

static int rename_directory(const struct end *from, const struct end *to, unsigned flags)
{
	if (!is_same_snapshot(from->place, to->place))
		return -EXDEV;
	if (snapshot_kind(from->place->snapshot) != SNAPSHOT_ROOT)
		return rename_below(from, to, flags);
	/* The level of every snapshot below it would change. */
	if (from->place->depth != to->place->depth)
		return -EXDEV;
	if (entry_is_snapshot_level(from->place))
		return rename_snapshot(from, to, flags);
	return rename_below(from, to, flags);
}

/* Where the type of what moves does not matter: inside of one snapshot. */
static bool is_plain_rename(const struct end *from, const struct end *to)
{
	return is_same_snapshot(from->place, to->place) &&
	       snapshot_kind(from->place->snapshot) != SNAPSHOT_ROOT;
}

static int rename_any(const struct end *from, const struct end *to, unsigned flags)
{
	struct stat st;
	int r = 0;

	if (is_plain_rename(from, to))
		return rename_below(from, to, flags);
	if (fstatat(from->place->fd, from->backing.text, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return rename_directory(from, to, flags);
	if (!is_same_snapshot(from->place, to->place))
		r = cross(from->place, from->backing.text, st.st_mode, to->place);
	return r < 0 ? r : rename_below(from, to, flags);
}

int entry_rename(const struct place *from, const char *from_name, const struct place *to,
		 const char *to_name, unsigned flags)
{
	struct end source = { .place = from };
	struct end target = { .place = to };
	int r;

	if (flags & ~(unsigned)RENAME_NOREPLACE)
		return -EINVAL;
	r = snapshot_may_write(from->snapshot);
	if (r == 0)
		r = snapshot_may_write(to->snapshot);
	if (r == 0)
		r = name_encode(from, from_name, &source.backing);
	if (r == 0)
		r = name_encode(to, to_name, &target.backing);
	if (r < 0)
		return r;
	r = rename_any(&source, &target, flags);
	/* Each goes only if its entry does not exist: two names of one inode both stay. */
	name_forget(from, &source.backing);
	name_forget(to, &target.backing);
	return r;
}
