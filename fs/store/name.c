/* SPDX-License-Identifier: Apache-2.0 */
/* Plain names and backing names: fs/store/name.h. */
#include "fs/store/name.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "fs/store/name_internal.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/hash.h"
#include "meta/encoding.h"

#define RESERVED_PREFIX ".snapcrypt"

bool name_is_reserved(const char *name)
{
	return strncmp(name, RESERVED_PREFIX, sizeof(RESERVED_PREFIX) - 1) == 0;
}

int name_key(const struct place *place, struct siv_key **ret_key)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r;

	if (!snapshot_has_encrypted_names(place->snapshot)) {
		*ret_key = NULL;
		return 0;
	}
	r = snapshot_name_dek(place->snapshot, &dek);
	return r < 0 ? r : dek_name_key(dek, ret_key);
}

/* What no directory can hold. */
static int check_name(const char *name, size_t size)
{
	if (size == 0)
		return -ENOENT;
	if (size > NAME_MAX)
		return -ENAMETOOLONG;
	if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	return name_is_reserved(name) ? -EPERM : 0;
}

static int encode_long(struct backing_name *backing)
{
	uint8_t digest[SHA256_SIZE];
	int r = sha256((struct bytes){ backing->siv, backing->siv_size }, digest);

	if (r < 0)
		return r;
	backing->is_long = true;
	backing->text[0] = NAME_LONG_MARK;
	base64url_encode((struct bytes){ digest, sizeof(digest) }, backing->text + 1);
	return 0;
}

static int seal_name(const struct siv_key *key, const char *name, size_t size,
		     struct backing_name *backing)
{
	int r = siv_seal(key, (struct bytes){ (const uint8_t *)name, size }, backing->siv);

	if (r < 0)
		return r;
	backing->siv_size = size + SIV_OVERHEAD;
	if (BASE64URL_TEXT_SIZE(backing->siv_size) > BACKING_NAME_SIZE)
		return encode_long(backing);
	base64url_encode((struct bytes){ backing->siv, backing->siv_size }, backing->text);
	return 0;
}

/*
 * An operation asks for one name several times: to look it up, to change it, to answer.  So each
 * thread keeps the last one; the caller has made sure that the key is still there.
 */
static int encode_with(const struct siv_key *key, const struct uuid *dek, const char *name,
		       struct backing_name *ret_backing)
{
	static _Thread_local struct {
		struct uuid dek;
		char name[NAME_MAX + 1];
		struct backing_name backing;
	} last;
	const size_t size = strlen(name);
	int r;

	if (last.name[0] == '\0' || !uuid_equal(&last.dek, dek) || strcmp(last.name, name) != 0) {
		last.name[0] = '\0';
		last.backing = (struct backing_name){ .is_long = false };
		r = seal_name(key, name, size, &last.backing);
		if (r < 0)
			return r;
		last.dek = *dek;
		memcpy(last.name, name, size + 1);
	}
	*ret_backing = last.backing;
	return 0;
}

int name_encode(const struct place *place, const char *name, struct backing_name *ret_backing)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	CLEANUP(siv_key_cleanup) struct siv_key *key = NULL;
	const size_t size = strlen(name);
	int r = check_name(name, size);

	if (r < 0)
		return r;
	if (!snapshot_has_encrypted_names(place->snapshot)) {
		ret_backing->is_long = false;
		ret_backing->siv_size = 0;
		memcpy(ret_backing->text, name, size + 1);
		return 0;
	}
	r = snapshot_name_dek(place->snapshot, &dek);
	if (r == 0)
		r = dek_name_key(dek, &key);
	return r < 0 ? r : encode_with(key, dek_id(dek), name, ret_backing);
}

static int open_name(const struct siv_key *key, struct bytes siv, char plain[static 256])
{
	const size_t size = siv.size - SIV_OVERHEAD;
	int r = siv_open(key, siv, (uint8_t *)plain);

	if (r < 0)
		return r;
	plain[size] = '\0';
	/* Only somebody with the key could have made it, but nobody can be given it. */
	if (strlen(plain) != size || check_name(plain, size) < 0)
		return -EBADMSG;
	return 0;
}

int name_decode_with(const struct siv_key *key, const struct place *place, const char *backing,
		     char plain[static 256])
{
	uint8_t siv[NAME_SIV_MAX];
	size_t siv_size = 0;

	if (name_is_reserved(backing))
		return -ENODATA;
	if (!key) {
		strncpy(plain, backing, 256);
		return 0;
	}
	if (backing[0] == NAME_LONG_MARK) {
		int r;

		if (name_is_sidecar(backing, NULL))
			return -ENODATA;
		r = name_read_sidecar(place, backing, siv, &siv_size);
		if (r < 0)
			return r;
	} else {
		const ssize_t size = base64url_decode(bytes_from_text(backing), siv, sizeof(siv));

		if (size <= SIV_OVERHEAD)
			return -EBADMSG;
		siv_size = (size_t)size;
	}
	return open_name(key, (struct bytes){ siv, siv_size }, plain);
}

int name_decode(const struct place *place, const char *backing, char plain[static 256])
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = NULL;
	int r = name_key(place, &key);

	return r < 0 ? r : name_decode_with(key, place, backing, plain);
}
