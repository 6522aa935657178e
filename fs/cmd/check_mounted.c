/* SPDX-License-Identifier: Apache-2.0 */
/* check-mounted: the first line of a backup job, so that nothing is written below a missing mount. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/session.h"
#include "fs/control/mount_table.h"

struct finding {
	const char *path;
	const struct mount_entry *entry; /* NULL: not on a mount of ours */
	bool is_alive;
	const struct json_object *mount; /* what the mount says about itself, or NULL */
	const struct control_mount *answer;
};

static void print_json(const struct finding *finding)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.check-mounted/1");
	const bool is_mounted = finding->entry != NULL && finding->is_alive;
	const char *state = finding->entry == NULL ? NULL
			    : !finding->is_alive   ? "dead"
						   : document_text(finding->mount, "state");

	document_add_path(output, "path", finding->path);
	document_add_bool(output, "mounted", is_mounted);
	document_add_path(output, "mountpoint",
			  finding->entry == NULL ? NULL : finding->entry->mountpoint);
	document_add_uuid(output, "volume",
			  finding->answer == NULL ? NULL : &finding->answer->volume);
	document_add_uuid(output, "mount",
			  finding->answer == NULL ? NULL : &finding->answer->mount);
	if (finding->entry == NULL)
		document_add_null(output, "read_only");
	else
		document_add_bool(output, "read_only", finding->entry->is_read_only);
	document_add_text(output, "state", is_mounted && state == NULL ? "serving" : state);
	document_print(output, stdout);
}

/* A job often runs as another user, who may not ask the socket: then the kernel's word is enough. */
static void ask_mount(struct session *session, struct finding *finding)
{
	if (session_open_config(session) != 0 || session_mounts(session) != 0)
		return;
	for (size_t i = 0; i < session->mounts.count; i++) {
		const struct control_mount *mount = &session->mounts.mounts[i];

		if (control_mount_device(mount) == finding->entry->device) {
			finding->answer = mount;
			finding->mount = document_member(mount->status, "mount");
		}
	}
}

static int judge(struct invocation *invocation, const struct finding *finding)
{
	if (finding->entry == NULL) {
		fail(invocation, EXIT_NOT_MOUNTED, "%s is not on a mount of snapcrypt",
		     finding->path);
		advise(invocation, "mount the volume before anything is written here");
	} else if (!finding->is_alive) {
		fail(invocation, EXIT_NOT_MOUNTED, "%s: the mount at %s does not answer",
		     finding->path, finding->entry->mountpoint);
		advise(invocation,
		       "if its process is gone: 'snapcrypt umount --dead %s', then mount again",
		       finding->entry->mountpoint);
	} else {
		if (!invocation->is_json && !invocation->is_quiet)
			printf("%s is on a live mount at %s\n", finding->path,
			       finding->entry->mountpoint);
		return EXIT_OK;
	}
	return EXIT_NOT_MOUNTED;
}

int cmd_check_mounted(struct invocation *invocation)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	struct finding finding = { .path = operand(invocation, 0) };
	struct session session;
	int r = mount_table_read(&table);

	if (r == 0)
		r = mount_table_find(&table, finding.path, &finding.entry);
	if (r < 0 && r != -ENOENT)
		return fail(invocation, EXIT_NOT_MOUNTED, "%s: %s", finding.path, strerror(-r));
	if (finding.entry != NULL && !mount_entry_is_ours(finding.entry))
		finding.entry = NULL;
	finding.is_alive = finding.entry != NULL && mount_entry_is_alive(finding.entry);
	session_init(&session, invocation);
	if (finding.is_alive && invocation->is_json)
		ask_mount(&session, &finding);
	if (invocation->is_json)
		print_json(&finding);
	r = judge(invocation, &finding);
	session_close(&session);
	return r;
}
