/* SPDX-License-Identifier: Apache-2.0 */
/* Token endpoints of OAuth 2.0 (RFC 6749, RFC 7523, RFC 8693), as Entra ID, Google and metadata services speak it. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_OAUTH_H
#define SNAPCRYPT_KMS_CREDENTIALS_OAUTH_H

#include "kms/credentials/token.h"
#include "kms/http.h"
#include "kms/outcome.h"
#include "kms/text.h"
#include "meta/macros.h"

/* access_token with expires_in, expires_on and refresh_in, as numbers or as text.  -EBADMSG. */
MUST_CHECK int oauth_decode(struct bytes body, struct token *ret_token);

/*
 * One exchange with a token endpoint.  A refusal means that our credentials are not good, whatever its status below 500: kms/PROTOCOL.md,
 * "Logins".
 */
MUST_CHECK int oauth_request(struct http *http, const struct kms_call *call,
			     const struct request_name *name, const struct http_request *request,
			     struct token *ret_token, struct kms_error *reterr);

/* The same for a form that is posted. */
MUST_CHECK int oauth_post(struct http *http, const struct kms_call *call,
			  const struct request_name *name, const char *url, const struct text *form,
			  struct token *ret_token, struct kms_error *reterr);

/* Fail as a login endpoint that answered REPLY. */
MUST_CHECK int oauth_fail(const struct request_name *name, const struct http_reply *reply,
			  struct kms_error *reterr);

/* CALL with at most TIMEOUT_MS left: metadata services answer at once or are not there. */
struct kms_call oauth_shorten(const struct kms_call *call, uint32_t timeout_ms);

#endif
