/* SPDX-License-Identifier: Apache-2.0 */
/* Which snapshots have a slot under some keys. */
#include "fs/cmd/slot_needs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/key_list.h"

void slot_needs_free(struct slot_needs *needs)
{
	for (size_t i = 0; i < needs->count; i++)
		free(needs->needs[i].snapshots);
	free(needs->needs);
	*needs = (struct slot_needs){ 0 };
}

struct slot_need *slot_needs_get(struct slot_needs *needs, const char *key_id)
{
	struct slot_need *more = NULL;

	for (size_t i = 0; i < needs->count; i++)
		if (strcmp(needs->needs[i].key_id, key_id) == 0)
			return &needs->needs[i];
	more = reallocarray(needs->needs, needs->count + 1, sizeof(*more));
	if (more == NULL)
		return NULL;
	needs->needs = more;
	more = &needs->needs[needs->count++];
	*more = (struct slot_need){ 0 };
	strncpy(more->key_id, key_id, sizeof(more->key_id) - 1);
	return more;
}

static int add(struct slot_need *need, const struct uuid *snapshot)
{
	struct uuid *more = NULL;

	/* Doubled when it is full: a volume may have many. */
	if ((need->count & (need->count - 1)) == 0) {
		more = reallocarray(need->snapshots, need->count == 0 ? 1 : need->count * 2,
				    sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		need->snapshots = more;
	}
	need->snapshots[need->count++] = *snapshot;
	return 0;
}

int slot_need_add(struct slot_need *need, struct store *store, const struct key_record *record)
{
	struct uuid *others = NULL;
	size_t count = 0;
	int r = key_list_needed_by(store, &record->dek, &others, &count);

	if (r == 0)
		r = add(need, &record->snapshot);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add(need, &others[i]);
	free(others);
	return r;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static void sort_one(struct slot_need *need)
{
	size_t kept = 0;

	if (need->count == 0)
		return;
	qsort(need->snapshots, need->count, sizeof(*need->snapshots), compare);
	for (size_t i = 0; i < need->count; i++)
		if (kept == 0 || !uuid_equal(&need->snapshots[kept - 1], &need->snapshots[i]))
			need->snapshots[kept++] = need->snapshots[i];
	need->count = kept;
}

void slot_needs_sort(struct slot_needs *needs)
{
	for (size_t i = 0; i < needs->count; i++)
		sort_one(&needs->needs[i]);
}

size_t slot_need_count_freed(const struct slot_need *before, const struct slot_need *after)
{
	size_t freed = 0;

	for (size_t i = 0; i < before->count; i++)
		if (after->count == 0 ||
		    bsearch(&before->snapshots[i], after->snapshots, after->count,
			    sizeof(*after->snapshots), compare) == NULL)
			freed++;
	return freed;
}
