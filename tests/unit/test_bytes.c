/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meta/bytes.h"

static void reader_reads_little_endian_numbers(void **state)
{
	static const uint8_t input[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 42, 43 };
	struct reader reader;
	uint8_t tail[2];

	reader_init(&reader, (struct bytes){ input, sizeof(input) });
	assert_int_equal(read_u8(&reader), 1);
	assert_int_equal(read_le16(&reader), 0x0203);
	assert_int_equal(read_le32(&reader), 0x04050607);
	assert_true(read_le64(&reader) == 0x08090a0b0c0d0e0f);
	assert_true(reader_ok(&reader));
	assert_false(reader_finished(&reader));
	read_bytes(&reader, tail, sizeof(tail));
	assert_int_equal(tail[1], 43);
	assert_true(reader_finished(&reader));
}

static void reader_stops_at_the_end_and_remembers(void **state)
{
	static const uint8_t input[] = { 0xff, 0xff, 0xff };
	uint8_t data[4] = { 9, 9, 9, 9 };
	struct reader reader;

	reader_init(&reader, (struct bytes){ input, sizeof(input) });
	read_bytes(&reader, data, sizeof(data));
	assert_false(reader_ok(&reader));
	assert_memory_equal(data, "\0\0\0\0", 4);

	/* What is left is not served any more, although one byte would fit. */
	assert_int_equal(read_u8(&reader), 0);
	assert_null(read_span(&reader, 1).data);
	assert_false(reader_finished(&reader));
}

static void reader_refuses_sizes_that_overflow(void **state)
{
	static const uint8_t input[] = { 1, 2, 3 };
	struct reader reader;

	reader_init(&reader, (struct bytes){ input, sizeof(input) });
	assert_int_equal(read_u8(&reader), 1);
	assert_int_equal(read_span(&reader, SIZE_MAX).size, 0);
	assert_false(reader_ok(&reader));
}

static void reader_accepts_an_empty_input(void **state)
{
	struct reader reader;

	reader_init(&reader, (struct bytes){ NULL, 0 });
	assert_true(reader_finished(&reader));
	assert_int_equal(read_span(&reader, 0).size, 0);
	read_bytes(&reader, NULL, 0);
	assert_true(reader_finished(&reader));
	assert_int_equal(read_le16(&reader), 0);
	assert_false(reader_ok(&reader));
}

static void read_zeros_refuses_other_bytes(void **state)
{
	static const uint8_t zero[4] = { 0 };
	static const uint8_t other[4] = { 0, 0, 0, 1 };
	struct reader reader;

	reader_init(&reader, (struct bytes){ zero, sizeof(zero) });
	read_zeros(&reader, 4);
	assert_true(reader_finished(&reader));
	reader_init(&reader, (struct bytes){ other, sizeof(other) });
	read_zeros(&reader, 4);
	assert_false(reader_ok(&reader));
}

static void bytes_are_zero_looks_at_every_byte(void **state)
{
	uint8_t data[67] = { 0 };

	assert_true(bytes_are_zero((struct bytes){ data, sizeof(data) }));
	assert_true(bytes_are_zero((struct bytes){ NULL, 0 }));
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = 0x80;
		assert_false(bytes_are_zero((struct bytes){ data, sizeof(data) }));
		data[i] = 0;
	}
}

static void writer_writes_what_the_reader_reads(void **state)
{
	uint8_t data[32];
	struct writer writer;
	struct reader reader;

	writer_init(&writer, data, sizeof(data));
	write_u8(&writer, 0xab);
	write_le16(&writer, 0xcdef);
	write_le32(&writer, 0x01234567);
	write_le64(&writer, 0x89abcdef01234567);
	write_bytes(&writer, "xy", 2);
	write_zeros(&writer, 3);
	write_span(&writer, bytes_from_text("end"));
	assert_true(writer_ok(&writer));
	assert_int_equal(writer_bytes(&writer).size, 23);
	assert_memory_equal(data, "\xab\xef\xcd\x67\x45\x23\x01", 7);

	reader_init(&reader, writer_bytes(&writer));
	assert_int_equal(read_u8(&reader), 0xab);
	assert_int_equal(read_le16(&reader), 0xcdef);
	assert_int_equal(read_le32(&reader), 0x01234567);
	assert_true(read_le64(&reader) == 0x89abcdef01234567);
	assert_true(bytes_equal(read_span(&reader, 2), bytes_from_text("xy")));
	read_zeros(&reader, 3);
	assert_false(bytes_equal(read_span(&reader, 3), bytes_from_text("enD")));
	assert_true(reader_finished(&reader));
}

static void writer_drops_what_does_not_fit_and_remembers(void **state)
{
	uint8_t data[4] = { 0, 0, 0, 0x77 };
	struct writer writer;

	writer_init(&writer, data, 3);
	write_le16(&writer, 0x0201);
	write_le16(&writer, 0x0403);
	assert_false(writer_ok(&writer));
	write_u8(&writer, 5);
	assert_false(writer_ok(&writer));
	assert_int_equal(writer_bytes(&writer).size, 2);
	assert_memory_equal(data, "\1\2\0\x77", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_reads_little_endian_numbers),
		cmocka_unit_test(reader_stops_at_the_end_and_remembers),
		cmocka_unit_test(reader_refuses_sizes_that_overflow),
		cmocka_unit_test(reader_accepts_an_empty_input),
		cmocka_unit_test(read_zeros_refuses_other_bytes),
		cmocka_unit_test(bytes_are_zero_looks_at_every_byte),
		cmocka_unit_test(writer_writes_what_the_reader_reads),
		cmocka_unit_test(writer_drops_what_does_not_fit_and_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
