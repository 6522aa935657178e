/* SPDX-License-Identifier: Apache-2.0 */
/* One set of AWS credentials. */
#include "kms/credentials/aws_keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/json_reader.h"
#include "meta/timestamp.h"

#define SECRET_KEY_MAX    512
#define SESSION_TOKEN_MAX ((size_t)15 * 1024)

/* They go into headers. */
static bool is_printable(struct bytes text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
			return false;
	return true;
}

static int copy_with_nul(struct bytes text, struct secret **ret_secret)
{
	int r;

	r = secret_new(text.size + 1, ret_secret);
	if (r == 0)
		memcpy(secret_data(*ret_secret), text.data, text.size);
	return r;
}

int aws_keys_new(const char *source, const char *access_key_id, struct bytes secret_access_key,
		 struct bytes session_token, struct aws_keys **ret_keys)
{
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	int r;

	if (!*access_key_id || strlen(access_key_id) >= AWS_ACCESS_KEY_ID_SIZE ||
	    strchr(access_key_id, '/') || !is_printable(bytes_from_text(access_key_id)) ||
	    !secret_access_key.size || secret_access_key.size > SECRET_KEY_MAX ||
	    session_token.size > SESSION_TOKEN_MAX || !is_printable(session_token))
		return -EKEYEXPIRED;
	keys = calloc(1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	keys->references = 1;
	keys->source = source;
	memcpy(keys->access_key_id, access_key_id, strlen(access_key_id) + 1);
	memcpy(keys->principal, access_key_id, strlen(access_key_id) + 1);
	r = secret_copy(secret_access_key, &keys->secret_access_key);
	if (r == 0 && session_token.size)
		r = copy_with_nul(session_token, &keys->session_token);
	if (r < 0)
		return r;
	*ret_keys = TAKE(keys);
	return 0;
}

void aws_keys_set_principal(struct aws_keys *keys, const char *principal)
{
	(void)snprintf(keys->principal, sizeof(keys->principal), "%s", principal);
}

struct aws_keys *aws_keys_get(struct aws_keys *keys)
{
	__atomic_add_fetch(&keys->references, 1, __ATOMIC_RELAXED);
	return keys;
}

void aws_keys_put(struct aws_keys *keys)
{
	if (!keys || __atomic_sub_fetch(&keys->references, 1, __ATOMIC_ACQ_REL))
		return;
	secret_drop(keys->secret_access_key);
	secret_drop(keys->session_token);
	free(keys);
}

void aws_keys_cleanup(struct aws_keys **keys)
{
	aws_keys_put(*keys);
}

const char *aws_keys_session_token(const struct aws_keys *keys)
{
	return keys->session_token ? (const char *)secret_bytes(keys->session_token).data : NULL;
}

static int parse_expiration(const char *text, int64_t *ret_expires_s)
{
	struct timespec time;
	int r;

	r = timestamp_parse(text, &time);
	if (r == 0)
		*ret_expires_s = (int64_t)time.tv_sec;
	return r;
}

/* A text member, empty when it is not there. */
static struct bytes member(const struct json_reader *reply, const char *name)
{
	const char *text = json_reader_text(reply, name);

	return bytes_from_text(text ? text : "");
}

int aws_keys_from_json(struct bytes text, const char *source, const char *where,
		       struct aws_keys **ret_keys, struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	const char *code, *id, *message, *expiration, *role;
	struct bytes token;
	int r;

	if (json_reader_parse(text, &reply) < 0)
		return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"%s: the answer is not JSON", where);
	code = json_reader_text(reply, "Code");
	message = json_reader_text(reply, "Message");
	if (code && strcmp(code, "Success") != 0)
		return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"%s: %.80s: %.200s", where, code, message ? message : "no message");
	id = json_reader_text(reply, "AccessKeyId");
	token = member(reply, "Token");
	if (!token.size)
		token = member(reply, "SessionToken");
	r = aws_keys_new(source, id ? id : "", member(reply, "SecretAccessKey"), token, &keys);
	expiration = json_reader_text(reply, "Expiration");
	if (r == 0 && expiration && parse_expiration(expiration, &keys->expires_s) < 0)
		r = -EKEYEXPIRED;
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_CREDENTIALS_EXPIRED,
				"%s: the answer holds no usable credentials", where);
	role = json_reader_text(reply, "RoleArn");
	if (role && *role)
		aws_keys_set_principal(keys, role);
	*ret_keys = TAKE(keys);
	return 0;
}
