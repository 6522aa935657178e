/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded local key store. */
#include "kms/keyring_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "kms/credentials/secret_source.h"
#include "kms/crypto/aead.h"
#include "kms/crypto/random.h"
#include "kms/keyring_json.h"

#define KEY_SIZE 32

static int check_id(const char *id, struct kms_error *reterr)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(id);

	if (len && len < KEYRING_KEY_ID_SIZE && strspn(id, letters) == len)
		return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"keyring key id '%s': use 1 to 64 letters, digits, '.', '_' or '-'", id);
}

void keyring_unlock_wipe(struct keyring_unlock *unlock)
{
	secret_drop(unlock->derived);
	unlock->derived = NULL;
}

static int load(const char *path, struct keyring_contents *contents, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *text = NULL;
	int r;

	r = secret_source_file(path, &text, reterr);
	if (r == -ENOENT) {
		r = kms_fail(reterr, -EHOSTUNREACH, KEY_STATE_UNREACHABLE,
			     "keyring %s is not there", path);
		kms_advise(reterr, "copy it back to this place, or name it with --keyring FILE");
		return r;
	}
	if (r < 0)
		return r;
	r = keyring_json_decode(secret_bytes(text), contents);
	if (r == -ENOTSUP)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
				"keyring %s has a newer format; update snapcrypt", path);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s is not a keyring, or damaged",
				path);
	return 0;
}

static int write_all(int fd, struct bytes data)
{
	while (data.size) {
		ssize_t n = write(fd, data.data, data.size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data.data += n;
			data.size -= (size_t)n;
		}
	}
	return 0;
}

static int sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	int fd, r;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* Write a temporary file beside PATH, then put it in place: over what is there, or only where there is nothing. */
static int store(const char *path, const struct keyring_contents *contents, bool is_new)
{
	CLEANUP(secret_cleanup) struct secret *text = NULL;
	char temporary[PATH_MAX];
	int fd, r;

	r = keyring_json_encode(contents, &text);
	if (r < 0)
		return r;
	if (snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid()) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, secret_bytes(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && (is_new ? link(temporary, path) : rename(temporary, path)) < 0)
		r = -errno;
	if (r < 0 || is_new)
		unlink(temporary);
	return r < 0 ? r : sync_directory_of(path);
}

/* Serialises changes between processes.  Returns a descriptor to close. */
static int lock_changes(const char *path)
{
	char lock[PATH_MAX];
	int fd;

	if (snprintf(lock, sizeof(lock), "%s.lock", path) >= (int)sizeof(lock))
		return -ENAMETOOLONG;
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

static struct bytes sealed_aad(const struct keyring_contents *contents, const char *id,
			       uint8_t aad[static 128])
{
	static const char label[] = "snapcrypt/1/keyring";
	size_t size = sizeof(label) - 1;

	memcpy(aad, label, size);
	memcpy(aad + size, contents->keyring.bytes, UUID_SIZE);
	size += UUID_SIZE;
	memcpy(aad + size, id, strlen(id));
	return (struct bytes){ aad, size + strlen(id) };
}

/* The key that seals the keys of a keyring with a passphrase. */
static int unlock_key(const struct keyring_contents *contents, struct keyring_unlock *unlock,
		      struct aead_key **ret_key, struct kms_error *reterr)
{
	int r;

	if (!unlock || !unlock->passphrase) {
		r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "the keyring has a passphrase, and none was given");
		kms_advise(
			reterr,
			"set passphrase_file in its [key] section, or SNAPCRYPT_KEYRING_PASSPHRASE");
		return r;
	}
	if (!unlock->derived || memcmp(unlock->salt, contents->salt, sizeof(unlock->salt)) != 0) {
		keyring_unlock_wipe(unlock);
		r = passphrase_derive(unlock->passphrase, contents->salt, &contents->cost,
				      &unlock->derived);
		if (r < 0)
			return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
					"passphrase of the keyring: %s", strerror(-r));
		memcpy(unlock->salt, contents->salt, sizeof(unlock->salt));
	}
	return aead_key_import(AEAD_AES_256_GCM, secret_bytes(unlock->derived), ret_key);
}

static struct keyring_stored_key *find(struct keyring_contents *contents, const char *id)
{
	for (size_t i = 0; i < contents->key_count; i++)
		if (!strcmp(contents->keys[i].key.id, id))
			return &contents->keys[i];
	return NULL;
}

/* Draw a key and append it. */
static int add_key(struct keyring_contents *contents, const char *id, struct keyring_unlock *unlock,
		   struct kms_error *reterr)
{
	struct keyring_stored_key *key = &contents->keys[contents->key_count];
	CLEANUP(secret_cleanup) struct secret *drawn = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *sealing = NULL;
	uint8_t aad[128];
	int r;

	if (contents->key_count == KEYRING_KEYS_MAX)
		return kms_fail(reterr, -ENOSPC, KEY_STATE_UNKNOWN,
				"a keyring holds at most %d keys", KEYRING_KEYS_MAX);
	r = secret_new(KEY_SIZE, &drawn);
	if (r == 0)
		r = random_fill(secret_data(drawn), KEY_SIZE);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing a key: %s", strerror(-r));
	key->key.state = KEY_STATE_ENABLED;
	key->key.created_s = key->key.changed_s = time(NULL);
	memcpy(key->key.id, id, strlen(id) + 1);
	if (contents->has_passphrase) {
		r = unlock_key(contents, unlock, &sealing, reterr);
		if (r < 0)
			return r;
		r = aead_seal(sealing, sealed_aad(contents, id, aad), secret_bytes(drawn),
			      key->stored);
		if (r < 0)
			return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "sealing a key: %s",
					strerror(-r));
		key->size = KEYRING_STORED_MAX;
	} else {
		memcpy(key->stored, secret_data(drawn), KEY_SIZE);
		key->size = KEY_SIZE;
	}
	contents->key_count++;
	return 0;
}

int keyring_file_init(const char *path, const char *id, struct keyring_unlock *unlock,
		      struct kms_error *reterr)
{
	CLEANUP(keyring_contents_cleanup)
	struct keyring_contents *contents = keyring_contents_new();
	int r;

	if (!contents)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	r = check_id(id, reterr);
	if (r < 0)
		return r;
	r = random_uuid(&contents->keyring);
	if (r == 0 && unlock && unlock->passphrase) {
		contents->has_passphrase = true;
		contents->cost = PASSPHRASE_COST_DEFAULT;
		r = random_fill(contents->salt, sizeof(contents->salt));
	}
	if (r == 0)
		r = add_key(contents, id, unlock, reterr);
	if (r < 0)
		return r;
	r = store(path, contents, true);
	if (r == -EEXIST)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s exists; it is left as it is",
				path);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	return 0;
}

/* Load under the lock, change, store. */
struct change {
	const char *id;
	enum key_state state;
	struct keyring_unlock *unlock;
	int (*apply)(struct keyring_contents *contents, const struct change *change,
		     struct kms_error *reterr);
};

static int change_file(const char *path, const struct change *change, struct kms_error *reterr)
{
	CLEANUP(keyring_contents_cleanup)
	struct keyring_contents *contents = keyring_contents_new();
	int lock, r;

	if (!contents)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	lock = lock_changes(path);
	if (lock < 0)
		return kms_fail(reterr, lock, KEY_STATE_UNKNOWN, "%s.lock: %s", path,
				strerror(-lock));
	r = load(path, contents, reterr);
	if (r == 0)
		r = change->apply(contents, change, reterr);
	if (r == 0) {
		r = store(path, contents, false);
		if (r < 0)
			(void)kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	}
	close(lock);
	return r;
}

static int apply_add(struct keyring_contents *contents, const struct change *change,
		     struct kms_error *reterr)
{
	/* An id is never used again, a deleted key's neither: it would answer for another key's slots. */
	if (find(contents, change->id))
		return kms_fail(reterr, -EEXIST, KEY_STATE_UNKNOWN,
				"key '%s' exists; choose another id", change->id);
	return add_key(contents, change->id, change->unlock, reterr);
}

int keyring_file_add(const char *path, const char *id, struct keyring_unlock *unlock,
		     struct kms_error *reterr)
{
	struct change change = { .id = id, .unlock = unlock, .apply = apply_add };
	int r = check_id(id, reterr);

	return r < 0 ? r : change_file(path, &change, reterr);
}

static int apply_state(struct keyring_contents *contents, const struct change *change,
		       struct kms_error *reterr)
{
	struct keyring_stored_key *key = find(contents, change->id);

	if (!key)
		return kms_fail(reterr, -ENOENT, KEY_STATE_DELETED, "no key '%s' in this keyring",
				change->id);
	if (key->key.state == KEY_STATE_DELETED && change->state != KEY_STATE_DELETED)
		return kms_fail(reterr, -ENOKEY, KEY_STATE_DELETED,
				"key '%s' is deleted; it cannot come back", change->id);
	if (key->key.state != change->state)
		key->key.changed_s = time(NULL);
	key->key.state = change->state;
	if (change->state == KEY_STATE_DELETED) {
		secret_wipe(key->stored, sizeof(key->stored));
		key->size = 0;
	}
	return 0;
}

int keyring_file_set_state(const char *path, const char *id, enum key_state state,
			   struct kms_error *reterr)
{
	struct change change = { .id = id, .state = state, .apply = apply_state };

	return change_file(path, &change, reterr);
}

int keyring_file_list(const char *path, struct keyring_info *ret_info, struct kms_error *reterr)
{
	CLEANUP(keyring_contents_cleanup)
	struct keyring_contents *contents = keyring_contents_new();
	int r;

	if (!contents)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	r = load(path, contents, reterr);
	if (r < 0)
		return r;
	ret_info->keyring = contents->keyring;
	ret_info->has_passphrase = contents->has_passphrase;
	ret_info->key_count = contents->key_count;
	for (size_t i = 0; i < contents->key_count; i++)
		ret_info->keys[i] = contents->keys[i].key;
	return 0;
}

static int open_key(const struct keyring_contents *contents, const struct keyring_stored_key *key,
		    struct keyring_unlock *unlock, struct secret **ret_key,
		    struct kms_error *reterr)
{
	CLEANUP(aead_key_cleanup) struct aead_key *sealing = NULL;
	CLEANUP(secret_cleanup) struct secret *opened = NULL;
	uint8_t aad[128];
	int r;

	if (!contents->has_passphrase)
		return secret_copy((struct bytes){ key->stored, key->size }, ret_key);
	r = unlock_key(contents, unlock, &sealing, reterr);
	if (r < 0)
		return r;
	r = secret_new(KEY_SIZE, &opened);
	if (r < 0)
		return r;
	r = aead_open(sealing, sealed_aad(contents, key->key.id, aad),
		      (struct bytes){ key->stored, key->size }, secret_data(opened));
	if (r < 0)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_CREDENTIALS_EXPIRED,
				"this is not the keyring's passphrase");
	*ret_key = TAKE(opened);
	return 0;
}

int keyring_file_key(const char *path, const char *id, struct keyring_unlock *unlock,
		     struct keyring_found *ret_found, struct secret **ret_key,
		     struct kms_error *reterr)
{
	CLEANUP(keyring_contents_cleanup)
	struct keyring_contents *contents = keyring_contents_new();
	struct keyring_stored_key *key;
	int r;

	if (!contents)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	r = load(path, contents, reterr);
	if (r < 0)
		return r;
	key = find(contents, id);
	if (!key)
		return kms_fail(reterr, -ENOKEY, KEY_STATE_DELETED, "keyring %s has no key '%s'",
				path, id);
	ret_found->keyring = contents->keyring;
	ret_found->key = key->key;
	if (!ret_key)
		return 0;
	if (key->key.state == KEY_STATE_DELETED)
		return kms_fail(
			reterr, -ENOKEY, KEY_STATE_DELETED,
			"key '%s' of keyring %s is deleted: what it wrapped cannot be read again",
			id, path);
	if (key->key.state == KEY_STATE_DISABLED) {
		r = kms_fail(reterr, -EKEYREVOKED, KEY_STATE_DISABLED,
			     "key '%s' of keyring %s is disabled", id, path);
		kms_advise(reterr, "nothing is lost; enable it (snapcrypt keyring enable %s %s)",
			   path, id);
		return r;
	}
	return open_key(contents, key, unlock, ret_key, reterr);
}
