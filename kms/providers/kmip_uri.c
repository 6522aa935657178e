/* SPDX-License-Identifier: Apache-2.0 */
/* Where a key of a KMIP server is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/providers/kmip_internal.h"

#define PORT_DEFAULT ":5696"

static bool is_word(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
		      (text[i] >= '0' && text[i] <= '9') || strchr(more, text[i])))
			return false;
	return len > 0;
}

static int copy_word(const char *text, size_t len, const char *more, char *copy, size_t size)
{
	if (!is_word(text, len, more) || len >= size)
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = 0;
	return 0;
}

kmip_version kmip_parse_version(const char *text, size_t len)
{
	static const struct {
		const char *text;
		kmip_version version;
	} known[] = { { "1.2", 12 }, { "1.3", 13 }, { "1.4", 14 }, { "2.0", 20 } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (len == strlen(known[i].text) && !memcmp(text, known[i].text, len))
			return known[i].version;
	return 0;
}

static int parse_parameter(const char *parameter, size_t len, struct kmip_uri *uri)
{
	static const char mode_name[] = "mode=", version_name[] = "version=";

	if (len > sizeof(mode_name) - 1 && !memcmp(parameter, mode_name, sizeof(mode_name) - 1))
		return copy_word(parameter + sizeof(mode_name) - 1, len - sizeof(mode_name) + 1, "",
				 uri->mode, sizeof(uri->mode));
	if (len <= sizeof(version_name) - 1 ||
	    memcmp(parameter, version_name, sizeof(version_name) - 1) != 0)
		return -EINVAL;
	uri->version = kmip_parse_version(parameter + sizeof(version_name) - 1,
					  len - sizeof(version_name) + 1);
	return uri->version ? 0 : -EINVAL;
}

static int parse_query(const char *query, struct kmip_uri *uri)
{
	while (*query) {
		size_t len = strcspn(query, "&");
		int r = parse_parameter(query, len, uri);

		if (r < 0)
			return r;
		query += len + (query[len] == '&');
	}
	return 0;
}

static int copy_server(const char *host, size_t len, char server[static KMIP_SERVER_SIZE])
{
	const char *port = memrchr(host, ':', len);
	bool has_port = port && !memchr(port, ']', len - (size_t)(port - host));

	if (!is_word(host, len, "-._:[]") ||
	    len + (has_port ? 0 : sizeof(PORT_DEFAULT) - 1) >= KMIP_SERVER_SIZE)
		return -EINVAL;
	(void)snprintf(server, KMIP_SERVER_SIZE, "%.*s%s", (int)len, host,
		       has_port ? "" : PORT_DEFAULT);
	return 0;
}

int kmip_parse_uri(const char *text, struct kmip_uri *ret_uri, struct kms_error *reterr)
{
	static const char scheme[] = "kmip://";
	struct kmip_uri uri = { 0 };
	const char *host, *uid;
	size_t host_len = 0;
	int r = -EINVAL;

	if (!strncmp(text, scheme, sizeof(scheme) - 1)) {
		host = text + sizeof(scheme) - 1;
		host_len = strcspn(host, "/?");
		uid = host + host_len + (host[host_len] == '/');
		r = copy_server(host, host_len, uri.server);
		if (r == 0)
			r = copy_word(uid, strcspn(uid, "?"), "-._~:", uri.uid, sizeof(uri.uid));
		uid += strcspn(uid, "?");
		if (r == 0 && *uid)
			r = parse_query(uid + 1, &uri);
	}
	if (r < 0 ||
	    (uri.mode[0] && strcmp(uri.mode, "encrypt") != 0 && strcmp(uri.mode, "get") != 0))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: write kmip://HOST:PORT/UID[?mode=encrypt|get&version=1.4]",
				text);
	*ret_uri = uri;
	return 0;
}
