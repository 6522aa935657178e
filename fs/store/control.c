/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing and finding records. */
#include "fs/store/control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/whole_file.h"
#include "kms/crypto/random.h"

bool number_from_name(const char *name, uint64_t *ret_number)
{
	uint64_t number = 0;

	/* 2^53 has 16 digits, and no record may hold more. */
	if (name[0] < '1' || name[0] > '9' || strlen(name) > 16)
		return false;
	for (const char *p = name; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		number = number * 10 + (uint64_t)(*p - '0');
	}
	*ret_number = number;
	return true;
}

int signed_record_load(struct trust *trust, int dir_fd, const char *name,
		       struct signed_record *ret_record)
{
	struct signed_record found = { 0 };
	size_t size;
	int fd = open_beneath(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	r = whole_file_read(fd, RECORD_SIZE_MAX, &found.data, &size);
	close(fd);
	if (r < 0)
		return r == -EFBIG || r == -EINVAL ? -EBADMSG : r;
	r = record_split((struct bytes){ (const uint8_t *)found.data, size }, &found.record);
	if (r == 0)
		r = trust_verify(trust, &found.record, &found.origin);
	if (r < 0) {
		signed_record_free(&found);
		return r;
	}
	*ret_record = found;
	return 0;
}

void signed_record_free(struct signed_record *record)
{
	free(record->data);
	record->data = NULL;
}

static bool is_number(const char *name)
{
	uint64_t number;

	return number_from_name(name, &number);
}

static int compare_descending(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a;
	const uint64_t y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

int control_numbers(int control_fd, const char *directory, uint64_t **ret_numbers,
		    size_t *ret_count)
{
	uint64_t *numbers;
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(control_fd, directory, O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd < 0)
		return fd;
	r = directory_names(fd, ".", is_number, &names, &count);
	close(fd);
	if (r < 0)
		return r;
	numbers = calloc(count + 1, sizeof(*numbers));
	for (size_t i = 0; numbers && i < count; i++)
		(void)number_from_name(names[i], &numbers[i]);
	names_free(names, count);
	if (!numbers)
		return -ENOMEM;
	qsort(numbers, count, sizeof(*numbers), compare_descending);
	*ret_numbers = numbers;
	*ret_count = count;
	return 0;
}

/* What control_choose() has found so far. */
struct search {
	struct trust *trust;
	int control_fd;
	const struct record_choice *choice;
	struct chosen_record *chosen;
	bool has_fallback; /* a well-formed one of an unknown writer */
	bool is_newer;     /* one of an unknown writer that we cannot read */
};

/* 1: this one counts, stop; 0: look further. */
static int look_at(struct search *search, uint64_t generation)
{
	const struct record_choice *choice = search->choice;
	struct signed_record found;
	char name[CONTROL_NAME_SIZE];
	bool is_trusted;
	int r;

	snprintf(name, sizeof(name), "%s/%" PRIu64, choice->directory, generation);
	r = signed_record_load(search->trust, search->control_fd, name, &found);
	if (r == -EBADMSG || r == -ENOENT) {
		choice->ignored(choice->arg, name, r);
		return 0;
	}
	if (r < 0)
		return r;
	is_trusted = trust_origin_is_trusted(found.origin);
	if (!is_trusted && search->has_fallback) {
		signed_record_free(&found);
		return 0;
	}
	r = choice->decode(choice->arg, found.record.line, generation);
	if (r == 0) {
		search->chosen->generation = generation;
		search->chosen->origin = found.origin;
		memcpy(search->chosen->public_key, found.record.public_key, RECORD_PUBLIC_KEY_SIZE);
		search->has_fallback = true;
	} else if (r == -EBADMSG) {
		choice->ignored(choice->arg, name, r);
	} else if (r == -ENOTSUP && !is_trusted) {
		search->is_newer = true;
		r = -EBADMSG;
	}
	signed_record_free(&found);
	if (r == -EBADMSG)
		return 0;
	return r < 0 ? r : is_trusted;
}

int control_choose(struct trust *trust, int control_fd, const struct record_choice *choice,
		   struct chosen_record *ret_chosen)
{
	struct chosen_record chosen = { 0 };
	struct search search = {
		.trust = trust,
		.control_fd = control_fd,
		.choice = choice,
		.chosen = &chosen,
	};
	uint64_t *numbers = NULL;
	size_t count = 0;
	int r = control_numbers(control_fd, choice->directory, &numbers, &count);

	if (r < 0)
		return r;
	if (count == 0)
		r = -ENOENT;
	else
		chosen.highest = numbers[0];
	for (size_t i = 0; r == 0 && i < count; i++)
		r = look_at(&search, numbers[i]);
	free(numbers);
	if (r < 0)
		return r;
	if (!search.has_fallback)
		return search.is_newer ? -ENOTSUP : -EBADMSG;
	*ret_chosen = chosen;
	return 0;
}

/* One level: DIRECTORY's parent is there. */
static int make_level(int control_fd, const char *directory)
{
	char parent[CONTROL_NAME_SIZE] = ".";
	const char *slash = strrchr(directory, '/');

	if (mkdirat(control_fd, directory, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - directory), directory);
	return directory_sync(control_fd, parent);
}

int control_make_directory(int control_fd, const char *directory)
{
	char path[CONTROL_NAME_SIZE];

	for (const char *end = strchr(directory, '/'); end; end = strchr(end + 1, '/')) {
		int r;

		snprintf(path, sizeof(path), "%.*s", (int)(end - directory), directory);
		r = make_level(control_fd, path);
		if (r < 0)
			return r;
	}
	return make_level(control_fd, directory);
}

int rename_noreplace(int from_fd, const char *from, int to_fd, const char *to)
{
	if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	if (linkat(from_fd, from, to_fd, to, 0) < 0)
		return -errno;
	/* The second name is harmless, and tmp/ is emptied some day. */
	(void)unlinkat(from_fd, from, 0);
	return 0;
}

static int write_temporary(int control_fd, const char *name, const char *text)
{
	int fd = open_beneath(control_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int r;

	if (fd < 0)
		return fd;
	r = whole_file_write(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int record_publish(int control_fd, const char *directory, const char *name, const char *text)
{
	char temporary[CONTROL_NAME_SIZE];
	char target[CONTROL_NAME_SIZE];
	char id_text[UUID_TEXT_SIZE];
	struct uuid id;
	int r = random_uuid(&id);

	if (r == 0)
		r = control_make_directory(control_fd, directory);
	if (r < 0)
		return r;
	uuid_format(&id, id_text);
	snprintf(temporary, sizeof(temporary), "tmp/%s", id_text);
	if (snprintf(target, sizeof(target), "%s/%s", directory, name) >= (int)sizeof(target))
		return -ENAMETOOLONG;
	r = write_temporary(control_fd, temporary, text);
	if (r == 0)
		r = rename_noreplace(control_fd, temporary, control_fd, target);
	if (r < 0) {
		(void)unlinkat(control_fd, temporary, 0);
		return r;
	}
	return directory_sync(control_fd, directory);
}
