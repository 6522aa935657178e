/* SPDX-License-Identifier: Apache-2.0 */
/* Tables through libsmartcols. */
#include "fs/cmd/table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>

struct table {
	struct libscols_table *lines;
	size_t column_count;
};

int table_new(const struct table_column *columns, size_t column_count, struct table **ret_table)
{
	CLEANUP(table_cleanup) struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	scols_init_debug(0);
	table->lines = scols_new_table();
	table->column_count = column_count;
	if (table->lines == NULL || scols_table_set_column_separator(table->lines, "  ") != 0)
		return -ENOMEM;
	/* A terminal narrower than a key id must not fold or cut it. */
	scols_table_set_termforce(table->lines, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < column_count; i++)
		if (scols_table_new_column(table->lines, columns[i].heading, 0,
					   columns[i].is_number ? SCOLS_FL_RIGHT : 0) == NULL)
			return -ENOMEM;
	*ret_table = TAKE(table);
	return 0;
}

int table_add(struct table *table, const char *const *cells)
{
	struct libscols_line *line = scols_table_new_line(table->lines, NULL);

	if (line == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < table->column_count; i++)
		if (scols_line_set_data(line, i, cells[i]) != 0)
			return -ENOMEM;
	return 0;
}

void table_print(struct table *table)
{
	scols_print_table(table->lines);
}

void table_free(struct table *table)
{
	if (table == NULL)
		return;
	scols_unref_table(table->lines);
	free(table);
}

void table_cleanup(struct table **table)
{
	table_free(*table);
	*table = NULL;
}
