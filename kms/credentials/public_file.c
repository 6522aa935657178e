/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is no secret. */
#include "kms/credentials/public_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int public_file_read(const char *path, char **ret_text, struct kms_error *reterr)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(PUBLIC_FILE_MAX + 1);
	size_t size;
	int r = 0;

	if (!file || !text) {
		r = file ? -ENOMEM : -errno;
		if (file)
			fclose(file);
		free(text);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	}
	size = fread(text, 1, PUBLIC_FILE_MAX + 1, file);
	if (ferror(file))
		r = -EIO;
	else if (size > PUBLIC_FILE_MAX)
		r = -EFBIG;
	fclose(file);
	if (r < 0) {
		free(text);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	}
	text[size] = 0;
	*ret_text = text;
	return 0;
}
