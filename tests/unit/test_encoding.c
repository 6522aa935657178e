/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meta/encoding.h"

struct pair {
	const char *data;
	const char *text;
};

/* RFC 4648, section 10, then both special digits. */
static const struct pair base64_pairs[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xfb\xff\xbf", "+/+/" },
};

static void base64_matches_the_rfc(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(base64_pairs); i++) {
		struct bytes data = bytes_from_text(base64_pairs[i].data);
		char text[BASE64_TEXT_SIZE(8)];
		uint8_t back[8];

		base64_encode(data, text);
		assert_string_equal(text, base64_pairs[i].text);
		assert_int_equal(strlen(text) + 1, BASE64_TEXT_SIZE(data.size));
		assert_int_equal(base64_decode(bytes_from_text(text), back, data.size), data.size);
		assert_memory_equal(back, data.data, data.size);
	}
}

static void base64_rejects_every_other_form(void **state)
{
	static const char *const wrong[] = {
		"Z",    "Zg",    "Zg=",  "Zg===",  "Zh==",     "Zm9=",
		"Z===", "====",  "=",    "Zm=v",   "Zg==Zg==", "Zm8 ",
		" Zm8", "Zm8\n", "Zm-_", "Zm9v\n", "Zm9vYg",   "Z\xc3\xa4=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint8_t back[16];

		assert_int_equal(base64_decode(bytes_from_text(wrong[i]), back, sizeof(back)),
				 -EBADMSG);
	}
}

static void base64url_round_trips_every_length(void **state)
{
	uint8_t data[100];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + 13);
	for (size_t size = 0; size <= sizeof(data); size++) {
		char text[BASE64URL_TEXT_SIZE(sizeof(data))];
		uint8_t back[sizeof(data)];

		base64url_encode((struct bytes){ data, size }, text);
		assert_int_equal(strlen(text) + 1, BASE64URL_TEXT_SIZE(size));
		assert_null(strpbrk(text, "+/="));
		assert_int_equal(base64url_decode(bytes_from_text(text), back, size), size);
		assert_memory_equal(back, data, size);
		assert_int_equal(base64url_decode_exact(text, back, size), 0);
		if (size > 0)
			assert_int_equal(base64url_decode(bytes_from_text(text), back, size - 1),
					 -ENOBUFS);
	}
}

static void base64url_has_one_text_for_one_value(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t accepted_two = 0;
	size_t accepted_three = 0;

	/* Of 64 last digits, 4 leave no bits over after one byte, and 16 after two. */
	for (size_t i = 0; i < 64; i++) {
		const uint8_t two[] = { 'A', (uint8_t)digits[i] };
		const uint8_t three[] = { 'A', 'A', (uint8_t)digits[i] };
		uint8_t back[2];

		accepted_two += base64url_decode((struct bytes){ two, 2 }, back, 2) == 1;
		accepted_three += base64url_decode((struct bytes){ three, 3 }, back, 2) == 2;
	}
	assert_int_equal(accepted_two, 4);
	assert_int_equal(accepted_three, 16);
}

static void base64url_rejects_every_other_form(void **state)
{
	static const char *const wrong[] = { "A",    "AA==", "AAA=", "AAAAA", "A+AA", "A/AA",
					     "AA A", "AA\n", "AB",   "AAB",   "=AAA", "AA.A" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		uint8_t back[16];

		assert_int_equal(base64url_decode(bytes_from_text(wrong[i]), back, sizeof(back)),
				 -EBADMSG);
	}
}

static void base64url_decode_exact_wants_the_size(void **state)
{
	uint8_t back[4];

	assert_int_equal(base64url_decode_exact("AAAA", back, 3), 0);
	assert_int_equal(base64url_decode_exact("AAAA", back, 4), -EBADMSG);
	assert_int_equal(base64url_decode_exact("AAAA", back, 2), -EBADMSG);
	assert_int_equal(base64url_decode_exact("AA*A", back, 3), -EBADMSG);
}

static void hex_round_trips_and_rejects(void **state)
{
	static const uint8_t data[] = { 0x00, 0x1f, 0xa0, 0xff };
	char text[HEX_TEXT_SIZE(sizeof(data))];
	uint8_t back[8];

	hex_encode((struct bytes){ data, sizeof(data) }, text);
	assert_string_equal(text, "001fa0ff");
	assert_int_equal(hex_decode(bytes_from_text("001FA0ff"), back, 4), 4);
	assert_memory_equal(back, data, 4);
	assert_int_equal(hex_decode(bytes_from_text(""), back, 0), 0);
	assert_int_equal(hex_decode(bytes_from_text("001"), back, 8), -EBADMSG);
	assert_int_equal(hex_decode(bytes_from_text("0g"), back, 8), -EBADMSG);
	assert_int_equal(hex_decode(bytes_from_text("g0"), back, 8), -EBADMSG);
	assert_int_equal(hex_decode(bytes_from_text("0x"), back, 8), -EBADMSG);
	assert_int_equal(hex_decode(bytes_from_text("001fa0ff"), back, 3), -ENOBUFS);
}

/* RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
static void crc32c_matches_known_values(void **state)
{
	uint8_t data[32] = { 0 };

	assert_int_equal(crc32c(0, bytes_from_text("123456789")), 0xe3069283);
	assert_int_equal(crc32c(0, (struct bytes){ data, 32 }), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, (struct bytes){ data, 32 }), 0x62a8ab43);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_int_equal(crc32c(0, (struct bytes){ data, 32 }), 0x46dd794e);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(31 - i);
	assert_int_equal(crc32c(0, (struct bytes){ data, 32 }), 0x113fdb5c);
	assert_int_equal(crc32c(0, (struct bytes){ NULL, 0 }), 0);
}

static void crc32c_may_be_fed_in_pieces(void **state)
{
	uint8_t data[61];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 37);

	uint32_t whole = crc32c(0, (struct bytes){ data, sizeof(data) });

	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		uint32_t crc = crc32c(0, (struct bytes){ data, cut });

		crc = crc32c(crc, (struct bytes){ data + cut, sizeof(data) - cut });
		assert_int_equal(crc, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_matches_the_rfc),
		cmocka_unit_test(base64_rejects_every_other_form),
		cmocka_unit_test(base64url_round_trips_every_length),
		cmocka_unit_test(base64url_has_one_text_for_one_value),
		cmocka_unit_test(base64url_rejects_every_other_form),
		cmocka_unit_test(base64url_decode_exact_wants_the_size),
		cmocka_unit_test(hex_round_trips_and_rejects),
		cmocka_unit_test(crc32c_matches_known_values),
		cmocka_unit_test(crc32c_may_be_fed_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
