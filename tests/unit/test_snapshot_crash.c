/* SPDX-License-Identifier: Apache-2.0 */
/* Making a volume and a snapshot, ended at every call that changes or syncs anything: what is left is usable. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/records/identity.h"
#include "tests/unit/volume_fixture.h"

/* ---- Calls that change something ------------------------------------------------------------------------------- */

static unsigned calls;
static unsigned die_at; /* end the process in front of this call; 0: never */

static void call_begins(void)
{
	if (++calls == die_at)
		_exit(42);
}

int fsync(int fd)
{
	call_begins();
	return (int)syscall(SYS_fsync, fd);
}

int mkdirat(int fd, const char *name, mode_t mode)
{
	call_begins();
	return (int)syscall(SYS_mkdirat, fd, name, mode);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	call_begins();
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	call_begins();
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int unlinkat(int fd, const char *name, int flags)
{
	call_begins();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	*state = volume_fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	volume_fixture_free(*state);
	return 0;
}

/* Run WORK in a process that ends in front of call NUMBER.  True: it came to its end. */
static bool run_until(struct volume_fixture *fixture, int (*work)(struct volume_fixture *fixture),
		      unsigned number)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		calls = 0;
		die_at = number;
		_exit(work(fixture) < 0 ? 1 : 0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 42)
		fail_msg("call %u: the work failed", number);
	return WEXITSTATUS(status) == 0;
}

static int make_volume(struct volume_fixture *fixture)
{
	const struct volume_record settings = volume_fixture_settings(fixture);
	const struct store_init_options options = {
		.trust = fixture->trust,
		.settings = &settings,
		.backing = fixture->backing_path,
	};

	return store_init(fixture->backing_fd, &options, &fixture->record, &fixture->error);
}

static int make_snapshot(struct volume_fixture *fixture)
{
	int r = volume_fixture_open(fixture, STORE_WRITE, NULL);

	return r < 0 ? r
		     : snapshot_create(fixture->store, fixture->backing_fd, "night", "night", 0755);
}

static int check_state(void *arg, struct snapshot *snapshot, int fd)
{
	unsigned *count = arg;
	struct dek *dek = NULL;

	(void)fd;
	(*count)++;
	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN)
		fail_msg("%s is there without an identity", snapshot_name(snapshot));
	/* And its key is there. */
	assert_int_equal(snapshot_write_dek(snapshot, &dek), 0);
	dek_put(dek);
	return 0;
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void an_interrupted_init_is_no_volume_and_can_be_run_again(void **state)
{
	struct volume_fixture *fixture = *state;
	unsigned number = 1;

	while (!run_until(fixture, make_volume, number)) {
		int r = volume_fixture_open(fixture, STORE_WRITE, NULL);

		if (r == 0) {
			/* Only the syncs behind the record were missing. */
			volume_fixture_close(fixture);
			break;
		}
		assert_int_equal(r, -ENOMEDIUM);
		number++;
	}
	assert_true(number > 10);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
}

static void an_interrupted_mkdir_leaves_all_or_nothing(void **state)
{
	struct volume_fixture *fixture = *state;
	unsigned number = 1;
	bool is_done = false;

	volume_fixture_init(fixture);
	while (!is_done) {
		unsigned count = 0;
		struct snapshot *snapshot;

		is_done = run_until(fixture, make_snapshot, number++);
		if (volume_fixture_open(fixture, STORE_WRITE, NULL) < 0)
			fail_msg("call %u: %s", number - 1, fixture->error.text);
		assert_int_equal(snapshot_each(fixture->store, check_state, &count), 0);
		assert_true(count <= 1);
		assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/tmp"), 0);
		if (count == 1) {
			snapshot = volume_fixture_enter(fixture, "night");
			snapshot_put(snapshot);
			break;
		}
		/* Nothing of the attempt is left beside it. */
		assert_int_equal(volume_fixture_count(fixture, "."), 2);
		volume_fixture_close(fixture);
	}
	assert_true(number > 10);
}

static void a_snapshot_belongs_to_whom_the_thread_works_for(void **state)
{
	struct volume_fixture *fixture = *state;
	struct stat st;
	int r;

	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		return;
	}
	volume_fixture_init(fixture);
	assert_int_equal(fchmod(fixture->backing_fd, 0777), 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	setfsgid(23456);
	setfsuid(12345);
	r = snapshot_create(fixture->store, fixture->backing_fd, "night", "night", 0700);
	assert_int_equal(setfsuid(0), 12345);
	assert_int_equal(setfsgid(0), 23456);
	assert_int_equal(r, 0);
	assert_int_equal(fstatat(fixture->backing_fd, "night", &st, 0), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 23456);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(fixture->backing_fd, "night/" IDENTITY_FILE, &st, 0), 0);
	assert_int_equal(st.st_uid, 0);
	/* Where the thread's user may not write, neither does snapshot_create(). */
	assert_int_equal(fchmod(fixture->backing_fd, 0755), 0);
	setfsuid(12345);
	r = snapshot_create(fixture->store, fixture->backing_fd, "other", "other", 0700);
	setfsuid(0);
	assert_int_equal(r, -EACCES);
	assert_int_equal(volume_fixture_count(fixture, "."), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_interrupted_init_is_no_volume_and_can_be_run_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_interrupted_mkdir_leaves_all_or_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_snapshot_belongs_to_whom_the_thread_works_for,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
