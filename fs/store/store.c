/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a volume. */
#include "fs/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/journal.h"
#include "fs/store/store_internal.h"
#include "fs/store/tag_memory.h"
#include "kms/crypto/random.h"

int store_root_fd(const struct store *store)
{
	return store->root_fd;
}

const struct volume_record *store_volume(const struct store *store)
{
	return &store->volume;
}

const struct layout *store_layout(const struct store *store)
{
	return &store->layout;
}

bool store_is_encrypted(const struct store *store)
{
	return store->volume.is_encrypted;
}

bool store_is_writable(const struct store *store)
{
	return store->is_writable;
}

struct dek_ring *store_deks(struct store *store)
{
	return store->deks;
}

struct journal *store_journal(struct store *store)
{
	return store->journal;
}

struct recovery *store_recovery(struct store *store)
{
	return store->recovery;
}

const struct uuid *store_mount_id(const struct store *store)
{
	return &store->mount_id;
}

void store_report(struct store *store, int priority, const char *path, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (!store->report)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	store->report(store->report_arg, priority, path, text);
}

static struct store *store_new(int backing_fd, const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->control_fd = -1;
	store->lock_fd = -1;
	store->is_writable = options->access == STORE_WRITE;
	store->can_block = options->can_block;
	store->is_write_only = options->is_write_only;
	store->trust = options->trust;
	store->kms = options->kms;
	store->report = options->report;
	store->report_arg = options->report_arg;
	store->root_fd = fcntl(backing_fd, F_DUPFD_CLOEXEC, 0);
	if (store->root_fd < 0 || pthread_mutex_init(&store->mutex, NULL) != 0 ||
	    pthread_mutex_init(&store->index_mutex, NULL) != 0 ||
	    pthread_mutex_init(&store->removal_mutex, NULL) != 0 ||
	    pthread_rwlock_init(&store->creation_lock, NULL) != 0 ||
	    pthread_mutex_init(&store->watch_mutex, NULL) != 0) {
		if (store->root_fd >= 0)
			close(store->root_fd);
		free(store);
		return NULL;
	}
	return store;
}

static void store_free(struct store *store)
{
	store_free_snapshots(store);
	store_stop_keys(store);
	recovery_free(store->recovery);
	store_unlock(store, false);
	store_free_seals(store);
	volume_record_free(&store->volume);
	volume_record_free(&store->current);
	if (store->control_fd >= 0)
		close(store->control_fd);
	close(store->root_fd);
	pthread_mutex_destroy(&store->mutex);
	pthread_mutex_destroy(&store->watch_mutex);
	pthread_mutex_destroy(&store->index_mutex);
	pthread_mutex_destroy(&store->removal_mutex);
	pthread_rwlock_destroy(&store->creation_lock);
	free(store);
}

/* Before anything of the volume is believed: its control directory, and on a writable store the lock. */
static int open_locked(struct store *store, const struct store_options *options,
		       struct store_error *reterr)
{
	int r = random_uuid(&store->mount_id);

	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "random: %s", strerror(-r));
	r = store_open_control(store->root_fd, &store->control_fd, reterr);
	if (r < 0)
		return r;
	return store->is_writable ? store_lock(store, options->replaces_lease, reterr) : 0;
}

static int open_settings(struct store *store, const struct store_options *options,
			 struct store_error *reterr)
{
	int r = store_decide_settings(store, options, reterr);

	if (r < 0)
		return r;
	r = layout_init(store->volume.block_size, &store->layout);
	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "block size %u: %s",
				  store->volume.block_size, strerror(-r));
	return store_load_seals(store, reterr);
}

static int open_journals(struct store *store, struct store_error *reterr)
{
	int r;

	if (!store->volume.is_encrypted)
		return 0;
	r = recovery_scan(store, &store->recovery);
	if (r == 0 && store->is_writable)
		r = journal_create(store, &store->journal);
	return r < 0 ? store_fail(reterr, r, EXIT_STORAGE, "journal: %s", strerror(-r)) : 0;
}

static int open_all(struct store *store, const struct store_options *options,
		    struct store_error *reterr)
{
	int r = open_locked(store, options, reterr);

	if (r == 0)
		r = open_settings(store, options, reterr);
	if (r < 0)
		return r;
	r = store_start_keys(store, options->spare_keys);
	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "keys: %s", strerror(-r));
	r = open_journals(store, reterr);
	return r < 0 ? r : store_open_root_snapshot(store, reterr);
}

int store_open(int backing_fd, const struct store_options *options, struct store **ret_store,
	       struct store_error *reterr)
{
	struct store *store = store_new(backing_fd, options);
	int r;

	if (!store)
		return store_fail(reterr, -ENOMEM, EXIT_FAILED, "out of memory or descriptors");
	tags_set_keeper(&tag_keeper);
	r = open_all(store, options, reterr);
	if (r < 0) {
		if (store->journal)
			(void)journal_close(store->journal);
		store_free(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

int store_close(struct store *store)
{
	int r = 0;

	if (!store)
		return 0;
	if (store->journal) {
		r = journal_close(store->journal);
		store->journal = NULL;
	}
	if (store->is_writable && r == 0)
		store_clear_marks(store);
	store_unlock(store, r == 0);
	store_free(store);
	return r;
}
