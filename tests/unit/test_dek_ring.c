/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and making data keys in the background. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/dek_ring.h"
#include "kms/keyring_file.h"

struct fixture {
	char directory[64];
	char path[96];
	char uri[128];
	struct kms *kms;
	struct dek_ring *ring;
	struct key_record record; /* what load() hands out, as text */
	char *line;
	atomic_int loads;
	pthread_mutex_t lock;
	pthread_cond_t called_back;
	int callbacks;
	int outcome;
};

static int load(void *arg, const struct uuid *dek_id, struct key_record *ret_record,
		struct kms_error *reterr)
{
	struct fixture *fixture = arg;

	atomic_fetch_add(&fixture->loads, 1);
	usleep(20000);
	if (!uuid_equal(dek_id, &fixture->record.dek))
		return kms_fail(reterr, -ENOENT, KEY_STATE_UNKNOWN, "no such key record");
	return key_record_decode(bytes_from_text(fixture->line), ret_record);
}

static void start_ring(struct fixture *fixture)
{
	struct dek_ring_options options = {
		.kms = fixture->kms, .load = load, .arg = fixture, .failure_ttl_ms = 300
	};

	assert_int_equal(dek_ring_create(&options, &fixture->ring), 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct kms_options options = { .key_timeout_ms = 500 };
	struct dek_request request = { .context.volume.bytes = { 7 } };
	struct kms_config config = { 0 };
	struct dek *dek = NULL;

	assert_non_null(fixture);
	(void)snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test_dek_ring.XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	(void)snprintf(fixture->path, sizeof(fixture->path), "%s/ring", fixture->directory);
	(void)snprintf(fixture->uri, sizeof(fixture->uri), "keyring://%s#default", fixture->path);
	pthread_mutex_init(&fixture->lock, NULL);
	pthread_cond_init(&fixture->called_back, NULL);
	assert_int_equal(kms_open(&options, &fixture->kms, NULL), 0);
	assert_int_equal(keyring_file_init(fixture->path, "default", NULL, NULL), 0);
	config.uri = request.uri = fixture->uri;
	assert_int_equal(kms_add_key(fixture->kms, &config, NULL), 0);
	assert_int_equal(kms_create_dek(fixture->kms, &request, &fixture->record, &dek, NULL), 0);
	fixture->record.generation = 1;
	assert_int_equal(kms_authenticate_record(dek, &fixture->record), 0);
	assert_int_equal(key_record_encode(&fixture->record, &fixture->line), 0);
	dek_put(dek);
	start_ring(fixture);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	char lock[128];

	dek_ring_free(fixture->ring);
	key_record_free(&fixture->record);
	free(fixture->line);
	kms_close(fixture->kms);
	(void)snprintf(lock, sizeof(lock), "%s.lock", fixture->path);
	unlink(lock);
	unlink(fixture->path);
	assert_int_equal(rmdir(fixture->directory), 0);
	free(fixture);
	return 0;
}

static void ready(void *arg, int outcome)
{
	struct fixture *fixture = arg;

	pthread_mutex_lock(&fixture->lock);
	fixture->callbacks++;
	fixture->outcome = outcome;
	pthread_cond_signal(&fixture->called_back);
	pthread_mutex_unlock(&fixture->lock);
}

static int wait_for_callbacks(struct fixture *fixture, int count)
{
	pthread_mutex_lock(&fixture->lock);
	while (fixture->callbacks < count)
		pthread_cond_wait(&fixture->called_back, &fixture->lock);
	pthread_mutex_unlock(&fixture->lock);
	return fixture->outcome;
}

static void set_state(struct fixture *fixture, enum key_state state)
{
	assert_int_equal(keyring_file_set_state(fixture->path, "default", state, NULL), 0);
}

static void a_dek_is_opened_once_for_all_who_ask(void **state)
{
	struct fixture *fixture = *state;
	struct dek *dek = NULL;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -EAGAIN);
		dek_ring_wait(fixture->ring, &fixture->record.dek, ready, fixture);
	}
	assert_int_equal(wait_for_callbacks(fixture, 10), 0);
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), 0);
	assert_true(uuid_equal(dek_id(dek), &fixture->record.dek));
	dek_put(dek);
	assert_int_equal(fixture->loads, 1);
}

static void a_failure_is_remembered_for_a_while(void **state)
{
	struct fixture *fixture = *state;
	struct kms_error error;
	struct dek *dek = NULL;

	set_state(fixture, KEY_STATE_DISABLED);
	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, &error),
			 -EKEYREVOKED);
	assert_int_equal(error.state, KEY_STATE_DISABLED);
	set_state(fixture, KEY_STATE_ENABLED);
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -EKEYREVOKED);
	assert_true(dek_ring_failure(fixture->ring, &fixture->record.dek, &error));
	assert_int_equal(fixture->loads, 1);
	usleep(350000);
	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, &error), 0);
	dek_put(dek);
	assert_int_equal(fixture->loads, 2);
}

static void forgetting_failures_asks_again_at_once(void **state)
{
	struct fixture *fixture = *state;
	struct dek *dek = NULL;

	set_state(fixture, KEY_STATE_DISABLED);
	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, NULL),
			 -EKEYREVOKED);
	set_state(fixture, KEY_STATE_ENABLED);
	dek_ring_forget_failures(fixture->ring);
	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, NULL), 0);
	dek_put(dek);
}

static void a_revoked_dek_stays_revoked_until_it_is_restored(void **state)
{
	struct fixture *fixture = *state;
	struct dek *dek = NULL;
	uint8_t commitment[DEK_MAC_SIZE];

	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, NULL), 0);
	dek_ring_revoke(fixture->ring, &fixture->record.dek, KEY_STATE_DELETED);
	assert_true(dek_commitment(dek, commitment) < 0);
	dek_put(dek);
	dek = NULL;
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -ENOKEY);
	usleep(350000);
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -ENOKEY);
	dek_ring_restore(fixture->ring, &fixture->record.dek);
	assert_int_equal(dek_ring_get(fixture->ring, &fixture->record.dek, &dek, NULL), 0);
	dek_put(dek);
}

static void one_spare_works_while_the_service_is_down(void **state)
{
	struct fixture *fixture = *state;
	struct dek_request request = { .uri = fixture->uri, .context.volume.bytes = { 7 } };
	const struct uuid ticket = { { 7 } };
	struct key_record first = { 0 }, second = { 0 };
	struct dek *dek = NULL;

	assert_int_equal(dek_ring_keep_spares(fixture->ring, &ticket, &request, 1), 0);
	dek_ring_wait(fixture->ring, &ticket, ready, fixture);
	assert_int_equal(wait_for_callbacks(fixture, 1), 0);
	set_state(fixture, KEY_STATE_DISABLED);
	assert_int_equal(dek_ring_take(fixture->ring, &ticket, &request, &first, &dek), 0);
	assert_false(uuid_is_zero(&first.snapshot));
	dek_put(dek);
	dek = NULL;
	assert_int_equal(dek_ring_take_blocking(fixture->ring, &ticket, &request, &second, &dek,
						NULL),
			 -EKEYREVOKED);
	set_state(fixture, KEY_STATE_ENABLED);
	dek_ring_forget_failures(fixture->ring);
	assert_int_equal(
		dek_ring_take_blocking(fixture->ring, &ticket, &request, &second, &dek, NULL), 0);
	assert_false(uuid_equal(&first.snapshot, &second.snapshot));
	dek_put(dek);
	key_record_free(&first);
	key_record_free(&second);
}

static void a_withdrawn_key_takes_the_spares_with_it(void **state)
{
	struct fixture *fixture = *state;
	struct dek_request request = { .uri = fixture->uri, .context.volume.bytes = { 7 } };
	const struct uuid ticket = { { 7 } };
	struct key_record probed = { 0 }, record = { 0 };
	char key_id[KEY_ID_SIZE];
	struct dek *dek = NULL;
	struct kms_error error;

	assert_false(dek_ring_made_record(fixture->ring, 0, &probed));
	assert_int_equal(dek_ring_keep_spares(fixture->ring, &ticket, &request, 1), 0);
	dek_ring_wait(fixture->ring, &ticket, ready, fixture);
	assert_int_equal(wait_for_callbacks(fixture, 1), 0);
	assert_true(dek_ring_made_record(fixture->ring, 0, &probed));
	assert_false(dek_ring_made_record(fixture->ring, 1, &record));
	assert_int_equal(kms_probe(fixture->kms, &probed, NULL, NULL), 0);
	strcpy(key_id, key_record_primary(&probed)->key_id);
	key_record_free(&probed);

	dek_ring_revoke_made(fixture->ring, "another key", KEY_STATE_DISABLED);
	assert_true(dek_ring_made_record(fixture->ring, 0, &probed));
	key_record_free(&probed);
	dek_ring_revoke_made(fixture->ring, key_id, KEY_STATE_DISABLED);
	assert_false(dek_ring_made_record(fixture->ring, 0, &probed));
	assert_int_equal(dek_ring_take(fixture->ring, &ticket, &request, &record, &dek),
			 -EKEYREVOKED);
	assert_true(dek_ring_failure(fixture->ring, &ticket, &error));
	assert_int_equal(error.state, KEY_STATE_DISABLED);

	/* The spare comes back by itself. */
	dek_ring_restore_made(fixture->ring, key_id);
	dek_ring_wait(fixture->ring, &ticket, ready, fixture);
	assert_int_equal(wait_for_callbacks(fixture, 2), 0);
	assert_true(dek_ring_made_record(fixture->ring, 0, &probed));
	key_record_free(&probed);
}

static void a_dek_given_back_while_it_is_opened_is_opened_once(void **state)
{
	struct fixture *fixture = *state;
	struct dek *dek = NULL;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -EAGAIN);
		dek_ring_revoke(fixture->ring, &fixture->record.dek, KEY_STATE_DISABLED);
		dek_ring_restore(fixture->ring, &fixture->record.dek);
	}
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -EAGAIN);
	dek_ring_wait(fixture->ring, &fixture->record.dek, ready, fixture);
	assert_int_equal(wait_for_callbacks(fixture, 1), 0);
	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), 0);
	dek_put(dek);
	assert_int_equal(fixture->loads, 1);
}

static void waiters_are_called_back_when_the_ring_goes_away(void **state)
{
	struct fixture *fixture = *state;
	struct dek *dek = NULL;

	assert_int_equal(dek_ring_try(fixture->ring, &fixture->record.dek, &dek), -EAGAIN);
	dek_ring_wait(fixture->ring, &fixture->record.dek, ready, fixture);
	dek_ring_free(fixture->ring);
	assert_int_equal(fixture->callbacks, 1);
	start_ring(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_dek_is_opened_once_for_all_who_ask, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_remembered_for_a_while, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(forgetting_failures_asks_again_at_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_revoked_dek_stays_revoked_until_it_is_restored,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_spare_works_while_the_service_is_down, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_withdrawn_key_takes_the_spares_with_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_dek_given_back_while_it_is_opened_is_opened_once,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiters_are_called_back_when_the_ring_goes_away,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
