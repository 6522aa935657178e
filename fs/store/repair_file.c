/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of files.  A file that lost its last block gets an empty one behind its last whole block: what stood behind it was never
 * acknowledged as durable, and none of it is made up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/object.h"
#include "fs/store/repair_internal.h"
#include "fs/store/store_internal.h"
#include "fs/store/tag_memory.h"

/* A backing file, its header authentic. */
struct damaged {
	const struct repair_location *location;
	int fd;
	struct stat stat;
	uint8_t data[HEADER_SIZE];
	struct header header;
	struct dek *dek;
	struct aead_key *key;
};

static void damaged_close(struct damaged *damaged)
{
	if (damaged->fd >= 0)
		close(damaged->fd);
	aead_key_free(damaged->key);
	dek_put(damaged->dek);
}

/* -EBADMSG: its header is not authentic. */
static int damaged_open(const struct repair_location *location, int flags,
			struct damaged *ret_damaged)
{
	const struct place *place = &location->place;
	struct damaged damaged = { .location = location, .fd = -1 };
	int r = object_read_header(place, location->backing, &damaged.header, damaged.data);

	if (r == 0)
		r = store_dek(place->store, &damaged.header.dek, &damaged.dek);
	/* A data key without a record never made anything here. */
	if (r == -ENOENT)
		r = -EBADMSG;
	if (r == 0)
		r = object_verify_header(damaged.dek, damaged.data);
	if (r == 0)
		r = header_key(&damaged.header, damaged.dek, &damaged.key);
	if (r == 0) {
		damaged.fd = open_beneath(place->fd, location->backing,
					  flags | O_NOFOLLOW | O_NONBLOCK, 0);
		r = damaged.fd < 0 ? damaged.fd : 0;
	}
	if (r == 0 && fstat(damaged.fd, &damaged.stat) < 0)
		r = -errno;
	if (r < 0) {
		damaged_close(&damaged);
		return r;
	}
	*ret_damaged = damaged;
	return 0;
}

int repair_plan_file(const struct repair_location *location, enum repair_action *ret_action)
{
	const struct place *place = &location->place;
	struct damaged damaged;
	bool is_terminated = false;
	int r = damaged_open(location, O_RDONLY, &damaged);

	if (r == -EBADMSG || r == -ESTALE) {
		*ret_action = REPAIR_QUARANTINE;
		return 0;
	}
	if (r < 0)
		return r;
	(void)layout_plain_size(store_layout(place->store), (uint64_t)damaged.stat.st_size,
				&is_terminated);
	r = is_terminated ? file_check_end(place->store, damaged.dek, damaged.fd) : 0;
	damaged_close(&damaged);
	if (!is_terminated)
		*ret_action = REPAIR_TERMINATE;
	else if (r == -EBADMSG && snapshot_state(place->snapshot) == SNAPSHOT_INCOMPLETE)
		*ret_action = REPAIR_CUT;
	else
		*ret_action = REPAIR_NOTHING;
	return r == -EBADMSG ? 0 : r;
}

/* ---- The new end ----------------------------------------------------------------------------- */

static int keep_torn(const struct damaged *damaged, uint64_t offset)
{
	const uint64_t end = (uint64_t)damaged->stat.st_size;
	const size_t size = (size_t)(end - offset);
	uint8_t *torn;
	ssize_t n;
	int r;

	if (end <= offset)
		return 0;
	torn = malloc(size);
	if (!torn)
		return -ENOMEM;
	n = read_all(damaged->fd, torn, size, offset);
	r = n < 0 ? (int)n
		  : repair_keep_aside(&damaged->location->place, damaged->location->backing, torn,
				      (size_t)n);
	free(torn);
	return r;
}

static int write_end(const struct damaged *damaged, uint64_t block, uint64_t offset)
{
	const struct timespec times[2] = { damaged->stat.st_atim, damaged->stat.st_mtim };
	const struct aead_run run = {
		.block_size = (size_t)1 << damaged->header.block_size_log2,
		.first_index = block,
		.block_count = 1,
	};
	uint8_t sealed[LAYOUT_BLOCK_OVERHEAD];
	int r = aead_seal_blocks(damaged->key, &run, (struct bytes){ 0 }, sealed);

	if (r == 0)
		r = write_all(damaged->fd, sealed, sizeof(sealed), offset, NULL);
	if (r < 0)
		return r;
	if (ftruncate(damaged->fd, (off_t)(offset + sizeof(sealed))) < 0 ||
	    futimens(damaged->fd, times) < 0 || fsync(damaged->fd) < 0)
		return -errno;
	return 0;
}

int repair_end(const struct repair_location *location, bool is_torn)
{
	struct store *store = location->place.store;
	const struct layout *layout = store_layout(store);
	struct damaged damaged;
	uint64_t block;
	uint64_t offset;
	bool is_terminated = false;
	int r = damaged_open(location, O_RDWR, &damaged);

	if (r < 0)
		return r;
	block = layout_block_index(layout, layout_plain_size(layout, (uint64_t)damaged.stat.st_size,
							     &is_terminated));
	offset = layout_sealed_offset(layout, block);
	r = store_check_trust(store, damaged.dek);
	if (r == 0 && store_dek_is_sealed(store, &damaged.header.dek))
		r = -EROFS;
	if (r == 0 && is_terminated != is_torn)
		r = -EALREADY;
	if (r == 0)
		r = keep_torn(&damaged, offset);
	if (r == 0) {
		tags_withdraw(location->place.snapshot, &damaged.header);
		r = write_end(&damaged, block, offset);
	}
	damaged_close(&damaged);
	return r;
}

int repair_index(const struct repair_location *location)
{
	struct damaged damaged;
	int r;

	if (S_ISDIR(location->stat.st_mode) && location->backing[0] == '\0') {
		snapshot_refresh_index(location->place.snapshot);
		return 0;
	}
	if (!S_ISREG(location->stat.st_mode))
		return -EALREADY;
	r = damaged_open(location, O_RDONLY, &damaged);
	if (r < 0)
		return r;
	file_write_index(damaged.fd, &damaged.header.dek);
	damaged_close(&damaged);
	return 0;
}
