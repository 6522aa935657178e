/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of KMIP 1.2 to 2.0, as far as we use it. */
#include <errno.h>
#include <string.h>

#include "kms/providers/kmip_internal.h"

/* Tags, KMIP 1.4 section 9.1.3.1; the last two are of 2.0. */
enum tag {
	ATTRIBUTE = 0x420008,
	ATTRIBUTE_NAME = 0x42000a,
	ATTRIBUTE_VALUE = 0x42000b,
	AUTHENTICATION = 0x42000c,
	BATCH_COUNT = 0x42000d,
	BATCH_ITEM = 0x42000f,
	BLOCK_CIPHER_MODE = 0x420011,
	CREDENTIAL = 0x420023,
	CREDENTIAL_TYPE = 0x420024,
	CREDENTIAL_VALUE = 0x420025,
	CRYPTOGRAPHIC_ALGORITHM = 0x420028,
	CRYPTOGRAPHIC_PARAMETERS = 0x42002b,
	INITIAL_DATE = 0x420039,
	IV_COUNTER_NONCE = 0x42003d,
	KEY_BLOCK = 0x420040,
	KEY_FORMAT_TYPE = 0x420042,
	KEY_MATERIAL = 0x420043,
	KEY_VALUE = 0x420045,
	OBJECT_TYPE = 0x420057,
	OPERATION = 0x42005c,
	PADDING_METHOD = 0x42005f,
	PROTOCOL_VERSION = 0x420069,
	VERSION_MAJOR = 0x42006a,
	VERSION_MINOR = 0x42006b,
	REQUEST_HEADER = 0x420077,
	REQUEST_MESSAGE = 0x420078,
	REQUEST_PAYLOAD = 0x420079,
	RESPONSE_HEADER = 0x42007a,
	RESPONSE_MESSAGE = 0x42007b,
	RESPONSE_PAYLOAD = 0x42007c,
	RESULT_MESSAGE = 0x42007d,
	RESULT_REASON = 0x42007e,
	RESULT_STATUS = 0x42007f,
	STATE = 0x42008d,
	SYMMETRIC_KEY = 0x42008f,
	UNIQUE_IDENTIFIER = 0x420094,
	USERNAME = 0x420099,
	PASSWORD = 0x4200a1,
	DATA = 0x4200c2,
	TAG_LENGTH = 0x4200ce,
	AAD = 0x4200fe,
	AEAD_TAG = 0x4200ff,
	ATTRIBUTES = 0x420125,
	ATTRIBUTE_REFERENCE = 0x42013b,
};

#define USERNAME_AND_PASSWORD 1
#define ALGORITHM_AES         3
#define MODE_CBC              1
#define MODE_GCM              9
#define PADDING_PKCS5         3
#define GCM_TAG_SIZE          16
#define TYPE_SYMMETRIC_KEY    2
#define FORMAT_RAW            1
#define FORMAT_TRANSPARENT    7

static void write_version(struct ttlv_writer *writer, kmip_version version)
{
	ttlv_begin(writer, PROTOCOL_VERSION);
	ttlv_write_integer(writer, VERSION_MAJOR, version / 10);
	ttlv_write_integer(writer, VERSION_MINOR, version % 10);
	ttlv_end(writer);
}

static void write_authentication(struct ttlv_writer *writer, const struct kmip_request *request)
{
	ttlv_begin(writer, AUTHENTICATION);
	ttlv_begin(writer, CREDENTIAL);
	ttlv_write_enumeration(writer, CREDENTIAL_TYPE, USERNAME_AND_PASSWORD);
	ttlv_begin(writer, CREDENTIAL_VALUE);
	ttlv_write_text(writer, USERNAME, request->username);
	if (request->password)
		ttlv_write_text_bytes(writer, PASSWORD, secret_bytes(request->password));
	ttlv_end(writer);
	ttlv_end(writer);
	ttlv_end(writer);
}

static void write_attribute_names(struct ttlv_writer *writer, kmip_version version)
{
	if (version >= 20) {
		ttlv_write_enumeration(writer, ATTRIBUTE_REFERENCE, STATE);
		ttlv_write_enumeration(writer, ATTRIBUTE_REFERENCE, INITIAL_DATE);
	} else {
		ttlv_write_text(writer, ATTRIBUTE_NAME, "State");
		ttlv_write_text(writer, ATTRIBUTE_NAME, "Initial Date");
	}
}

static void write_crypt(struct ttlv_writer *writer, const struct kmip_request *request)
{
	bool is_gcm = request->scheme == KMIP_GCM;

	ttlv_begin(writer, CRYPTOGRAPHIC_PARAMETERS);
	ttlv_write_enumeration(writer, BLOCK_CIPHER_MODE, is_gcm ? MODE_GCM : MODE_CBC);
	if (!is_gcm)
		ttlv_write_enumeration(writer, PADDING_METHOD, PADDING_PKCS5);
	ttlv_write_enumeration(writer, CRYPTOGRAPHIC_ALGORITHM, ALGORITHM_AES);
	if (is_gcm)
		ttlv_write_integer(writer, TAG_LENGTH, GCM_TAG_SIZE);
	ttlv_end(writer);
	ttlv_write_bytes(writer, DATA, request->data);
	ttlv_write_bytes(writer, IV_COUNTER_NONCE, request->iv);
	if (is_gcm)
		ttlv_write_bytes(writer, AAD, request->aad);
	if (is_gcm && request->operation == KMIP_DECRYPT)
		ttlv_write_bytes(writer, AEAD_TAG, request->tag);
}

int kmip_encode(const struct kmip_request *request, struct ttlv_writer *writer,
		struct bytes *ret_message)
{
	ttlv_begin(writer, REQUEST_MESSAGE);
	ttlv_begin(writer, REQUEST_HEADER);
	write_version(writer, request->version);
	if (request->username)
		write_authentication(writer, request);
	ttlv_write_integer(writer, BATCH_COUNT, 1);
	ttlv_end(writer);
	ttlv_begin(writer, BATCH_ITEM);
	ttlv_write_enumeration(writer, OPERATION, request->operation);
	ttlv_begin(writer, REQUEST_PAYLOAD);
	if (request->uid)
		ttlv_write_text(writer, UNIQUE_IDENTIFIER, request->uid);
	if (request->operation == KMIP_GET_ATTRIBUTES)
		write_attribute_names(writer, request->version);
	if (request->operation == KMIP_ENCRYPT || request->operation == KMIP_DECRYPT)
		write_crypt(writer, request);
	ttlv_end(writer);
	ttlv_end(writer);
	ttlv_end(writer);
	return ttlv_finish(writer, ret_message);
}

static kmip_version read_version(struct bytes structure)
{
	int64_t major = ttlv_number(structure, VERSION_MAJOR, TTLV_INTEGER);
	int64_t minor = ttlv_number(structure, VERSION_MINOR, TTLV_INTEGER);

	return major > 0 && major < 10 && minor >= 0 && minor < 10
		       ? (kmip_version)(major * 10 + minor)
		       : 0;
}

int kmip_decode_reply(struct bytes message, struct kmip_reply *ret_reply)
{
	struct ttlv_item whole, header, version, item, found;
	struct kmip_reply reply = { 0 };

	if (ttlv_check(message, RESPONSE_MESSAGE, &whole) < 0 ||
	    !ttlv_find(whole.value, RESPONSE_HEADER, TTLV_STRUCTURE, &header) ||
	    !ttlv_find(header.value, PROTOCOL_VERSION, TTLV_STRUCTURE, &version) ||
	    !ttlv_find(whole.value, BATCH_ITEM, TTLV_STRUCTURE, &item) ||
	    ttlv_number(header.value, BATCH_COUNT, TTLV_INTEGER) != 1 ||
	    !ttlv_find(item.value, RESULT_STATUS, TTLV_ENUMERATION, &found))
		return -EBADMSG;
	reply.version = read_version(version.value);
	reply.status = (uint32_t)ttlv_value(&found);
	reply.operation = (uint32_t)ttlv_number(item.value, OPERATION, TTLV_ENUMERATION);
	reply.reason = (uint32_t)ttlv_number(item.value, RESULT_REASON, TTLV_ENUMERATION);
	if (ttlv_find(item.value, RESULT_MESSAGE, TTLV_TEXT, &found))
		reply.message = found.value;
	if (ttlv_find(item.value, RESPONSE_PAYLOAD, TTLV_STRUCTURE, &found))
		reply.payload = found.value;
	*ret_reply = reply;
	return 0;
}

int kmip_decode_versions(struct bytes payload, kmip_version *ret_version)
{
	static const kmip_version ours[] = { 12, 13, 14, 20 };
	kmip_version best = 0;
	struct ttlv_item item;

	while (ttlv_next(&payload, &item)) {
		kmip_version version = item.tag == PROTOCOL_VERSION && item.type == TTLV_STRUCTURE
					       ? read_version(item.value)
					       : 0;

		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			if (version == ours[i] && version > best)
				best = version;
	}
	if (!best)
		return -EBADMSG;
	*ret_version = best;
	return 0;
}

static int check_uid(struct bytes payload, const char *uid)
{
	struct ttlv_item item;

	if (!ttlv_find(payload, UNIQUE_IDENTIFIER, TTLV_TEXT, &item))
		return -EBADMSG;
	return bytes_equal(item.value, bytes_from_text(uid)) ? 0 : -EKEYREJECTED;
}

static struct bytes find_bytes(struct bytes structure, uint32_t tag)
{
	struct ttlv_item item;

	return ttlv_find(structure, tag, TTLV_BYTES, &item) ? item.value : (struct bytes){ 0 };
}

int kmip_decode_encrypt(struct bytes payload, const char *uid, struct kmip_sealed *ret_sealed)
{
	struct kmip_sealed sealed = { .data = find_bytes(payload, DATA),
				      .iv = find_bytes(payload, IV_COUNTER_NONCE),
				      .tag = find_bytes(payload, AEAD_TAG) };
	int r = check_uid(payload, uid);

	if (r == 0 && !sealed.data.size)
		r = -EBADMSG;
	if (r == 0)
		*ret_sealed = sealed;
	return r;
}

int kmip_decode_decrypt(struct bytes payload, const char *uid, struct bytes *ret_plain)
{
	struct bytes plain = find_bytes(payload, DATA);
	int r = check_uid(payload, uid);

	if (r == 0 && !plain.size)
		r = -EBADMSG;
	if (r == 0)
		*ret_plain = plain;
	return r;
}

/* One Attribute of 1.x: a name, and a value of any type. */
static void read_attribute(struct bytes attribute, struct kmip_facts *facts)
{
	struct ttlv_item name, value;

	if (!ttlv_find(attribute, ATTRIBUTE_NAME, TTLV_TEXT, &name))
		return;
	if (bytes_equal(name.value, bytes_from_text("State")) &&
	    ttlv_find(attribute, ATTRIBUTE_VALUE, TTLV_ENUMERATION, &value))
		facts->state = (enum kmip_state)ttlv_value(&value);
	else if (bytes_equal(name.value, bytes_from_text("Initial Date")) &&
		 ttlv_find(attribute, ATTRIBUTE_VALUE, TTLV_DATE_TIME, &value))
		facts->created_s = ttlv_value(&value);
}

int kmip_decode_attributes(struct bytes payload, const char *uid, struct kmip_facts *ret_facts)
{
	struct kmip_facts facts = { 0 };
	struct bytes rest = payload;
	struct ttlv_item item;
	int r = check_uid(payload, uid);

	if (r < 0)
		return r;
	while (ttlv_next(&rest, &item)) {
		if (item.type != TTLV_STRUCTURE)
			continue;
		if (item.tag == ATTRIBUTE)
			read_attribute(item.value, &facts);
		if (item.tag != ATTRIBUTES)
			continue;
		facts.state = (enum kmip_state)ttlv_number(item.value, STATE, TTLV_ENUMERATION);
		facts.created_s = ttlv_number(item.value, INITIAL_DATE, TTLV_DATE_TIME);
	}
	if (facts.state < KMIP_PRE_ACTIVE || facts.state > KMIP_DESTROYED_COMPROMISED)
		return -EBADMSG;
	*ret_facts = facts;
	return 0;
}

int kmip_decode_key(struct bytes payload, const char *uid, struct bytes *ret_key)
{
	struct ttlv_item key, block, value, material;
	int64_t format;
	int r = check_uid(payload, uid);

	if (r < 0)
		return r;
	if (ttlv_number(payload, OBJECT_TYPE, TTLV_ENUMERATION) != TYPE_SYMMETRIC_KEY ||
	    !ttlv_find(payload, SYMMETRIC_KEY, TTLV_STRUCTURE, &key) ||
	    !ttlv_find(key.value, KEY_BLOCK, TTLV_STRUCTURE, &block) ||
	    !ttlv_find(block.value, KEY_VALUE, TTLV_STRUCTURE, &value) ||
	    ttlv_number(block.value, CRYPTOGRAPHIC_ALGORITHM, TTLV_ENUMERATION) != ALGORITHM_AES)
		return -EBADMSG;
	format = ttlv_number(block.value, KEY_FORMAT_TYPE, TTLV_ENUMERATION);
	if (format == FORMAT_TRANSPARENT) {
		/* The material is a structure that holds the key under a tag of its own. */
		if (!ttlv_find(value.value, KEY_MATERIAL, TTLV_STRUCTURE, &material) ||
		    !ttlv_find(material.value, 0x42003f, TTLV_BYTES, &material))
			return -EBADMSG;
	} else if (format != FORMAT_RAW ||
		   !ttlv_find(value.value, KEY_MATERIAL, TTLV_BYTES, &material)) {
		return -EBADMSG;
	}
	if (material.value.size != KMIP_KEY_SIZE)
		return -EBADMSG;
	*ret_key = material.value;
	return 0;
}
