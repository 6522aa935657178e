/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs of this host: which URIs were given here, and the last definite answer about each key. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/store/state_dir.h"
#include "fs/store/trust_internal.h"

#define KEKS_FILE "keys.json"

int trust_list_keks(struct trust *trust, struct kek_list *ret_list)
{
	char *text = NULL;
	size_t size;
	int r = state_dir_read(trust->state, KEKS_FILE, &text, &size);

	if (r == -ENOENT) {
		*ret_list = (struct kek_list){ 0 };
		return 0;
	}
	if (r < 0)
		return r;
	r = kek_list_decode((struct bytes){ (const uint8_t *)text, size }, ret_list);
	free(text);
	return r;
}

static int write_keks(struct trust *trust, const struct kek_list *list)
{
	char *text = NULL;
	int r = kek_list_encode(list, &text);

	if (r < 0)
		return r;
	r = state_dir_write(trust->state, KEKS_FILE, text);
	free(text);
	return r;
}

static bool is_text(const char *stored, const char *wanted)
{
	return stored && wanted && strcmp(stored, wanted) == 0;
}

/* True: something changed. */
static int add_uri(struct kek_list *list, const char *uri, const char *key_id)
{
	for (size_t i = 0; i < list->count; i++) {
		struct kek_entry *entry = &list->entries[i];

		if (!is_text(entry->uri, uri))
			continue;
		if (!key_id || is_text(entry->key_id, key_id))
			return 0;
		free(entry->key_id);
		entry->key_id = strdup(key_id);
		return entry->key_id ? 1 : -ENOMEM;
	}
	return kek_list_add(list, uri, key_id) ? 1 : -ENOMEM;
}

int trust_add_kek(struct trust *trust, const char *uri, const char *key_id)
{
	struct kek_list list = { 0 };
	int lock = state_dir_lock(trust->state, ".");
	int r;

	if (lock < 0)
		return lock;
	r = trust_list_keks(trust, &list);
	if (r == 0)
		r = add_uri(&list, uri, key_id);
	if (r > 0)
		r = write_keks(trust, &list);
	kek_list_free(&list);
	state_dir_unlock(trust->state, lock);
	return r;
}

static struct kek_entry *entry_of_answer(struct kek_list *list, const char *key_id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (is_text(list->entries[i].key_id, key_id) && list->entries[i].state[0] != '\0')
			return &list->entries[i];
	}
	for (size_t i = 0; i < list->count; i++) {
		if (is_text(list->entries[i].key_id, key_id))
			return &list->entries[i];
	}
	return kek_list_add(list, NULL, key_id);
}

static int set_state(struct kek_list *list, const char *key_id, enum key_state state)
{
	struct kek_entry *entry = entry_of_answer(list, key_id);

	if (!entry)
		return -ENOMEM;
	if (strcmp(entry->state, key_state_name(state)) == 0)
		return 0;
	strncpy(entry->state, key_state_name(state), sizeof(entry->state) - 1);
	entry->since_s = time(NULL);
	return 1;
}

int trust_see_key_state(struct trust *trust, const char *key_id, enum key_state state)
{
	struct kek_list list = { 0 };
	int lock;
	int r;

	if (state != KEY_STATE_ENABLED && !key_state_is_definite_no(state))
		return 0;
	lock = state_dir_lock(trust->state, ".");
	if (lock < 0)
		return lock;
	r = trust_list_keks(trust, &list);
	if (r == 0)
		r = set_state(&list, key_id, state);
	if (r > 0)
		r = write_keks(trust, &list);
	kek_list_free(&list);
	state_dir_unlock(trust->state, lock);
	return r;
}

static enum key_state state_by_name(const char *name)
{
	static const enum key_state states[] = { KEY_STATE_DISABLED, KEY_STATE_PENDING_DELETION,
						 KEY_STATE_DELETED, KEY_STATE_DENIED };

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (strcmp(key_state_name(states[i]), name) == 0)
			return states[i];
	}
	return KEY_STATE_UNKNOWN;
}

enum key_state trust_key_state(struct trust *trust, const char *key_id, int64_t *ret_since_s)
{
	struct kek_list list = { 0 };
	enum key_state state = KEY_STATE_UNKNOWN;

	if (trust_list_keks(trust, &list) < 0)
		return KEY_STATE_UNKNOWN;
	for (size_t i = 0; i < list.count; i++) {
		const struct kek_entry *entry = &list.entries[i];

		if (!is_text(entry->key_id, key_id) ||
		    state_by_name(entry->state) == KEY_STATE_UNKNOWN)
			continue;
		state = state_by_name(entry->state);
		if (ret_since_s)
			*ret_since_s = entry->since_s;
	}
	kek_list_free(&list);
	return state;
}
