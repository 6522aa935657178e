/* SPDX-License-Identifier: Apache-2.0 */
/* One signed request to a service of AWS. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_REQUEST_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "kms/credentials/aws_keys.h"
#include "kms/http.h"

#define AWS_REGION_SIZE 64

/* Where a service is, and for what requests to it are signed. */
struct aws_endpoint {
	char service[16]; /* "kms", "sts" */
	char region[AWS_REGION_SIZE];
	char url[512];
	char host[300];
};

/*
 *   url      another address of the service (https, or local), or NULL: the public one of the region
 *   is_fips  the FIPS one; excludes url
 *
 * -EINVAL with a text.
 */
MUST_CHECK int aws_endpoint_set(struct aws_endpoint *endpoint, const char *url, bool is_fips,
				struct kms_error *reterr);

/* Lower-case letters, digits and '-'. */
bool aws_region_is_valid(const char *region);

/*
 *   target    X-Amz-Target, or NULL
 *   keys      NULL: not signed
 *   offset_s  how far AWS's clock is ahead of ours, shared by all requests; corrected here
 */
struct aws_request {
	const struct aws_endpoint *endpoint;
	const char *content_type;
	const char *target;
	struct bytes body;
	const struct aws_keys *keys;
	atomic_llong *offset_s;
};

/*
 * One exchange; repeated once, with a corrected clock, where the service refused it and its Date is far from ours.
 * As http_exchange().
 */
MUST_CHECK int aws_exchange(struct http *http, const struct kms_call *call,
			    const struct aws_request *request, struct http_reply *reply,
			    struct kms_error *reterr);

#endif
