/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that grows, for requests to key services: JSON bodies, forms, headers, paths.
 *
 * It may hold secrets: it is wiped when it grows and when it is freed.  What does not fit is remembered; look once, at the end.
 */
#ifndef SNAPCRYPT_KMS_TEXT_H
#define SNAPCRYPT_KMS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define TEXT_MAX ((size_t)256 * 1024)

/* Zero-initialise; text_free().  `data` ends with a NUL, or is NULL while nothing was added. */
struct text {
	char *data;
	size_t size;
	size_t capacity;
	bool has_failed;
};

void text_free(struct text *text);

void text_add(struct text *text, const char *piece);
void text_add_bytes(struct text *text, struct bytes piece);
__attribute__((format(printf, 2, 3))) void text_add_format(struct text *text, const char *format,
							   ...);

/* A JSON string with its quotes. */
void text_add_json(struct text *text, const char *value);

/* Percent-encode all but unreserved characters. */
void text_add_escaped(struct text *text, struct bytes value);

/* NAME=VALUE of a form, VALUE percent-encoded, with '&' before all but the first. */
void text_add_field(struct text *text, const char *name, struct bytes value);

void text_add_base64(struct text *text, struct bytes value);
void text_add_base64url(struct text *text, struct bytes value);

struct bytes text_bytes(const struct text *text);

/* 0, or -ENOMEM: something did not fit. */
MUST_CHECK int text_check(const struct text *text);

#endif
