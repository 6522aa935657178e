/* SPDX-License-Identifier: Apache-2.0 */
/* What is listed of one snapshot. */
#include "fs/cmd/snapshot_row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control/retention_change.h"
#include "fs/store/key_list.h"
#include "meta/key_id.h"
#include "meta/records/identity.h"
#include "meta/records/record.h"

const char *snapshot_kind_word(enum snapshot_kind kind)
{
	switch (kind) {
	case SNAPSHOT_STREAM:
		return "stream";
	case SNAPSHOT_ROOT:
		return "root";
	default:
		return "snapshot";
	}
}

void snapshot_row_free(struct snapshot_row *row)
{
	for (size_t i = 0; i < row->key_id_count; i++)
		free(row->key_ids[i]);
	free(row->key_ids);
	seal_free(&row->seal);
	labels_record_free(&row->labels);
	free(row->retention);
	free(row->name);
	memset(row, 0, sizeof(*row));
}

void snapshot_rows_free(struct snapshot_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		snapshot_row_free(&rows->rows[i]);
	free(rows->rows);
	*rows = (struct snapshot_rows){ 0 };
}

static int count_usage(struct store *store, struct snapshot *snapshot, int fd,
		       struct snapshot_row *row)
{
	const struct usage_options options = {
		.layout = row->is_encrypted ? store_layout(store) : NULL,
		.has_sidecars = row->is_encrypted && snapshot_has_encrypted_names(snapshot),
		.skip_depth = row->kind == SNAPSHOT_ROOT ? store_volume(store)->snapshot_depth : 0,
	};
	const int r = usage_count(fd, &options, &row->usage);

	row->is_counted = r == 0;
	/* A snapshot that may not be read is still listed. */
	return r == -EACCES || r == -EPERM ? 0 : r;
}

/* What only the identity itself says: whose signature it carries, and the period of a stream. */
static void read_identity(int fd, struct snapshot_row *row)
{
	uint8_t *data = malloc(RECORD_SIZE_MAX);
	const int file = openat(fd, IDENTITY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = -1;
	struct record record;
	struct identity identity;

	if (data != NULL && file >= 0)
		size = pread(file, data, RECORD_SIZE_MAX, 0);
	if (size >= 0 && record_split((struct bytes){ data, (size_t)size }, &record) == 0) {
		if (trust_fingerprint(record.public_key, row->writer) < 0)
			row->writer[0] = '\0';
		if (identity_decode(record.line, &identity) == 0) {
			row->period_s = identity.period_s;
			identity_free(&identity);
		}
	}
	if (file >= 0)
		close(file);
	free(data);
}

/* The key of the snapshot's own data key comes first, those of linked files after it. */
static void put_own_key_first(struct store *store, const struct snapshot *snapshot,
			      struct snapshot_row *row)
{
	struct key_record record = { 0 };

	if (uuid_is_zero(snapshot_dek_id(snapshot)) ||
	    store_key_record(store, snapshot_dek_id(snapshot), &record, NULL) < 0)
		return;
	for (size_t i = 1; i < row->key_id_count; i++) {
		char *key_id = row->key_ids[i];

		if (strcmp(key_id, key_record_primary(&record)->key_id) != 0)
			continue;
		memmove(&row->key_ids[1], &row->key_ids[0], i * sizeof(*row->key_ids));
		row->key_ids[0] = key_id;
		break;
	}
	key_record_free(&record);
}

int snapshot_row_read(struct store *store, struct snapshot *snapshot, int fd,
		      struct snapshot_row *ret_row)
{
	struct snapshot_row row = {
		.name = strdup(snapshot_name(snapshot)),
		.kind = snapshot_kind(snapshot),
		.state = snapshot_state(snapshot),
	};
	int r = row.name == NULL ? -ENOMEM : 0;

	if (r == 0 && row.state != SNAPSHOT_FOREIGN) {
		row.id = *snapshot_id(snapshot);
		row.created_s = snapshot_created_s(snapshot);
		row.is_encrypted = snapshot_is_encrypted(snapshot);
		row.is_trusted = snapshot_is_trusted(snapshot);
		read_identity(fd, &row);
		row.has_seal = seal_of_snapshot(store, &row.id, &row.seal) == 0;
		/* What cannot be believed is a finding of verify, and keeps prune from deleting; here there is nothing to show. */
		if (labels_load(store, &row.id, &row.labels) < 0)
			row.labels = (struct labels_record){ 0 };
		r = count_usage(store, snapshot, fd, &row);
		if (r == 0 && row.is_encrypted)
			r = snapshot_key_ids(snapshot, &row.key_ids, &row.key_id_count);
		if (r == 0 && row.is_encrypted)
			put_own_key_first(store, snapshot, &row);
	}
	if (r < 0) {
		snapshot_row_free(&row);
		return r;
	}
	*ret_row = row;
	return 0;
}

struct reading {
	struct store *store;
	struct snapshot_rows rows;
};

static int read_row(void *arg, struct snapshot *snapshot, int fd)
{
	struct reading *reading = arg;
	struct snapshot_row *more = reallocarray(reading->rows.rows, reading->rows.count + 1,
						 sizeof(*more));
	int r = 0;

	if (more == NULL)
		return -ENOMEM;
	reading->rows.rows = more;
	r = snapshot_row_read(reading->store, snapshot, fd, &more[reading->rows.count]);
	if (r == 0)
		reading->rows.count++;
	return r;
}

static int compare_rows(const void *a, const void *b)
{
	const struct snapshot_row *first = a;
	const struct snapshot_row *second = b;

	return strcmp(first->name, second->name);
}

/* The root snapshot is there in every volume; an empty one would only confuse. */
static int read_root(struct reading *reading)
{
	struct snapshot *root = snapshot_root(reading->store);
	const int r = root == NULL ? -ENOMEM
				   : read_row(reading, root, store_root_fd(reading->store));

	snapshot_put(root);
	if (r == 0 && reading->rows.rows[0].usage.files == 0 &&
	    reading->rows.rows[0].key_id_count == 0) {
		snapshot_row_free(&reading->rows.rows[0]);
		reading->rows.count = 0;
	}
	return r;
}

int snapshot_rows_read(struct store *store, struct snapshot_rows *ret_rows)
{
	struct reading reading = { .store = store };
	int r = read_root(&reading);

	if (r == 0)
		r = snapshot_each(store, read_row, &reading);
	if (r < 0) {
		snapshot_rows_free(&reading.rows);
		return r;
	}
	if (reading.rows.count > 0)
		qsort(reading.rows.rows, reading.rows.count, sizeof(*reading.rows.rows),
		      compare_rows);
	*ret_rows = reading.rows;
	return 0;
}

const char *snapshot_row_was(const struct snapshot_row *row)
{
	const char *name = row->has_seal ? row->seal.record.name : NULL;

	return name != NULL && strcmp(name, row->name) != 0 ? name : NULL;
}

char *snapshot_row_keys(const struct snapshot_row *row)
{
	size_t size = 1;
	char *text = NULL;

	if (row->state == SNAPSHOT_FOREIGN)
		return strdup("-");
	if (!row->is_encrypted)
		return strdup("Not enabled");
	for (size_t i = 0; i < row->key_id_count; i++)
		size += strlen(row->key_ids[i]) + 2;
	text = calloc(1, size);
	for (size_t i = 0; text != NULL && i < row->key_id_count; i++) {
		if (i > 0)
			strcat(text, ", ");
		strcat(text, row->key_ids[i]);
	}
	return text;
}

bool snapshot_row_needs_key(const struct snapshot_row *row, const char *key_id)
{
	for (size_t i = 0; i < row->key_id_count; i++)
		if (key_id_matches(row->key_ids[i], key_id))
			return true;
	return false;
}

void snapshot_row_json(const struct snapshot_row *row, struct json_object *object)
{
	const bool has_identity = row->state != SNAPSHOT_FOREIGN;
	struct json_object *key_ids = document_new_array();

	document_add_path(object, "name", row->name);
	document_add_uuid(object, "id", has_identity ? &row->id : NULL);
	document_add_text(object, "kind", snapshot_kind_word(row->kind));
	document_add_text(object, "state", snapshot_state_name(row->state));
	document_add_path(object, "was", snapshot_row_was(row));
	document_add_time(object, "created", row->created_s);
	document_add_time(object, "sealed", row->has_seal ? row->seal.record.sealed_s : 0);
	if (row->is_counted) {
		document_add_number(object, "bytes", row->usage.bytes);
		document_add_number(object, "files", row->usage.files);
	} else {
		document_add_null(object, "bytes");
		document_add_null(object, "files");
	}
	document_add_text(object, "encryption_key_id",
			  row->key_id_count > 0 ? row->key_ids[0] : NULL);
	for (size_t i = 0; i < row->key_id_count; i++)
		document_append_text(key_ids, row->key_ids[i]);
	document_add(object, "encryption_key_ids", key_ids);
	document_add_bool(object, "origin_verified", row->is_trusted);
	document_add_text(object, "writer", row->writer[0] == '\0' ? NULL : row->writer);
	labels_document(&row->labels, object);
}
