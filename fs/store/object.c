/* SPDX-License-Identifier: Apache-2.0 */
/* What a backing object says about itself: fs/store/object.h. */
#include "fs/store/object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "meta/encoding.h"

static void report_fault(const struct place *parent, const char *backing, const char *fault)
{
	store_report(parent->store, LOG_ERR, parent->path, "%s: the header is not ours: %s",
		     backing, fault);
}

/* Never follows; does not wait for what somebody may have put in the file's place. */
static ssize_t read_start(const struct place *parent, const char *backing,
			  uint8_t data[static HEADER_SIZE])
{
	const int fd = openat(parent->fd, backing, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ELOOP ? -ESTALE : -errno;

	ssize_t size = pread(fd, data, HEADER_SIZE, 0);

	if (size < 0)
		size = errno == EISDIR || errno == ESPIPE ? -ESTALE : -errno;
	close(fd);
	return size;
}

int object_read_header(const struct place *parent, const char *backing, struct header *ret_header,
		       uint8_t data[static HEADER_SIZE])
{
	const struct volume_record *volume = store_volume(parent->store);
	const struct header_expectation expected = {
		.volume = volume->volume,
		.algorithm = volume->algorithm,
		.block_size_log2 = store_layout(parent->store)->block_size_log2,
	};
	const char *fault = "";
	const ssize_t size = read_start(parent, backing, data);
	int r;

	if (size < 0)
		return (int)size;
	r = header_decode((struct bytes){ data, (size_t)size }, &expected, ret_header, &fault);
	if (r < 0)
		report_fault(parent, backing, fault);
	return r < 0 ? -EBADMSG : 0;
}

int object_verify_header(const struct dek *dek, const uint8_t data[static HEADER_SIZE])
{
	const struct bytes input = header_mac_input(data);

	return dek_mac_verify(dek, DEK_LABEL_HEADER, &input, 1, header_mac(data));
}

int object_read_target(const struct place *parent, const char *backing,
		       struct stored_target *ret_target)
{
	char text[SYMLINK_STORED_MAX + 1];
	const ssize_t size = readlinkat(parent->fd, backing, text, sizeof(text));
	struct bytes value = { ret_target->data, 0 };
	ssize_t value_size;
	int r;

	if (size < 0)
		return -errno;
	value_size = base64url_decode((struct bytes){ (uint8_t *)text, (size_t)size },
				      ret_target->data, sizeof(ret_target->data));
	if (value_size < 0)
		return -EBADMSG;
	value.size = (size_t)value_size;
	r = sealed_value_decode(value, &ret_target->dek, &ret_target->sealed, NULL);
	return r < 0 ? -EBADMSG : 0;
}

int object_dek_id(const struct place *parent, const char *backing, mode_t type,
		  struct uuid *ret_dek)
{
	int r = -ENODATA;

	if (!snapshot_is_encrypted(parent->snapshot))
		return r;
	if (S_ISREG(type)) {
		uint8_t data[HEADER_SIZE];
		struct header header;

		r = object_read_header(parent, backing, &header, data);
		if (r == 0)
			*ret_dek = header.dek;
	} else if (S_ISLNK(type)) {
		struct stored_target target;

		r = object_read_target(parent, backing, &target);
		if (r == 0)
			*ret_dek = target.dek;
	}
	return r;
}

int object_may_change(const struct place *parent, const char *backing)
{
	struct uuid dek_id;
	struct stat stat;
	int r;

	if (fstatat(parent->fd, backing, &stat, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	if (stat.st_nlink < 2 || (!S_ISREG(stat.st_mode) && !S_ISLNK(stat.st_mode)))
		return 0;
	r = object_dek_id(parent, backing, stat.st_mode, &dek_id);
	/* Without a readable header there is nothing to protect. */
	if (r == -EBADMSG || r == -ENODATA)
		return 0;
	if (r < 0)
		return r;
	return store_dek_is_sealed(parent->store, &dek_id) ? -EROFS : 0;
}
