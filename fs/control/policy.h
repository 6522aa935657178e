/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of retention: from the configuration, and as they are stored in a volume's settings (meta/FORMAT.md, section 9.1). */
#ifndef SNAPCRYPT_FS_CONTROL_POLICY_H
#define SNAPCRYPT_FS_CONTROL_POLICY_H

#include "fs/config/config.h"
#include "fs/document.h"
#include "fs/store/store.h"
#include "meta/policy/retention.h"

#define POLICY_WORDS_MAX 64

/* Zero-initialised, or filled by one of the functions below; policy_free(). */
struct policy {
	struct retention rules; /* keep_tags points to TAGS */
	char *tags[POLICY_WORDS_MAX];
	size_t tag_count;
	char *groups[POLICY_WORDS_MAX]; /* "prefix", "tag:NAME" */
	size_t group_count;
};
void policy_free(struct policy *policy);
void policy_cleanup(struct policy *policy);

/* What the configuration says.  -EINVAL with a message: something that cannot be. */
MUST_CHECK int policy_from_config(const struct config *config, const char *volume_name,
				  struct policy *ret_policy, struct store_error *reterr);
/* Is one of its rules in the configuration? */
bool policy_is_configured(const struct config *config, const char *volume_name);

/* TEXT as stored; NULL: no rules.  -EBADMSG. */
MUST_CHECK int policy_from_text(const char *text, struct policy *ret_policy);

/* As it is stored and shown; document_free() it.  Two policies with the same text are the same. */
struct json_object *policy_document(const struct policy *policy);

/* The same rules, but for a lock of the volume that is stronger than that of the configuration? */
bool policy_is_same(const struct policy *volume, const struct policy *configured);

/* The rules of a volume's settings that count now. */
MUST_CHECK int policy_of_store(struct store *store, struct policy *ret_policy,
			       struct store_error *reterr);

#endif
