/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrapping with a key on a token.  Blob: kms/PROTOCOL.md, "pkcs11".
 *
 * Key wrap and OAEP have no associated data, so the ids that a slot is bound to are wrapped with the secret.
 */
#include <errno.h>
#include <string.h>

#include "kms/crypto/random.h"
#include "kms/providers/pkcs11_internal.h"

#define BLOB_VERSION 1
#define AAD_LABEL    "snapcrypt/1"
#define AAD_SIZE     (sizeof(AAD_LABEL) - 1 + 2 * (size_t)UUID_SIZE)
#define BOUND_SIZE   (SLOT_SECRET_SIZE + 2 * (size_t)UUID_SIZE)
#define GCM_IV_SIZE  12
#define GCM_TAG_SIZE 16
#define GCM_SIZE     (SLOT_SECRET_SIZE + GCM_TAG_SIZE)
#define HEAD_SIZE    2

/* RFC 5649; p11-kit's header ends before version 3 of the standard. */
#define MECHANISM_AES_KEY_WRAP_KWP 0x210BUL

/* Stored in the blob. */
enum scheme { SCHEME_GCM = 1, SCHEME_KW = 2, SCHEME_KWP = 3, SCHEME_PAD = 4, SCHEME_OAEP = 5 };

static const struct {
	enum scheme scheme;
	CK_MECHANISM_TYPE mechanism;
	const char *name;
	bool is_rsa;
	bool is_key_wrap;
} schemes[] = {
	{ SCHEME_GCM, CKM_AES_GCM, "AES-GCM", false, false },
	{ SCHEME_KW, CKM_AES_KEY_WRAP, "AES-KW", false, true },
	{ SCHEME_KWP, MECHANISM_AES_KEY_WRAP_KWP, "AES-KWP", false, true },
	{ SCHEME_PAD, CKM_AES_KEY_WRAP_PAD, "AES-KWP", false, true },
	{ SCHEME_OAEP, CKM_RSA_PKCS_OAEP, "RSA-OAEP-256", true, false },
};

/* What the two directions need. */
struct work {
	const struct pkcs11_visit *visit;
	const struct wrap_context *context;
	CK_RV code;
	struct kms_error *error;
};

static void make_aad(const struct wrap_context *context, uint8_t aad[static AAD_SIZE])
{
	memcpy(aad, AAD_LABEL, sizeof(AAD_LABEL) - 1);
	memcpy(aad + sizeof(AAD_LABEL) - 1, context->volume.bytes, UUID_SIZE);
	memcpy(aad + sizeof(AAD_LABEL) - 1 + UUID_SIZE, context->snapshot.bytes, UUID_SIZE);
}

static int refuse(struct work *work, const char *operation, enum pkcs11_place place)
{
	return pkcs11_fail(work->code, place, operation, work->visit->key.key_id, work->error);
}

static CK_MECHANISM oaep_mechanism(CK_RSA_PKCS_OAEP_PARAMS *parameters)
{
	*parameters = (CK_RSA_PKCS_OAEP_PARAMS){ .hashAlg = CKM_SHA256,
						 .mgf = CKG_MGF1_SHA256,
						 .source = CKZ_DATA_SPECIFIED };
	return (CK_MECHANISM){ CKM_RSA_PKCS_OAEP, parameters, sizeof(*parameters) };
}

static CK_MECHANISM gcm_mechanism(CK_GCM_PARAMS *parameters, uint8_t iv[static GCM_IV_SIZE],
				  uint8_t aad[static AAD_SIZE])
{
	*parameters = (CK_GCM_PARAMS){ .pIv = iv,
				       .ulIvLen = GCM_IV_SIZE,
				       .ulIvBits = GCM_IV_SIZE * 8,
				       .pAAD = aad,
				       .ulAADLen = AAD_SIZE,
				       .ulTagBits = GCM_TAG_SIZE * 8 };
	return (CK_MECHANISM){ CKM_AES_GCM, parameters, sizeof(*parameters) };
}

/* One encryption; the token may have replaced the IV by its own. */
static CK_RV gcm_encrypt_once(struct work *work, struct bytes plain, uint8_t iv[static GCM_IV_SIZE],
			      uint8_t sealed[static GCM_SIZE])
{
	CK_FUNCTION_LIST *module = work->visit->module;
	uint8_t aad[AAD_SIZE];
	CK_GCM_PARAMS parameters;
	CK_MECHANISM mechanism = gcm_mechanism(&parameters, iv, aad);
	CK_ULONG size = GCM_SIZE;
	CK_RV code;

	make_aad(work->context, aad);
	code = module->C_EncryptInit(work->visit->session, &mechanism, work->visit->key.handle);
	if (code == CKR_OK)
		code = module->C_Encrypt(work->visit->session, (CK_BYTE *)(uintptr_t)plain.data,
					 plain.size, sealed, &size);
	return code == CKR_OK && size != GCM_SIZE ? CKR_ENCRYPTED_DATA_LEN_RANGE : code;
}

/* Some tokens draw the IV themselves and want zeros where it goes. */
static int gcm_wrap(struct work *work, const struct secret *secret, struct writer *blob)
{
	static const uint8_t zeros[GCM_IV_SIZE];
	uint8_t iv[GCM_IV_SIZE], sealed[GCM_SIZE];
	int r = random_fill(iv, sizeof(iv));

	if (r < 0)
		return kms_fail(work->error, r, KEY_STATE_UNKNOWN, "no random bytes");
	work->code = gcm_encrypt_once(work, secret_bytes(secret), iv, sealed);
	if (work->code == CKR_MECHANISM_PARAM_INVALID || work->code == CKR_ARGUMENTS_BAD) {
		memset(iv, 0, sizeof(iv));
		work->code = gcm_encrypt_once(work, secret_bytes(secret), iv, sealed);
		if (work->code == CKR_OK && !memcmp(iv, zeros, sizeof(iv)))
			work->code = CKR_MECHANISM_PARAM_INVALID;
	}
	if (work->code != CKR_OK)
		return refuse(work, "C_Encrypt", PKCS11_WRAPPING);
	write_bytes(blob, iv, sizeof(iv));
	write_bytes(blob, sealed, sizeof(sealed));
	return 0;
}

static int gcm_unwrap(struct work *work, struct bytes blob, struct secret *plain)
{
	CK_FUNCTION_LIST *module = work->visit->module;
	uint8_t aad[AAD_SIZE], iv[GCM_IV_SIZE], sealed[GCM_SIZE];
	CK_GCM_PARAMS parameters;
	CK_MECHANISM mechanism = gcm_mechanism(&parameters, iv, aad);
	CK_ULONG size = secret_bytes(plain).size;

	if (blob.size != GCM_IV_SIZE + GCM_SIZE) {
		work->code = CKR_ENCRYPTED_DATA_LEN_RANGE;
		return refuse(work, "C_Decrypt", PKCS11_UNWRAPPING);
	}
	memcpy(iv, blob.data, GCM_IV_SIZE);
	memcpy(sealed, blob.data + GCM_IV_SIZE, GCM_SIZE);
	make_aad(work->context, aad);
	work->code = module->C_DecryptInit(work->visit->session, &mechanism,
					   work->visit->key.handle);
	if (work->code == CKR_OK)
		work->code = module->C_Decrypt(work->visit->session, sealed, GCM_SIZE,
					       secret_data(plain), &size);
	if (work->code == CKR_OK && size != SLOT_SECRET_SIZE)
		work->code = CKR_ENCRYPTED_DATA_INVALID;
	return work->code == CKR_OK ? 0 : refuse(work, "C_Decrypt", PKCS11_UNWRAPPING);
}

/* Key wrap takes objects: what we wrap is one for a moment, in this session only. */
static int key_wrap(struct work *work, CK_MECHANISM_TYPE type, const struct secret *bound,
		    struct writer *blob)
{
	CK_FUNCTION_LIST *module = work->visit->module;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE key_type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &key_type, sizeof(key_type) },
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
		{ CKA_VALUE, (void *)(uintptr_t)secret_bytes(bound).data, BOUND_SIZE },
	};
	CK_MECHANISM mechanism = { type, NULL, 0 };
	uint8_t wrapped[BOUND_SIZE + 16];
	CK_ULONG size = sizeof(wrapped);
	CK_OBJECT_HANDLE object;

	work->code = module->C_CreateObject(work->visit->session, template, ARRAY_SIZE(template),
					    &object);
	if (work->code != CKR_OK)
		return refuse(work, "C_CreateObject", PKCS11_WRAPPING);
	work->code = module->C_WrapKey(work->visit->session, &mechanism, work->visit->key.handle,
				       object, wrapped, &size);
	(void)module->C_DestroyObject(work->visit->session, object);
	if (work->code != CKR_OK)
		return refuse(work, "C_WrapKey", PKCS11_WRAPPING);
	write_bytes(blob, wrapped, size);
	return 0;
}

static int key_unwrap(struct work *work, CK_MECHANISM_TYPE type, struct bytes blob,
		      struct secret *bound)
{
	CK_FUNCTION_LIST *module = work->visit->module;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE key_type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_KEY_TYPE, &key_type, sizeof(key_type) },
		{ CKA_TOKEN, &no, sizeof(no) },
		{ CKA_SENSITIVE, &no, sizeof(no) },
		{ CKA_EXTRACTABLE, &yes, sizeof(yes) },
	};
	CK_ATTRIBUTE value = { CKA_VALUE, secret_data(bound), BOUND_SIZE };
	CK_MECHANISM mechanism = { type, NULL, 0 };
	CK_OBJECT_HANDLE object;

	work->code = module->C_UnwrapKey(work->visit->session, &mechanism, work->visit->key.handle,
					 (CK_BYTE *)(uintptr_t)blob.data, blob.size, template,
					 ARRAY_SIZE(template), &object);
	if (work->code != CKR_OK)
		return refuse(work, "C_UnwrapKey", PKCS11_UNWRAPPING);
	work->code = module->C_GetAttributeValue(work->visit->session, object, &value, 1);
	(void)module->C_DestroyObject(work->visit->session, object);
	if (work->code == CKR_OK && value.ulValueLen != BOUND_SIZE)
		work->code = CKR_WRAPPED_KEY_INVALID;
	return work->code == CKR_OK ? 0 : refuse(work, "C_GetAttributeValue", PKCS11_UNWRAPPING);
}

static int oaep_wrap(struct work *work, const struct secret *bound, struct writer *blob)
{
	CK_FUNCTION_LIST *module = work->visit->module;
	CK_RSA_PKCS_OAEP_PARAMS parameters;
	CK_MECHANISM mechanism = oaep_mechanism(&parameters);
	struct bytes plain = secret_bytes(bound);
	uint8_t sealed[8192 / 8];
	CK_ULONG size = sizeof(sealed);

	if (!work->visit->key.public_handle)
		return kms_fail(work->error, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: its public key is not on the token beside it",
				work->visit->key.key_id);
	work->code = module->C_EncryptInit(work->visit->session, &mechanism,
					   work->visit->key.public_handle);
	if (work->code == CKR_OK)
		work->code = module->C_Encrypt(work->visit->session,
					       (CK_BYTE *)(uintptr_t)plain.data, plain.size, sealed,
					       &size);
	if (work->code != CKR_OK)
		return refuse(work, "C_Encrypt", PKCS11_WRAPPING);
	write_bytes(blob, sealed, size);
	return 0;
}

static int oaep_unwrap(struct work *work, struct bytes blob, struct secret *bound)
{
	CK_FUNCTION_LIST *module = work->visit->module;
	CK_RSA_PKCS_OAEP_PARAMS parameters;
	CK_MECHANISM mechanism = oaep_mechanism(&parameters);
	/* Tokens may ask for room for the whole modulus. */
	CK_ULONG size = 8192 / 8;
	CLEANUP(secret_free_cleanup) uint8_t *opened = secret_alloc(size);

	if (!opened)
		return kms_fail(work->error, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	work->code = module->C_DecryptInit(work->visit->session, &mechanism,
					   work->visit->key.handle);
	if (work->code == CKR_OK)
		work->code = module->C_Decrypt(work->visit->session,
					       (CK_BYTE *)(uintptr_t)blob.data, blob.size, opened,
					       &size);
	if (work->code == CKR_OK && size != BOUND_SIZE)
		work->code = CKR_ENCRYPTED_DATA_INVALID;
	if (work->code != CKR_OK)
		return refuse(work, "C_Decrypt", PKCS11_UNWRAPPING);
	memcpy(secret_data(bound), opened, BOUND_SIZE);
	return 0;
}

static bool has_mechanism(const struct pkcs11_visit *visit, CK_MECHANISM_TYPE type)
{
	CK_MECHANISM_INFO info;

	return visit->module->C_GetMechanismInfo(visit->slot, type, &info) == CKR_OK;
}

/* The first that the key may be used for and that the token has; GCM where nothing fits, so that the token says why not. */
static size_t choose_scheme(const struct pkcs11_visit *visit)
{
	const struct pkcs11_key *key = &visit->key;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (schemes[i].is_rsa == key->is_rsa &&
		    (schemes[i].is_rsa ||
		     (schemes[i].is_key_wrap ? key->may_wrap : key->may_encrypt)) &&
		    has_mechanism(visit, schemes[i].mechanism))
			return i;
	return key->is_rsa ? ARRAY_SIZE(schemes) - 1 : 0;
}

static int bind(const struct wrap_context *context, const struct secret *secret,
		struct secret **ret_bound)
{
	int r = secret_new(BOUND_SIZE, ret_bound);

	if (r < 0)
		return r;
	memcpy(secret_data(*ret_bound), secret_bytes(secret).data, SLOT_SECRET_SIZE);
	memcpy(secret_data(*ret_bound) + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE);
	memcpy(secret_data(*ret_bound) + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes,
	       UUID_SIZE);
	return 0;
}

int pkcs11_wrap(const struct pkcs11_visit *visit, const struct wrap_context *context,
		const struct secret *secret, struct slot *slot, CK_RV *ret_code,
		struct kms_error *error)
{
	size_t i = choose_scheme(visit);
	struct work work = { .visit = visit, .context = context, .error = error };
	CLEANUP(secret_cleanup) struct secret *bound = NULL;
	struct writer blob;
	int r;

	writer_init(&blob, slot->wrapped, sizeof(slot->wrapped));
	write_u8(&blob, BLOB_VERSION);
	write_u8(&blob, (uint8_t)schemes[i].scheme);
	if (bind(context, secret, &bound) < 0)
		return kms_fail(error, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	if (schemes[i].scheme == SCHEME_GCM)
		r = gcm_wrap(&work, secret, &blob);
	else if (schemes[i].is_key_wrap)
		r = key_wrap(&work, schemes[i].mechanism, bound, &blob);
	else
		r = oaep_wrap(&work, bound, &blob);
	*ret_code = work.code;
	if (r < 0)
		return r;
	slot->wrapped_size = writer_bytes(&blob).size;
	return text_pairs_set(&slot->parameters, "algorithm", schemes[i].name);
}

static int refuse_slot(const struct slot *slot, struct kms_error *error)
{
	return kms_fail(error, -EKEYREJECTED, KEY_STATE_UNKNOWN, "%s: not a slot of this key",
			slot->key_id);
}

static int unwrap_bound(struct work *work, size_t scheme, struct bytes blob,
			struct secret **ret_secret)
{
	CLEANUP(secret_cleanup) struct secret *bound = NULL;
	CLEANUP(secret_cleanup) struct secret *expected = NULL;
	int r;

	r = secret_new(BOUND_SIZE, &bound);
	if (r < 0)
		return kms_fail(work->error, r, KEY_STATE_UNKNOWN, "out of secret memory");
	r = schemes[scheme].is_key_wrap ? key_unwrap(work, schemes[scheme].mechanism, blob, bound)
					: oaep_unwrap(work, blob, bound);
	if (r < 0)
		return r;
	r = bind(work->context, bound, &expected);
	if (r < 0)
		return kms_fail(work->error, r, KEY_STATE_UNKNOWN, "out of secret memory");
	if (!secret_equal(secret_data(expected), secret_data(bound), BOUND_SIZE))
		return kms_fail(work->error, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"the slot of %s belongs to another snapshot",
				work->visit->key.key_id);
	return secret_copy((struct bytes){ secret_data(bound), SLOT_SECRET_SIZE }, ret_secret);
}

int pkcs11_unwrap(const struct pkcs11_visit *visit, const struct wrap_context *context,
		  const struct slot *slot, struct secret **ret_secret, CK_RV *ret_code,
		  struct kms_error *error)
{
	struct work work = { .visit = visit, .context = context, .error = error };
	const struct bytes blob = { slot->wrapped + HEAD_SIZE, slot->wrapped_size - HEAD_SIZE };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	size_t i = 0;
	int r;

	*ret_code = CKR_OK;
	if (slot->wrapped_size <= HEAD_SIZE || slot->wrapped[0] != BLOB_VERSION)
		return refuse_slot(slot, error);
	while (i < ARRAY_SIZE(schemes) && schemes[i].scheme != slot->wrapped[1])
		i++;
	if (i == ARRAY_SIZE(schemes) || schemes[i].is_rsa != visit->key.is_rsa ||
	    strcmp(slot->key_id, visit->key.key_id) != 0)
		return refuse_slot(slot, error);
	if (!visit->key.handle)
		return kms_fail(error, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"%s: only its public key is there", slot->key_id);
	if (schemes[i].scheme != SCHEME_GCM) {
		r = unwrap_bound(&work, i, blob, ret_secret);
		*ret_code = work.code;
		return r;
	}
	/* Some tokens ask for as much room as the sealed bytes have. */
	r = secret_new(GCM_SIZE, &secret);
	if (r < 0)
		return kms_fail(error, r, KEY_STATE_UNKNOWN, "out of secret memory");
	r = gcm_unwrap(&work, blob, secret);
	*ret_code = work.code;
	return r < 0 ? r
		     : secret_copy((struct bytes){ secret_data(secret), SLOT_SECRET_SIZE },
				   ret_secret);
}
