/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wrapping with a key of a KMIP server, by the server or, where its keys may leave it, here.  Blob: kms/PROTOCOL.md, "kmip".
 *
 * CBC has no integrity: what it opens to is compared with the ids that went in, and believed when the capsule opens with it.
 */
#include <errno.h>
#include <string.h>

#include "kms/crypto/aead.h"
#include "kms/crypto/random.h"
#include "kms/providers/kmip_internal.h"

#define BLOB_VERSION 1
#define HEAD_SIZE    2
#define AAD_LABEL    "snapcrypt/1"
#define AAD_SIZE     (sizeof(AAD_LABEL) - 1 + 2 * (size_t)UUID_SIZE)
#define BOUND_SIZE   (SLOT_SECRET_SIZE + 2 * (size_t)UUID_SIZE)
#define GCM_IV_SIZE  12
#define GCM_TAG_SIZE 16
#define CBC_IV_SIZE  16
#define CBC_SIZE     (BOUND_SIZE + 16)
#define LOCAL_SIZE   (SLOT_SECRET_SIZE + AEAD_OVERHEAD)
#define GCM_VERSION  14

/* One wrap or unwrap. */
struct work {
	struct kmip *kmip;
	const struct kms_call *call;
	const struct wrap_context *context;
	struct kms_error *reterr;
};

static const char *scheme_name(enum kmip_scheme scheme)
{
	return scheme == KMIP_GCM ? "AES-GCM" : scheme == KMIP_CBC ? "AES-CBC" : "AES-GCM-local";
}

static void make_aad(const struct wrap_context *context, uint8_t aad[static AAD_SIZE])
{
	memcpy(aad, AAD_LABEL, sizeof(AAD_LABEL) - 1);
	memcpy(aad + sizeof(AAD_LABEL) - 1, context->volume.bytes, UUID_SIZE);
	memcpy(aad + sizeof(AAD_LABEL) - 1 + UUID_SIZE, context->snapshot.bytes, UUID_SIZE);
}

/* secret | volume | snapshot */
static int bind(const struct wrap_context *context, const uint8_t *secret,
		struct secret **ret_bound)
{
	int r = secret_new(BOUND_SIZE, ret_bound);

	if (r < 0)
		return r;
	memcpy(secret_data(*ret_bound), secret, SLOT_SECRET_SIZE);
	memcpy(secret_data(*ret_bound) + SLOT_SECRET_SIZE, context->volume.bytes, UUID_SIZE);
	memcpy(secret_data(*ret_bound) + SLOT_SECRET_SIZE + UUID_SIZE, context->snapshot.bytes,
	       UUID_SIZE);
	return 0;
}

static int fail_memory(struct work *work)
{
	return kms_fail(work->reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
}

static int reject(struct work *work, const char *what)
{
	return kms_fail(work->reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN, "%s: %s",
			work->kmip->key_id, what);
}

/* "Permission denied" is also what servers say of keys that are not active: the state of the key settles it. */
static int settle(struct work *work, int r, uint32_t reason)
{
	struct kmip_facts facts;
	struct kms_error error;

	if (!kmip_is_ambiguous(reason) ||
	    kmip_read_facts(work->kmip, work->call, &facts, &error) < 0 ||
	    kmip_check_state(work->kmip, facts.state, &error) == 0)
		return r;
	if (work->reterr)
		*work->reterr = error;
	return error.code;
}

static int ask(struct work *work, struct kmip_request *request, struct kmip_exchange *exchanged)
{
	int r = kmip_ask(work->kmip, work->call, request, exchanged, work->reterr);

	return r < 0 ? settle(work, r, exchanged->reply.reason) : 0;
}

static int fail_reply(struct work *work, enum kmip_operation operation, int code)
{
	if (code == -EKEYREJECTED)
		return reject(work, "the reply is about another key");
	return kmip_fail_malformed(work->kmip, operation, "a part of it is missing", work->reterr);
}

/* The IV is ours, unless the server says that it took another. */
static struct bytes iv_of(const struct kmip_sealed *sealed, struct bytes ours)
{
	return sealed->iv.size ? sealed->iv : ours;
}

static int store_sealed(struct work *work, const struct kmip_request *request,
			const struct kmip_exchange *exchanged, struct writer *blob)
{
	bool is_gcm = request->scheme == KMIP_GCM;
	struct kmip_sealed sealed;
	struct bytes iv;
	int r = kmip_decode_encrypt(exchanged->reply.payload, work->kmip->uri.uid, &sealed);

	if (r < 0)
		return fail_reply(work, KMIP_ENCRYPT, r);
	iv = iv_of(&sealed, request->iv);
	if (iv.size != request->iv.size ||
	    sealed.data.size != (is_gcm ? SLOT_SECRET_SIZE : CBC_SIZE) ||
	    (is_gcm && sealed.tag.size != GCM_TAG_SIZE))
		return kmip_fail_malformed(work->kmip, KMIP_ENCRYPT, "its sizes do not fit",
					   work->reterr);
	write_u8(blob, (uint8_t)request->scheme);
	write_span(blob, iv);
	write_span(blob, sealed.data);
	if (is_gcm)
		write_span(blob, sealed.tag);
	return 0;
}

/* *RET_REASON: why the server refused, 0 if it did not. */
static int encrypt_there(struct work *work, enum kmip_scheme scheme, const struct secret *secret,
			 struct writer *blob, uint32_t *ret_reason)
{
	CLEANUP(secret_cleanup) struct secret *bound = NULL;
	uint8_t aad[AAD_SIZE], iv[CBC_IV_SIZE];
	struct kmip_request request = { .operation = KMIP_ENCRYPT, .scheme = scheme };
	struct kmip_exchange exchanged = { 0 };
	int r = random_fill(iv, sizeof(iv));

	if (r < 0)
		return kms_fail(work->reterr, r, KEY_STATE_UNKNOWN, "no random bytes");
	if (bind(work->context, secret_bytes(secret).data, &bound) < 0)
		return fail_memory(work);
	make_aad(work->context, aad);
	request.data = scheme == KMIP_GCM ? secret_bytes(secret) : secret_bytes(bound);
	request.iv = (struct bytes){ iv, scheme == KMIP_GCM ? GCM_IV_SIZE : CBC_IV_SIZE };
	request.aad = (struct bytes){ aad, sizeof(aad) };
	r = ask(work, &request, &exchanged);
	*ret_reason = exchanged.reply.status ? exchanged.reply.reason : 0;
	if (r == 0)
		r = store_sealed(work, &request, &exchanged, blob);
	kmip_exchange_free(&exchanged);
	return r;
}

/* Which cipher modes a server has cannot be asked before 1.4, and is not always true after: try, and remember. */
static int wrap_there(struct work *work, const struct secret *secret, struct writer *blob)
{
	struct kmip *kmip = work->kmip;
	enum kmip_scheme scheme;
	kmip_version version;
	uint32_t reason = 0;
	int r;

	r = kmip_find_version(kmip, work->call, &version, work->reterr);
	if (r < 0)
		return r;
	pthread_mutex_lock(&kmip->lock);
	scheme = kmip->scheme ? kmip->scheme : KMIP_GCM;
	pthread_mutex_unlock(&kmip->lock);
	if (version < GCM_VERSION)
		scheme = KMIP_CBC;
	r = encrypt_there(work, scheme, secret, blob, &reason);
	if (r < 0 && scheme == KMIP_GCM && kmip_is_unsupported_mode(reason)) {
		scheme = KMIP_CBC;
		r = encrypt_there(work, scheme, secret, blob, &reason);
	}
	if (r == 0) {
		pthread_mutex_lock(&kmip->lock);
		kmip->scheme = scheme;
		pthread_mutex_unlock(&kmip->lock);
	}
	return r;
}

static int decrypt_there(struct work *work, enum kmip_scheme scheme, struct bytes blob,
			 struct secret **ret_secret)
{
	bool is_gcm = scheme == KMIP_GCM;
	size_t iv_size = is_gcm ? GCM_IV_SIZE : CBC_IV_SIZE;
	size_t data_size = is_gcm ? SLOT_SECRET_SIZE : CBC_SIZE;
	uint8_t aad[AAD_SIZE];
	struct kmip_request request = { .operation = KMIP_DECRYPT, .scheme = scheme };
	struct kmip_exchange exchanged = { 0 };
	struct bytes plain;
	int r;

	if (blob.size != iv_size + data_size + (is_gcm ? GCM_TAG_SIZE : 0))
		return reject(work, "not a slot of this key");
	make_aad(work->context, aad);
	request.iv = (struct bytes){ blob.data, iv_size };
	request.data = (struct bytes){ blob.data + iv_size, data_size };
	request.tag = (struct bytes){ blob.data + iv_size + data_size, is_gcm ? GCM_TAG_SIZE : 0 };
	request.aad = (struct bytes){ aad, sizeof(aad) };
	r = ask(work, &request, &exchanged);
	if (r == 0) {
		r = kmip_decode_decrypt(exchanged.reply.payload, work->kmip->uri.uid, &plain);
		if (r < 0)
			r = fail_reply(work, KMIP_DECRYPT, r);
		else if (plain.size != (is_gcm ? SLOT_SECRET_SIZE : BOUND_SIZE))
			r = reject(work, "what it opens to is no slot secret");
	}
	if (r == 0 && secret_copy(plain, ret_secret) < 0)
		r = fail_memory(work);
	kmip_exchange_free(&exchanged);
	return r;
}

static int unwrap_cbc(struct work *work, struct bytes blob, struct secret **ret_secret)
{
	CLEANUP(secret_cleanup) struct secret *bound = NULL;
	CLEANUP(secret_cleanup) struct secret *expected = NULL;
	int r = decrypt_there(work, KMIP_CBC, blob, &bound);

	if (r < 0)
		return r;
	if (bind(work->context, secret_data(bound), &expected) < 0)
		return fail_memory(work);
	if (!secret_equal(secret_data(expected), secret_data(bound), BOUND_SIZE))
		return reject(work, "the slot belongs to another snapshot, or was changed");
	return secret_copy((struct bytes){ secret_data(bound), SLOT_SECRET_SIZE }, ret_secret);
}

/* Servers give out keys in any state: it is ours to look, at every use. */
static int fetch_key(struct work *work, struct aead_key **ret_key)
{
	struct kmip_request request = { .operation = KMIP_GET };
	struct kmip_exchange exchanged = { 0 };
	struct kmip_facts facts;
	struct bytes key;
	int r;

	r = kmip_read_facts(work->kmip, work->call, &facts, work->reterr);
	if (r == 0)
		r = kmip_check_state(work->kmip, facts.state, work->reterr);
	if (r == 0)
		r = ask(work, &request, &exchanged);
	if (r == 0) {
		r = kmip_decode_key(exchanged.reply.payload, work->kmip->uri.uid, &key);
		if (r == -EKEYREJECTED)
			r = fail_reply(work, KMIP_GET, r);
		else if (r < 0)
			r = kms_fail(work->reterr, -EINVAL, KEY_STATE_UNKNOWN,
				     "%s: not an AES key of 256 bits in a raw or transparent form",
				     work->kmip->key_id);
		else if (aead_key_import(AEAD_AES_256_GCM, key, ret_key) < 0)
			r = fail_memory(work);
	}
	kmip_exchange_free(&exchanged);
	return r;
}

static int wrap_here(struct work *work, const struct secret *secret, struct writer *blob)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	uint8_t aad[AAD_SIZE], sealed[LOCAL_SIZE];
	int r = fetch_key(work, &key);

	if (r < 0)
		return r;
	make_aad(work->context, aad);
	r = aead_seal(key, (struct bytes){ aad, sizeof(aad) }, secret_bytes(secret), sealed);
	if (r < 0)
		return kms_fail(work->reterr, r, KEY_STATE_UNKNOWN, "wrapping with %s: %s",
				work->kmip->key_id, strerror(-r));
	write_u8(blob, KMIP_LOCAL);
	write_bytes(blob, sealed, sizeof(sealed));
	return 0;
}

static int unwrap_here(struct work *work, struct bytes blob, struct secret **ret_secret)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	uint8_t aad[AAD_SIZE];
	int r;

	if (blob.size != LOCAL_SIZE)
		return reject(work, "not a slot of this key");
	r = fetch_key(work, &key);
	if (r < 0)
		return r;
	if (secret_new(SLOT_SECRET_SIZE, &secret) < 0)
		return fail_memory(work);
	make_aad(work->context, aad);
	if (aead_open(key, (struct bytes){ aad, sizeof(aad) }, blob, secret_data(secret)) < 0)
		return reject(work, "the key does not open this slot");
	*ret_secret = TAKE(secret);
	return 0;
}

int kmip_wrap(struct kmip *kmip, const struct kms_call *call, const struct wrap_context *context,
	      const struct secret *secret, struct slot *slot, struct kms_error *reterr)
{
	struct work work = { kmip, call, context, reterr };
	struct writer blob;
	int r;

	writer_init(&blob, slot->wrapped, sizeof(slot->wrapped));
	write_u8(&blob, BLOB_VERSION);
	r = kmip->is_fetching ? wrap_here(&work, secret, &blob) : wrap_there(&work, secret, &blob);
	if (r < 0)
		return r;
	slot->wrapped_size = writer_bytes(&blob).size;
	slot->parameters.count = 0;
	r = text_pairs_set(&slot->parameters, "algorithm",
			   scheme_name((enum kmip_scheme)slot->wrapped[1]));
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory") : 0;
}

/* By what the slot says, whatever the mode is now: a volume may have slots of both. */
int kmip_unwrap(struct kmip *kmip, const struct kms_call *call, const struct wrap_context *context,
		const struct slot *slot, struct secret **ret_secret, struct kms_error *reterr)
{
	struct work work = { kmip, call, context, reterr };
	struct bytes blob;

	if (slot->wrapped_size <= HEAD_SIZE || slot->wrapped[0] != BLOB_VERSION)
		return reject(&work, "not a slot of this key");
	blob = (struct bytes){ slot->wrapped + HEAD_SIZE, slot->wrapped_size - HEAD_SIZE };
	if (slot->wrapped[1] == KMIP_GCM)
		return decrypt_there(&work, KMIP_GCM, blob, ret_secret);
	if (slot->wrapped[1] == KMIP_CBC)
		return unwrap_cbc(&work, blob, ret_secret);
	if (slot->wrapped[1] == KMIP_LOCAL)
		return unwrap_here(&work, blob, ret_secret);
	return reject(&work, "not a slot of this key");
}
