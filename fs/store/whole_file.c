/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files. */
#include "fs/store/whole_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int whole_file_read(int fd, size_t max, char **ret_data, size_t *ret_size)
{
	struct stat st;
	char *data;
	size_t size = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (size < (size_t)st.st_size) {
		ssize_t n = pread(fd, data + size, (size_t)st.st_size - size, (off_t)size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(data);
			return -errno;
		}
		if (n == 0)
			break;
		size += (size_t)n;
	}
	data[size] = '\0';
	*ret_data = data;
	*ret_size = size;
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
