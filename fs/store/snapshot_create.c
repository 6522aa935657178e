/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a snapshot.
 *
 * In this order, each step durable before the next: key record and pin; the directory under a reserved name beside its final
 * one; its identity; the mark of unfinished writing; the rename.  So there is never data whose key could be lost, and never
 * a directory at snapshot depth without an identity.  What a crash leaves (a key record that nothing names, a directory that
 * nobody sees) is removed by the next writable mount and by repair.
 *
 * The directory is made by the kernel in its parent, with the calling thread's ids and umask: owner, mode, setgid, default ACL,
 * quota and security labels come out as those of any directory made there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/own_credentials.h"
#include "fs/store/snapshot_internal.h"
#include "kms/crypto/random.h"

struct creation {
	struct store *store;
	int parent_fd;
	const char *name;
	const char *path;
	mode_t mode;
	struct identity identity;
	struct key_record record; /* with a DEK */
	struct dek *dek;
	char new_name[sizeof(NEW_SNAPSHOT_PREFIX) + UUID_TEXT_SIZE];
	char key_id[KEY_ID_SIZE];
};

static void creation_free(struct creation *creation)
{
	identity_free(&creation->identity);
	key_record_free(&creation->record);
	dek_put(creation->dek);
	creation->dek = NULL;
}

static bool is_there(int parent_fd, const char *name)
{
	struct stat st;

	return fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Its id, and its DEK where it has one: the step that may have to wait. */
static int take_key(struct creation *creation)
{
	struct identity *identity = &creation->identity;
	int r;

	identity->volume = creation->store->volume.volume;
	identity->created_s = time(NULL);
	identity->is_encrypted = creation->store->volume.is_encrypted;
	if (!identity->is_encrypted || identity->kind != IDENTITY_SNAPSHOT)
		return random_uuid(&identity->snapshot);
	r = store_take_dek(creation->store, NULL, &creation->record, &creation->dek);
	if (r < 0)
		return r;
	identity->snapshot = creation->record.snapshot;
	identity->dek = creation->record.dek;
	snprintf(creation->key_id, sizeof(creation->key_id), "%s",
		 key_record_primary(&creation->record)->key_id);
	return 0;
}

static int make_directory(struct creation *creation)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&creation->identity.snapshot, id);
	snprintf(creation->new_name, sizeof(creation->new_name), NEW_SNAPSHOT_PREFIX "%s", id);
	return mkdirat(creation->parent_fd, creation->new_name, creation->mode) < 0 ? -errno : 0;
}

static int authenticate(struct creation *creation)
{
	struct identity *identity = &creation->identity;
	struct bytes part;
	int r = identity_encode_mac_input(identity);

	if (r < 0 || !creation->dek)
		return r;
	part = bytes_from_text(identity->mac_input);
	return dek_mac(creation->dek, DEK_LABEL_IDENTITY, &part, 1, identity->mac);
}

static int write_identity(struct creation *creation, int fd)
{
	int r = authenticate(creation);

	if (r == 0)
		r = identity_write(creation->store->trust, fd, &creation->identity);
	if (r < 0)
		return r;
	if (!creation->identity.is_encrypted)
		key_id_write_index(fd, "Not enabled");
	else if (creation->key_id[0] != '\0')
		key_id_write_index(fd, creation->key_id);
	return fsync(fd) < 0 ? -errno : 0;
}

/* A mode without rights for ourselves would keep a process without privileges from filling it. */
static int fill_directory(struct creation *creation)
{
	struct stat st;
	int fd;
	int r;

	if (fstatat(creation->parent_fd, creation->new_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if ((st.st_mode & S_IRWXU) != S_IRWXU && fchmodat(creation->parent_fd, creation->new_name,
							  (st.st_mode & 07777) | S_IRWXU, 0) < 0)
		return -errno;
	fd = open_beneath(creation->parent_fd, creation->new_name,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	r = write_identity(creation, fd);
	if (r == 0 && (st.st_mode & S_IRWXU) != S_IRWXU && fchmod(fd, st.st_mode & 07777) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int put_in_place(struct creation *creation)
{
	const int parent_fd = creation->parent_fd;

	if (renameat2(parent_fd, creation->new_name, parent_fd, creation->name, RENAME_NOREPLACE) <
	    0) {
		if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
			return -errno;
		/* The lower filesystem cannot refuse by itself; the namespace lock and the volume's lock are ours. */
		if (is_there(parent_fd, creation->name))
			return -EEXIST;
		if (renameat(parent_fd, creation->new_name, parent_fd, creation->name) < 0)
			return -errno;
	}
	return directory_sync(parent_fd, ".");
}

static int prepare(struct creation *creation)
{
	int r = 0;

	if (creation->dek)
		r = store_publish_new_dek(creation->store, &creation->record, creation->dek);
	if (r == 0)
		r = fill_directory(creation);
	if (r == 0)
		r = snapshot_mark(creation->store, &creation->identity.snapshot);
	return r;
}

static int finish(struct creation *creation)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	int r;

	(void)saved;
	/* Whoever removes what nothing needs must not find its key record without its directory. */
	pthread_rwlock_rdlock(&creation->store->creation_lock);
	r = prepare(creation);
	if (r == 0)
		r = put_in_place(creation);
	pthread_rwlock_unlock(&creation->store->creation_lock);
	if (r == 0)
		identity_index_change(creation->store, &creation->identity.snapshot, 1);
	else
		snapshot_unmark(creation->store, &creation->identity.snapshot);
	return r;
}

static void remove_new(struct creation *creation)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	int fd = open_beneath(creation->parent_fd, creation->new_name,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

	(void)saved;
	if (fd >= 0) {
		(void)unlinkat(fd, IDENTITY_FILE, 0);
		close(fd);
	}
	(void)unlinkat(creation->parent_fd, creation->new_name, AT_REMOVEDIR);
}

static int create(struct creation *creation)
{
	int r;

	if (!creation->store->is_writable)
		return -EROFS;
	if (strncmp(creation->name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) == 0)
		return -EPERM;
	if (is_there(creation->parent_fd, creation->name))
		return -EEXIST;
	r = take_key(creation);
	if (r == 0)
		r = make_directory(creation);
	if (r < 0)
		return r;
	r = finish(creation);
	if (r < 0)
		remove_new(creation);
	return r;
}

int snapshot_create(struct store *store, int parent_fd, const char *name, const char *path,
		    mode_t mode)
{
	struct creation creation = {
		.store = store,
		.parent_fd = parent_fd,
		.name = name,
		.path = path,
		.mode = mode,
		.identity = { .kind = IDENTITY_SNAPSHOT },
	};
	int r = create(&creation);

	creation_free(&creation);
	return r;
}

int snapshot_create_stream(struct store *store, int parent_fd, const char *name, const char *path,
			   mode_t mode, int64_t period_s)
{
	struct creation creation = {
		.store = store,
		.parent_fd = parent_fd,
		.name = name,
		.path = path,
		.mode = mode,
		.identity = { .kind = IDENTITY_STREAM, .period_s = period_s },
	};
	int r;

	if (period_s <= 0)
		return -EINVAL;
	if (!store->volume.is_encrypted)
		creation.identity.period_s = 0;
	r = create(&creation);
	creation_free(&creation);
	return r;
}
