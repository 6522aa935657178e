/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a volume of a directory.
 *
 * The volume record is written last: whatever is interrupted before it is no volume, and init can be run again.
 */
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
#include "fs/store/snapshot_identity.h"
#include "fs/store/store_internal.h"
#include "kms/crypto/random.h"
#include "meta/records/identity.h"

static const char *const directories[] = { "volume",  "keys",    "seals", "manifests",
					   "journal", "writing", "tmp",   "quarantine" };

struct init {
	int root_fd;
	int control_fd;
	struct trust *trust;
	struct volume_record record;
	struct store_error *reterr;
};

static bool is_data(const char *name)
{
	return strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) != 0;
}

static int write_identity(struct init *init, int fd, enum identity_kind kind, bool is_encrypted,
			  struct uuid *ret_id)
{
	struct identity identity = {
		.volume = init->record.volume,
		.kind = kind,
		.created_s = init->record.created_s,
		.is_encrypted = is_encrypted,
		.period_s = is_encrypted ? IDENTITY_ROOT_PERIOD_S : 0,
	};
	int r = random_uuid(&identity.snapshot);

	if (r == 0)
		r = identity_write(init->trust, fd, &identity);
	if (r == 0)
		*ret_id = identity.snapshot;
	return r;
}

/*
 * A run that was interrupted left an identity: it belongs to a volume that never was.  One that says encrypted belongs to a volume
 * that was, and what it stands in is not plaintext.
 */
static int clear_identity(struct init *init, int fd, const char *path)
{
	enum trust_origin origin = TRUST_UNKNOWN_WRITER;
	struct identity identity = { 0 };
	bool is_encrypted = false;

	if (identity_read(init->trust, fd, &identity, &origin) == 0) {
		is_encrypted = identity.is_encrypted;
		identity_free(&identity);
	}
	if (is_encrypted) {
		store_fail(init->reterr, -EEXIST, EXIT_FAILED,
			   "%s: it is an encrypted snapshot of another volume", path);
		store_advise(init->reterr, "bring back its volume's " CONTROL_DIRECTORY
					   ", or move the directory away");
		return -EEXIST;
	}
	if (unlinkat(fd, IDENTITY_FILE, 0) < 0 && errno != ENOENT)
		return store_fail(init->reterr, -errno, EXIT_STORAGE, "%s: %s", path,
				  strerror(errno));
	return 0;
}

/* Give a directory that was there before an identity, and list it. */
static int adopt_directory(struct init *init, int fd, const char *path)
{
	struct uuid id;
	int r = clear_identity(init, fd, path);

	if (r < 0)
		return r;
	r = write_identity(init, fd, IDENTITY_SNAPSHOT, false, &id);
	if (r == 0 && init->record.is_encrypted)
		r = volume_record_add_plaintext(&init->record, &id, path);
	return r < 0 ? store_fail(init->reterr, r, EXIT_STORAGE, "%s: %s", path, strerror(-r)) : 0;
}

static int refuse_entry(struct init *init, const char *path)
{
	store_fail(init->reterr, -ENOTEMPTY, EXIT_FAILED,
		   "%s is there already, above the depth of snapshots, and would not be encrypted",
		   path);
	store_advise(
		init->reterr,
		"move it into a directory of its own, which stays readable as it is, or use an empty directory");
	return -ENOTEMPTY;
}

static int adopt_level(struct init *init, int fd, const char *path, unsigned depth);

/* One entry of a directory whose entries are DEPTH components below the root. */
static int adopt_entry(struct init *init, int parent_fd, const char *name, const char *path,
		       unsigned depth)
{
	struct stat st;
	int fd;
	int r;

	if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return store_fail(init->reterr, -errno, EXIT_STORAGE, "%s: %s", path,
				  strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return init->record.is_encrypted ? refuse_entry(init, path) : 0;
	fd = open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return store_fail(init->reterr, fd, EXIT_STORAGE, "%s: %s", path, strerror(-fd));
	r = depth == init->record.snapshot_depth ? adopt_directory(init, fd, path)
						 : adopt_level(init, fd, path, depth + 1);
	close(fd);
	return r;
}

/* Every filesystem of the ext family has one; it is empty until fsck puts something there. */
static bool is_lost_and_found(int fd, const char *name)
{
	char **names = NULL;
	size_t count = 0;

	if (strcmp(name, "lost+found") != 0 || directory_names(fd, name, NULL, &names, &count) < 0)
		return false;
	names_free(names, count);
	return count == 0;
}

static int adopt_level(struct init *init, int fd, const char *path, unsigned depth)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", is_data, &names, &count);

	if (r < 0)
		return store_fail(init->reterr, r, EXIT_STORAGE, "%s: %s", path, strerror(-r));
	for (size_t i = 0; r == 0 && i < count; i++) {
		char child[PATH_MAX];

		if (depth == 1 && is_lost_and_found(fd, names[i]))
			continue;
		if (snprintf(child, sizeof(child), "%s%s%s", path, path[0] != '\0' ? "/" : "",
			     names[i]) >= (int)sizeof(child))
			r = store_fail(init->reterr, -ENAMETOOLONG, EXIT_FAILED, "%s: too long",
				       path);
		else
			r = adopt_entry(init, fd, names[i], child, depth);
	}
	names_free(names, count);
	return r;
}

/* A record in volume/ makes it a volume, whoever wrote it. */
static int refuse_volume(struct init *init)
{
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(init->control_fd, "volume", &numbers, &count);

	free(numbers);
	if (r < 0 && r != -ENOENT)
		return store_fail(init->reterr, r, EXIT_STORAGE, CONTROL_DIRECTORY ": %s",
				  strerror(-r));
	if (count == 0)
		return 0;
	store_fail(init->reterr, -EEXIST, EXIT_FAILED, "it is a volume already");
	store_advise(init->reterr, "see 'snapcrypt volume show'");
	return -EEXIST;
}

static int make_control(struct init *init)
{
	int r;

	if (mkdirat(init->root_fd, CONTROL_DIRECTORY, 0700) < 0 && errno != EEXIST)
		return store_fail(init->reterr, -errno, EXIT_STORAGE, CONTROL_DIRECTORY ": %s",
				  strerror(errno));
	r = store_open_control(init->root_fd, &init->control_fd, init->reterr);
	if (r == 0)
		r = refuse_volume(init);
	if (r < 0)
		return r;
	/* mkdir obeys the umask, which may be stricter, and adds what a setgid parent asks for. */
	if (fchmod(init->control_fd, 0700) < 0)
		return store_fail(init->reterr, -errno, EXIT_STORAGE, CONTROL_DIRECTORY ": %s",
				  strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		r = control_make_directory(init->control_fd, directories[i]);
		if (r < 0)
			return store_fail(init->reterr, r, EXIT_STORAGE, "%s: %s", directories[i],
					  strerror(-r));
	}
	return 0;
}

static int make_root_identity(struct init *init)
{
	struct uuid id;
	int r;

	if (unlinkat(init->root_fd, IDENTITY_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	r = write_identity(init, init->root_fd, IDENTITY_ROOT, init->record.is_encrypted, &id);
	if (r == 0 && fsync(init->root_fd) < 0)
		r = -errno;
	return r;
}

static int publish_volume(struct init *init, const char *backing)
{
	char *line = NULL;
	char *text = NULL;
	int r = volume_record_encode(&init->record, &line);

	if (r == 0)
		r = trust_sign(init->trust, line, &text);
	/* The pin comes first: a volume without one would refuse its own maker. */
	if (r == 0)
		r = trust_pin_volume(init->trust, &init->record, backing);
	if (r == 0 && init->record.default_key[0] != '\0')
		r = trust_add_kek(init->trust, init->record.default_key,
				  init->record.default_key_id);
	if (r == 0)
		r = record_publish(init->control_fd, "volume", "1", text);
	free(line);
	free(text);
	return r;
}

static int make_volume(struct init *init, const char *backing)
{
	int r = make_control(init);

	if (r == 0)
		r = adopt_level(init, init->root_fd, "", 1);
	if (r < 0)
		return r;
	r = make_root_identity(init);
	if (r == 0)
		r = publish_volume(init, backing);
	return r < 0 ? store_fail(init->reterr, r, EXIT_STORAGE, "%s: %s", backing, strerror(-r))
		     : 0;
}

int store_init(int backing_fd, const struct store_init_options *options,
	       struct volume_record *ret_record, struct store_error *reterr)
{
	struct init init = {
		.root_fd = backing_fd,
		.control_fd = -1,
		.trust = options->trust,
		.reterr = reterr,
	};
	int r = volume_record_copy(options->settings, &init.record);

	if (r == 0)
		r = random_uuid(&init.record.volume);
	if (r < 0) {
		volume_record_free(&init.record);
		return store_fail(reterr, r, EXIT_FAILED, "%s", strerror(-r));
	}
	init.record.generation = 1;
	init.record.created_s = time(NULL);
	r = make_volume(&init, options->backing);
	if (init.control_fd >= 0)
		close(init.control_fd);
	if (r < 0) {
		volume_record_free(&init.record);
		return r;
	}
	*ret_record = init.record;
	return 0;
}
