/* SPDX-License-Identifier: Apache-2.0 */
/* Every open file of the process: for the withdrawal of a DEK. */
#include <errno.h>
#include <stdlib.h>

#include "fs/store/file_internal.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *registry;
static size_t registry_count;

void registry_add(struct file *file)
{
	pthread_mutex_lock(&registry_lock);
	file->next = registry;
	if (registry)
		registry->previous = file;
	registry = file;
	registry_count++;
	pthread_mutex_unlock(&registry_lock);
}

void registry_remove(struct file *file)
{
	pthread_mutex_lock(&registry_lock);
	if (file->previous)
		file->previous->next = file->next;
	else
		registry = file->next;
	if (file->next)
		file->next->previous = file->previous;
	registry_count--;
	pthread_mutex_unlock(&registry_lock);
}

/* References to all open files of a store; the caller puts each and frees the array. */
static int collect(const struct store *store, struct file ***ret_files, size_t *ret_count)
{
	size_t count = 0;

	pthread_mutex_lock(&registry_lock);
	struct file **files = calloc(registry_count + 1, sizeof(struct file *));

	for (struct file *file = registry; files && file; file = file->next) {
		if (file->store != store || !file->is_encrypted)
			continue;
		atomic_fetch_add(&file->references, 1);
		files[count++] = file;
	}
	pthread_mutex_unlock(&registry_lock);
	if (!files)
		return -ENOMEM;
	*ret_files = files;
	*ret_count = count;
	return 0;
}

/* After this nothing of the file needs its DEK, and no plaintext of it is in memory. */
static int withdraw(struct file *file, const struct uuid *dek_id)
{
	pthread_rwlock_rdlock(&file->lock);
	bool is_concerned = uuid_equal(&file->header.dek, dek_id);

	pthread_rwlock_unlock(&file->lock);
	if (!is_concerned)
		return 0;

	int queued = queue_drain(file);

	pthread_rwlock_wrlock(&file->lock);
	int r = retire(file);

	plain_forget(file);
	pthread_rwlock_unlock(&file->lock);
	return r < 0 ? r : queued;
}

int files_flush_dek(struct store *store, const struct uuid *dek_id)
{
	struct file **files = NULL;
	size_t count = 0;
	int result = collect(store, &files, &count);

	if (result < 0)
		return result;
	for (size_t i = 0; i < count; i++) {
		int r = withdraw(files[i], dek_id);

		if (r < 0 && result == 0)
			result = r;
		file_put(files[i]);
	}
	free(files);
	return result;
}
