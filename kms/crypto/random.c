/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes, from the kernel: it is seeded before we run, knows when a virtual machine was
 * copied, and keeps no state in this process that a fork would double.
 */
#include "kms/crypto/random.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

int random_fill(void *data, size_t size)
{
	uint8_t *next = data;
	size_t left = size;

	while (left > 0) {
		ssize_t n = getrandom(next, left, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			memset(data, 0, size);
			return -EIO;
		}
		next += n;
		left -= (size_t)n;
	}
	return 0;
}

int random_uuid(struct uuid *ret_uuid)
{
	struct uuid uuid;
	int r = random_fill(uuid.bytes, sizeof(uuid.bytes));

	if (r < 0)
		return r;

	/* RFC 9562: version 4, variant 10. */
	uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
	uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
	*ret_uuid = uuid;
	return 0;
}
