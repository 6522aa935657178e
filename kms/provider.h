/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of one key service.
 *
 * A provider wraps and unwraps slot secrets (meta/FORMAT.md, "Wrapping"); it never sees a DEK.  It makes one attempt
 * per call and classifies the outcome in struct kms_error; deadlines, retries, jitter, circuit breaking, metrics and
 * the audit log live once, above this table.  Adding a service: kms/PROTOCOL.md, last section.
 */
#ifndef SNAPCRYPT_KMS_PROVIDER_H
#define SNAPCRYPT_KMS_PROVIDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"
#include "meta/records/key_record.h"
#include "meta/uuid.h"

#define SLOT_SECRET_SIZE 32

/* A slot secret: SLOT_SECRET_SIZE random bytes in secret memory, kms/crypto/secret.h. */
struct secret;

/* kms/text.h */
struct text;

/* What a host does with a key: makes data keys and opens them, makes them only, or opens them only. */
enum kms_use { KMS_USE_BOTH, KMS_USE_MAKE, KMS_USE_OPEN };

/* One setting of a [key "NAME"] section, or of the environment. */
struct kms_setting {
	const char *name;
	const char *value;
};

/*
 * Where a KEK is and how to reach it.  Everything is borrowed for the duration of open().
 *
 *   uri        as the operator wrote it (meta/NAMES.md, "URI schemes")
 *   section    NAME of the [key "NAME"] section, or NULL
 *   settings   that section's keys, already checked against meta/NAMES.md
 */
struct kms_config {
	const char *uri;
	const char *section;
	const struct kms_setting *settings;
	size_t setting_count;
};

/* Value of a setting, or NULL. */
const char *kms_config_get(const struct kms_config *config, const char *name);

/* One attempt: absolute CLOCK_MONOTONIC deadline, and a flag that another thread may set to give up early. */
struct kms_call {
	int64_t deadline_ms;
	const atomic_bool *is_cancelled;
};

/* What a wrap is bound to.  Goes to the service in clear: ids only, no names. */
struct wrap_context {
	struct uuid volume;
	struct uuid snapshot;
};

/*
 * What a service tells about a KEK.  Times are seconds since the epoch, 0 = not known.
 *
 *   version           the one that new wraps use; a slot under another one is shown as "rewrap recommended"
 *   has_old_version   something that this process unwrapped was under another version
 */
struct kms_key_info {
	enum key_state state;
	char key_id[KEY_ID_SIZE];
	char version[64];
	bool has_old_version;
	int64_t created_s;
	int64_t next_rotation_s;
	int64_t deletion_s;
};

/*
 * wrap, generate, unwrap, describe and probe are called from several threads at once.  On success they may leave operation,
 * http_status and request_id in *reterr, for the audit log.
 *
 *   name       written into slots; never reused for another service
 *   schemes    URI schemes without "://" or ":", NULL-terminated
 *   open       parse the URI and settings; no network.  -EINVAL with a text that says what is wrong
 *   generate   the service draws the secret and wraps it; NULL: the caller draws one and calls wrap
 *   wrap       fills provider, key_id (canonical, with version), key_alias, wrapped, parameters, access of the slot;
 *              the caller has filled the ids and the role
 *   unwrap     -EKEYREJECTED: the blob is not this key's, or the context differs
 *   describe   -ENOTSUP or -EACCES where not allowed: no verdict about the key
 *   probe      is this stored slot still allowed to open?  NULL: the caller unwraps and forgets
 *   owns       would this KEK be asked to unwrap SLOT?  Compares canonical ids and hosts; no network.
 *              A slot that no opened KEK owns is shown, never called
 *   close      accepts what open returned; waits for nothing
 *   notice     what is worth saying about the credentials that were used so far, a constant; NULL, as function or answer: nothing
 *   policy     what the service must grant to this host, in its own language; NULL: it has no policies
 */
struct kms_provider {
	const char *name;
	const char *const *schemes;
	int (*open)(const struct kms_config *config, void **ret_state, struct kms_error *reterr);
	int (*generate)(void *state, const struct kms_call *call,
			const struct wrap_context *context, struct slot *slot,
			struct secret **ret_secret, struct kms_error *reterr);
	int (*wrap)(void *state, const struct kms_call *call, const struct wrap_context *context,
		    const struct secret *secret, struct slot *slot, struct kms_error *reterr);
	int (*unwrap)(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct slot *slot, struct secret **ret_secret,
		      struct kms_error *reterr);
	int (*describe)(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			struct kms_error *reterr);
	int (*probe)(void *state, const struct kms_call *call, const struct wrap_context *context,
		     const struct slot *slot, struct kms_error *reterr);
	bool (*owns)(void *state, const struct slot *slot);
	void (*close)(void *state);
	const char *(*notice)(void *state);
	int (*policy)(const struct kms_config *config, enum kms_use use, struct text *text,
		      struct kms_error *reterr);
};

/* Every provider that is built in, NULL-terminated; one line each in kms/provider.c. */
extern const struct kms_provider *const kms_providers[];

/* The provider for a URI, or NULL. */
const struct kms_provider *kms_provider_for_uri(const char *uri);

/* The provider that wrote a slot, or NULL. */
const struct kms_provider *kms_provider_by_name(const char *name);

#endif
