/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands beside exported files: the lists of their digests, and the completion marker, which is written last and durably,
 * so that an export without one is known not to be whole.
 */
#ifndef SNAPCRYPT_FS_EXPORT_OUTPUT_H
#define SNAPCRYPT_FS_EXPORT_OUTPUT_H

#include <stddef.h>

#include "meta/macros.h"

#define EXPORT_MARKER_NAME ".snapcrypt-export.json"

/* Take away what an earlier export has left in the directory, its marker first. */
MUST_CHECK int output_clear(int dir_fd);

/* Store a list of digests, durable. */
MUST_CHECK int output_put(int dir_fd, const char *name, const void *data, size_t size);

/* Everything in the directory's filesystem, then the marker. */
MUST_CHECK int output_mark(int dir_fd, const char *text);

#endif
