/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adopting a foreign directory as plaintext.
 *
 * Whoever can write to the storage can put directories there.  Only a person says that one of them is a plaintext snapshot, and never
 * of one that holds encrypted files or an identity: those are a snapshot whose record is lost, not plaintext.
 */
#include "fs/store/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/snapshot_internal.h"
#include "kms/crypto/random.h"
#include "meta/format/header.h"

/* ---- What is in it ----------------------------------------------------------------------------------------------- */

/* A directory that is still to be looked at. */
struct pending {
	struct pending *next;
	char path[];
};

struct inspection {
	int fd;
	const char *name;
	struct pending *pending;
	struct store_error *reterr;
};

static int push(struct inspection *inspection, const char *path)
{
	const size_t size = strlen(path) + 1;
	struct pending *pending = malloc(sizeof(*pending) + size);

	if (!pending)
		return -ENOMEM;
	memcpy(pending->path, path, size);
	pending->next = inspection->pending;
	inspection->pending = pending;
	return 0;
}

static int refuse(const struct inspection *inspection, const char *path, const char *what)
{
	store_fail(inspection->reterr, -EPERM, EXIT_POLICY, "%s: %s%s%s", inspection->name, path,
		   *path ? " " : "", what);
	store_advise(
		inspection->reterr,
		"it is not known to be plaintext, so it stays foreign; if it is a snapshot, bring back its records ('snapcrypt verify' names them), else move that away");
	return -EPERM;
}

static int check_content(const struct inspection *inspection, int fd, const char *name,
			 const char *path)
{
	uint8_t magic[HEADER_MAGIC_SIZE];
	int file = open_beneath(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	ssize_t size;

	if (file < 0)
		return file == -ENOENT ? 0 : file;
	size = pread(file, magic, sizeof(magic), 0);
	close(file);
	if (size < 0)
		return -errno;
	if (size == (ssize_t)sizeof(magic) && header_has_magic(magic))
		return refuse(inspection, path, "is an encrypted file");
	return 0;
}

static int check_entry(struct inspection *inspection, int fd, const char *above, const char *name)
{
	struct stat st;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s%s", above, *above ? "/" : "", name) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	if (strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) == 0)
		return refuse(inspection, path, "has a name of snapcrypt's own");
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return push(inspection, path);
	return S_ISREG(st.st_mode) ? check_content(inspection, fd, name, path) : 0;
}

static int check_directory(struct inspection *inspection, const char *path)
{
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(inspection->fd, *path ? path : ".",
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int r;

	if (fd == -EXDEV)
		return refuse(inspection, path, "is another filesystem");
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = check_entry(inspection, fd, path, names[i]);
	names_free(names, count);
	close(fd);
	return r;
}

static int inspect(int fd, const char *name, struct store_error *reterr)
{
	struct inspection inspection = { .fd = fd, .name = name, .reterr = reterr };
	int r = push(&inspection, "");

	while (inspection.pending) {
		struct pending *pending = inspection.pending;

		inspection.pending = pending->next;
		if (r == 0) {
			r = check_directory(&inspection, pending->path);
			if (r < 0 && r != -EPERM)
				store_fail(reterr, r, EXIT_STORAGE, "%s/%s: %s", name,
					   pending->path, strerror(-r));
		}
		free(pending);
	}
	return r;
}

/* ---- May it be? -------------------------------------------------------------------------------------------------- */

int snapshot_may_adopt(struct snapshot *snapshot, int fd, struct store_error *reterr)
{
	const char *name = snapshot_name(snapshot);
	const struct store *store = snapshot->store;

	if (!store->volume.is_encrypted)
		return store_fail(
			reterr, -EINVAL, EXIT_USAGE,
			"the volume was made with --encryption off: there is nothing to adopt");
	if (!snapshot_is_encrypted(snapshot))
		return store_fail(reterr, -EEXIST, EXIT_OK, "%s: it is listed already", name);
	if (!snapshot->is_foreign_by_identity)
		return store_fail(reterr, -EINVAL, EXIT_USAGE,
				  "%s: it is an encrypted snapshot, not a foreign directory", name);
	return inspect(fd, name, reterr);
}

/* ---- Adopting ---------------------------------------------------------------------------------------------------- */

/* Its place on the list: a new one, or that of an adoption which was interrupted. */
static int list_it(struct store *store, const char *name, struct uuid *ret_id)
{
	struct volume_record record = { 0 };
	int r = store_copy_volume(store, &record);

	if (r < 0)
		return r;
	for (size_t i = 0; i < record.plaintext_snapshot_count; i++)
		if (strcmp(record.plaintext_snapshots[i].name, name) == 0) {
			*ret_id = record.plaintext_snapshots[i].id;
			volume_record_free(&record);
			return 0;
		}
	r = random_uuid(ret_id);
	if (r == 0)
		r = volume_record_add_plaintext(&record, ret_id, name);
	if (r == 0)
		r = store_publish_volume_record(store, &record);
	volume_record_free(&record);
	return r;
}

static int identify(struct store *store, int fd, const struct uuid *id)
{
	const struct identity identity = {
		.volume = store->volume.volume,
		.snapshot = *id,
		.kind = IDENTITY_SNAPSHOT,
		.created_s = time(NULL),
	};
	int r = identity_write(store->trust, fd, &identity);

	if (r == 0)
		key_id_write_index(fd, "Not enabled");
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r;
}

int snapshot_adopt(struct snapshot *snapshot, int fd, struct uuid *ret_id,
		   struct store_error *reterr)
{
	struct store *store = snapshot->store;
	const char *name = snapshot_name(snapshot);
	struct uuid id;
	int r = store->is_writable ? snapshot_may_adopt(snapshot, fd, reterr)
				   : store_fail(reterr, -EROFS, EXIT_FAILED,
						"the volume is open for reading only");

	if (r < 0)
		return r;
	pthread_mutex_lock(&store->removal_mutex);
	r = list_it(store, name, &id);
	pthread_mutex_unlock(&store->removal_mutex);
	if (r < 0)
		return store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r),
				  "%s: the list of plaintext snapshots: %s", name, strerror(-r));
	r = identify(store, fd, &id);
	if (r < 0)
		return store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r), "%s/%s: %s",
				  name, IDENTITY_FILE, strerror(-r));
	identity_index_change(store, &id, 1);
	atomic_fetch_add(&store->adoptions, 1);
	*ret_id = id;
	return 0;
}

unsigned snapshot_adoptions(struct store *store)
{
	return atomic_load(&store->adoptions);
}
