/* SPDX-License-Identifier: Apache-2.0 */
/* Run a credential command: without a shell, bounded in time and output. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_COMMAND_H
#define SNAPCRYPT_KMS_CREDENTIALS_COMMAND_H

#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define COMMAND_TIMEOUT_MS 30000
#define COMMAND_OUTPUT_MAX 65536

/* Standard output, in secret memory. */
struct command_output {
	uint8_t *data;
	size_t size;
};

/*
 * Split COMMAND into words as a shell would (quotes and backslashes, nothing else), run it, and take its standard output.
 *
 * -ENOENT: not found.  -ETIMEDOUT: killed after TIMEOUT_MS.  -EIO: it failed.  -EFBIG.  -EINVAL: unbalanced quotes.
 */
MUST_CHECK int command_run(const char *command, uint32_t timeout_ms,
			   struct command_output *ret_output, struct kms_error *reterr);
struct bytes command_first_line(const struct command_output *output);
void command_output_free(struct command_output *output);

#endif
