/* SPDX-License-Identifier: Apache-2.0 */
/* Which token and key a URI of RFC 7512 names; p11-kit parses it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/providers/pkcs11_internal.h"

/*
 * A URI comes from command lines and records: nothing in it may choose the code that this process loads, nor hold a secret.
 */
static int check_query(const char *text, P11KitUri *uri, struct kms_error *reterr)
{
	static const char known[] = "pin-source=";
	const char *query = strchr(text, '?');

	if (p11_kit_uri_get_pin_value(uri))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"pin-value: a PIN does not belong into a URI; use pin_file, "
				"pin_credential, pin_command or pin_env of a [key] section");
	if (p11_kit_uri_get_module_path(uri) || p11_kit_uri_get_module_name(uri))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"module-path and module-name: libraries are named by `module` of a "
				"[key] section or by p11-kit's own configuration only");
	/* p11-kit keeps what it does not know for vendors. */
	if (p11_kit_uri_any_unrecognized(uri) ||
	    (query && (strncmp(query + 1, known, sizeof(known) - 1) != 0 || strchr(query, '&'))))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"a part of the PKCS#11 URI is not known");
	return 0;
}

static int copy_pin_file(P11KitUri *uri, char **ret_pin_file, struct kms_error *reterr)
{
	const char *source = p11_kit_uri_get_pin_source(uri);

	*ret_pin_file = NULL;
	if (!source)
		return 0;
	if (!strncmp(source, "file://", 7))
		source += 7;
	else if (!strncmp(source, "file:", 5))
		source += 5;
	if (*source != '/')
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"pin-source: write file:/PATH of a file that holds the PIN");
	*ret_pin_file = strdup(source);
	return *ret_pin_file ? 0 : kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
}

struct bytes pkcs11_uri_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE type)
{
	const CK_ATTRIBUTE *attribute = p11_kit_uri_get_attribute(uri, type);

	return attribute ? (struct bytes){ attribute->pValue, attribute->ulValueLen }
			 : (struct bytes){ 0 };
}

static int check_key(const char *text, P11KitUri *uri, struct kms_error *reterr)
{
	const CK_ATTRIBUTE *class = p11_kit_uri_get_attribute(uri, CKA_CLASS);
	CK_OBJECT_CLASS value = CKO_SECRET_KEY;

	if (class)
		memcpy(&value, class->pValue, sizeof(value));
	if (value != CKO_SECRET_KEY && value != CKO_PRIVATE_KEY && value != CKO_PUBLIC_KEY)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: the type is not a key's",
				text);
	if (!pkcs11_uri_attribute(uri, CKA_LABEL).size && !pkcs11_uri_attribute(uri, CKA_ID).size)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: name the key with object=LABEL or id=%%XX", text);
	return 0;
}

int pkcs11_parse_uri(const char *text, P11KitUri **ret_uri, char **ret_pin_file,
		     struct kms_error *reterr)
{
	P11KitUri *uri = p11_kit_uri_new();
	int r;

	if (!uri)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
	if (r != P11_KIT_URI_OK)
		/* Not repeated: it may hold a pin-value. */
		r = kms_fail(reterr, r == P11_KIT_URI_NO_MEMORY ? -ENOMEM : -EINVAL,
			     KEY_STATE_UNKNOWN,
			     "not a PKCS#11 URI (%s): write pkcs11:token=T;object=O;id=%%01",
			     p11_kit_uri_message(r));
	else
		r = check_query(text, uri, reterr);
	if (r == 0)
		r = check_key(text, uri, reterr);
	if (r == 0)
		r = copy_pin_file(uri, ret_pin_file, reterr);
	if (r < 0) {
		p11_kit_uri_free(uri);
		return r;
	}
	*ret_uri = uri;
	return 0;
}

void pkcs11_copy_field(const unsigned char *field, size_t size, char *text, size_t text_size)
{
	while (size && (field[size - 1] == ' ' || !field[size - 1]))
		size--;
	if (size >= text_size)
		size = text_size - 1;
	for (size_t i = 0; i < size; i++)
		text[i] = field[i] < 0x20 || field[i] == 0x7f ? '?' : (char)field[i];
	text[size] = 0;
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("-._~", c);
}

static size_t format_serial(const char *serial, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "pkcs11:serial=");

	for (; *serial && used + 4 < size; serial++)
		used += (size_t)snprintf(text + used, size - used,
					 is_unreserved(*serial) ? "%c" : "%%%02X",
					 (unsigned char)*serial);
	return used;
}

void pkcs11_format_id(const char *serial, struct bytes id, char key_id[static KEY_ID_SIZE])
{
	size_t used = format_serial(serial, key_id, KEY_ID_SIZE);

	used += (size_t)snprintf(key_id + used, KEY_ID_SIZE - used, ";id=");
	for (size_t i = 0; i < id.size && used + 4 < KEY_ID_SIZE; i++)
		used += (size_t)snprintf(key_id + used, KEY_ID_SIZE - used, "%%%02X", id.data[i]);
}

bool pkcs11_uri_fits_id(P11KitUri *uri, const char *key_id)
{
	const CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(uri);
	const struct bytes id = pkcs11_uri_attribute(uri, CKA_ID);
	const char *id_part = strstr(key_id, ";id=");
	char serial[PKCS11_SERIAL_SIZE], expected[KEY_ID_SIZE];

	pkcs11_copy_field(token->serialNumber, sizeof(token->serialNumber), serial, sizeof(serial));
	pkcs11_format_id(serial, id, expected);
	if (!id_part)
		return false;
	if (serial[0] &&
	    (strlen(key_id) < (size_t)(id_part - key_id) ||
	     (size_t)(strstr(expected, ";id=") - expected) != (size_t)(id_part - key_id) ||
	     strncmp(key_id, expected, (size_t)(id_part - key_id)) != 0))
		return false;
	return !id.size || !strcmp(strstr(expected, ";id="), id_part);
}
