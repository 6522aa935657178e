/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the audit log and checking its chain.
 *
 * What is expected next is a number and a hash.  A line that says less than expected was there before, or was put in; one that says
 * more shows that lines are missing.  After each finding the chain is taken up where the log goes on, so that one change is one
 * finding and not one for every line behind it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/audit_chain.h"

/*
 *   last      number and hash of the line before; the hash only if knows_hash
 *   strange   lines of this file that are not lines of a log, until the next says whether a crash cut them
 *   end       what audit.head says
 */
struct reading {
	int (*see)(void *arg, const struct audit_line *line);
	void *arg;
	struct audit_summary *summary;
	const char *file;
	uint64_t number;
	bool knows_hash;
	struct audit_head last;
	uint64_t strange_first;
	uint64_t strange_count;
	uint64_t strange_bytes;
	struct audit_head end;
	bool has_end;
	bool has_met_end;
	uint64_t behind_end;
};

static void free_cleanup(char **text)
{
	free(*text);
}

static void file_cleanup(FILE **file)
{
	if (*file)
		fclose(*file);
}

/* ---- Telling ------------------------------------------------------------------------------------- */

static int tell(struct reading *reading, const struct audit_line *line)
{
	struct audit_line told = *line;

	told.file = reading->file;
	if (told.finding)
		reading->summary->findings++;
	return reading->see(reading->arg, &told);
}

/* About what is not a line, or is not there. */
__attribute__((format(printf, 3, 4))) static int tell_finding(struct reading *reading,
							      uint64_t number, const char *format,
							      ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return tell(reading, &(struct audit_line){ .number = number, .finding = text });
}

static int tell_strange(struct reading *reading, bool is_torn)
{
	struct audit_line line = { .number = reading->strange_first };
	int r;

	if (!reading->strange_count)
		return 0;
	if (is_torn) {
		line.note = "a line that was cut by a crash";
		r = tell(reading, &line);
	} else if (reading->strange_count == 1) {
		r = tell_finding(reading, line.number, "not a line of an audit log");
	} else {
		r = tell_finding(reading, line.number,
				 "this and the next %" PRIu64 " are not lines of an audit log",
				 reading->strange_count - 1);
	}
	reading->strange_count = reading->strange_bytes = 0;
	return r;
}

/* ---- The chain ----------------------------------------------------------------------------------- */

/* Compared with what this host remembers of the end. */
static void meet_end(struct reading *reading, const struct audit_link *link, const char **finding)
{
	if (!reading->has_end)
		return;
	if (link->sequence == reading->end.sequence) {
		reading->has_met_end = true;
		if (strcmp(link->hash, reading->end.hash) != 0 && !*finding)
			*finding = "is not the line that this host remembers";
	} else if (link->sequence > reading->end.sequence) {
		reading->behind_end++;
	}
}

static const char *judge(struct reading *reading, const struct audit_link *link, char *text,
			 size_t size)
{
	const uint64_t expected = reading->last.sequence + 1;

	if (link->sequence < expected) {
		(void)snprintf(text, size,
			       "number %" PRIu64 " where %" PRIu64
			       " was expected: moved, repeated or inserted",
			       link->sequence, expected);
		return text;
	}
	if (link->sequence > expected) {
		(void)snprintf(text, size,
			       "number %" PRIu64 " where %" PRIu64 " was expected: %" PRIu64
			       " removed before it",
			       link->sequence, expected, link->sequence - expected);
		return text;
	}
	if (!audit_link_is_genuine(link))
		return "changed: its hash is not that of its text";
	if (reading->knows_hash && strcmp(link->previous, reading->last.hash) != 0)
		return "does not follow the line before it: one of them was changed or inserted";
	if (link->head_lost)
		return "audit.head was lost before it: lines may have been removed";
	return NULL;
}

static int take_link(struct reading *reading, const struct audit_link *link, struct bytes line)
{
	const bool is_old = link->sequence <= reading->last.sequence;
	char text[160];
	const char *finding = judge(reading, link, text, sizeof(text));
	int r = tell_strange(reading, link->torn == reading->strange_bytes && !finding);

	if (r != 0)
		return r;
	meet_end(reading, link, &finding);
	if (!is_old) {
		reading->last.sequence = link->sequence;
		memcpy(reading->last.hash, link->hash, sizeof(link->hash));
	}
	reading->knows_hash = true;
	if (reading->summary->lines++ == 0)
		reading->summary->first = link->sequence;
	return tell(reading, &(struct audit_line){ .number = reading->number,
						   .text = (const char *)line.data,
						   .size = line.size,
						   .finding = finding });
}

static int take_line(struct reading *reading, const char *text, size_t size, bool is_whole)
{
	struct audit_link link;
	int r = is_whole ? audit_link_read(audit_span(text, size), &link) : -EBADMSG;

	reading->number++;
	if (r == 0)
		return take_link(reading, &link, audit_span(text, size));
	if (r != -EBADMSG)
		return r;
	if (!reading->strange_count)
		reading->strange_first = reading->number;
	reading->strange_count++;
	reading->strange_bytes += size + 1;
	return 0;
}

/* ---- Files --------------------------------------------------------------------------------------- */

static int read_file(struct reading *reading, const char *path, uint64_t size)
{
	CLEANUP(file_cleanup) FILE *file = fopen(path, "re");
	CLEANUP(free_cleanup) char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int r = 0;

	if (!file)
		return errno == ENOENT ? 0 : -errno;
	reading->file = path;
	reading->number = 0;
	/* Lines that are being added now are not looked at: audit.head was read before them. */
	while (r == 0 && size > 0 && (length = getline(&line, &capacity, file)) > 0) {
		bool is_whole = line[length - 1] == '\n';

		size -= (size_t)length < size ? (size_t)length : size;
		r = take_line(reading, line, (size_t)length - is_whole, is_whole);
	}
	return r == 0 && ferror(file) ? -EIO : r;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static uint64_t number_of(const char *name, const char *base)
{
	const size_t size = strlen(base);

	if (strncmp(name, base, size) != 0 || name[size] != '.' || strlen(name + size + 1) < 12 ||
	    strspn(name + size + 1, "0123456789") != strlen(name + size + 1))
		return 0;
	return strtoull(name + size + 1, NULL, 10);
}

static int compare_numbers(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a;
	const uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* First numbers of the older files, sorted; free() them. */
static int list_old(const char *path, uint64_t **ret_numbers, size_t *ret_count)
{
	CLEANUP(free_cleanup) char *copy = strdup(path);
	DIR *directory = copy ? opendir(dirname(copy)) : NULL;
	uint64_t *numbers = NULL;
	const struct dirent *entry;
	size_t count = 0;

	if (!directory)
		return copy && errno != ENOENT ? -errno : copy ? 0 : -ENOMEM;
	while ((entry = readdir(directory)) != NULL) {
		const uint64_t number = number_of(entry->d_name, last_name(path));
		uint64_t *more;

		if (!number)
			continue;
		more = reallocarray(numbers, count + 1, sizeof(*numbers));
		if (!more) {
			closedir(directory);
			free(numbers);
			return -ENOMEM;
		}
		numbers = more;
		numbers[count++] = number;
	}
	closedir(directory);
	if (count)
		qsort(numbers, count, sizeof(*numbers), compare_numbers);
	*ret_numbers = numbers;
	*ret_count = count;
	return 0;
}

static int read_old(struct reading *reading, const char *path, const uint64_t *numbers,
		    size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		CLEANUP(free_cleanup) char *old = NULL;

		r = audit_old_path(path, numbers[i], &old);
		if (r == 0)
			r = read_file(reading, old, UINT64_MAX);
		if (r == 0)
			r = tell_strange(reading, false);
	}
	return r;
}

/* ---- The end ------------------------------------------------------------------------------------- */

/*
 * Size of the log and head as they belong together: nobody appends meanwhile.  Older files are listed in this moment, too,
 * because appending may put the log away.
 */
static int read_head(const struct audit_options *options, struct reading *reading,
		     uint64_t *ret_size, uint64_t **ret_old, size_t *ret_old_count)
{
	CLEANUP(free_cleanup) char *path = NULL;
	struct stat stat = { 0 };
	int fd;
	int r = audit_head_path(options->state_dir, &path);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno != ENOENT)
		return -errno;
	while (fd >= 0 && flock(fd, LOCK_SH) < 0 && errno == EINTR)
		;
	reading->has_end = fd >= 0 && audit_head_read(fd, &reading->end);
	if (lstat(options->path, &stat) < 0 && errno != ENOENT)
		r = -errno;
	*ret_size = (uint64_t)stat.st_size;
	if (r == 0)
		r = list_old(options->path, ret_old, ret_old_count);
	if (fd >= 0)
		close(fd);
	return r;
}

static int judge_end(struct reading *reading, uint64_t size)
{
	const uint64_t last = reading->last.sequence;
	/* A crash may have come between a line and its head. */
	const bool is_torn = reading->has_end ? reading->end.offset + reading->strange_bytes >= size
					      : reading->number == 1;
	int r = tell_strange(reading, is_torn);

	if (r != 0)
		return r;
	if (!reading->has_end && last > 1)
		return tell_finding(reading, reading->number + 1,
				    "audit.head is lost: lines may be missing at the end");
	if (!reading->has_end)
		return 0;
	if (!reading->has_met_end && last < reading->end.sequence)
		return tell_finding(reading, reading->number + 1,
				    "ends with number %" PRIu64 ", this host wrote up to %" PRIu64
				    ": %" PRIu64 " removed at the end",
				    last, reading->end.sequence, reading->end.sequence - last);
	if (reading->behind_end > 1)
		return tell_finding(reading, reading->number + 1,
				    "%" PRIu64 " lines more than this host remembers",
				    reading->behind_end);
	return 0;
}

/* The first line that is here must be the first of its file; of what was before it only the archive knows. */
static void expect_first(struct reading *reading, const uint64_t *old, size_t old_count)
{
	uint64_t first = old_count ? old[0] : reading->has_end ? reading->end.first : 1;

	audit_head_init(&reading->last);
	reading->knows_hash = first == 1;
	reading->last.sequence = first - 1;
}

int audit_read(const struct audit_options *options,
	       int (*see)(void *arg, const struct audit_line *line), void *arg,
	       struct audit_summary *ret_summary)
{
	struct reading reading = { .see = see, .arg = arg, .summary = ret_summary };
	uint64_t *old = NULL;
	uint64_t size = 0;
	size_t old_count = 0;
	int r;

	*ret_summary = (struct audit_summary){ 0 };
	reading.file = options->path;
	r = read_head(options, &reading, &size, &old, &old_count);
	if (r == 0) {
		expect_first(&reading, old, old_count);
		r = read_old(&reading, options->path, old, old_count);
	}
	free(old);
	if (r == 0)
		r = read_file(&reading, options->path, size);
	if (r != 0)
		return r;
	reading.file = options->path;
	r = judge_end(&reading, size);
	ret_summary->last = reading.last.sequence;
	memcpy(ret_summary->head, reading.last.hash, sizeof(ret_summary->head));
	return r;
}
