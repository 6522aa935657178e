/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount or a command needs before it can open a volume: configuration, trust, the KEKs that
 * may be contacted, and the backing directory.
 *
 * Opened in steps, because a daemon forks between the first and the last: access_open() reads files
 * only; access_open_kms() locks secret memory and must come after the last fork and before the
 * first thread.
 */
#ifndef SNAPCRYPT_FS_ACCESS_H
#define SNAPCRYPT_FS_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/config/config.h"
#include "fs/store/store.h"
#include "fs/store/trust.h"
#include "kms/audit.h"
#include "kms/kms.h"
#include "meta/macros.h"

/* An option of the command line that stands for a configuration key. */
struct access_setting {
	const char *key;
	const char *value;
};

/*
 * All borrowed.
 *
 *   config_file    --config, or NULL
 *   settings       over the environment and the files
 *   keys           --key URI: KEKs that may be contacted
 *   recovery_key   --recovery-key FILE, or NULL
 *   command        for the audit log: "mount", "keys rewrap"
 */
struct access_options {
	const char *config_file;
	const struct access_setting *settings;
	size_t setting_count;
	const char *const *keys;
	size_t key_count;
	const char *recovery_key;
	const char *command;
};

/*
 * Members are NULL or -1 until the step that sets them.
 *
 *   volume_name   NAME of the [volume] section in use, or NULL; the configuration's
 *   backing       absolute path
 */
struct access {
	struct access_options options;
	struct config *config;
	struct trust *trust;
	struct audit *audit;
	struct kms *kms;
	const char *volume_name;
	char *backing;
	int backing_fd;
};

void access_init(struct access *access);
void access_close(struct access *access);

/* Read the configuration.  -EINVAL or -ENOENT, exit 2. */
MUST_CHECK int access_open_config(struct access *access, const struct access_options *options,
				  struct store_error *reterr);

/* Open the trust for the volume (access->volume_name) that has been chosen, or for none. */
MUST_CHECK int access_open_trust(struct access *access, struct store_error *reterr);

/*
 * Choose the volume whose backing directory is PATH: access->backing, backing_fd and volume_name;
 * then open the trust.
 */
MUST_CHECK int access_open_backing(struct access *access, const char *path,
				   struct store_error *reterr);

/* What names the audit log, from the configuration.  -ENOMEM.  Free PATH when done. */
MUST_CHECK int access_audit_options(const struct config *config, struct audit_options *ret_options,
				    char **ret_path, struct store_error *reterr);

/* The audit log; no file is touched.  access_open_kms() does it, too. */
MUST_CHECK int access_open_audit(struct access *access, struct store_error *reterr);

/*
 * Lock secret memory and allow KEKs: those of the [key] sections, of `key` and `alternate_key`, of
 * --key, those once given on this host, and the keyring.
 */
MUST_CHECK int access_open_kms(struct access *access, struct store_error *reterr);

/* May the KEK at URI protect new data?  -EPERM, exit 5: require_cmk refuses the embedded keyring. */
MUST_CHECK int access_check_key(const struct config *config, const char *volume_name,
				const char *uri, struct store_error *reterr);

/*
 * Call USE with the KEK at URI and the settings of its [key] section if there is one; returns what
 * USE returns.
 */
int access_with_key(const struct config *config, const char *uri,
		    int (*use)(void *arg, const struct kms_config *kms_config,
			       struct kms_error *reterr),
		    void *arg, struct kms_error *reterr);

/* Allow one KEK more, with the settings of its [key] section if there is one. */
MUST_CHECK int access_add_key(const struct config *config, struct kms *kms, const char *uri,
			      struct kms_error *reterr);

/*
 * What the configuration says about the chosen volume: RECORD and which FIELDS of it are set.  After
 * access_open_kms().  volume_record_free() the record.
 */
MUST_CHECK int access_expected(struct access *access, struct volume_record *ret_record,
			       unsigned *ret_fields, struct store_error *reterr);

/*
 * Open the volume at access->backing with what the configuration says about it, and allow the
 * default KEK that is pinned for it.
 *
 *   options   access, can_block, spare_keys, report and its argument, replaces_lease; the rest is
 *             filled here
 */
MUST_CHECK int access_open_store(struct access *access, const struct store_options *options,
				 struct store **ret_store, struct store_error *reterr);

/* Add the public recovery key in a PEM file to the settings of a volume. */
MUST_CHECK int access_add_recovery_key(const struct config *config, struct kms *kms,
				       const char *path, struct volume_record *record,
				       struct store_error *reterr);

/*
 * Add the KEKs of `alternate_key` to the settings of a volume.  IS_TESTED: try each first, and remember it on this host.
 */
MUST_CHECK int access_add_alternate_keys(struct access *access, bool is_tested,
					 struct volume_record *record, struct store_error *reterr);

/* What kms/ reported, as the store's error: code, exit code, text and advice.  Returns ERROR. */
int access_key_error(int error, const struct kms_error *key_error, struct store_error *reterr);

#endif
