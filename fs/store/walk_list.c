/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in one directory of a walk: as listed below, or as a manifest says.
 *
 * Whenever another thread has nothing to do, a part of the entries goes to it, so that one directory of many files keeps all of
 * them busy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/entry.h"
#include "fs/store/walk_internal.h"

/* ---- One directory --------------------------------------------------------------------------- */

int walk_report(struct walk_directory *directory, const char *name, int error)
{
	const struct walk_visitor *visitor = directory->walk->visitor;

	return visitor->failed(visitor->arg, directory, name, error);
}

static bool is_other_snapshot(const struct walk_directory *directory, mode_t mode)
{
	return S_ISDIR(mode) &&
	       directory->place.depth + 1 == store_volume(directory->place.store)->snapshot_depth;
}

/* To be listed later, as it is a directory. */
static int push_below(struct walk_directory *directory, const struct walk_item *item)
{
	struct walk_directory *below = walk_directory_below(directory, item->name, item->backing);
	int r;

	if (!below)
		return -ENOMEM;
	below->stat = item->stat;
	below->index = item->index;
	below->sealed = item->sealed;
	r = walk_push(directory->walk, &(struct task){ .directory = below });
	if (r < 0)
		walk_directory_put(below);
	return r;
}

static int visit_entry(struct walk_directory *directory, const char *name, const char *backing)
{
	const struct walk_visitor *visitor = directory->walk->visitor;
	struct walk_item item = { .directory = directory, .name = name, .backing = backing };
	int r = entry_stat(&directory->place, backing, &item.stat);

	if (r < 0)
		return r == -ENOENT ? 0 : walk_report(directory, name, r);
	if (is_other_snapshot(directory, item.stat.st_mode))
		return 0;
	return S_ISDIR(item.stat.st_mode) ? push_below(directory, &item)
					  : visitor->visit(visitor->arg, &item);
}

int walk_visit_batch(struct walk_directory *directory, const struct batch *batch)
{
	const char *at = batch->names;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < batch->count; i++) {
		const char *name = at;
		const char *backing = name + strlen(name) + 1;

		at = backing + strlen(backing) + 1;
		r = walk_has_ended(directory->walk) ? -ECANCELED
						    : visit_entry(directory, name, backing);
	}
	return r;
}

static void batch_add(struct batch *batch, const struct entry *entry)
{
	const size_t name_size = strlen(entry->name) + 1;
	const size_t backing_size = strlen(entry->backing) + 1;

	memcpy(batch->names + batch->used, entry->name, name_size);
	memcpy(batch->names + batch->used + name_size, entry->backing, backing_size);
	batch->used += name_size + backing_size;
	batch->count++;
}

static bool batch_is_full(const struct batch *batch)
{
	return batch->count == BATCH_ENTRIES || batch->used > BATCH_NAMES_MAX - 2 * 256;
}

/* Give the batch to a thread that waits, or visit it here.  *BATCH is empty afterwards. */
static int pass_batch(struct walk_directory *directory, struct batch **batch)
{
	struct walk *walk = directory->walk;
	struct batch *next = atomic_load(&walk->waiting) > 0 ? malloc(sizeof(*next)) : NULL;
	int r;

	if (next) {
		r = walk_push(walk, &(struct task){ .directory = walk_directory_ref(directory),
						    .batch = *batch });
		if (r < 0) {
			walk_directory_put(directory);
			free(next);
			return r;
		}
		*batch = next;
	} else {
		r = walk_visit_batch(directory, *batch);
	}
	(*batch)->count = 0;
	(*batch)->used = 0;
	return r;
}

static int list(struct walk_directory *directory, struct entry_list *entries, struct batch **batch)
{
	const struct walk_visitor *visitor = directory->walk->visitor;
	struct entry entry;
	int r;

	while ((r = entry_list_next(entries, &entry)) > 0) {
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		batch_add(*batch, &entry);
		if (batch_is_full(*batch))
			r = pass_batch(directory, batch);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return walk_report(directory, NULL, r);
	if (entry_list_hidden(entries) > 0)
		r = visitor->hidden(visitor->arg, directory, entry_list_hidden(entries));
	return r < 0 || (*batch)->count == 0 ? r : walk_visit_batch(directory, *batch);
}

/* ---- One directory of a sealed snapshot ------------------------------------------------------ */

static int visit_sealed(struct walk_directory *directory, uint64_t place)
{
	struct walk *walk = directory->walk;
	struct sealed_entry entry;
	struct backing_name backing;
	struct walk_item item = { .directory = directory, .name = entry.name };
	int r = sealed_entry_at(walk->view, &directory->sealed, place, &entry);

	if (r == 0)
		r = sealed_object(walk->view, entry.object, &item.sealed);
	if (r < 0)
		return walk_report(directory, NULL, r);
	r = name_encode(&directory->place, entry.name, &backing);
	if (r < 0)
		return walk_report(directory, entry.name, r);
	item.backing = backing.text;
	item.index = entry.object;
	sealed_stat(walk->view, entry.object, &item.sealed, &item.stat);
	return S_ISDIR(item.stat.st_mode) ? push_below(directory, &item)
					  : walk->visitor->visit(walk->visitor->arg, &item);
}

int walk_visit_range(struct walk_directory *directory, uint64_t first, uint64_t count)
{
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < count; i++)
		r = walk_has_ended(directory->walk) ? -ECANCELED
						    : visit_sealed(directory, first + i);
	return r;
}

/* Give the range to a thread that waits, or visit it here. */
static int pass_range(struct walk_directory *directory, uint64_t first, uint64_t count)
{
	int r;

	if (atomic_load(&directory->walk->waiting) == 0)
		return walk_visit_range(directory, first, count);
	r = walk_push(directory->walk, &(struct task){ .directory = walk_directory_ref(directory),
						       .first = first,
						       .count = count });
	if (r < 0)
		walk_directory_put(directory);
	return r;
}

static int list_sealed(struct walk_directory *directory)
{
	uint64_t count = 0;
	int r = sealed_entry_count(directory->walk->view, &directory->sealed, &count);

	if (r < 0)
		return walk_report(directory, NULL, r);
	for (uint64_t first = 0; r == 0 && first < count; first += BATCH_ENTRIES)
		r = pass_range(directory, first,
			       count - first < BATCH_ENTRIES ? count - first : BATCH_ENTRIES);
	return r;
}

static int list_below(struct walk_directory *directory)
{
	struct entry_list *entries = NULL;
	struct batch *batch;
	int r = entry_list_open(&directory->place, &entries);

	if (r < 0)
		return walk_report(directory, NULL, r);
	batch = malloc(sizeof(*batch));
	if (!batch) {
		entry_list_close(entries);
		return -ENOMEM;
	}
	batch->count = 0;
	batch->used = 0;
	r = list(directory, entries, &batch);
	free(batch);
	entry_list_close(entries);
	return r;
}

int walk_list(struct walk_directory *directory)
{
	return directory->walk->view ? list_sealed(directory) : list_below(directory);
}
