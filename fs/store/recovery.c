/* SPDX-License-Identifier: Apache-2.0 */
/* Journals that dead mounts left: finding them, and what waits in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/journal_area.h"
#include "fs/store/recovery_internal.h"
#include "fs/store/whole_file.h"

#define JOURNALS_MAX 1000

int recovery_compare_objects(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, HEADER_OBJECT_ID_SIZE);
}

uint8_t *recovery_reserve(struct recovery *recovery, size_t size)
{
	if (size > recovery->buffer_size) {
		uint8_t *buffer = realloc(recovery->buffer, size);

		if (buffer == NULL)
			return NULL;
		recovery->buffer = buffer;
		recovery->buffer_size = size;
	}
	return recovery->buffer;
}

int recovery_read(struct recovery *recovery, const struct recovery_entry *entry,
		  const struct dek *dek, struct journal_record *ret_record)
{
	const struct recovery_journal *journal = &recovery->journals[entry->journal];
	const struct journal_checkpoint expected = { journal->epoch, entry->sequence };
	uint8_t *buffer = recovery_reserve(recovery, entry->record_size);
	size_t size;
	int r;

	if (buffer == NULL)
		return -ENOMEM;

	ssize_t n = read_all(journal->fd, buffer, entry->record_size, entry->position);

	if (n < 0)
		return (int)n;

	const struct bytes record = { buffer, (size_t)n };
	struct bytes parts[JOURNAL_RECORD_MAC_PARTS];

	r = journal_record_decode(record, &expected, ret_record, &size, NULL);
	if (r < 0 || size != entry->record_size || !uuid_equal(&ret_record->dek, &entry->dek) ||
	    ret_record->kind != entry->kind ||
	    memcmp(ret_record->object_id, entry->object_id, sizeof(entry->object_id)) != 0)
		return -EBADMSG;
	journal_record_mac_parts(buffer, size, parts);
	return dek_mac_verify(dek, DEK_LABEL_JOURNAL, parts, ARRAY_SIZE(parts),
			      journal_record_mac(buffer, size));
}

/* A mount that lives keeps its journal locked. */
static bool is_in_use(int fd)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* 1: kept open as the last of recovery->journals; 0: left alone. */
static int open_journal(struct recovery *recovery, int directory_fd, const char *name)
{
	const int access = store_is_writable(recovery->store) ? O_RDWR : O_RDONLY;
	struct recovery_journal *journal = &recovery->journals[recovery->journal_count];
	uint8_t data[JOURNAL_SUPERBLOCK_SIZE];
	const char *fault = "short";
	int fd = openat(directory_fd, name, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0) {
		store_report(recovery->store, LOG_WARNING, name, "journal cannot be opened: %s",
			     strerror(errno));
		return 0;
	}
	if (is_in_use(fd)) {
		close(fd);
		return 0;
	}
	*journal = (struct recovery_journal){ .fd = fd };

	ssize_t n = read_all(fd, data, sizeof(data), 0);

	r = n < 0 ? (int)n
		  : journal_superblock_decode((struct bytes){ data, (size_t)n },
					      &journal->superblock, &fault);
	if (r == 0 &&
	    !uuid_equal(&journal->superblock.volume, &store_volume(recovery->store)->volume)) {
		fault = "wrong-volume";
		r = -EBADMSG;
	}
	if (r == 0) {
		journal->name = strdup(name);
		r = journal->name == NULL ? -ENOMEM : 0;
	}
	if (r == 0) {
		recovery->journal_count++;
		return 1;
	}
	close(fd);
	if (r == -ENOMEM)
		return r;
	store_report(recovery->store, LOG_WARNING, name,
		     "not a journal of this volume (%s), left as it is", fault);
	return 0;
}

static int open_journals(struct recovery *recovery, int directory_fd)
{
	char own[UUID_TEXT_SIZE];
	const struct dirent *entry;
	DIR *directory = fdopendir(directory_fd);
	int r = 0;

	if (directory == NULL) {
		close(directory_fd);
		return -ENOMEM;
	}
	uuid_format(store_mount_id(recovery->store), own);
	while (r >= 0 && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, own) == 0)
			continue;
		if (recovery->journal_count == JOURNALS_MAX) {
			store_report(recovery->store, LOG_ERR, "", "more than %d journals",
				     JOURNALS_MAX);
			r = -E2BIG;
			break;
		}
		r = open_journal(recovery, directory_fd, entry->d_name);
	}
	closedir(directory);
	return r < 0 ? r : 0;
}

static int compare_journals(const void *a, const void *b)
{
	const struct recovery_journal *first = a, *second = b;

	if (first->superblock.number != second->superblock.number)
		return first->superblock.number < second->superblock.number ? -1 : 1;
	return strcmp(first->name, second->name);
}

static int read_journals(struct recovery *recovery)
{
	for (size_t i = 0; i < recovery->journal_count; i++) {
		int r = recovery_read_journal(recovery, i);

		if (r < 0)
			return r;
	}
	return 0;
}

/* What a clean checkpoint left, and nothing after it. */
static int remove_empty_journals(struct recovery *recovery)
{
	for (size_t i = 0; i < recovery->journal_count; i++) {
		if (recovery->journals[i].waiting > 0 || recovery->journals[i].is_gone)
			continue;

		int r = recovery_remove_journal(recovery, i);

		if (r < 0)
			return r;
	}
	return 0;
}

static int scan(struct recovery *recovery)
{
	int r, fd = journal_directory_open(recovery->store);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	recovery->journals = calloc(JOURNALS_MAX, sizeof(*recovery->journals));
	if (recovery->journals == NULL) {
		close(fd);
		return -ENOMEM;
	}
	r = open_journals(recovery, fd);
	if (r < 0)
		return r;
	qsort(recovery->journals, recovery->journal_count, sizeof(*recovery->journals),
	      compare_journals);
	r = read_journals(recovery);
	if (r < 0)
		return r;
	return store_is_writable(recovery->store) ? remove_empty_journals(recovery) : 0;
}

int recovery_scan(struct store *store, struct recovery **ret_recovery)
{
	struct recovery *recovery = calloc(1, sizeof(*recovery));
	int r;

	if (recovery == NULL)
		return -ENOMEM;
	recovery->store = store;
	pthread_mutex_init(&recovery->mutex, NULL);
	r = scan(recovery);
	if (r < 0) {
		recovery_free(recovery);
		return r;
	}
	*ret_recovery = recovery;
	return 0;
}

/* The mutex guards what changes; the pointer's constness is the caller's view. */
static pthread_mutex_t *mutex_of(const struct recovery *recovery)
{
	return &((struct recovery *)(uintptr_t)recovery)->mutex;
}

bool recovery_is_needed(const struct recovery *recovery, const struct uuid *dek_id)
{
	bool is_needed = false;

	if (recovery == NULL)
		return false;
	pthread_mutex_lock(mutex_of(recovery));
	for (size_t i = 0; i < recovery->entry_count && !is_needed; i++)
		is_needed = recovery->entries[i].state != RECOVERY_DONE &&
			    uuid_equal(&recovery->entries[i].dek, dek_id);
	pthread_mutex_unlock(mutex_of(recovery));
	return is_needed;
}

bool recovery_is_idle(const struct recovery *recovery)
{
	bool is_idle = true;

	if (recovery == NULL)
		return true;
	pthread_mutex_lock(mutex_of(recovery));
	for (size_t i = 0; i < recovery->journal_count && is_idle; i++)
		is_idle = recovery->journals[i].waiting == 0;
	pthread_mutex_unlock(mutex_of(recovery));
	return is_idle;
}

size_t recovery_pending(const struct recovery *recovery)
{
	size_t count = 0;

	if (recovery == NULL)
		return 0;
	pthread_mutex_lock(mutex_of(recovery));
	for (size_t i = 0; i < recovery->entry_count; i++)
		count += recovery->entries[i].state == RECOVERY_WAITING;
	pthread_mutex_unlock(mutex_of(recovery));
	return count;
}

void recovery_free(struct recovery *recovery)
{
	if (recovery == NULL)
		return;
	for (size_t i = 0; i < recovery->journal_count; i++) {
		close(recovery->journals[i].fd);
		free(recovery->journals[i].name);
	}
	pthread_mutex_destroy(&recovery->mutex);
	free(recovery->journals);
	free(recovery->entries);
	free(recovery->verified);
	free(recovery->buffer);
	free(recovery);
}
