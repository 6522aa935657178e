/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test vectors: a text header of "field: value" lines, a blank line, bytes in hexadecimal.
 *
 * Every vector has the fields name, codec and expect.  One file, one fault, one outcome.
 */
#ifndef SNAPCRYPT_TESTS_UNIT_VECTOR_H
#define SNAPCRYPT_TESTS_UNIT_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/uuid.h"

#define VECTOR_FIELDS_MAX 32

struct vector {
	char *path;
	char *text;
	size_t field_count;
	struct {
		const char *name;
		const char *value;
	} fields[VECTOR_FIELDS_MAX];
	uint8_t *data;
	size_t size;
};

/*
 * Call RUN with every *.vec file of a folder below tests/vectors whose codec is CODEC; fails the
 * test if there is none.  RUN returns the outcome, a word to compare with the field expect.
 */
void vectors_run(const char *folder, const char *codec, const char *(*run)(const struct vector *));

/* A field that must be there. */
const char *vector_field(const struct vector *vector, const char *name);

/* The same, decoded; all of them fail the test if they are not what they should be. */
struct uuid vector_uuid(const struct vector *vector, const char *name);
uint64_t vector_number(const struct vector *vector, const char *name);

/* Bytes given in hexadecimal; returns their number, at most CAPACITY. */
size_t vector_bytes(const struct vector *vector, const char *name, uint8_t *data, size_t capacity);

#endif
