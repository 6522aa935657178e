/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meta/key_id.h"

static void key_id_matches_itself(void **state)
{
	assert_true(key_id_matches("keyring:u#default", "keyring:u#default"));
	assert_false(key_id_matches("keyring:u#default", "keyring:u#other"));
}

static void key_id_without_version_matches_every_version(void **state)
{
	assert_true(key_id_matches("https://v.vault.azure.net/keys/k/0123",
				   "https://v.vault.azure.net/keys/k"));
	assert_true(
		key_id_matches("projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/7",
			       "projects/p/locations/l/keyRings/r/cryptoKeys/k"));
	assert_true(key_id_matches("vault:h/transit/k#3", "vault:h/transit/k"));
}

static void key_id_is_no_prefix_of_another_key(void **state)
{
	assert_false(key_id_matches("https://v.vault.azure.net/keys/k2/0123",
				    "https://v.vault.azure.net/keys/k"));
	assert_false(key_id_matches("https://v.vault.azure.net/keys/k/0123",
				    "https://v.vault.azure.net/keys"));
	assert_false(key_id_matches("vault:h/transit/k2#3", "vault:h/transit/k"));
	assert_false(key_id_matches("keyring:u#default", "keyring:u"));
	assert_false(key_id_matches("vault:h/transit/k#", "vault:h/transit/k"));
}

static void key_id_with_another_version_is_another_key(void **state)
{
	assert_false(key_id_matches("vault:h/transit/k#3", "vault:h/transit/k#4"));
	assert_false(key_id_matches("vault:h/transit/k", "vault:h/transit/k#4"));
}

static void key_id_of_a_multi_region_key_ignores_the_region(void **state)
{
	assert_true(key_id_matches("arn:aws:kms:eu-west-1:111122223333:key/mrk-1",
				   "arn:aws:kms:us-east-1:111122223333:key/mrk-1"));
	assert_false(key_id_matches("arn:aws:kms:eu-west-1:111122223333:key/mrk-1",
				    "arn:aws:kms:us-east-1:444455556666:key/mrk-1"));
	assert_false(key_id_matches("arn:aws:kms:eu-west-1:111122223333:key/1",
				    "arn:aws:kms:us-east-1:111122223333:key/1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_id_matches_itself),
		cmocka_unit_test(key_id_without_version_matches_every_version),
		cmocka_unit_test(key_id_is_no_prefix_of_another_key),
		cmocka_unit_test(key_id_with_another_version_is_another_key),
		cmocka_unit_test(key_id_of_a_multi_region_key_ignores_the_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
