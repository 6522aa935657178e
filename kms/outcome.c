/* SPDX-License-Identifier: Apache-2.0 */
/* What the refusals of an HTTP key service mean. */
#include "kms/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SHOWN_MAX 300

/* What every service means by a status, where its own table is silent. */
static const struct outcome by_status[] = {
	{ .status = 401,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check the credentials of this host" },
	{ .status = 403,
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice = "grant this host the use of KEY" },
	{ .status = 408,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 429,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "the service limits the rate of requests; raise its quota" },
	{ 0 },
};

static const struct outcome server_fault = { .errno_code = -EHOSTUNREACH,
					     .state = KEY_STATE_UNREACHABLE,
					     .is_retryable = true };
static const struct outcome redirect = { .errno_code = -EPROTO,
					 .state = KEY_STATE_UNREACHABLE,
					 .advice =
						 "redirects are not followed; name the address of "
						 "the service itself" };
static const struct outcome unexpected = { .errno_code = -EPROTO,
					   .state = KEY_STATE_UNREACHABLE,
					   .is_retryable = true };

static bool word_fits(const char *word, const struct refusal *refusal)
{
	return !word || (refusal->code && !strcmp(word, refusal->code)) ||
	       (refusal->detail && !strcmp(word, refusal->detail));
}

static bool phrase_fits(const char *phrase, const struct refusal *refusal)
{
	return !phrase || (refusal->message && strcasestr(refusal->message, phrase));
}

const struct outcome *outcome_find(const struct outcome *table, const struct refusal *refusal)
{
	for (; table->errno_code; table++)
		if ((!table->status || table->status == refusal->status) &&
		    word_fits(table->word, refusal) && phrase_fits(table->phrase, refusal))
			return table;
	return NULL;
}

static const struct outcome *outcome_of(const struct outcome *table, const struct refusal *refusal)
{
	const struct outcome *found = outcome_find(table, refusal);

	if (!found)
		found = outcome_find(by_status, refusal);
	if (found)
		return found;
	if (refusal->status >= 500)
		return &server_fault;
	return refusal->status >= 300 && refusal->status < 400 ? &redirect : &unexpected;
}

/* The service's words on one line: control characters would forge lines of a log. */
static void copy_words(const char *words, char *shown, size_t size)
{
	size_t used = 0;

	for (const char *c = words; *c && used < size - 1; c++)
		shown[used++] = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
	shown[used] = 0;
}

static void advise(const char *advice, const char *key, struct kms_error *reterr)
{
	const char *place = strstr(advice, "KEY");

	/* A word of capitals that only begins so is not the key. */
	if (!place || (place[3] >= 'A' && place[3] <= 'Z'))
		kms_advise(reterr, "%s", advice);
	else
		kms_advise(reterr, "%.*s%s%s", (int)(place - advice), advice, key, place + 3);
}

static void add_reply(const struct http_reply *reply, struct kms_error *reterr)
{
	static const char *const id_headers[] = { "x-ms-request-id", "x-goog-request-id",
						  "x-request-id" };

	reterr->http_status = reply->status;
	reterr->retry_after_ms = http_reply_retry_after_ms(reply);
	for (size_t i = 0; i < ARRAY_SIZE(id_headers); i++)
		if (http_reply_header(reply, id_headers[i], reterr->request_id,
				      sizeof(reterr->request_id)))
			return;
}

int outcome_fail(const struct outcome *table, const struct request_name *name,
		 const struct refusal *refusal, const struct http_reply *reply,
		 struct kms_error *reterr)
{
	const struct outcome *outcome = outcome_of(table, refusal);
	const char *given_code = refusal->detail ? refusal->detail : refusal->code;
	char message[MESSAGE_SHOWN_MAX], code[sizeof(reterr->service_code)];

	if (!reterr)
		return outcome->errno_code;
	copy_words(refusal->message ? refusal->message : "no reason given", message,
		   sizeof(message));
	copy_words(given_code ? given_code : "", code, sizeof(code));
	(void)kms_fail(reterr, outcome->errno_code, outcome->state, "%s: %s of %s: HTTP %d%s%s: %s",
		       name->service, name->operation, name->key, refusal->status,
		       code[0] ? " " : "", code, message);
	if (outcome->advice)
		advise(outcome->advice, name->key, reterr);
	reterr->is_retryable = outcome->is_retryable;
	(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s", name->operation);
	(void)snprintf(reterr->service_code, sizeof(reterr->service_code), "%s", code);
	reterr->http_status = refusal->status;
	if (reply)
		add_reply(reply, reterr);
	return outcome->errno_code;
}

void outcome_note(const struct request_name *name, const struct http_reply *reply,
		  struct kms_error *reterr)
{
	if (!reterr)
		return;
	(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s", name->operation);
	reterr->request_id[0] = 0;
	add_reply(reply, reterr);
}

int outcome_malformed(const struct request_name *name, const struct http_reply *reply,
		      const char *what, struct kms_error *reterr)
{
	int r = kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
			 "%s: %s of %s: the reply cannot be used: %s", name->service,
			 name->operation, name->key, what);

	if (!reterr)
		return r;
	reterr->is_retryable = true;
	(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s", name->operation);
	if (reply)
		add_reply(reply, reterr);
	return r;
}
