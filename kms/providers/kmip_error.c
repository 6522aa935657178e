/* SPDX-License-Identifier: Apache-2.0 */
/* What the refusals of a KMIP server mean. */
#include <errno.h>
#include <stdio.h>

#include "kms/providers/kmip_internal.h"

#define REASON_INVALID_FIELD      0x07
#define REASON_FEATURE            0x08
#define REASON_CRYPTOGRAPHIC      0x0a
#define REASON_ILLEGAL_OPERATION  0x0b
#define REASON_PERMISSION_DENIED  0x0c
#define REASON_BAD_PARAMETERS     0x24
#define REASON_UNSUPPORTED_PARAMS 0x3e
#define REASON_WRONG_STATE        0x43
#define MESSAGE_SHOWN_MAX         300

/* Reasons of KMIP 1.4 section 9.1.3.2.29 and 2.0 section 11.48.  An operation of 0 fits all. */
static const struct {
	uint32_t reason;
	enum kmip_operation operation;
	const char *name;
	int errno_code;
	enum key_state state;
	bool is_retryable;
	const char *advice;
} outcomes[] = {
	{ 0x01, 0, "Item Not Found", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ 0x36, 0, "Object Destroyed", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ 0x37, 0, "Object Not Found", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ 0x40, 0, "Wrapping Object Archived", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ 0x41, 0, "Wrapping Object Destroyed", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ 0x42, 0, "Wrapping Object Not Found", -ENOKEY, KEY_STATE_DELETED, false, NULL },
	{ REASON_WRONG_STATE, 0, "Wrong Key Lifecycle State", -EKEYREVOKED, KEY_STATE_DISABLED,
	  false, NULL },
	{ 0x03, 0, "Authentication Not Successful", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
	  false, "check client_certificate, username and password" },
	{ 0x14, 0, "Attestation Required", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, false,
	  NULL },
	{ 0x15, 0, "Attestation Failed", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, false, NULL },
	{ 0x25, 0, "Bad Password", -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, false,
	  "correct the password" },
	{ REASON_PERMISSION_DENIED, 0, "Permission Denied", -EACCES, KEY_STATE_DENIED, false,
	  "grant this client the operation, and the key its usage" },
	{ 0x39, 0, "Not Authorised", -EACCES, KEY_STATE_DENIED, false,
	  "grant this client the operation, and the key its usage" },
	{ 0x1a, 0, "Usage Limit Exceeded", -EACCES, KEY_STATE_DENIED, false,
	  "raise the usage limit of the key" },
	{ 0x16, 0, "Sensitive", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "the server does not give the key away; use mode = encrypt" },
	{ 0x17, 0, "Not Extractable", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "the server does not give the key away; use mode = encrypt" },
	{ 0x05, KMIP_ENCRYPT, "Operation Not Supported", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "the server does not encrypt; use mode = get if its keys may leave it" },
	{ 0x05, KMIP_DECRYPT, "Operation Not Supported", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "the server does not decrypt" },
	{ 0x05, 0, "Operation Not Supported", -EINVAL, KEY_STATE_UNKNOWN, false, NULL },
	{ REASON_CRYPTOGRAPHIC, KMIP_DECRYPT, "Cryptographic Failure", -EKEYREJECTED,
	  KEY_STATE_UNKNOWN, false, NULL },
	/* What PyKMIP says when a tag does not verify. */
	{ 0x100, KMIP_DECRYPT, "General Failure", -EKEYREJECTED, KEY_STATE_UNKNOWN, false, NULL },
	{ 0x100, 0, "General Failure", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, true, NULL },
	{ 0x0d, 0, "Object Archived", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, false,
	  "recover the key from the archive" },
	{ 0x2a, 0, "Internal Server Error", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, true, NULL },
	{ 0x3a, 0, "Server Limit Exceeded", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, true,
	  "the server limits its clients; raise its limit" },
	{ 0x44, 0, "Protection Storage Unavailable", -EHOSTUNREACH, KEY_STATE_UNREACHABLE, true,
	  NULL },
	{ 0x3f, 0, "Unsupported Protocol Version", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "leave out kmip_version, or set one that the server has" },
	{ 0x04, 0, "Invalid Message", -EINVAL, KEY_STATE_UNKNOWN, false, NULL },
	{ REASON_INVALID_FIELD, 0, "Invalid Field", -EINVAL, KEY_STATE_UNKNOWN, false, NULL },
	{ REASON_FEATURE, 0, "Feature Not Supported", -EINVAL, KEY_STATE_UNKNOWN, false, NULL },
	{ REASON_CRYPTOGRAPHIC, 0, "Cryptographic Failure", -EINVAL, KEY_STATE_UNKNOWN, false,
	  NULL },
	{ REASON_ILLEGAL_OPERATION, 0, "Illegal Operation", -EINVAL, KEY_STATE_UNKNOWN, false,
	  NULL },
	{ 0x10, 0, "Key Format Type Not Supported", -EINVAL, KEY_STATE_UNKNOWN, false, NULL },
	{ REASON_BAD_PARAMETERS, 0, "Bad Cryptographic Parameters", -EINVAL, KEY_STATE_UNKNOWN,
	  false, NULL },
	{ 0x29, 0, "Incompatible Cryptographic Usage Mask", -EINVAL, KEY_STATE_UNKNOWN, false,
	  "the key needs the usage Encrypt and Decrypt" },
	{ REASON_UNSUPPORTED_PARAMS, 0, "Unsupported Cryptographic Parameters", -EINVAL,
	  KEY_STATE_UNKNOWN, false, NULL },
};

const char *kmip_operation_name(enum kmip_operation operation)
{
	switch (operation) {
	case KMIP_GET:
		return "Get";
	case KMIP_GET_ATTRIBUTES:
		return "GetAttributes";
	case KMIP_DISCOVER_VERSIONS:
		return "DiscoverVersions";
	case KMIP_ENCRYPT:
		return "Encrypt";
	case KMIP_DECRYPT:
		return "Decrypt";
	}
	return "?";
}

bool kmip_is_unsupported_mode(uint32_t reason)
{
	return reason == REASON_INVALID_FIELD || reason == REASON_FEATURE ||
	       reason == REASON_CRYPTOGRAPHIC || reason == REASON_BAD_PARAMETERS ||
	       reason == REASON_UNSUPPORTED_PARAMS;
}

bool kmip_is_ambiguous(uint32_t reason)
{
	return reason == REASON_PERMISSION_DENIED || reason == REASON_ILLEGAL_OPERATION ||
	       reason == REASON_WRONG_STATE;
}

/* The server's words on one line: control characters would forge lines of a log. */
static void copy_words(struct bytes words, char shown[static MESSAGE_SHOWN_MAX])
{
	size_t size = words.size < MESSAGE_SHOWN_MAX - 1 ? words.size : MESSAGE_SHOWN_MAX - 1;

	for (size_t i = 0; i < size; i++)
		shown[i] = words.data[i] < 0x20 || words.data[i] == 0x7f ? ' '
									 : (char)words.data[i];
	shown[size] = 0;
}

int kmip_fail(const struct kmip *kmip, enum kmip_operation operation,
	      const struct kmip_reply *reply, struct kms_error *reterr)
{
	char message[MESSAGE_SHOWN_MAX], name[64];
	size_t i = 0;
	int r;

	while (i < ARRAY_SIZE(outcomes) &&
	       (outcomes[i].reason != reply->reason ||
		(outcomes[i].operation && outcomes[i].operation != operation)))
		i++;
	copy_words(reply->message, message);
	if (i < ARRAY_SIZE(outcomes))
		(void)snprintf(name, sizeof(name), "%s", outcomes[i].name);
	else
		(void)snprintf(name, sizeof(name), "status %u, reason 0x%x", reply->status,
			       reply->reason);
	r = kms_fail(reterr, i < ARRAY_SIZE(outcomes) ? outcomes[i].errno_code : -EPROTO,
		     i < ARRAY_SIZE(outcomes) ? outcomes[i].state : KEY_STATE_UNREACHABLE,
		     "%s: %s of %s: %s: %s", KMIP_SERVICE, kmip_operation_name(operation),
		     kmip->key_id, name, message[0] ? message : "no reason given");
	if (!reterr)
		return r;
	reterr->is_retryable = i == ARRAY_SIZE(outcomes) || outcomes[i].is_retryable;
	if (i < ARRAY_SIZE(outcomes) && outcomes[i].advice)
		kms_advise(reterr, "%s", outcomes[i].advice);
	(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s",
		       kmip_operation_name(operation));
	(void)snprintf(reterr->service_code, sizeof(reterr->service_code), "%s", name);
	return r;
}

int kmip_fail_malformed(const struct kmip *kmip, enum kmip_operation operation, const char *what,
			struct kms_error *reterr)
{
	int r = kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
			 "%s: %s of %s: the reply cannot be used: %s", KMIP_SERVICE,
			 kmip_operation_name(operation), kmip->key_id, what);

	if (!reterr)
		return r;
	reterr->is_retryable = true;
	(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s",
		       kmip_operation_name(operation));
	return r;
}

static const struct {
	const char *name;
	int errno_code;
	enum key_state state;
} states[] = {
	[KMIP_PRE_ACTIVE] = { "Pre-Active", -EKEYREVOKED, KEY_STATE_DISABLED },
	[KMIP_ACTIVE] = { "Active", 0, KEY_STATE_ENABLED },
	[KMIP_DEACTIVATED] = { "Deactivated", -EKEYREVOKED, KEY_STATE_DISABLED },
	[KMIP_COMPROMISED] = { "Compromised", -EKEYREVOKED, KEY_STATE_DISABLED },
	[KMIP_DESTROYED] = { "Destroyed", -ENOKEY, KEY_STATE_DELETED },
	[KMIP_DESTROYED_COMPROMISED] = { "Destroyed Compromised", -ENOKEY, KEY_STATE_DELETED },
};

enum key_state kmip_key_state(enum kmip_state state)
{
	return states[state].state;
}

int kmip_check_state(const struct kmip *kmip, enum kmip_state state, struct kms_error *reterr)
{
	int r;

	if (state == KMIP_ACTIVE)
		return 0;
	r = kms_fail(reterr, states[state].errno_code, states[state].state, "%s: the key %s is %s",
		     KMIP_SERVICE, kmip->key_id, states[state].name);
	if (state == KMIP_PRE_ACTIVE)
		kms_advise(reterr, "activate the key");
	if (reterr)
		(void)snprintf(reterr->service_code, sizeof(reterr->service_code), "%s",
			       states[state].name);
	return r;
}
