/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a snapshot needs: its own DEKs, those of files linked from other snapshots, and their Encryption Key IDs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/own_credentials.h"
#include "fs/store/snapshot_internal.h"

#define KEY_ID_ATTRIBUTE "user.snapcrypt.key_id"
#define ATTRIBUTE_MAX    65536

/* ---- needed-by --------------------------------------------------------------------------------------------------- */

static void marker_name(const struct uuid *dek_id, const struct uuid *snapshot,
			char directory[static CONTROL_NAME_SIZE],
			char file[static CONTROL_NAME_SIZE])
{
	char dek_text[UUID_TEXT_SIZE];
	char snapshot_text[UUID_TEXT_SIZE];

	uuid_format(dek_id, dek_text);
	uuid_format(snapshot, snapshot_text);
	snprintf(directory, CONTROL_NAME_SIZE, "keys/%s/needed-by", dek_text);
	snprintf(file, CONTROL_NAME_SIZE, "keys/%s/needed-by/%s", dek_text, snapshot_text);
}

static int write_marker(struct store *store, const struct uuid *dek_id, const struct uuid *snapshot)
{
	char directory[CONTROL_NAME_SIZE];
	char file[CONTROL_NAME_SIZE];
	int directory_fd;
	int fd;
	int r;

	marker_name(dek_id, snapshot, directory, file);
	r = control_make_directory(store->control_fd, directory);
	if (r < 0)
		return r;
	directory_fd = open_beneath(store->control_fd, directory, O_RDONLY | O_DIRECTORY, 0);
	if (directory_fd < 0)
		return directory_fd;
	fd = open_beneath(store->control_fd, file, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
	r = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	/* Each time, also where it was there: the mount that made it may have died before its sync. */
	if (r == 0 && fsync(directory_fd) < 0)
		r = -errno;
	close(directory_fd);
	return r;
}

static int remember_dependency(struct snapshot *snapshot, const struct uuid *dek_id)
{
	struct dependency *dependency = calloc(1, sizeof(*dependency));

	if (!dependency)
		return -ENOMEM;
	dependency->dek = *dek_id;
	HASH_ADD(hh, snapshot->dependencies, dek, sizeof(dependency->dek), dependency);
	return 0;
}

static int add_dependency(struct snapshot *snapshot, const struct uuid *dek_id, bool *is_new)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	const struct dependency *known = NULL;
	int r;

	(void)saved;
	HASH_FIND(hh, snapshot->dependencies, dek_id, sizeof(*dek_id), known);
	if (known)
		return 0;
	r = write_marker(snapshot->store, dek_id, &snapshot->id);
	if (r == 0)
		r = remember_dependency(snapshot, dek_id);
	if (r == 0)
		dek_index_forget(snapshot->store);
	*is_new = r == 0;
	return r;
}

int snapshot_add_dependency(struct snapshot *snapshot, const struct uuid *dek_id)
{
	struct uuid owner;
	bool is_new = false;
	int r;

	if (!snapshot->store->is_writable)
		return -EROFS;
	if (uuid_equal(&snapshot->identity.dek, dek_id) ||
	    (store_dek_snapshot(snapshot->store, dek_id, &owner) &&
	     uuid_equal(&owner, &snapshot->id)))
		return 0;
	pthread_mutex_lock(&snapshot->mutex);
	r = add_dependency(snapshot, dek_id, &is_new);
	pthread_mutex_unlock(&snapshot->mutex);
	if (is_new)
		snapshot_write_index(snapshot);
	return r;
}

int snapshot_deks(struct snapshot *snapshot, struct uuid **ret_deks, size_t *ret_count)
{
	const struct uuid *own = &snapshot->identity.dek;
	struct uuid *needed = NULL;
	struct uuid *deks;
	size_t count = 0;
	size_t used = 0;
	int r = dek_index_needed(snapshot->store, &snapshot->id, &needed, &count);

	if (r < 0)
		return r;
	deks = calloc(count + 1, sizeof(*deks));
	if (deks && !uuid_is_zero(own))
		deks[used++] = *own;
	for (size_t i = 0; deks && i < count; i++) {
		if (!uuid_equal(&needed[i], own))
			deks[used++] = needed[i];
	}
	free(needed);
	if (!deks)
		return -ENOMEM;
	*ret_deks = deks;
	*ret_count = used;
	return 0;
}

/* ---- Encryption Key IDs ------------------------------------------------------------------------------------------ */

struct key_ids {
	struct snapshot *snapshot;
	char **ids;
	size_t count;
};

static int add_key_id(struct key_ids *list, const char *key_id)
{
	char **ids;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->ids[i], key_id) == 0)
			return 0;
	}
	ids = reallocarray(list->ids, list->count + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	list->ids = ids;
	ids[list->count] = strdup(key_id);
	if (!ids[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

/* One that cannot be read is reported already; what is left is still worth showing. */
static int add_dek(struct key_ids *list, const struct uuid *dek_id)
{
	struct key_record record;
	int r = store_key_record(list->snapshot->store, dek_id, &record, NULL);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = add_key_id(list, key_record_primary(&record)->key_id);
	key_record_free(&record);
	return r;
}

/* Streams have no other note of theirs than the key records. */
static int add_stream_keys(struct key_ids *list)
{
	struct snapshot *snapshot = list->snapshot;
	struct uuid *deks = NULL;
	size_t count = 0;
	int r;

	if (snapshot->identity.kind == IDENTITY_SNAPSHOT)
		return 0;
	r = dek_index_owned(snapshot->store, &snapshot->id, &deks, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_dek(list, &deks[i]);
	free(deks);
	return r;
}

static int add_needed_keys(struct key_ids *list)
{
	struct snapshot *snapshot = list->snapshot;
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = dek_index_needed(snapshot->store, &snapshot->id, &deks, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_dek(list, &deks[i]);
	free(deks);
	return r;
}

static int add_own_key(struct key_ids *list)
{
	const struct uuid *dek_id = &list->snapshot->identity.dek;

	return uuid_is_zero(dek_id) ? 0 : add_dek(list, dek_id);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int snapshot_key_ids(struct snapshot *snapshot, char ***ret_key_ids, size_t *ret_count)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct key_ids list = { .snapshot = snapshot };
	int r = 0;

	(void)saved;
	if (!snapshot->is_foreign_by_identity && snapshot->identity.is_encrypted) {
		r = add_own_key(&list);
		if (r == 0)
			r = add_stream_keys(&list);
		if (r == 0)
			r = add_needed_keys(&list);
	}
	if (r < 0) {
		names_free(list.ids, list.count);
		return r;
	}
	if (list.count > 1)
		qsort(list.ids, list.count, sizeof(*list.ids), compare_ids);
	*ret_key_ids = list.ids;
	*ret_count = list.count;
	return 0;
}

/* ---- The index attribute ----------------------------------------------------------------------------------------- */

void key_id_write_index(int fd, const char *key_ids)
{
	/* An index only: a filesystem without attributes loses nothing. */
	(void)(fsetxattr(fd, KEY_ID_ATTRIBUTE, key_ids, strlen(key_ids), 0) < 0);
}

static char *join(char *const *texts, size_t count)
{
	size_t size = 1;
	char *joined;

	for (size_t i = 0; i < count; i++)
		size += strlen(texts[i]) + 1;
	joined = calloc(1, size);
	for (size_t i = 0; joined && i < count; i++) {
		if (i > 0)
			strcat(joined, ",");
		strcat(joined, texts[i]);
	}
	return joined;
}

/* What the attribute has to say; NULL: nothing can be said. */
static char *index_text(struct snapshot *snapshot)
{
	char **ids = NULL;
	char *text;
	size_t count = 0;

	if (snapshot_key_ids(snapshot, &ids, &count) < 0)
		return NULL;
	text = join(ids, count);
	names_free(ids, count);
	return text;
}

void snapshot_write_index(struct snapshot *snapshot)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char *text = index_text(snapshot);
	int fd;

	(void)saved;
	fd = open_beneath(snapshot->store->root_fd, snapshot_name(snapshot), O_RDONLY | O_DIRECTORY,
			  0);
	if (fd >= 0 && text && text[0] != '\0' && strlen(text) < ATTRIBUTE_MAX)
		key_id_write_index(fd, text);
	if (fd >= 0)
		close(fd);
	free(text);
}

static int compare_index(struct snapshot *snapshot, int fd)
{
	char *found = calloc(1, ATTRIBUTE_MAX + 1);
	char *expected = index_text(snapshot);
	ssize_t size = -ENOMEM;
	bool is_same = false;

	if (found && expected) {
		size = fgetxattr(fd, KEY_ID_ATTRIBUTE, found, ATTRIBUTE_MAX);
		if (size < 0)
			size = -errno;
		/* What did not fit was never written; without a key record there is nothing to compare with. */
		is_same = strcmp(found, expected) == 0 || !*expected ||
			  strlen(expected) >= ATTRIBUTE_MAX;
	}
	free(found);
	free(expected);
	return size < 0 ? (int)size : is_same;
}

int snapshot_check_index(struct snapshot *snapshot, int fd)
{
	int r;

	if (snapshot->is_foreign_by_identity || !snapshot->identity.is_encrypted)
		return 1;
	r = compare_index(snapshot, fd);
	if (r != 0)
		return r;
	/* Somebody may have linked a file meanwhile: what was known of the keys is older than the attribute. */
	dek_index_forget(snapshot->store);
	return compare_index(snapshot, fd);
}

static int refresh_one(void *arg, struct snapshot *snapshot, int fd)
{
	(void)arg;
	if (snapshot_check_index(snapshot, fd) == 0)
		snapshot_refresh_index(snapshot);
	return 0;
}

void snapshots_refresh_index(struct store *store)
{
	/* Of one that cannot be looked at now verify says that its index differs. */
	(void)!snapshot_each(store, refresh_one, NULL);
}

void snapshot_refresh_index(struct snapshot *snapshot)
{
	if (snapshot->store->is_writable && !snapshot->is_foreign_by_identity &&
	    snapshot->identity.is_encrypted)
		snapshot_write_index(snapshot);
}
