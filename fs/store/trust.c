/* SPDX-License-Identifier: Apache-2.0 */
/* Whose signature counts here: this host's writer key and the writers that the configuration names. */
#include "fs/store/trust.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/state_dir.h"
#include "fs/store/store.h"
#include "fs/store/trust_internal.h"
#include "kms/crypto/hash.h"
#include "kms/crypto/sign.h"
#include "meta/encoding.h"

#define WRITER_KEY_FILE   "writer.key"
#define WRITER_PUB_FILE   "writer.pub"
#define FINGERPRINT_START "writer:"

/* What precedes an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410). */
static const uint8_t spki_prefix[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
				       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };

int trust_fingerprint(const uint8_t public_key[static RECORD_PUBLIC_KEY_SIZE],
		      char text[static WRITER_FINGERPRINT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	int r = sha256((struct bytes){ public_key, RECORD_PUBLIC_KEY_SIZE }, digest);

	if (r < 0)
		return r;
	strcpy(text, FINGERPRINT_START);
	hex_encode((struct bytes){ digest, sizeof(digest) }, text + strlen(FINGERPRINT_START));
	return 0;
}

/* A fingerprint of the configuration in its canonical form. */
static int parse_fingerprint(const char *text, char fingerprint[static WRITER_FINGERPRINT_SIZE])
{
	const size_t start_size = strlen(FINGERPRINT_START);
	const char *digits = strncmp(text, FINGERPRINT_START, start_size) == 0 ? text + start_size
									       : text;
	uint8_t digest[SHA256_SIZE];

	if (hex_decode(bytes_from_text(digits), digest, sizeof(digest)) != SHA256_SIZE)
		return -EINVAL;
	strcpy(fingerprint, FINGERPRINT_START);
	hex_encode((struct bytes){ digest, sizeof(digest) }, fingerprint + start_size);
	return 0;
}

static int add_writers(struct trust *trust, const struct trust_options *options,
		       struct store_error *reterr)
{
	if (options->trusted_writer_count == 0)
		return 0;
	trust->writers = calloc(options->trusted_writer_count, sizeof(*trust->writers));
	if (!trust->writers)
		return -ENOMEM;
	for (size_t i = 0; i < options->trusted_writer_count; i++) {
		int r = parse_fingerprint(options->trusted_writers[i], trust->writers[i]);

		if (r < 0) {
			store_fail(reterr, r, EXIT_USAGE,
				   "trusted_writers: '%s' is not a fingerprint",
				   options->trusted_writers[i]);
			store_advise(
				reterr,
				"give 64 hexadecimal digits as 'snapcrypt status' prints them");
			return r;
		}
		trust->writer_count++;
	}
	return 0;
}

/* The public key as written by publish_public_key(). */
static int parse_public_pem(const char *pem, uint8_t public_key[static RECORD_PUBLIC_KEY_SIZE])
{
	static const char begin[] = "-----BEGIN PUBLIC KEY-----\n";
	static const char end[] = "\n-----END PUBLIC KEY-----\n";
	uint8_t der[sizeof(spki_prefix) + RECORD_PUBLIC_KEY_SIZE];
	const char *body = pem + sizeof(begin) - 1;
	const char *tail;

	if (strncmp(pem, begin, sizeof(begin) - 1) != 0)
		return -EBADMSG;
	tail = strstr(body, end);
	if (!tail ||
	    base64_decode((struct bytes){ (const uint8_t *)body, (size_t)(tail - body) }, der,
			  sizeof(der)) != (ssize_t)sizeof(der) ||
	    memcmp(der, spki_prefix, sizeof(spki_prefix)) != 0)
		return -EBADMSG;
	memcpy(public_key, der + sizeof(spki_prefix), RECORD_PUBLIC_KEY_SIZE);
	return 0;
}

static int publish_public_key(struct trust *trust)
{
	uint8_t der[sizeof(spki_prefix) + RECORD_PUBLIC_KEY_SIZE];
	char body[BASE64_TEXT_SIZE(sizeof(der))];
	char *pem = NULL;
	int r;

	memcpy(der, spki_prefix, sizeof(spki_prefix));
	memcpy(der + sizeof(spki_prefix), trust->public_key, RECORD_PUBLIC_KEY_SIZE);
	base64_encode((struct bytes){ der, sizeof(der) }, body);
	if (asprintf(&pem, "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", body) < 0)
		return -ENOMEM;
	r = state_dir_write(trust->state, WRITER_PUB_FILE, pem);
	free(pem);
	return r;
}

/* Load this host's key, or say -ENOENT. */
static int load_key(struct trust *trust)
{
	char *path = NULL;
	int r;

	if (asprintf(&path, "%s/" WRITER_KEY_FILE, state_dir_path(trust->state)) < 0)
		return -ENOMEM;
	r = sign_key_load(path, &trust->key);
	free(path);
	if (r < 0)
		return r;
	sign_key_public(trust->key, trust->public_key);
	trust->has_public_key = true;
	return 0;
}

static int make_key(struct trust *trust)
{
	CLEANUP(sign_key_cleanup) struct sign_key *key = NULL;
	char *path = NULL;
	int r = sign_key_generate(&key);

	if (r < 0)
		return r;
	r = state_dir_make_path(trust->state, WRITER_KEY_FILE, &path);
	if (r < 0)
		return r;
	r = sign_key_save(key, path);
	free(path);
	/* Another process was faster: its key is this host's. */
	return r == -EEXIST ? 0 : r;
}

static int need_key_locked(struct trust *trust)
{
	int r;

	if (trust->key)
		return 0;
	r = load_key(trust);
	if (r == -ENOENT) {
		r = make_key(trust);
		if (r == 0)
			r = load_key(trust);
		if (r == 0)
			r = publish_public_key(trust);
	}
	return r;
}

static int need_key(struct trust *trust)
{
	int r;

	pthread_mutex_lock(&trust->mutex);
	r = need_key_locked(trust);
	pthread_mutex_unlock(&trust->mutex);
	return r;
}

/* The public half is enough to recognise this host's records, and needs no secret memory. */
static int load_public_key(struct trust *trust)
{
	char *pem = NULL;
	size_t size;
	int r = state_dir_read(trust->state, WRITER_PUB_FILE, &pem, &size);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = parse_public_pem(pem, trust->public_key);
	trust->has_public_key = r == 0;
	free(pem);
	return r;
}

/* 1: this host has a key and its public half is known; 0: it has none. */
static int know_public_key(struct trust *trust)
{
	int r = 0;

	pthread_mutex_lock(&trust->mutex);
	if (!trust->has_public_key && !trust->has_no_key) {
		r = load_key(trust);
		if (r == 0)
			r = publish_public_key(trust);
		trust->has_no_key = r == -ENOENT;
		if (r == -ENOENT || r == -EROFS || r == -EACCES)
			r = 0;
	}
	if (r == 0)
		r = trust->has_public_key;
	pthread_mutex_unlock(&trust->mutex);
	return r;
}

static int open_state(struct trust *trust, const struct trust_options *options,
		      struct store_error *reterr)
{
	int r = state_dir_open(options->state_dir, &trust->state);

	if (r == 0)
		r = load_public_key(trust);
	if (r < 0) {
		store_fail(
			reterr, r, EXIT_USAGE, "state directory %s: %s", options->state_dir,
			r == -EPERM
				? "it or the writer key belongs to another user or is open to others"
			: r == -EBADMSG ? "the writer key cannot be read"
					: strerror(-r));
		if (r == -EPERM)
			store_advise(reterr,
				     "chown it to the user who runs snapcrypt and chmod 700 it");
	}
	return r;
}

int trust_open(const struct trust_options *options, struct trust **ret_trust,
	       struct store_error *reterr)
{
	struct trust *trust = calloc(1, sizeof(*trust));
	int r;

	if (!trust || pthread_mutex_init(&trust->mutex, NULL) != 0) {
		free(trust);
		return store_fail(reterr, -ENOMEM, EXIT_FAILED, "out of memory");
	}
	trust->requires_origin = options->requires_trusted_origin;
	r = open_state(trust, options, reterr);
	if (r == 0)
		r = add_writers(trust, options, reterr);
	if (r < 0) {
		trust_close(trust);
		return r;
	}
	*ret_trust = trust;
	return 0;
}

void trust_close(struct trust *trust)
{
	if (!trust)
		return;
	sign_key_free(trust->key);
	free(trust->writers);
	state_dir_close(trust->state);
	pthread_mutex_destroy(&trust->mutex);
	free(trust);
}

bool trust_requires_origin(const struct trust *trust)
{
	return trust->requires_origin;
}

const char *trust_state_dir(const struct trust *trust)
{
	return state_dir_path(trust->state);
}

int trust_own_fingerprint(struct trust *trust, char text[static WRITER_FINGERPRINT_SIZE])
{
	int r = know_public_key(trust);

	if (r == 0)
		r = need_key(trust);
	return r < 0 ? r : trust_fingerprint(trust->public_key, text);
}

int trust_sign(struct trust *trust, const char *line, char **ret_text)
{
	uint8_t signature[SIGN_SIGNATURE_SIZE];
	uint8_t *message = NULL;
	size_t size;
	int r = need_key(trust);

	if (r < 0)
		return r;
	r = record_sign_input(bytes_from_text(line), &message, &size);
	if (r < 0)
		return r;
	r = sign_message(trust->key, (struct bytes){ message, size }, signature);
	free(message);
	return r < 0 ? r : record_join(line, trust->public_key, signature, ret_text);
}

static bool is_listed(const struct trust *trust, const char *fingerprint)
{
	for (size_t i = 0; i < trust->writer_count; i++) {
		if (strcmp(trust->writers[i], fingerprint) == 0)
			return true;
	}
	return false;
}

static int find_origin(struct trust *trust, const struct record *record,
		       enum trust_origin *ret_origin)
{
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	int r = know_public_key(trust);

	if (r < 0)
		return r;
	if (r == 1 && memcmp(trust->public_key, record->public_key, RECORD_PUBLIC_KEY_SIZE) == 0) {
		*ret_origin = TRUST_THIS_HOST;
		return 0;
	}
	r = trust_fingerprint(record->public_key, fingerprint);
	if (r < 0)
		return r;
	*ret_origin = is_listed(trust, fingerprint) ? TRUST_LISTED_WRITER : TRUST_UNKNOWN_WRITER;
	return 0;
}

int trust_verify(struct trust *trust, const struct record *record, enum trust_origin *ret_origin)
{
	uint8_t *message = NULL;
	size_t size;
	int r = record_sign_input(record->line, &message, &size);

	if (r < 0)
		return r;
	r = sign_verify(record->public_key, (struct bytes){ message, size }, record->signature);
	free(message);
	return r < 0 ? r : find_origin(trust, record, ret_origin);
}

bool trust_origin_is_trusted(enum trust_origin origin)
{
	return origin != TRUST_UNKNOWN_WRITER;
}
