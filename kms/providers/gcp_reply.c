/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what Google Cloud KMS answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/json_reader.h"
#include "kms/providers/gcp_internal.h"
#include "meta/encoding.h"
#include "meta/timestamp.h"

#define DETAILS_MAX 16

#define ADVICE_ENABLE "enable it: gcloud kms keys versions enable"
#define ADVICE_KEEP   "keep it: gcloud kms keys versions restore, then enable"
#define ADVICE_API    "enable the API: gcloud services enable cloudkms.googleapis.com"

/* kms/PROTOCOL.md, "gcp". */
static const struct outcome outcomes[] = {
	{ .word = "KEY_DISABLED",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = ADVICE_ENABLE },
	{ .word = "KEY_DESTROY_SCHEDULED",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_PENDING_DELETION,
	  .advice = ADVICE_KEEP },
	{ .word = "KEY_DESTROYED", .errno_code = -ENOKEY, .state = KEY_STATE_DELETED },
	{ .word = "FAILED_PRECONDITION",
	  .phrase = "state is: DISABLED",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = ADVICE_ENABLE },
	{ .word = "FAILED_PRECONDITION",
	  .phrase = "state is: DESTROY_SCHEDULED",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_PENDING_DELETION,
	  .advice = ADVICE_KEEP },
	{ .word = "FAILED_PRECONDITION",
	  .phrase = "state is: DESTROYED",
	  .errno_code = -ENOKEY,
	  .state = KEY_STATE_DELETED },
	{ .word = "FAILED_PRECONDITION",
	  .phrase = "state is: PENDING_",
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "the key is still being made" },
	{ .word = "SERVICE_DISABLED", .errno_code = -EINVAL, .advice = ADVICE_API },
	{ .phrase = "API has not been used", .errno_code = -EINVAL, .advice = ADVICE_API },
	{ .word = "FAILED_PRECONDITION",
	  .errno_code = -EINVAL,
	  .advice = "see: gcloud kms keys describe" },
	{ .word = "INVALID_ARGUMENT", .phrase = "Decryption failed", .errno_code = -EKEYREJECTED },
	{ .word = "INVALID_ARGUMENT",
	  .phrase = "crc32c",
	  .errno_code = -EPROTO,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "the request was changed on its way" },
	{ .word = "INVALID_ARGUMENT",
	  .errno_code = -EINVAL,
	  .advice = "KEY must have the purpose ENCRYPT_DECRYPT" },
	{ .word = "PERMISSION_DENIED",
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice = "grant roles/cloudkms.cryptoKeyEncrypterDecrypter on KEY, if that exists" },
	{ .word = "UNAUTHENTICATED",
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check the credentials of this host" },
	{ .word = "NOT_FOUND", .errno_code = -ENOKEY, .state = KEY_STATE_DELETED },
	{ .word = "RESOURCE_EXHAUSTED",
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true,
	  .advice = "the quota of cryptographic requests is used up; raise it" },
	{ .word = "ABORTED",
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ 0 },
};

/* The finest reason among error.details: the type of a violated precondition, or the reason of an ErrorInfo. */
static const char *detail_of(const struct json_reader *root)
{
	size_t count = json_reader_count(root, "error.details");

	for (size_t i = 0; i < count && i < DETAILS_MAX; i++) {
		char path[64];
		const char *reason;

		(void)snprintf(path, sizeof(path), "error.details.%zu.violations.0.type", i);
		reason = json_reader_text(root, path);
		if (reason)
			return reason;
		(void)snprintf(path, sizeof(path), "error.details.%zu.reason", i);
		reason = json_reader_text(root, path);
		if (reason)
			return reason;
	}
	return NULL;
}

int gcp_fail(const struct request_name *name, const struct http_reply *reply,
	     struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct refusal refusal = { .status = reply->status };

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &root) ==
	    0) {
		refusal.code = json_reader_text(root, "error.status");
		refusal.message = json_reader_text(root, "error.message");
		refusal.detail = detail_of(root);
	}
	/* Without an error of the service, it was something in between that answered. */
	if (!refusal.code && reply->status >= 400 && reply->status < 500 && reply->status != 401 &&
	    reply->status != 408 && reply->status != 429)
		return outcome_malformed(name, reply, "an error without a status", reterr);
	return outcome_fail(outcomes, name, &refusal, reply, reterr);
}

/* The checksum that a reply gives for DATA is there and right. */
static bool checksum_fits(const struct json_reader *root, const char *member, struct bytes data)
{
	int64_t expected;

	return json_reader_number(root, member, &expected) && expected == (int64_t)crc32c(0, data);
}

int gcp_decode_encrypt(struct bytes body, struct gcp_encrypted *ret_encrypted)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *name, *ciphertext;
	ssize_t size;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	name = json_reader_text(root, "name");
	ciphertext = json_reader_text(root, "ciphertext");
	if (!name || strlen(name) >= sizeof(ret_encrypted->version) || !ciphertext)
		return -EBADMSG;
	size = base64_decode(bytes_from_text(ciphertext), ret_encrypted->blob, GCP_BLOB_MAX);
	if (size <= 0)
		return -EBADMSG;
	if (!json_reader_is_true(root, "verifiedPlaintextCrc32c") ||
	    !json_reader_is_true(root, "verifiedAdditionalAuthenticatedDataCrc32c") ||
	    !checksum_fits(root, "ciphertextCrc32c",
			   (struct bytes){ ret_encrypted->blob, (size_t)size }))
		return -EIO;
	ret_encrypted->size = (size_t)size;
	memcpy(ret_encrypted->version, name, strlen(name) + 1);
	return 0;
}

int gcp_decode_decrypt(struct bytes body, uint8_t plain[static SLOT_SECRET_SIZE],
		       bool *ret_is_primary)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *text;
	ssize_t size;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	text = json_reader_text(root, "plaintext");
	size = text ? base64_decode(bytes_from_text(text), plain, SLOT_SECRET_SIZE) : -EBADMSG;
	if (size != SLOT_SECRET_SIZE) {
		secret_wipe(plain, SLOT_SECRET_SIZE);
		return -EBADMSG;
	}
	if (!checksum_fits(root, "plaintextCrc32c", (struct bytes){ plain, SLOT_SECRET_SIZE })) {
		secret_wipe(plain, SLOT_SECRET_SIZE);
		return -EIO;
	}
	*ret_is_primary = json_reader_is_true(root, "usedPrimary");
	return 0;
}

static enum key_state state_of(const char *state)
{
	static const struct {
		const char *name;
		enum key_state state;
	} states[] = {
		{ "ENABLED", KEY_STATE_ENABLED },
		{ "DISABLED", KEY_STATE_DISABLED },
		{ "DESTROY_SCHEDULED", KEY_STATE_PENDING_DELETION },
		{ "PENDING_EXTERNAL_DESTRUCTION", KEY_STATE_PENDING_DELETION },
		{ "DESTROYED", KEY_STATE_DELETED },
		{ "EXTERNAL_DESTRUCTION_FAILED", KEY_STATE_DELETED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (!strcmp(state, states[i].name))
			return states[i].state;
	return KEY_STATE_UNKNOWN;
}

static int64_t time_of(const struct json_reader *root, const char *path)
{
	const char *text = json_reader_text(root, path);
	struct timespec time;

	return text && timestamp_parse(text, &time) == 0 ? (int64_t)time.tv_sec : 0;
}

static void set_version(const char *name, struct kms_key_info *info)
{
	const char *version = strstr(name, GCP_VERSIONS);

	(void)snprintf(info->key_id, sizeof(info->key_id), "%s", name);
	if (version)
		(void)snprintf(info->version, sizeof(info->version), "%.63s",
			       version + sizeof(GCP_VERSIONS) - 1);
}

int gcp_decode_version(struct bytes body, struct kms_key_info *ret_info)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct kms_key_info info = { 0 };
	const char *name, *state;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	name = json_reader_text(root, "name");
	state = json_reader_text(root, "state");
	if (!name || strlen(name) >= sizeof(info.key_id) || !state)
		return -EBADMSG;
	info.state = state_of(state);
	info.created_s = time_of(root, "createTime");
	info.deletion_s = time_of(root, "destroyTime");
	set_version(name, &info);
	*ret_info = info;
	return 0;
}

int gcp_decode_key(struct bytes body, struct kms_key_info *ret_info)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct kms_key_info info = { .state = KEY_STATE_DISABLED };
	const char *name, *state;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	name = json_reader_text(root, "name");
	if (!name || strlen(name) >= sizeof(info.key_id))
		return -EBADMSG;
	set_version(name, &info);
	/* A key without a primary version cannot wrap: somebody took it away. */
	name = json_reader_text(root, "primary.name");
	state = json_reader_text(root, "primary.state");
	if (name && strlen(name) < sizeof(info.key_id) && state) {
		info.state = state_of(state);
		set_version(name, &info);
	}
	info.created_s = time_of(root, "primary.createTime");
	if (!info.created_s)
		info.created_s = time_of(root, "createTime");
	info.next_rotation_s = time_of(root, "nextRotationTime");
	info.deletion_s = time_of(root, "primary.destroyTime");
	*ret_info = info;
	return 0;
}
