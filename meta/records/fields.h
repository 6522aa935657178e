/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing the members of a record's JSON object.  Only meta/records/ may include this.
 *
 * A reader remembers the first thing that is wrong and returns zeros from then on: read all members,
 * then ask once with fields_end().
 */
#ifndef SNAPCRYPT_META_RECORDS_FIELDS_H
#define SNAPCRYPT_META_RECORDS_FIELDS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define FIELDS_NUMBER_MAX (UINT64_C(1) << 53)

struct fields {
	struct json_object *object; /* borrowed by members that are objects themselves */
	bool is_owner;
	int error; /* 0, -EBADMSG, -ENOTSUP or -ENOMEM */
};

/* Parse one JSON object, strictly: no more than one, no comments, valid UTF-8, no NUL, no member
 * twice. */
void fields_parse(struct fields *fields, struct bytes text);

/* Members of an object inside another. */
void fields_object(struct fields *parent, const char *name, struct fields *ret_fields);

/* `type` and `format` as expected, and all of `critical` among KNOWN (NULL-terminated). */
void fields_expect(struct fields *fields, const char *type, const char *const *known);

/* The same for an object that has no `type`. */
void fields_expect_format(struct fields *fields, const char *const *known);

/* Frees; the first error of all. */
MUST_CHECK int fields_end(struct fields *fields);
void fields_cleanup(struct fields *fields);
void fields_fail(struct fields *fields, int error);

bool fields_has(const struct fields *fields, const char *name);
uint64_t fields_number(struct fields *fields, const char *name, uint64_t min, uint64_t max);
void fields_uuid(struct fields *fields, const char *name, struct uuid *ret_uuid);
int64_t fields_time(struct fields *fields, const char *name);

/* base64url of exactly SIZE bytes. */
void fields_bytes(struct fields *fields, const char *name, uint8_t *data, size_t size);

/* base64url of at most CAPACITY bytes; returns how many. */
size_t fields_bytes_upto(struct fields *fields, const char *name, uint8_t *data, size_t capacity);

/* Text without NUL into a buffer of SIZE; longer text fails. */
void fields_text(struct fields *fields, const char *name, char *text, size_t size);

/* Text of at most MAX characters; free() it.  NULL on failure. */
char *fields_text_dup(struct fields *fields, const char *name, size_t max);

/* A name that may be bytes that are not UTF-8: `NAME` or `NAME_b64`; free() it. */
char *fields_name_dup(struct fields *fields, const char *name, size_t max);

/* The index of the member's text among WORDS. */
unsigned fields_word(struct fields *fields, const char *name, const char *const *words,
		     size_t word_count);

/* A non-NULL array of at most MAX elements, borrowed; NULL on failure. */
struct json_object *fields_array(struct fields *fields, const char *name, size_t max);

/* Element INDEX of ARRAY, which must be an object. */
void fields_element(struct fields *parent, struct json_object *array, size_t index,
		    struct fields *ret_fields);

/* Element INDEX of ARRAY as a UUID. */
void fields_element_uuid(struct fields *parent, struct json_object *array, size_t index,
			 struct uuid *ret_uuid);

/* A writer remembers that memory ran out or a value was out of range; ask once with draft_end(). */
struct draft {
	struct json_object *object;
	int error; /* 0, -ENOMEM or -EINVAL */
};

void draft_begin(struct draft *draft);
void draft_cleanup(struct draft *draft);
void draft_text(struct draft *draft, const char *name, const char *text);
void draft_name(struct draft *draft, const char *name, const char *text);
void draft_number(struct draft *draft, const char *name, uint64_t number);
void draft_uuid(struct draft *draft, const char *name, const struct uuid *uuid);
void draft_time(struct draft *draft, const char *name, int64_t time_s);
void draft_bytes(struct draft *draft, const char *name, struct bytes bytes);

/* OBJECT is given away, also on failure; NULL counts as out of memory. */
void draft_add(struct draft *draft, const char *name, struct json_object *object);

/* `type`, `format`, in that order, first in every record. */
void draft_record(struct draft *draft, const char *type);

/* One element more; what it owns is given away. */
void draft_append(struct draft *draft, struct json_object *array, struct draft *element);
void draft_append_uuid(struct draft *draft, struct json_object *array, const struct uuid *uuid);

/* The text on one line; free() it.  Frees the draft. */
MUST_CHECK int draft_end(struct draft *draft, char **ret_text);

/* The text without the closing brace: what a MAC covers. */
MUST_CHECK int draft_end_mac_input(struct draft *draft, char **ret_mac_input);

/* Take `,"mac":"..."}` off the end of a line.  -EBADMSG; free() *ret_mac_input. */
MUST_CHECK int fields_split_mac(struct bytes line, char **ret_mac_input, uint8_t mac[static 32]);
MUST_CHECK int fields_join_mac(const char *mac_input, const uint8_t mac[static 32],
			       char **ret_line);

#endif
