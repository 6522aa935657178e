/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan counts as needed: what would have to be opened, and nothing that is only said about it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/store/need_scan.h"
#include "meta/encoding.h"
#include "meta/format/header.h"
#include "meta/format/sealed_value.h"
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

static struct need_list scan_as(struct volume_fixture *fixture, struct trust *trust)
{
	struct need_list list = { 0 };

	if (need_scan(fixture->backing_fd, trust, &list, &fixture->error) < 0)
		fail_msg("%s", fixture->error.text);
	assert_true(list.is_stable);
	return list;
}

/* The snapshots that need a data key, each once, joined by blanks in the order of their names. */
static void expect_needs(struct volume_fixture *fixture, const char *expected)
{
	struct need_list list = scan_as(fixture, fixture->trust);
	char found[512] = "";
	const struct need_use *last = NULL;

	for (size_t i = 0; i < list.use_count; i++) {
		if (list.uses[i].role != SLOT_PRIMARY ||
		    (last && last->snapshot == list.uses[i].snapshot))
			continue;
		last = &list.uses[i];
		snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s",
			 found[0] ? " " : "", list.snapshots[last->snapshot].name);
	}
	need_list_free(&list);
	assert_string_equal(found, expected);
}

/* How many data keys the snapshot NAME needs. */
static uint64_t dek_count(struct volume_fixture *fixture, const char *name)
{
	struct need_list list = scan_as(fixture, fixture->trust);
	uint64_t count = 0;

	for (size_t i = 0; i < list.use_count; i++)
		if (strcmp(list.snapshots[list.uses[i].snapshot].name, name) == 0)
			count += list.uses[i].dek_count;
	need_list_free(&list);
	return count;
}

static struct uuid make(struct volume_fixture *fixture, const char *name)
{
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, name);
	const struct uuid dek = *snapshot_dek_id(snapshot);

	snapshot_put(snapshot);
	return dek;
}

static void write_bytes_to(struct volume_fixture *fixture, const char *name, const void *data,
			   size_t size)
{
	const int fd = openat(fixture->backing_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			      0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	close(fd);
}

/* A file that says it is under DEK; nobody checks a MAC without a key. */
static void write_file(struct volume_fixture *fixture, const char *name, const struct uuid *dek)
{
	struct header header = { .algorithm = 1, .block_size_log2 = 12, .dek = *dek };
	uint8_t data[156] = { 0 };

	header.volume = fixture->record.volume;
	header_encode(&header, data);
	write_bytes_to(fixture, name, data, sizeof(data));
}

static size_t sealed_value(const struct uuid *dek, uint8_t value[static 64])
{
	memset(value, 0, 64);
	sealed_value_encode_head(dek, value);
	return SEALED_VALUE_OVERHEAD + 4;
}

static void remove_snapshot(struct volume_fixture *fixture, const char *name)
{
	char identity[128];

	snprintf(identity, sizeof(identity), "%s/.snapcrypt-id", name);
	assert_int_equal(unlinkat(fixture->backing_fd, identity, 0), 0);
	assert_int_equal(unlinkat(fixture->backing_fd, name, AT_REMOVEDIR), 0);
}

static void mark_needed(struct volume_fixture *fixture, const struct uuid *dek,
			const struct uuid *snapshot)
{
	char dek_text[UUID_TEXT_SIZE];
	char snapshot_text[UUID_TEXT_SIZE];
	char path[256];

	uuid_format(dek, dek_text);
	uuid_format(snapshot, snapshot_text);
	snprintf(path, sizeof(path), ".snapcrypt/keys/%s/needed-by", dek_text);
	assert_int_equal(mkdirat(fixture->backing_fd, path, 0700), 0);
	snprintf(path, sizeof(path), ".snapcrypt/keys/%s/needed-by/%s", dek_text, snapshot_text);
	write_bytes_to(fixture, path, "", 0);
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

static void a_snapshot_needs_its_own_key_for_its_names(void **state)
{
	struct volume_fixture *fixture = *state;

	expect_needs(fixture, "");
	make(fixture, "a");
	make(fixture, "b");
	expect_needs(fixture, "a b");
	remove_snapshot(fixture, "a");
	expect_needs(fixture, "b");
}

static void the_header_of_a_file_decides(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct uuid dek = make(fixture, "a");

	make(fixture, "b");
	remove_snapshot(fixture, "a");
	assert_int_equal(mkdirat(fixture->backing_fd, "b/deep", 0755), 0);
	write_file(fixture, "b/deep/file", &dek);
	assert_int_equal(dek_count(fixture, "b"), 2);
	assert_int_equal(unlinkat(fixture->backing_fd, "b/deep/file", 0), 0);
	assert_int_equal(dek_count(fixture, "b"), 1);
}

static void symlink_targets_and_attributes_decide(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct uuid first = make(fixture, "a");
	const struct uuid second = make(fixture, "b");
	uint8_t value[64];
	char target[BASE64URL_TEXT_SIZE(64)];
	size_t size = sealed_value(&first, value);

	make(fixture, "c");
	remove_snapshot(fixture, "a");
	remove_snapshot(fixture, "b");
	base64url_encode((struct bytes){ value, size }, target);
	assert_int_equal(symlinkat(target, fixture->backing_fd, "c/link"), 0);
	assert_int_equal(dek_count(fixture, "c"), 2);
	assert_int_equal(mkdirat(fixture->backing_fd, "c/directory", 0755), 0);
	size = sealed_value(&second, value);
	{
		const int fd = openat(fixture->backing_fd, "c/directory", O_RDONLY | O_CLOEXEC);

		assert_int_equal(fsetxattr(fd, "user.snapcrypt.x.name", value, size, 0), 0);
		close(fd);
	}
	assert_int_equal(dek_count(fixture, "c"), 3);
}

static void neither_markers_nor_index_attributes_count(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct uuid dek = make(fixture, "a");
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "b");
	char text[UUID_TEXT_SIZE];
	int fd = -1;

	mark_needed(fixture, &dek, snapshot_id(snapshot));
	write_file(fixture, "b/file", snapshot_dek_id(snapshot));
	uuid_format(&dek, text);
	fd = openat(fixture->backing_fd, "b/file", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fsetxattr(fd, "user.snapcrypt.data_key_id", text, strlen(text), 0), 0);
	close(fd);
	snapshot_put(snapshot);
	remove_snapshot(fixture, "a");
	assert_int_equal(dek_count(fixture, "b"), 1);
}

static void what_does_not_say_its_key_is_counted(void **state)
{
	struct volume_fixture *fixture = *state;
	uint8_t nonsense[200];
	struct need_list list;

	memset(nonsense, 'x', sizeof(nonsense));
	make(fixture, "a");
	/* An identity that cannot be told: a directory of somebody else's. */
	assert_int_equal(mkdirat(fixture->backing_fd, "foreign", 0755), 0);
	write_bytes_to(fixture, "foreign/plain", nonsense, sizeof(nonsense));
	assert_int_equal(symlinkat("somewhere", fixture->backing_fd, "foreign/link"), 0);
	/* Not begun, and a sidecar. */
	write_bytes_to(fixture, "a/short", nonsense, 100);
	write_bytes_to(fixture, "a/=0123456789012345678901234567890123456789012.name", nonsense,
		       sizeof(nonsense));
	list = scan_as(fixture, fixture->trust);
	assert_true(need_list_is_complete(&list));
	need_list_free(&list);
	write_bytes_to(fixture, "a/file", nonsense, sizeof(nonsense));
	assert_int_equal(symlinkat("somewhere", fixture->backing_fd, "a/link"), 0);
	list = scan_as(fixture, fixture->trust);
	assert_int_equal(list.damaged_count, 2);
	assert_false(need_list_is_complete(&list));
	need_list_free(&list);
}

static void a_data_key_without_record_leaves_a_doubt(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct uuid unknown = { .bytes = { 7 } };
	struct need_list list;

	make(fixture, "a");
	write_file(fixture, "a/file", &unknown);
	list = scan_as(fixture, fixture->trust);
	assert_int_equal(list.unusable_count, 1);
	need_list_free(&list);
	/* Where nothing is encrypted it is a copy of something else. */
	assert_int_equal(unlinkat(fixture->backing_fd, "a/file", 0), 0);
	assert_int_equal(mkdirat(fixture->backing_fd, "foreign", 0755), 0);
	write_file(fixture, "foreign/file", &unknown);
	list = scan_as(fixture, fixture->trust);
	assert_true(need_list_is_complete(&list));
	need_list_free(&list);
}

/* ---- Streams, seals, records ------------------------------------------------------------------------------------- */

static void a_stream_needs_its_running_period_and_what_its_files_name(void **state)
{
	struct volume_fixture *fixture = *state;
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct snapshot *stream = NULL;

	assert_int_equal(snapshot_create_stream(fixture->store, fixture->backing_fd, "wal", "wal",
						0755, 3600),
			 0);
	expect_needs(fixture, "");
	stream = volume_fixture_enter(fixture, "wal");
	assert_int_equal(snapshot_write_dek(stream, &dek), 0);
	expect_needs(fixture, "wal");
	snapshot_put(stream);
	/* One whose period is over at once. */
	dek_put(TAKE(dek));
	assert_int_equal(snapshot_create_stream(fixture->store, fixture->backing_fd, "short",
						"short", 0755, 1),
			 0);
	stream = volume_fixture_enter(fixture, "short");
	assert_int_equal(snapshot_write_dek(stream, &dek), 0);
	write_file(fixture, "short/segment", dek_id(dek));
	snapshot_put(stream);
	sleep(2);
	expect_needs(fixture, "short wal");
	assert_int_equal(unlinkat(fixture->backing_fd, "short/segment", 0), 0);
	expect_needs(fixture, "wal");
}

static void publish(struct volume_fixture *fixture, const char *name, const char *line,
		    struct trust *trust)
{
	char *text = NULL;

	assert_int_equal(trust_sign(trust, line, &text), 0);
	volume_fixture_write(fixture, name, text);
	free(text);
}

static void seal(struct volume_fixture *fixture, const struct uuid *snapshot,
		 const struct uuid *deks, size_t count)
{
	struct seal_record record = {
		.sequence = 1,
		.volume = fixture->record.volume,
		.snapshot = *snapshot,
		.name = strdup("gone"),
		.sealed_s = 1000,
		.dek = deks[0],
		.deks = calloc(count, sizeof(*deks)),
		.dek_count = count,
	};
	char *line = NULL;

	memcpy(record.deks, deks, count * sizeof(*deks));
	assert_int_equal(seal_record_encode_mac_input(&record), 0);
	assert_int_equal(seal_record_encode(&record, &line), 0);
	publish(fixture, ".snapcrypt/seals/1", line, fixture->trust);
	free(line);
	seal_record_free(&record);
}

static void bury(struct volume_fixture *fixture, const struct uuid *snapshot, struct trust *trust)
{
	char name[] = "gone";
	char reason[] = "test";
	const struct tombstone tombstone = {
		.sequence = 2,
		.volume = fixture->record.volume,
		.snapshot = *snapshot,
		.name = name,
		.reason = reason,
		.seal = 1,
		.has_previous = true,
	};
	char *line = NULL;

	assert_int_equal(tombstone_encode(&tombstone, &line), 0);
	publish(fixture, ".snapcrypt/seals/2", line, trust);
	free(line);
}

static void a_seal_counts_until_a_trusted_tombstone(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	const struct uuid id = *snapshot_id(snapshot);
	const struct uuid deks[] = { *snapshot_dek_id(snapshot), make(fixture, "a") };

	snapshot_put(snapshot);
	remove_snapshot(fixture, "monday");
	remove_snapshot(fixture, "a");
	expect_needs(fixture, "");
	seal(fixture, &id, deks, ARRAY_SIZE(deks));
	expect_needs(fixture, "gone");
	assert_int_equal(dek_count(fixture, "gone"), 2);
	bury(fixture, &id, attacker);
	expect_needs(fixture, "gone");
	bury(fixture, &id, fixture->trust);
	expect_needs(fixture, "");
	trust_close(attacker);
}

static bool names_key(const struct need_list *list, const char *part)
{
	for (size_t i = 0; i < list->use_count; i++)
		if (strstr(list->keys[list->uses[i].key].key_id, part))
			return true;
	return false;
}

static void a_key_record_of_a_stranger_takes_no_key_away(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct trust *stranger = volume_fixture_host(fixture, "stranger", NULL);
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "a");
	struct need_list list;
	char first[128];
	char second[128];

	volume_fixture_key_path(snapshot, "1", first);
	volume_fixture_key_path(snapshot, "2", second);
	volume_fixture_forge(fixture, first, second, "\"generation\":1", "\"generation\":2",
			     attacker);
	volume_fixture_forge(fixture, second, second, "keyring:", "planted:", attacker);
	snapshot_put(snapshot);
	list = scan_as(fixture, fixture->trust);
	assert_true(names_key(&list, "keyring:"));
	assert_false(names_key(&list, "planted:"));
	need_list_free(&list);
	/* Where nobody is trusted, both may be the one. */
	list = scan_as(fixture, stranger);
	assert_true(names_key(&list, "keyring:"));
	assert_true(names_key(&list, "planted:"));
	need_list_free(&list);
	trust_close(attacker);
	trust_close(stranger);
}

static void a_fingerprint_tells_changes(void **state)
{
	struct volume_fixture *fixture = *state;
	struct need_fingerprint before;
	struct need_fingerprint after;

	make(fixture, "a");
	assert_int_equal(
		need_fingerprint(fixture->backing_fd, fixture->trust, &before, &fixture->error), 0);
	expect_needs(fixture, "a");
	assert_int_equal(
		need_fingerprint(fixture->backing_fd, fixture->trust, &after, &fixture->error), 0);
	assert_string_equal(before.text, after.text);
	assert_true(uuid_equal(&before.volume, &fixture->record.volume));
	usleep(20000);
	write_bytes_to(fixture, "a/new", "", 0);
	assert_int_equal(
		need_fingerprint(fixture->backing_fd, fixture->trust, &after, &fixture->error), 0);
	assert_string_not_equal(before.text, after.text);
}

static void deleting_is_refused_where_something_is_unknown(void **state)
{
	struct volume_fixture *fixture = *state;
	struct need_dek *deks = NULL;
	uint8_t nonsense[200];
	size_t count = 0;
	const struct uuid dek = make(fixture, "a");

	assert_int_equal(need_scan_deks(fixture->backing_fd, fixture->trust, &deks, &count,
					&fixture->error),
			 0);
	assert_int_equal(count, 1);
	assert_true(uuid_equal(&deks[0].dek, &dek));
	free(deks);
	memset(nonsense, 'x', sizeof(nonsense));
	write_bytes_to(fixture, "a/file", nonsense, sizeof(nonsense));
	assert_int_equal(need_scan_deks(fixture->backing_fd, fixture->trust, &deks, &count,
					&fixture->error),
			 -EAGAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_needs_its_own_key_for_its_names),
		TEST(the_header_of_a_file_decides),
		TEST(symlink_targets_and_attributes_decide),
		TEST(neither_markers_nor_index_attributes_count),
		TEST(what_does_not_say_its_key_is_counted),
		TEST(a_data_key_without_record_leaves_a_doubt),
		TEST(a_stream_needs_its_running_period_and_what_its_files_name),
		TEST(a_seal_counts_until_a_trusted_tombstone),
		TEST(a_key_record_of_a_stranger_takes_no_key_away),
		TEST(a_fingerprint_tells_changes),
		TEST(deleting_is_refused_where_something_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
