/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what Azure Key Vault answers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kms/crypto/secret.h"
#include "kms/json_reader.h"
#include "kms/providers/azure_internal.h"
#include "meta/encoding.h"

/* kms/PROTOCOL.md, "azure". */
static const struct outcome outcomes[] = {
	{ .status = 403,
	  .word = "KeyDisabled",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = "enable it: az keyvault key set-attributes --enabled true --id KEY" },
	{ .status = 403,
	  .phrase = "not allowed on a disabled key",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = "enable it: az keyvault key set-attributes --enabled true --id KEY" },
	{ .status = 403,
	  .phrase = "expired key",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice =
		  "stored data keys still open; move the end of KEY for new ones: az keyvault key "
		  "set-attributes --expires" },
	{ .status = 403,
	  .phrase = "not yet valid",
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_DISABLED,
	  .advice = "KEY begins later; see: az keyvault key show" },
	{ .status = 403,
	  .word = "ForbiddenByFirewall",
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice = "the vault's firewall refuses this network; allow the address of this host" },
	{ .status = 403,
	  .phrase = "is not authorized and caller is not a trusted service",
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice = "the vault's firewall refuses this network; allow the address of this host" },
	{ .status = 403,
	  .errno_code = -EACCES,
	  .state = KEY_STATE_DENIED,
	  .advice =
		  "grant wrapKey and unwrapKey (role Key Vault Crypto Service Encryption User) on "
		  "KEY; a new grant takes some minutes" },
	{ .status = 401,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "the vault does not accept this token; check tenant and cloud" },
	{ .status = 404,
	  .word = "KeyNotFound",
	  .errno_code = -ENOKEY,
	  .state = KEY_STATE_DELETED,
	  .advice = "if it was deleted lately: az keyvault key recover --id KEY" },
	{ .status = 404, .errno_code = -ENOKEY, .state = KEY_STATE_DELETED },
	{ .status = 409,
	  .errno_code = -EKEYREVOKED,
	  .state = KEY_STATE_PENDING_DELETION,
	  .advice = "recover it: az keyvault key recover --id KEY" },
	{ .status = 400,
	  .word = "KeyOperationNotPermitted",
	  .errno_code = -EINVAL,
	  .advice = "KEY must allow wrapKey and unwrapKey (key_ops)" },
	{ .status = 400,
	  .phrase = "algorithm",
	  .errno_code = -EINVAL,
	  .advice = "choose the algorithm that fits the type of KEY: RSA-OAEP-256, or A256KW of a "
		    "managed HSM" },
	{ 0 },
};

/* A blob that is not of this key is a bad parameter as well; only unwrapping can mean that. */
static const struct outcome unwrap_refused = { .status = 400, .errno_code = -EKEYREJECTED };

static void decode_refusal(const struct json_reader *root, struct refusal *refusal)
{
	refusal->code = json_reader_text(root, "error.code");
	refusal->message = json_reader_text(root, "error.message");
	refusal->detail = json_reader_text(root, "error.innererror.code");
	if (!refusal->detail)
		refusal->detail = json_reader_text(root, "error.innerError.code");
}

int azure_fail(const struct request_name *name, const struct http_reply *reply,
	       struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct refusal refusal = { .status = reply->status };
	const struct outcome rejected[] = { unwrap_refused, { 0 } };
	const struct outcome *table = outcomes;

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &root) ==
	    0)
		decode_refusal(root, &refusal);
	if (reply->status == 400 && root && !strcmp(name->operation, "unwrapKey") &&
	    !outcome_find(outcomes, &refusal))
		table = rejected;
	/* Without an error of the service, it was something in between that answered. */
	if (!refusal.code && reply->status >= 400 && reply->status < 500 && reply->status != 401 &&
	    reply->status != 429 && reply->status != 408)
		return outcome_malformed(name, reply, "an error without a code", reterr);
	return outcome_fail(table, name, &refusal, reply, reterr);
}

int azure_decode_operation(struct bytes body, struct azure_key *ret_kid,
			   uint8_t value[static AZURE_BLOB_MAX], size_t *ret_size)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *kid, *text;
	ssize_t size;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	kid = json_reader_text(root, "kid");
	text = json_reader_text(root, "value");
	if (!kid || !text || azure_parse_kid(kid, ret_kid) < 0)
		return -EBADMSG;
	size = base64url_decode(bytes_from_text(text), value, AZURE_BLOB_MAX);
	if (size <= 0) {
		secret_wipe(value, AZURE_BLOB_MAX);
		return -EBADMSG;
	}
	*ret_size = (size_t)size;
	return 0;
}

int azure_decode_key(struct bytes body, struct kms_key_info *ret_info)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct kms_key_info info = { .state = KEY_STATE_ENABLED };
	struct azure_key key;
	const char *kid;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	kid = json_reader_text(root, "key.kid");
	if (!kid || azure_parse_kid(kid, &key) < 0 || !json_reader_has(root, "attributes"))
		return -EBADMSG;
	/* The end of a key's validity (exp) stops new wraps only: what is stored still opens. */
	if (!json_reader_is_true(root, "attributes.enabled"))
		info.state = KEY_STATE_DISABLED;
	(void)json_reader_number(root, "attributes.created", &info.created_s);
	azure_format_kid(&key, info.key_id);
	(void)snprintf(info.version, sizeof(info.version), "%.63s", key.version);
	*ret_info = info;
	return 0;
}

int azure_decode_deleted(struct bytes body, struct kms_key_info *ret_info)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct kms_key_info info = { .state = KEY_STATE_PENDING_DELETION };
	struct azure_key key;
	const char *kid;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	kid = json_reader_text(root, "key.kid");
	if (!kid || azure_parse_kid(kid, &key) < 0)
		return -EBADMSG;
	(void)json_reader_number(root, "attributes.created", &info.created_s);
	(void)json_reader_number(root, "scheduledPurgeDate", &info.deletion_s);
	azure_format_kid(&key, info.key_id);
	(void)snprintf(info.version, sizeof(info.version), "%.63s", key.version);
	*ret_info = info;
	return 0;
}
