/* SPDX-License-Identifier: Apache-2.0 */
/* What the refusals of an HTTP key service mean: one table per service, one place that fills struct kms_error from it. */
#ifndef SNAPCRYPT_KMS_OUTCOME_H
#define SNAPCRYPT_KMS_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "kms/error.h"
#include "kms/http.h"

/* A refusal as the service's own decoder read it; `detail` is finer than `code`.  All borrowed; NULL: not said. */
struct refusal {
	int status;
	const char *code;
	const char *detail;
	const char *message;
};

/* What a request was, for messages. */
struct request_name {
	const char *service;   /* "Azure Key Vault" */
	const char *operation; /* "unwrapKey" */
	const char *key;
};

/*
 * One row: the first that fits decides.  0 and NULL fit everything.
 *
 *   word     equals code or detail
 *   phrase   is part of the message, in any case
 *   advice   what to do next; KEY stands for the key
 */
struct outcome {
	int status;
	const char *word;
	const char *phrase;
	int errno_code;
	enum key_state state;
	bool is_retryable;
	const char *advice;
};

/* The row that fits, or NULL.  Tables end with a row whose errno_code is 0. */
const struct outcome *outcome_find(const struct outcome *table, const struct refusal *refusal);

/*
 * Fill *RETERR (may be NULL) from the row that fits, and from REPLY (may be NULL) what it says about waiting.  Where none fits:
 * 429 and 5xx are unreachable and retryable, 401 asks for credentials, 403 is a denial, all else is -EPROTO.
 */
MUST_CHECK int outcome_fail(const struct outcome *table, const struct request_name *name,
			    const struct refusal *refusal, const struct http_reply *reply,
			    struct kms_error *reterr);

/* Leave in *RETERR (may be NULL) what the audit log wants to know of a request that succeeded. */
void outcome_note(const struct request_name *name, const struct http_reply *reply,
		  struct kms_error *reterr);

/* A reply that cannot be read, or that does not fit its request: -EPROTO, worth another attempt. */
MUST_CHECK int outcome_malformed(const struct request_name *name, const struct http_reply *reply,
				 const char *what, struct kms_error *reterr);

#endif
