/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that a mount shows. */
#include "fs/mount/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/sealed_view.h"
#include "fs/store/snapshot.h"
#include "meta/exit_code.h"

struct search {
	const char *wanted;
	bool wants_latest;
	bool wants_sealed;
	struct snapshot *found;
	int fd;
};

__attribute__((format(printf, 4, 5))) static int fail(struct store_error *reterr, int code,
						      int exit_code, const char *format, ...)
{
	va_list arguments;

	reterr->code = code;
	reterr->exit_code = exit_code;
	reterr->advice[0] = '\0';
	va_start(arguments, format);
	vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);
	return code;
}

static bool is_wanted(const struct search *search, const struct snapshot *snapshot)
{
	char id[UUID_TEXT_SIZE];

	if (search->wants_latest) {
		enum snapshot_state state = snapshot_state(snapshot);

		if (state == SNAPSHOT_FOREIGN || (search->wants_sealed && state != SNAPSHOT_SEALED))
			return false;
		return !search->found ||
		       snapshot_created_s(snapshot) > snapshot_created_s(search->found);
	}
	uuid_format(snapshot_id(snapshot), id);
	return !strcmp(search->wanted, snapshot_name(snapshot)) || !strcmp(search->wanted, id);
}

static int consider(void *arg, struct snapshot *snapshot, int fd)
{
	struct search *search = arg;

	if (!is_wanted(search, snapshot))
		return 0;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return -errno;
	if (search->fd >= 0)
		close(search->fd);
	snapshot_put(search->found);
	search->fd = own;
	search->found = snapshot_ref(snapshot);
	return search->wants_latest ? 0 : 1;
}

static int find_snapshot(struct store *store, const char *wanted, struct search *search,
			 struct store_error *reterr)
{
	*search = (struct search){
		.wanted = wanted,
		.wants_latest = !strcmp(wanted, "latest") || !strcmp(wanted, "latest-any"),
		.wants_sealed = !strcmp(wanted, "latest"),
		.fd = -1,
	};
	int r = snapshot_each(store, consider, search);

	if (r < 0)
		return fail(reterr, r, EXIT_FAILED, "cannot list the snapshots: %s", strerror(-r));
	if (!search->found && search->wants_sealed)
		return fail(reterr, -ENOENT, EXIT_NOT_SEALED, "no snapshot is sealed");
	if (!search->found)
		return fail(reterr, -ENOENT, EXIT_FAILED, "there is no snapshot '%s'", wanted);
	return 0;
}

static int exit_code_of(int code)
{
	switch (-code) {
	case EKEYREVOKED:
		return EXIT_KEY_DISABLED;
	case ENOKEY:
		return EXIT_KEY_DELETED;
	case EACCES:
		return EXIT_KEY_DENIED;
	case EKEYEXPIRED:
		return EXIT_CREDENTIALS;
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_FAILED;
	}
}

static int test_key(struct store *store, const struct snapshot *snapshot,
		    struct store_error *reterr)
{
	const struct uuid *dek_id = snapshot_dek_id(snapshot);
	struct kms_error error = { 0 };
	struct dek *dek = NULL;

	if (!snapshot_is_encrypted(snapshot) || uuid_is_zero(dek_id))
		return 0;
	int r = dek_ring_get(store_deks(store), dek_id, &dek, &error);

	dek_put(dek);
	if (r == 0)
		return 0;
	(void)fail(reterr, r, exit_code_of(r), "snapshot %s: %s", snapshot_name(snapshot),
		   *error.text ? error.text : strerror(-r));
	snprintf(reterr->advice, sizeof(reterr->advice), "%s", error.advice);
	return r;
}

/* A snapshot whose seal does not count is refused before anything is mounted, with the words of restore. */
static int check_seal(struct snapshot *snapshot, struct store_error *reterr)
{
	struct sealed_view *view = NULL;
	int r;

	*reterr = (struct store_error){ 0 };
	r = sealed_view_open(snapshot, &view, reterr);
	sealed_view_put(view);
	return r == 0 || *reterr->text
		       ? r
		       : fail(reterr, r, exit_code_of(r), "snapshot %s: its manifest: %s",
			      snapshot_name(snapshot), strerror(-r));
}

static int check_snapshot(struct store *store, struct snapshot *snapshot, bool requires_sealed,
			  struct store_error *reterr)
{
	enum snapshot_state state = snapshot_state(snapshot);

	if (state == SNAPSHOT_FOREIGN)
		return fail(reterr, -EACCES, EXIT_FAILED,
			    "%s has no valid identity (state foreign), so it is not served",
			    snapshot_name(snapshot));
	if (requires_sealed && state != SNAPSHOT_SEALED)
		return fail(reterr, -EACCES, EXIT_NOT_SEALED,
			    "snapshot %s is not sealed (state %s)", snapshot_name(snapshot),
			    snapshot_state_name(state));
	int r = test_key(store, snapshot, reterr);

	return r < 0 || !snapshot_is_sealed(snapshot) ? r : check_seal(snapshot, reterr);
}

static int open_snapshot(struct store *store, const struct mount_options *options,
			 struct place *ret_place, struct store_error *reterr)
{
	struct search search;
	int r = find_snapshot(store, options->snapshot, &search, reterr);

	if (r == 0)
		r = check_snapshot(store, search.found, options->requires_sealed, reterr);
	char *path = r == 0 ? strdup(snapshot_name(search.found)) : NULL;

	if (r == 0 && !path)
		r = fail(reterr, -ENOMEM, EXIT_FAILED, "out of memory");
	if (r < 0) {
		snapshot_put(search.found);
		if (search.fd >= 0)
			close(search.fd);
		return r;
	}
	*ret_place = (struct place){
		.store = store,
		.snapshot = search.found,
		.fd = search.fd,
		.depth = store_volume(store)->snapshot_depth,
		.path = path,
	};
	return 0;
}

int root_open(struct store *store, const struct mount_options *options, struct place *ret_place,
	      struct store_error *reterr)
{
	if (options->snapshot)
		return open_snapshot(store, options, ret_place, reterr);
	int fd = openat(store_root_fd(store), ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *path = strdup("");

	if (fd < 0 || !path) {
		free(path);
		return fail(reterr, fd < 0 ? -errno : -ENOMEM, EXIT_FAILED,
			    "cannot open the backing directory: %s", strerror(errno));
	}
	*ret_place = (struct place){
		.store = store,
		.snapshot = snapshot_root(store),
		.fd = fd,
		.path = path,
	};
	return 0;
}
