/* SPDX-License-Identifier: Apache-2.0 */
/* The vendor's files of profiles. */
#include "kms/credentials/aws_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/crypto/secret.h"

#define FILE_SIZE_MAX ((size_t)64 * 1024)
#define ENTRIES_MAX   4096

struct entry {
	enum aws_file file;
	const char *profile;
	const char *name; /* NULL: the heading of a profile */
	const char *value;
};

struct aws_profiles {
	char *texts[AWS_FILE_COUNT]; /* secret memory; cut into the texts of entries */
	struct entry *entries;
	size_t count;
	size_t capacity;
};

void aws_profiles_free(struct aws_profiles *profiles)
{
	if (!profiles)
		return;
	for (size_t i = 0; i < AWS_FILE_COUNT; i++)
		secret_free(profiles->texts[i]);
	free(profiles->entries);
	free(profiles);
}

void aws_profiles_cleanup(struct aws_profiles **profiles)
{
	aws_profiles_free(*profiles);
}

const char *aws_profile_from_environment(void)
{
	const char *profile = getenv("AWS_PROFILE");

	return profile && *profile ? profile : NULL;
}

static int add_entry(struct aws_profiles *profiles, struct entry entry)
{
	if (profiles->count == profiles->capacity) {
		size_t capacity = profiles->capacity ? profiles->capacity * 2 : 32;
		struct entry *entries;

		if (capacity > ENTRIES_MAX)
			return -EINVAL;
		entries = realloc(profiles->entries, capacity * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		profiles->entries = entries;
		profiles->capacity = capacity;
	}
	profiles->entries[profiles->count++] = entry;
	return 0;
}

/* Cut white space off both ends, in place. */
static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len && strchr(" \t\r", text[len - 1]))
		text[--len] = 0;
	return text;
}

/* The profile that a heading begins; NULL: a heading of something else. */
static char *parse_heading(enum aws_file file, char *line)
{
	static const char word[] = "profile";
	char *end = strchr(line, ']');
	char *name;
	size_t len;

	if (!end)
		return NULL;
	*end = 0;
	name = trim(line + 1);
	if (file == AWS_FILE_CREDENTIALS || !strcmp(name, "default"))
		return name;
	len = sizeof(word) - 1;
	if (strncmp(name, word, len) != 0 || !name[len] || !strchr(" \t", name[len]))
		return NULL;
	name = trim(name + len);
	len = strlen(name);
	if (len >= 2 && name[0] == '"' && name[len - 1] == '"') {
		name[len - 1] = 0;
		name++;
	}
	return name;
}

/* A comment begins at a mark after white space. */
static void cut_comment(char *value)
{
	for (char *c = value; *c; c++)
		if ((*c == '#' || *c == ';') && c > value && strchr(" \t", c[-1])) {
			*c = 0;
			return;
		}
}

static int parse_setting(struct aws_profiles *profiles, enum aws_file file, const char *profile,
			 char *line)
{
	char *equals = strchr(line, '=');
	char *value;

	if (!equals || !profile)
		return 0;
	*equals = 0;
	value = equals + 1;
	cut_comment(value);
	return add_entry(profiles, (struct entry){ file, profile, trim(line), trim(value) });
}

static int parse_text(struct aws_profiles *profiles, enum aws_file file)
{
	char *rest = profiles->texts[file];
	const char *profile = NULL;
	char *line;

	while ((line = strsep(&rest, "\n"))) {
		int r = 0;

		/* Indented lines belong to settings of services that are none of ours. */
		if (!*line || strchr("#; \t\r", *line))
			continue;
		if (*line == '[') {
			profile = parse_heading(file, line);
			if (profile)
				r = add_entry(profiles,
					      (struct entry){ file, profile, NULL, NULL });
		} else {
			r = parse_setting(profiles, file, profile, line);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int aws_profiles_parse(const struct bytes texts[static AWS_FILE_COUNT],
		       struct aws_profiles **ret_profiles)
{
	CLEANUP(aws_profiles_cleanup) struct aws_profiles *profiles = calloc(1, sizeof(*profiles));

	if (!profiles)
		return -ENOMEM;
	for (enum aws_file file = 0; file < AWS_FILE_COUNT; file++) {
		int r;

		profiles->texts[file] = secret_alloc(texts[file].size + 1);
		if (!profiles->texts[file])
			return -ENOMEM;
		if (texts[file].size)
			memcpy(profiles->texts[file], texts[file].data, texts[file].size);
		r = parse_text(profiles, file);
		if (r < 0)
			return r;
	}
	*ret_profiles = TAKE(profiles);
	return 0;
}

static int file_path(const char *named, const char *name, char *path, size_t size)
{
	const char *home = getenv("HOME");
	int len;

	if (named && *named && strncmp(named, "~/", 2) != 0)
		len = snprintf(path, size, "%s", named);
	else if (!home)
		return -ENOENT;
	else if (named && *named)
		len = snprintf(path, size, "%s/%s", home, named + 2);
	else
		len = snprintf(path, size, "%s/.aws/%s", home, name);
	return len < (int)size ? 0 : -ENAMETOOLONG;
}

static int read_all(int fd, struct secret **ret_text)
{
	struct stat stat;
	size_t size = 0;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	/* /dev/null is a way to say that there is no file. */
	if (!S_ISREG(stat.st_mode))
		return 0;
	if ((size_t)stat.st_size > FILE_SIZE_MAX)
		return -EFBIG;
	r = secret_new((size_t)stat.st_size + 1, ret_text);
	while (r == 0 && size < (size_t)stat.st_size) {
		ssize_t n = read(fd, secret_data(*ret_text) + size, (size_t)stat.st_size - size);

		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n == 0)
			break;
		if (n > 0)
			size += (size_t)n;
	}
	return r;
}

/* The whole file; nothing where there is none. */
static int read_file(const char *path, struct secret **ret_text, struct kms_error *reterr)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? 0
			       : kms_fail(reterr, -errno, KEY_STATE_UNKNOWN, "%s: %s", path,
					  strerror(errno));
	r = read_all(fd, ret_text);
	close(fd);
	if (r < 0) {
		secret_drop(*ret_text);
		*ret_text = NULL;
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	}
	return 0;
}

int aws_profiles_load(struct aws_profiles **ret_profiles, struct kms_error *reterr)
{
	const char *const named[AWS_FILE_COUNT] = { getenv("AWS_SHARED_CREDENTIALS_FILE"),
						    getenv("AWS_CONFIG_FILE") };
	static const char *const names[AWS_FILE_COUNT] = { "credentials", "config" };
	CLEANUP(secret_cleanup) struct secret *credentials = NULL;
	CLEANUP(secret_cleanup) struct secret *config = NULL;
	struct secret **const targets[AWS_FILE_COUNT] = { &credentials, &config };
	struct bytes texts[AWS_FILE_COUNT] = { { NULL, 0 } };
	char path[4096];
	int r;

	for (size_t i = 0; i < AWS_FILE_COUNT; i++) {
		if (file_path(named[i], names[i], path, sizeof(path)) < 0)
			continue;
		r = read_file(path, targets[i], reterr);
		if (r < 0)
			return r;
		if (*targets[i])
			texts[i] = bytes_from_text((const char *)secret_bytes(*targets[i]).data);
	}
	r = aws_profiles_parse(texts, ret_profiles);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "AWS profiles: %s", strerror(-r)) : 0;
}

bool aws_profiles_has(const struct aws_profiles *profiles, const char *profile)
{
	for (size_t i = 0; i < profiles->count; i++)
		if (!strcmp(profiles->entries[i].profile, profile))
			return true;
	return false;
}

const char *aws_profiles_get_from(const struct aws_profiles *profiles, enum aws_file file,
				  const char *profile, const char *name)
{
	for (size_t i = profiles->count; i-- > 0;) {
		const struct entry *entry = &profiles->entries[i];

		if (entry->file == file && entry->name && !strcmp(entry->profile, profile) &&
		    !strcmp(entry->name, name))
			return entry->value;
	}
	return NULL;
}

const char *aws_profiles_get(const struct aws_profiles *profiles, const char *profile,
			     const char *name)
{
	const char *value = aws_profiles_get_from(profiles, AWS_FILE_CREDENTIALS, profile, name);

	return value ? value : aws_profiles_get_from(profiles, AWS_FILE_CONFIG, profile, name);
}
