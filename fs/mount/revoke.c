/* SPDX-License-Identifier: Apache-2.0 */
/* Withdrawing a DEK from a running mount, and what else others may ask of one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fs/mount/session.h"
#include "fs/mount/withdrawal.h"
#include "fs/store/file.h"

static void report_losses(struct mount *mount, int error)
{
	if (error < 0)
		store_report(mount->store, LOG_ERR, "",
			     "writes under a withdrawn key were lost: %s", strerror(-error));
}

void mount_revoke_dek(struct mount *mount, const struct uuid *dek_id, enum key_state state)
{
	int error = key_state_errno(state);
	struct withdrawal withdrawal = {
		.mount = mount,
		.dek_id = dek_id,
		.number = open_files_dek_number(mount->files, dek_id),
	};

	/* No new use; what runs comes to its end; what was acknowledged is written while the key is here. */
	open_files_refuse(mount->files, dek_id, error);
	int r = files_flush_dek(mount->store, dek_id);

	pthread_rwlock_rdlock(&mount->namespace_lock);
	withdrawal_note(&withdrawal);
	pthread_rwlock_unlock(&mount->namespace_lock);
	int closed = open_files_withdraw(mount->files, dek_id, error);

	report_losses(mount, r < 0 ? r : closed);
	/* What was looked up meanwhile, and nothing more after that. */
	pthread_rwlock_wrlock(&mount->namespace_lock);
	withdrawal_note(&withdrawal);
	dek_ring_revoke(store_deks(mount->store), dek_id, state);
	pthread_rwlock_unlock(&mount->namespace_lock);
	/* Manifests stay open: what was read of them since is wiped, too. */
	(void)!files_flush_dek(mount->store, dek_id);

	/* Only now, or the kernel would fill its caches again. */
	withdrawal_tell(&withdrawal);
	withdrawal_free(&withdrawal);
}

void mount_refuse_writes(struct mount *mount, const struct uuid *dek_id, enum key_state state)
{
	const int error = key_state_errno(state);

	/* Nothing new is written from here on; what was acknowledged is. */
	store_refuse_writes(mount->store, dek_id, error);
	int r = files_flush_dek(mount->store, dek_id);
	int closed = open_files_end(mount->files, dek_id, error);

	report_losses(mount, r < 0 ? r : closed);
}

void mount_restore_dek(struct mount *mount, const struct uuid *dek_id)
{
	store_refuse_writes(mount->store, dek_id, 0);
	dek_ring_restore(store_deks(mount->store), dek_id);
	open_files_refuse(mount->files, dek_id, 0);
}

int mount_get_status(struct mount *mount, struct mount_status *ret_status)
{
	struct uuid *deks = NULL;
	size_t dek_count = 0;

	*ret_status = (struct mount_status){
		.queue_bytes = write_queue_bytes(mount->queue),
		.open_files = open_files_count(mount->files),
		.parked_requests = park_count(mount->park),
		.nodes = nodes_count(mount->nodes),
		.descriptors = directories_open(mount->directories),
		.authentication_failures = mount->authentication_failures,
		.io_failures = mount->io_failures,
	};
	if (dek_ring_list(store_deks(mount->store), &deks, &dek_count) == 0)
		ret_status->data_keys = dek_count;
	free(deks);
	return health_status(mount->health, &ret_status->keys, &ret_status->key_count);
}

struct store *mount_store(struct mount *mount)
{
	return mount->store;
}

const struct mount_options *mount_get_options(const struct mount *mount)
{
	return mount->options;
}

int mount_flush(struct mount *mount)
{
	return open_files_flush(mount->files);
}

void mount_end(struct mount *mount)
{
	mount->has_ended = true;
	mount_wake(mount);
}

void mount_probe_keys(struct mount *mount)
{
	dek_ring_forget_failures(store_deks(mount->store));
	health_probe(mount->health);
}
