/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS connection that carries bytes: libcurl connects, checks and encrypts, what goes through is the caller's. */
#include "kms/http_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/http_internal.h"
#include "kms/retry.h"

struct http_stream {
	struct http *http;
	struct http_connection *connection;
	struct http_target target;
	struct curl_slist *connect_to;
	curl_socket_t fd;
	char message[CURL_ERROR_SIZE];
};

/* Servers say so with an alert, at the handshake or, in TLS 1.3, at the first read. */
static bool is_our_certificate_refused(const char *message)
{
	return strstr(message, "alert") &&
	       (strstr(message, "certificate") || strstr(message, "unknown ca"));
}

static int fail(struct http_stream *stream, CURLcode result, struct kms_error *reterr)
{
	int r;

	if (!is_our_certificate_refused(stream->message))
		return http_fail(stream->connection->easy, result, stream->target.authority,
				 stream->message, reterr);
	r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
		     "%s: the server does not accept our certificate: %s", stream->target.authority,
		     stream->message);
	kms_advise(reterr, "check client_certificate and client_key");
	return r;
}

void http_stream_close(struct http_stream *stream)
{
	struct http_sigpipe sigpipe;

	if (!stream)
		return;
	http_sigpipe_block(&sigpipe);
	if (stream->connection) {
		curl_multi_remove_handle(stream->connection->multi, stream->connection->easy);
		http_connection_free(stream->connection);
	}
	http_sigpipe_restore(&sigpipe);
	curl_slist_free_all(stream->connect_to);
	free(stream);
}

/* The certificate is checked against the URL's host, so the name that is expected goes there. */
static int set_address(struct http_stream *stream, const char *server)
{
	const char *name = stream->http->options.tls_server_name;
	CURL *easy = stream->connection->easy;
	char url[600], where[600];

	(void)snprintf(url, sizeof(url), "https://%s/", server);
	if (http_target_parse(url, &stream->target) < 0)
		return -EINVAL;
	(void)snprintf(stream->target.authority, sizeof(stream->target.authority), "%s", server);
	if (name) {
		(void)snprintf(url, sizeof(url), "https://%s:%s/", name, stream->target.port);
		(void)snprintf(where, sizeof(where),
			       strchr(stream->target.host, ':') ? "::[%s]:%s" : "::%s:%s",
			       stream->target.host, stream->target.port);
		stream->connect_to = curl_slist_append(NULL, where);
		if (!stream->connect_to)
			return -ENOMEM;
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, stream->connect_to);
	}
	curl_easy_setopt(easy, CURLOPT_URL, url);
	return 0;
}

static void set_options(struct http_stream *stream, int64_t left_ms)
{
	CURL *easy = stream->connection->easy;

	http_set_tls(stream->http, easy);
	http_set_proxy(stream->http, easy, false);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(left_ms < HTTP_CONNECT_TIMEOUT_MS ? left_ms
								  : HTTP_CONNECT_TIMEOUT_MS));
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, stream->message);
}

static int connect_stream(struct http_stream *stream, const struct kms_call *call,
			  struct kms_error *reterr)
{
	struct http_connection *connection = stream->connection;
	CURLcode result = CURLE_OK;
	int r;

	if (curl_multi_add_handle(connection->multi, connection->easy) != CURLM_OK)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = http_perform(connection->multi, call, &result);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", stream->target.authority,
				r == -EINTR ? "cancelled" : strerror(-r));
	if (result == CURLE_OK)
		result = curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &stream->fd);
	return result == CURLE_OK ? 0 : fail(stream, result, reterr);
}

static int fail_late(const char *server, struct kms_error *reterr)
{
	return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
			"%s: no answer before the deadline", server);
}

int http_stream_open(struct http *http, const struct kms_call *call, const char *server,
		     struct http_stream **ret_stream, struct kms_error *reterr)
{
	struct http_stream *stream = calloc(1, sizeof(*stream));
	int64_t left_ms = call->deadline_ms - retry_now_ms();
	int r;

	if (stream)
		stream->connection = http_connection_get(http);
	if (!stream || !stream->connection) {
		free(stream);
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	}
	stream->http = http;
	r = set_address(stream, server);
	if (r < 0) {
		r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: not HOST:PORT", server);
	} else if (left_ms <= 0) {
		r = fail_late(server, reterr);
	} else {
		set_options(stream, left_ms);
		r = connect_stream(stream, call, reterr);
	}
	if (r < 0) {
		http_stream_close(stream);
		return r;
	}
	*ret_stream = stream;
	return 0;
}

bool http_stream_is_stale(const struct http_stream *stream)
{
	struct pollfd poll_fd = { .fd = stream->fd, .events = POLLIN };

	/* Between exchanges nothing is to be read: what comes is the end, or nothing that we asked for. */
	return stream->connection->generation != http_files_generation(&stream->http->options) ||
	       poll(&poll_fd, 1, 0) != 0;
}

/* 0: try again. */
static int wait_for(const struct http_stream *stream, const struct kms_call *call, short events,
		    struct kms_error *reterr)
{
	struct pollfd poll_fd = { .fd = stream->fd, .events = events };

	if (call->is_cancelled && atomic_load(call->is_cancelled))
		return kms_fail(reterr, -EINTR, KEY_STATE_UNKNOWN, "%s: cancelled",
				stream->target.authority);
	if (retry_now_ms() >= call->deadline_ms)
		return fail_late(stream->target.authority, reterr);
	(void)poll(&poll_fd, 1, HTTP_CANCEL_POLL_MS);
	return 0;
}

static int fail_ended(const struct http_stream *stream, struct kms_error *reterr)
{
	int r = kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE, "%s: the connection ended",
			 stream->target.authority);

	if (reterr)
		reterr->is_retryable = true;
	return r;
}

int http_stream_send(struct http_stream *stream, const struct kms_call *call, struct bytes data,
		     struct kms_error *reterr)
{
	while (data.size) {
		struct http_sigpipe sigpipe;
		CURLcode result;
		size_t sent = 0;
		int r = 0;

		http_sigpipe_block(&sigpipe);
		result = curl_easy_send(stream->connection->easy, data.data, data.size, &sent);
		http_sigpipe_restore(&sigpipe);
		if (result == CURLE_AGAIN)
			r = wait_for(stream, call, POLLOUT, reterr);
		else if (result != CURLE_OK)
			return fail(stream, result, reterr);
		if (r < 0)
			return r;
		data.data += sent;
		data.size -= sent;
	}
	return 0;
}

int http_stream_receive(struct http_stream *stream, const struct kms_call *call, uint8_t *data,
			size_t size, struct kms_error *reterr)
{
	while (size) {
		struct http_sigpipe sigpipe;
		CURLcode result;
		size_t received = 0;
		int r = 0;

		http_sigpipe_block(&sigpipe);
		result = curl_easy_recv(stream->connection->easy, data, size, &received);
		http_sigpipe_restore(&sigpipe);
		if (result == CURLE_AGAIN)
			r = wait_for(stream, call, POLLIN, reterr);
		else if (result != CURLE_OK)
			return fail(stream, result, reterr);
		else if (!received)
			return fail_ended(stream, reterr);
		if (r < 0)
			return r;
		data += received;
		size -= received;
	}
	return 0;
}
