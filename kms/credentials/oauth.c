/* SPDX-License-Identifier: Apache-2.0 */
/* Token endpoints of OAuth 2.0. */
#include "kms/credentials/oauth.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "kms/json_reader.h"
#include "kms/retry.h"

/* RFC 6749 lets a server leave it out; a token that is kept for too long is refused and replaced. */
#define LIFE_NOT_SAID_S 300

/* kms/PROTOCOL.md, "Logins". */
static const struct outcome outcomes[] = {
	{ .phrase = "AADSTS7000222",
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "the client secret has expired; make a new one and replace the file" },
	{ .phrase = "AADSTS7000215",
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "the client secret is wrong: give its value, not its id" },
	{ .word = "temporarily_unavailable",
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 408,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 429,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .word = "invalid_grant",
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check the clock of this host, and whether the account or its key still "
		    "exists" },
	{ .status = 400,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check the credentials of this host" },
	{ .status = 401,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check the credentials of this host" },
	{ .status = 403,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "this host may not act as this account" },
	{ .status = 404,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "no such identity here: give credentials, or attach an identity to this "
		    "machine" },
	{ 0 },
};

/* A token of one byte or more that can stand in a header. */
static bool is_token(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (!len || len > TOKEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f)
			return false;
	return true;
}

int oauth_decode(struct bytes body, struct token *ret_token)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct token token = { .lifetime_s = LIFE_NOT_SAID_S };
	const char *text;
	int64_t end_s;
	int r;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	text = json_reader_text(root, "access_token");
	if (!is_token(text))
		return -EBADMSG;
	if (json_reader_has(root, "expires_in")) {
		if (!json_reader_number(root, "expires_in", &token.lifetime_s))
			return -EBADMSG;
	} else if (json_reader_has(root, "expires_on")) {
		if (!json_reader_number(root, "expires_on", &end_s) ||
		    __builtin_sub_overflow(end_s, (int64_t)time(NULL), &token.lifetime_s))
			return -EBADMSG;
	}
	if (token.lifetime_s < 1)
		return -EBADMSG;
	(void)json_reader_number(root, "refresh_in", &token.renew_after_s);
	r = secret_copy(bytes_from_text(text), &token.secret);
	if (r < 0)
		return r;
	*ret_token = token;
	return 0;
}

int oauth_fail(const struct request_name *name, const struct http_reply *reply,
	       struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct refusal refusal = { .status = reply->status };

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &root) ==
	    0) {
		refusal.code = json_reader_text(root, "error");
		if (!refusal.code)
			refusal.code = json_reader_text(root, "error.status");
		refusal.message = json_reader_text(root, "error_description");
		if (!refusal.message)
			refusal.message = json_reader_text(root, "error.message");
	}
	return outcome_fail(outcomes, name, &refusal, reply, reterr);
}

int oauth_request(struct http *http, const struct kms_call *call, const struct request_name *name,
		  const struct http_request *request, struct token *ret_token,
		  struct kms_error *reterr)
{
	struct http_reply reply = { 0 };
	int r;

	r = http_exchange(http, call, request, &reply, reterr);
	if (r == 0 && reply.status != 200)
		r = oauth_fail(name, &reply, reterr);
	else if (r == 0)
		r = oauth_decode((struct bytes){ (const uint8_t *)reply.body, reply.size },
				 ret_token);
	if (r == -EBADMSG)
		r = outcome_malformed(name, &reply, "no access_token with a lifetime", reterr);
	else if (r == -ENOMEM)
		r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	http_reply_free(&reply);
	return r;
}

int oauth_post(struct http *http, const struct kms_call *call, const struct request_name *name,
	       const char *url, const struct text *form, struct token *ret_token,
	       struct kms_error *reterr)
{
	static const struct http_header headers[] = {
		{ "Content-Type", "application/x-www-form-urlencoded" },
		{ "Accept", "application/json" },
	};
	const struct http_request request = { .method = "POST",
					      .url = url,
					      .headers = headers,
					      .header_count = ARRAY_SIZE(headers),
					      .body = text_bytes(form) };

	if (text_check(form) < 0)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	return oauth_request(http, call, name, &request, ret_token, reterr);
}

struct kms_call oauth_shorten(const struct kms_call *call, uint32_t timeout_ms)
{
	struct kms_call shorter = *call;
	int64_t end_ms = retry_now_ms() + timeout_ms;

	if (shorter.deadline_ms > end_ms)
		shorter.deadline_ms = end_ms;
	return shorter;
}
