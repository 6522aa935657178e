/* SPDX-License-Identifier: Apache-2.0 */
/* awskms:// URIs, and names of keys of AWS KMS. */
#include "kms/providers/aws_uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "awskms://"

/* Copy the text up to END; false: empty or too long. */
static bool copy_part(const char *text, const char *end, char *part, size_t size)
{
	size_t len = (size_t)(end - text);

	if (!len || len >= size)
		return false;
	memcpy(part, text, len);
	part[len] = 0;
	return true;
}

/* The part up to the next colon; moves behind it. */
static bool take_part(const char **text, char *part, size_t size)
{
	const char *colon = strchr(*text, ':');

	if (!colon || !copy_part(*text, colon, part, size))
		return false;
	*text = colon + 1;
	return true;
}

static bool is_key_character(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       strchr("-_/", c);
}

/* Characters of key ids and aliases. */
static bool is_key_text(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!is_key_character(*c))
			return false;
	return *text != 0;
}

int aws_arn_parse(const char *text, struct aws_arn *ret_arn)
{
	struct aws_arn arn = { 0 };
	char service[8];

	if (strncmp(text, "arn:", 4) != 0)
		return -EINVAL;
	text += 4;
	if (!take_part(&text, arn.partition, sizeof(arn.partition)) ||
	    !take_part(&text, service, sizeof(service)) || strcmp(service, "kms") != 0 ||
	    !take_part(&text, arn.region, sizeof(arn.region)) || !aws_region_is_valid(arn.region) ||
	    !take_part(&text, arn.account, sizeof(arn.account)) ||
	    !copy_part(text, text + strlen(text), arn.resource, sizeof(arn.resource)))
		return -EINVAL;
	if (strspn(arn.account, "0123456789") != strlen(arn.account) ||
	    strspn(arn.partition, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
		    strlen(arn.partition) ||
	    !is_key_text(arn.resource))
		return -EINVAL;
	if ((strncmp(arn.resource, "key/", 4) != 0 || !arn.resource[4] ||
	     strchr(arn.resource + 4, '/')) &&
	    (strncmp(arn.resource, "alias/", 6) != 0 || !arn.resource[6]))
		return -EINVAL;
	*ret_arn = arn;
	return 0;
}

int aws_arn_format(const struct aws_arn *arn, char text[static KEY_ID_SIZE])
{
	int len = snprintf(text, KEY_ID_SIZE, "arn:%s:kms:%s:%s:%s", arn->partition, arn->region,
			   arn->account, arn->resource);

	return len < KEY_ID_SIZE ? 0 : -ENOSPC;
}

bool aws_arn_is_key(const struct aws_arn *arn)
{
	return !strncmp(arn->resource, "key/", 4);
}

bool aws_arn_same_key(const struct aws_arn *a, const struct aws_arn *b)
{
	bool is_multi_region = !strncmp(a->resource, "key/mrk-", 8);

	return !strcmp(a->resource, b->resource) && !strcmp(a->account, b->account) &&
	       !strcmp(a->partition, b->partition) &&
	       (is_multi_region || !strcmp(a->region, b->region));
}

static int parse_parameter(const char *name, const char *value, struct aws_uri *uri)
{
	if (!strcmp(name, "region"))
		return aws_region_is_valid(value) && copy_part(value, value + strlen(value),
							       uri->region, sizeof(uri->region))
			       ? 0
			       : -EINVAL;
	if (!strcmp(name, "profile"))
		return copy_part(value, value + strlen(value), uri->profile, sizeof(uri->profile))
			       ? 0
			       : -EINVAL;
	if (!strcmp(name, "fips") && value[0] && strchr("01", value[0]) && !value[1]) {
		uri->is_fips = value[0] == '1';
		return 0;
	}
	return -EINVAL;
}

static int parse_query(const char *query, struct aws_uri *uri, struct kms_error *reterr)
{
	while (*query) {
		char parameter[256];
		size_t len = strcspn(query, "&");
		char *equals;

		if (!copy_part(query, query + len, parameter, sizeof(parameter)))
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"awskms: empty or long query parameter");
		equals = strchr(parameter, '=');
		if (equals)
			*equals = 0;
		if (!equals || parse_parameter(parameter, equals + 1, uri) < 0)
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"awskms: '%s' is not a query parameter with such a value; "
					"there are region, profile and fips=1",
					parameter);
		query += len;
		query += *query == '&';
	}
	return 0;
}

int aws_uri_parse(const char *text, struct aws_uri *ret_uri, struct kms_error *reterr)
{
	struct aws_uri uri = { 0 };
	struct aws_arn arn;
	const char *path, *query;
	int r;

	if (strncmp(text, SCHEME, strlen(SCHEME)) != 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%.200s: write awskms:///ARN",
				text);
	text += strlen(SCHEME);
	path = text + strcspn(text, "/?");
	query = text + strcspn(text, "?");
	if ((path > text && !copy_part(text, path, uri.host, sizeof(uri.host))) || *path != '/' ||
	    !copy_part(path + 1, query, uri.key, sizeof(uri.key)))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"awskms://%.200s: write awskms:///ARN, awskms:///alias/NAME or "
				"awskms:///KEY-ID",
				text);
	r = *query ? parse_query(query + 1, &uri, reterr) : 0;
	if (r < 0)
		return r;
	if (!strncmp(uri.key, "arn:", 4)) {
		if (aws_arn_parse(uri.key, &arn) < 0)
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"%s is not the ARN of a key or alias", uri.key);
		if (uri.region[0] && strcmp(uri.region, arn.region) != 0)
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"%s is not in region %s", uri.key, uri.region);
		memcpy(uri.region, arn.region, sizeof(uri.region));
	} else if (!is_key_text(uri.key) ||
		   (strchr(uri.key, '/') && strncmp(uri.key, "alias/", 6) != 0)) {
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s is not a key id, alias or ARN", uri.key);
	}
	*ret_uri = uri;
	return 0;
}
