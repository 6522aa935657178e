/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of KMIP against known bytes; replies: the vectors kmip-* of tests/vectors/kms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/secret.h"
#include "kms/providers/kmip_internal.h"
#include "meta/encoding.h"
#include "tests/unit/vector.h"

static char outcome[256];

static int set_up(void **state)
{
	return secret_init();
}

/* Requests that a server of KMIP accepted from another encoder. */
static const char get_bytes[] =
	"42007801000000704200770100000038420069010000002042006a0200000004000000010000000042006b02"
	"00000004000000040000000042000d0200000004000000010000000042000f010000002842005c0500000004"
	"0000000a00000000420079010000001042009407000000013100000000000000";
static const char discover_bytes[] =
	"42007801000000604200770100000038420069010000002042006a0200000004000000010000000042006b02"
	"00000004000000040000000042000d0200000004000000010000000042000f010000001842005c0500000004"
	"0000001e000000004200790100000000";
static const char encrypt_bytes[] =
	"42007801000000f84200770100000038420069010000002042006a0200000004000000010000000042006b02"
	"00000004000000040000000042000d0200000004000000010000000042000f01000000b042005c0500000004"
	"0000001f0000000042007901000000984200940700000001310000000000000042002b010000003042001105"
	"000000040000000900000000420028050000000400000003000000004200ce02000000040000001000000000"
	"4200c208000000206b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b42003d08"
	"0000000c000102030405060708090a0b000000004200fe0800000007766f6c7c6b657900";

static void assert_encodes(const struct kmip_request *request, const char *expected)
{
	uint8_t buffer[1024];
	char text[HEX_TEXT_SIZE(sizeof(buffer))];
	struct ttlv_writer writer = { .data = buffer, .capacity = sizeof(buffer) };
	struct bytes message;

	assert_int_equal(kmip_encode(request, &writer, &message), 0);
	hex_encode(message, text);
	assert_string_equal(text, expected);
}

static void requests_are_the_known_bytes(void **state)
{
	uint8_t data[32], iv[12];

	memset(data, 0x6b, sizeof(data));
	for (uint8_t i = 0; i < sizeof(iv); i++)
		iv[i] = i;
	assert_encodes(&(struct kmip_request){ .version = 14, .operation = KMIP_GET, .uid = "1" },
		       get_bytes);
	assert_encodes(&(struct kmip_request){ .version = 14, .operation = KMIP_DISCOVER_VERSIONS },
		       discover_bytes);
	assert_encodes(&(struct kmip_request){ .version = 14,
					       .operation = KMIP_ENCRYPT,
					       .uid = "1",
					       .scheme = KMIP_GCM,
					       .data = { data, sizeof(data) },
					       .iv = { iv, sizeof(iv) },
					       .aad = bytes_from_text("vol|key") },
		       encrypt_bytes);
}

static void requests_that_do_not_fit_are_refused(void **state)
{
	uint8_t buffer[120];
	struct kmip_request request = { .version = 14, .operation = KMIP_GET, .uid = "1" };
	struct bytes message;

	for (size_t capacity = 0; capacity < sizeof(buffer); capacity++) {
		struct ttlv_writer writer = { .data = buffer, .capacity = capacity };

		assert_int_equal(kmip_encode(&request, &writer, &message), -ENOBUFS);
		assert_true(writer.size <= capacity);
	}
}

static void the_size_of_a_message_is_bounded(void **state)
{
	static const uint8_t fits[] = { 0x42, 0, 0x7b, 1, 0, 0, 0x0f, 0xf8 };
	static const uint8_t beyond[] = { 0x42, 0, 0x7b, 1, 0, 0, 0x10, 0 };
	static const uint8_t wraps[] = { 0x42, 0, 0x7b, 1, 0xff, 0xff, 0xff, 0xf8 };
	static const uint8_t odd[] = { 0x42, 0, 0x7b, 1, 0, 0, 0, 9 };
	static const uint8_t text[] = { 0x42, 0, 0x7b, 7, 0, 0, 0, 8 };

	assert_int_equal(ttlv_message_size(fits, 4096), 4096);
	assert_int_equal(ttlv_message_size(beyond, 4096), 0);
	assert_int_equal(ttlv_message_size(wraps, 4096), 0);
	assert_int_equal(ttlv_message_size(odd, 4096), 0);
	assert_int_equal(ttlv_message_size(text, 4096), 0);
}

static const char *say_code(int r)
{
	return r == -EKEYREJECTED ? "rejected" : r == -EBADMSG ? "malformed" : "other";
}

static int reply_of(const struct vector *vector, struct kmip_reply *reply)
{
	return kmip_decode_reply((struct bytes){ vector->data, vector->size }, reply);
}

static const char *run_reply(const struct vector *vector)
{
	struct kmip_reply reply;
	int r = reply_of(vector, &reply);

	if (r < 0)
		return say_code(r);
	(void)snprintf(outcome, sizeof(outcome), "%u operation %u status %u reason %u",
		       reply.version, reply.operation, reply.status, reply.reason);
	return outcome;
}

static const char *run_versions(const struct vector *vector)
{
	struct kmip_reply reply;
	kmip_version version;
	int r = reply_of(vector, &reply);

	if (r == 0)
		r = kmip_decode_versions(reply.payload, &version);
	if (r < 0)
		return say_code(r);
	(void)snprintf(outcome, sizeof(outcome), "%u", version);
	return outcome;
}

static const char *run_encrypt(const struct vector *vector)
{
	struct kmip_reply reply;
	struct kmip_sealed sealed;
	int r = reply_of(vector, &reply);

	if (r == 0)
		r = kmip_decode_encrypt(reply.payload, "k", &sealed);
	if (r < 0)
		return say_code(r);
	(void)snprintf(outcome, sizeof(outcome), "data %zu iv %zu tag %zu", sealed.data.size,
		       sealed.iv.size, sealed.tag.size);
	return outcome;
}

static const char *run_decrypt(const struct vector *vector)
{
	struct kmip_reply reply;
	struct bytes plain;
	int r = reply_of(vector, &reply);

	if (r == 0)
		r = kmip_decode_decrypt(reply.payload, "k", &plain);
	if (r < 0)
		return say_code(r);
	(void)snprintf(outcome, sizeof(outcome), "plain %zu", plain.size);
	return outcome;
}

static const char *run_state(const struct vector *vector)
{
	struct kmip_reply reply;
	struct kmip_facts facts;
	int r = reply_of(vector, &reply);

	if (r == 0)
		r = kmip_decode_attributes(reply.payload, "k", &facts);
	if (r < 0)
		return say_code(r);
	(void)snprintf(outcome, sizeof(outcome), "%d created %lld", (int)facts.state,
		       (long long)facts.created_s);
	return outcome;
}

static const char *run_key(const struct vector *vector)
{
	struct kmip_reply reply;
	struct bytes key;
	int r = reply_of(vector, &reply);

	if (r == 0)
		r = kmip_decode_key(reply.payload, "k", &key);
	if (r < 0)
		return say_code(r);
	assert_int_equal(key.size, KMIP_KEY_SIZE);
	return "key";
}

static void replies_are_read_strictly(void **state)
{
	vectors_run("kms", "kmip-reply", run_reply);
	vectors_run("kms", "kmip-versions", run_versions);
	vectors_run("kms", "kmip-encrypt", run_encrypt);
	vectors_run("kms", "kmip-decrypt", run_decrypt);
	vectors_run("kms", "kmip-state", run_state);
	vectors_run("kms", "kmip-key", run_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_the_known_bytes),
		cmocka_unit_test(requests_that_do_not_fit_are_refused),
		cmocka_unit_test(the_size_of_a_message_is_bounded),
		cmocka_unit_test(replies_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
