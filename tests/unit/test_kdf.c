/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/kdf.h"
#include "kms/crypto/secret.h"
#include "tests/unit/hex.h"

static int lock_memory(void **state)
{
	return secret_init();
}

/* RFC 4231, test cases 1, 2 and 6. */
static void hmac_matches_the_rfc(void **state)
{
	static const struct {
		uint8_t key_byte;
		size_t key_size;
		const char *data;
		const char *mac;
	} known[] = {
		{ 0x0b, 20, "Hi There",
		  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ 0xaa, 131, "Test Using Larger Than Block-Size Key - Hash Key First",
		  "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	};
	uint8_t key[131];
	uint8_t mac[HMAC_SIZE];
	struct bytes data;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		memset(key, known[i].key_byte, sizeof(key));
		data = bytes_from_text(known[i].data);
		assert_int_equal(
			hmac_sha256((struct bytes){ key, known[i].key_size }, &data, 1, mac), 0);
		assert_hex(mac, sizeof(mac), known[i].mac);
	}

	const struct bytes parts[] = {
		bytes_from_text("what do ya "),
		{ NULL, 0 },
		bytes_from_text("want for nothing?"),
	};

	assert_int_equal(hmac_sha256(bytes_from_text("Jefe"), parts, ARRAY_SIZE(parts), mac), 0);
	assert_hex(mac, sizeof(mac),
		   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void an_empty_hmac_key_is_a_key(void **state)
{
	/* HMAC-SHA-256 with an empty key and empty data. */
	static const char expected[] =
		"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
	static const uint8_t zero[64];
	uint8_t mac[HMAC_SIZE];

	assert_int_equal(hmac_sha256((struct bytes){ NULL, 0 }, NULL, 0, mac), 0);
	assert_hex(mac, sizeof(mac), expected);
	assert_int_equal(hmac_sha256((struct bytes){ zero, sizeof(zero) }, NULL, 0, mac), 0);
	assert_hex(mac, sizeof(mac), expected);
}

/* RFC 5869, appendix A.1 to A.3. */
static const struct {
	const char *ikm;
	const char *salt;
	const char *info;
	const char *prk;
	const char *okm;
} hkdf_vectors[] = {
	{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
	  "f0f1f2f3f4f5f6f7f8f9",
	  "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
	  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865" },
	{ "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	  "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
	  "404142434445464748494a4b4c4d4e4f",
	  "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
	  "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
	  "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
	  "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
	  "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
	  "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
	  "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
	  "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
	  "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
	{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
	  "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
	  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
	  "9d201395faa4b61a96c8" },
};

static void hkdf_matches_the_rfc(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(hkdf_vectors); i++) {
		uint8_t buffers[4][128];
		struct bytes ikm = hex_bytes(hkdf_vectors[i].ikm, buffers[0], 128);
		struct bytes salt = hex_bytes(hkdf_vectors[i].salt, buffers[1], 128);
		struct bytes info = hex_bytes(hkdf_vectors[i].info, buffers[2], 128);
		size_t size = strlen(hkdf_vectors[i].okm) / 2;
		uint8_t prk[HMAC_SIZE];

		assert_int_equal(kdf_extract(salt, ikm, prk), 0);
		assert_hex(prk, sizeof(prk), hkdf_vectors[i].prk);
		assert_int_equal(kdf_extract_expand(salt, ikm, info,
						    (struct kdf_output){ buffers[3], size }),
				 0);
		assert_hex(buffers[3], size, hkdf_vectors[i].okm);

		/* The same with the info in parts. */
		size_t half = info.size / 2;
		const struct bytes parts[] = { { info.data, half },
					       { info.data + half, info.size - half } };

		assert_int_equal(kdf_expand((struct bytes){ prk, sizeof(prk) }, parts, 2,
					    (struct kdf_output){ buffers[3], size }),
				 0);
		assert_hex(buffers[3], size, hkdf_vectors[i].okm);
	}
}

static void expand_writes_what_was_asked_and_no_more(void **state)
{
	static const uint8_t prk[HMAC_SIZE] = { 1 };
	struct bytes info = bytes_from_text("info");
	uint8_t longest[97];
	uint8_t data[97];

	assert_int_equal(kdf_expand((struct bytes){ prk, sizeof(prk) }, &info, 1,
				    (struct kdf_output){ longest, sizeof(longest) }),
			 0);
	for (size_t size = 1; size < sizeof(data); size++) {
		memset(data, 0xee, sizeof(data));
		assert_int_equal(kdf_expand((struct bytes){ prk, sizeof(prk) }, &info, 1,
					    (struct kdf_output){ data, size }),
				 0);
		assert_memory_equal(data, longest, size);
		assert_int_equal(data[size], 0xee);
	}
}

static void expand_refuses_sizes_beyond_the_rfc(void **state)
{
	static const uint8_t prk[HMAC_SIZE] = { 1 };
	static uint8_t data[KDF_OUTPUT_MAX + 1];
	struct bytes info[9] = { { NULL, 0 } };

	assert_int_equal(kdf_expand((struct bytes){ prk, 32 }, info, 1,
				    (struct kdf_output){ data, KDF_OUTPUT_MAX }),
			 0);
	assert_int_equal(kdf_expand((struct bytes){ prk, 32 }, info, 1,
				    (struct kdf_output){ data, KDF_OUTPUT_MAX + 1 }),
			 -EINVAL);
	assert_int_equal(kdf_expand((struct bytes){ prk, 32 }, info, 1,
				    (struct kdf_output){ data, 0 }),
			 -EINVAL);
	assert_int_equal(kdf_expand((struct bytes){ prk, 32 }, info, 9,
				    (struct kdf_output){ data, 32 }),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hmac_matches_the_rfc),
		cmocka_unit_test(an_empty_hmac_key_is_a_key),
		cmocka_unit_test(hkdf_matches_the_rfc),
		cmocka_unit_test(expand_writes_what_was_asked_and_no_more),
		cmocka_unit_test(expand_refuses_sizes_beyond_the_rfc),
	};

	return cmocka_run_group_tests(tests, lock_memory, NULL);
}
