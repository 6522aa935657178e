/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kms/crypto/aead.h"
#include "kms/crypto/aead_family.h"
#include "kms/crypto/aead_nonce.h"
#include "kms/crypto/secret.h"
#include "tests/unit/hex.h"

static int lock_memory(void **state)
{
	return secret_init();
}

static const enum aead_algorithm algorithms[] = { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };
static const uint8_t key_bytes[AEAD_KEY_SIZE] = "thirty-two bytes for test keys.";
static const struct bytes no_bytes = { NULL, 0 };

static struct aead_key *make_key(enum aead_algorithm algorithm)
{
	struct aead_key *key;

	assert_int_equal(aead_key_import(algorithm, (struct bytes){ key_bytes, sizeof(key_bytes) },
					 &key),
			 0);
	return key;
}

/* ---- Known answers ---- */

struct vector {
	enum aead_algorithm algorithm;
	const char *key;
	const char *nonce;
	const char *aad;
	const char *plain;
	const char *ciphertext_and_tag;
};

/* GCM: McGrew and Viega, test cases 13, 14 and 16.  ChaCha20-Poly1305: RFC 8439, section 2.8.2. */
static const struct vector vectors[] = {
	{ AEAD_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ AEAD_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919" },
	{ AEAD_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
	{ AEAD_CHACHA20_POLY1305,
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	  "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	  "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	  "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	  "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	  "637265656e20776f756c642062652069742e",
	  "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	  "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	  "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	  "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691" },
	{ AEAD_CHACHA20_POLY1305,
	  "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "4eb972c9a8fb3a1b382bb4d36f5ffad1" },
};

static void aead_matches_known_answers(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		uint8_t buffers[5][256];
		struct bytes nonce = hex_bytes(v->nonce, buffers[0], 256);
		struct bytes aad = hex_bytes(v->aad, buffers[1], 256);
		struct bytes plain = hex_bytes(v->plain, buffers[2], 256);
		uint8_t sealed[256];
		struct aead_key *key;

		assert_int_equal(
			aead_key_import(v->algorithm, hex_bytes(v->key, buffers[3], 256), &key), 0);

		/* Twice: the second message meets a context that has been used. */
		for (int round = 0; round < 2; round++) {
			size_t size = plain.size + AEAD_OVERHEAD;

			assert_int_equal(aead_seal_with_nonce(key, nonce.data, aad, plain, sealed),
					 0);
			assert_memory_equal(sealed, nonce.data, AEAD_NONCE_SIZE);
			assert_hex(sealed + AEAD_NONCE_SIZE, size - AEAD_NONCE_SIZE,
				   v->ciphertext_and_tag);
			assert_int_equal(
				aead_open(key, aad, (struct bytes){ sealed, size }, buffers[4]), 0);
			assert_memory_equal(buffers[4], plain.data, plain.size);
		}
		aead_key_free(key);
	}
}

static void aead_draws_a_new_nonce_for_every_message(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	uint8_t nonces[64][AEAD_NONCE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(nonces); i++) {
		uint8_t sealed[AEAD_OVERHEAD];

		assert_int_equal(aead_seal(key, no_bytes, no_bytes, sealed), 0);
		memcpy(nonces[i], sealed, AEAD_NONCE_SIZE);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(nonces[i], nonces[j], AEAD_NONCE_SIZE);
	}
}

/* ---- Rejections ---- */

static void aead_open_rejects_every_flipped_bit(void **state)
{
	for (size_t a = 0; a < ARRAY_SIZE(algorithms); a++) {
		CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(algorithms[a]);
		struct bytes plain = bytes_from_text("attack at dawn");
		struct bytes aad = bytes_from_text("place");
		uint8_t sealed[14 + AEAD_OVERHEAD];

		assert_int_equal(aead_seal(key, aad, plain, sealed), 0);
		for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
			uint8_t back[14];

			memset(back, 0xaa, sizeof(back));
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(aead_open(key, aad,
						   (struct bytes){ sealed, sizeof(sealed) }, back),
					 -EBADMSG);
			assert_true(bytes_are_zero((struct bytes){ back, sizeof(back) }));
			sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);

			/* A failure leaves nothing behind that the next message would notice. */
			assert_int_equal(aead_open(key, aad,
						   (struct bytes){ sealed, sizeof(sealed) }, back),
					 0);
			assert_memory_equal(back, plain.data, plain.size);
		}
	}
}

static void aead_open_rejects_other_aad_key_and_size(void **state)
{
	static const uint8_t other_bytes[AEAD_KEY_SIZE] = "thirty-two bytes for other keys";

	for (size_t a = 0; a < ARRAY_SIZE(algorithms); a++) {
		CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(algorithms[a]);
		CLEANUP(aead_key_cleanup) struct aead_key *other = NULL;
		struct bytes aad = bytes_from_text("place");
		uint8_t sealed[5 + AEAD_OVERHEAD];
		uint8_t back[5];

		assert_int_equal(aead_seal(key, aad, bytes_from_text("plain"), sealed), 0);
		assert_int_equal(aead_open(key, bytes_from_text("plane"),
					   (struct bytes){ sealed, sizeof(sealed) }, back),
				 -EBADMSG);
		assert_int_equal(aead_open(key, no_bytes, (struct bytes){ sealed, sizeof(sealed) },
					   back),
				 -EBADMSG);
		for (size_t size = 0; size < sizeof(sealed); size++)
			assert_int_equal(aead_open(key, aad, (struct bytes){ sealed, size }, back),
					 -EBADMSG);
		assert_int_equal(aead_key_import(algorithms[a], (struct bytes){ other_bytes, 32 },
						 &other),
				 0);
		assert_int_equal(aead_open(other, aad, (struct bytes){ sealed, sizeof(sealed) },
					   back),
				 -EBADMSG);
	}
}

static void aead_key_import_rejects_what_it_does_not_know(void **state)
{
	struct aead_key *key;

	assert_int_equal(aead_key_import((enum aead_algorithm)0, (struct bytes){ key_bytes, 32 },
					 &key),
			 -ENOTSUP);
	assert_int_equal(aead_key_import((enum aead_algorithm)3, (struct bytes){ key_bytes, 32 },
					 &key),
			 -ENOTSUP);
	assert_int_equal(aead_key_import(AEAD_AES_256_GCM, (struct bytes){ key_bytes, 31 }, &key),
			 -EINVAL);
	assert_int_equal(aead_key_import(AEAD_AES_256_GCM, no_bytes, &key), -EINVAL);
}

/* ---- Runs ---- */

#define BLOCK  100
#define STRIDE (BLOCK + AEAD_OVERHEAD)

static void fill(uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
}

static void runs_round_trip_with_every_last_block(void **state)
{
	static const size_t lasts[] = { 0, 1, 15, 16, 99, 100 };
	static const size_t counts[] = { 1, 2, 7, 64, 65, 129 };
	uint8_t *plain = malloc(129 * BLOCK);
	uint8_t *back = malloc(129 * BLOCK);
	uint8_t *sealed = malloc(129 * STRIDE);

	fill(plain, 129 * BLOCK);
	for (size_t c = 0; c < ARRAY_SIZE(counts) * ARRAY_SIZE(lasts) * 2; c++) {
		CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(algorithms[c % 2]);
		const struct aead_run run = { BLOCK, counts[c / 2 % ARRAY_SIZE(counts)], c * 1000 };
		size_t last = lasts[c / 2 / ARRAY_SIZE(counts)];
		struct bytes whole = { plain, (run.block_count - 1) * BLOCK + last };
		struct bytes whole_sealed = { sealed, (run.block_count - 1) * STRIDE + last +
							      AEAD_OVERHEAD };

		assert_int_equal(aead_seal_blocks(key, &run, whole, sealed), 0);
		memset(back, 0xee, 129 * BLOCK);
		assert_int_equal(aead_open_blocks(key, &run, whole_sealed, back, NULL), 0);
		assert_memory_equal(back, plain, whole.size);
		if (whole.size < 129 * BLOCK)
			assert_int_equal(back[whole.size], 0xee);

		/* Every block is a message of its own, bound to its index. */
		for (size_t i = 0; i < run.block_count; i++) {
			uint8_t aad[8] = { 0 };
			size_t size = i == run.block_count - 1 ? last : BLOCK;

			for (size_t b = 0; b < 8; b++)
				aad[b] = (uint8_t)((run.first_index + i) >> (8 * b));
			assert_int_equal(aead_open(key, (struct bytes){ aad, 8 },
						   (struct bytes){ sealed + i * STRIDE,
								   size + AEAD_OVERHEAD },
						   back),
					 0);
			assert_memory_equal(back, plain + i * BLOCK, size);
		}
	}
	free(plain);
	free(back);
	free(sealed);
}

static void a_run_that_fails_names_its_first_bad_block(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	const struct aead_run run = { BLOCK, 4, 10 };
	uint8_t plain[4 * BLOCK];
	uint8_t back[4 * BLOCK];
	uint8_t sealed[4 * STRIDE];

	fill(plain, sizeof(plain));
	assert_int_equal(
		aead_seal_blocks(key, &run, (struct bytes){ plain, sizeof(plain) }, sealed), 0);
	for (size_t bad = 0; bad < 4; bad++) {
		uint64_t failed = 99;

		memset(back, 0xee, sizeof(back));
		sealed[bad * STRIDE + 50] ^= 1;
		assert_int_equal(aead_open_blocks(key, &run,
						  (struct bytes){ sealed, sizeof(sealed) }, back,
						  &failed),
				 -EBADMSG);
		assert_int_equal(failed, 10 + bad);
		assert_memory_equal(back, plain, bad * BLOCK);
		assert_true(
			bytes_are_zero((struct bytes){ back + bad * BLOCK, (4 - bad) * BLOCK }));
		sealed[bad * STRIDE + 50] ^= 1;
	}
}

static void a_run_rejects_moved_blocks(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	struct aead_run run = { BLOCK, 2, 0 };
	uint8_t plain[2 * BLOCK] = { 0 };
	uint8_t sealed[2 * STRIDE];
	uint8_t swapped[2 * STRIDE];
	uint64_t failed = 99;

	assert_int_equal(
		aead_seal_blocks(key, &run, (struct bytes){ plain, sizeof(plain) }, sealed), 0);
	memcpy(swapped, sealed + STRIDE, STRIDE);
	memcpy(swapped + STRIDE, sealed, STRIDE);
	assert_int_equal(aead_open_blocks(key, &run, (struct bytes){ swapped, sizeof(swapped) },
					  plain, &failed),
			 -EBADMSG);
	assert_int_equal(failed, 0);
	memcpy(swapped, sealed, STRIDE);
	assert_int_equal(aead_open_blocks(key, &run, (struct bytes){ swapped, sizeof(swapped) },
					  plain, &failed),
			 -EBADMSG);
	assert_int_equal(failed, 1);
	run.first_index = (uint64_t)1 << 32;
	assert_int_equal(aead_open_blocks(key, &run, (struct bytes){ sealed, sizeof(sealed) },
					  plain, &failed),
			 -EBADMSG);
	assert_true(failed == (uint64_t)1 << 32);
}

static void a_run_rejects_sizes_that_do_not_fit(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	static const struct {
		struct aead_run run;
		size_t plain_size;
	} wrong[] = {
		{ { BLOCK, 0, 0 }, 0 },
		{ { 0, 1, 0 }, 0 },
		{ { BLOCK, 1, 0 }, BLOCK + 1 },
		{ { BLOCK, 2, 0 }, BLOCK - 1 },
		{ { BLOCK, 2, 0 }, 2 * BLOCK + 1 },
		{ { BLOCK, SIZE_MAX, 0 }, BLOCK },
		{ { BLOCK, SIZE_MAX / BLOCK + 2, 0 }, 4 },
		{ { SIZE_MAX, 1, 0 }, BLOCK },
		{ { BLOCK, 1, UINT64_MAX }, BLOCK },
	};
	static uint8_t sealed[3 * STRIDE];
	static uint8_t plain[3 * BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		size_t sealed_size = wrong[i].plain_size + wrong[i].run.block_count * AEAD_OVERHEAD;

		assert_int_equal(aead_seal_blocks(key, &wrong[i].run,
						  (struct bytes){ plain, wrong[i].plain_size },
						  sealed),
				 -EINVAL);
		assert_int_equal(aead_open_blocks(key, &wrong[i].run,
						  (struct bytes){ sealed, sealed_size }, plain,
						  NULL),
				 -EINVAL);
	}

	/* Shorter than the overhead of its last block. */
	const struct aead_run run = { BLOCK, 2, 0 };

	assert_int_equal(aead_open_blocks(key, &run,
					  (struct bytes){ sealed, STRIDE + AEAD_OVERHEAD - 1 },
					  plain, NULL),
			 -EINVAL);
}

static void an_empty_block_needs_no_buffer(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	const struct aead_run run = { BLOCK, 1, 3 };
	uint8_t sealed[AEAD_OVERHEAD];

	assert_int_equal(aead_seal_blocks(key, &run, no_bytes, sealed), 0);
	assert_int_equal(aead_open_blocks(key, &run, (struct bytes){ sealed, sizeof(sealed) }, NULL,
					  NULL),
			 0);
	sealed[0] ^= 1;
	assert_int_equal(aead_open_blocks(key, &run, (struct bytes){ sealed, sizeof(sealed) }, NULL,
					  NULL),
			 -EBADMSG);
}

/* ---- Threads and revocation ---- */

#define THREADS 8

struct worker {
	pthread_t thread;
	struct aead_key *key;
	int error;           /* of the operation that failed, or 0 */
	unsigned int rounds; /* at most; 0: until it fails */
	atomic_uint done;
};

static void *work(void *argument)
{
	struct worker *worker = argument;
	const struct aead_run run = { 4096, 3, 5 };
	uint8_t plain[2 * 4096 + 100];
	uint8_t back[sizeof(plain)];
	uint8_t sealed[sizeof(plain) + 3 * AEAD_OVERHEAD];

	memset(plain, (int)((uintptr_t)worker & 255), sizeof(plain));
	for (unsigned int i = 0; worker->rounds == 0 || i < worker->rounds; i++) {
		int r = aead_seal_blocks(worker->key, &run, (struct bytes){ plain, sizeof(plain) },
					 sealed);

		if (r == 0)
			r = aead_open_blocks(worker->key, &run,
					     (struct bytes){ sealed, sizeof(sealed) }, back, NULL);
		if (r == 0 && memcmp(back, plain, sizeof(plain)) != 0)
			r = -EILSEQ;
		if (r < 0) {
			worker->error = r;
			break;
		}
		atomic_fetch_add(&worker->done, 1);
	}
	return NULL;
}

static void start(struct worker workers[static THREADS], struct aead_key *key, unsigned int rounds)
{
	for (size_t i = 0; i < THREADS; i++) {
		workers[i].key = key;
		workers[i].rounds = rounds;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

static void threads_share_a_key(void **state)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = make_key(AEAD_AES_256_GCM);
	struct worker workers[THREADS] = { 0 };

	start(workers, key, 200);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, 0);
		assert_int_equal(workers[i].done, 200);
	}
}

static void revocation_stops_running_threads(void **state)
{
	struct worker workers[THREADS] = { 0 };
	struct aead_family *family;
	struct aead_key *key;

	assert_int_equal(aead_family_new(&family), 0);
	assert_int_equal(aead_family_import(family, AEAD_CHACHA20_POLY1305,
					    (struct bytes){ key_bytes, sizeof(key_bytes) }, &key),
			 0);
	start(workers, key, 0);
	for (size_t i = 0; i < THREADS; i++) {
		while (atomic_load(&workers[i].done) == 0)
			sched_yield();
	}
	aead_family_revoke(family, -EKEYREVOKED);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, -EKEYREVOKED);
	}
	aead_key_free(key);
	aead_family_free(family);
}

static void a_revoked_family_refuses_old_and_new_keys(void **state)
{
	struct bytes bytes = { key_bytes, sizeof(key_bytes) };
	struct aead_family *family;
	struct aead_key *keys[3];
	struct aead_key *late;
	uint8_t sealed[5 + AEAD_OVERHEAD];
	uint8_t back[5];

	assert_int_equal(aead_family_new(&family), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(aead_family_import(family, AEAD_AES_256_GCM, bytes, &keys[i]), 0);
	assert_int_equal(aead_seal(keys[0], no_bytes, bytes_from_text("plain"), sealed), 0);

	/* One of the middle goes first. */
	aead_key_free(keys[1]);
	aead_family_revoke(family, -ENOKEY);
	assert_int_equal(aead_seal(keys[0], no_bytes, bytes_from_text("plain"), sealed), -ENOKEY);
	memset(back, 0xee, sizeof(back));
	assert_int_equal(aead_open(keys[2], no_bytes, (struct bytes){ sealed, sizeof(sealed) },
				   back),
			 -ENOKEY);
	assert_true(bytes_are_zero((struct bytes){ back, sizeof(back) }));
	assert_int_equal(aead_family_import(family, AEAD_AES_256_GCM, bytes, &late), -ENOKEY);

	/* Keys outlive their family's maker. */
	aead_family_free(family);
	aead_key_free(keys[0]);
	aead_key_free(keys[2]);
}

static void references_keep_a_key(void **state)
{
	struct aead_key *key = make_key(AEAD_AES_256_GCM);
	uint8_t sealed[AEAD_OVERHEAD];

	assert_ptr_equal(aead_key_ref(key), key);
	aead_key_free(key);
	assert_int_equal(aead_seal(key, no_bytes, no_bytes, sealed), 0);
	aead_key_free(key);
	aead_key_free(NULL);
}

static void many_keys_come_and_go(void **state)
{
	/* More than the secure heap holds at a time: each must give its bytes back. */
	for (size_t i = 0; i < 200000; i++)
		aead_key_free(make_key(AEAD_AES_256_GCM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aead_matches_known_answers),
		cmocka_unit_test(aead_draws_a_new_nonce_for_every_message),
		cmocka_unit_test(aead_open_rejects_every_flipped_bit),
		cmocka_unit_test(aead_open_rejects_other_aad_key_and_size),
		cmocka_unit_test(aead_key_import_rejects_what_it_does_not_know),
		cmocka_unit_test(runs_round_trip_with_every_last_block),
		cmocka_unit_test(a_run_that_fails_names_its_first_bad_block),
		cmocka_unit_test(a_run_rejects_moved_blocks),
		cmocka_unit_test(a_run_rejects_sizes_that_do_not_fit),
		cmocka_unit_test(an_empty_block_needs_no_buffer),
		cmocka_unit_test(threads_share_a_key),
		cmocka_unit_test(revocation_stops_running_threads),
		cmocka_unit_test(a_revoked_family_refuses_old_and_new_keys),
		cmocka_unit_test(references_keep_a_key),
		cmocka_unit_test(many_keys_come_and_go),
	};

	return cmocka_run_group_tests(tests, lock_memory, NULL);
}
