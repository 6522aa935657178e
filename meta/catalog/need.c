/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys the snapshots of one volume need. */
#include "meta/catalog/need.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void need_list_free(struct need_list *list)
{
	for (size_t i = 0; i < list->key_count; i++) {
		free(list->keys[i].provider);
		free(list->keys[i].key_id);
		free(list->keys[i].alias);
	}
	for (size_t i = 0; i < list->snapshot_count; i++)
		free(list->snapshots[i].name);
	free(list->keys);
	free(list->snapshots);
	free(list->uses);
	memset(list, 0, sizeof(*list));
}

/* Room for one more of SIZE bytes each: arrays double, beginning with 16. */
static int make_room(void **array, size_t count, size_t size)
{
	void *grown = NULL;

	if (count >= UINT32_MAX)
		return -EOVERFLOW;
	if (count != 0 && (count < 16 || (count & (count - 1)) != 0))
		return 0;
	grown = reallocarray(*array, count == 0 ? 16 : count * 2, size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	return 0;
}

int need_list_add_key(struct need_list *list, const char *provider, const char *key_id,
		      const char *alias, uint32_t *ret_index)
{
	const char *alias_text = alias ? alias : "";
	struct need_key key;
	int r;

	for (size_t i = list->key_count; i > 0; i--) {
		const struct need_key *known = &list->keys[i - 1];

		if (strcmp(known->key_id, key_id) == 0 && strcmp(known->alias, alias_text) == 0 &&
		    strcmp(known->provider, provider) == 0) {
			*ret_index = (uint32_t)(i - 1);
			return 0;
		}
	}
	r = make_room((void **)&list->keys, list->key_count, sizeof(*list->keys));
	if (r < 0)
		return r;
	key = (struct need_key){ strdup(provider), strdup(key_id), strdup(alias_text) };
	*ret_index = (uint32_t)list->key_count;
	list->keys[list->key_count++] = key;
	return key.provider && key.key_id && key.alias ? 0 : -ENOMEM;
}

int need_list_add_snapshot(struct need_list *list, const struct need_snapshot *snapshot,
			   uint32_t *ret_index)
{
	char *name = strdup(snapshot->name);
	int r = name ? make_room((void **)&list->snapshots, list->snapshot_count,
				 sizeof(*list->snapshots))
		     : -ENOMEM;

	if (r < 0) {
		free(name);
		return r;
	}
	*ret_index = (uint32_t)list->snapshot_count;
	list->snapshots[list->snapshot_count] = *snapshot;
	list->snapshots[list->snapshot_count++].name = name;
	return 0;
}

int need_list_add_use(struct need_list *list, const struct need_use *use)
{
	int r = make_room((void **)&list->uses, list->use_count, sizeof(*list->uses));

	if (r < 0)
		return r;
	list->uses[list->use_count++] = *use;
	return 0;
}

static int compare_uses(const void *a, const void *b)
{
	const struct need_use *left = a;
	const struct need_use *right = b;

	if (left->snapshot != right->snapshot)
		return left->snapshot < right->snapshot ? -1 : 1;
	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return (int)left->role - (int)right->role;
}

void need_list_finish(struct need_list *list)
{
	size_t kept = 0;

	if (list->use_count == 0)
		return;
	qsort(list->uses, list->use_count, sizeof(*list->uses), compare_uses);
	for (size_t i = 1; i < list->use_count; i++) {
		if (compare_uses(&list->uses[kept], &list->uses[i]) == 0)
			list->uses[kept].dek_count += list->uses[i].dek_count;
		else
			list->uses[++kept] = list->uses[i];
	}
	/* What is behind the last keeps its room: nothing is added any more. */
	list->use_count = kept + 1;
}

bool need_list_is_complete(const struct need_list *list)
{
	return list->is_stable && list->damaged_count == 0 && list->unusable_count == 0 &&
	       list->unreadable_count == 0;
}
