/* SPDX-License-Identifier: Apache-2.0 */
/* Security Token Service: credentials of a role. */
#include "kms/credentials/aws_sts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/credentials/public_file.h"
#include "kms/xml_tag.h"
#include "meta/timestamp.h"

#define FORM         "application/x-www-form-urlencoded; charset=utf-8"
#define BODY_SIZE    ((size_t)64 * 1024)
#define SECRETS_SIZE ((size_t)16 * 1024)

/* A form body; it may hold a token, so it is wiped. */
struct form {
	char *text;
	size_t size;
	int error;
};

static void form_free(struct form *form)
{
	if (form->text)
		secret_wipe(form->text, BODY_SIZE);
	free(form->text);
}

static void form_begin(struct form *form, const char *action)
{
	form->text = malloc(BODY_SIZE);
	if (!form->text) {
		form->error = -ENOMEM;
		return;
	}
	form->size = (size_t)snprintf(form->text, BODY_SIZE, "Action=%s&Version=2011-06-15",
				      action);
}

static void form_add(struct form *form, const char *name, const char *value)
{
	int len;

	if (form->error || !value)
		return;
	len = snprintf(form->text + form->size, BODY_SIZE - form->size, "&%s=", name);
	if (form->size + (size_t)len >= BODY_SIZE) {
		form->error = -ENOSPC;
		return;
	}
	form->size += (size_t)len;
	form->error = http_escape(value, form->text + form->size, BODY_SIZE - form->size);
	if (!form->error)
		form->size += strlen(form->text + form->size);
}

/* 2 to 64 of the characters that are allowed. */
static void session_name(const struct aws_role *role, char name[static 65])
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_+=,.@-";
	char host[HOST_NAME_MAX + 1] = "";

	if (role->session_name && *role->session_name) {
		(void)snprintf(name, 65, "%s", role->session_name);
	} else {
		(void)gethostname(host, sizeof(host) - 1);
		(void)snprintf(name, 65, "snapcrypt-%.54s", host);
	}
	for (char *c = name; *c; c++)
		if (!strchr(allowed, *c))
			*c = '-';
}

static void form_add_role(struct form *form, const struct aws_role *role)
{
	char name[65];

	session_name(role, name);
	form_add(form, "RoleArn", role->role_arn);
	form_add(form, "RoleSessionName", name);
	form_add(form, "DurationSeconds", role->duration_s);
}

int aws_sts_read_credentials(struct bytes xml, const char *source, struct aws_keys **ret_keys)
{
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	CLEANUP(secret_free_cleanup) uint8_t *secrets = secret_alloc(SECRETS_SIZE + 1024);
	char *token = (char *)secrets;
	char *secret_key = token ? token + SECRETS_SIZE : NULL;
	char id[AWS_ACCESS_KEY_ID_SIZE], expiration[64];
	struct bytes inside;
	struct timespec expires;
	int r;

	if (!secrets)
		return -ENOMEM;
	if (xml_tag_find(xml, "Credentials", &inside) < 0 ||
	    xml_tag_text(inside, "AccessKeyId", id, sizeof(id)) < 0 ||
	    xml_tag_text(inside, "SecretAccessKey", secret_key, 1024) < 0 ||
	    xml_tag_text(inside, "SessionToken", token, SECRETS_SIZE) < 0 ||
	    xml_tag_text(inside, "Expiration", expiration, sizeof(expiration)) < 0 ||
	    timestamp_parse(expiration, &expires) < 0)
		return -EKEYEXPIRED;
	r = aws_keys_new(source, id, bytes_from_text(secret_key), bytes_from_text(token), &keys);
	if (r < 0)
		return r;
	keys->expires_s = (int64_t)expires.tv_sec;
	*ret_keys = TAKE(keys);
	return 0;
}

/* Worth another attempt: nothing is wrong with us. */
static bool is_transient(int status, const char *code)
{
	static const char *const codes[] = { "IDPCommunicationError", "Throttling",
					     "ThrottlingException",   "RequestLimitExceeded",
					     "ServiceUnavailable",    "InternalFailure" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(code, codes[i]))
			return true;
	return status >= 500 || status == 429;
}

int aws_sts_fail(const char *role_arn, int status, struct bytes xml, struct kms_error *reterr)
{
	char code[96] = "", message[320] = "", request_id[96] = "";
	bool is_reached;
	int r;

	(void)!xml_tag_text(xml, "Code", code, sizeof(code));
	(void)!xml_tag_text(xml, "Message", message, sizeof(message));
	(void)!xml_tag_text(xml, "RequestId", request_id, sizeof(request_id));
	/* Without a code it is not STS that answers. */
	is_reached = code[0] && !is_transient(status, code);
	r = kms_fail(reterr, is_reached ? -EKEYEXPIRED : -EHOSTUNREACH,
		     is_reached ? KEY_STATE_CREDENTIALS_EXPIRED : KEY_STATE_UNREACHABLE,
		     "role %s: STS answers %d %s%s%s", role_arn, status, code,
		     message[0] ? ": " : "", message);
	if (is_reached)
		kms_advise(reterr, "check the trust policy of the role, its external id, and "
				   "sts:AssumeRole of who asks");
	if (reterr) {
		reterr->is_retryable = !is_reached;
		reterr->http_status = status;
		memcpy(reterr->service_code, code, sizeof(code));
		memcpy(reterr->request_id, request_id, sizeof(request_id));
		(void)snprintf(reterr->operation, sizeof(reterr->operation), "AssumeRole");
	}
	return r;
}

/* Send the form, read the credentials. */
static int ask(const struct aws_sts *sts, const struct kms_call *call, const struct form *form,
	       const struct aws_keys *base, const struct aws_role *role, const char *source,
	       struct aws_keys **ret_keys, struct kms_error *reterr)
{
	const struct aws_request request = {
		.endpoint = &sts->endpoint,
		.content_type = FORM,
		.body = { (const uint8_t *)form->text, form->size },
		.keys = base,
		.offset_s = sts->offset_s,
	};
	struct http_reply reply = { 0 };
	struct bytes xml;
	int r;

	if (form->error)
		return kms_fail(reterr, form->error, KEY_STATE_UNKNOWN,
				"role %s: the request cannot be built: %s", role->role_arn,
				strerror(-form->error));
	r = aws_exchange(sts->http, call, &request, &reply, reterr);
	if (r < 0)
		return r;
	xml = (struct bytes){ (const uint8_t *)reply.body, reply.size };
	if (reply.status != 200)
		r = aws_sts_fail(role->role_arn, reply.status, xml, reterr);
	else if ((r = aws_sts_read_credentials(xml, source, ret_keys)) < 0)
		r = kms_fail(reterr, r, KEY_STATE_CREDENTIALS_EXPIRED,
			     "role %s: the answer of STS holds no usable credentials",
			     role->role_arn);
	if (r == 0)
		aws_keys_set_principal(*ret_keys, role->role_arn);
	http_reply_free(&reply);
	return r;
}

int aws_sts_assume_role(const struct aws_sts *sts, const struct kms_call *call,
			const struct aws_role *role, const struct aws_keys *base,
			struct aws_keys **ret_keys, struct kms_error *reterr)
{
	CLEANUP(form_free) struct form form = { 0 };

	form_begin(&form, "AssumeRole");
	form_add_role(&form, role);
	form_add(&form, "ExternalId", role->external_id);
	return ask(sts, call, &form, base, role, "assume-role", ret_keys, reterr);
}

int aws_sts_web_identity(const struct aws_sts *sts, const struct kms_call *call,
			 const struct aws_role *role, const char *token_file,
			 struct aws_keys **ret_keys, struct kms_error *reterr)
{
	CLEANUP(form_free) struct form form = { 0 };
	char *token = NULL;
	int r;

	r = public_file_read(token_file, &token, reterr);
	if (r < 0) {
		if (reterr)
			reterr->state = KEY_STATE_CREDENTIALS_EXPIRED;
		return -EKEYEXPIRED;
	}
	token[strcspn(token, "\r\n")] = 0;
	form_begin(&form, "AssumeRoleWithWebIdentity");
	form_add_role(&form, role);
	form_add(&form, "WebIdentityToken", token);
	secret_wipe(token, strlen(token));
	free(token);
	return ask(sts, call, &form, NULL, role, "web-identity", ret_keys, reterr);
}
