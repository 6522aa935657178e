/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "kms/crypto/capsule.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/dek_bytes.h"
#include "kms/crypto/secret.h"
#include "tests/unit/hex.h"

static int lock_memory(void **state)
{
	return secret_init();
}

static const struct bytes no_bytes = { NULL, 0 };

/* Bytes BEGIN, BEGIN + 1 ... */
static void count_up(uint8_t *data, size_t size, uint8_t begin)
{
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(begin + i);
}

static struct dek *make_dek_of(uint8_t volume_begin, uint8_t id_begin)
{
	uint8_t bytes[DEK_SIZE];
	struct uuid volume;
	struct uuid id;
	struct dek *dek;

	count_up(bytes, sizeof(bytes), 0);
	count_up(volume.bytes, UUID_SIZE, volume_begin);
	count_up(id.bytes, UUID_SIZE, id_begin);
	assert_int_equal(dek_import((struct bytes){ bytes, sizeof(bytes) }, &volume, &id, &dek), 0);
	return dek;
}

static struct dek *make_dek(void)
{
	return make_dek_of(0x40, 0x60);
}

static struct file_key_spec make_spec(enum aead_algorithm algorithm, uint8_t block_size_log2)
{
	struct file_key_spec spec = { algorithm, block_size_log2, { 0 } };

	count_up(spec.content_id, sizeof(spec.content_id), 0x80);
	return spec;
}

/* ---- Known answers, computed from meta/FORMAT.md with another HKDF and other ciphers ---- */

static void commitment_matches_the_format(void **state)
{
	static const char expected[] =
		"75fc9dfcd52be014e85cfdca718f2c66987ffa20340d4161a7de3220cbdaf48a";
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	uint8_t commitment[DEK_MAC_SIZE];

	assert_int_equal(dek_commitment(dek, commitment), 0);
	assert_hex(commitment, sizeof(commitment), expected);
	assert_int_equal(dek_check_commitment(dek, commitment), 0);
	commitment[31] ^= 1;
	assert_int_equal(dek_check_commitment(dek, commitment), -EKEYREJECTED);
}

static void macs_match_the_format(void **state)
{
	static const struct {
		enum dek_label label;
		const char *mac;
	} known[] = {
		{ DEK_LABEL_HEADER,
		  "a74711e499e709e7a75b955a24ca3199988e1486aea890e9f31012df8941fb77" },
		{ DEK_LABEL_IDENTITY,
		  "7ff7e8746447dbaeea2c85288c03ad39d6c8dd47e8eb00aa55c3de4ad6832b32" },
		{ DEK_LABEL_SLOTS,
		  "ea647a19891a16de74c246d2099c13770f036c4e1fbe308a0401e34b3dd32e2a" },
		{ DEK_LABEL_JOURNAL,
		  "15e9fb29520755949667611d7b043df9a63dffa4b25a056b3f6ce5ab88315105" },
		{ DEK_LABEL_SEAL,
		  "ca85655d5a80c2ab489ca9cf8b50a87f7d22c28c56669cedefaa79c08088991a" },
	};
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	const struct bytes parts[] = { bytes_from_text("mess"), no_bytes, bytes_from_text("age") };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint8_t mac[DEK_MAC_SIZE];

		assert_int_equal(dek_mac(dek, known[i].label, parts, ARRAY_SIZE(parts), mac), 0);
		assert_hex(mac, sizeof(mac), known[i].mac);
	}
}

static void file_keys_match_the_format(void **state)
{
	static const struct {
		enum aead_algorithm algorithm;
		uint8_t block_size_log2;
		const char *sealed;
	} known[] = {
		{ AEAD_AES_256_GCM, 16,
		  "000000000000000000000000c4b0701341bd240aa29e587d6f8547a2addf541abf" },
		{ AEAD_CHACHA20_POLY1305, 12,
		  "0000000000000000000000004be9dea07c5b51eace514846c6dd02080bbf25e211" },
	};
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const struct file_key_spec spec = make_spec(known[i].algorithm,
							    known[i].block_size_log2);
		const struct aead_run run = { 4096, 1, 7 };
		CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
		uint8_t sealed[64];
		uint8_t plain[5];

		assert_int_equal(dek_file_key(dek, &spec, &key), 0);
		assert_int_equal(
			aead_open_blocks(key, &run,
					 hex_bytes(known[i].sealed, sealed, sizeof(sealed)), plain,
					 NULL),
			0);
		assert_memory_equal(plain, "hello", 5);
	}
}

static void meta_and_name_keys_match_the_format(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	CLEANUP(aead_key_cleanup) struct aead_key *meta = NULL;
	CLEANUP(siv_key_cleanup) struct siv_key *name = NULL;
	uint8_t sealed[64];
	uint8_t plain[5];

	assert_int_equal(dek_meta_key(dek, &meta), 0);
	assert_int_equal(
		aead_open(
			meta, bytes_from_text("aad"),
			hex_bytes(
				"000000000000000000000000c3d56423f858972f0deb64e4dd75f2f15879abe370",
				sealed, sizeof(sealed)),
			plain),
		0);
	assert_memory_equal(plain, "value", 5);
	assert_int_equal(dek_name_key(dek, &name), 0);
	assert_int_equal(siv_seal(name, bytes_from_text("report.txt"), sealed), 0);
	assert_hex(sealed, 26, "f17558aa0f48c89d7c736a94e8a9fb4f84d99ad9bd0e489d8a13");
}

static void capsule_matches_the_format(void **state)
{
	static const char expected[] =
		"46c562328885969800a5b99a727b1d43a5cf8434b1fae5b7ae0e82c9bf59"
		"b3bc4223b4736a63745e6d63ae0832545426";
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	struct bytes header = bytes_from_text("{\"format\":1,\"role\":\"primary\"}");
	uint8_t secret[CAPSULE_SECRET_SIZE];
	uint8_t capsule[CAPSULE_SIZE];

	count_up(secret, sizeof(secret), 0xc0);
	assert_int_equal(
		capsule_seal(dek, (struct bytes){ secret, sizeof(secret) }, header, capsule), 0);
	assert_hex(capsule, sizeof(capsule), expected);
}

/* ---- What depends on what ---- */

static void every_input_changes_the_keys(void **state)
{
	struct dek *deks[] = { make_dek(), make_dek_of(0x41, 0x60), make_dek_of(0x40, 0x61) };
	struct file_key_spec specs[5];
	uint8_t sealed[5 + AEAD_OVERHEAD];
	CLEANUP(aead_key_cleanup) struct aead_key *own = NULL;
	uint8_t own_commitment[DEK_MAC_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
		specs[i] = make_spec(AEAD_AES_256_GCM, 16);
	specs[1].algorithm = AEAD_CHACHA20_POLY1305;
	specs[2].block_size_log2 = 17;
	specs[3].content_id[0] ^= 1;
	specs[4].content_id[DEK_CONTENT_ID_SIZE - 1] ^= 1;

	assert_int_equal(dek_file_key(deks[0], &specs[0], &own), 0);
	assert_int_equal(aead_seal(own, no_bytes, bytes_from_text("plain"), sealed), 0);
	assert_int_equal(dek_commitment(deks[0], own_commitment), 0);
	for (size_t d = 0; d < ARRAY_SIZE(deks); d++) {
		for (size_t s = 0; s < ARRAY_SIZE(specs); s++) {
			CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
			uint8_t back[5];

			assert_int_equal(dek_file_key(deks[d], &specs[s], &key), 0);
			assert_int_equal(aead_open(key, no_bytes,
						   (struct bytes){ sealed, sizeof(sealed) }, back),
					 d == 0 && s == 0 ? 0 : -EBADMSG);
		}
		assert_int_equal(dek_check_commitment(deks[d], own_commitment),
				 d == 0 ? 0 : -EKEYREJECTED);
	}
	for (size_t d = 0; d < ARRAY_SIZE(deks); d++)
		dek_put(deks[d]);
}

static void mac_verify_rejects_other_data_label_and_mac(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	struct bytes message = bytes_from_text("message");
	struct bytes other = bytes_from_text("massage");
	uint8_t mac[DEK_MAC_SIZE];

	assert_int_equal(dek_mac(dek, DEK_LABEL_HEADER, &message, 1, mac), 0);
	assert_int_equal(dek_mac_verify(dek, DEK_LABEL_HEADER, &message, 1, mac), 0);
	assert_int_equal(dek_mac_verify(dek, DEK_LABEL_HEADER, &other, 1, mac), -EBADMSG);
	assert_int_equal(dek_mac_verify(dek, DEK_LABEL_HEADER, NULL, 0, mac), -EBADMSG);
	assert_int_equal(dek_mac_verify(dek, DEK_LABEL_SEAL, &message, 1, mac), -EBADMSG);
	for (size_t i = 0; i < sizeof(mac); i++) {
		mac[i] ^= 0x10;
		assert_int_equal(dek_mac_verify(dek, DEK_LABEL_HEADER, &message, 1, mac), -EBADMSG);
		mac[i] ^= 0x10;
	}
	assert_int_equal(dek_mac(dek, (enum dek_label)99, &message, 1, mac), -EINVAL);
}

static void generated_deks_differ(void **state)
{
	const struct uuid volume = { { 1 } };
	CLEANUP(dek_cleanup) struct dek *a = NULL;
	CLEANUP(dek_cleanup) struct dek *b = NULL;
	CLEANUP(secret_cleanup) struct secret *a_bytes = NULL;
	CLEANUP(secret_cleanup) struct secret *b_bytes = NULL;

	assert_int_equal(dek_generate(&volume, &a), 0);
	assert_int_equal(dek_generate(&volume, &b), 0);
	assert_false(uuid_equal(dek_id(a), dek_id(b)));
	assert_true(uuid_equal(dek_volume(a), &volume));
	assert_int_equal(dek_export(a, &a_bytes), 0);
	assert_int_equal(dek_export(b, &b_bytes), 0);
	assert_int_equal(secret_bytes(a_bytes).size, DEK_SIZE);
	assert_false(bytes_equal(secret_bytes(a_bytes), secret_bytes(b_bytes)));
	assert_false(bytes_are_zero(secret_bytes(a_bytes)));
}

static void dek_import_rejects_other_sizes(void **state)
{
	const struct uuid id = { { 1 } };
	uint8_t bytes[DEK_SIZE + 1] = { 0 };
	struct dek *dek;

	assert_int_equal(dek_import((struct bytes){ bytes, DEK_SIZE - 1 }, &id, &id, &dek),
			 -EINVAL);
	assert_int_equal(dek_import((struct bytes){ bytes, DEK_SIZE + 1 }, &id, &id, &dek),
			 -EINVAL);
	assert_int_equal(dek_import(no_bytes, &id, &id, &dek), -EINVAL);
}

/* ---- Capsules ---- */

static void capsules_round_trip(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	CLEANUP(dek_cleanup) struct dek *back = NULL;
	const struct capsule_owner owner = { *dek_volume(dek), *dek_id(dek) };
	struct bytes header = bytes_from_text("{\"format\":1}");
	uint8_t secret[CAPSULE_SECRET_SIZE] = { 9 };
	uint8_t capsule[CAPSULE_SIZE];
	uint8_t commitment[DEK_MAC_SIZE];

	assert_int_equal(capsule_seal(dek, (struct bytes){ secret, 32 }, header, capsule), 0);
	assert_int_equal(capsule_open((struct bytes){ secret, 32 }, header, capsule, &owner, &back),
			 0);
	assert_int_equal(dek_commitment(dek, commitment), 0);
	assert_int_equal(dek_check_commitment(back, commitment), 0);
}

static void capsules_are_bound_to_secret_and_header(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	struct dek *back = NULL;
	const struct capsule_owner owner = { *dek_volume(dek), *dek_id(dek) };
	struct bytes header = bytes_from_text("{\"role\":\"primary\"}");
	struct bytes other = bytes_from_text("{\"role\":\"primarY\"}");
	uint8_t secret[CAPSULE_SECRET_SIZE] = { 9 };
	struct bytes secret_span = { secret, sizeof(secret) };
	uint8_t capsule[CAPSULE_SIZE];

	assert_int_equal(capsule_seal(dek, secret_span, header, capsule), 0);
	assert_int_equal(capsule_open(secret_span, other, capsule, &owner, &back), -EKEYREJECTED);
	assert_int_equal(capsule_open(secret_span, no_bytes, capsule, &owner, &back),
			 -EKEYREJECTED);
	secret[31] ^= 1;
	assert_int_equal(capsule_open(secret_span, header, capsule, &owner, &back), -EKEYREJECTED);
	secret[31] ^= 1;
	for (size_t i = 0; i < sizeof(capsule); i++) {
		capsule[i] ^= 1;
		assert_int_equal(capsule_open(secret_span, header, capsule, &owner, &back),
				 -EKEYREJECTED);
		capsule[i] ^= 1;
	}
	assert_int_equal(capsule_open((struct bytes){ secret, 31 }, header, capsule, &owner, &back),
			 -EINVAL);
	assert_null(back);
}

/* ---- Revocation ---- */

static void after_wipe_everything_fails(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	const struct file_key_spec spec = make_spec(AEAD_AES_256_GCM, 16);
	CLEANUP(aead_key_cleanup) struct aead_key *file = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *meta = NULL;
	CLEANUP(siv_key_cleanup) struct siv_key *name = NULL;
	struct aead_key *late = NULL;
	struct siv_key *late_name = NULL;
	struct secret *bytes = NULL;
	struct bytes message = bytes_from_text("message");
	uint8_t sealed[7 + AEAD_OVERHEAD];
	uint8_t named[7 + SIV_OVERHEAD];
	uint8_t mac[DEK_MAC_SIZE];
	uint8_t secret[CAPSULE_SECRET_SIZE] = { 9 };
	uint8_t capsule[CAPSULE_SIZE];

	assert_int_equal(dek_file_key(dek, &spec, &file), 0);
	assert_int_equal(dek_meta_key(dek, &meta), 0);
	assert_int_equal(dek_name_key(dek, &name), 0);
	assert_int_equal(aead_seal(file, no_bytes, message, sealed), 0);
	assert_int_equal(siv_seal(name, message, named), 0);
	assert_false(dek_is_wiped(dek));

	dek_wipe(dek);
	assert_true(dek_is_wiped(dek));
	assert_int_equal(aead_seal(file, no_bytes, message, sealed), -EKEYREVOKED);
	assert_int_equal(aead_open(file, no_bytes, (struct bytes){ sealed, sizeof(sealed) }, mac),
			 -EKEYREVOKED);
	assert_int_equal(aead_seal(meta, no_bytes, message, sealed), -EKEYREVOKED);
	assert_int_equal(siv_seal(name, message, named), -EKEYREVOKED);
	assert_int_equal(siv_open(name, (struct bytes){ named, sizeof(named) }, mac), -EKEYREVOKED);
	assert_int_equal(dek_file_key(dek, &spec, &late), -EKEYREVOKED);
	assert_int_equal(dek_meta_key(dek, &late), -EKEYREVOKED);
	assert_int_equal(dek_name_key(dek, &late_name), -EKEYREVOKED);
	assert_int_equal(dek_mac(dek, DEK_LABEL_HEADER, &message, 1, mac), -EKEYREVOKED);
	assert_int_equal(dek_mac_verify(dek, DEK_LABEL_HEADER, &message, 1, mac), -EKEYREVOKED);
	assert_int_equal(dek_commitment(dek, mac), -EKEYREVOKED);
	assert_int_equal(dek_check_commitment(dek, mac), -EKEYREVOKED);
	assert_int_equal(dek_export(dek, &bytes), -EKEYREVOKED);
	assert_int_equal(capsule_seal(dek, (struct bytes){ secret, 32 }, message, capsule),
			 -EKEYREVOKED);

	/* Ids are no secret: messages need them. */
	assert_false(uuid_is_zero(dek_id(dek)));

	/* The later reason counts, and doing it again is harmless. */
	dek_revoke(dek, -ENOKEY);
	assert_int_equal(dek_commitment(dek, mac), -ENOKEY);
	assert_int_equal(aead_seal(file, no_bytes, message, sealed), -ENOKEY);
	assert_int_equal(siv_seal(name, message, named), -ENOKEY);
}

static void file_keys_outlive_their_handle(void **state)
{
	struct dek *dek = make_dek();
	const struct file_key_spec spec = make_spec(AEAD_AES_256_GCM, 16);
	CLEANUP(aead_key_cleanup) struct aead_key *file = NULL;
	uint8_t sealed[AEAD_OVERHEAD];

	assert_ptr_equal(dek_ref(dek), dek);
	dek_put(dek);
	assert_int_equal(dek_file_key(dek, &spec, &file), 0);
	dek_put(dek);
	assert_int_equal(aead_seal(file, no_bytes, no_bytes, sealed), 0);
	dek_put(NULL);
}

#define THREADS 8

struct worker {
	pthread_t thread;
	struct dek *dek;
	int error;
	atomic_uint done;
};

/* What a file operation does: a key of its own, a name, a MAC. */
static int one_round(struct dek *dek, uint8_t content)
{
	struct file_key_spec spec = make_spec(AEAD_AES_256_GCM, 16);
	CLEANUP(aead_key_cleanup) struct aead_key *file = NULL;
	CLEANUP(siv_key_cleanup) struct siv_key *name = NULL;
	struct bytes message = bytes_from_text("message");
	uint8_t sealed[7 + AEAD_OVERHEAD];
	uint8_t back[7];
	uint8_t mac[DEK_MAC_SIZE];

	spec.content_id[0] = content;

	int r = dek_file_key(dek, &spec, &file);

	if (r == 0)
		r = aead_seal(file, no_bytes, message, sealed);
	if (r == 0)
		r = aead_open(file, no_bytes, (struct bytes){ sealed, sizeof(sealed) }, back);
	if (r == 0)
		r = dek_name_key(dek, &name);
	if (r == 0)
		r = siv_seal(name, message, sealed);
	if (r == 0)
		r = siv_open(name, (struct bytes){ sealed, 7 + SIV_OVERHEAD }, back);
	if (r == 0)
		r = dek_mac(dek, DEK_LABEL_HEADER, &message, 1, mac);
	if (r == 0)
		r = dek_mac_verify(dek, DEK_LABEL_HEADER, &message, 1, mac);
	return r == 0 && memcmp(back, message.data, 7) != 0 ? -EILSEQ : r;
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (uint8_t i = 0; worker->error == 0; i++) {
		worker->error = one_round(worker->dek, i);
		atomic_fetch_add(&worker->done, 1);
	}
	return NULL;
}

static void wipe_stops_running_threads(void **state)
{
	CLEANUP(dek_cleanup) struct dek *dek = make_dek();
	struct worker workers[THREADS] = { 0 };

	for (size_t i = 0; i < THREADS; i++) {
		workers[i].dek = dek;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		while (atomic_load(&workers[i].done) < 20)
			sched_yield();
	}
	dek_wipe(dek);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].error, -EKEYREVOKED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commitment_matches_the_format),
		cmocka_unit_test(macs_match_the_format),
		cmocka_unit_test(file_keys_match_the_format),
		cmocka_unit_test(meta_and_name_keys_match_the_format),
		cmocka_unit_test(capsule_matches_the_format),
		cmocka_unit_test(every_input_changes_the_keys),
		cmocka_unit_test(mac_verify_rejects_other_data_label_and_mac),
		cmocka_unit_test(generated_deks_differ),
		cmocka_unit_test(dek_import_rejects_other_sizes),
		cmocka_unit_test(capsules_round_trip),
		cmocka_unit_test(capsules_are_bound_to_secret_and_header),
		cmocka_unit_test(after_wipe_everything_fails),
		cmocka_unit_test(file_keys_outlive_their_handle),
		cmocka_unit_test(wipe_stops_running_threads),
	};

	return cmocka_run_group_tests(tests, lock_memory, NULL);
}
