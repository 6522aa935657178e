/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/hash.h"
#include "tests/unit/hex.h"

static const char abc_digest[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_digest[] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* FIPS 180-4 examples. */
static void sha256_matches_known_answers(void **state)
{
	uint8_t digest[SHA256_SIZE];

	assert_int_equal(sha256(bytes_from_text("abc"), digest), 0);
	assert_hex(digest, sizeof(digest), abc_digest);
	assert_int_equal(sha256((struct bytes){ NULL, 0 }, digest), 0);
	assert_hex(digest, sizeof(digest), empty_digest);
}

static void hash_may_be_fed_in_pieces_and_used_again(void **state)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	uint8_t digest[SHA256_SIZE];

	assert_int_equal(hash_new(&hash), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(hash_update(hash, bytes_from_text("a")), 0);
		assert_int_equal(hash_update(hash, (struct bytes){ NULL, 0 }), 0);
		assert_int_equal(hash_update(hash, bytes_from_text("bc")), 0);
		assert_int_equal(hash_final(hash, digest), 0);
		assert_hex(digest, sizeof(digest), abc_digest);
	}
	assert_int_equal(hash_final(hash, digest), 0);
	assert_hex(digest, sizeof(digest), empty_digest);
	hash_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_matches_known_answers),
		cmocka_unit_test(hash_may_be_fed_in_pieces_and_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
