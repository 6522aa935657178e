/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files, environment and command line. */
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

#include "fs/config/config.h"

static char directory[64];
static char path[96];

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/c.conf", directory);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	unsetenv("SNAPCRYPT_KEY_POLL");
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
	return 0;
}

static void write_file(const char *name, const char *text)
{
	char file_path[160];
	FILE *file;

	(void)snprintf(file_path, sizeof(file_path), "%s/%s", directory, name);
	file = fopen(file_path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void refuses(const char *text, const char *expected)
{
	struct config_error error = { 0 };
	struct config *config = NULL;

	write_file("c.conf", text);
	assert_int_equal(config_load(path, &config, &error), -EINVAL);
	assert_non_null(strstr(error.text, expected));
	assert_null(config);
}

static void mistakes_are_named_with_file_and_line(void **state)
{
	(void)state;
	refuses("[global]\nkey_polll = 3\n", "c.conf:2: key 'key_polll' is not known");
	refuses("\n[globall]\nkey_poll = 3\n", "c.conf:3: section [globall] is not known");
	refuses("[global]\nkey_poll = soon\n", "c.conf:2: 'soon' is not a value of key_poll");
	refuses("[global]\nrole = reader\n", "read-write write-only");
	refuses("[global]\nbacking = /x\n", "'backing' is not known");
	refuses("[key \"a\"]\nregion = x\n", "has no uri");
	refuses("[key \"a\"]\nuri = vault://h/transit/k\nregion = x\n",
		"'region' does not belong to a key of vault");
	refuses("[key \"a\"]\nuri = vault://h/transit/k\ntoken = s.secret\n",
		"'token' is not known");
	refuses("[global]\nnonsense\n", "c.conf:2");
}

static void the_higher_place_wins(void **state)
{
	struct config *config = NULL;

	(void)state;
	write_file(
		"c.conf",
		"[global]\nkey_poll = 1m\nspare_keys=3\n[volume \"v\"]\nbacking = /b\nkey_poll = 2m\n");
	assert_int_equal(config_load(path, &config, NULL), 0);
	assert_int_equal(config_duration_s(config, NULL, "key_poll"), 60);
	assert_int_equal(config_duration_s(config, "v", "key_poll"), 120);
	assert_int_equal(config_duration_s(config, "v", "key_timeout"), 10);
	assert_int_equal(config_number(config, "v", "spare_keys"), 3);
	assert_string_equal(config_volume_by_backing(config, "/b"), "v");
	config_free(config);
	assert_int_equal(setenv("SNAPCRYPT_KEY_POLL", "3m", 1), 0);
	assert_int_equal(config_load(path, &config, NULL), 0);
	assert_int_equal(config_duration_s(config, "v", "key_poll"), 180);
	assert_int_equal(config_set(config, "key_poll", "4m", NULL), 0);
	assert_int_equal(config_duration_s(config, "v", "key_poll"), 240);
	assert_int_equal(config_set(config, "key_poll", "4 moons", NULL), -EINVAL);
	assert_false(config_is_set(config, "v", "key_timeout"));
	assert_true(config_is_set(config, "v", "key_poll"));
	config_free(config);
}

static void lists_grow_over_lines_and_files(void **state)
{
	const char *const *words;
	struct config *config = NULL;
	char below[96];
	size_t count = 0;

	(void)state;
	(void)snprintf(below, sizeof(below), "%s/conf.d", directory);
	assert_int_equal(mkdir(below, 0700), 0);
	write_file("c.conf", "[global]\ntrusted_writers = a, b\ntrusted_writers = c\n");
	write_file(
		"conf.d/1.conf",
		"[global]\ntrusted_writers = d\n[key \"k\"]\nregion = r\nuri = awskms:///alias/x\n");
	write_file("conf.d/ignored", "nonsense");
	assert_int_equal(config_load(path, &config, NULL), 0);
	words = config_list(config, NULL, "trusted_writers", &count);
	assert_int_equal(count, 4);
	assert_string_equal(words[0], "a");
	assert_string_equal(words[3], "d");
	assert_string_equal(config_key_by_uri(config, "awskms:///alias/x"), "k");
	assert_string_equal(config_key_settings(config, "k", &count)[0].name, "uri");
	assert_int_equal(count, 2);
	config_free(config);
}

static void values_have_units(void **state)
{
	int64_t seconds;
	uint64_t size;

	(void)state;
	assert_int_equal(config_parse_size("64K", &size), 0);
	assert_int_equal(size, 65536);
	assert_int_equal(config_parse_size("1MiB", &size), 0);
	assert_int_equal(size, 1048576);
	assert_int_equal(config_parse_size("-1", &size), -EINVAL);
	assert_int_equal(config_parse_size("99999999999999999999", &size), -EINVAL);
	assert_int_equal(config_parse_size("20000000T", &size), -EINVAL);
	assert_int_equal(config_parse_duration("2w", &seconds), 0);
	assert_int_equal(seconds, 14 * 86400);
	assert_int_equal(config_parse_duration("none", &seconds), 0);
	assert_int_equal(seconds, -1);
	assert_int_equal(config_parse_duration("5 m", &seconds), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mistakes_are_named_with_file_and_line, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_higher_place_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_grow_over_lines_and_files, set_up, tear_down),
		cmocka_unit_test(values_have_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
