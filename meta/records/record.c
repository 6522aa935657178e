/* SPDX-License-Identifier: Apache-2.0 */
/* The two lines of a record file. */
#include "meta/records/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/records/fields.h"

static const char sign_prefix[] = "snapcrypt/1/record\n";

static const char *const type_names[] = {
	[RECORD_VOLUME] = "volume",       [RECORD_KEY] = "key",
	[RECORD_IDENTITY] = "identity",   [RECORD_SEAL] = "seal",
	[RECORD_TOMBSTONE] = "tombstone", [RECORD_LABELS] = "labels",
};

const char *record_type_name(enum record_type type)
{
	return type_names[type];
}

static int read_signature(struct bytes line, struct record *record)
{
	struct fields fields;

	fields_parse(&fields, line);
	fields_bytes(&fields, "key", record->public_key, sizeof(record->public_key));
	fields_bytes(&fields, "signature", record->signature, sizeof(record->signature));
	return fields_end(&fields);
}

int record_split(struct bytes file, struct record *ret_record)
{
	struct record record = { 0 };
	const uint8_t *first_end;
	struct bytes second;
	int r;

	if (file.size == 0 || file.size > RECORD_SIZE_MAX)
		return -EBADMSG;
	first_end = memchr(file.data, '\n', file.size);
	if (!first_end)
		return -EBADMSG;
	record.line = (struct bytes){ file.data, (size_t)(first_end - file.data) };
	second = (struct bytes){ first_end + 1, file.size - record.line.size - 1 };
	if (second.size == 0 ||
	    memchr(second.data, '\n', second.size) != second.data + second.size - 1)
		return -EBADMSG;
	second.size--;
	r = read_signature(second, &record);
	if (r < 0)
		return r;
	*ret_record = record;
	return 0;
}

int record_sign_input(struct bytes line, uint8_t **ret_message, size_t *ret_size)
{
	const size_t size = sizeof(sign_prefix) - 1 + line.size;
	uint8_t *message = malloc(size);

	if (!message)
		return -ENOMEM;
	memcpy(message, sign_prefix, sizeof(sign_prefix) - 1);
	memcpy(message + sizeof(sign_prefix) - 1, line.data, line.size);
	*ret_message = message;
	*ret_size = size;
	return 0;
}

int record_join(const char *line, const uint8_t public_key[static RECORD_PUBLIC_KEY_SIZE],
		const uint8_t signature[static RECORD_SIGNATURE_SIZE], char **ret_text)
{
	char key_text[BASE64URL_TEXT_SIZE(RECORD_PUBLIC_KEY_SIZE)];
	char signature_text[BASE64URL_TEXT_SIZE(RECORD_SIGNATURE_SIZE)];
	char *text = NULL;

	base64url_encode((struct bytes){ public_key, RECORD_PUBLIC_KEY_SIZE }, key_text);
	base64url_encode((struct bytes){ signature, RECORD_SIGNATURE_SIZE }, signature_text);
	if (asprintf(&text, "%s\n{\"key\":\"%s\",\"signature\":\"%s\"}\n", line, key_text,
		     signature_text) < 0)
		return -ENOMEM;
	if (strlen(text) > RECORD_SIZE_MAX) {
		free(text);
		return -EFBIG;
	}
	*ret_text = text;
	return 0;
}

int record_peek(struct bytes line, enum record_type *ret_type, struct uuid *ret_volume)
{
	struct fields fields;
	struct uuid volume;
	unsigned type;
	int r;

	fields_parse(&fields, line);
	type = fields_word(&fields, "type", type_names, ARRAY_SIZE(type_names));
	if (fields_number(&fields, "format", 1, FIELDS_NUMBER_MAX) > RECORD_FORMAT)
		fields_fail(&fields, -ENOTSUP);
	fields_uuid(&fields, "volume", &volume);
	r = fields_end(&fields);
	if (r < 0)
		return r;
	*ret_type = (enum record_type)type;
	*ret_volume = volume;
	return 0;
}
