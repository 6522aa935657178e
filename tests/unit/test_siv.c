/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "kms/crypto/secret.h"
#include "kms/crypto/siv.h"
#include "tests/unit/hex.h"

static int lock_memory(void **state)
{
	return secret_init();
}

static const struct bytes no_bytes = { NULL, 0 };

static struct siv_key *make_key(uint8_t begin)
{
	uint8_t bytes[SIV_KEY_SIZE];
	struct siv_key *key;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(begin + i);
	assert_int_equal(siv_key_import((struct bytes){ bytes, sizeof(bytes) }, &key), 0);
	return key;
}

/* ---- RFC 5297 written down once more, from CMAC and CTR, to compare with ---- */

static void cmac(struct bytes key, struct bytes data, uint8_t mac[static 16])
{
	char cipher[16];
	OSSL_PARAM parameters[2] = { 0 };
	EVP_MAC *fetched = EVP_MAC_fetch(NULL, "CMAC", NULL);
	EVP_MAC_CTX *context = EVP_MAC_CTX_new(fetched);
	size_t size;

	strcpy(cipher, key.size == 16 ? "AES-128-CBC" : "AES-256-CBC");
	parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0);
	parameters[1] = OSSL_PARAM_construct_end();
	assert_int_equal(EVP_MAC_init(context, key.data, key.size, parameters), 1);
	if (data.size > 0)
		assert_int_equal(EVP_MAC_update(context, data.data, data.size), 1);
	assert_int_equal(EVP_MAC_final(context, mac, &size, 16), 1);
	EVP_MAC_CTX_free(context);
	EVP_MAC_free(fetched);
}

static void dbl(uint8_t block[static 16])
{
	int carry = block[0] >> 7;

	for (size_t i = 0; i < 15; i++)
		block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
	block[15] = (uint8_t)(block[15] << 1 ^ (carry ? 0x87 : 0));
}

static void xor_into(uint8_t *target, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		target[i] ^= data[i];
}

/* S2V with any number of strings, the plaintext last. */
static void s2v(struct bytes key, const struct bytes *strings, size_t count, uint8_t v[static 16])
{
	static const uint8_t zero[16];
	struct bytes last = strings[count - 1];
	uint8_t text[2048];
	uint8_t mac[16];
	uint8_t d[16];

	cmac(key, (struct bytes){ zero, 16 }, d);
	for (size_t i = 0; i + 1 < count; i++) {
		dbl(d);
		cmac(key, strings[i], mac);
		xor_into(d, mac, 16);
	}
	memset(text, 0, 16);
	memcpy(text, last.data, last.size);
	if (last.size >= 16) {
		xor_into(text + last.size - 16, d, 16);
		cmac(key, (struct bytes){ text, last.size }, v);
		return;
	}
	text[last.size] = 0x80;
	dbl(d);
	xor_into(text, d, 16);
	cmac(key, (struct bytes){ text, 16 }, v);
}

/* The first half of KEY is for S2V, the second for CTR. */
static void reference_seal(struct bytes key, const struct bytes *strings, size_t count,
			   uint8_t *sealed)
{
	struct bytes plain = strings[count - 1];
	struct bytes half = { key.data, key.size / 2 };
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t counter[16];
	int size;

	s2v(half, strings, count, sealed);
	memcpy(counter, sealed, 16);
	counter[8] &= 0x7f;
	counter[12] &= 0x7f;
	assert_int_equal(EVP_EncryptInit_ex(context,
					    half.size == 16 ? EVP_aes_128_ctr() : EVP_aes_256_ctr(),
					    NULL, key.data + half.size, counter),
			 1);
	assert_int_equal(
		EVP_EncryptUpdate(context, sealed + 16, &size, plain.data, (int)plain.size), 1);
	EVP_CIPHER_CTX_free(context);
}

/* RFC 5297, appendix A.1 and A.2: they prove the reference, which then proves siv_seal(). */
static void the_reference_matches_the_rfc(void **state)
{
	uint8_t buffers[6][64];
	uint8_t sealed[64];
	struct bytes key = hex_bytes(
		"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", buffers[0], 64);
	struct bytes one[2] = {
		hex_bytes("101112131415161718191a1b1c1d1e1f2021222324252627", buffers[1], 64),
		hex_bytes("112233445566778899aabbccddee", buffers[2], 64),
	};

	reference_seal(key, one, 2, sealed);
	assert_hex(sealed, 30, "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c");

	struct bytes two[4] = {
		hex_bytes("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa998877665544"
			  "33221100",
			  buffers[1], 64),
		hex_bytes("102030405060708090a0", buffers[2], 64),
		hex_bytes("09f911029d74e35bd84156c5635688c0", buffers[3], 64),
		hex_bytes("7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573"
			  "696e67205349562d414553",
			  buffers[4], 64),
	};

	key = hex_bytes("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
			buffers[0], 64);
	reference_seal(key, two, 4, sealed);
	assert_hex(sealed, 63,
		   "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17"
		   "dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d");
}

static void siv_seal_matches_the_reference_at_every_size(void **state)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = make_key(7);
	uint8_t key_bytes[SIV_KEY_SIZE];
	uint8_t plain[300];

	for (size_t i = 0; i < sizeof(key_bytes); i++)
		key_bytes[i] = (uint8_t)(7 + i);
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 73 + 5);
	for (size_t size = 1; size <= sizeof(plain); size++) {
		struct bytes text = { plain, size };
		uint8_t expected[sizeof(plain) + SIV_OVERHEAD];
		uint8_t sealed[sizeof(plain) + SIV_OVERHEAD];
		uint8_t back[sizeof(plain)];

		reference_seal((struct bytes){ key_bytes, sizeof(key_bytes) }, &text, 1, expected);
		assert_int_equal(siv_seal(key, text, sealed), 0);
		assert_memory_equal(sealed, expected, size + SIV_OVERHEAD);
		assert_int_equal(siv_open(key, (struct bytes){ sealed, size + SIV_OVERHEAD }, back),
				 0);
		assert_memory_equal(back, plain, size);
	}
}

static void siv_seal_is_deterministic_whatever_came_before(void **state)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = make_key(0);
	uint8_t sealed[17 + SIV_OVERHEAD];
	uint8_t other[200 + SIV_OVERHEAD];
	static const uint8_t noise[200];

	for (size_t i = 1; i < sizeof(noise); i++) {
		assert_int_equal(siv_seal(key, bytes_from_text("0123456789abcdef"), sealed), 0);
		assert_hex(sealed, 32,
			   "df101a0c5f8eb90a0fe9891adaaf16a8c4df02080e7fa1603eb826a453f1bf63");
		assert_int_equal(siv_seal(key, (struct bytes){ noise, i }, other), 0);
	}
}

static void siv_open_rejects_every_flipped_bit(void **state)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = make_key(0);
	CLEANUP(siv_key_cleanup) struct siv_key *other = make_key(1);
	struct bytes plain = bytes_from_text("some-name-longer-than-a-block");
	uint8_t sealed[29 + SIV_OVERHEAD];
	uint8_t back[29];

	assert_int_equal(siv_seal(key, plain, sealed), 0);
	for (size_t bit = 0; bit < sizeof(sealed) * 8; bit++) {
		memset(back, 0xee, sizeof(back));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(siv_open(key, (struct bytes){ sealed, sizeof(sealed) }, back),
				 -EBADMSG);
		assert_true(bytes_are_zero((struct bytes){ back, sizeof(back) }));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(siv_open(other, (struct bytes){ sealed, sizeof(sealed) }, back), -EBADMSG);
	for (size_t size = 0; size < sizeof(sealed); size++)
		assert_int_equal(siv_open(key, (struct bytes){ sealed, size }, back), -EBADMSG);
	assert_int_equal(siv_open(key, (struct bytes){ sealed, sizeof(sealed) }, back), 0);
	assert_memory_equal(back, plain.data, plain.size);
}

static void siv_refuses_sizes_out_of_bounds(void **state)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = make_key(0);
	static uint8_t plain[SIV_PLAIN_MAX + 1];
	static uint8_t sealed[SIV_PLAIN_MAX + 1 + SIV_OVERHEAD];
	struct siv_key *none;

	assert_int_equal(siv_seal(key, no_bytes, sealed), -EINVAL);
	assert_int_equal(siv_seal(key, (struct bytes){ plain, SIV_PLAIN_MAX + 1 }, sealed),
			 -EINVAL);
	assert_int_equal(siv_seal(key, (struct bytes){ plain, SIV_PLAIN_MAX }, sealed), 0);
	assert_int_equal(
		siv_open(key, (struct bytes){ sealed, SIV_PLAIN_MAX + SIV_OVERHEAD }, plain), 0);
	assert_int_equal(siv_open(key, (struct bytes){ sealed, sizeof(sealed) }, plain), -EBADMSG);
	assert_int_equal(siv_key_import((struct bytes){ plain, SIV_KEY_SIZE - 1 }, &none), -EINVAL);
	assert_int_equal(siv_key_import((struct bytes){ plain, SIV_KEY_SIZE + 1 }, &none), -EINVAL);
}

static void *work(void *argument)
{
	const struct siv_key *key = argument;
	uint8_t sealed[16 + SIV_OVERHEAD];
	uint8_t back[16];
	uintptr_t failures = 0;

	for (int i = 0; i < 500; i++) {
		failures += siv_seal(key, bytes_from_text("0123456789abcdef"), sealed) != 0;
		failures += siv_open(key, (struct bytes){ sealed, sizeof(sealed) }, back) != 0;
		failures += memcmp(back, "0123456789abcdef", 16) != 0;
	}
	return (void *)failures;
}

static void threads_share_a_key(void **state)
{
	CLEANUP(siv_key_cleanup) struct siv_key *key = make_key(0);
	pthread_t threads[8];

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, key), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *failures;

		pthread_join(threads[i], &failures);
		assert_null(failures);
	}
}

static void a_revoked_key_fails(void **state)
{
	struct siv_key *key = make_key(0);
	uint8_t sealed[1 + SIV_OVERHEAD];
	uint8_t back[1] = { 0xee };

	assert_ptr_equal(siv_key_ref(key), key);
	assert_int_equal(siv_seal(key, bytes_from_text("a"), sealed), 0);
	assert_hex(sealed, sizeof(sealed), "ba092609c39c78a53203bb6c759c7396d9");
	siv_key_revoke(key, -EACCES);
	siv_key_free(key);
	assert_int_equal(siv_seal(key, bytes_from_text("a"), sealed), -EACCES);
	assert_int_equal(siv_open(key, (struct bytes){ sealed, sizeof(sealed) }, back), -EACCES);
	assert_int_equal(back[0], 0);
	siv_key_free(key);
	siv_key_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reference_matches_the_rfc),
		cmocka_unit_test(siv_seal_matches_the_reference_at_every_size),
		cmocka_unit_test(siv_seal_is_deterministic_whatever_came_before),
		cmocka_unit_test(siv_open_rejects_every_flipped_bit),
		cmocka_unit_test(siv_refuses_sizes_out_of_bounds),
		cmocka_unit_test(threads_share_a_key),
		cmocka_unit_test(a_revoked_key_fails),
	};

	return cmocka_run_group_tests(tests, lock_memory, NULL);
}
