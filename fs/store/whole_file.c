/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes that end only when all is done. */
#include "fs/store/whole_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t read_all(int fd, uint8_t *data, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset, size_t *ret_written)
{
	size_t done = 0;
	int r = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -EIO;
			break;
		}
		done += (size_t)n;
	}
	if (ret_written)
		*ret_written = done;
	return r;
}

int whole_file_read(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	struct stat st;
	char *data;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	n = read_all(fd, (uint8_t *)data, (size_t)st.st_size, 0);
	if (n < 0) {
		free(data);
		return (int)n;
	}
	data[n] = '\0';
	*ret_data = data;
	*ret_size = (size_t)n;
	return 0;
}

int whole_file_write(int fd, const void *data, size_t size)
{
	const uint8_t *next = data;

	while (size > 0) {
		ssize_t n = write(fd, next, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		next += n;
		size -= (size_t)n;
	}
	return 0;
}
