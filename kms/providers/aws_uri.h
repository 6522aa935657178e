/* SPDX-License-Identifier: Apache-2.0 */
/* awskms:// URIs, and names of keys of AWS KMS. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_AWS_URI_H
#define SNAPCRYPT_KMS_PROVIDERS_AWS_URI_H

#include <stdbool.h>

#include "kms/credentials/aws_request.h"
#include "kms/provider.h"

/* arn:PARTITION:kms:REGION:ACCOUNT:RESOURCE */
struct aws_arn {
	char partition[32];
	char region[AWS_REGION_SIZE];
	char account[16];
	char resource[KEY_ID_SIZE]; /* key/ID or alias/NAME */
};

/* -EINVAL: not the ARN of a key or alias of KMS. */
MUST_CHECK int aws_arn_parse(const char *text, struct aws_arn *ret_arn);

/* -ENOSPC. */
MUST_CHECK int aws_arn_format(const struct aws_arn *arn, char text[static KEY_ID_SIZE]);

/* Is it a key, not an alias? */
bool aws_arn_is_key(const struct aws_arn *arn);

/* The same key; multi-Region keys in any region. */
bool aws_arn_same_key(const struct aws_arn *a, const struct aws_arn *b);

/*
 *   key       what is sent as KeyId: an ARN, alias/NAME, or a key's id
 *   host      of the URI, empty: none
 *   region    of the ARN or the query, empty: none
 */
struct aws_uri {
	char key[KEY_ID_SIZE];
	char host[300];
	char region[AWS_REGION_SIZE];
	char profile[128];
	bool is_fips;
};

/* -EINVAL with a text. */
MUST_CHECK int aws_uri_parse(const char *uri, struct aws_uri *ret_uri, struct kms_error *reterr);

#endif
