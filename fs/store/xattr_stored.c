/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypted attributes, taken apart and sealed: fs/store/xattr_stored.h. */
#include "fs/store/xattr_stored.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/object.h"
#include "kms/crypto/aead.h"
#include "meta/encoding.h"
#include "meta/format/sealed_value.h"

#define USER_PREFIX    "user.snapcrypt.x."
#define TRUSTED_PREFIX "trusted.snapcrypt.x."
#define SIV_MAX        (SIV_OVERHEAD + XATTR_PLAIN_NAME_MAX)

/* user.* exists on files and directories only. */
static const char *prefix_of(const struct xattr_target *target)
{
	return S_ISREG(target->type) || S_ISDIR(target->type) ? USER_PREFIX : TRUSTED_PREFIX;
}

const char *xattr_encoded(const struct xattr_target *target, const char *stored)
{
	const char *prefix = prefix_of(target);
	const size_t size = strlen(prefix);

	return strncmp(stored, prefix, size) == 0 ? stored + size : NULL;
}

int xattr_stored_name(const struct xattr_target *target, const struct dek *dek, const char *name,
		      char stored[static XATTR_NAME_MAX + 1])
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = NULL;
	const struct bytes plain = bytes_from_text(name);
	const char *prefix = prefix_of(target);
	uint8_t siv[SIV_MAX];
	int r;

	if (plain.size > XATTR_PLAIN_NAME_MAX)
		return -ENAMETOOLONG;
	r = dek_name_key(dek, &key);
	if (r == 0)
		r = siv_seal(key, plain, siv);
	if (r < 0)
		return r;
	strcpy(stored, prefix);
	base64url_encode((struct bytes){ siv, SIV_OVERHEAD + plain.size }, stored + strlen(prefix));
	return 0;
}

/* ---- Scan ------------------------------------------------------------------------------------ */

int xattr_scan_begin(struct xattr_scan *scan, const struct xattr_target *target)
{
	int r;

	scan->target = target;
	scan->position = 0;
	scan->dek = NULL;
	scan->key = NULL;
	r = xattr_read_below(target, NULL, &scan->names);
	/* A filesystem without attributes has none; a copy to one has lost them. */
	if (r == -EOPNOTSUPP) {
		scan->names.bytes = (struct bytes){ scan->names.small, 0 };
		r = 0;
	}
	return r;
}

void xattr_scan_end(struct xattr_scan *scan)
{
	xattr_buffer_free(&scan->names);
	siv_key_free(scan->key);
	dek_put(scan->dek);
}

const char *xattr_scan_next(struct xattr_scan *scan)
{
	const struct bytes *names = &scan->names.bytes;
	const char *name = (const char *)names->data + scan->position;

	if (scan->position >= names->size)
		return NULL;
	scan->position += strnlen(name, names->size - scan->position) + 1;
	return scan->position > names->size ? NULL : name;
}

static int use_dek(struct xattr_scan *scan, const struct uuid *dek_id)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct siv_key *key = NULL;
	int r = store_dek(scan->target->parent->store, dek_id, &dek);

	if (r == 0)
		r = dek_name_key(dek, &key);
	if (r < 0)
		return r;
	siv_key_free(scan->key);
	dek_put(scan->dek);
	scan->key = key;
	scan->dek = TAKE(dek);
	return 0;
}

/* The DEK that an attribute's value names. */
static int read_dek_id(const struct xattr_target *target, const char *stored, struct uuid *ret_dek)
{
	struct xattr_buffer value;
	struct bytes sealed;
	int r = xattr_read_below(target, stored, &value);

	if (r < 0)
		return r;
	r = sealed_value_decode(value.bytes, ret_dek, &sealed, NULL);
	xattr_buffer_free(&value);
	return r < 0 ? -EBADMSG : 0;
}

static int open_name(const struct xattr_scan *scan, struct bytes siv, char *plain)
{
	const size_t size = siv.size - SIV_OVERHEAD;
	int r = siv_open(scan->key, siv, (uint8_t *)plain);

	if (r < 0)
		return r;
	plain[size] = '\0';
	return strlen(plain) != size || xattr_is_ours(plain) ? -EBADMSG : 0;
}

/* Under the DEK that the scan has; the first guess is the snapshot's own. */
static int open_under_known(struct xattr_scan *scan, struct bytes siv, char *plain)
{
	const struct uuid *own = snapshot_dek_id(scan->target->parent->snapshot);

	if (!scan->key) {
		int r = uuid_is_zero(own) ? -EBADMSG : use_dek(scan, own);

		if (r < 0)
			return r;
	}
	return open_name(scan, siv, plain);
}

int xattr_scan_decode(struct xattr_scan *scan, const char *stored,
		      char plain[static XATTR_NAME_MAX + 1])
{
	const char *encoded = xattr_encoded(scan->target, stored);
	uint8_t data[SIV_MAX];
	const ssize_t size =
		encoded ? base64url_decode(bytes_from_text(encoded), data, sizeof(data)) : -1;
	const struct bytes siv = { data, size < 0 ? 0 : (size_t)size };
	struct uuid id;
	int r;

	if (size <= SIV_OVERHEAD)
		return -EBADMSG;
	r = open_under_known(scan, siv, plain);
	if (r != -EBADMSG)
		return r;
	r = read_dek_id(scan->target, stored, &id);
	if (r < 0)
		return r;
	if (!scan->dek || !uuid_equal(&id, dek_id(scan->dek)))
		r = use_dek(scan, &id);
	return r < 0 ? r : open_name(scan, siv, plain);
}

int xattr_scan_find(struct xattr_scan *scan, const char *name, const char **ret_stored)
{
	char plain[XATTR_NAME_MAX + 1];
	const char *stored;

	while ((stored = xattr_scan_next(scan))) {
		int r;

		if (!xattr_encoded(scan->target, stored))
			continue;
		r = xattr_scan_decode(scan, stored, plain);
		if (r < 0 && r != -EBADMSG && r != -ENODATA)
			return r;
		if (r == 0 && strcmp(plain, name) == 0) {
			*ret_stored = stored;
			return 0;
		}
	}
	return -ENODATA;
}

int xattr_each_dek(const struct xattr_target *target,
		   int (*visit)(void *arg, const struct uuid *dek_id), void *arg)
{
	struct xattr_scan scan;
	const char *stored;
	int r = xattr_scan_begin(&scan, target);

	if (r < 0)
		return r;
	while (r == 0 && (stored = xattr_scan_next(&scan))) {
		struct uuid dek_id;

		if (!xattr_encoded(target, stored))
			continue;
		r = read_dek_id(target, stored, &dek_id);
		/* What nobody can open needs no key. */
		if (r == -EBADMSG || r == -ENODATA)
			r = 0;
		else if (r == 0)
			r = visit(arg, &dek_id);
	}
	xattr_scan_end(&scan);
	return r;
}

/* ---- Values ---------------------------------------------------------------------------------- */

int xattr_object(const struct xattr_target *target, struct xattr_object *ret_object)
{
	struct header header;
	int r;

	*ret_object = (struct xattr_object){ .id = { 0 } };
	if (!S_ISREG(target->type))
		return 0;
	r = object_read_header(target->parent, target->backing, &header, ret_object->header);
	if (r < 0)
		return r;
	memcpy(ret_object->id, header.object_id, sizeof(ret_object->id));
	ret_object->dek = header.dek;
	return 0;
}

static size_t make_aad(const struct xattr_target *target, const uint8_t object_id[static 16],
		       const char *name, uint8_t aad[static SEALED_VALUE_AAD_MAX])
{
	const struct sealed_value_place place = {
		.volume = &store_volume(target->parent->store)->volume,
		.kind = SEALED_VALUE_XATTR,
		.object_id = object_id,
		.name = bytes_from_text(name),
	};

	return sealed_value_aad(&place, aad);
}

static int open_into(const struct xattr_target *target, const struct dek *dek, const char *name,
		     struct bytes sealed, uint8_t *value)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	uint8_t aad[SEALED_VALUE_AAD_MAX];
	struct xattr_object object;
	int r = xattr_object(target, &object);

	if (r == 0)
		r = dek_meta_key(dek, &key);
	if (r < 0)
		return r;

	const size_t aad_size = make_aad(target, object.id, name, aad);

	return aead_open(key, (struct bytes){ aad, aad_size }, sealed, value);
}

ssize_t xattr_open_value(const struct xattr_target *target, const struct dek *dek, const char *name,
			 struct bytes stored, uint8_t *value, size_t size)
{
	struct bytes sealed;
	struct uuid id;
	int r;

	if (sealed_value_decode(stored, &id, &sealed, NULL) < 0 || !uuid_equal(&id, dek_id(dek)))
		return -EBADMSG;

	const size_t plain_size = sealed.size - AEAD_OVERHEAD;

	if (size == 0)
		return (ssize_t)plain_size;
	if (size < plain_size)
		return -ERANGE;
	r = open_into(target, dek, name, sealed, value);
	return r < 0 ? r : (ssize_t)plain_size;
}

int xattr_store(const struct xattr_target *target, const struct dek *dek,
		const uint8_t object_id[static 16], const struct xattr_plain *plain)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	const size_t size = plain->value.size + SEALED_VALUE_OVERHEAD;
	uint8_t aad[SEALED_VALUE_AAD_MAX];
	char stored[XATTR_NAME_MAX + 1];
	uint8_t *data;
	int r = xattr_stored_name(target, dek, plain->name, stored);

	if (r == 0)
		r = dek_meta_key(dek, &key);
	if (r < 0)
		return r;
	data = malloc(size);
	if (!data)
		return -ENOMEM;

	const size_t aad_size = make_aad(target, object_id, plain->name, aad);

	sealed_value_encode_head(dek_id(dek), data);
	r = aead_seal(key, (struct bytes){ aad, aad_size }, plain->value,
		      data + SEALED_VALUE_HEAD_SIZE);
	if (r == 0)
		r = xattr_set_below(target, stored, (struct bytes){ data, size }, 0);
	free(data);
	/* trusted.* needs a privilege that a mount may lack. */
	return r == -EPERM && !S_ISREG(target->type) && !S_ISDIR(target->type) ? -EOPNOTSUPP : r;
}
