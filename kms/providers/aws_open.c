/* SPDX-License-Identifier: Apache-2.0 */
/* From a URI and a [key] section to one KEK of AWS KMS: region, endpoint, identity. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kms/providers/aws_call.h"

void aws_close(void *state)
{
	struct aws *aws = state;

	aws_identity_close(aws->identity);
	http_close(aws->http);
	pthread_mutex_destroy(&aws->lock);
	free(aws->section);
	free(aws);
}

static const char *first_of(const char *const *candidates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (candidates[i] && *candidates[i])
			return candidates[i];
	return NULL;
}

static bool wants_fips(const struct aws *aws, const struct kms_config *config)
{
	const char *setting = kms_config_get(config, "fips");
	const char *variable = getenv("AWS_USE_FIPS_ENDPOINT");

	if (setting)
		return !strcmp(setting, "yes");
	return aws->uri.is_fips || (variable && !strcasecmp(variable, "true"));
}

/* The region of the profile, without which an alias has no place. */
static void region_of_profile(const char *profile, char region[static AWS_REGION_SIZE])
{
	CLEANUP(aws_profiles_cleanup) struct aws_profiles *profiles = NULL;
	const char *named = profile ? profile : aws_profile_from_environment();
	const char *found = NULL;

	if (aws_profiles_load(&profiles, NULL) == 0)
		found = aws_profiles_get(profiles, named ? named : "default", "region");
	if (found)
		(void)snprintf(region, AWS_REGION_SIZE, "%s", found);
}

static int choose_region(struct aws *aws, const struct kms_config *config, const char *profile,
			 struct kms_error *reterr)
{
	const char *const candidates[] = { aws->uri.region, kms_config_get(config, "region"),
					   getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION") };
	const char *region = first_of(candidates, ARRAY_SIZE(candidates));

	if (region)
		(void)snprintf(aws->endpoint.region, sizeof(aws->endpoint.region), "%s", region);
	else
		region_of_profile(profile, aws->endpoint.region);
	if (!aws->endpoint.region[0])
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: in which region? add ?region=REGION, or write the ARN",
				config->uri);
	return 0;
}

static int choose_endpoint(struct aws *aws, const struct kms_config *config,
			   struct kms_error *reterr)
{
	char of_uri[320] = "";
	const char *const candidates[] = { of_uri, kms_config_get(config, "endpoint"),
					   getenv("AWS_ENDPOINT_URL_KMS"),
					   getenv("AWS_ENDPOINT_URL") };

	if (aws->uri.host[0])
		(void)snprintf(of_uri, sizeof(of_uri), "https://%s/", aws->uri.host);
	memcpy(aws->endpoint.service, "kms", sizeof("kms"));
	return aws_endpoint_set(&aws->endpoint, first_of(candidates, ARRAY_SIZE(candidates)),
				wants_fips(aws, config), reterr);
}

static int open_http(struct aws *aws, const struct kms_config *config, struct kms_error *reterr)
{
	const char *bundle = getenv("AWS_CA_BUNDLE");
	struct http_options options;

	http_options_from_config(config, &options);
	if (!options.ca_file && bundle && *bundle)
		options.ca_file = bundle;
	return http_open(&options, &aws->http, reterr);
}

static int open_members(struct aws *aws, const struct kms_config *config, struct kms_error *reterr)
{
	const char *const profiles[] = { aws->uri.profile, kms_config_get(config, "profile") };
	struct aws_identity_options identity = {
		.config = config,
		.profile = first_of(profiles, ARRAY_SIZE(profiles)),
		.region = aws->endpoint.region,
		.is_fips = wants_fips(aws, config),
		.offset_s = &aws->offset_s,
	};
	int r;

	if (config->section) {
		aws->section = strdup(config->section);
		if (!aws->section)
			return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	}
	r = choose_region(aws, config, identity.profile, reterr);
	if (r == 0)
		r = choose_endpoint(aws, config, reterr);
	if (r == 0)
		r = open_http(aws, config, reterr);
	if (r == 0)
		r = aws_identity_open(&identity, &aws->identity, reterr);
	return r;
}

int aws_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct aws *aws = calloc(1, sizeof(*aws));
	struct aws_arn arn;
	int r;

	if (!aws)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&aws->lock, NULL);
	r = aws_uri_parse(config->uri, &aws->uri, reterr);
	if (r == 0)
		r = open_members(aws, config, reterr);
	if (r < 0) {
		aws_close(aws);
		return r;
	}
	if (aws_arn_parse(aws->uri.key, &arn) == 0 && aws_arn_is_key(&arn))
		aws->resolved = arn;
	*ret_state = aws;
	return 0;
}
