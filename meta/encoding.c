/* SPDX-License-Identifier: Apache-2.0 */
/* Text forms of bytes, and CRC-32C. */
#include "meta/encoding.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* ---- Hexadecimal ---- */

void hex_encode(struct bytes data, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < data.size; i++) {
		*text++ = digits[data.data[i] >> 4];
		*text++ = digits[data.data[i] & 15];
	}
	*text = '\0';
}

static int hex_value(uint8_t digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

ssize_t hex_decode(struct bytes text, uint8_t *data, size_t capacity)
{
	if (text.size % 2 != 0)
		return -EBADMSG;
	if (text.size / 2 > capacity)
		return -ENOBUFS;
	for (size_t i = 0; i < text.size / 2; i++) {
		int high = hex_value(text.data[2 * i]);
		int low = hex_value(text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EBADMSG;
		data[i] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(text.size / 2);
}

/* ---- Base 64 ---- */

struct alphabet {
	char high[3]; /* digits 62 and 63 */
	bool is_padded;
};

static const struct alphabet alphabet_standard = { "+/", true };
static const struct alphabet alphabet_url = { "-_", false };

static char base64_digit(const struct alphabet *alphabet, uint32_t value)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	value &= 63;
	return value < 62 ? digits[value] : alphabet->high[value - 62];
}

static int base64_value(const struct alphabet *alphabet, uint8_t digit)
{
	if (digit >= 'A' && digit <= 'Z')
		return digit - 'A';
	if (digit >= 'a' && digit <= 'z')
		return digit - 'a' + 26;
	if (digit >= '0' && digit <= '9')
		return digit - '0' + 52;
	if (digit == (uint8_t)alphabet->high[0])
		return 62;
	if (digit == (uint8_t)alphabet->high[1])
		return 63;
	return -1;
}

static void encode(const struct alphabet *alphabet, struct bytes data, char *text)
{
	for (size_t i = 0; i < data.size; i += 3) {
		size_t count = data.size - i < 3 ? data.size - i : 3;
		uint32_t group = (uint32_t)data.data[i] << 16;

		if (count > 1)
			group |= (uint32_t)data.data[i + 1] << 8;
		if (count > 2)
			group |= data.data[i + 2];
		for (size_t digit = 0; digit < 4; digit++) {
			if (digit <= count)
				*text++ = base64_digit(alphabet, group >> (18 - 6 * digit));
			else if (alphabet->is_padded)
				*text++ = '=';
		}
	}
	*text = '\0';
}

/* Decode COUNT digits, 2 to 4, to COUNT - 1 bytes.  Bits that belong to no byte must be zero. */
static int decode_group(const struct alphabet *alphabet, const uint8_t *digits, size_t count,
			uint8_t bytes[static 3])
{
	uint32_t group = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < count ? base64_value(alphabet, digits[i]) : 0;

		if (value < 0)
			return -EBADMSG;
		group = group << 6 | (uint32_t)value;
	}
	for (size_t i = 0; i < 3; i++)
		bytes[i] = (uint8_t)(group >> (16 - 8 * i));
	for (size_t i = count - 1; i < 3; i++) {
		if (bytes[i] != 0)
			return -EBADMSG;
	}
	return 0;
}

/* TEXT has no padding any more. */
static ssize_t decode(const struct alphabet *alphabet, struct bytes text, uint8_t *data,
		      size_t capacity)
{
	size_t size = text.size / 4 * 3 + (text.size % 4 == 0 ? 0 : text.size % 4 - 1);

	if (text.size % 4 == 1)
		return -EBADMSG;
	if (size > capacity)
		return -ENOBUFS;

	size_t done = 0;

	for (size_t i = 0; i < text.size; i += 4) {
		size_t count = text.size - i < 4 ? text.size - i : 4;
		uint8_t bytes[3];

		if (decode_group(alphabet, text.data + i, count, bytes) < 0)
			return -EBADMSG;
		memcpy(data + done, bytes, count - 1);
		done += count - 1;
	}
	return (ssize_t)done;
}

void base64_encode(struct bytes data, char *text)
{
	encode(&alphabet_standard, data, text);
}

ssize_t base64_decode(struct bytes text, uint8_t *data, size_t capacity)
{
	if (text.size % 4 != 0)
		return -EBADMSG;
	for (int i = 0; i < 2; i++) {
		if (text.size > 0 && text.data[text.size - 1] == '=')
			text.size--;
	}
	return decode(&alphabet_standard, text, data, capacity);
}

void base64url_encode(struct bytes data, char *text)
{
	encode(&alphabet_url, data, text);
}

ssize_t base64url_decode(struct bytes text, uint8_t *data, size_t capacity)
{
	return decode(&alphabet_url, text, data, capacity);
}

int base64url_decode_exact(const char *text, uint8_t *data, size_t size)
{
	struct bytes digits = bytes_from_text(text);

	if (digits.size != BASE64URL_TEXT_SIZE(size) - 1)
		return -EBADMSG;
	return base64url_decode(digits, data, size) == (ssize_t)size ? 0 : -EBADMSG;
}

/* ---- CRC-32C ---- */

/* Table k moves a byte over k more bytes, so that eight are taken at once. */
static uint32_t crc_tables[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_make_tables(void)
{
	const uint32_t polynomial = 0x82f63b78; /* reflected */

	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? polynomial : 0);
		crc_tables[0][byte] = crc;
	}
	for (size_t k = 1; k < 8; k++) {
		for (size_t byte = 0; byte < 256; byte++) {
			uint32_t crc = crc_tables[k - 1][byte];

			crc_tables[k][byte] = crc >> 8 ^ crc_tables[0][crc & 255];
		}
	}
}

uint32_t crc32c(uint32_t crc, struct bytes data)
{
	const uint8_t *next = data.data;
	size_t left = data.size;

	pthread_once(&crc_once, crc_make_tables);
	crc = ~crc;
	for (; left >= 8; left -= 8, next += 8) {
		crc ^= (uint32_t)next[0] | (uint32_t)next[1] << 8 | (uint32_t)next[2] << 16 |
		       (uint32_t)next[3] << 24;
		crc = crc_tables[7][crc & 255] ^ crc_tables[6][crc >> 8 & 255] ^
		      crc_tables[5][crc >> 16 & 255] ^ crc_tables[4][crc >> 24] ^
		      crc_tables[3][next[4]] ^ crc_tables[2][next[5]] ^ crc_tables[1][next[6]] ^
		      crc_tables[0][next[7]];
	}
	for (; left > 0; left--, next++)
		crc = crc >> 8 ^ crc_tables[0][(crc ^ *next) & 255];
	return ~crc;
}
