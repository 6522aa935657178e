/* SPDX-License-Identifier: Apache-2.0 */
/* Where a key of Vault is. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kms/providers/vault_internal.h"

#define PORT_DEFAULT ":8200"

/* Characters of mounts, keys and namespaces: none that an URL would change. */
static bool is_path(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
		      (text[i] >= '0' && text[i] <= '9') || strchr(more, text[i])))
			return false;
	return len > 0 && text[0] != '/' && text[len - 1] != '/' && !memmem(text, len, "//", 2) &&
	       !memmem(text, len, "..", 2);
}

static int copy_part(const char *part, size_t len, const char *more, char *copy, size_t size)
{
	if (!is_path(part, len, more) || len >= size)
		return -EINVAL;
	memcpy(copy, part, len);
	copy[len] = 0;
	return 0;
}

static int parse_parameter(const char *parameter, size_t len, struct vault_uri *uri)
{
	static const char namespace_name[] = "namespace=";
	static const char auth_name[] = "auth=";

	if (len > sizeof(namespace_name) - 1 &&
	    !strncmp(parameter, namespace_name, sizeof(namespace_name) - 1)) {
		parameter += sizeof(namespace_name) - 1;
		len -= sizeof(namespace_name) - 1;
		/* The server takes it with and without. */
		len -= parameter[len - 1] == '/';
		return copy_part(parameter, len, "-_./", uri->namespace, sizeof(uri->namespace));
	}
	if (len > sizeof(auth_name) - 1 && !strncmp(parameter, auth_name, sizeof(auth_name) - 1))
		return copy_part(parameter + sizeof(auth_name) - 1, len - sizeof(auth_name) + 1,
				 "-", uri->auth, sizeof(uri->auth));
	return -EINVAL;
}

static int parse_query(const char *query, struct vault_uri *uri)
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

/* A host, with its port or the default one. */
static int copy_server(const char *host, size_t len, char server[static VAULT_SERVER_SIZE])
{
	const char *port = memrchr(host, ':', len);
	bool has_port = port && !memchr(port, ']', len - (size_t)(port - host));

	if (!is_path(host, len, "-._:[]") ||
	    len + (has_port ? 0 : sizeof(PORT_DEFAULT) - 1) >= VAULT_SERVER_SIZE)
		return -EINVAL;
	(void)snprintf(server, VAULT_SERVER_SIZE, "%.*s%s", (int)len, host,
		       has_port ? "" : PORT_DEFAULT);
	return 0;
}

int vault_parse_uri(const char *uri, struct vault_uri *ret_uri, struct kms_error *reterr)
{
	static const char scheme[] = "vault://";
	const char *at = uri + sizeof(scheme) - 1;
	const char *path, *end, *key;
	size_t len;
	int r = 0;

	*ret_uri = (struct vault_uri){ 0 };
	if (strncmp(uri, scheme, sizeof(scheme) - 1) != 0)
		r = -EINVAL;
	len = r == 0 ? strcspn(at, "/?") : 0;
	if (len)
		r = copy_server(at, len, ret_uri->server);
	path = r == 0 && at[len] == '/' ? at + len + 1 : "";
	end = path + strcspn(path, "?");
	key = memrchr(path, '/', (size_t)(end - path));
	if (r == 0 && key) {
		r = copy_part(path, (size_t)(key - path), "-_./", ret_uri->mount,
			      sizeof(ret_uri->mount));
		if (r == 0)
			r = copy_part(key + 1, (size_t)(end - key - 1), "-_.", ret_uri->key,
				      sizeof(ret_uri->key));
		if (r == 0 && *end)
			r = parse_query(end + 1, ret_uri);
	}
	if (r < 0 || !key)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: write vault://HOST:PORT/MOUNT/KEY[?namespace=N&auth=A]", uri);
	return 0;
}

int vault_parse_address(const char *address, char server[static VAULT_SERVER_SIZE])
{
	const char *host = strstr(address, "://");

	if (!host ||
	    (strncasecmp(address, "https://", 8) != 0 && strncasecmp(address, "http://", 7) != 0))
		return -EINVAL;
	host += 3;
	return copy_server(host, strcspn(host, "/?#"), server);
}
