/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/random.h"
#include "meta/bytes.h"

static void random_fill_fills_everything(void **state)
{
	uint8_t seen[1000] = { 0 };
	uint8_t data[1000];

	/* A byte that stays zero ten times has not been filled. */
	for (int round = 0; round < 10; round++) {
		assert_int_equal(random_fill(data, sizeof(data)), 0);
		for (size_t i = 0; i < sizeof(data); i++)
			seen[i] |= data[i];
	}
	for (size_t i = 0; i < sizeof(seen); i++)
		assert_int_not_equal(seen[i], 0);
	assert_int_equal(random_fill(NULL, 0), 0);
}

static void random_uuid_has_version_and_variant(void **state)
{
	struct uuid last = { { 0 } };

	for (int i = 0; i < 100; i++) {
		struct uuid uuid;

		assert_int_equal(random_uuid(&uuid), 0);
		assert_int_equal(uuid.bytes[6] >> 4, 4);
		assert_int_equal(uuid.bytes[8] >> 6, 2);
		assert_false(uuid_equal(&uuid, &last));
		last = uuid;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_fill_fills_everything),
		cmocka_unit_test(random_uuid_has_version_and_variant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
