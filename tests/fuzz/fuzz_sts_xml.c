/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of STS. */
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/aws_sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes xml = { data, size };
	struct aws_keys *keys = NULL;
	struct kms_error error = { 0 };

	if (secret_init() < 0)
		return 0;
	if (aws_sts_read_credentials(xml, "assume-role", &keys) == 0 && !keys->access_key_id[0])
		abort();
	aws_keys_put(keys);
	if (aws_sts_fail("ROLE", 400, xml, &error) == 0 ||
	    strlen(error.service_code) >= sizeof(error.service_code))
		abort();
	return 0;
}
