/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way a change takes: straight into the backing file, or through the redo journal.  The states
 * are described in file_internal.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file_internal.h"

static int journal_begin(struct file *file)
{
	struct journal *journal = store_journal(file->store);
	struct journal_identity identity = {
		.snapshot = *snapshot_id(file->snapshot),
		.dek = file->dek,
		.path = file->path,
	};

	if (file->journal)
		return 0;
	if (!journal)
		return -EROFS;
	memcpy(identity.object_id, file->header.object_id, sizeof(identity.object_id));
	memcpy(identity.content_id, file->header.content_id, sizeof(identity.content_id));
	file->journaled_size = 0;
	return journal_file_open(journal, &identity, file->fd, &file->journal);
}

int prepare_change(struct file *file, uint64_t low)
{
	if (!is_journaled(file, low))
		return 0;
	if (file->direct_from != NEVER_DIRECT) {
		int r = retire(file);

		if (r < 0)
			return r;
	}
	return journal_begin(file);
}

/* Space for what the journal will put in place later: the writer must hear of ENOSPC now. */
static int reserve(struct file *file, const struct journal_change *change)
{
	bool is_longer = change->offset + change->data.size > file->sealed_size;

	if (change->data.size == 0 || (!is_longer && !may_tear(file)))
		return 0;
	if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)change->offset,
		      (off_t)change->data.size) == 0)
		return 0;
	return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

int journal_change(struct file *file, const struct journal_change *change)
{
	int r = reserve(file, change);

	if (r < 0)
		return r;
	r = journal_append(file->journal, change);
	if (r < 0)
		return r;
	file->has_pending = true;
	file->journaled_size += change->data.size;
	return 0;
}

int journal_run(struct file *file, const struct sealed_run *run)
{
	struct journal_change change = {
		.offset = layout_sealed_offset(file->layout, run->first),
		.data = { run->data, run->size },
		.is_exact = run->is_exact,
		.is_open = run->is_open,
	};
	int r = layout_sealed_size(file->layout, run->new_size, &change.result);

	if (r < 0)
		return r;
	return journal_change(file, &change);
}

int commit_pending(struct file *file)
{
	if (!file->journal || !file->has_pending)
		return 0;
	int r = journal_commit(file->journal);

	/* The error stays with the journal_file; what is pending goes on being overlaid. */
	if (r == 0)
		file->has_pending = false;
	return r;
}

int retire(struct file *file)
{
	if (!file->journal)
		return 0;
	int r = journal_retire(file->journal);

	file->journal = NULL;
	file->has_pending = false;
	if (r < 0) {
		file->direct_from = NEVER_DIRECT;
		file->failure = r;
		return r;
	}
	set_covered(file, file->size);
	return 0;
}

void set_covered(struct file *file, uint64_t size)
{
	file->covered_size = size;
	file->direct_from = size > 0 ? NEVER_DIRECT : 0;
	file->journaled_size = 0;
}
