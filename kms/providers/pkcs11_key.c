/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in to a token, and finding the key on it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/credentials/secret_source.h"
#include "kms/providers/pkcs11_internal.h"

#define TEMPLATE_MAX 8
#define MODULUS_MIN  (2048 / 8)
#define MODULUS_MAX  (8192 / 8)

static int read_pin(struct pkcs11 *pkcs11, struct secret **ret_pin, struct kms_error *error)
{
	int r = secret_source_read(pkcs11->config, "pin", ret_pin, error);

	return r == -ENOENT && pkcs11->pin_file
		       ? secret_source_file(pkcs11->pin_file, ret_pin, error)
		       : r;
}

static bool is_refused_pin(const struct pkcs11 *pkcs11, const struct secret *pin)
{
	struct bytes refused, given = secret_bytes(pin);

	if (!pkcs11->refused_pin)
		return false;
	refused = secret_bytes(pkcs11->refused_pin);
	return refused.size == given.size && secret_equal(refused.data, given.data, given.size);
}

/* PIN: NULL where the token has a keypad of its own. */
static int log_in_with(struct pkcs11 *pkcs11, const struct secret *pin, struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	struct bytes text = pin ? secret_bytes(pin) : (struct bytes){ 0 };
	CK_RV code = token->module->C_Login(token->session, CKU_USER,
					    (CK_UTF8CHAR *)(uintptr_t)text.data, text.size);

	if (code == CKR_OK || code == CKR_USER_ALREADY_LOGGED_IN) {
		token->is_logged_in = true;
		secret_drop(TAKE(pkcs11->refused_pin));
		return 0;
	}
	if (pin &&
	    (code == CKR_PIN_INCORRECT || code == CKR_PIN_INVALID || code == CKR_PIN_LEN_RANGE)) {
		secret_drop(TAKE(pkcs11->refused_pin));
		if (secret_copy(text, &pkcs11->refused_pin) < 0)
			pkcs11->refused_pin = NULL;
	}
	return pkcs11_fail(code, PKCS11_LOGIN, "C_Login", token->label, error);
}

int pkcs11_login(struct pkcs11 *pkcs11, struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	CLEANUP(secret_cleanup) struct secret *pin = NULL;
	CK_TOKEN_INFO info;
	CK_RV code;
	int r;

	if (!token->needs_login)
		return 0;
	code = token->module->C_GetTokenInfo(token->slot, &info);
	if (code != CKR_OK)
		return pkcs11_fail(code, PKCS11_LOGIN, "C_GetTokenInfo", token->label, error);
	r = read_pin(pkcs11, &pin, error);
	if (r == -ENOENT)
		/* Public keys are seen without; what is not is asked for when it is missed. */
		return info.flags & CKF_PROTECTED_AUTHENTICATION_PATH
			       ? log_in_with(pkcs11, NULL, error)
			       : 0;
	if (r < 0)
		return r;
	if (info.flags & CKF_USER_PIN_LOCKED)
		return pkcs11_fail(CKR_PIN_LOCKED, PKCS11_LOGIN, "C_Login", token->label, error);
	if (is_refused_pin(pkcs11, pin))
		return pkcs11_fail(CKR_PIN_INCORRECT, PKCS11_LOGIN, "C_Login", token->label, error);
	if (info.flags & CKF_USER_PIN_FINAL_TRY) {
		r = kms_fail(error, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "%s: one more wrong PIN locks token %s", PKCS11_SERVICE, token->label);
		kms_advise(error, "log in once by hand with the token's own tool");
		return r;
	}
	return log_in_with(pkcs11, pin, error);
}

/* What the URI says of the object, and the class. */
static CK_ULONG make_template(struct pkcs11 *pkcs11, CK_OBJECT_CLASS *class,
			      CK_ATTRIBUTE template[static TEMPLATE_MAX])
{
	static const CK_ATTRIBUTE_TYPE named[] = { CKA_LABEL, CKA_ID };
	CK_ULONG count = 0;

	template[count++] = (CK_ATTRIBUTE){ CKA_CLASS, class, sizeof(*class) };
	for (size_t i = 0; i < ARRAY_SIZE(named); i++) {
		const CK_ATTRIBUTE *attribute = p11_kit_uri_get_attribute(pkcs11->uri, named[i]);

		if (attribute)
			template[count++] = *attribute;
	}
	return count;
}

/* 0: found, or *RET_HANDLE is 0. */
static int find_one(struct pkcs11_token *token, CK_ATTRIBUTE *template, CK_ULONG count,
		    CK_OBJECT_HANDLE *ret_handle, struct kms_error *error)
{
	CK_OBJECT_HANDLE found[2] = { 0 };
	CK_ULONG found_count = 0;
	CK_RV code;

	code = token->module->C_FindObjectsInit(token->session, template, count);
	if (code != CKR_OK)
		return pkcs11_fail(code, PKCS11_FINDING, "C_FindObjects", token->label, error);
	code = token->module->C_FindObjects(token->session, found, ARRAY_SIZE(found), &found_count);
	(void)token->module->C_FindObjectsFinal(token->session);
	if (code != CKR_OK)
		return pkcs11_fail(code, PKCS11_FINDING, "C_FindObjects", token->label, error);
	if (found_count > 1)
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN,
				"two keys of token %s fit; name one with id=", token->label);
	*ret_handle = found_count ? found[0] : 0;
	return 0;
}

static bool read_attribute(const struct pkcs11_token *token, CK_OBJECT_HANDLE object,
			   CK_ATTRIBUTE *attribute)
{
	return token->module->C_GetAttributeValue(token->session, object, attribute, 1) == CKR_OK &&
	       attribute->ulValueLen != CK_UNAVAILABLE_INFORMATION;
}

/* Tokens that do not tell decide when the key is used. */
static bool may(const struct pkcs11_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	CK_BBOOL value = CK_TRUE;

	return !object ||
	       !read_attribute(token, object, &(CK_ATTRIBUTE){ type, &value, sizeof(value) }) ||
	       value;
}

static int check_type(const struct pkcs11_token *token, CK_OBJECT_HANDLE object, bool is_rsa,
		      struct kms_error *error)
{
	CK_KEY_TYPE type = CKK_VENDOR_DEFINED;
	uint8_t modulus[MODULUS_MAX];
	CK_ATTRIBUTE attribute = { CKA_KEY_TYPE, &type, sizeof(type) };

	if (!read_attribute(token, object, &attribute) || type != (is_rsa ? CKK_RSA : CKK_AES))
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN,
				"the key on token %s is neither AES nor RSA", token->label);
	attribute = (CK_ATTRIBUTE){ CKA_MODULUS, modulus, sizeof(modulus) };
	if (is_rsa &&
	    (!read_attribute(token, object, &attribute) || attribute.ulValueLen < MODULUS_MIN))
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN,
				"the key on token %s: an RSA key needs 2048 to 8192 bits",
				token->label);
	return 0;
}

static int read_names(struct pkcs11_token *token, CK_OBJECT_HANDLE object, uint8_t *id,
		      size_t *ret_id_size, struct kms_error *error)
{
	unsigned char label[PKCS11_LABEL_SIZE - 1];
	CK_ATTRIBUTE attribute = { CKA_ID, id, PKCS11_ID_MAX };

	if (!read_attribute(token, object, &attribute) || !attribute.ulValueLen)
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN,
				"the key on token %s has no CKA_ID of 1 to %d bytes, which would "
				"name it in records",
				token->label, PKCS11_ID_MAX);
	*ret_id_size = attribute.ulValueLen;
	pkcs11_format_id(token->serial, (struct bytes){ id, *ret_id_size }, token->key.key_id);
	attribute = (CK_ATTRIBUTE){ CKA_LABEL, label, sizeof(label) };
	if (read_attribute(token, object, &attribute))
		pkcs11_copy_field(label, attribute.ulValueLen, token->key.label,
				  sizeof(token->key.label));
	return 0;
}

/* The other half of an RSA key has the same id; the public one may be missing where the URI asked for the private one. */
static int find_public_half(struct pkcs11_token *token, const uint8_t *id, size_t id_size,
			    struct kms_error *error)
{
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) },
				    { CKA_ID, (void *)(uintptr_t)id, id_size } };

	return find_one(token, template, ARRAY_SIZE(template), &token->key.public_handle, error);
}

static int describe_key(struct pkcs11_token *token, CK_OBJECT_HANDLE object, CK_OBJECT_CLASS class,
			struct kms_error *error)
{
	struct pkcs11_key *key = &token->key;
	uint8_t id[PKCS11_ID_MAX];
	size_t id_size = 0;
	int r;

	*key = (struct pkcs11_key){ .is_rsa = class != CKO_SECRET_KEY };
	if (class == CKO_PUBLIC_KEY)
		key->public_handle = object;
	else
		key->handle = object;
	r = check_type(token, object, key->is_rsa, error);
	if (r == 0)
		r = read_names(token, object, id, &id_size, error);
	if (r == 0 && class == CKO_PRIVATE_KEY)
		r = find_public_half(token, id, id_size, error);
	if (r < 0)
		return r;
	key->may_encrypt = may(token, key->is_rsa ? key->public_handle : object, CKA_ENCRYPT);
	key->may_wrap = may(token, key->is_rsa ? key->public_handle : object, CKA_WRAP);
	key->may_decrypt = may(token, key->handle, CKA_DECRYPT);
	key->may_unwrap = may(token, key->handle, CKA_UNWRAP);
	return 0;
}

static int fail_missing(struct pkcs11 *pkcs11, struct kms_error *error)
{
	const struct pkcs11_token *token = &pkcs11->token;
	int r;

	/* Private objects are not seen without a login: that it is not seen says nothing then. */
	if (token->needs_login && !token->is_logged_in) {
		r = kms_fail(error, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "%s: token %s asks for a PIN, and none is configured", PKCS11_SERVICE,
			     token->label);
		kms_advise(error, "name it with pin_file, pin_credential, pin_command or pin_env "
				  "of a [key] section");
		return r;
	}
	r = kms_fail(error, -ENOKEY, KEY_STATE_DELETED, "%s: there is no such key on token %s",
		     pkcs11->config->uri, token->label);
	kms_advise(error, "restore the key from the token's backup");
	return r;
}

int pkcs11_find_key(struct pkcs11 *pkcs11, struct kms_error *error)
{
	static const CK_OBJECT_CLASS classes[] = { CKO_SECRET_KEY, CKO_PRIVATE_KEY,
						   CKO_PUBLIC_KEY };
	const CK_ATTRIBUTE *wanted = p11_kit_uri_get_attribute(pkcs11->uri, CKA_CLASS);

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		CK_ATTRIBUTE template[TEMPLATE_MAX];
		CK_OBJECT_CLASS class = classes[i];
		CK_OBJECT_HANDLE object = 0;
		CK_ULONG count = make_template(pkcs11, &class, template);
		int r;

		if (wanted && memcmp(wanted->pValue, &class, sizeof(class)) != 0)
			continue;
		r = find_one(&pkcs11->token, template, count, &object, error);
		if (r == 0 && object)
			r = describe_key(&pkcs11->token, object, class, error);
		if (r < 0 || object)
			return r;
	}
	return fail_missing(pkcs11, error);
}
