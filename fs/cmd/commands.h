/* SPDX-License-Identifier: Apache-2.0 */
/* Every command and its options: what the rows of the table in fs/main.c point at. */
#ifndef SNAPCRYPT_FS_CMD_COMMANDS_H
#define SNAPCRYPT_FS_CMD_COMMANDS_H

#include "fs/cmd/command.h"

int cmd_init(struct invocation *invocation);
int cmd_mount(struct invocation *invocation);
int cmd_umount(struct invocation *invocation);
int cmd_status(struct invocation *invocation);
int cmd_check_mounted(struct invocation *invocation);
int cmd_snapshot_list(struct invocation *invocation);
int cmd_snapshot_show(struct invocation *invocation);
int cmd_snapshot_create(struct invocation *invocation);
int cmd_verify(struct invocation *invocation);
int cmd_snapshot_seal(struct invocation *invocation);
int cmd_snapshot_adopt(struct invocation *invocation);
int cmd_restore(struct invocation *invocation);
int cmd_export(struct invocation *invocation);
int cmd_snapshot_tag(struct invocation *invocation);
int cmd_snapshot_hold(struct invocation *invocation);
int cmd_snapshot_release(struct invocation *invocation);
int cmd_snapshot_delete(struct invocation *invocation);
int cmd_prune(struct invocation *invocation);
int cmd_policy_show(struct invocation *invocation);
int cmd_policy_set(struct invocation *invocation);
int cmd_policy_lock(struct invocation *invocation);
int cmd_keys_list(struct invocation *invocation);
int cmd_keys_show(struct invocation *invocation);
int cmd_keys_test(struct invocation *invocation);
int cmd_keys_usage(struct invocation *invocation);
int cmd_keys_check(struct invocation *invocation);
int cmd_keys_set_default(struct invocation *invocation);
int cmd_keys_add(struct invocation *invocation);
int cmd_keys_remove(struct invocation *invocation);
int cmd_keys_rewrap(struct invocation *invocation);
int cmd_keys_trust(struct invocation *invocation);
int cmd_keyring_init(struct invocation *invocation);
int cmd_keyring_list(struct invocation *invocation);
int cmd_keyring_add(struct invocation *invocation);
int cmd_keyring_enable(struct invocation *invocation);
int cmd_keyring_disable(struct invocation *invocation);
int cmd_keyring_delete(struct invocation *invocation);
int cmd_volume_show(struct invocation *invocation);
int cmd_volume_trust(struct invocation *invocation);
int cmd_audit_show(struct invocation *invocation);
int cmd_audit_verify(struct invocation *invocation);
int cmd_catalog_register(struct invocation *invocation);
int cmd_catalog_sync(struct invocation *invocation);
int cmd_catalog_rebuild(struct invocation *invocation);
int cmd_catalog_list_volumes(struct invocation *invocation);
int cmd_catalog_forget(struct invocation *invocation);
int cmd_config_show(struct invocation *invocation);
int cmd_config_check(struct invocation *invocation);
int cmd_repair(struct invocation *invocation);
int cmd_version(struct invocation *invocation);
int cmd_completion(struct invocation *invocation);

extern const struct option_spec options_init[];
extern const struct option_spec options_mount[];
extern const struct option_spec options_umount[];
extern const struct option_spec options_snapshot_list[];
extern const struct option_spec options_snapshot_create[];
extern const struct option_spec options_verify[];
extern const struct option_spec options_snapshot_seal[];
extern const struct option_spec options_snapshot_adopt[];
extern const struct option_spec options_restore[];
extern const struct option_spec options_export[];
extern const struct option_spec options_snapshot_tag[];
extern const struct option_spec options_snapshot_hold[];
extern const struct option_spec options_snapshot_release[];
extern const struct option_spec options_snapshot_delete[];
extern const struct option_spec options_prune[];
extern const struct option_spec options_policy_set[];
extern const struct option_spec options_policy_lock[];
extern const struct option_spec options_keys_list[];
extern const struct option_spec options_keys_test[];
extern const struct option_spec options_keys_test[];
extern const struct option_spec options_keys_add[];
extern const struct option_spec options_keys_remove[];
extern const struct option_spec options_keys_rewrap[];
extern const struct option_spec options_keys_usage[];
extern const struct option_spec options_keys_check[];
extern const struct option_spec options_keyring_init[];
extern const struct option_spec options_keyring_delete[];
extern const struct option_spec options_audit_show[];
extern const struct option_spec options_audit_verify[];
extern const struct option_spec options_catalog_rebuild[];
extern const struct option_spec options_catalog_forget[];
extern const struct option_spec options_config_show[];
extern const struct option_spec options_repair[];
extern const struct option_spec options_yes[];

/* Every command that this version has; the last row has no name.  In fs/main.c. */
extern const struct command commands[];

#endif
