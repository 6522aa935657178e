/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON replies of key services and of credential sources: one bounded object, wiped when freed.
 *
 * Members are named by paths: "error.innererror.code", array elements by number: "keys.0.kid".  A member that is missing,
 * of another type, too long, or holds a NUL reads as not there.
 */
#ifndef SNAPCRYPT_KMS_JSON_READER_H
#define SNAPCRYPT_KMS_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/bytes.h"
#include "meta/macros.h"

struct secret;
struct json_reader;

/* One JSON object and nothing behind it, at most 16 deep.  -EPROTO, -ENOMEM. */
MUST_CHECK int json_reader_parse(struct bytes text, struct json_reader **ret_reader);

/* Accepts NULL. */
void json_reader_free(struct json_reader *reader);
void json_reader_cleanup(struct json_reader **reader);

/* All of these accept a NULL reader, which has no members. */
bool json_reader_has(const struct json_reader *reader, const char *path);

/* Borrowed until json_reader_free(); NULL: not there. */
const char *json_reader_text(const struct json_reader *reader, const char *path);

/* Copied; false: not there, or longer than SIZE - 1. */
bool json_reader_copy_text(const struct json_reader *reader, const char *path, char *text,
			   size_t size);

/* A whole number, or one with a fraction, which is cut off, or either written as text (GCP writes int64 so). */
bool json_reader_number(const struct json_reader *reader, const char *path, int64_t *ret_number);
bool json_reader_bool(const struct json_reader *reader, const char *path, bool *ret_value);

/* Is there a member, and is it true?  What a service must assert is asserted by nothing else. */
bool json_reader_is_true(const struct json_reader *reader, const char *path);

/* Name of a member of an object, in the order of the text; NULL: there are not so many. */
const char *json_reader_name(const struct json_reader *reader, const char *path, size_t index);

/* Elements of an array, 0: not there. */
size_t json_reader_count(const struct json_reader *reader, const char *path);

enum json_base64 { JSON_BASE64, JSON_BASE64URL };

/* Number of bytes; -EPROTO: not there, or not of that form, or more than CAPACITY. */
MUST_CHECK ssize_t json_reader_bytes(const struct json_reader *reader, const char *path,
				     enum json_base64 form, uint8_t *data, size_t capacity);

/* The same into secret memory; of exactly SIZE bytes, or of 1 to 64 KiB when SIZE is 0.  -EPROTO, -ENOMEM. */
MUST_CHECK int json_reader_secret(const struct json_reader *reader, const char *path,
				  enum json_base64 form, size_t size, struct secret **ret_secret);

/* A text into secret memory, without NUL. */
MUST_CHECK int json_reader_secret_text(const struct json_reader *reader, const char *path,
				       struct secret **ret_secret);

#endif
