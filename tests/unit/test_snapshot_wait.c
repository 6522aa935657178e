/* SPDX-License-Identifier: Apache-2.0 */
/* A mount's threads do not wait for keys: they are told to, and find nothing changed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/keyring_file.h"
#include "meta/records/identity.h"
#include "meta/records/seal_record.h"
#include "tests/unit/volume_fixture.h"

static int set_up(void **state)
{
	struct volume_fixture *fixture = volume_fixture_new();

	volume_fixture_init(fixture);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	volume_fixture_free(*state);
	return 0;
}

struct waiting {
	pthread_mutex_t mutex;
	pthread_cond_t is_ready;
	bool has_outcome;
	int outcome;
};

static void wake(void *arg, int outcome)
{
	struct waiting *waiting = arg;

	pthread_mutex_lock(&waiting->mutex);
	waiting->has_outcome = true;
	waiting->outcome = outcome;
	pthread_cond_signal(&waiting->is_ready);
	pthread_mutex_unlock(&waiting->mutex);
}

static void wait_for_key(struct volume_fixture *fixture)
{
	struct waiting waiting = { .mutex = PTHREAD_MUTEX_INITIALIZER,
				   .is_ready = PTHREAD_COND_INITIALIZER };

	dek_ring_wait(store_deks(fixture->store), store_wanted_dek(), wake, &waiting);
	pthread_mutex_lock(&waiting.mutex);
	while (!waiting.has_outcome)
		pthread_cond_wait(&waiting.is_ready, &waiting.mutex);
	pthread_mutex_unlock(&waiting.mutex);
	assert_int_equal(waiting.outcome, 0);
}

static void a_mount_is_told_to_wait_and_has_changed_nothing(void **state)
{
	struct volume_fixture *fixture = *state;
	struct store_options options = { .access = STORE_WRITE };
	struct snapshot *snapshot;
	struct dek *dek = NULL;

	volume_fixture_close(fixture);
	assert_int_equal(volume_fixture_open_with(fixture, &options), 0);
	assert_int_equal(snapshot_create(fixture->store, fixture->backing_fd, "monday", "monday",
					 0755),
			 -EAGAIN);
	assert_true(uuid_equal(store_wanted_dek(), &fixture->record.volume));
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/keys"), 0);
	wait_for_key(fixture);
	snapshot = volume_fixture_snapshot(fixture, "monday");
	snapshot_put(snapshot);

	volume_fixture_close(fixture);
	assert_int_equal(volume_fixture_open_with(fixture, &options), 0);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(snapshot_may_write(snapshot), -EAGAIN);
	assert_true(uuid_equal(store_wanted_dek(), snapshot_dek_id(snapshot)));
	wait_for_key(fixture);
	assert_int_equal(snapshot_may_write(snapshot), 0);
	assert_int_equal(snapshot_name_dek(snapshot, &dek), 0);
	dek_put(dek);
	snapshot_put(snapshot);
}

static void a_spare_key_makes_a_snapshot_while_the_service_is_down(void **state)
{
	struct volume_fixture *fixture = *state;
	struct store_options options = { .access = STORE_WRITE, .spare_keys = 1 };
	char from[96];
	char to[128];
	int r = -EAGAIN;

	volume_fixture_close(fixture);
	assert_int_equal(volume_fixture_open_with(fixture, &options), 0);
	/* The first one proves that the spare was made; another is being made behind it. */
	r = snapshot_create(fixture->store, fixture->backing_fd, "sunday", "sunday", 0755);
	if (r == -EAGAIN) {
		wait_for_key(fixture);
		r = snapshot_create(fixture->store, fixture->backing_fd, "sunday", "sunday", 0755);
	}
	assert_int_equal(r, 0);
	for (int i = 0; i < 100; i++) {
		/* Until the spare has been replaced. */
		usleep(10000);
	}
	snprintf(from, sizeof(from), "%s/keyring", fixture->path);
	snprintf(to, sizeof(to), "%s/keyring.away", fixture->path);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(
		snapshot_create(fixture->store, fixture->backing_fd, "monday", "monday", 0755), 0);
	assert_int_equal(rename(to, from), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_mount_is_told_to_wait_and_has_changed_nothing),
		TEST(a_spare_key_makes_a_snapshot_while_the_service_is_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
