/* SPDX-License-Identifier: Apache-2.0 */
/* Records: every vector has its outcome, and what is accepted is written back byte for byte. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/sign.h"
#include "meta/records/identity.h"
#include "meta/records/record.h"
#include "meta/records/seal_record.h"
#include "meta/records/volume_record.h"
#include "tests/unit/vector.h"

static int set_up(void **state)
{
	return secret_init();
}

static const char *outcome_of(int error)
{
	switch (error) {
	case 0:
		return "ok";
	case -EBADMSG:
		return "malformed";
	case -ENOTSUP:
		return "newer";
	default:
		return "error";
	}
}

/* Line 1 with a good signature, or why not. */
static const char *open_record(const struct vector *vector, struct record *record)
{
	uint8_t *message = NULL;
	size_t size;
	int r = record_split((struct bytes){ vector->data, vector->size }, record);

	if (r < 0)
		return outcome_of(r);
	assert_int_equal(record_sign_input(record->line, &message, &size), 0);
	r = sign_verify(record->public_key, (struct bytes){ message, size }, record->signature);
	free(message);
	return r < 0 ? "bad-signature" : NULL;
}

static const char *check_mac(const struct vector *vector, enum dek_label label,
			     const char *mac_input, const uint8_t mac[32])
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const struct uuid volume = vector_uuid(vector, "volume");
	const struct uuid id = vector_uuid(vector, "dek");
	const struct bytes part = bytes_from_text(mac_input);
	uint8_t key[DEK_SIZE];

	vector_bytes(vector, "key", key, sizeof(key));
	assert_int_equal(dek_import((struct bytes){ key, sizeof(key) }, &volume, &id, &dek), 0);
	return dek_mac_verify(dek, label, &part, 1, mac) < 0 ? "bad-mac" : "ok";
}

/* What we write is what we read, but for members that we do not know. */
static void check_line(const struct vector *vector, struct bytes stored, const char *line)
{
	const char *name = vector_field(vector, "name");

	if (strcmp(name, "unknown-member") == 0 || strcmp(name, "critical-known") == 0)
		return;
	if (!bytes_equal(stored, bytes_from_text(line)))
		fail_msg("%s: written as %s", vector->path, line);
}

static const char *run_volume(const struct vector *vector)
{
	struct volume_record decoded;
	struct record record;
	const char *fault = open_record(vector, &record);
	char *line = NULL;
	int r;

	if (fault)
		return fault;
	r = volume_record_decode(record.line, &decoded);
	if (r < 0)
		return outcome_of(r);
	assert_int_equal(volume_record_encode(&decoded, &line), 0);
	check_line(vector, record.line, line);
	free(line);
	volume_record_free(&decoded);
	return "ok";
}

static const char *run_key(const struct vector *vector)
{
	struct key_record decoded;
	struct record record;
	const char *fault = open_record(vector, &record);
	const char *outcome;
	char *line = NULL;
	int r;

	if (fault)
		return fault;
	r = key_record_decode(record.line, &decoded);
	if (r < 0)
		return outcome_of(r);
	outcome = check_mac(vector, DEK_LABEL_SLOTS, decoded.mac_input, decoded.mac);
	assert_int_equal(key_record_encode_mac_input(&decoded), 0);
	assert_int_equal(key_record_encode(&decoded, &line), 0);
	check_line(vector, record.line, line);
	free(line);
	key_record_free(&decoded);
	return outcome;
}

static const char *run_identity(const struct vector *vector)
{
	struct identity decoded;
	struct record record;
	const char *fault = open_record(vector, &record);
	const char *outcome = "ok";
	char *line = NULL;
	int r;

	if (fault)
		return fault;
	r = identity_decode(record.line, &decoded);
	if (r < 0)
		return outcome_of(r);
	if (decoded.mac_input)
		outcome = check_mac(vector, DEK_LABEL_IDENTITY, decoded.mac_input, decoded.mac);
	assert_int_equal(identity_encode_mac_input(&decoded), 0);
	assert_int_equal(identity_encode(&decoded, &line), 0);
	check_line(vector, record.line, line);
	free(line);
	identity_free(&decoded);
	return outcome;
}

static const char *run_seal(const struct vector *vector)
{
	struct seal_record decoded;
	struct record record;
	const char *fault = open_record(vector, &record);
	const char *outcome;
	char *line = NULL;
	int r;

	if (fault)
		return fault;
	r = seal_record_decode(record.line, &decoded);
	if (r < 0)
		return outcome_of(r);
	outcome = check_mac(vector, DEK_LABEL_SEAL, decoded.mac_input, decoded.mac);
	assert_int_equal(seal_record_encode_mac_input(&decoded), 0);
	assert_int_equal(seal_record_encode(&decoded, &line), 0);
	check_line(vector, record.line, line);
	free(line);
	seal_record_free(&decoded);
	return outcome;
}

static const char *run_tombstone(const struct vector *vector)
{
	struct tombstone decoded;
	struct record record;
	const char *fault = open_record(vector, &record);
	char *line = NULL;
	int r;

	if (fault)
		return fault;
	r = tombstone_decode(record.line, &decoded);
	if (r < 0)
		return outcome_of(r);
	assert_int_equal(tombstone_encode(&decoded, &line), 0);
	check_line(vector, record.line, line);
	free(line);
	tombstone_free(&decoded);
	return "ok";
}

static void volume_records_have_their_outcomes(void **state)
{
	vectors_run("records", "volume", run_volume);
}

static void key_records_have_their_outcomes(void **state)
{
	vectors_run("records", "key", run_key);
}

static void identities_have_their_outcomes(void **state)
{
	vectors_run("records", "identity", run_identity);
}

static void seal_records_have_their_outcomes(void **state)
{
	vectors_run("records", "seal", run_seal);
}

static void tombstones_have_their_outcomes(void **state)
{
	vectors_run("records", "tombstone", run_tombstone);
}

static void a_record_over_1_mib_is_refused_before_it_is_parsed(void **state)
{
	uint8_t *data = malloc(RECORD_SIZE_MAX + 1);
	struct record record;

	assert_non_null(data);
	memset(data, ' ', RECORD_SIZE_MAX + 1);
	assert_int_equal(record_split((struct bytes){ data, RECORD_SIZE_MAX + 1 }, &record),
			 -EBADMSG);
	free(data);
}

static void record_join_and_split_are_inverse(void **state)
{
	const uint8_t key[RECORD_PUBLIC_KEY_SIZE] = { 1, 2, 3 };
	const uint8_t signature[RECORD_SIGNATURE_SIZE] = { 4, 5, 6 };
	struct record record;
	char *text = NULL;

	assert_int_equal(record_join("{\"a\":1}", key, signature, &text), 0);
	assert_int_equal(record_split(bytes_from_text(text), &record), 0);
	assert_true(bytes_equal(record.line, bytes_from_text("{\"a\":1}")));
	assert_memory_equal(record.public_key, key, sizeof(key));
	assert_memory_equal(record.signature, signature, sizeof(signature));
	free(text);
}

static void differences_are_told_field_by_field(void **state)
{
	struct volume_record a = { .block_size = 4096, .algorithm = 1, .snapshot_depth = 1 };
	struct volume_record b;
	const struct uuid id = { { 1 } };
	char text[64];

	assert_int_equal(volume_record_copy(&a, &b), 0);
	assert_int_equal(volume_record_differences(&a, &b), 0);
	b.snapshot_depth = 2;
	b.is_encrypted = true;
	assert_int_equal(volume_record_differences(&a, &b),
			 VOLUME_FIELD_DEPTH | VOLUME_FIELD_ENCRYPTION);
	assert_int_equal(volume_record_add_plaintext(&b, &id, "old"), 0);
	assert_true(volume_record_differences(&a, &b) & VOLUME_FIELD_PLAINTEXT);
	assert_true(volume_record_lists_plaintext(&b, &id, "old"));
	assert_false(volume_record_lists_plaintext(&b, &id, "new"));
	for (unsigned bit = 1; bit & VOLUME_FIELDS_ALL; bit <<= 1) {
		assert_string_not_equal(volume_field_name((enum volume_field)bit), "unknown");
		volume_field_text(&b, (enum volume_field)bit, text, sizeof(text));
		assert_true(strlen(text) > 0);
	}
	volume_record_free(&b);
}

static void text_pairs_have_limits(void **state)
{
	struct text_pairs pairs = { 0 };
	char name[80];

	assert_int_equal(text_pairs_set(&pairs, "a", "1"), 0);
	assert_int_equal(text_pairs_set(&pairs, "a", "2"), 0);
	assert_string_equal(text_pairs_get(&pairs, "a"), "2");
	assert_null(text_pairs_get(&pairs, "b"));
	assert_int_equal(pairs.count, 1);
	memset(name, 'x', sizeof(name));
	name[79] = '\0';
	assert_int_equal(text_pairs_set(&pairs, name, "1"), -EINVAL);
	for (int i = 1; i < SLOT_PAIRS_MAX; i++) {
		name[0] = (char)('a' + i);
		name[1] = '\0';
		assert_int_equal(text_pairs_set(&pairs, name, "1"), 0);
	}
	assert_int_equal(text_pairs_set(&pairs, "z", "1"), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volume_records_have_their_outcomes),
		cmocka_unit_test(key_records_have_their_outcomes),
		cmocka_unit_test(identities_have_their_outcomes),
		cmocka_unit_test(seal_records_have_their_outcomes),
		cmocka_unit_test(tombstones_have_their_outcomes),
		cmocka_unit_test(a_record_over_1_mib_is_refused_before_it_is_parsed),
		cmocka_unit_test(record_join_and_split_are_inverse),
		cmocka_unit_test(differences_are_told_field_by_field),
		cmocka_unit_test(text_pairs_have_limits),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
