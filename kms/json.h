/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON replies of key services and their logins: bounded in size and depth, strict about types.
 *
 * Paths name members of objects, separated by dots: "error.innererror.code".  Everything given out lives as long as the root.
 */
#ifndef SNAPCRYPT_KMS_JSON_H
#define SNAPCRYPT_KMS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define JSON_DEPTH_MAX 16

/* A value. */
struct json;

/* Read one value and nothing behind it but white space.  -EBADMSG, -ENOMEM. */
MUST_CHECK int json_parse(struct bytes text, struct json **ret_root);

/* Only for a root.  Accepts NULL.  What json-c held of secrets is wiped as far as it can be reached. */
void json_free(struct json *root);
void json_cleanup(struct json **root);

/* A value of any type; NULL: not there.  PATH NULL: the value itself. */
const struct json *json_get(const struct json *value, const char *path);

/* A string without a NUL inside; NULL: not there, or not such a string. */
const char *json_text(const struct json *value, const char *path);

/* An integer, or a string of decimal digits with an optional minus. */
bool json_number(const struct json *value, const char *path, int64_t *ret_number);

/* FALLBACK for everything but true and false. */
bool json_truth(const struct json *value, const char *path, bool fallback);

/* Elements of an array; 0: not an array. */
size_t json_count(const struct json *value, const char *path);
const struct json *json_element(const struct json *value, const char *path, size_t index);

/* Members of an object in their order; NULL beyond the last.  For headers that a configuration file lists. */
const char *json_member_name(const struct json *value, const char *path, size_t index);

#endif
