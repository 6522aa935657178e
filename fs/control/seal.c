/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing a snapshot for a command. */
#include "fs/control/seal.h"

#include <errno.h>
#include <string.h>

#include "fs/control/changes.h"
#include "meta/exit_code.h"

void seal_document(const struct seal *seal, struct json_object *object)
{
	const struct seal_record *record = &seal->record;
	char root[SEAL_ROOT_TEXT_SIZE];

	document_add_number(object, "sequence", record->sequence);
	document_add_time(object, "time", record->sealed_s);
	document_add_path(object, "name", record->name);
	seal_root_format(seal->root, root);
	document_add_text(object, "root", root);
	if (record->has_previous) {
		seal_root_format(record->previous, root);
		document_add_text(object, "previous", root);
	} else {
		document_add_null(object, "previous");
	}
	document_add_text(object, "writer", seal->writer);
	document_add_bool(object, "origin_verified", trust_origin_is_trusted(seal->origin));
	document_add_number(object, "files", record->counts.files);
	document_add_number(object, "directories", record->counts.directories);
	document_add_number(object, "symlinks", record->counts.symlinks);
	document_add_number(object, "special", record->counts.special);
	document_add_number(object, "bytes", record->counts.bytes);
	document_add_number(object, "blocks", record->counts.blocks);
	document_add_number(object, "remembered", record->roots_remembered);
	document_add_number(object, "reread", record->roots_reread);
}

int change_seal(struct store *store, const char *text, const struct seal_options *options,
		struct json_object *object, struct store_error *reterr)
{
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	struct snapshot *snapshot = NULL;
	int r = change_find_snapshot(store, text, &snapshot, NULL, reterr);

	if (r < 0)
		return r;
	r = snapshot_seal(snapshot, options, &seal, reterr);
	if (r == 0) {
		document_add_path(object, "snapshot", snapshot_name(snapshot));
		document_add_uuid(object, "id", snapshot_id(snapshot));
		seal_document(&seal, object);
	}
	snapshot_put(snapshot);
	return r;
}
