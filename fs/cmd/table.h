/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on standard output; the one door to libsmartcols.  Nothing is ever cut off. */
#ifndef SNAPCRYPT_FS_CMD_TABLE_H
#define SNAPCRYPT_FS_CMD_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "meta/macros.h"

struct table_column {
	const char *heading;
	bool is_number; /* aligned to the right */
};

struct table;

/* -ENOMEM. */
MUST_CHECK int table_new(const struct table_column *columns, size_t column_count,
			 struct table **ret_table);

/* Add a row of as many CELLS as there are columns; NULL cells are empty.  -ENOMEM. */
MUST_CHECK int table_add(struct table *table, const char *const *cells);

void table_print(struct table *table);
void table_free(struct table *table);
void table_cleanup(struct table **table);

#endif
