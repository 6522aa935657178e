/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AES-256 key on a token, and what it may be used for, which pkcs11-tool cannot say:
 *
 *   pkcs11_key MODULE TOKEN LABEL ID USE     PIN: the environment's PKCS11_PIN
 *
 * USE is encrypt, wrap or none.  A key that is there already is changed.
 */
#include <p11-kit/p11-kit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/macros.h"

static CK_FUNCTION_LIST *module;

static void must(CK_RV code, const char *what)
{
	if (code == CKR_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, p11_kit_strerror(code));
	exit(1);
}

static CK_SESSION_HANDLE log_in(const char *label)
{
	const char *pin = getenv("PKCS11_PIN");
	CK_SESSION_HANDLE session;
	CK_SLOT_ID slots[16];
	CK_ULONG count = ARRAY_SIZE(slots);
	CK_TOKEN_INFO info;
	CK_ULONG i = 0;

	must(module->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	for (; i < count; i++) {
		must(module->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
		if (p11_kit_space_strlen(info.label, sizeof(info.label)) == strlen(label) &&
		    !memcmp(info.label, label, strlen(label)))
			break;
	}
	if (i == count || !pin)
		exit(2);
	must(module->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
				   &session),
	     "C_OpenSession");
	must(module->C_Login(session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin)),
	     "C_Login");
	return session;
}

static CK_OBJECT_HANDLE make_key(CK_SESSION_HANDLE session, char *label, struct bytes id)
{
	CK_MECHANISM mechanism = { CKM_AES_KEY_GEN, NULL, 0 };
	CK_BBOOL yes = CK_TRUE;
	CK_ULONG size = 32;
	CK_ATTRIBUTE template[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) },
		{ CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) },
		{ CKA_VALUE_LEN, &size, sizeof(size) },
		{ CKA_LABEL, label, strlen(label) },
		{ CKA_ID, (void *)(uintptr_t)id.data, id.size },
	};
	CK_OBJECT_HANDLE key;

	must(module->C_GenerateKey(session, &mechanism, template, ARRAY_SIZE(template), &key),
	     "C_GenerateKey");
	return key;
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, struct bytes id)
{
	CK_ATTRIBUTE template[] = { { CKA_ID, (void *)(uintptr_t)id.data, id.size } };
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG count = 0;

	must(module->C_FindObjectsInit(session, template, ARRAY_SIZE(template)), "C_FindObjects");
	must(module->C_FindObjects(session, &key, 1, &count), "C_FindObjects");
	must(module->C_FindObjectsFinal(session), "C_FindObjects");
	return count ? key : 0;
}

int main(int argc, char **argv)
{
	uint8_t id[64];
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	ssize_t size;

	if (argc != 6)
		return 2;
	size = hex_decode(bytes_from_text(argv[4]), id, sizeof(id));
	module = size > 0 ? p11_kit_module_load(argv[1], 0) : NULL;
	if (!module)
		return 2;
	must(p11_kit_module_initialize(module), "C_Initialize");
	session = log_in(argv[2]);
	key = find_key(session, (struct bytes){ id, (size_t)size });
	if (!key)
		key = make_key(session, argv[3], (struct bytes){ id, (size_t)size });

	CK_BBOOL may_encrypt = !strcmp(argv[5], "encrypt"), may_wrap = !strcmp(argv[5], "wrap");
	CK_ATTRIBUTE uses[] = {
		{ CKA_ENCRYPT, &may_encrypt, sizeof(may_encrypt) },
		{ CKA_DECRYPT, &may_encrypt, sizeof(may_encrypt) },
		{ CKA_WRAP, &may_wrap, sizeof(may_wrap) },
		{ CKA_UNWRAP, &may_wrap, sizeof(may_wrap) },
	};
	must(module->C_SetAttributeValue(session, key, uses, ARRAY_SIZE(uses)),
	     "C_SetAttributeValue");
	p11_kit_module_finalize(module);
	p11_kit_module_release(module);
	return 0;
}
