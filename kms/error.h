/* SPDX-License-Identifier: Apache-2.0 */
/* What a key service answered, for humans and for the state machine. */
#ifndef SNAPCRYPT_KMS_ERROR_H
#define SNAPCRYPT_KMS_ERROR_H

#include <stdbool.h>
#include <stdint.h>

/* States of a key, meta/NAMES.md.  KEY_STATE_UNKNOWN: an answer that says nothing about the key. */
enum key_state {
	KEY_STATE_UNKNOWN,
	KEY_STATE_ENABLED,
	KEY_STATE_DISABLED,
	KEY_STATE_PENDING_DELETION,
	KEY_STATE_DELETED,
	KEY_STATE_DENIED,
	KEY_STATE_UNREACHABLE,
	KEY_STATE_CREDENTIALS_EXPIRED,
};

/*
 * Filled by whoever fails, in the caller's buffer.  Never holds a secret, a token or a signed header.
 *
 *   code        the negative errno that the function returned (style: one meaning per code)
 *   state       what the answer says about the key
 *   is_retryable, retry_after_ms   for the one place that retries (kms/retry.c); providers never loop
 *   text        one line: what failed, on which key, why
 *   advice      what to do next, a sentence fragment; may be empty
 */
struct kms_error {
	int code;
	enum key_state state;
	bool is_retryable;
	uint32_t retry_after_ms;
	int http_status;
	char operation[32];
	char service_code[96];
	char request_id[96];
	char text[640];
	char advice[320];
};

/* Name of a state as in meta/NAMES.md ("enabled", "pending-deletion", ...); "unknown" for none. */
const char *key_state_name(enum key_state state);

/* The errno that a state means in a mount: -EKEYREVOKED, -ENOKEY, -EACCES, -EKEYEXPIRED, -EHOSTUNREACH; 0 if enabled. */
int key_state_errno(enum key_state state);

/* Is this an answer about the key itself, that revokes: disabled, pending deletion, deleted, denied. */
bool key_state_is_definite_no(enum key_state state);

/* Fill ERROR (may be NULL) and return CODE, so that callers can write: return kms_fail(reterr, ...). */
__attribute__((format(printf, 4, 5))) int kms_fail(struct kms_error *reterr, int code,
						   enum key_state state, const char *format, ...);

/* Add what to do next. */
__attribute__((format(printf, 2, 3))) void kms_advise(struct kms_error *reterr, const char *format,
						      ...);

#endif
