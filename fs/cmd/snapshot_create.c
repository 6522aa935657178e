/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot create: what mkdir in the mount does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"
#include "fs/cmd/session.h"
#include "fs/cmd/snapshot_row.h"
#include "fs/control/changes.h"

const struct option_spec options_snapshot_create[] = {
	{ "keep", 0, "DURATION", "its own retention: kept so long, whatever the rules say" },
	{ "tag", 0, "NAME[=VALUE]", "tag it; may be repeated" },
	{ NULL, 0, NULL, NULL },
};

#define SNAPSHOT_MODE 0777 /* less the umask, as mkdir(1) */

static unsigned depth_of(const char *name)
{
	unsigned depth = 1;

	for (; *name != '\0'; name++)
		depth += *name == '/' ? 1 : 0;
	return depth;
}

/* NAME must be a path of exactly the snapshot depth, which could be a mistake otherwise. */
static int check_name(struct session *session, const char *name)
{
	const unsigned depth = store_volume(session->store)->snapshot_depth;
	const size_t length = strlen(name);

	if (length == 0 || name[0] == '/' || name[length - 1] == '/' ||
	    strstr(name, "//") != NULL || strncmp(name, ".snapcrypt", strlen(".snapcrypt")) == 0)
		return fail(session->invocation, EXIT_USAGE, "snapshot %s: not a name for one",
			    name);
	if (depth_of(name) != depth)
		return fail(session->invocation, EXIT_USAGE,
			    "snapshot %s: the volume has snapshots at depth %u", name, depth);
	return 0;
}

/* In the mount, where all that mkdir means happens: umask, owner, default ACL, quota. */
static int create_in_mount(struct session *session, const struct control_mount *mount,
			   const char *name)
{
	struct invocation *invocation = session->invocation;
	const int fd = open(control_mountpoint(mount), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return fail(invocation, EXIT_FAILED, "%s: %s", control_mountpoint(mount),
			    strerror(errno));
	error = mkdirat(fd, name, SNAPSHOT_MODE) == 0 ? 0 : errno;
	close(fd);
	if (error == 0)
		return 0;
	fail(invocation, error == EACCES ? EXIT_FAILED : exit_code_from_errno(-error),
	     "snapshot %s: %s", name, strerror(error));
	advise(invocation, "the log of the mount says why");
	return invocation->failure.exit_code;
}

/* Open the directory above the last component of NAME without following links. */
static int open_parent(struct store *store, const char *name, int *ret_fd, const char **ret_last)
{
	char *copy = strdup(name);
	char *part = copy;
	char *slash = NULL;
	int fd = fcntl(store_root_fd(store), F_DUPFD_CLOEXEC, 0);

	while (copy != NULL && fd >= 0 && (slash = strchr(part, '/')) != NULL) {
		int next = -1;

		*slash = '\0';
		next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		part = slash + 1;
	}
	*ret_last = name + (part - copy);
	free(copy);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int create_here(struct session *session, const char *name)
{
	const char *last = NULL;
	int parent_fd = -1;
	int r = open_parent(session->store, name, &parent_fd, &last);

	if (r == 0) {
		r = snapshot_create(session->store, parent_fd, last, name, SNAPSHOT_MODE);
		close(parent_fd);
	}
	if (r < 0)
		return session_fail_errno(session, r, "snapshot", name);
	return 0;
}

static int print_created(struct session *session, const char *name)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-create/1");
	struct json_object *object = document_new_object();
	struct invocation *invocation = session->invocation;
	struct snapshot_row row = { 0 };
	struct snapshot *snapshot = NULL;
	struct store_error error = { 0 };
	int fd = -1;
	int r = change_find_snapshot(session->store, name, &snapshot, &fd, &error);

	if (r == 0) {
		r = snapshot_row_read(session->store, snapshot, fd, &row);
		close(fd);
		snapshot_put(snapshot);
		if (r < 0)
			snprintf(error.text, sizeof(error.text), "snapshot %s: %s", name,
				 strerror(-r));
	}
	if (r < 0) {
		document_free(object);
		return session_fail(session, &error);
	}
	if (invocation->is_json) {
		document_add_uuid(output, "volume", &store_volume(session->store)->volume);
		snapshot_row_json(&row, object);
		document_add(output, "snapshot", object);
		document_print(output, stdout);
	} else {
		char *keys = snapshot_row_keys(&row);

		document_free(object);
		if (!invocation->is_quiet)
			printf("Snapshot:          %s\nEncryption Key ID: %s\n", name,
			       keys == NULL ? "" : keys);
		free(keys);
	}
	snapshot_row_free(&row);
	return EXIT_OK;
}

/* 0 where it has no retention of its own. */
static int read_keep(struct invocation *invocation, int64_t *ret_keep_s)
{
	const char *text = option_value(invocation, "keep");

	*ret_keep_s = 0;
	if (text != NULL && (config_parse_duration(text, ret_keep_s) < 0 || *ret_keep_s <= 0))
		return fail(invocation, EXIT_USAGE, "--keep %s: not a duration such as 30d", text);
	return 0;
}

static int set_labels(struct session *session, const struct control_mount *mount, const char *name,
		      int64_t keep_s)
{
	const struct deletion deletion = { session, mount };
	struct label_change change = {
		.action = LABEL_KEEP,
		.text = "",
		.reason = "",
		.keep_until_s = time(NULL) + keep_s,
	};
	int r = keep_s == 0 ? 0 : deletion_label(&deletion, name, &change);

	change.action = LABEL_TAG;
	for (size_t i = 0; r == 0 && (change.text = option_nth(session->invocation, "tag", i)); i++)
		r = deletion_label(&deletion, name, &change);
	return r;
}

int cmd_snapshot_create(struct invocation *invocation)
{
	const char *name = operand(invocation, 1);
	int64_t keep_s = 0;
	const struct control_mount *mount = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = read_keep(invocation, &keep_s);
	if (r == 0)
		r = session_open_volume(&session, operand(invocation, 0));
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = session_find_mount(&session, true, &mount);
	if (r == 0)
		r = session_open_store(&session, mount == NULL ? STORE_WRITE : STORE_READ);
	if (r == 0)
		r = check_name(&session, name);
	if (r == 0)
		r = mount != NULL ? create_in_mount(&session, mount, name)
				  : create_here(&session, name);
	if (r == 0)
		r = set_labels(&session, mount, name, keep_s);
	if (r == 0)
		r = print_created(&session, name);
	session_close(&session);
	return r;
}
