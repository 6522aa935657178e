/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as credentials of a metadata service or command, and as a file of profiles. */
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/aws_keys.h"
#include "kms/credentials/aws_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes text = { data, size };
	const struct bytes files[AWS_FILE_COUNT] = { text, text };
	struct aws_keys *keys = NULL;
	struct aws_profiles *profiles = NULL;
	struct kms_error error = { 0 };

	if (secret_init() < 0 || size > 60000)
		return 0;
	if (aws_keys_from_json(text, "instance", "metadata", &keys, &error) == 0 &&
	    (!keys->access_key_id[0] || strpbrk(keys->access_key_id, "\r\n ")))
		abort();
	aws_keys_put(keys);
	if (aws_profiles_parse(files, &profiles) == 0)
		(void)aws_profiles_get(profiles, "default", "region");
	aws_profiles_free(profiles);
	return 0;
}
