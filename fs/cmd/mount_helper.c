/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of mount(8) and umount(8).  Their exit codes are those of mount(8), not ours. */
#include "fs/cmd/mount_helper.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/mount_options.h"
#include "fs/cmd/umount.h"

enum mount8_code {
	MOUNT8_OK = 0,
	MOUNT8_USAGE = 1,
	MOUNT8_SYSTEM = 2,
	MOUNT8_INTERRUPTED = 8,
	MOUNT8_FAILED = 32,
};

/* What the flags said; one process has one command line. */
static struct {
	struct mount_request request;
	const char *namespace_name;
	bool is_lazy;
} flags;

static int mount8_code(int exit_code)
{
	if (exit_code == EXIT_OK)
		return MOUNT8_OK;
	if (exit_code == EXIT_USAGE)
		return MOUNT8_USAGE;
	return exit_code > 128 ? MOUNT8_INTERRUPTED : MOUNT8_FAILED;
}

/* -N: a process id or the path of a mount namespace. */
static int enter_namespace(struct invocation *invocation)
{
	const char *name = flags.namespace_name;
	char path[64];
	int fd = -1;
	int r = 0;

	if (name == NULL)
		return 0;
	if (isdigit((unsigned char)name[0])) {
		snprintf(path, sizeof(path), "/proc/%.20s/ns/mnt", name);
		name = path;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS) != 0)
		r = fail(invocation, EXIT_FAILED, "mount namespace %s: %s", flags.namespace_name,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
	return r;
}

static int run_mount(struct invocation *invocation)
{
	int r = enter_namespace(invocation);

	flags.request.outcome = mount8_code;
	flags.request.volume = strdup(operand(invocation, 0));
	flags.request.mountpoint = strdup(operand(invocation, 1));
	if (r == 0 && (flags.request.volume == NULL || flags.request.mountpoint == NULL))
		r = fail(invocation, EXIT_FAILED, "out of memory");
	if (r == 0)
		r = mount_serve(&flags.request, invocation);
	mount_request_free(&flags.request);
	return mount8_code(r);
}

static int run_umount(struct invocation *invocation)
{
	const struct umount_options options = {
		.mountpoint = operand(invocation, 0),
		.is_lazy = flags.is_lazy,
	};
	struct session session;
	int r = enter_namespace(invocation);

	session_init(&session, invocation);
	if (r == 0)
		r = umount_helper_run(&session, &options);
	session_close(&session);
	return mount8_code(r);
}

static const struct command helper_mount = {
	.name = "mount",
	.synopsis = "VOLUME MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]",
	.operand_min = 2,
	.operand_max = 2,
	.run = run_mount,
};

static const struct command helper_umount = {
	.name = "umount",
	.synopsis = "MOUNTPOINT [-flnrv] [-N NAMESPACE] [-t TYPE]",
	.operand_min = 1,
	.operand_max = 1,
	.run = run_umount,
};

static const struct command *find_helper(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash == NULL ? program : slash + 1;

	if (strcmp(name, "mount.snapcrypt") == 0 || strcmp(name, "mount.fuse.snapcrypt") == 0)
		return &helper_mount;
	if (strcmp(name, "umount.snapcrypt") == 0 || strcmp(name, "umount.fuse.snapcrypt") == 0)
		return &helper_umount;
	return NULL;
}

static int fail_usage(struct invocation *invocation, const char *what)
{
	fail(invocation, MOUNT8_USAGE, "%s", what);
	advise(invocation, "usage: %s", invocation->command->synopsis);
	return MOUNT8_USAGE;
}

/* -f, -n, -r and -v mean nothing more here: the kernel keeps the table, and failures are always told. */
static int take_letter(struct invocation *invocation, int letter)
{
	const bool is_mount = invocation->command == &helper_mount;

	switch (letter) {
	case 'f':
		flags.request.is_fake = is_mount;
		return 0;
	case 's':
		flags.request.is_sloppy = true;
		return 0;
	case 'l':
		flags.is_lazy = true;
		return 0;
	case 'v':
		invocation->verbosity++;
		return 0;
	case 'N':
		flags.namespace_name = optarg;
		return 0;
	case 'o':
		return mount8_code(mount_request_add(&flags.request, invocation, optarg));
	case 'n':
	case 'r':
	case 't':
		return 0;
	default:
		return fail_usage(invocation, "unknown option");
	}
}

int mount_helper_parse(struct invocation *invocation, int argc, char **argv)
{
	const char *letters = "sfnvN:o:t:";
	int letter = 0;
	int r = 0;

	invocation->command = argc > 0 ? find_helper(argv[0]) : NULL;
	if (invocation->command == NULL)
		return MOUNT_HELPER_NONE;
	if (invocation->command == &helper_umount)
		letters = "flnrvN:t:";
	opterr = 0;
	while (r == 0 && (letter = getopt(argc, argv, letters)) != -1)
		r = take_letter(invocation, letter);
	if (r != 0)
		return r;
	invocation->operands = argv + optind;
	invocation->operand_count = argc - optind;
	if (invocation->operand_count != invocation->command->operand_min)
		return fail_usage(invocation, invocation->command == &helper_mount
						      ? "a volume and a mount point are needed"
						      : "one mount point is needed");
	return 0;
}
