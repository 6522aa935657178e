/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a keyring file.
 *
 * json-c keeps its own copy of the text while it is read or written: wiped only as far as we hold it.
 */
#include "kms/keyring_json.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/timestamp.h"

#define KEY_SIZE 32

struct keyring_contents *keyring_contents_new(void)
{
	return secret_alloc(sizeof(struct keyring_contents));
}

void keyring_contents_cleanup(struct keyring_contents **contents)
{
	secret_free(*contents);
}

static void object_cleanup(struct json_object **object)
{
	json_object_put(*object);
}

static const char *get_text(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_string))
		return NULL;
	return json_object_get_string(value);
}

static int get_number(struct json_object *object, const char *name, int64_t *ret_number)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_int))
		return -EBADMSG;
	*ret_number = json_object_get_int64(value);
	return 0;
}

static int decode_cost(struct json_object *root, struct keyring_contents *contents)
{
	struct json_object *kdf;
	const char *salt;
	int64_t n, r, p;

	if (!json_object_object_get_ex(root, "scrypt", &kdf))
		return 0;
	salt = get_text(kdf, "salt");
	if (!salt || base64url_decode_exact(salt, contents->salt, sizeof(contents->salt)) < 0 ||
	    get_number(kdf, "n", &n) < 0 || get_number(kdf, "r", &r) < 0 ||
	    get_number(kdf, "p", &p) < 0)
		return -EBADMSG;
	if (n < 1 || r < 1 || r > UINT32_MAX || p < 1 || p > UINT32_MAX)
		return -EBADMSG;
	contents->cost = (struct passphrase_cost){ (uint64_t)n, (uint32_t)r, (uint32_t)p };
	contents->has_passphrase = true;
	return 0;
}

static int decode_state(const char *text, enum key_state *ret_state)
{
	static const enum key_state known[] = { KEY_STATE_ENABLED, KEY_STATE_DISABLED,
						KEY_STATE_DELETED };

	for (size_t i = 0; text && i < ARRAY_SIZE(known); i++) {
		if (strcmp(text, key_state_name(known[i])) != 0)
			continue;
		*ret_state = known[i];
		return 0;
	}
	return -EBADMSG;
}

static int decode_key(struct json_object *object, const struct keyring_contents *contents,
		      struct keyring_stored_key *key)
{
	const char *id = get_text(object, "id");
	const char *created = get_text(object, "created");
	const char *changed = get_text(object, "changed");
	const char *stored = get_text(object, contents->has_passphrase ? "sealed" : "key");

	if (!id || !*id || strlen(id) >= sizeof(key->key.id) || !created || !changed ||
	    timestamp_parse_s(created, &key->key.created_s) < 0 ||
	    timestamp_parse_s(changed, &key->key.changed_s) < 0 ||
	    decode_state(get_text(object, "state"), &key->key.state) < 0)
		return -EBADMSG;
	memcpy(key->key.id, id, strlen(id) + 1);
	if (key->key.state == KEY_STATE_DELETED)
		return 0;
	key->size = contents->has_passphrase ? KEYRING_STORED_MAX : KEY_SIZE;
	return stored ? base64url_decode_exact(stored, key->stored, key->size) : -EBADMSG;
}

static int decode_keys(struct json_object *root, struct keyring_contents *contents)
{
	struct json_object *keys;

	if (!json_object_object_get_ex(root, "keys", &keys) ||
	    !json_object_is_type(keys, json_type_array) ||
	    json_object_array_length(keys) > KEYRING_KEYS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < json_object_array_length(keys); i++) {
		struct json_object *key = json_object_array_get_idx(keys, i);
		int r = decode_key(key, contents, &contents->keys[i]);

		if (r < 0)
			return r;
		contents->key_count++;
	}
	return 0;
}

int keyring_json_decode(struct bytes text, struct keyring_contents *contents)
{
	struct json_tokener *tokener = json_tokener_new_ex(8);
	CLEANUP(object_cleanup) struct json_object *root = NULL;
	const char *type, *keyring;
	int64_t format;
	int r;

	if (!tokener)
		return -ENOMEM;
	root = json_tokener_parse_ex(tokener, (const char *)text.data, (int)text.size);
	json_tokener_free(tokener);
	type = root ? get_text(root, "type") : NULL;
	keyring = root ? get_text(root, "keyring") : NULL;
	if (!type || strcmp(type, "keyring") != 0 || !keyring ||
	    get_number(root, "format", &format) < 0)
		return -EBADMSG;
	if (format != 1)
		return -ENOTSUP;
	if (uuid_parse(keyring, &contents->keyring) < 0)
		return -EBADMSG;
	r = decode_cost(root, contents);
	return r < 0 ? r : decode_keys(root, contents);
}

static int encode_key(const struct keyring_contents *contents, const struct keyring_stored_key *key,
		      struct json_object **ret_object)
{
	CLEANUP(object_cleanup) struct json_object *object = json_object_new_object();
	char stored[BASE64URL_TEXT_SIZE(KEYRING_STORED_MAX)];
	char created[TIMESTAMP_TEXT_SIZE], changed[TIMESTAMP_TEXT_SIZE];

	if (!object)
		return -ENOMEM;
	if (timestamp_format(key->key.created_s, created) < 0 ||
	    timestamp_format(key->key.changed_s, changed) < 0)
		return -ERANGE;
	json_object_object_add(object, "id", json_object_new_string(key->key.id));
	json_object_object_add(object, "state",
			       json_object_new_string(key_state_name(key->key.state)));
	json_object_object_add(object, "created", json_object_new_string(created));
	json_object_object_add(object, "changed", json_object_new_string(changed));
	if (key->size) {
		base64url_encode((struct bytes){ key->stored, key->size }, stored);
		json_object_object_add(object, contents->has_passphrase ? "sealed" : "key",
				       json_object_new_string(stored));
		secret_wipe(stored, sizeof(stored));
	}
	*ret_object = TAKE(object);
	return 0;
}

static void encode_cost(const struct keyring_contents *contents, struct json_object *root)
{
	struct json_object *kdf = json_object_new_object();
	char salt[BASE64URL_TEXT_SIZE(PASSPHRASE_SALT_SIZE)];

	base64url_encode((struct bytes){ contents->salt, sizeof(contents->salt) }, salt);
	json_object_object_add(kdf, "salt", json_object_new_string(salt));
	json_object_object_add(kdf, "n", json_object_new_int64((int64_t)contents->cost.n));
	json_object_object_add(kdf, "r", json_object_new_int64(contents->cost.r));
	json_object_object_add(kdf, "p", json_object_new_int64(contents->cost.p));
	json_object_object_add(root, "scrypt", kdf);
}

int keyring_json_encode(const struct keyring_contents *contents, struct secret **ret_text)
{
	CLEANUP(object_cleanup) struct json_object *root = json_object_new_object();
	struct json_object *keys = json_object_new_array();
	char keyring[UUID_TEXT_SIZE];
	const char *text;

	if (!root || !keys) {
		json_object_put(keys);
		return -ENOMEM;
	}
	uuid_format(&contents->keyring, keyring);
	json_object_object_add(root, "type", json_object_new_string("keyring"));
	json_object_object_add(root, "format", json_object_new_int(1));
	json_object_object_add(root, "keyring", json_object_new_string(keyring));
	if (contents->has_passphrase)
		encode_cost(contents, root);
	json_object_object_add(root, "keys", keys);
	for (size_t i = 0; i < contents->key_count; i++) {
		struct json_object *key = NULL;
		int r = encode_key(contents, &contents->keys[i], &key);

		if (r < 0)
			return r;
		json_object_array_add(keys, key);
	}
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE);
	return text ? secret_copy((struct bytes){ (const uint8_t *)text, strlen(text) }, ret_text)
		    : -ENOMEM;
}
