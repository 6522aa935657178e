/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/crypto/secret.h"
#include "kms/crypto/sign.h"
#include "tests/unit/hex.h"

static char directory[] = "/tmp/snapcrypt-test-sign.XXXXXX";
static char key_path[sizeof(directory) + 16];
static char other_path[sizeof(directory) + 16];

static int set_up(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(key_path, sizeof(key_path), "%s/key", directory);
	snprintf(other_path, sizeof(other_path), "%s/other", directory);
	return secret_init();
}

static int tear_down(void **state)
{
	unlink(key_path);
	unlink(other_path);

	/* Fails, and the test with it, when a temporary file was left. */
	return rmdir(directory);
}

static int remove_files(void **state)
{
	unlink(key_path);
	unlink(other_path);
	return 0;
}

/* RFC 8032, section 7.1, tests 1 and 2. */
static const struct {
	const char *seed;
	const char *public_key;
	const char *message;
	const char *signature;
} vectors[] = {
	{ "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	  "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b" },
	{ "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	  "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	  "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00" },
};

static struct sign_key *vector_key(size_t i)
{
	uint8_t seed[32];
	struct sign_key *key;

	assert_int_equal(sign_key_import(hex_bytes(vectors[i].seed, seed, sizeof(seed)), &key), 0);
	return key;
}

static void signatures_match_the_rfc(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		CLEANUP(sign_key_cleanup) struct sign_key *key = vector_key(i);
		uint8_t buffer[8];
		struct bytes message = hex_bytes(vectors[i].message, buffer, sizeof(buffer));
		uint8_t public_key[SIGN_PUBLIC_SIZE];
		uint8_t signature[SIGN_SIGNATURE_SIZE];

		sign_key_public(key, public_key);
		assert_hex(public_key, sizeof(public_key), vectors[i].public_key);
		assert_int_equal(sign_message(key, message, signature), 0);
		assert_hex(signature, sizeof(signature), vectors[i].signature);
		assert_int_equal(sign_verify(public_key, message, signature), 0);
	}
}

static void sign_verify_rejects_other_message_key_and_signature(void **state)
{
	CLEANUP(sign_key_cleanup) struct sign_key *key = NULL;
	CLEANUP(sign_key_cleanup) struct sign_key *other = NULL;
	struct bytes message = bytes_from_text("a record");
	uint8_t public_key[SIGN_PUBLIC_SIZE];
	uint8_t other_public[SIGN_PUBLIC_SIZE];
	uint8_t signature[SIGN_SIGNATURE_SIZE];

	assert_int_equal(sign_key_generate(&key), 0);
	assert_int_equal(sign_key_generate(&other), 0);
	sign_key_public(key, public_key);
	sign_key_public(other, other_public);
	assert_memory_not_equal(public_key, other_public, SIGN_PUBLIC_SIZE);
	assert_int_equal(sign_message(key, message, signature), 0);
	assert_int_equal(sign_verify(public_key, message, signature), 0);
	assert_int_equal(sign_verify(public_key, bytes_from_text("a recorD"), signature), -EBADMSG);
	assert_int_equal(sign_verify(public_key, (struct bytes){ NULL, 0 }, signature), -EBADMSG);
	assert_int_equal(sign_verify(other_public, message, signature), -EBADMSG);
	for (size_t i = 0; i < sizeof(signature); i++) {
		signature[i] ^= 4;
		assert_int_equal(sign_verify(public_key, message, signature), -EBADMSG);
		signature[i] ^= 4;
	}
	memset(signature, 0, sizeof(signature));
	assert_int_equal(sign_verify(public_key, message, signature), -EBADMSG);
}

static void sign_key_import_rejects_other_sizes(void **state)
{
	static const uint8_t seed[33];
	struct sign_key *key;

	assert_int_equal(sign_key_import((struct bytes){ seed, 31 }, &key), -EINVAL);
	assert_int_equal(sign_key_import((struct bytes){ seed, 33 }, &key), -EINVAL);
	sign_key_free(NULL);
}

/* ---- Files ---- */

static const char rfc_pem[] = "-----BEGIN PRIVATE KEY-----\n"
			      "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			      "-----END PRIVATE KEY-----\n";

static void write_file(const char *path, struct bytes text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.data, text.size), text.size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_saved_key_is_private_and_loads_again(void **state)
{
	CLEANUP(sign_key_cleanup) struct sign_key *key = vector_key(0);
	CLEANUP(sign_key_cleanup) struct sign_key *back = NULL;
	uint8_t public_key[SIGN_PUBLIC_SIZE];
	char text[sizeof(rfc_pem) + 8] = { 0 };
	struct stat st;
	mode_t umask_before = umask(0777);

	assert_int_equal(sign_key_save(key, key_path), 0);
	umask(umask_before);
	assert_int_equal(stat(key_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(sign_key_load(key_path, &back), 0);
	sign_key_public(back, public_key);
	assert_hex(public_key, sizeof(public_key), vectors[0].public_key);

	/* The form that other tools write and read. */
	int fd = open(key_path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, text, sizeof(text) - 1), sizeof(rfc_pem) - 1);
	close(fd);
	assert_string_equal(text, rfc_pem);
}

static void sign_key_save_never_replaces(void **state)
{
	CLEANUP(sign_key_cleanup) struct sign_key *key = vector_key(0);
	CLEANUP(sign_key_cleanup) struct sign_key *other = vector_key(1);
	CLEANUP(sign_key_cleanup) struct sign_key *back = NULL;
	uint8_t public_key[SIGN_PUBLIC_SIZE];

	assert_int_equal(sign_key_save(key, key_path), 0);
	assert_int_equal(sign_key_save(other, key_path), -EEXIST);
	assert_int_equal(sign_key_load(key_path, &back), 0);
	sign_key_public(back, public_key);
	assert_hex(public_key, sizeof(public_key), vectors[0].public_key);
	assert_int_equal(sign_key_save(other, "/nonexistent-directory/key"), -ENOENT);
}

static void sign_key_load_rejects_files_that_others_can_use(void **state)
{
	static const mode_t wrong[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0644 };
	struct sign_key *key = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		write_file(key_path, bytes_from_text(rfc_pem), wrong[i]);
		assert_int_equal(sign_key_load(key_path, &key), -EPERM);
	}
	assert_int_equal(unlink(key_path), 0);
	assert_int_equal(sign_key_load(key_path, &key), -ENOENT);
	write_file(other_path, bytes_from_text(rfc_pem), 0400);
	assert_int_equal(symlink(other_path, key_path), 0);
	assert_int_equal(sign_key_load(key_path, &key), -ELOOP);
	assert_int_equal(unlink(key_path), 0);
	assert_int_equal(mkfifo(key_path, 0600), 0);
	assert_int_equal(sign_key_load(key_path, &key), -EPERM);
	assert_null(key);
	assert_int_equal(sign_key_load(other_path, &key), 0);
	sign_key_free(key);
}

static void sign_key_load_rejects_somebody_elses_file(void **state)
{
	struct sign_key *key = NULL;

	if (geteuid() != 0)
		skip();
	write_file(key_path, bytes_from_text(rfc_pem), 0600);
	assert_int_equal(chown(key_path, 12345, (gid_t)-1), 0);
	assert_int_equal(sign_key_load(key_path, &key), -EPERM);
}

static void sign_key_load_rejects_every_changed_character(void **state)
{
	char text[sizeof(rfc_pem)];
	struct sign_key *key = NULL;

	/* The key itself may be any; its frame, and what says that it is Ed25519, may not. */
	for (size_t i = 0; i < sizeof(rfc_pem) - 1; i++) {
		bool is_key = i > 28 + 20 && i < 28 + 64;

		memcpy(text, rfc_pem, sizeof(text));
		text[i] = is_key ? '*' : (char)(text[i] == 'A' ? 'B' : 'A');
		write_file(key_path, bytes_from_text(text), 0600);
		assert_int_equal(sign_key_load(key_path, &key), -EBADMSG);
	}
	for (size_t size = 0; size < sizeof(rfc_pem) - 1; size += 7) {
		write_file(key_path, (struct bytes){ (const uint8_t *)rfc_pem, size }, 0600);
		assert_int_equal(sign_key_load(key_path, &key), -EBADMSG);
	}
	memcpy(text, rfc_pem, sizeof(text));
	text[sizeof(text) - 1] = '\n';
	write_file(key_path, (struct bytes){ (const uint8_t *)text, sizeof(text) }, 0600);
	assert_int_equal(sign_key_load(key_path, &key), -EBADMSG);
	assert_null(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_match_the_rfc),
		cmocka_unit_test(sign_verify_rejects_other_message_key_and_signature),
		cmocka_unit_test(sign_key_import_rejects_other_sizes),
		cmocka_unit_test_teardown(a_saved_key_is_private_and_loads_again, remove_files),
		cmocka_unit_test_teardown(sign_key_save_never_replaces, remove_files),
		cmocka_unit_test_teardown(sign_key_load_rejects_files_that_others_can_use,
					  remove_files),
		cmocka_unit_test_teardown(sign_key_load_rejects_somebody_elses_file, remove_files),
		cmocka_unit_test_teardown(sign_key_load_rejects_every_changed_character,
					  remove_files),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
