/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTPS exchange with bounds, for every key service that speaks HTTP.  Knows no vendor.
 *
 * TLS 1.2 or newer, verified; no redirects; plain http only to loopback and link-local metadata addresses; replies are
 * bounded; connections are reused.  Request and reply bodies are wiped after use.
 */
#ifndef SNAPCRYPT_KMS_HTTP_H
#define SNAPCRYPT_KMS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"
#include "kms/provider.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define HTTP_REPLY_MAX   ((size_t)256 * 1024)
#define HTTP_HEADERS_MAX 24

/* Connections and how to make them: one for each KEK or credential source.  Thread-safe. */
struct http;

struct secret;

/*
 * All copied by http_open(); NULL: the default.  Files are read anew for every connection, and connections made before a
 * file changed are not used again.
 */
struct http_options {
	const char *ca_file;
	const char *proxy; /* default: https_proxy and the like */
	const char *no_proxy;
	const char *client_certificate; /* PEM */
	const char *client_key;         /* PEM */
	const struct secret *client_key_passphrase;
	const char *tls_server_name; /* expected in the certificate, where it is not the URL's host */
};

/*
 * Settings ca_file, proxy, no_proxy, client_certificate, client_key, tls_server_name of a [key] section.  A passphrase is
 * read by the caller: secret_source_read(config, "client_key_passphrase", ...).
 */
void http_options_from_config(const struct kms_config *config, struct http_options *ret_options);

/* Call before the first thread; harmless again.  http_open() calls it. */
MUST_CHECK int http_init(void);
MUST_CHECK int http_open(const struct http_options *options, struct http **ret_http,
			 struct kms_error *reterr);

/* Accepts NULL.  No exchange may be going on. */
void http_close(struct http *http);

struct http_header {
	const char *name;
	const char *value;
};

/*
 *   url       https://..., or http:// to loopback and link-local addresses
 *   headers   sent as they are; a value that holds CR or LF is refused
 *   body      NULL data: none
 */
struct http_request {
	const char *method;
	const char *url;
	const struct http_header *headers;
	size_t header_count;
	struct bytes body;
};

/* Zero-initialise; http_reply_free() wipes, and may be called twice. */
struct http_reply {
	int status;
	char *body; /* with a NUL behind its `size` bytes */
	size_t size;
	char *headers; /* raw, of the final reply, lines ended by LF */
};
void http_reply_free(struct http_reply *reply);

/* Value of a header (any case), copied; false: not there, or longer than SIZE - 1. */
bool http_reply_header(const struct http_reply *reply, const char *name, char *value, size_t size);

/* Seconds since the epoch of the Date header, 0: none. */
int64_t http_reply_date_s(const struct http_reply *reply);

/* Retry-After in milliseconds, 0: none. */
uint32_t http_reply_retry_after_ms(const struct http_reply *reply);

/*
 * One exchange by the call's deadline.  0: there is a reply, whatever its status; redirects are not followed.
 * All of state unreachable: -EHOSTUNREACH (retryable unless the certificate is not accepted), -ETIMEDOUT (retryable),
 * -EPROTO (reply too large or not HTTP; retryable).  -EINTR cancelled, -EINVAL (URL or header).
 */
MUST_CHECK int http_exchange(struct http *http, const struct kms_call *call,
			     const struct http_request *request, struct http_reply *reply,
			     struct kms_error *reterr);

/* Percent-encode all but unreserved characters (RFC 3986); -ENOSPC. */
MUST_CHECK int http_escape(const char *text, char *escaped, size_t size);

/* The URL's host, and its port unless it is the scheme's own, as in Host.  -EINVAL, -ENOSPC. */
MUST_CHECK int http_authority(const char *url, char *authority, size_t size);

/* May plain http be used to this URL: loopback, 169.254.0.0/16, fe80::/10, fd00:ec2::/32, metadata.google.internal? */
bool http_is_local_url(const char *url);

/* URL is that of a service: https, or local.  -EINVAL. */
MUST_CHECK int http_check_service_url(const char *url, struct kms_error *reterr);

#endif
