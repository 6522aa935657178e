/* SPDX-License-Identifier: Apache-2.0 */
/* The command table, and the first steps of every start. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/mount_helper.h"
#include "fs/cmd/options.h"
#include "fs/cmd/report.h"

static const struct option_spec no_options[] = { { NULL, 0, NULL, NULL } };

const struct command commands[] = {
	{ "init", "VOLUME [options]", "prepare a backing directory",
	  "snapcrypt init /srv/backups.enc", options_init, 1, 1, cmd_init },
	{ "mount", "VOLUME [MOUNTPOINT] [options]", "mount a volume; returns when it serves",
	  "snapcrypt mount /srv/backups.enc /mnt/backups\n"
	  "snapcrypt mount /srv/backups.enc /mnt/look -o ro,snapshot=2026-11-24",
	  options_mount, 1, 2, cmd_mount },
	{ "umount", "MOUNTPOINT [options]", "unmount; returns when everything is written",
	  "snapcrypt umount /mnt/backups --wait 60s", options_umount, 1, 1, cmd_umount },
	{ "status", "[VOLUME]", "state of mounts, keys and snapshots", "snapcrypt status",
	  no_options, 0, 1, cmd_status },
	{ "check-mounted", "PATH", "exit 0 only if PATH is on a live mount",
	  "snapcrypt check-mounted /mnt/backups || exit 1", no_options, 1, 1, cmd_check_mounted },
	{ "snapshot list", "VOLUME [SNAPSHOT...] [options]",
	  "list snapshots and the keys they need",
	  "snapcrypt snapshot list /mnt/backups --since 2026-11-01", options_snapshot_list, 1,
	  OPERANDS_ANY, cmd_snapshot_list },
	{ "snapshots", "VOLUME [SNAPSHOT...] [options]", "the same as snapshot list",
	  "snapcrypt snapshots /mnt/backups", options_snapshot_list, 1, OPERANDS_ANY,
	  cmd_snapshot_list },
	{ "snapshot show", "VOLUME SNAPSHOT...", "everything known about snapshots",
	  "snapcrypt snapshot show /mnt/backups latest-any", no_options, 2, OPERANDS_ANY,
	  cmd_snapshot_show },
	{ "snapshot create", "VOLUME NAME [options]", "make a snapshot, as mkdir in the mount does",
	  "snapcrypt snapshot create /mnt/backups 2026-11-24\n"
	  "snapcrypt snapshot create /mnt/backups before-upgrade --keep 30d",
	  options_snapshot_create, 2, 2, cmd_snapshot_create },
	{ "snapshot verify", "VOLUME [SNAPSHOT...] [options]",
	  "check records, content and manifests",
	  "snapcrypt snapshot verify /srv/backups.enc latest", options_verify, 1, OPERANDS_ANY,
	  cmd_verify },
	{ "verify", "VOLUME [SNAPSHOT...] [options]", "the same as snapshot verify",
	  "snapcrypt verify /srv/backups.enc --sample 5%", options_verify, 1, OPERANDS_ANY,
	  cmd_verify },
	{ "snapshot seal", "VOLUME SNAPSHOT... [options]",
	  "finish snapshots: write manifest and seal record, make them immutable",
	  "snapcrypt snapshot seal /mnt/backups 2026-11-24", options_snapshot_seal, 2, OPERANDS_ANY,
	  cmd_snapshot_seal },
	{ "snapshot adopt", "VOLUME SNAPSHOT... [options]",
	  "serve foreign directories as plaintext snapshots, for reading",
	  "snapcrypt snapshot adopt /mnt/backups 2019-archive --yes", options_snapshot_adopt, 2,
	  OPERANDS_ANY, cmd_snapshot_adopt },
	{ "snapshot tag", "VOLUME SNAPSHOT... [options]",
	  "add and remove tags, which retention can heed",
	  "snapcrypt snapshot tag /mnt/backups latest --set monthly --set database=orders",
	  options_snapshot_tag, 2, OPERANDS_ANY, cmd_snapshot_tag },
	{ "snapshot hold", "VOLUME SNAPSHOT... --name HOLD [options]",
	  "nobody deletes them while there is a hold",
	  "snapcrypt snapshot hold /mnt/backups 2026-11-24 --name audit --reason 'case 4711'",
	  options_snapshot_hold, 2, OPERANDS_ANY, cmd_snapshot_hold },
	{ "snapshot release", "VOLUME SNAPSHOT... --name HOLD", "end a hold",
	  "snapcrypt snapshot release /mnt/backups 2026-11-24 --name audit",
	  options_snapshot_release, 2, OPERANDS_ANY, cmd_snapshot_release },
	{ "snapshot delete", "VOLUME SNAPSHOT... [options]",
	  "delete snapshots, and the data keys that nothing else needs",
	  "snapcrypt snapshot delete /mnt/backups 2026-11-24 --dry-run", options_snapshot_delete, 2,
	  OPERANDS_ANY, cmd_snapshot_delete },
	{ "prune", "VOLUME [options]", "delete what the rules of retention do not keep",
	  "snapcrypt prune /mnt/backups --dry-run", options_prune, 1, 1, cmd_prune },
	{ "policy show", "VOLUME",
	  "rules of retention: in the volume, in the configuration, and whether they differ",
	  "snapcrypt policy show /mnt/backups", no_options, 1, 1, cmd_policy_show },
	{ "policy set", "VOLUME [options]",
	  "put the rules of the configuration into the volume, signed",
	  "snapcrypt policy set /mnt/backups", options_policy_set, 1, 1, cmd_policy_set },
	{ "policy lock", "VOLUME [options]", "keep the rules from becoming weaker",
	  "snapcrypt policy lock /mnt/backups --mode compliance --min 30d", options_policy_lock, 1,
	  1, cmd_policy_lock },
	{ "restore", "VOLUME SNAPSHOT DEST [options]",
	  "restore a snapshot into a directory, not through the mount",
	  "snapcrypt restore /srv/backups.enc latest /data", options_restore, 3, 3, cmd_restore },
	{ "export", "VOLUME SNAPSHOT DEST [options]",
	  "write a snapshot out: decrypted, or as a volume under another party's key",
	  "snapcrypt export /srv/backups.enc latest /mnt/disk/2026-11-24\n"
	  "snapcrypt export /srv/backups.enc latest - | ssh host 'tar --xattrs --acls -xC /data'\n"
	  "snapcrypt export /srv/backups.enc latest /mnt/disk/theirs "
	  "--to-key vault://their.host:8200/transit/exchange",
	  options_export, 3, 3, cmd_export },
	{ "keys list", "[VOLUME] [options]", "keys in use or configured",
	  "snapcrypt keys list /mnt/backups", options_keys_list, 0, 1, cmd_keys_list },
	{ "keys show", "KEYID", "what the key service says about one key",
	  "snapcrypt keys show keyring:///var/lib/snapcrypt/keyring#default", no_options, 1, 1,
	  cmd_keys_show },
	{ "keys test", "KEYID|URI [options]",
	  "may this host use the key? running mounts probe at once",
	  "snapcrypt keys test keyring:///var/lib/snapcrypt/keyring#default", options_keys_test, 1,
	  1, cmd_keys_test },
	{ "keys usage", "KEYID|URI [options]", "what needs a key, on all volumes of the catalogue",
	  "snapcrypt keys usage vault:db1:8200/transit/backup", options_keys_usage, 1, 1,
	  cmd_keys_usage },
	{ "keys check", "KEYID|URI [options]",
	  "may the key be deleted? 0: nothing needs it; 6: needed; 7: it cannot be known",
	  "snapcrypt keys check keyring:///var/lib/snapcrypt/keyring#2026 --scope host --live",
	  options_keys_check, 1, 1, cmd_keys_check },
	{ "keys set-default", "VOLUME URI", "the key of new snapshots",
	  "snapcrypt keys set-default /mnt/backups keyring:///var/lib/snapcrypt/keyring#2027",
	  no_options, 2, 2, cmd_keys_set_default },
	{ "keys add", "VOLUME... URI [options]", "add a slot under another key",
	  "snapcrypt keys add /mnt/backups awskms:///arn:aws:kms:eu-west-1:1:key/k\n"
	  "snapcrypt keys add /mnt/backups recovery:///etc/snapcrypt/recovery.pem",
	  options_keys_add, 2, OPERANDS_ANY, cmd_keys_add },
	{ "keys remove", "VOLUME... KEYID [options]",
	  "remove the slots under a key; never the primary",
	  "snapcrypt keys remove /mnt/backups keyring:8f14e45f-ceea-467f-a0e6-8a2d1c9b3f52#old",
	  options_keys_remove, 2, OPERANDS_ANY, cmd_keys_remove },
	{ "keys rewrap", "VOLUME... --to URI [options]",
	  "wrap data keys under another key, without touching data",
	  "snapcrypt keys rewrap /mnt/backups --to keyring:///var/lib/snapcrypt/keyring#2027",
	  options_keys_rewrap, 1, OPERANDS_ANY, cmd_keys_rewrap },
	{ "keys trust", "VOLUME SNAPSHOT [options]",
	  "allow writing under data keys that another host made",
	  "snapcrypt keys trust /mnt/backups 2026-11-24", options_yes, 2, 2, cmd_keys_trust },
	{ "keyring init", "PATH [options]", "create an embedded keyring with one key",
	  "snapcrypt keyring init /etc/snapcrypt/keyring", options_keyring_init, 1, 1,
	  cmd_keyring_init },
	{ "keyring list", "PATH", "keys with id, Encryption Key ID and state",
	  "snapcrypt keyring list /var/lib/snapcrypt/keyring", no_options, 1, 1, cmd_keyring_list },
	{ "keyring add", "PATH ID", "add a key",
	  "snapcrypt keyring add /var/lib/snapcrypt/keyring 2027", no_options, 2, 2,
	  cmd_keyring_add },
	{ "keyring enable", "PATH ID", "enable a key",
	  "snapcrypt keyring enable /var/lib/snapcrypt/keyring 2027", no_options, 2, 2,
	  cmd_keyring_enable },
	{ "keyring disable", "PATH ID", "disable a key: snapshots under it cannot be read",
	  "snapcrypt keyring disable /var/lib/snapcrypt/keyring 2027", no_options, 2, 2,
	  cmd_keyring_disable },
	{ "keyring delete", "PATH ID [options]",
	  "delete a key: snapshots under it are lost for ever",
	  "snapcrypt keyring delete /var/lib/snapcrypt/keyring 2027 --yes", options_keyring_delete,
	  2, 2, cmd_keyring_delete },
	{ "volume show", "VOLUME", "settings, who signed them, and differences",
	  "snapcrypt volume show /srv/backups.enc", no_options, 1, 1, cmd_volume_show },
	{ "volume trust", "VOLUME [options]", "pin the settings as they are now",
	  "snapcrypt volume trust /srv/backups.enc", options_yes, 1, 1, cmd_volume_trust },
	{ "audit show", "[options]", "what this host did with keys",
	  "snapcrypt audit show --since 2026-11-24 --operation unwrap", options_audit_show, 0, 0,
	  cmd_audit_show },
	{ "audit verify", "[options]", "check the chain of the audit log", "snapcrypt audit verify",
	  options_audit_verify, 0, 0, cmd_audit_verify },
	{ "catalog register", "VOLUME", "enter a volume into the catalogue, and scan it",
	  "snapcrypt catalog register /mnt/offsite/backups.enc", no_options, 1, 1,
	  cmd_catalog_register },
	{ "catalog sync", "[VOLUME...]", "scan volumes of this host into the catalogue",
	  "snapcrypt catalog sync", no_options, 0, OPERANDS_ANY, cmd_catalog_sync },
	{ "catalog rebuild", "[options]", "make the catalogue anew from the volumes",
	  "snapcrypt catalog rebuild --yes", options_catalog_rebuild, 0, 0, cmd_catalog_rebuild },
	{ "catalog list-volumes", "", "volumes with host, path, and age of their data",
	  "snapcrypt catalog list-volumes", no_options, 0, 0, cmd_catalog_list_volumes },
	{ "catalog forget", "VOLUME [options]", "take a volume, or one copy of it, out",
	  "snapcrypt catalog forget /mnt/offsite/backups.enc --yes", options_catalog_forget, 1, 1,
	  cmd_catalog_forget },
	{ "config show", "[options]", "settings in force", "snapcrypt config show --origin",
	  options_config_show, 0, 0, cmd_config_show },
	{ "config check", "", "read the configuration, report what is wrong",
	  "snapcrypt config check --config ./snapcrypt.conf", no_options, 0, 0, cmd_config_check },
	{ "repair", "VOLUME [SNAPSHOT...] [options]",
	  "put right what verify finds, as far as nothing has to be invented",
	  "snapcrypt repair /srv/backups.enc --dry-run", options_repair, 1, OPERANDS_ANY,
	  cmd_repair },
	{ "version", "", "version, format, providers and libraries", "snapcrypt version",
	  no_options, 0, 0, cmd_version },
	{ "completion", "bash|zsh|fish", "print a completion script",
	  "snapcrypt completion bash >/etc/bash_completion.d/snapcrypt", no_options, 1, 1,
	  cmd_completion },
	{ NULL, NULL, NULL, NULL, NULL, 0, 0, NULL },
};

/* A core dump of a process with open keys would hold them. */
static int forbid_core_dumps(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -errno;
	return 0;
}

/* Started without one of the standard streams, the next file opened would take its place. */
static int open_standard_streams(void)
{
	int fd = 0;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/* Output that did not reach its place is a failure, or a listing cut by a full disk looks whole. */
static int finish_output(struct invocation *invocation, int exit_code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	if (exit_code != EXIT_OK)
		return exit_code;
	return fail(invocation, EXIT_FAILED, "standard output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	static struct invocation invocation;
	int exit_code = 0;

	if (forbid_core_dumps() < 0 || open_standard_streams() < 0) {
		fprintf(stderr, "snapcrypt: start: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	setlocale(LC_CTYPE, "");
	exit_code = mount_helper_parse(&invocation, argc, argv);
	if (exit_code == MOUNT_HELPER_NONE)
		exit_code = options_parse(&invocation, commands, argc, argv);
	if (exit_code == 0)
		exit_code = invocation.command->run(&invocation);
	else if (exit_code < 0)
		exit_code = EXIT_OK;
	exit_code = finish_output(&invocation, exit_code);
	if (exit_code != EXIT_OK)
		report_failure(&invocation, exit_code);
	return exit_code;
}
