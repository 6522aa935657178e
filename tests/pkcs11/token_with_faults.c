/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module in front of SoftHSM that does what other tokens do and SoftHSM cannot be made to:
 *
 *   SOFTHSM_MODULE        the library behind
 *   PKCS11_FAULTS_FILE    read at every call; each line is "FUNCTION VALUE": the code that it returns, "hang", or for
 *                         "iv own" that IVs are the token's, who wants zeros in their place
 *   PKCS11_CALLS_FILE     each call of a function that is watched adds a line
 *
 * RSA-OAEP with SHA-256, which SoftHSM lacks, is padded here around its raw RSA.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULUS_SIZE 256
#define SESSIONS_MAX 64

static CK_FUNCTION_LIST *behind;
static CK_FUNCTION_LIST ours;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CK_SESSION_HANDLE oaep_sessions[SESSIONS_MAX];

static bool fault_of(const char *function, char value[static 32])
{
	const char *path = getenv("PKCS11_FAULTS_FILE");
	FILE *file = path ? fopen(path, "re") : NULL;
	char name[64];
	bool is_found = false;

	while (file && !is_found && fscanf(file, "%63s %31s", name, value) == 2)
		is_found = !strcmp(name, function);
	if (file)
		fclose(file);
	return is_found;
}

static void count(const char *function)
{
	const char *path = getenv("PKCS11_CALLS_FILE");
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (!file)
		return;
	fprintf(file, "%s\n", function);
	fclose(file);
}

/* The code to return instead of asking, or CKR_OK. */
static CK_RV enter(const char *function)
{
	char value[32];

	count(function);
	if (!fault_of(function, value))
		return CKR_OK;
	if (!strcmp(value, "hang")) {
		sleep(4);
		return CKR_OK;
	}
	return strtoul(value, NULL, 0);
}

static CK_SESSION_HANDLE *oaep_mark(CK_SESSION_HANDLE session)
{
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		if (oaep_sessions[i] == session)
			return &oaep_sessions[i];
	return NULL;
}

static bool set_oaep(CK_SESSION_HANDLE session, bool is_oaep)
{
	CK_SESSION_HANDLE *mark;

	pthread_mutex_lock(&lock);
	mark = oaep_mark(session);
	if (is_oaep && !mark)
		mark = oaep_mark(0);
	if (mark)
		*mark = is_oaep ? session : 0;
	pthread_mutex_unlock(&lock);
	return mark != NULL;
}

static bool is_oaep_256(const CK_MECHANISM *mechanism)
{
	const CK_RSA_PKCS_OAEP_PARAMS *parameters = mechanism->pParameter;

	return mechanism->mechanism == CKM_RSA_PKCS_OAEP && parameters->hashAlg == CKM_SHA256 &&
	       parameters->mgf == CKG_MGF1_SHA256;
}

static CK_RV begin(CK_RV (*init)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE),
		   CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM raw = { CKM_RSA_X_509, NULL, 0 };

	(void)set_oaep(session, false);
	if (!is_oaep_256(mechanism))
		return init(session, mechanism, key);
	if (!set_oaep(session, true))
		return CKR_HOST_MEMORY;
	return init(session, &raw, key);
}

static CK_RV own_iv(CK_MECHANISM *mechanism)
{
	static const uint8_t zeros[12];
	const CK_GCM_PARAMS *parameters = mechanism->pParameter;
	char value[32];

	if (mechanism->mechanism != CKM_AES_GCM || !fault_of("iv", value))
		return CKR_OK;
	if (parameters->ulIvLen != sizeof(zeros) || memcmp(parameters->pIv, zeros, sizeof(zeros)))
		return CKR_MECHANISM_PARAM_INVALID;
	return RAND_bytes(parameters->pIv, sizeof(zeros)) == 1 ? CKR_OK : CKR_FUNCTION_FAILED;
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_RV code = enter("C_EncryptInit");

	if (code == CKR_OK)
		code = own_iv(mechanism);
	return code == CKR_OK ? begin(behind->C_EncryptInit, session, mechanism, key) : code;
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG size, CK_BYTE *sealed,
		     CK_ULONG *sealed_size)
{
	uint8_t padded[MODULUS_SIZE];
	CK_RV code = enter("C_Encrypt");

	if (code != CKR_OK || !set_oaep(session, false))
		return code == CKR_OK ? behind->C_Encrypt(session, data, size, sealed, sealed_size)
				      : code;
	if (RSA_padding_add_PKCS1_OAEP_mgf1(padded, sizeof(padded), data, (int)size, NULL, 0,
					    EVP_sha256(), EVP_sha256()) != 1)
		return CKR_DATA_LEN_RANGE;
	return behind->C_Encrypt(session, padded, sizeof(padded), sealed, sealed_size);
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_RV code = enter("C_DecryptInit");

	return code == CKR_OK ? begin(behind->C_DecryptInit, session, mechanism, key) : code;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *sealed, CK_ULONG sealed_size,
		     CK_BYTE *data, CK_ULONG *size)
{
	uint8_t padded[MODULUS_SIZE];
	CK_ULONG padded_size = sizeof(padded);
	CK_RV code = enter("C_Decrypt");
	int opened;

	if (code != CKR_OK || !set_oaep(session, false))
		return code == CKR_OK ? behind->C_Decrypt(session, sealed, sealed_size, data, size)
				      : code;
	code = behind->C_Decrypt(session, sealed, sealed_size, padded, &padded_size);
	if (code != CKR_OK)
		return code;
	/* The number that was padded begins with a zero, which this function wants left out. */
	opened = RSA_padding_check_PKCS1_OAEP_mgf1(data, (int)*size, padded + 1,
						   (int)padded_size - 1, MODULUS_SIZE, NULL, 0,
						   EVP_sha256(), EVP_sha256());
	if (padded[0] || opened < 0)
		return CKR_ENCRYPTED_DATA_INVALID;
	*size = (CK_ULONG)opened;
	return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG size)
{
	CK_RV code = enter("C_Login");

	return code == CKR_OK ? behind->C_Login(session, user, pin, size) : code;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
			  CK_SESSION_HANDLE *session)
{
	CK_RV code = enter("C_OpenSession");

	return code == CKR_OK ? behind->C_OpenSession(slot, flags, application, notify, session)
			      : code;
}

/* A token that was pulled out is in no slot. */
static CK_RV get_slot_list(CK_BBOOL is_present, CK_SLOT_ID *slots, CK_ULONG *slot_count)
{
	CK_RV code = enter("C_GetSlotList");

	if (code == CKR_TOKEN_NOT_PRESENT) {
		*slot_count = 0;
		return CKR_OK;
	}
	return code == CKR_OK ? behind->C_GetSlotList(is_present, slots, slot_count) : code;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	CK_RV code = behind->C_GetTokenInfo(slot, info);
	char value[32];

	if (code == CKR_OK && fault_of("flags", value))
		info->flags |= strtoul(value, NULL, 0);
	return code;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
	const char *path = getenv("SOFTHSM_MODULE");
	void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_C_GetFunctionList get =
		library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;

	if (!get || get(&behind) != CKR_OK)
		return CKR_GENERAL_ERROR;
	ours = *behind;
	ours.C_GetFunctionList = C_GetFunctionList;
	ours.C_GetSlotList = get_slot_list;
	ours.C_GetTokenInfo = get_token_info;
	ours.C_OpenSession = open_session;
	ours.C_Login = login;
	ours.C_EncryptInit = encrypt_init;
	ours.C_Encrypt = encrypt;
	ours.C_DecryptInit = decrypt_init;
	ours.C_Decrypt = decrypt;
	*list = &ours;
	return CKR_OK;
}
