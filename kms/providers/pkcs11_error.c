/* SPDX-License-Identifier: Apache-2.0 */
/* What the answers of a PKCS#11 module mean. */
#include <errno.h>
#include <stdio.h>

#include "kms/providers/pkcs11_internal.h"

#define ANYWHERE 0xff
#define OPENING  PKCS11_UNWRAPPING
#define USING    (PKCS11_WRAPPING | PKCS11_UNWRAPPING)

/* The first row that fits the code and the place decides. */
static const struct {
	CK_RV code;
	const char *name;
	unsigned places;
	int errno_code;
	enum key_state state;
	bool is_retryable;
	const char *advice;
} outcomes[] = {
#define ROW(code, places, errno_code, state, is_retryable, advice)                       \
	{                                                                                \
		code, #code, places, errno_code, KEY_STATE_##state, is_retryable, advice \
	}
	ROW(CKR_PIN_INCORRECT, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false,
	    "correct the PIN; it is not tried again before it changes, since tokens lock themselves"),
	ROW(CKR_PIN_INVALID, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false, "correct the PIN"),
	ROW(CKR_PIN_LEN_RANGE, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false,
	    "correct the PIN"),
	ROW(CKR_PIN_EXPIRED, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false,
	    "set a new PIN with the token's own tool"),
	ROW(CKR_USER_PIN_NOT_INITIALIZED, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false,
	    "set a user PIN with the token's own tool"),
	ROW(CKR_USER_NOT_LOGGED_IN, ANYWHERE, -EKEYEXPIRED, CREDENTIALS_EXPIRED, false,
	    "name the PIN with pin_file, pin_credential, pin_command or pin_env"),
	ROW(CKR_PIN_LOCKED, ANYWHERE, -EACCES, DENIED, false,
	    "unlock the PIN with the security officer's"),
	ROW(CKR_ACTION_PROHIBITED, ANYWHERE, -EACCES, DENIED, false, NULL),
	ROW(CKR_FUNCTION_REJECTED, ANYWHERE, -EACCES, DENIED, false, NULL),
	ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, ANYWHERE, -EKEYREVOKED, DISABLED, false,
	    "the key needs CKA_ENCRYPT and CKA_DECRYPT, or CKA_WRAP and CKA_UNWRAP"),
	ROW(CKR_ENCRYPTED_DATA_INVALID, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	ROW(CKR_WRAPPED_KEY_INVALID, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	ROW(CKR_WRAPPED_KEY_LEN_RANGE, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	ROW(CKR_DATA_INVALID, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	/* What SoftHSM says when a tag does not verify. */
	ROW(CKR_GENERAL_ERROR, OPENING, -EKEYREJECTED, UNKNOWN, false, NULL),
	ROW(CKR_GENERAL_ERROR, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_FUNCTION_FAILED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_DEVICE_ERROR, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_DEVICE_MEMORY, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_HOST_MEMORY, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_DEVICE_REMOVED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, "insert the token"),
	ROW(CKR_TOKEN_NOT_PRESENT, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, "insert the token"),
	ROW(CKR_SLOT_ID_INVALID, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, "insert the token"),
	ROW(CKR_TOKEN_NOT_RECOGNIZED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_SESSION_COUNT, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true,
	    "the token has no more sessions to give"),
	ROW(CKR_SESSION_CLOSED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_SESSION_HANDLE_INVALID, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_CRYPTOKI_NOT_INITIALIZED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_LIBRARY_LOAD_FAILED, ANYWHERE, -EHOSTUNREACH, UNREACHABLE, true, NULL),
	ROW(CKR_KEY_HANDLE_INVALID, ANYWHERE, -ENOKEY, DELETED, false, NULL),
	ROW(CKR_OBJECT_HANDLE_INVALID, ANYWHERE, -ENOKEY, DELETED, false, NULL),
	ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID, ANYWHERE, -ENOKEY, DELETED, false, NULL),
	ROW(CKR_WRAPPING_KEY_HANDLE_INVALID, ANYWHERE, -ENOKEY, DELETED, false, NULL),
	ROW(CKR_MECHANISM_INVALID, USING, -EINVAL, UNKNOWN, false,
	    "the token must have AES-GCM, AES key wrap, or RSA-OAEP with SHA-256"),
	ROW(CKR_MECHANISM_PARAM_INVALID, USING, -EINVAL, UNKNOWN, false,
	    "the token must have AES-GCM, AES key wrap, or RSA-OAEP with SHA-256"),
	ROW(CKR_ARGUMENTS_BAD, USING, -EINVAL, UNKNOWN, false,
	    "the token must have AES-GCM, AES key wrap, or RSA-OAEP with SHA-256"),
	ROW(CKR_KEY_TYPE_INCONSISTENT, USING, -EINVAL, UNKNOWN, false, NULL),
	ROW(CKR_KEY_UNEXTRACTABLE, USING, -EINVAL, UNKNOWN, false, NULL),
	ROW(CKR_ATTRIBUTE_SENSITIVE, USING, -EINVAL, UNKNOWN, false, NULL),
	ROW(CKR_FUNCTION_NOT_SUPPORTED, ANYWHERE, -EINVAL, UNKNOWN, false, NULL),
#undef ROW
};

bool pkcs11_is_lost(CK_RV code)
{
	switch (code) {
	case CKR_SESSION_CLOSED:
	case CKR_SESSION_HANDLE_INVALID:
	case CKR_USER_NOT_LOGGED_IN:
	case CKR_KEY_HANDLE_INVALID:
	case CKR_OBJECT_HANDLE_INVALID:
	case CKR_WRAPPING_KEY_HANDLE_INVALID:
	case CKR_UNWRAPPING_KEY_HANDLE_INVALID:
	case CKR_CRYPTOKI_NOT_INITIALIZED:
	case CKR_DEVICE_ERROR:
	case CKR_DEVICE_REMOVED:
	case CKR_TOKEN_NOT_PRESENT:
	case CKR_TOKEN_NOT_RECOGNIZED:
	case CKR_SLOT_ID_INVALID:
		return true;
	default:
		return false;
	}
}

int pkcs11_fail(CK_RV code, enum pkcs11_place place, const char *operation, const char *key,
		struct kms_error *error)
{
	size_t i = 0;
	int r;

	while (i < ARRAY_SIZE(outcomes) &&
	       (outcomes[i].code != code || !(outcomes[i].places & (unsigned)place)))
		i++;
	if (i == ARRAY_SIZE(outcomes)) {
		r = kms_fail(error, -EPROTO, KEY_STATE_UNREACHABLE, "%s: %s of %s: CKR 0x%lx: %s",
			     PKCS11_SERVICE, operation, key, code, p11_kit_strerror(code));
		error->is_retryable = true;
		(void)snprintf(error->service_code, sizeof(error->service_code), "0x%lx", code);
	} else {
		r = kms_fail(error, outcomes[i].errno_code, outcomes[i].state,
			     "%s: %s of %s: %s: %s", PKCS11_SERVICE, operation, key,
			     outcomes[i].name, p11_kit_strerror(code));
		error->is_retryable = outcomes[i].is_retryable;
		if (outcomes[i].advice)
			kms_advise(error, "%s", outcomes[i].advice);
		(void)snprintf(error->service_code, sizeof(error->service_code), "%s",
			       outcomes[i].name);
	}
	(void)snprintf(error->operation, sizeof(error->operation), "%s", operation);
	return r;
}
