/* SPDX-License-Identifier: Apache-2.0 */
/* Reading test vectors: vector.h. */
#include "tests/unit/vector.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta/encoding.h"

#define VECTOR_SIZE_MAX ((off_t)4 << 20)

static char *read_text(const char *path)
{
	FILE *stream = fopen(path, "r");
	struct stat st = { .st_size = 0 };
	char *text;

	if (!stream || fstat(fileno(stream), &st) < 0 || st.st_size > VECTOR_SIZE_MAX)
		fail_msg("%s: %s", path, strerror(errno));
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)st.st_size, stream), st.st_size);
	fclose(stream);
	return text;
}

/* Decode hexadecimal digits, white space between bytes left out, in place of the text's copy. */
static void decode_body(struct vector *vector, const char *body)
{
	char *digits = calloc(1, strlen(body) + 1);
	size_t count = 0;

	assert_non_null(digits);
	for (; *body; body++)
		if (!strchr(" \t\n", *body))
			digits[count++] = *body;
	/* Allocated to the byte, so that a sanitizer sees every read past the end. */
	vector->data = malloc(count / 2);

	const ssize_t size = hex_decode((struct bytes){ (uint8_t *)digits, count }, vector->data,
					count / 2);

	if (size < 0)
		fail_msg("%s: not hexadecimal", vector->path);
	vector->size = (size_t)size;
	free(digits);
}

static void load(struct vector *vector, const char *path)
{
	char *line, *rest;

	*vector = (struct vector){ .path = strdup(path), .text = read_text(path) };
	for (rest = vector->text; (line = strsep(&rest, "\n")) && *line;) {
		char *value = strstr(line, ": ");

		if (!value || vector->field_count == VECTOR_FIELDS_MAX) {
			fail_msg("%s: malformed header: %s", path, line);
			return;
		}
		*value = '\0';
		vector->fields[vector->field_count].name = line;
		vector->fields[vector->field_count++].value = value + 2;
	}
	decode_body(vector, rest ? rest : "");
}

static void unload(struct vector *vector)
{
	free(vector->path);
	free(vector->text);
	free(vector->data);
}

static const char *find_field(const struct vector *vector, const char *name)
{
	for (size_t i = 0; i < vector->field_count; i++)
		if (strcmp(vector->fields[i].name, name) == 0)
			return vector->fields[i].value;
	return NULL;
}

const char *vector_field(const struct vector *vector, const char *name)
{
	const char *value = find_field(vector, name);

	if (!value)
		fail_msg("%s: no field %s", vector->path, name);
	return value;
}

struct uuid vector_uuid(const struct vector *vector, const char *name)
{
	struct uuid uuid;

	if (uuid_parse(vector_field(vector, name), &uuid) < 0)
		fail_msg("%s: %s is not a UUID", vector->path, name);
	return uuid;
}

uint64_t vector_number(const struct vector *vector, const char *name)
{
	return strtoull(vector_field(vector, name), NULL, 10);
}

size_t vector_bytes(const struct vector *vector, const char *name, uint8_t *data, size_t capacity)
{
	const ssize_t size = hex_decode(bytes_from_text(vector_field(vector, name)), data,
					capacity);

	if (size < 0)
		fail_msg("%s: %s is not hexadecimal, or too long", vector->path, name);
	return (size_t)size;
}

static int is_vector(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot && strcmp(dot, ".vec") == 0;
}

void vectors_run(const char *folder, const char *codec, const char *(*run)(const struct vector *))
{
	struct dirent **entries = NULL;
	char directory[4096], path[8192];
	size_t run_count = 0, failed_count = 0;

	snprintf(directory, sizeof(directory), "%s/%s", TEST_VECTORS_DIR, folder);

	const int count = scandir(directory, &entries, is_vector, alphasort);

	for (int i = 0; i < count; i++) {
		struct vector vector;

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		free(entries[i]);
		load(&vector, path);
		if (strcmp(vector_field(&vector, "codec"), codec) == 0) {
			const char *expected = vector_field(&vector, "expect");
			const char *outcome = run(&vector);

			run_count++;
			if (strcmp(outcome, expected) != 0) {
				print_error("%s: %s, not %s\n", path, outcome, expected);
				failed_count++;
			}
		}
		unload(&vector);
	}
	free(entries);
	assert_true(run_count > 0);
	assert_int_equal(failed_count, 0);
}
