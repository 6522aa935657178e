/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4 of Amazon Web Services. */
#include "kms/crypto/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "meta/encoding.h"

#define ALGORITHM      "AWS4-HMAC-SHA256"
#define DAY_LEN        8
#define SCOPE_SIZE     160
#define TO_SIGN_SIZE   320
#define SIGNED_HEADERS 5
#define SECRET_KEY_MAX 512
#define SIGNATURE_SIZE HEX_TEXT_SIZE(HMAC_SIZE)
#define TERMINATOR     "aws4_request"

struct signed_header {
	const char *name;
	const char *value; /* NULL: not sent */
};

int sigv4_date(int64_t time_s, char date[static SIGV4_DATE_SIZE])
{
	const time_t time = (time_t)time_s;
	struct tm utc;

	if (!gmtime_r(&time, &utc) ||
	    strftime(date, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &utc) != SIGV4_DATE_SIZE - 1)
		return -ERANGE;
	return 0;
}

/* Sorted by name, as the canonical request wants them. */
static void list_headers(const struct sigv4_request *request, const char *session_token,
			 const char *date, struct signed_header headers[static SIGNED_HEADERS])
{
	headers[0] = (struct signed_header){ "content-type", request->content_type };
	headers[1] = (struct signed_header){ "host", request->host };
	headers[2] = (struct signed_header){ "x-amz-date", date };
	headers[3] = (struct signed_header){ "x-amz-security-token", session_token };
	headers[4] = (struct signed_header){ "x-amz-target", request->target };
}

/* "a;b;c" of the headers that are sent. */
static void join_names(const struct signed_header *headers, char *text, size_t size)
{
	size_t used = 0;

	text[0] = 0;
	for (size_t i = 0; i < SIGNED_HEADERS; i++)
		if (headers[i].value)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ";" : "",
						 headers[i].name);
}

static int add_text(struct hash *hash, const char *text)
{
	return hash_update(hash, bytes_from_text(text));
}

static int add_header(struct hash *hash, const struct signed_header *header)
{
	int r;

	if (!header->value)
		return 0;
	for (const char *c = header->value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return -EINVAL;
	r = add_text(hash, header->name);
	if (r == 0)
		r = add_text(hash, ":");
	if (r == 0)
		r = add_text(hash, header->value);
	return r < 0 ? r : add_text(hash, "\n");
}

int sigv4_canonical_digest(const struct sigv4_request *request, const char *session_token,
			   const char *date, uint8_t digest[static SHA256_SIZE])
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	struct signed_header headers[SIGNED_HEADERS];
	char names[128];
	char body[HEX_TEXT_SIZE(SHA256_SIZE)];
	int r;

	list_headers(request, session_token, date, headers);
	join_names(headers, names, sizeof(names));
	r = sha256(request->body, digest);
	if (r < 0)
		return r;
	hex_encode((struct bytes){ digest, SHA256_SIZE }, body);
	r = hash_new(&hash);
	if (r == 0)
		r = add_text(hash, "POST\n/\n\n");
	for (size_t i = 0; r == 0 && i < SIGNED_HEADERS; i++)
		r = add_header(hash, &headers[i]);
	if (r == 0)
		r = add_text(hash, "\n");
	if (r == 0)
		r = add_text(hash, names);
	if (r == 0)
		r = add_text(hash, "\n");
	if (r == 0)
		r = add_text(hash, body);
	return r < 0 ? r : hash_final(hash, digest);
}

/* KEY becomes HMAC(KEY, text). */
static int derive(uint8_t key[static HMAC_SIZE], struct bytes text)
{
	return hmac_sha256((struct bytes){ key, HMAC_SIZE }, &text, 1, key);
}

int sigv4_signing_key(const struct secret *secret_access_key, const char *date,
		      const struct sigv4_request *request, uint8_t signing_key[static HMAC_SIZE])
{
	static const char prefix[] = "AWS4";
	const size_t prefix_len = sizeof(prefix) - 1;
	struct bytes secret = secret_bytes(secret_access_key);
	CLEANUP(secret_free_cleanup) uint8_t *first = NULL;
	struct bytes day = { (const uint8_t *)date, DAY_LEN };
	int r;

	if (secret.size > SECRET_KEY_MAX || strlen(date) < DAY_LEN)
		return -EINVAL;
	first = secret_alloc(prefix_len + secret.size);
	if (!first)
		return -ENOMEM;
	memcpy(first, prefix, prefix_len);
	memcpy(first + prefix_len, secret.data, secret.size);
	r = hmac_sha256((struct bytes){ first, prefix_len + secret.size }, &day, 1, signing_key);
	if (r == 0)
		r = derive(signing_key, bytes_from_text(request->region));
	if (r == 0)
		r = derive(signing_key, bytes_from_text(request->service));
	return r < 0 ? r : derive(signing_key, bytes_from_text(TERMINATOR));
}

static int sign_text(const struct sigv4_key *key, const struct sigv4_request *request,
		     const char *date, const char *to_sign, char signature[static SIGNATURE_SIZE])
{
	CLEANUP(secret_free_cleanup) uint8_t *signing_key = secret_alloc(HMAC_SIZE);
	struct bytes text = bytes_from_text(to_sign);
	uint8_t mac[HMAC_SIZE];
	int r;

	if (!signing_key)
		return -ENOMEM;
	r = sigv4_signing_key(key->secret_access_key, date, request, signing_key);
	if (r == 0)
		r = hmac_sha256((struct bytes){ signing_key, HMAC_SIZE }, &text, 1, mac);
	if (r < 0)
		return r;
	hex_encode((struct bytes){ mac, sizeof(mac) }, signature);
	return 0;
}

int sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *request, const char *date,
	       char authorization[static SIGV4_AUTHORIZATION_SIZE])
{
	struct signed_header headers[SIGNED_HEADERS];
	uint8_t digest[SHA256_SIZE];
	char canonical[HEX_TEXT_SIZE(SHA256_SIZE)];
	char scope[SCOPE_SIZE], to_sign[TO_SIGN_SIZE], names[128], signature[SIGNATURE_SIZE];
	int r;

	r = sigv4_canonical_digest(request, key->session_token, date, digest);
	if (r < 0)
		return r;
	hex_encode((struct bytes){ digest, sizeof(digest) }, canonical);
	if (snprintf(scope, sizeof(scope), "%.*s/%s/%s/" TERMINATOR, DAY_LEN, date, request->region,
		     request->service) >= (int)sizeof(scope) ||
	    snprintf(to_sign, sizeof(to_sign), ALGORITHM "\n%s\n%s\n%s", date, scope, canonical) >=
		    (int)sizeof(to_sign))
		return -ENOSPC;
	r = sign_text(key, request, date, to_sign, signature);
	if (r < 0)
		return r;
	list_headers(request, key->session_token, date, headers);
	join_names(headers, names, sizeof(names));
	if (snprintf(authorization, SIGV4_AUTHORIZATION_SIZE,
		     ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		     key->access_key_id, scope, names, signature) >= SIGV4_AUTHORIZATION_SIZE)
		return -ENOSPC;
	return 0;
}
