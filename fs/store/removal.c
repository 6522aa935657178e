/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting a snapshot. */
#include "fs/store/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/labels.h"
#include "fs/store/need_scan.h"
#include "fs/store/own_credentials.h"
#include "fs/store/removal_internal.h"
#include "fs/store/seal.h"

/* ---- What may be deleted ----------------------------------------------------------------------------------------- */

static int check_kind(struct snapshot *snapshot, struct store_error *reterr)
{
	const char *name = snapshot_name(snapshot);
	const enum snapshot_state state = snapshot_state(snapshot);

	if (snapshot->identity.kind == IDENTITY_ROOT)
		return store_fail(
			reterr, -EINVAL, EXIT_USAGE,
			"the root snapshot cannot be deleted: remove its files in a mount");
	if (state == SNAPSHOT_FOREIGN || state == SNAPSHOT_DUPLICATE) {
		store_fail(reterr, -EINVAL, EXIT_FAILED,
			   state == SNAPSHOT_FOREIGN ? "%s has no valid identity: it is no snapshot"
						     : "%s: another directory has its identity",
			   name);
		store_advise(reterr, "remove the directory that does not belong there from the "
				     "backing directory");
		return -EINVAL;
	}
	return 0;
}

static int check_holds(struct snapshot *snapshot, struct store_error *reterr)
{
	const char *name = snapshot_name(snapshot);
	struct labels_record labels;
	int r = labels_load(snapshot->store, &snapshot->id, &labels);

	if (r < 0) {
		store_fail(reterr, -EPERM, EXIT_POLICY,
			   "%s: whether it is held cannot be known, because its labels are %s",
			   name, r == -EBADMSG ? "not authentic or not the newest" : strerror(-r));
		store_advise(reterr, "look at the findings of 'snapcrypt verify'; a new label by "
				     "'snapcrypt snapshot tag' takes the place of what is there");
		return -EPERM;
	}
	if (labels.hold_count > 0) {
		store_fail(reterr, -EPERM, EXIT_POLICY, "%s is held: %s%s%s", name,
			   labels.holds[0].name, labels.holds[0].reason[0] != '\0' ? ", " : "",
			   labels.holds[0].reason);
		store_advise(reterr, "end it with 'snapcrypt snapshot release VOLUME %s %s'", name,
			     labels.holds[0].name);
		r = -EPERM;
	}
	labels_record_free(&labels);
	return r;
}

/* ---- Who else needs its data keys -------------------------------------------------------------------------------- */

struct name_search {
	const struct uuid *id;
	char *name;
};

static int find_name(void *arg, struct snapshot *snapshot, int fd)
{
	struct name_search *search = arg;

	(void)fd;
	if (!uuid_equal(snapshot_id(snapshot), search->id))
		return 0;
	search->name = strdup(snapshot_name(snapshot));
	return 1;
}

static int refuse_needed(struct snapshot *snapshot, const struct uuid *by,
			 struct store_error *reterr)
{
	struct name_search search = { .id = by };

	if (!uuid_is_zero(by) && snapshot_each(snapshot->store, find_name, &search) < 0)
		search.name = NULL;
	store_fail(reterr, -EPERM, EXIT_POLICY,
		   "%s: its key cannot be shredded, because %s has files under it",
		   snapshot_name(snapshot),
		   search.name        ? search.name
		   : uuid_is_zero(by) ? "a directory without identity"
				      : "another snapshot");
	store_advise(reterr,
		     "delete that one first, or delete without --shred-key: the key goes by "
		     "itself when nothing needs it any more");
	free(search.name);
	return -EPERM;
}

static bool is_among(const struct uuid *deks, size_t count, const struct uuid *dek)
{
	for (size_t i = 0; i < count; i++)
		if (uuid_equal(&deks[i], dek))
			return true;
	return false;
}

/* Is this storage on which what is written stays? */
static int check_removable(struct store *store, struct store_error *reterr)
{
	const char *name = "tmp/removable";
	int fd = open_beneath(store->control_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
	int r = 0;

	if (fd < 0)
		r = fd;
	else
		close(fd);
	if (r == 0 && unlinkat(store->control_fd, name, 0) < 0)
		r = -errno;
	return r < 0 ? store_fail(reterr, r, EXIT_POLICY,
				  "a key cannot be shredded on storage that removes nothing: %s",
				  strerror(-r))
		     : 0;
}

/* Its own data keys, once it is sure that nobody else needs one. */
static int shreddable(struct snapshot *snapshot, struct uuid **ret_deks, size_t *ret_count,
		      struct store_error *reterr)
{
	struct store *store = snapshot->store;
	struct need_dek *needs = NULL;
	struct uuid *deks = NULL;
	size_t need_count = 0;
	size_t count = 0;
	int r = dek_index_owned(store, &snapshot->id, &deks, &count);

	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "key records: %s", strerror(-r));
	r = need_scan_deks(store->root_fd, store->trust, &needs, &need_count, reterr);
	for (size_t i = 0; r == 0 && i < need_count; i++)
		if (!uuid_equal(&needs[i].snapshot, &snapshot->id) &&
		    is_among(deks, count, &needs[i].dek))
			r = refuse_needed(snapshot, &needs[i].snapshot, reterr);
	free(needs);
	if (r < 0) {
		free(deks);
		return r;
	}
	*ret_deks = deks;
	*ret_count = count;
	return 0;
}

int snapshot_may_remove(struct snapshot *snapshot, const struct removal *removal,
			struct store_error *reterr)
{
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = check_kind(snapshot, reterr);

	if (r == 0)
		r = check_holds(snapshot, reterr);
	if (r == 0 && removal->shreds)
		r = shreddable(snapshot, &deks, &count, reterr);
	free(deks);
	return r;
}

/* ---- Tombstones -------------------------------------------------------------------------------------------------- */

struct burial_search {
	const struct uuid *snapshot;
	bool is_buried;
};

/* The last word counts: what was sealed again after its tombstone is not deleted. */
static int see_entry(void *arg, const struct seal_entry *entry)
{
	struct burial_search *search = arg;

	if (!uuid_equal(&entry->snapshot, search->snapshot))
		return 0;
	if (entry->kind == SEAL_ENTRY_TOMBSTONE && trust_origin_is_trusted(entry->origin))
		search->is_buried = true;
	else if (entry->kind == SEAL_ENTRY_SEAL)
		search->is_buried = false;
	return 0;
}

int store_is_buried(struct store *store, const struct uuid *snapshot, bool *ret_is_buried)
{
	struct burial_search search = { .snapshot = snapshot };
	int r = seal_each(store, see_entry, &search);

	if (r == 0)
		*ret_is_buried = search.is_buried;
	return r;
}

static int bury(struct snapshot *snapshot, const struct removal *removal, const struct uuid *deks,
		size_t count)
{
	bool is_buried = false;
	int r = store_is_buried(snapshot->store, &snapshot->id, &is_buried);

	if (r < 0 || is_buried)
		return r;
	return snapshot_bury(snapshot, removal->reason, deks, count);
}

/* ---- The directory ----------------------------------------------------------------------------------------------- */

static bool is_its_directory(const struct snapshot *snapshot, int parent_fd, const char *name)
{
	struct stat st;

	return fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_dev == snapshot->device && st.st_ino == snapshot->inode;
}

static int open_parent(struct snapshot *snapshot, char *path, const char **ret_name)
{
	char *slash = strrchr(path, '/');

	if (!slash) {
		*ret_name = path;
		return open_beneath(snapshot->store->root_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	}
	*slash = '\0';
	*ret_name = slash + 1;
	return open_beneath(snapshot->store->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
}

static int take_away(struct snapshot *snapshot)
{
	char *path = strdup(snapshot_name(snapshot));
	const char *name = NULL;
	int parent_fd = path ? open_parent(snapshot, path, &name) : -ENOMEM;
	int r = parent_fd;

	if (parent_fd >= 0) {
		r = is_its_directory(snapshot, parent_fd, name)
			    ? removal_move_aside(snapshot->store, parent_fd, name)
			    : -ESTALE;
		close(parent_fd);
	}
	free(path);
	if (r == 0)
		snapshot_renamed(snapshot, NULL);
	return r;
}

/* What is kept of it outside its directory. */
static void remove_rest(struct snapshot *snapshot)
{
	struct store *store = snapshot->store;

	snapshot_unmark(store, &snapshot->id);
	trust_forget_snapshot(store->trust, &store->volume.volume, &snapshot->id);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static void refuse_writes(struct snapshot *snapshot)
{
	struct uuid *deks = NULL;
	size_t count = 0;

	if (dek_index_owned(snapshot->store, &snapshot->id, &deks, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		store_refuse_writes(snapshot->store, &deks[i], -EROFS);
	free(deks);
}

static int remove_buried(struct snapshot *snapshot, const struct uuid *deks, size_t count)
{
	struct store *store = snapshot->store;
	int r = 0;

	refuse_writes(snapshot);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = removal_drop_dek(store, &deks[i]);
	if (r == 0)
		r = take_away(snapshot);
	if (r < 0)
		return r;
	dek_index_forget(store);
	remove_rest(snapshot);
	return removal_empty(store);
}

static int remove_locked(struct snapshot *snapshot, const struct removal *removal,
			 struct uuid **deks, size_t *count, struct store_error *reterr)
{
	int r = check_kind(snapshot, reterr);

	if (r == 0 && !snapshot->store->is_writable)
		r = store_fail(reterr, -EROFS, EXIT_FAILED, "%s: the volume is open read-only",
			       snapshot_name(snapshot));
	if (r == 0)
		r = check_holds(snapshot, reterr);
	if (r == 0 && removal->shreds)
		r = check_removable(snapshot->store, reterr);
	if (r == 0 && removal->shreds)
		r = shreddable(snapshot, deks, count, reterr);
	if (r < 0)
		return r;
	r = bury(snapshot, removal, *deks, *count);
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "%s: tombstone: %s",
				  snapshot_name(snapshot), strerror(-r));
	r = remove_buried(snapshot, *deks, *count);
	if (r < 0) {
		store_fail(reterr, r, EXIT_STORAGE, "%s: %s", snapshot_name(snapshot),
			   strerror(-r));
		store_advise(reterr, "it has its tombstone; the same command goes on");
	}
	return r;
}

int snapshot_remove(struct snapshot *snapshot, const struct removal *removal,
		    struct uuid **ret_shredded, size_t *ret_count, struct store_error *reterr)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct uuid *deks = NULL;
	size_t count = 0;
	int r;

	(void)saved;
	pthread_mutex_lock(&snapshot->store->removal_mutex);
	r = remove_locked(snapshot, removal, &deks, &count, reterr);
	pthread_mutex_unlock(&snapshot->store->removal_mutex);
	if (r < 0) {
		free(deks);
		return r;
	}
	*ret_shredded = deks;
	*ret_count = count;
	return 0;
}
