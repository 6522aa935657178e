/* SPDX-License-Identifier: Apache-2.0 */
/* See volume_fixture.h. */
#include "tests/unit/volume_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/keyring_file.h"
#include "tests/unit/temporary.h"

static void take_report(void *arg, int priority, const char *path, const char *text)
{
	struct volume_fixture *fixture = arg;

	(void)priority;
	if (fixture->report_count < FIXTURE_REPORTS_MAX)
		snprintf(fixture->reports[fixture->report_count++], 512, "%s: %s", path, text);
}

static void make_key(struct volume_fixture *fixture)
{
	struct kms_options options = { .key_timeout_ms = 2000 };
	struct kms_config config = { .uri = fixture->key_uri };
	char path[96];

	snprintf(path, sizeof(path), "%s/keyring", fixture->path);
	snprintf(fixture->key_uri, sizeof(fixture->key_uri), "keyring://%s#default", path);
	assert_int_equal(kms_open(&options, &fixture->kms, NULL), 0);
	assert_int_equal(keyring_file_init(path, "default", NULL, NULL), 0);
	assert_int_equal(kms_add_key(fixture->kms, &config, NULL), 0);
}

struct volume_fixture *volume_fixture_new(void)
{
	struct volume_fixture *fixture = calloc(1, sizeof(*fixture));
	char link[64];
	ssize_t size;

	assert_non_null(fixture);
	fixture->fd = temporary_open();
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fixture->fd);
	size = readlink(link, fixture->path, sizeof(fixture->path) - 1);
	assert_true(size > 0 && size < (ssize_t)sizeof(fixture->path) - 1);
	snprintf(fixture->backing_path, sizeof(fixture->backing_path), "%s/backing", fixture->path);
	assert_int_equal(mkdir(fixture->backing_path, 0755), 0);
	fixture->backing_fd = open(fixture->backing_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->backing_fd >= 0);
	make_key(fixture);
	fixture->trust = volume_fixture_host(fixture, "host", NULL);
	return fixture;
}

void volume_fixture_free(struct volume_fixture *fixture)
{
	volume_fixture_close(fixture);
	volume_record_free(&fixture->record);
	trust_close(fixture->trust);
	kms_close(fixture->kms);
	close(fixture->backing_fd);
	temporary_remove(fixture->fd);
	free(fixture);
}

struct trust *volume_fixture_host(struct volume_fixture *fixture, const char *name,
				  const char *listed)
{
	char path[128];
	const struct trust_options options = {
		.state_dir = path,
		.trusted_writers = &listed,
		.trusted_writer_count = listed ? 1 : 0,
	};
	struct trust *trust = NULL;

	snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
	assert_int_equal(trust_open(&options, &trust, &fixture->error), 0);
	return trust;
}

struct volume_record volume_fixture_settings(const struct volume_fixture *fixture)
{
	struct volume_record settings = {
		.block_size = 4096,
		.algorithm = 1,
		.has_encrypted_names = true,
		.snapshot_depth = 1,
		.is_encrypted = true,
		.host = "test",
	};
	struct kms_key_info info;

	assert_int_equal(kms_describe(fixture->kms, fixture->key_uri, &info, NULL), 0);
	snprintf(settings.default_key, sizeof(settings.default_key), "%s", fixture->key_uri);
	snprintf(settings.default_key_id, sizeof(settings.default_key_id), "%s", info.key_id);
	return settings;
}

void volume_fixture_init(struct volume_fixture *fixture)
{
	const struct volume_record settings = volume_fixture_settings(fixture);
	const struct store_init_options options = {
		.trust = fixture->trust,
		.settings = &settings,
		.backing = fixture->backing_path,
	};

	if (store_init(fixture->backing_fd, &options, &fixture->record, &fixture->error) < 0)
		fail_msg("init: %s", fixture->error.text);
}

int volume_fixture_open_with(struct volume_fixture *fixture, struct store_options *options)
{
	if (!options->trust)
		options->trust = fixture->trust;
	options->kms = fixture->kms;
	options->report = take_report;
	options->report_arg = fixture;
	fixture->report_count = 0;
	return store_open(fixture->backing_fd, options, &fixture->store, &fixture->error);
}

int volume_fixture_open(struct volume_fixture *fixture, enum store_access access,
			struct trust *trust)
{
	struct store_options options = { .access = access, .can_block = true, .trust = trust };

	return volume_fixture_open_with(fixture, &options);
}

void volume_fixture_close(struct volume_fixture *fixture)
{
	struct store *store = fixture->store;

	fixture->store = NULL;
	assert_int_equal(store_close(store), 0);
}

bool volume_fixture_has_report(const struct volume_fixture *fixture, const char *text)
{
	for (unsigned i = 0; i < fixture->report_count; i++) {
		if (strstr(fixture->reports[i], text))
			return true;
	}
	return false;
}

char *volume_fixture_read(const struct volume_fixture *fixture, const char *name)
{
	char *text = calloc(1, 65536);
	int fd = openat(fixture->backing_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t size;

	assert_non_null(text);
	if (fd < 0)
		fail_msg("%s is not there", name);
	size = read(fd, text, 65535);
	assert_true(size >= 0);
	close(fd);
	return text;
}

void volume_fixture_write(const struct volume_fixture *fixture, const char *name, const char *text)
{
	int fd = openat(fixture->backing_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void volume_fixture_forge(struct volume_fixture *fixture, const char *from, const char *to,
			  const char *old, const char *new, struct trust *trust)
{
	char *text = volume_fixture_read(fixture, from);
	char *line_end = strchr(text, '\n');
	char *place;
	char *line = NULL;
	char *forged = NULL;

	assert_non_null(line_end);
	*line_end = '\0';
	place = strstr(text, old);
	if (!place)
		fail_msg("%s does not hold %s", from, old);
	assert_true(asprintf(&line, "%.*s%s%s", (int)(place - text), text, new,
			     place + strlen(old)) > 0);
	assert_int_equal(trust_sign(trust, line, &forged), 0);
	volume_fixture_write(fixture, to, forged);
	free(text);
	free(line);
	free(forged);
}

struct snapshot *volume_fixture_enter(struct volume_fixture *fixture, const char *name)
{
	struct snapshot *snapshot = NULL;
	int fd = openat(fixture->backing_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(snapshot_open(fixture->store, fd, name, &snapshot), 0);
	close(fd);
	return snapshot;
}

struct snapshot *volume_fixture_snapshot(struct volume_fixture *fixture, const char *name)
{
	assert_int_equal(snapshot_create(fixture->store, fixture->backing_fd, name, name, 0755), 0);
	return volume_fixture_enter(fixture, name);
}

void volume_fixture_reopen(struct volume_fixture *fixture, enum store_access access,
			   struct trust *trust)
{
	volume_fixture_close(fixture);
	if (volume_fixture_open(fixture, access, trust) < 0)
		fail_msg("open: %s", fixture->error.text);
}

void volume_fixture_key_path(const struct snapshot *snapshot, const char *generation,
			     char path[static 128])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(snapshot_dek_id(snapshot), id);
	snprintf(path, 128, ".snapcrypt/keys/%s/%s", id, generation);
}

size_t volume_fixture_count(const struct volume_fixture *fixture, const char *directory)
{
	char command[256];
	char line[32] = "";
	FILE *stream;

	snprintf(command, sizeof(command), "ls -A '%s/%s' | wc -l", fixture->backing_path,
		 directory);
	stream = popen(command, "r");
	assert_non_null(stream);
	assert_non_null(fgets(line, sizeof(line), stream));
	pclose(stream);
	return strtoul(line, NULL, 10);
}
