/* SPDX-License-Identifier: Apache-2.0 */
/* What AWS KMS says when it refuses.  Table: kms/PROTOCOL.md, "aws". */
#include "kms/providers/aws_error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/json_reader.h"
#include "meta/timestamp.h"

#define MESSAGE_SIZE 256

enum kind { REFUSED, RETRY, CREDENTIALS, STATE };

static const struct {
	const char *name;
	int code;
	enum key_state state;
	enum kind kind;
} table[] = {
	{ "DisabledException", -EKEYREVOKED, KEY_STATE_DISABLED, STATE },
	{ "KMSInvalidStateException", -EKEYREVOKED, KEY_STATE_DISABLED, STATE },
	{ "NotFoundException", -ENOKEY, KEY_STATE_DELETED, REFUSED },
	{ "InvalidCiphertextException", -EKEYREJECTED, KEY_STATE_UNKNOWN, REFUSED },
	{ "IncorrectKeyException", -EKEYREJECTED, KEY_STATE_UNKNOWN, REFUSED },
	{ "AccessDeniedException", -EACCES, KEY_STATE_DENIED, REFUSED },
	{ "AccessDenied", -EACCES, KEY_STATE_DENIED, REFUSED },
	{ "InvalidKeyUsageException", -EINVAL, KEY_STATE_UNKNOWN, REFUSED },
	{ "InvalidGrantTokenException", -EINVAL, KEY_STATE_UNKNOWN, REFUSED },
	{ "InvalidArnException", -EINVAL, KEY_STATE_UNKNOWN, REFUSED },
	{ "UnsupportedOperationException", -EINVAL, KEY_STATE_UNKNOWN, REFUSED },
	{ "ValidationException", -EINVAL, KEY_STATE_UNKNOWN, REFUSED },
	{ "ThrottlingException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "Throttling", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "ThrottledException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "RequestThrottled", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "RequestThrottledException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "TooManyRequestsException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "RequestLimitExceeded", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "LimitExceededException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "SlowDown", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "KMSInternalException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "DependencyTimeoutException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "KeyUnavailableException", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "InternalFailure", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "ServiceUnavailable", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, RETRY },
	{ "ExpiredTokenException", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "ExpiredToken", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "UnrecognizedClientException", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "InvalidClientTokenId", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "InvalidSignatureException", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "SignatureDoesNotMatch", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "IncompleteSignature", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "IncompleteSignatureException", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
	  CREDENTIALS },
	{ "MissingAuthenticationToken", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
	{ "MissingAuthenticationTokenException", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
	  CREDENTIALS },
	{ "RequestExpired", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, CREDENTIALS },
};

/* Words of KeyState. */
static const struct {
	const char *word;
	enum key_state state;
} key_states[] = {
	{ "Enabled", KEY_STATE_ENABLED },
	/* A multi-Region key whose properties change; it encrypts and decrypts meanwhile. */
	{ "Updating", KEY_STATE_ENABLED },
	{ "Disabled", KEY_STATE_DISABLED },
	{ "PendingDeletion", KEY_STATE_PENDING_DELETION },
	{ "PendingReplicaDeletion", KEY_STATE_PENDING_DELETION },
	/* Its imported material is gone. */
	{ "PendingImport", KEY_STATE_DELETED },
	/* Its custom key store is not connected. */
	{ "Unavailable", KEY_STATE_UNREACHABLE },
	{ "Creating", KEY_STATE_UNREACHABLE },
};

enum key_state aws_key_state(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_states); i++)
		if (!strcmp(word, key_states[i].word))
			return key_states[i].state;
	return KEY_STATE_UNKNOWN;
}

/* "prefix#Name:url" holds the name. */
static void cut_name(const char *type, char name[static 96])
{
	size_t len = strcspn(type, ":");
	const char *start = memrchr(type, '#', len);

	start = start ? start + 1 : type;
	(void)snprintf(name, 96, "%.*s", (int)(len - (size_t)(start - type)), start);
}

/* Name and message; the name stays empty when the reply is not KMS's. */
static void read_error(const struct http_reply *reply, char name[static 96],
		       char message[static MESSAGE_SIZE])
{
	CLEANUP(json_reader_cleanup) struct json_reader *body = NULL;
	char header[128];
	const char *text;

	name[0] = message[0] = 0;
	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &body) <
	    0)
		return;
	text = json_reader_text(body, "__type");
	if (text)
		cut_name(text, name);
	if (http_reply_header(reply, "x-amzn-query-error", header, sizeof(header)))
		(void)snprintf(name, 96, "%.*s", (int)strcspn(header, ";"), header);
	text = json_reader_text(body, "message");
	if (!text)
		text = json_reader_text(body, "Message");
	if (text)
		(void)snprintf(message, MESSAGE_SIZE, "%s", text);
	for (char *c = message; *c; c++)
		if ((unsigned char)*c < 0x20)
			*c = ' ';
}

void aws_error_note(struct kms_error *error, const struct http_reply *reply, const char *operation)
{
	if (!error)
		return;
	error->http_status = reply->status;
	(void)snprintf(error->operation, sizeof(error->operation), "%s", operation);
	(void)!http_reply_header(reply, "x-amzn-RequestId", error->request_id,
				 sizeof(error->request_id));
}

static void advise(struct kms_error *reterr, int code, const char *operation, const char *key)
{
	switch (code) {
	case -EKEYREVOKED:
		kms_advise(reterr, "nothing is lost; enable it: aws kms enable-key --key-id %s",
			   key);
		break;
	case -ENOKEY:
		kms_advise(reterr,
			   "check region and account; if the key is gone, only an alternate or "
			   "recovery key opens its snapshots");
		break;
	case -EACCES:
		kms_advise(reterr,
			   "allow kms:%s to this principal in the key policy or in IAM "
			   "('snapcrypt keys test --print-policy')",
			   operation);
		break;
	case -EKEYEXPIRED:
		kms_advise(reterr, "renew the credentials, and check the clock");
		break;
	case -EKEYREJECTED:
		kms_advise(reterr, "this wrapped key was changed, or copied from another snapshot");
		break;
	default:
		break;
	}
}

static uint32_t retry_after_ms(const struct http_reply *reply)
{
	char text[32];
	unsigned long wait_ms;

	if (!http_reply_header(reply, "x-amz-retry-after", text, sizeof(text)))
		return http_reply_retry_after_ms(reply);
	wait_ms = strtoul(text, NULL, 10);
	return wait_ms > 20000 ? 20000 : (uint32_t)wait_ms;
}

/* Not an answer of KMS: a proxy's page, a redirect, or an error that the table does not know. */
static int fail_unknown(const struct http_reply *reply, const char *name, const char *message,
			const char *operation, const char *key, struct kms_error *reterr)
{
	bool is_transient = reply->status >= 500 || reply->status == 429;
	int r;

	if (name[0])
		return kms_fail(reterr, is_transient ? -EHOSTUNREACH : -EPROTO,
				is_transient ? KEY_STATE_UNREACHABLE : KEY_STATE_UNKNOWN,
				"%s: %s: %s%s%s", key, operation, name, message[0] ? ": " : "",
				message);
	r = kms_fail(reterr, is_transient ? -EHOSTUNREACH : -EPROTO, KEY_STATE_UNREACHABLE,
		     "%s: %s: status %d, and not in the way of AWS KMS%s", key, operation,
		     reply->status,
		     reply->status / 100 == 3 ? " (redirects are not followed)" : "");
	kms_advise(reterr, "look for a proxy or portal that answers in its place");
	return r;
}

int aws_refusal_read(const struct http_reply *reply, const char *operation, const char *key,
		     struct aws_refusal *ret_refusal, struct kms_error *reterr)
{
	char name[96], message[MESSAGE_SIZE];
	bool is_retryable = reply->status >= 500 || reply->status == 429;
	size_t i = 0;
	int r;

	*ret_refusal = (struct aws_refusal){ 0 };
	read_error(reply, name, message);
	while (i < ARRAY_SIZE(table) && strcmp(table[i].name, name) != 0)
		i++;
	if (i < ARRAY_SIZE(table)) {
		r = kms_fail(reterr, table[i].code, table[i].state, "%s: %s: %s%s%s", key,
			     operation, name, message[0] ? ": " : "", message);
		advise(reterr, r, operation, key);
		is_retryable = table[i].kind == RETRY;
		ret_refusal->is_credentials = table[i].kind == CREDENTIALS;
		ret_refusal->needs_state = table[i].kind == STATE;
	} else {
		r = fail_unknown(reply, name, message, operation, key, reterr);
	}
	if (reterr) {
		reterr->is_retryable = is_retryable;
		reterr->retry_after_ms = is_retryable ? retry_after_ms(reply) : 0;
		memcpy(reterr->service_code, name, sizeof(reterr->service_code));
	}
	aws_error_note(reterr, reply, operation);
	return r;
}

int aws_state_fail(enum key_state state, const char *key, int64_t deletion_s,
		   struct kms_error *reterr)
{
	char date[TIMESTAMP_TEXT_SIZE];
	int r = key_state_errno(state);

	switch (state) {
	case KEY_STATE_ENABLED:
		return 0;
	case KEY_STATE_PENDING_DELETION:
		if (!deletion_s || timestamp_format(deletion_s, date) < 0)
			r = kms_fail(reterr, r, state, "key %s is pending deletion", key);
		else
			r = kms_fail(reterr, r, state, "key %s will be deleted on %s", key, date);
		kms_advise(reterr,
			   "keep it: aws kms cancel-key-deletion --key-id %s, then enable-key",
			   key);
		return r;
	case KEY_STATE_DELETED:
		r = kms_fail(reterr, r, state, "key %s has no key material", key);
		kms_advise(reterr, "import it again: aws kms import-key-material");
		return r;
	case KEY_STATE_UNREACHABLE:
		r = kms_fail(reterr, r, state, "key %s: its key store is not available", key);
		if (reterr)
			reterr->is_retryable = true;
		return r;
	default:
		r = kms_fail(reterr, r, state, "key %s is %s", key, key_state_name(state));
		advise(reterr, r, "DescribeKey", key);
		return r;
	}
}
