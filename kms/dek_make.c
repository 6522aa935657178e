/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making DEKs without waiting for the key service: tickets of the ring.
 *
 * A DEK for a new snapshot brings the snapshot's id, because the key service binds a wrap to it: so it can be made before
 * anybody asks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "kms/dek_ring_internal.h"

static void made_free(struct ring_made *made)
{
	key_record_free(&made->record);
	dek_put(made->dek);
	free(made);
}

static void drop_made(struct ring_entry *entry)
{
	while (entry->made) {
		struct ring_made *made = entry->made;

		entry->made = made->next;
		made_free(made);
	}
	entry->made_count = 0;
}

/* A request borrows its texts; a copy owns them. */
static void free_text(const char *text)
{
	free((char *)(uintptr_t)text);
}

static void request_free(struct dek_request *request)
{
	struct recovery_key *keys = (struct recovery_key *)(uintptr_t)request->recovery_keys;

	for (size_t i = 0; i < request->alternate_count; i++)
		free_text(request->alternates[i]);
	free((const char **)(uintptr_t)request->alternates);

	for (size_t i = 0; i < request->recovery_key_count; i++) {
		free(keys[i].id);
		free(keys[i].pem);
	}
	free(keys);
	free_text(request->uri);
	*request = (struct dek_request){ 0 };
}

void ring_ticket_free(struct ring_entry *entry)
{
	drop_made(entry);
	request_free(&entry->request);
}

static int request_copy(const struct dek_request *request, struct dek_request *ret_copy)
{
	struct dek_request copy = { .context = request->context,
				    .timeout_ms = request->timeout_ms };
	struct recovery_key *keys = calloc(request->recovery_key_count + 1, sizeof(*keys));
	const char **alternates = calloc(request->alternate_count + 1, sizeof(*alternates));
	bool is_complete;

	copy.uri = strdup(request->uri);
	copy.recovery_keys = keys;
	copy.alternates = alternates;
	is_complete = keys && alternates && copy.uri;
	for (size_t i = 0; is_complete && i < request->alternate_count; i++) {
		alternates[i] = strdup(request->alternates[i]);
		is_complete = alternates[i] != NULL;
		copy.alternate_count++;
	}
	for (size_t i = 0; is_complete && i < request->recovery_key_count; i++) {
		keys[i].id = strdup(request->recovery_keys[i].id);
		keys[i].pem = strdup(request->recovery_keys[i].pem);
		is_complete = keys[i].id && keys[i].pem;
		copy.recovery_key_count++;
	}
	if (!is_complete) {
		request_free(&copy);
		return -ENOMEM;
	}
	*ret_copy = copy;
	return 0;
}

static bool request_equal(const struct dek_request *a, const struct dek_request *b)
{
	if (!a->uri || strcmp(a->uri, b->uri) != 0 ||
	    a->recovery_key_count != b->recovery_key_count ||
	    a->alternate_count != b->alternate_count ||
	    !uuid_equal(&a->context.volume, &b->context.volume) ||
	    !uuid_equal(&a->context.snapshot, &b->context.snapshot))
		return false;
	for (size_t i = 0; i < a->alternate_count; i++)
		if (strcmp(a->alternates[i], b->alternates[i]) != 0)
			return false;
	for (size_t i = 0; i < a->recovery_key_count; i++)
		if (strcmp(a->recovery_keys[i].id, b->recovery_keys[i].id) != 0)
			return false;
	return true;
}

/* Make one for what the ticket asks now.  Drops the lock while the service works. */
static int make_one(struct dek_ring *ring, struct ring_entry *entry, struct kms_error *reterr)
{
	struct ring_made *made = calloc(1, sizeof(*made));
	struct dek_request request = { 0 };
	int r = made ? request_copy(&entry->request, &request) : -ENOMEM;

	if (r < 0) {
		free(made);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	}
	pthread_mutex_unlock(&ring->lock);
	r = kms_create_dek(ring->options.kms, &request, &made->record, &made->dek, reterr);
	pthread_mutex_lock(&ring->lock);
	/* Asked for something else meanwhile (another default key): this one is not wanted any more. */
	if (r == 0 && entry->state == RING_WORKING && request_equal(&entry->request, &request)) {
		strcpy(entry->made_key_id, key_record_primary(&made->record)->key_id);
		LL_APPEND(entry->made, made);
		entry->made_count++;
	} else if (r == 0) {
		made_free(made);
	} else {
		free(made);
	}
	request_free(&request);
	return r;
}

static int work_make(struct dek_ring *ring, struct ring_entry *entry, struct kms_error *reterr)
{
	while (entry->state == RING_WORKING && entry->request.uri &&
	       entry->made_count < entry->wanted_count && !ring->is_stopping) {
		int r = make_one(ring, entry, reterr);

		if (r < 0)
			return r;
	}
	/* Withdrawn meanwhile: what was made before that verdict does not count. */
	if (entry->state == RING_REVOKED)
		return entry->error.code;
	entry->state = RING_IDLE;
	entry->wanted_count = entry->spare_count;
	return 0;
}

/* The entry of a ticket, asking for REQUEST.  With the lock held. */
static int ticket_get(struct dek_ring *ring, const struct uuid *ticket,
		      const struct dek_request *request, struct ring_entry **ret_entry)
{
	struct ring_entry *entry = ring_entry_get(ring, ticket);
	struct dek_request copy = { 0 };
	int r;

	if (!entry)
		return -ENOMEM;
	entry->work = work_make;
	if (!request_equal(&entry->request, request)) {
		r = request_copy(request, &copy);
		if (r < 0)
			return r;
		ring_ticket_free(entry);
		entry->request = copy;
		entry->made_key_id[0] = '\0';
		/* A failure of another key says nothing about this one. */
		if (entry->state == RING_FAILED || entry->state == RING_REVOKED)
			entry->state = RING_IDLE;
	}
	*ret_entry = entry;
	return 0;
}

/* Begin to make what is wanted, unless that is going on. */
static int ticket_start(struct dek_ring *ring, struct ring_entry *entry)
{
	int r;

	if (entry->state == RING_WORKING)
		return 0;
	r = ring_remembered(ring, entry);
	return r < 0 ? r : ring_start(ring, entry);
}

int dek_ring_take(struct dek_ring *ring, const struct uuid *ticket,
		  const struct dek_request *request, struct key_record *ret_record,
		  struct dek **ret_dek)
{
	struct ring_entry *entry = NULL;
	struct ring_made *made = NULL;
	int r;

	pthread_mutex_lock(&ring->lock);
	r = ticket_get(ring, ticket, request, &entry);
	if (r == 0 && entry->made) {
		made = entry->made;
		entry->made = made->next;
		entry->made_count--;
		/* Make the next spare while there is time; nobody waits for it. */
		entry->wanted_count = entry->spare_count;
		if (entry->spare_count)
			(void)!ticket_start(ring, entry);
	} else if (r == 0) {
		entry->wanted_count = entry->spare_count ? entry->spare_count : 1;
		r = ticket_start(ring, entry);
		if (r == 0)
			r = -EAGAIN;
	}
	pthread_mutex_unlock(&ring->lock);
	if (!made)
		return r;
	*ret_record = made->record;
	*ret_dek = made->dek;
	free(made);
	return 0;
}

int dek_ring_take_blocking(struct dek_ring *ring, const struct uuid *ticket,
			   const struct dek_request *request, struct key_record *ret_record,
			   struct dek **ret_dek, struct kms_error *reterr)
{
	int r;

	while ((r = dek_ring_take(ring, ticket, request, ret_record, ret_dek)) == -EAGAIN) {
		struct ring_entry *entry;

		pthread_mutex_lock(&ring->lock);
		entry = ring_entry_get(ring, ticket);
		while (entry && entry->state == RING_WORKING && !entry->made && !ring->is_stopping)
			pthread_cond_wait(&ring->has_outcome, &ring->lock);
		pthread_mutex_unlock(&ring->lock);
	}
	if (r < 0 && reterr && !dek_ring_failure(ring, ticket, reterr))
		(void)kms_fail(reterr, r, KEY_STATE_UNKNOWN, "making a data key: %s", strerror(-r));
	return r;
}

/* ---- Withdrawing ----------------------------------------------------------------------------- */

static bool is_made_under(const struct ring_entry *entry, const char *key_id)
{
	return entry->request.uri && strcmp(entry->made_key_id, key_id) == 0;
}

bool dek_ring_makes_under(struct dek_ring *ring, const char *key_id)
{
	struct ring_entry *entry, *next;
	bool is_found = false;

	pthread_mutex_lock(&ring->lock);
	HASH_ITER (hh, ring->entries, entry, next)
		is_found = is_found || is_made_under(entry, key_id);
	pthread_mutex_unlock(&ring->lock);
	return is_found;
}

void dek_ring_revoke_made(struct dek_ring *ring, const char *key_id, enum key_state state)
{
	struct ring_entry *entry, *next;

	pthread_mutex_lock(&ring->lock);
	HASH_ITER (hh, ring->entries, entry, next) {
		if (!is_made_under(entry, key_id))
			continue;
		drop_made(entry);
		/* A job that runs finds itself revoked; one that is queued does when it runs. */
		entry->state = RING_REVOKED;
		(void)kms_fail(&entry->error, key_state_errno(state), state, "key %s is %s", key_id,
			       key_state_name(state));
	}
	pthread_mutex_unlock(&ring->lock);
}

void dek_ring_restore_made(struct dek_ring *ring, const char *key_id)
{
	struct ring_entry *entry, *next;

	pthread_mutex_lock(&ring->lock);
	HASH_ITER (hh, ring->entries, entry, next) {
		if (!is_made_under(entry, key_id) || entry->state != RING_REVOKED)
			continue;
		entry->state = RING_IDLE;
		entry->wanted_count = entry->spare_count;
		if (entry->spare_count)
			(void)!ticket_start(ring, entry);
	}
	pthread_mutex_unlock(&ring->lock);
}

/* Only what asking its KEK needs. */
static bool copy_primary(const struct key_record *record, struct key_record *ret_copy)
{
	struct key_record copy = { .volume = record->volume,
				   .snapshot = record->snapshot,
				   .dek = record->dek,
				   .slots = calloc(1, sizeof(*copy.slots)),
				   .slot_count = 1 };

	if (!copy.slots)
		return false;
	copy.slots[0] = *key_record_primary(record);
	copy.slots[0].header = NULL;
	*ret_copy = copy;
	return true;
}

bool dek_ring_made_record(struct dek_ring *ring, size_t index, struct key_record *ret_record)
{
	struct ring_entry *entry, *next;
	bool is_found = false;

	pthread_mutex_lock(&ring->lock);
	HASH_ITER (hh, ring->entries, entry, next) {
		if (entry->made && index-- == 0) {
			is_found = copy_primary(&entry->made->record, ret_record);
			break;
		}
	}
	pthread_mutex_unlock(&ring->lock);
	return is_found;
}

int dek_ring_keep_spares(struct dek_ring *ring, const struct uuid *ticket,
			 const struct dek_request *request, unsigned count)
{
	struct ring_entry *entry = NULL;
	int r;

	pthread_mutex_lock(&ring->lock);
	r = ticket_get(ring, ticket, request, &entry);
	if (r == 0) {
		entry->spare_count = entry->wanted_count = count;
		if (!count)
			drop_made(entry);
		else if (entry->made_count < count)
			(void)!ticket_start(ring, entry);
	}
	pthread_mutex_unlock(&ring->lock);
	return r;
}
