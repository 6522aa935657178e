/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded keyring, and data keys under it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/keyring_file.h"
#include "kms/kms.h"

struct fixture {
	char directory[64];
	char path[96];
	char uri[128];
	struct kms *kms;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct kms_options options = { .key_timeout_ms = 2000 };

	assert_non_null(fixture);
	(void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test_keyring.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	(void)snprintf(fixture->path, sizeof(fixture->path), "%s/ring", fixture->directory);
	(void)snprintf(fixture->uri, sizeof(fixture->uri), "keyring://%s#default", fixture->path);
	assert_int_equal(kms_open(&options, &fixture->kms, NULL), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char lock[128];

	kms_close(fixture->kms);
	(void)snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
	unlink(lock);
	unlink(fixture->path);
	assert_int_equal(rmdir(fixture->directory), 0);
	free(fixture);
	return 0;
}

static void add_kek(struct fixture *fixture, const char *uri)
{
	struct kms_config config = { .uri = uri };

	assert_int_equal(kms_add_key(fixture->kms, &config, NULL), 0);
}

/* A keyring with the key "default", allowed; and a DEK under it with an authenticated record. */
static void make_dek(struct fixture *fixture, struct key_record *ret_record, struct dek **ret_dek)
{
	struct dek_request request = { .uri = fixture->uri, .context.volume.bytes = { 1 } };

	assert_int_equal(keyring_file_init(fixture->path, "default", NULL, NULL), 0);
	add_kek(fixture, fixture->uri);
	assert_int_equal(kms_create_dek(fixture->kms, &request, ret_record, ret_dek, NULL), 0);
	ret_record->generation = 1;
	assert_int_equal(kms_authenticate_record(*ret_dek, ret_record), 0);
}

static int unwrap(struct fixture *fixture, const struct key_record *record,
		  struct kms_error *reterr)
{
	struct dek *dek = NULL;
	int r = kms_unwrap_dek(fixture->kms, record, &dek, NULL, reterr);

	dek_put(dek);
	return r;
}

static void a_keyring_is_never_overwritten(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(keyring_file_init(fixture->path, "a", NULL, NULL), 0);
	assert_int_equal(keyring_file_init(fixture->path, "b", NULL, NULL), -EEXIST);
	assert_int_equal(keyring_file_add(fixture->path, "a", NULL, NULL), -EEXIST);
	assert_int_equal(keyring_file_add(fixture->path, "no/slash", NULL, NULL), -EINVAL);
}

static void a_keyring_open_to_others_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct keyring_info info;

	assert_int_equal(keyring_file_init(fixture->path, "a", NULL, NULL), 0);
	assert_int_equal(chmod(fixture->path, 0640), 0);
	assert_int_equal(keyring_file_list(fixture->path, &info, NULL), -EPERM);
}

static void a_dek_opens_with_its_keyring_only_while_the_key_is_enabled(void **state)
{
	struct fixture *fixture = *state;
	struct key_record record = { 0 };
	struct kms_error error;
	struct dek *dek = NULL;

	make_dek(fixture, &record, &dek);
	assert_int_equal(unwrap(fixture, &record, &error), 0);
	assert_int_equal(keyring_file_set_state(fixture->path, "default", KEY_STATE_DISABLED, NULL),
			 0);
	assert_int_equal(unwrap(fixture, &record, &error), -EKEYREVOKED);
	assert_int_equal(error.state, KEY_STATE_DISABLED);
	assert_non_null(strstr(error.advice, "keyring enable"));
	assert_int_equal(kms_probe(fixture->kms, &record, NULL, &error), -EKEYREVOKED);
	assert_int_equal(keyring_file_set_state(fixture->path, "default", KEY_STATE_ENABLED, NULL),
			 0);
	assert_int_equal(unwrap(fixture, &record, &error), 0);
	assert_int_equal(keyring_file_set_state(fixture->path, "default", KEY_STATE_DELETED, NULL),
			 0);
	assert_int_equal(unwrap(fixture, &record, &error), -ENOKEY);
	assert_int_equal(error.state, KEY_STATE_DELETED);
	assert_int_equal(keyring_file_set_state(fixture->path, "default", KEY_STATE_ENABLED, NULL),
			 -ENOKEY);
	assert_int_equal(keyring_file_add(fixture->path, "default", NULL, NULL), -EEXIST);
	key_record_free(&record);
	dek_put(dek);
}

static void a_missing_keyring_file_counts_as_unreachable(void **state)
{
	struct fixture *fixture = *state;
	struct key_record record = { 0 };
	struct kms_error error;
	struct dek *dek = NULL;

	make_dek(fixture, &record, &dek);
	assert_int_equal(unlink(fixture->path), 0);
	assert_int_equal(unwrap(fixture, &record, &error), -EHOSTUNREACH);
	assert_int_equal(error.state, KEY_STATE_UNREACHABLE);
	key_record_free(&record);
	dek_put(dek);
}

static void a_slot_moved_to_another_snapshot_is_rejected(void **state)
{
	struct fixture *fixture = *state;
	struct key_record record = { 0 };
	struct dek *dek = NULL;

	make_dek(fixture, &record, &dek);
	record.snapshot.bytes[0] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), -EKEYREJECTED);
	key_record_free(&record);
	dek_put(dek);
}

static void a_changed_slot_table_is_rejected(void **state)
{
	struct fixture *fixture = *state;
	struct key_record record = { 0 };
	struct dek *dek = NULL;

	make_dek(fixture, &record, &dek);
	record.mac[5] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), -EKEYREJECTED);
	record.mac[5] ^= 1;
	record.commitment[0] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), -EKEYREJECTED);
	record.commitment[0] ^= 1;
	record.slots[0].capsule[7] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), -EKEYREJECTED);
	record.slots[0].capsule[7] ^= 1;
	record.slots[0].wrapped[20] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), -EKEYREJECTED);
	record.slots[0].wrapped[20] ^= 1;
	assert_int_equal(unwrap(fixture, &record, NULL), 0);
	key_record_free(&record);
	dek_put(dek);
}

static void a_key_that_nothing_here_names_is_not_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct kms_options options = { 0 };
	struct key_record record = { 0 };
	struct kms_error error;
	struct kms *other = NULL;
	struct dek *dek = NULL;

	make_dek(fixture, &record, &dek);
	dek_put(dek);
	dek = NULL;
	assert_int_equal(kms_open(&options, &other, NULL), 0);
	assert_int_equal(kms_unwrap_dek(other, &record, &dek, NULL, &error), -ENOKEY);
	assert_int_equal(error.state, KEY_STATE_UNKNOWN);
	assert_non_null(strstr(error.advice, "--keyring"));
	kms_close(other);
	key_record_free(&record);
}

static void a_passphrase_protects_the_keys(void **state)
{
	struct fixture *fixture = *state;
	struct keyring_unlock unlock = { 0 };
	struct keyring_unlock wrong = { 0 };
	struct secret *right_text = NULL, *wrong_text = NULL, *key = NULL;
	struct keyring_found found;

	assert_int_equal(secret_copy(bytes_from_text("correct horse"), &right_text), 0);
	assert_int_equal(secret_copy(bytes_from_text("wrong"), &wrong_text), 0);
	unlock.passphrase = right_text;
	wrong.passphrase = wrong_text;
	assert_int_equal(keyring_file_init(fixture->path, "a", &unlock, NULL), 0);
	assert_int_equal(keyring_file_key(fixture->path, "a", &unlock, &found, &key, NULL), 0);
	secret_drop(key);
	key = NULL;
	assert_int_equal(keyring_file_key(fixture->path, "a", &wrong, &found, &key, NULL),
			 -EKEYREJECTED);
	assert_int_equal(keyring_file_key(fixture->path, "a", NULL, &found, &key, NULL),
			 -EKEYEXPIRED);
	assert_null(key);
	keyring_unlock_wipe(&unlock);
	keyring_unlock_wipe(&wrong);
	secret_drop(right_text);
	secret_drop(wrong_text);
}

static void rewrapping_moves_to_another_key(void **state)
{
	struct fixture *fixture = *state;
	struct key_record record = { 0 };
	struct dek *dek = NULL;
	char second[160];

	make_dek(fixture, &record, &dek);
	assert_int_equal(keyring_file_add(fixture->path, "second", NULL, NULL), 0);
	(void)snprintf(second, sizeof(second), "keyring://%s#second", fixture->path);
	add_kek(fixture, second);
	assert_int_equal(kms_rewrap_slot(fixture->kms, dek, second, 0, &record, NULL), 0);
	assert_int_equal(record.generation, 2);
	assert_int_equal(record.slot_count, 1);
	assert_non_null(strstr(record.slots[0].key_id, "#second"));
	assert_int_equal(keyring_file_set_state(fixture->path, "default", KEY_STATE_DELETED, NULL),
			 0);
	assert_int_equal(unwrap(fixture, &record, NULL), 0);
	key_record_free(&record);
	dek_put(dek);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_keyring_is_never_overwritten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_keyring_open_to_others_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_dek_opens_with_its_keyring_only_while_the_key_is_enabled, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_missing_keyring_file_counts_as_unreachable,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_slot_moved_to_another_snapshot_is_rejected,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_changed_slot_table_is_rejected, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_key_that_nothing_here_names_is_not_asked_for,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_passphrase_protects_the_keys, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rewrapping_moves_to_another_key, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
