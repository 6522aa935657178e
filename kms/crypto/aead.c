/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening.
 *
 * This is the data path: per message only the nonce is set, on a context that has the key already;
 * per run of blocks the context is taken and the nonces are drawn once.
 */
#include "kms/crypto/aead.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "kms/crypto/aead_key.h"
#include "kms/crypto/aead_nonce.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"

/* OpenSSL counts in int. */
#define MESSAGE_MAX ((size_t)1 << 30)

/* Nonces drawn at once. */
#define NONCES_MAX 64

/* Give DATA to the cipher; without OUTPUT it is additional data.  Empty DATA could mean "end". */
static bool cipher_feed(EVP_CIPHER_CTX *context, uint8_t *output, struct bytes data)
{
	int size;

	return data.size == 0 ||
	       (EVP_CipherUpdate(context, output, &size, data.data, (int)data.size) == 1 &&
		(size_t)size == data.size);
}

/* SEALED begins with the nonce. */
static bool seal_message(EVP_CIPHER_CTX *context, struct bytes aad, struct bytes plain,
			 uint8_t *sealed)
{
	uint8_t *ciphertext = sealed + AEAD_NONCE_SIZE;
	uint8_t *tag = ciphertext + plain.size;
	int none;

	/* These ciphers have no bytes left to give at the end; the pointer only has to be valid. */
	return EVP_CipherInit_ex(context, NULL, NULL, NULL, sealed, 1) == 1 &&
	       cipher_feed(context, NULL, aad) && cipher_feed(context, ciphertext, plain) &&
	       EVP_CipherFinal_ex(context, tag, &none) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag) == 1;
}

/* 0, -EBADMSG or -ENOMEM; PLAIN is wiped on failure. */
static int open_message(EVP_CIPHER_CTX *context, struct bytes aad, struct bytes sealed,
			uint8_t *plain)
{
	struct bytes ciphertext = { sealed.data + AEAD_NONCE_SIZE, sealed.size - AEAD_OVERHEAD };
	uint8_t tag[AEAD_TAG_SIZE];
	uint8_t none[AEAD_TAG_SIZE];
	int none_size;
	int r = 0;

	memcpy(tag, ciphertext.data + ciphertext.size, sizeof(tag));
	if (EVP_CipherInit_ex(context, NULL, NULL, NULL, sealed.data, 0) != 1 ||
	    !cipher_feed(context, NULL, aad) || !cipher_feed(context, plain, ciphertext) ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) != 1)
		r = -ENOMEM;
	else if (EVP_CipherFinal_ex(context, none, &none_size) != 1)
		r = -EBADMSG;
	if (r < 0)
		secret_wipe(plain, ciphertext.size);
	return r;
}

/* End a use.  A context that failed may be left half-way through a message: it is not kept. */
static void give_back(const struct aead_key *key, EVP_CIPHER_CTX *context, int outcome)
{
	if (outcome < 0) {
		EVP_CIPHER_CTX_free(context);
		context = NULL;
	}
	key_pool_give(key->pool, context);
}

int aead_seal_with_nonce(const struct aead_key *key, const uint8_t nonce[static AEAD_NONCE_SIZE],
			 struct bytes aad, struct bytes plain, uint8_t *sealed)
{
	EVP_CIPHER_CTX *context;

	if (plain.size > MESSAGE_MAX || aad.size > MESSAGE_MAX)
		return -EINVAL;

	int r = aead_key_take(key, &context);

	if (r < 0)
		return r;
	memcpy(sealed, nonce, AEAD_NONCE_SIZE);
	r = seal_message(context, aad, plain, sealed) ? 0 : -ENOMEM;
	give_back(key, context, r);
	return r;
}

int aead_seal(const struct aead_key *key, struct bytes aad, struct bytes plain, uint8_t *sealed)
{
	uint8_t nonce[AEAD_NONCE_SIZE];
	int r = random_fill(nonce, sizeof(nonce));

	return r < 0 ? r : aead_seal_with_nonce(key, nonce, aad, plain, sealed);
}

int aead_open(const struct aead_key *key, struct bytes aad, struct bytes sealed, uint8_t *plain)
{
	EVP_CIPHER_CTX *context;

	if (sealed.size < AEAD_OVERHEAD)
		return -EBADMSG;
	if (sealed.size > MESSAGE_MAX || aad.size > MESSAGE_MAX)
		return -EINVAL;

	int r = aead_key_take(key, &context);

	if (r < 0) {
		secret_wipe(plain, sealed.size - AEAD_OVERHEAD);
		return r;
	}
	r = open_message(context, aad, sealed, plain);
	give_back(key, context, r);
	return r;
}

/* ---- Runs of blocks ---- */

/* One side of a run: full blocks of STRIDE bytes, and a last one of LAST bytes. */
struct run_side {
	size_t stride;
	size_t last;
};

/* Lay TOTAL bytes out; every block has at least OVERHEAD of them. */
static int run_layout(const struct aead_run *run, size_t overhead, size_t total,
		      struct run_side *ret_side)
{
	uint64_t end;
	size_t full;

	if (run->block_count == 0 || run->block_size == 0 || run->block_size > MESSAGE_MAX / 2 ||
	    __builtin_add_overflow(run->first_index, run->block_count, &end))
		return -EINVAL;

	size_t stride = run->block_size + overhead;

	if (__builtin_mul_overflow(run->block_count - 1, stride, &full) || total < full ||
	    total - full < overhead || total - full > stride)
		return -EINVAL;
	*ret_side = (struct run_side){ .stride = stride, .last = total - full };
	return 0;
}

static struct bytes run_block(const struct aead_run *run, const struct run_side *side,
			      const uint8_t *data, size_t i)
{
	size_t size = i == run->block_count - 1 ? side->last : side->stride;

	/* Empty input may have no address, to which nothing may be added. */
	return (struct bytes){ size == 0 ? NULL : data + i * side->stride, size };
}

/* meta/FORMAT.md, "Blocks": the block's index, little-endian. */
static void block_aad(uint64_t index, uint8_t aad[static sizeof(uint64_t)])
{
	for (size_t i = 0; i < sizeof(index); i++)
		aad[i] = (uint8_t)(index >> (8 * i));
}

/* Seal blocks BEGIN to END - 1 of the run. */
static int seal_some(EVP_CIPHER_CTX *context, const struct aead_run *run,
		     const struct run_side *side, const uint8_t *plain, uint8_t *sealed,
		     size_t begin, size_t end)
{
	uint8_t nonces[NONCES_MAX][AEAD_NONCE_SIZE];
	uint8_t aad[sizeof(uint64_t)];
	int r = random_fill(nonces, (end - begin) * AEAD_NONCE_SIZE);

	if (r < 0)
		return r;
	for (size_t i = begin; i < end; i++) {
		uint8_t *place = sealed + i * (side->stride + AEAD_OVERHEAD);

		block_aad(run->first_index + i, aad);
		memcpy(place, nonces[i - begin], AEAD_NONCE_SIZE);
		if (!seal_message(context, (struct bytes){ aad, sizeof(aad) },
				  run_block(run, side, plain, i), place))
			return -ENOMEM;
	}
	return 0;
}

int aead_seal_blocks(const struct aead_key *key, const struct aead_run *run, struct bytes plain,
		     uint8_t *sealed)
{
	EVP_CIPHER_CTX *context;
	struct run_side side;
	int r = run_layout(run, 0, plain.size, &side);

	if (r < 0)
		return r;
	r = aead_key_take(key, &context);
	if (r < 0)
		return r;
	for (size_t begin = 0; begin < run->block_count && r == 0; begin += NONCES_MAX) {
		size_t left = run->block_count - begin;
		size_t count = left < NONCES_MAX ? left : NONCES_MAX;

		r = seal_some(context, run, &side, plain.data, sealed, begin, begin + count);
	}
	give_back(key, context, r);
	return r;
}

int aead_open_blocks(const struct aead_key *key, const struct aead_run *run, struct bytes sealed,
		     uint8_t *plain, uint64_t *ret_failed)
{
	EVP_CIPHER_CTX *context;
	struct run_side side;
	size_t i = 0;
	int r = run_layout(run, AEAD_OVERHEAD, sealed.size, &side);

	if (r < 0)
		return r;

	size_t plain_size = sealed.size - run->block_count * AEAD_OVERHEAD;

	r = aead_key_take(key, &context);
	if (r < 0) {
		secret_wipe(plain, plain_size);
		return r;
	}
	for (; i < run->block_count && r == 0; i++) {
		uint8_t aad[sizeof(uint64_t)];

		block_aad(run->first_index + i, aad);
		r = open_message(context, (struct bytes){ aad, sizeof(aad) },
				 run_block(run, &side, sealed.data, i),
				 plain_size == 0 ? NULL : plain + i * run->block_size);
	}
	give_back(key, context, r);
	if (r == 0)
		return 0;

	size_t failed = i - 1;
	size_t good_size = failed * run->block_size;

	if (plain_size > 0)
		secret_wipe(plain + good_size, plain_size - good_size);
	if (r == -EBADMSG && ret_failed)
		*ret_failed = run->first_index + failed;
	return r;
}
