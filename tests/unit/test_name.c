/* SPDX-License-Identifier: Apache-2.0 */
/* Proves fs/store/name.h: backing names, sidecars, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs/store/name.h"
#include "tests/unit/fake_snapshots.h"
#include "tests/unit/temporary.h"

static struct store store;
static struct snapshot snapshot, stream;
static struct place place;

static int set_up(void **state)
{
	fake_store_init(&store, temporary_open());
	fake_snapshot_init(&snapshot, &store, SNAPSHOT_PLAIN_DIRECTORY);
	fake_snapshot_init(&stream, &store, SNAPSHOT_STREAM);
	place = (struct place){ &store, &snapshot, store.root_fd, 1, "s" };
	return 0;
}

static int tear_down(void **state)
{
	fake_store_clear(&store);
	temporary_remove(store.root_fd);
	return 0;
}

static void make_name(char *name, size_t size)
{
	memset(name, 'n', size);
	name[size] = '\0';
}

static bool exists_below(const char *name)
{
	return faccessat(place.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void make_entry(const struct backing_name *backing)
{
	const int fd = openat(place.fd, backing->text, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void sidecar_of(const struct backing_name *backing, char path[static 64])
{
	snprintf(path, 64, "%.44s.name", backing->text);
}

static void write_sidecar(const struct backing_name *backing, const void *data, size_t size)
{
	char path[64];
	int fd;

	sidecar_of(backing, path);
	fd = openat(place.fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void assert_survives(const char *name)
{
	struct backing_name backing, again;
	char plain[256];

	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_int_equal(name_encode(&place, name, &again), 0);
	assert_string_equal(backing.text, again.text);
	assert_true(strlen(backing.text) <= 255);
	assert_null(strchr(backing.text, '/'));
	assert_int_equal(name_prepare(&place, &backing), 0);
	assert_int_equal(name_decode(&place, backing.text, plain), 0);
	assert_string_equal(plain, name);
}

static void names_of_every_length_survive(void **state)
{
	char name[256];

	for (size_t size = 1; size <= 255; size++) {
		make_name(name, size);
		assert_survives(name);
	}
	assert_survives("\xff\xfe\n\t -");
	assert_survives("-leading-dash");
	assert_survives(".hidden");
}

static void name_is_long_from_176_bytes_on(void **state)
{
	struct backing_name backing;
	char name[256];

	make_name(name, 175);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_false(backing.is_long);
	assert_int_equal(strlen(backing.text), 255);
	make_name(name, 176);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_true(backing.is_long);
	assert_int_equal(strlen(backing.text), 44);
	assert_int_equal(backing.text[0], '=');
}

static void name_encode_refuses_what_is_no_name(void **state)
{
	struct backing_name backing;
	char name[257];

	make_name(name, 256);
	assert_int_equal(name_encode(&place, name, &backing), -ENAMETOOLONG);
	assert_int_equal(name_encode(&place, "", &backing), -ENOENT);
	assert_int_equal(name_encode(&place, ".", &backing), -EINVAL);
	assert_int_equal(name_encode(&place, "..", &backing), -EINVAL);
	assert_int_equal(name_encode(&place, "a/b", &backing), -EINVAL);
	assert_int_equal(name_encode(&place, ".snapcrypt", &backing), -EPERM);
	assert_int_equal(name_encode(&place, ".snapcrypt-id", &backing), -EPERM);
	assert_int_equal(name_encode(&place, ".snapcryptic", &backing), -EPERM);
	place.snapshot = &stream;
	assert_int_equal(name_encode(&place, ".snapcrypt-id", &backing), -EPERM);
}

static void names_in_streams_stay_as_they_are(void **state)
{
	struct backing_name backing;
	char plain[256];

	place.snapshot = &stream;
	assert_int_equal(name_encode(&place, "000000010000000000000001", &backing), 0);
	assert_string_equal(backing.text, "000000010000000000000001");
	assert_int_equal(name_decode(&place, "=x.name", plain), 0);
	assert_string_equal(plain, "=x.name");
	assert_int_equal(name_decode(&place, ".snapcrypt-id", plain), -ENODATA);
}

static void names_differ_between_snapshots(void **state)
{
	struct backing_name here, there;
	struct snapshot other;
	char plain[256];

	fake_snapshot_init(&other, &store, SNAPSHOT_PLAIN_DIRECTORY);
	assert_int_equal(name_encode(&place, "base.tar", &here), 0);
	place.snapshot = &other;
	assert_int_equal(name_encode(&place, "base.tar", &there), 0);
	assert_string_not_equal(here.text, there.text);
	assert_int_equal(name_decode(&place, here.text, plain), -EBADMSG);
}

static void name_waits_for_its_key(void **state)
{
	struct backing_name backing;
	char plain[256];

	snapshot.dek->error = -EAGAIN;
	assert_int_equal(name_encode(&place, "a", &backing), -EAGAIN);
	assert_int_equal(name_decode(&place, "a", plain), -EAGAIN);
	assert_true(uuid_equal(&store.wanted, dek_id(snapshot.dek->dek)));
	snapshot.dek->error = -EKEYREVOKED;
	assert_int_equal(name_encode(&place, "a", &backing), -EKEYREVOKED);
}

static void name_decode_refuses_what_was_not_encoded(void **state)
{
	static const char *const names[] = {
		"plain.txt", "abc", "A",    "====",
		".nfs0001",  "a b", "=abc", "AAAAAAAAAAAAAAAAAAAAAAAA"
	};
	struct backing_name backing;
	char plain[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(name_decode(&place, names[i], plain), -EBADMSG);
	assert_int_equal(name_encode(&place, "base.tar", &backing), 0);
	/* A base64url text with set bits behind its last byte is not the same name. */
	backing.text[strlen(backing.text) - 1] ^= 1;
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	assert_int_equal(name_decode(&place, ".snapcrypt-id", plain), -ENODATA);
}

static void sidecar_is_written_before_its_entry_and_goes_after_it(void **state)
{
	struct backing_name backing;
	char name[256], path[64];

	make_name(name, 200);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	sidecar_of(&backing, path);
	assert_int_equal(name_prepare(&place, &backing), 0);
	assert_true(exists_below(path));
	assert_int_equal(name_prepare(&place, &backing), 0);
	make_entry(&backing);
	name_forget(&place, &backing);
	assert_true(exists_below(path));
	assert_int_equal(unlinkat(place.fd, backing.text, 0), 0);
	name_forget(&place, &backing);
	assert_false(exists_below(path));
}

static void sidecar_itself_is_not_shown(void **state)
{
	struct backing_name backing;
	char name[256], path[64], plain[256];

	make_name(name, 255);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_int_equal(name_prepare(&place, &backing), 0);
	sidecar_of(&backing, path);
	assert_int_equal(name_decode(&place, path, plain), -ENODATA);
}

static void torn_sidecar_is_written_again(void **state)
{
	struct backing_name backing;
	char name[256], plain[256];

	make_name(name, 180);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	write_sidecar(&backing, "\1abc", 4);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	assert_int_equal(name_prepare(&place, &backing), 0);
	assert_int_equal(name_decode(&place, backing.text, plain), 0);
	assert_string_equal(plain, name);
}

static void sidecar_must_be_that_of_its_name(void **state)
{
	struct backing_name backing, other;
	uint8_t content[300];
	char name[256], plain[256];

	make_name(name, 180);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG); /* missing */
	make_name(name, 181);
	assert_int_equal(name_encode(&place, name, &other), 0);
	content[0] = 1;
	memcpy(content + 1, other.siv, other.siv_size);
	write_sidecar(&backing, content, 1 + other.siv_size);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	memcpy(content + 1, backing.siv, backing.siv_size);
	content[0] = 2;
	write_sidecar(&backing, content, 1 + backing.siv_size);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	content[0] = 1;
	content[1 + backing.siv_size] = 0;
	write_sidecar(&backing, content, 2 + backing.siv_size);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	write_sidecar(&backing, content, 1 + backing.siv_size);
	assert_int_equal(name_decode(&place, backing.text, plain), 0);
}

static void sidecar_that_is_a_symlink_is_not_followed(void **state)
{
	struct backing_name backing;
	char name[256], path[64], plain[256];

	make_name(name, 180);
	assert_int_equal(name_encode(&place, name, &backing), 0);
	assert_int_equal(name_prepare(&place, &backing), 0);
	sidecar_of(&backing, path);
	assert_int_equal(renameat(place.fd, path, place.fd, "elsewhere"), 0);
	assert_int_equal(symlinkat("elsewhere", place.fd, path), 0);
	assert_int_equal(name_decode(&place, backing.text, plain), -EBADMSG);
	assert_int_equal(name_prepare(&place, &backing), -ELOOP);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_of_every_length_survive),
		TEST(name_is_long_from_176_bytes_on),
		TEST(name_encode_refuses_what_is_no_name),
		TEST(names_in_streams_stay_as_they_are),
		TEST(names_differ_between_snapshots),
		TEST(name_waits_for_its_key),
		TEST(name_decode_refuses_what_was_not_encoded),
		TEST(sidecar_is_written_before_its_entry_and_goes_after_it),
		TEST(sidecar_itself_is_not_shown),
		TEST(torn_sidecar_is_written_again),
		TEST(sidecar_must_be_that_of_its_name),
		TEST(sidecar_that_is_a_symlink_is_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
