/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight of restore: is there a place for it, and room? */
#include "fs/cmd/restore_check.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/cmd/human.h"
#include "fs/cmd/usage.h"
#include "fs/store/beneath.h"

/* ---- The target ------------------------------------------------------------------------------ */

void restore_target_close(struct restore_target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	if (target->above >= 0)
		close(target->above);
	target->fd = -1;
	target->above = -1;
}

/* Plaintext below the backing directory would be on the storage that must not see it. */
static int check_outside(struct session *session, const char *path, int fd)
{
	char self[64];
	char real[PATH_MAX];
	const char *backing = session->access.backing;
	const size_t length = strlen(backing);
	ssize_t size = 0;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	size = readlink(self, real, sizeof(real) - 1);
	if (size < 0)
		return fail(session->invocation, EXIT_FAILED, "%s: %s", path, strerror(errno));
	real[size] = '\0';
	if (strncmp(real, backing, length) != 0 || (real[length] != '/' && real[length] != '\0'))
		return 0;
	fail(session->invocation, EXIT_USAGE, "%s is inside the backing directory %s", path,
	     backing);
	advise(session->invocation, "name a directory outside of it");
	return EXIT_USAGE;
}

static int open_above(struct session *session, struct restore_target *target)
{
	char *copy = strdup(target->path);
	const char *above = copy == NULL ? "." : dirname(copy);

	target->above = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->above < 0)
		fail(session->invocation, EXIT_FAILED, "%s: %s", above, strerror(errno));
	free(copy);
	return target->above < 0 ? EXIT_FAILED
				 : check_outside(session, target->path, target->above);
}

static bool is_no_marker(const char *name)
{
	return strcmp(name, MARKER_NAME) != 0;
}

static int check_content(struct session *session, struct restore_target *target)
{
	struct invocation *invocation = session->invocation;
	char **names = NULL;
	size_t count = 0;
	int r = marker_find(target->fd, &target->marker);

	if (r == -EEXIST) {
		fail(invocation, EXIT_USAGE, "%s holds an unfinished restore of another snapshot",
		     target->path);
		advise(invocation, "finish that one, or remove the directory");
		return EXIT_USAGE;
	}
	if (r == 0)
		r = directory_names(target->fd, ".", is_no_marker, &names, &count);
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "%s: %s", target->path, strerror(-r));
	names_free(names, count);
	if (count == 0 || target->marker.is_there)
		return 0;
	if (option_is_set(invocation, "force")) {
		target->marker.replaces = true;
		return 0;
	}
	fail(invocation, EXIT_USAGE, "%s is not empty", target->path);
	advise(invocation, "name a new directory, or replace what is in this one with --force");
	return EXIT_USAGE;
}

int restore_check_target(struct session *session, struct snapshot *snapshot, const char *path,
			 struct restore_target *ret_target)
{
	struct restore_target *target = ret_target;
	int r = 0;

	*target = (struct restore_target){ .path = path, .fd = -1, .above = -1 };
	target->marker.volume = store_volume(session->store)->volume;
	target->marker.snapshot = *snapshot_id(snapshot);
	target->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (target->fd < 0 && errno == ENOENT)
		return open_above(session, target);
	if (target->fd < 0)
		return fail(session->invocation, EXIT_FAILED, "%s: %s", path, strerror(errno));
	r = check_outside(session, path, target->fd);
	return r != 0 ? r : check_content(session, target);
}

/* ---- Space ----------------------------------------------------------------------------------- */

int restore_check_space(struct session *session, const struct restore_target *target,
			const struct restore_counts *counts)
{
	const struct usage_options as_it_is = { 0 };
	struct usage usage = { 0 };
	struct statvfs statvfs;
	char needed[HUMAN_SIZE];
	char free_text[HUMAN_SIZE];
	uint64_t available = 0;

	if (fstatvfs(target->fd >= 0 ? target->fd : target->above, &statvfs) != 0)
		return 0; /* an archive for a pipe, for instance */
	available = (uint64_t)(geteuid() == 0 ? statvfs.f_bfree : statvfs.f_bavail) *
		    statvfs.f_frsize;
	/* What is there already is replaced or kept; both need no more room. */
	if (target->fd >= 0 && usage_count(target->fd, &as_it_is, &usage) == 0)
		available += usage.bytes;
	if (counts->allocated <= available)
		return 0;
	fail(session->invocation, EXIT_FAILED, "%s: %s are needed, %s are free", target->path,
	     human_bytes(counts->allocated, needed), human_bytes(available, free_text));
	advise(session->invocation, "nothing was written; name a larger place, or select with "
				    "--include and --exclude");
	return EXIT_FAILED;
}
