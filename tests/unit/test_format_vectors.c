/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the vectors of tests/vectors/format: the codecs of meta/format and the
 * keys of kms/crypto. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/hash.h"
#include "kms/crypto/secret.h"
#include "meta/encoding.h"
#include "meta/format/header.h"
#include "meta/format/journal_record.h"
#include "meta/format/layout.h"
#include "meta/format/sealed_value.h"
#include "tests/unit/vector.h"

static struct bytes body_of(const struct vector *vector)
{
	return (struct bytes){ vector->data, vector->size };
}

/* The field "-" stands for nothing. */
static void assert_field(const struct vector *vector, const char *name, struct bytes actual)
{
	const char *text = vector_field(vector, name);
	uint8_t *expected = calloc(1, strlen(text) + 1);
	size_t size = 0;

	assert_non_null(expected);
	if (strcmp(text, "-") != 0)
		size = vector_bytes(vector, name, expected, strlen(text));
	if (!bytes_equal((struct bytes){ expected, size }, actual))
		fail_msg("%s: %s differs", vector->path, name);
	free(expected);
}

static struct dek *dek_of(const struct vector *vector)
{
	const struct uuid volume = vector_uuid(vector, "volume");
	const struct uuid id = vector_uuid(vector, "dek");
	uint8_t key[DEK_SIZE];
	struct dek *dek = NULL;

	vector_bytes(vector, "key", key, sizeof(key));
	assert_int_equal(dek_import((struct bytes){ key, sizeof(key) }, &volume, &id, &dek), 0);
	return dek;
}

static struct header_expectation expectation_of(const struct vector *vector)
{
	return (struct header_expectation){
		.volume = vector_uuid(vector, "volume"),
		.algorithm = (uint8_t)vector_number(vector, "algorithm"),
		.block_size_log2 = (uint8_t)vector_number(vector, "block-size-log2"),
	};
}

/* Decode and authenticate; the fault's word, or "ok" and the header. */
static const char *open_header(const struct vector *vector, const struct dek *dek,
			       struct header *ret_header)
{
	const struct header_expectation expected = expectation_of(vector);
	const char *fault = "none";
	const int r = header_decode(body_of(vector), &expected, ret_header, &fault);

	if (r < 0) {
		assert_true(r == -EBADMSG || r == -ENOTSUP);
		return fault;
	}

	const struct bytes input = header_mac_input(vector->data);

	if (!uuid_equal(&ret_header->dek, dek_id(dek)) ||
	    dek_mac_verify(dek, DEK_LABEL_HEADER, &input, 1, header_mac(vector->data)) < 0)
		return "bad-tag";
	return "ok";
}

static const char *run_header(const struct vector *vector)
{
	CLEANUP(dek_cleanup) struct dek *dek = dek_of(vector);
	struct header header;
	const char *outcome = open_header(vector, dek, &header);
	uint8_t encoded[HEADER_SIZE];

	if (strcmp(outcome, "ok") != 0)
		return outcome;
	assert_field(vector, "object", (struct bytes){ header.object_id, 16 });
	assert_field(vector, "content", (struct bytes){ header.content_id, 24 });
	assert_int_equal(header.is_sparse, vector_number(vector, "sparse"));

	const struct bytes input = header_mac_input(encoded);

	header_encode(&header, encoded);
	assert_int_equal(dek_mac(dek, DEK_LABEL_HEADER, &input, 1, header_mac_slot(encoded)), 0);
	assert_memory_equal(encoded, vector->data, HEADER_SIZE);
	return outcome;
}

static void headers_open_or_name_their_fault(void **state)
{
	vectors_run("format", "header", run_header);
}

/* Open the blocks one by one, holes where they are allowed. */
static const char *open_blocks(const struct vector *vector, const struct aead_key *key,
			       const struct header *header, uint8_t *plain)
{
	struct layout layout;

	assert_int_equal(layout_init(UINT64_C(1) << header->block_size_log2, &layout), 0);

	const uint64_t size = layout_plain_size(&layout, vector->size, NULL);
	const uint64_t count = layout_block_count(&layout, size);

	for (uint64_t i = 0; i < count; i++) {
		const struct bytes sealed = {
			vector->data + layout_sealed_offset(&layout, i),
			layout_block_fill(&layout, size, i) + LAYOUT_BLOCK_OVERHEAD,
		};
		const struct aead_run run = { layout.block_size, 1, i };
		uint8_t *into = plain + layout_plain_offset(&layout, i);

		if (header->is_sparse && i + 1 < count && bytes_are_zero(sealed)) {
			memset(into, 0, layout.block_size);
			continue;
		}
		if (aead_open_blocks(key, &run, sealed, into, NULL) < 0)
			return "bad-tag";
	}
	return "ok";
}

static const char *run_file(const struct vector *vector)
{
	CLEANUP(dek_cleanup) struct dek *dek = dek_of(vector);
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	struct header header;
	const char *outcome = open_header(vector, dek, &header);
	bool is_terminated = false;
	struct layout layout;
	uint8_t digest[SHA256_SIZE];

	if (strcmp(outcome, "ok") != 0)
		return outcome;
	assert_int_equal(layout_init(UINT64_C(1) << header.block_size_log2, &layout), 0);

	const uint64_t size = layout_plain_size(&layout, vector->size, &is_terminated);

	if (!is_terminated)
		return "unterminated";

	struct file_key_spec spec = { header.algorithm, header.block_size_log2, { 0 } };
	uint8_t *plain = calloc(1, size + 1);

	assert_non_null(plain);
	memcpy(spec.content_id, header.content_id, sizeof(spec.content_id));
	assert_int_equal(dek_file_key(dek, &spec, &key), 0);
	outcome = open_blocks(vector, key, &header, plain);
	if (strcmp(outcome, "ok") == 0) {
		assert_int_equal(size, vector_number(vector, "plain-size"));
		assert_int_equal(sha256((struct bytes){ plain, size }, digest), 0);
		assert_field(vector, "plain-sha256", (struct bytes){ digest, sizeof(digest) });
	}
	free(plain);
	return outcome;
}

static void files_open_or_name_their_fault(void **state)
{
	vectors_run("format", "file", run_file);
}

static const char *run_name(const struct vector *vector)
{
	CLEANUP(dek_cleanup) struct dek *dek = dek_of(vector);
	CLEANUP(siv_key_cleanup) struct siv_key *key = NULL;
	uint8_t plain[512], sealed[512];

	assert_int_equal(dek_name_key(dek, &key), 0);
	if (siv_open(key, body_of(vector), plain) < 0)
		return "bad-tag";

	const struct bytes name = { plain, vector->size - SIV_OVERHEAD };

	assert_field(vector, "plain", name);
	assert_int_equal(siv_seal(key, name, sealed), 0);
	assert_memory_equal(sealed, vector->data, vector->size);
	return "ok";
}

static void names_open_or_name_their_fault(void **state)
{
	vectors_run("format", "name", run_name);
}

static const char *run_sealed_value(const struct vector *vector)
{
	CLEANUP(dek_cleanup) struct dek *dek = dek_of(vector);
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	const struct uuid volume = vector_uuid(vector, "volume");
	uint8_t object_id[16], aad[SEALED_VALUE_AAD_MAX], name[SEALED_VALUE_NAME_MAX];
	const char *attribute = vector_field(vector, "attribute");
	const size_t name_size = strcmp(attribute, "-") == 0
					 ? 0
					 : vector_bytes(vector, "attribute", name, sizeof(name));
	const struct sealed_value_place place = {
		.volume = &volume,
		.kind = (enum sealed_value_kind)vector_field(vector, "kind")[0],
		.object_id = object_id,
		.name = { name, name_size },
	};
	const char *fault = "none";
	struct bytes sealed;
	struct uuid id;

	vector_bytes(vector, "object", object_id, sizeof(object_id));
	if (sealed_value_decode(body_of(vector), &id, &sealed, &fault) < 0)
		return fault;
	if (!uuid_equal(&id, dek_id(dek)))
		return "wrong-key";

	const size_t aad_size = sealed_value_aad(&place, aad);
	uint8_t *plain = calloc(1, sealed.size);

	assert_non_null(plain);
	assert_int_equal(dek_meta_key(dek, &key), 0);

	const int r = aead_open(key, (struct bytes){ aad, aad_size }, sealed, plain);

	if (r == 0)
		assert_field(vector, "plain", (struct bytes){ plain, sealed.size - 28 });
	free(plain);
	return r < 0 ? "bad-tag" : "ok";
}

static void sealed_values_open_or_name_their_fault(void **state)
{
	vectors_run("format", "sealed-value", run_sealed_value);
}

static const char *run_superblock(const struct vector *vector)
{
	const struct uuid volume = vector_uuid(vector, "volume");
	const struct uuid mount = vector_uuid(vector, "mount");
	struct journal_superblock superblock;
	uint8_t encoded[JOURNAL_SUPERBLOCK_SIZE];
	const char *fault = "none";

	if (journal_superblock_decode(body_of(vector), &superblock, &fault) < 0)
		return fault;
	assert_true(uuid_equal(&superblock.volume, &volume));
	assert_true(uuid_equal(&superblock.mount, &mount));
	assert_int_equal(superblock.number, vector_number(vector, "number"));
	assert_int_equal(superblock.area_size, vector_number(vector, "area-size"));
	journal_superblock_encode(&superblock, encoded);
	assert_memory_equal(encoded, vector->data, sizeof(encoded));
	return "ok";
}

static void superblocks_decode_or_name_their_fault(void **state)
{
	vectors_run("format", "superblock", run_superblock);
}

static const char *run_checkpoint(const struct vector *vector)
{
	struct journal_checkpoint checkpoint;
	uint8_t encoded[JOURNAL_CHECKPOINT_SIZE];
	const char *fault = "none";

	if (journal_checkpoint_decode(body_of(vector), &checkpoint, &fault) < 0)
		return fault;
	assert_int_equal(checkpoint.epoch, vector_number(vector, "epoch"));
	assert_int_equal(checkpoint.first_sequence, vector_number(vector, "first-sequence"));
	journal_checkpoint_encode(&checkpoint, encoded);
	assert_memory_equal(encoded, vector->data, sizeof(encoded));
	return "ok";
}

static void checkpoints_decode_or_name_their_fault(void **state)
{
	vectors_run("format", "checkpoint", run_checkpoint);
}

/* What ends a scan, as opposed to what only an attacker or a newer version
 * writes. */
static bool ends_a_scan(const char *fault)
{
	static const char *const words[] = { "short",       "bad-magic",      "bad-length",
					     "wrong-epoch", "wrong-sequence", "bad-crc" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(fault, words[i]) == 0)
			return true;
	return false;
}

static void assert_record_is(const struct vector *vector, const struct journal_record *record)
{
	const unsigned flags = (record->is_exact ? 1U : 0U) | (record->has_header ? 2U : 0U) |
			       (record->is_open ? 4U : 0U);
	uint8_t *encoded = calloc(1, journal_record_size(record->path.size, record->data.size));

	assert_non_null(encoded);
	assert_int_equal(record->kind, vector_number(vector, "kind"));
	assert_int_equal(flags, vector_number(vector, "flags"));
	assert_int_equal(record->offset, vector_number(vector, "offset"));
	assert_int_equal(record->result, vector_number(vector, "result"));
	assert_field(vector, "path", record->path);
	assert_field(vector, "content", record->data);

	const size_t size = journal_record_encode(record, encoded);

	memcpy(journal_record_mac_slot(encoded, size), journal_record_mac(vector->data, size),
	       JOURNAL_RECORD_MAC_SIZE);
	journal_record_finish(encoded, size);
	assert_memory_equal(encoded, vector->data, size);
	free(encoded);
}

static const char *run_journal_record(const struct vector *vector)
{
	CLEANUP(dek_cleanup) struct dek *dek = dek_of(vector);
	const struct journal_checkpoint expected = { vector_number(vector, "epoch"),
						     vector_number(vector, "sequence") };
	struct journal_record record;
	const char *fault = "none";
	size_t size = 0;
	const int r = journal_record_decode(body_of(vector), &expected, &record, &size, &fault);

	if (r < 0) {
		assert_true(r == -ENODATA || r == -EBADMSG || r == -ENOTSUP);
		assert_true(r != -ENODATA || ends_a_scan(fault));
		return fault;
	}
	assert_record_is(vector, &record);

	struct bytes parts[JOURNAL_RECORD_MAC_PARTS];

	journal_record_mac_parts(vector->data, size, parts);
	return dek_mac_verify(dek, DEK_LABEL_JOURNAL, parts, ARRAY_SIZE(parts),
			      journal_record_mac(vector->data, size)) < 0
		       ? "bad-tag"
		       : "ok";
}

static void journal_records_decode_or_name_their_fault(void **state)
{
	vectors_run("format", "journal-record", run_journal_record);
}

static int prepare_secrets(void **state)
{
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_open_or_name_their_fault),
		cmocka_unit_test(files_open_or_name_their_fault),
		cmocka_unit_test(names_open_or_name_their_fault),
		cmocka_unit_test(sealed_values_open_or_name_their_fault),
		cmocka_unit_test(superblocks_decode_or_name_their_fault),
		cmocka_unit_test(checkpoints_decode_or_name_their_fault),
		cmocka_unit_test(journal_records_decode_or_name_their_fault),
	};

	return cmocka_run_group_tests(tests, prepare_secrets, NULL);
}
