/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what Vault and OpenBao answer. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/json_reader.h"
#include "kms/providers/vault_internal.h"
#include "meta/encoding.h"
#include "meta/timestamp.h"

#define VERSION_MAX 1000000000

/* kms/PROTOCOL.md, "vault". */
static const struct outcome outcomes[] = {
	{ .status = 400,
	  .phrase = "encryption key not found",
	  .errno_code = -ENOKEY,
	  .state = KEY_STATE_DELETED,
	  .advice = "there is no key KEY; check mount, name and namespace" },
	{ .status = 400,
	  .phrase = "version is too new",
	  .errno_code = -ENOKEY,
	  .state = KEY_STATE_DELETED,
	  .advice = "the server has no such version of KEY: was it restored from an older backup?" },
	{ .status = 400,
	  .phrase = "disallowed by policy",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = "lower min_decryption_version in the configuration of KEY" },
	{ .status = 400,
	  .phrase = "soft-deleted",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = "restore it: the key KEY was deleted softly" },
	{ .phrase = "message authentication failed", .errno_code = -EKEYREJECTED },
	{ .status = 400, .phrase = "invalid ciphertext", .errno_code = -EKEYREJECTED },
	{ .status = 400,
	  .phrase = "missing 'context'",
	  .errno_code = -EINVAL,
	  .advice = "KEY is a derived key; use one that is not" },
	{ .status = 400, .errno_code = -EINVAL, .advice = "see: vault read of the key KEY" },
	{ .status = 403,
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice = "grant update on encrypt and decrypt of KEY to this token's policy" },
	{ .status = 404,
	  .phrase = "no handler for route",
	  .errno_code = -EINVAL,
	  .advice = "no Transit engine is mounted there; check mount and namespace" },
	{ .status = 404,
	  .phrase = "unsupported path",
	  .errno_code = -EINVAL,
	  .advice = "what is mounted there is no Transit engine; check mount and namespace" },
	{ .status = 404,
	  .errno_code = -ENOKEY,
	  .state = KEY_STATE_DELETED,
	  .advice = "there is no key KEY; check mount, name and namespace" },
	{ .status = 405, .errno_code = -EINVAL, .advice = "is a Transit engine mounted there?" },
	{ .status = 307,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "a standby redirects, which is not followed; name the active node" },
	{ .status = 412,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 472,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "this node is for disaster recovery; name the active one" },
	{ .status = 473,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 503,
	  .phrase = "sealed",
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "unseal the server" },
	{ 0 },
};

int vault_fail(const struct request_name *name, const struct http_reply *reply,
	       struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct refusal refusal = { .status = reply->status };

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &root) ==
	    0)
		refusal.message = json_reader_text(root, "errors.0");
	/* Without errors in it, it was something in between that answered; only an absent key is said by an empty list. */
	if (reply->status >= 400 && reply->status <= 405 && !json_reader_has(root, "errors"))
		return outcome_malformed(name, reply, "an error without errors", reterr);
	return outcome_fail(outcomes, name, &refusal, reply, reterr);
}

void vault_decode_request_id(struct bytes body, char *id, size_t size)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;

	id[0] = 0;
	if (json_reader_parse(body, &root) == 0)
		(void)!json_reader_copy_text(root, "request_id", id, size);
}

int64_t vault_ciphertext_version(struct bytes ciphertext)
{
	static const char prefix[] = "vault:v";
	int64_t version = 0;
	size_t at = sizeof(prefix) - 1;

	if (ciphertext.size < at || memcmp(ciphertext.data, prefix, at) != 0)
		return 0;
	for (; at < ciphertext.size && ciphertext.data[at] >= '0' && ciphertext.data[at] <= '9';
	     at++) {
		version = version * 10 + (ciphertext.data[at] - '0');
		if (version > VERSION_MAX)
			return 0;
	}
	return at + 1 < ciphertext.size && ciphertext.data[at] == ':' ? version : 0;
}

int vault_decode_encrypt(struct bytes body, uint8_t wrapped[static SLOT_WRAPPED_MAX],
			 size_t *ret_size)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct bytes ciphertext;
	const char *text;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	text = json_reader_text(root, "data.ciphertext");
	if (!text)
		return -EBADMSG;
	ciphertext = bytes_from_text(text);
	if (ciphertext.size > SLOT_WRAPPED_MAX || !vault_ciphertext_version(ciphertext))
		return -EBADMSG;
	memcpy(wrapped, ciphertext.data, ciphertext.size);
	*ret_size = ciphertext.size;
	return 0;
}

int vault_decode_decrypt(struct bytes body, uint8_t plain[static SLOT_SECRET_SIZE])
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *text;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	text = json_reader_text(root, "data.plaintext");
	if (text &&
	    base64_decode(bytes_from_text(text), plain, SLOT_SECRET_SIZE) == SLOT_SECRET_SIZE)
		return 0;
	secret_wipe(plain, SLOT_SECRET_SIZE);
	return -EBADMSG;
}

/* Creation time of a version: a number for symmetric keys, an object or a text for others. */
static int64_t created_at(const struct json_reader *root, int64_t version)
{
	char path[64];
	const char *text;
	struct timespec time;
	int64_t created_s;

	(void)snprintf(path, sizeof(path), "data.keys.%" PRId64, version);
	if (json_reader_number(root, path, &created_s))
		return created_s;
	text = json_reader_text(root, path);
	return text && timestamp_parse(text, &time) == 0 ? (int64_t)time.tv_sec : 0;
}

int vault_decode_key(struct bytes body, struct vault_key *ret_key)
{
	static const char *const bindable[] = { "aes128-gcm96", "aes256-gcm96", "chacha20-poly1305",
						"xchacha20-poly1305" };
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct vault_key key = { .info.state = KEY_STATE_ENABLED };
	const char *type;
	int64_t period_s;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	type = json_reader_text(root, "data.type");
	if (!type || !json_reader_number(root, "data.latest_version", &key.latest_version) ||
	    key.latest_version < 1 || key.latest_version > VERSION_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(bindable); i++)
		key.is_bindable = key.is_bindable || !strcmp(type, bindable[i]);
	key.is_derived = json_reader_is_true(root, "data.derived");
	if (json_reader_is_true(root, "data.soft_deleted"))
		key.info.state = KEY_STATE_DISABLED;
	key.info.created_s = created_at(root, key.latest_version);
	if (key.info.created_s && json_reader_number(root, "data.auto_rotate_period", &period_s) &&
	    period_s > 0 && period_s < INT32_MAX)
		key.info.next_rotation_s = key.info.created_s + period_s;
	(void)snprintf(key.info.version, sizeof(key.info.version), "%" PRId64, key.latest_version);
	*ret_key = key;
	return 0;
}

int vault_decode_capabilities(struct bytes body, bool *ret_may_create)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *path = "data.capabilities";
	bool may_create = false;
	size_t count;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	count = json_reader_count(root, path);
	if (!count) {
		path = "capabilities";
		count = json_reader_count(root, path);
	}
	if (!count)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++) {
		char element[64];
		const char *word;

		(void)snprintf(element, sizeof(element), "%s.%zu", path, i);
		word = json_reader_text(root, element);
		if (!word)
			return -EBADMSG;
		may_create = may_create || !strcmp(word, "create") || !strcmp(word, "root") ||
			     !strcmp(word, "sudo");
	}
	*ret_may_create = may_create;
	return 0;
}
