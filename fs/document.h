/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON objects as commands print them and the control socket speaks them; the one door to json-c.
 *
 * Building cannot fail half-way: memory that cannot be had ends the program, as it would in any of
 * the libraries below.  Text that is not UTF-8 is never put out as it is: document_add_path() replaces
 * bad bytes and adds the exact bytes as NAME_b64.
 */
#ifndef SNAPCRYPT_FS_DOCUMENT_H
#define SNAPCRYPT_FS_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "meta/macros.h"
#include "meta/uuid.h"

/* json-c's own type; owned by whoever made it until it is added to another. */
struct json_object;

struct json_object *document_new_object(void);
struct json_object *document_new_array(void);
void document_free(struct json_object *object);
void document_cleanup(struct json_object **object);

/* Start the output of a command: {"schema": SCHEMA}. */
struct json_object *document_new_output(const char *schema);

/* NULL text, a NULL UUID and time 0 become null. */
void document_add_text(struct json_object *object, const char *name, const char *text);
void document_add_path(struct json_object *object, const char *name, const char *path);
void document_add_uuid(struct json_object *object, const char *name, const struct uuid *uuid);
void document_add_time(struct json_object *object, const char *name, int64_t time_s);
void document_add_number(struct json_object *object, const char *name, uint64_t number);
void document_add_bool(struct json_object *object, const char *name, bool value);
void document_add_null(struct json_object *object, const char *name);

/* CHILD becomes a part of OBJECT. */
void document_add(struct json_object *object, const char *name, struct json_object *child);
void document_append(struct json_object *array, struct json_object *child);
void document_append_text(struct json_object *array, const char *text);

void document_remove(struct json_object *object, const char *name);

/* Another owner of OBJECT. */
struct json_object *document_share(struct json_object *object);

/* Members, or NULL, 0, false where there is none of that type. */
const char *document_text(const struct json_object *object, const char *name);
uint64_t document_number(const struct json_object *object, const char *name);
bool document_is_true(const struct json_object *object, const char *name);
struct json_object *document_member(const struct json_object *object, const char *name);
size_t document_length(const struct json_object *array);
struct json_object *document_element(const struct json_object *array, size_t index);
const char *document_element_text(const struct json_object *array, size_t index);

/* An object read from SIZE bytes of text, or NULL.  Bounded depth. */
struct json_object *document_read(const char *text, size_t size);

/* One line without its end; valid as long as OBJECT is not changed. */
const char *document_line(struct json_object *object);

/* For people and programs: indented, ended by a newline. */
void document_print(struct json_object *object, FILE *stream);

#endif
