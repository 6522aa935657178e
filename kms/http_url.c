/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: what may be contacted without TLS, and escaping. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kms/http_internal.h"

static void url_cleanup(CURLU **url)
{
	curl_url_cleanup(*url);
}

static bool copy_part(CURLU *url, CURLUPart part, unsigned flags, char *text, size_t size)
{
	char *found = NULL;
	bool is_copied;

	if (curl_url_get(url, part, &found, flags) != CURLUE_OK)
		return false;
	is_copied = snprintf(text, size, "%s", found) < (int)size;
	curl_free(found);
	return is_copied;
}

static bool has_part(CURLU *url, CURLUPart part)
{
	char *found = NULL;
	bool is_there = curl_url_get(url, part, &found, 0) == CURLUE_OK;

	curl_free(found);
	return is_there;
}

/* Addresses that a packet cannot leave the machine, or its link, for. */
static bool is_local_host(const char *host)
{
	static const uint8_t ec2[] = { 0xfd, 0x00, 0x0e, 0xc2 };
	struct in_addr v4;
	struct in6_addr v6;

	if (!strcasecmp(host, "localhost") || !strcasecmp(host, "metadata.google.internal"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1) {
		uint32_t address = ntohl(v4.s_addr);

		return address >> 24 == 127 || address >> 16 == 0xa9fe;
	}
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
	       !memcmp(v6.s6_addr, ec2, sizeof(ec2));
}

static void strip_brackets(char *host)
{
	size_t len = strlen(host);

	if (len < 2 || host[0] != '[' || host[len - 1] != ']')
		return;
	memmove(host, host + 1, len - 2);
	host[len - 2] = 0;
}

static void format_authority(struct http_target *target)
{
	bool is_v6 = strchr(target->host, ':') != NULL;
	bool is_default = !strcmp(target->port, target->is_plain ? "80" : "443");

	(void)snprintf(target->authority, sizeof(target->authority), "%s%s%s%s%s", is_v6 ? "[" : "",
		       target->host, is_v6 ? "]" : "", is_default ? "" : ":",
		       is_default ? "" : target->port);
}

int http_target_parse(const char *text, struct http_target *ret_target)
{
	CLEANUP(url_cleanup) CURLU *url = curl_url();
	struct http_target target = { 0 };
	char scheme[8];

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
	    !copy_part(url, CURLUPART_SCHEME, 0, scheme, sizeof(scheme)) ||
	    !copy_part(url, CURLUPART_HOST, 0, target.host, sizeof(target.host)) ||
	    !copy_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, target.port, sizeof(target.port)) ||
	    has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
		return -EINVAL;
	target.is_plain = !strcmp(scheme, "http");
	if (!target.host[0] || (!target.is_plain && strcmp(scheme, "https") != 0))
		return -EINVAL;
	strip_brackets(target.host);
	target.is_local = is_local_host(target.host);
	format_authority(&target);
	*ret_target = target;
	return 0;
}

char *http_url_with_host(const char *text, const char *host)
{
	CLEANUP(url_cleanup) CURLU *url = curl_url();
	char *found = NULL;
	char *copy;

	if (!url || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
	    curl_url_set(url, CURLUPART_HOST, host, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_URL, &found, 0) != CURLUE_OK)
		return NULL;
	copy = strdup(found);
	curl_free(found);
	return copy;
}

bool http_is_local_url(const char *url)
{
	struct http_target target;

	return http_target_parse(url, &target) == 0 && target.is_local;
}

int http_check_service_url(const char *url, struct kms_error *reterr)
{
	struct http_target target;

	if (http_target_parse(url, &target) < 0 || (target.is_plain && !target.is_local))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: not an https address of a service", url);
	return 0;
}

int http_authority(const char *url, char *authority, size_t size)
{
	struct http_target target;
	int r;

	r = http_target_parse(url, &target);
	if (r < 0)
		return r;
	return snprintf(authority, size, "%s", target.authority) < (int)size ? 0 : -ENOSPC;
}

int http_escape(const char *text, char *escaped, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789-._~";
	size_t used = 0;

	for (; *text; text++) {
		bool is_plain = strchr(unreserved, *text) != NULL;

		if (used + (is_plain ? 1 : 3) >= size)
			return -ENOSPC;
		if (is_plain) {
			escaped[used++] = *text;
			continue;
		}
		escaped[used++] = '%';
		escaped[used++] = digits[(uint8_t)*text >> 4];
		escaped[used++] = digits[(uint8_t)*text & 15];
	}
	if (used >= size)
		return -ENOSPC;
	escaped[used] = 0;
	return 0;
}
