/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of http share. */
#ifndef SNAPCRYPT_KMS_HTTP_INTERNAL_H
#define SNAPCRYPT_KMS_HTTP_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "kms/crypto/secret.h"
#include "kms/http.h"

#define HTTP_CONNECT_TIMEOUT_MS 5000
#define HTTP_CANCEL_POLL_MS     50

/* A handle that keeps its connections between exchanges.  Used by one thread at a time. */
struct http_connection {
	CURL *easy;
	CURLM *multi;
	uint64_t generation; /* of the files it was made with */
	struct http_connection *next;
};

struct http {
	struct http_options options; /* own copies */
	struct secret *passphrase;   /* with its NUL */
	pthread_mutex_t lock;        /* guards idle, idle_count */
	struct http_connection *idle;
	unsigned idle_count;
};

/* An idle one, or a new one; NULL: out of memory. */
struct http_connection *http_connection_get(struct http *http);

/* Keep it for the next exchange. */
void http_connection_put(struct http *http, struct http_connection *connection);

/* Close it. */
void http_connection_free(struct http_connection *connection);

/* Changes when a file of the options is replaced. */
uint64_t http_files_generation(const struct http_options *options);

/* TLS 1.2 or newer, verified, with our certificate. */
void http_set_tls(const struct http *http, CURL *easy);
void http_set_proxy(const struct http *http, CURL *easy, bool is_plain);

struct http_sigpipe {
	sigset_t old_set;
	bool was_pending;
};
void http_sigpipe_block(struct http_sigpipe *sigpipe);
void http_sigpipe_restore(const struct http_sigpipe *sigpipe);

/* Run what was added.  -EINTR: cancelled; -EIO.  Otherwise 0 and how it ended. */
MUST_CHECK int http_perform(CURLM *multi, const struct kms_call *call, CURLcode *ret_result);

/* Fill *RETERR (may be NULL) from how it ended.  WHERE: the server; MESSAGE: libcurl's words, or "". */
MUST_CHECK int http_fail(CURL *easy, CURLcode result, const char *where, const char *message,
			 struct kms_error *reterr);

/* The same with a NUL behind. */
MUST_CHECK int http_secret_text(const struct secret *secret, struct secret **ret_text);

/* Parts of a URL that decide how it may be contacted. */
struct http_target {
	bool is_plain;  /* http, not https */
	bool is_local;  /* plain http is allowed, and no proxy is used */
	char host[256]; /* without brackets */
	char port[8];
	char authority[280]; /* host, and port unless it is the scheme's own */
};

/* -EINVAL: not http or https, user or password in it, or no host. */
MUST_CHECK int http_target_parse(const char *url, struct http_target *ret_target);

/* The same URL with another host.  free() it; NULL: out of memory, or no URL. */
char *http_url_with_host(const char *url, const char *host);

#endif
