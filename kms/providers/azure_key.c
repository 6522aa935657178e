/* SPDX-License-Identifier: Apache-2.0 */
/* Names of keys in Azure: URIs, kids, and which tokens may be shown to which host. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kms/providers/azure_internal.h"

#define PUBLIC_DOMAIN "vault.azure.net"

static bool is_of(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr(more, c)))
			return false;
	}
	return len > 0;
}

/* Copy a part of characters that are allowed there. */
static int copy_part(const char *part, size_t len, const char *more, char *copy, size_t size)
{
	if (!is_of(part, len, more) || len >= size)
		return -EBADMSG;
	memcpy(copy, part, len);
	copy[len] = 0;
	return 0;
}

/* HOST/keys/NAME[/VERSION] */
static int parse_key(const char *text, struct azure_key *key)
{
	static const char keys[] = "/keys/";
	size_t host_len = strcspn(text, "/");
	const char *name, *version;
	int r;

	*key = (struct azure_key){ 0 };
	r = copy_part(text, host_len, ".-:", key->host, sizeof(key->host));
	if (r < 0 || strncmp(text + host_len, keys, sizeof(keys) - 1) != 0)
		return -EBADMSG;
	/* The service has named its own port in some kids. */
	if (host_len > 4 && !strcmp(key->host + host_len - 4, ":443"))
		key->host[host_len - 4] = 0;
	name = text + host_len + sizeof(keys) - 1;
	version = strchr(name, '/');
	r = copy_part(name, version ? (size_t)(version - name) : strlen(name), "-", key->name,
		      sizeof(key->name));
	if (r < 0 || !version)
		return r;
	return copy_part(version + 1, strlen(version + 1), "-", key->version, sizeof(key->version));
}

int azure_parse_kid(const char *kid, struct azure_key *ret_key)
{
	static const char scheme[] = "https://";

	if (strncmp(kid, scheme, sizeof(scheme) - 1) != 0 ||
	    parse_key(kid + sizeof(scheme) - 1, ret_key) < 0 || !ret_key->version[0])
		return -EBADMSG;
	return 0;
}

static int parse_query(const char *query, char algorithm[static 16])
{
	static const char name[] = "alg=";

	if (strncmp(query, name, sizeof(name) - 1) != 0)
		return -EBADMSG;
	return copy_part(query + sizeof(name) - 1, strlen(query + sizeof(name) - 1), "-", algorithm,
			 16);
}

int azure_parse_uri(const char *uri, struct azure_key *ret_key, char algorithm[static 16],
		    struct kms_error *reterr)
{
	static const char scheme[] = "azurekv://";
	char text[AZURE_HOST_SIZE + AZURE_NAME_SIZE + AZURE_VERSION_SIZE];
	const char *query = strchr(uri, '?');
	size_t len = query ? (size_t)(query - uri) : strlen(uri);
	int r = 0;

	algorithm[0] = 0;
	if (query)
		r = parse_query(query + 1, algorithm);
	if (r < 0 || strncmp(uri, scheme, sizeof(scheme) - 1) != 0 ||
	    len - sizeof(scheme) + 1 >= sizeof(text))
		goto bad;
	len -= sizeof(scheme) - 1;
	memcpy(text, uri + sizeof(scheme) - 1, len);
	text[len] = 0;
	if (parse_key(text, ret_key) < 0)
		goto bad;
	len = strlen(ret_key->host);
	/* A bare name is a vault of the public cloud. */
	if (!strpbrk(ret_key->host, ".:")) {
		if (len + sizeof("." PUBLIC_DOMAIN) > sizeof(ret_key->host))
			goto bad;
		memcpy(ret_key->host + len, "." PUBLIC_DOMAIN, sizeof("." PUBLIC_DOMAIN));
	}
	return 0;
bad:
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"%s: write azurekv://VAULT/keys/NAME[/VERSION][?alg=ALGORITHM]", uri);
}

void azure_format_kid(const struct azure_key *key, char key_id[static KEY_ID_SIZE])
{
	(void)snprintf(key_id, KEY_ID_SIZE, "https://%s/keys/%s%s%s", key->host, key->name,
		       key->version[0] ? "/" : "", key->version);
}

bool azure_same_key(const struct azure_key *a, const struct azure_key *b)
{
	return !strcasecmp(a->host, b->host) && !strcasecmp(a->name, b->name);
}

void azure_resource_of(const char *host, char *resource, size_t size)
{
	static const char private_domain[] = "vaultcore.azure.net";
	const char *dot = strchr(host, '.');
	const char *domain = dot ? dot + 1 : host;
	size_t len = strcspn(domain, ":");

	/* Reached through a private link, it is still a vault of the public cloud. */
	if (len >= sizeof(private_domain) - 1 &&
	    !strncasecmp(domain + len - (sizeof(private_domain) - 1), private_domain,
			 sizeof(private_domain) - 1)) {
		domain = PUBLIC_DOMAIN;
		len = sizeof(PUBLIC_DOMAIN) - 1;
	}
	(void)snprintf(resource, size, "https://%.*s", (int)len, domain);
}

bool azure_resource_fits(const char *resource, const char *host)
{
	static const char scheme[] = "https://";
	size_t host_len = strcspn(host, ":");
	size_t len;

	if (strncasecmp(resource, scheme, sizeof(scheme) - 1) != 0)
		return false;
	resource += sizeof(scheme) - 1;
	len = strcspn(resource, "/:");
	return len > 0 && len < host_len && host[host_len - len - 1] == '.' &&
	       !strncasecmp(host + host_len - len, resource, len);
}
