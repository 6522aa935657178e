/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange: request, bounded reply, and what failed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kms/http_internal.h"
#include "kms/retry.h"

#define HEADER_BYTES_MAX ((size_t)64 * 1024)
#define HEADER_LINE_MAX  ((size_t)16 * 1024)

/* Grows by moving, so that what is left behind can be wiped. */
struct growing {
	char *data;
	size_t size, capacity, max;
	bool is_too_large;
};

/* All that lives as long as one exchange. */
struct transfer {
	struct http *http;
	CURL *easy;
	const struct http_request *request;
	struct http_target target;
	char *url;
	struct curl_slist *headers;
	struct curl_slist *connect_to;
	struct growing body;
	struct growing reply_headers;
	char message[CURL_ERROR_SIZE];
};

static bool grow(struct growing *growing, const char *data, size_t size)
{
	size_t needed = growing->size + size + 1;

	if (size > growing->max - growing->size) {
		growing->is_too_large = true;
		return false;
	}
	if (needed > growing->capacity) {
		size_t capacity = needed < 4096 ? 4096 : needed * 2;
		char *moved = malloc(capacity);

		if (!moved)
			return false;
		if (growing->size)
			memcpy(moved, growing->data, growing->size);
		if (growing->data)
			secret_wipe(growing->data, growing->size);
		free(growing->data);
		growing->data = moved;
		growing->capacity = capacity;
	}
	if (size)
		memcpy(growing->data + growing->size, data, size);
	growing->size += size;
	growing->data[growing->size] = 0;
	return true;
}

static size_t on_body(char *data, size_t item, size_t count, void *arg)
{
	struct transfer *transfer = arg;

	return grow(&transfer->body, data, item * count) ? item * count : 0;
}

static size_t on_header(char *data, size_t item, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t size = item * count;
	size_t text = size;

	/* A status line begins a reply; those before it (100 Continue) do not count. */
	if (size > 5 && !memcmp(data, "HTTP/", 5))
		transfer->reply_headers.size = 0;
	while (text && (data[text - 1] == '\r' || data[text - 1] == '\n'))
		text--;
	if (!text)
		return size;
	return grow(&transfer->reply_headers, data, text) && grow(&transfer->reply_headers, "\n", 1)
		       ? size
		       : 0;
}

static bool is_header_text(const char *text)
{
	return !strpbrk(text, "\r\n");
}

static int add_header(struct transfer *transfer, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 3;
	struct curl_slist *longer = NULL;
	char *line;

	if (size > HEADER_LINE_MAX)
		return -E2BIG;
	line = malloc(size);
	if (!line)
		return -ENOMEM;
	/* libcurl's way to say an empty value is a semicolon; ending at the colon takes the header out. */
	(void)snprintf(line, size, *value ? "%s: %s" : "%s:%s", name, value);
	longer = curl_slist_append(transfer->headers, line);
	secret_wipe(line, size);
	free(line);
	if (!longer)
		return -ENOMEM;
	transfer->headers = longer;
	return 0;
}

static bool has_header(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++)
		if (!strcasecmp(request->headers[i].name, name))
			return true;
	return false;
}

static int add_headers(struct transfer *transfer)
{
	const struct http_request *request = transfer->request;
	int r = 0;

	if (request->header_count > HTTP_HEADERS_MAX)
		return -E2BIG;
	for (size_t i = 0; r == 0 && i < request->header_count; i++) {
		const struct http_header *header = &request->headers[i];

		if (!is_header_text(header->name) || !is_header_text(header->value) ||
		    strchr(header->name, ':') || !*header->value)
			return -EINVAL;
		r = add_header(transfer, header->name, header->value);
	}
	/* A body goes out at once, and as nothing that nobody said it was. */
	if (r == 0)
		r = add_header(transfer, "Expect", "");
	if (r == 0 && !has_header(request, "Content-Type"))
		r = add_header(transfer, "Content-Type", "");
	if (r == 0 && transfer->http->options.tls_server_name && !has_header(request, "Host"))
		r = add_header(transfer, "Host", transfer->target.authority);
	return r;
}

/* The certificate is checked against the URL's host, so that name goes there, and the connection elsewhere. */
static int set_url(struct transfer *transfer)
{
	const char *name = transfer->http->options.tls_server_name;
	char where[512];

	if (!name || transfer->target.is_plain) {
		transfer->url = strdup(transfer->request->url);
		return transfer->url ? 0 : -ENOMEM;
	}
	transfer->url = http_url_with_host(transfer->request->url, name);
	(void)snprintf(where, sizeof(where),
		       strchr(transfer->target.host, ':') ? "::[%s]:%s" : "::%s:%s",
		       transfer->target.host, transfer->target.port);
	transfer->connect_to = curl_slist_append(NULL, where);
	return transfer->url && transfer->connect_to ? 0 : -EINVAL;
}

static void set_method(const struct transfer *transfer)
{
	const struct http_request *request = transfer->request;
	CURL *easy = transfer->easy;

	if (request->body.data || !strcmp(request->method, "PUT") ||
	    !strcmp(request->method, "POST")) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
				 request->body.data ? (const char *)request->body.data : "");
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
	} else {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_bounds(const struct transfer *transfer, int64_t left_ms)
{
	CURL *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, transfer->target.is_plain ? "http" : "https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(left_ms < HTTP_CONNECT_TIMEOUT_MS ? left_ms
								  : HTTP_CONNECT_TIMEOUT_MS));
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static int prepare(struct transfer *transfer, int64_t left_ms)
{
	CURL *easy = transfer->easy;
	int r;

	r = add_headers(transfer);
	if (r == 0)
		r = set_url(transfer);
	if (r < 0)
		return r;
	set_method(transfer);
	http_set_tls(transfer->http, easy);
	set_bounds(transfer, left_ms);
	http_set_proxy(transfer->http, easy, transfer->target.is_plain);
	curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, transfer->connect_to);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "snapcrypt/" SNAPCRYPT_VERSION);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
	return 0;
}

static int fail_transfer(const struct transfer *transfer, CURLcode result, struct kms_error *reterr)
{
	const char *where = transfer->target.authority;
	int r;

	if (!transfer->body.is_too_large && !transfer->reply_headers.is_too_large)
		return http_fail(transfer->easy, result, where, transfer->message, reterr);
	r = kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
		     "%s: the reply is larger than any reply of a key service", where);
	kms_advise(reterr, "look for a proxy or portal that answers in its place");
	if (reterr)
		reterr->is_retryable = true;
	return r;
}

static void transfer_end(struct transfer *transfer)
{
	if (transfer->body.data)
		secret_wipe(transfer->body.data, transfer->body.size);
	if (transfer->reply_headers.data)
		secret_wipe(transfer->reply_headers.data, transfer->reply_headers.size);
	free(transfer->body.data);
	free(transfer->reply_headers.data);
	free(transfer->url);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->connect_to);
}

static int exchange(struct transfer *transfer, CURLM *multi, const struct kms_call *call,
		    struct http_reply *reply, struct kms_error *reterr)
{
	CURLcode result = CURLE_OK;
	long status = 0;
	int r;

	if (curl_multi_add_handle(multi, transfer->easy) != CURLM_OK)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = http_perform(multi, call, &result);
	if (r == 0 && result != CURLE_OK)
		r = fail_transfer(transfer, result, reterr);
	else if (r < 0)
		r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", transfer->target.authority,
			     r == -EINTR ? "cancelled" : strerror(-r));
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(multi, transfer->easy);
	if (r < 0)
		return r;
	if (!grow(&transfer->body, "", 0) || !grow(&transfer->reply_headers, "", 0))
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	http_reply_free(reply);
	reply->status = (int)status;
	reply->size = transfer->body.size;
	reply->body = TAKE(transfer->body.data);
	reply->headers = TAKE(transfer->reply_headers.data);
	return 0;
}

int http_exchange(struct http *http, const struct kms_call *call,
		  const struct http_request *request, struct http_reply *reply,
		  struct kms_error *reterr)
{
	struct transfer transfer = { .http = http,
				     .request = request,
				     .body = { .max = HTTP_REPLY_MAX },
				     .reply_headers = { .max = HEADER_BYTES_MAX } };
	struct http_connection *connection;
	int64_t wait_ms = call->deadline_ms - retry_now_ms();
	int r;

	if (http_target_parse(request->url, &transfer.target) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: not a URL", request->url);
	if (transfer.target.is_plain && !transfer.target.is_local)
		return kms_fail(
			reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"%s: only https is used beyond this machine and its metadata service",
			transfer.target.authority);
	if (wait_ms <= 0)
		return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
				"%s: no answer before the deadline", transfer.target.authority);
	connection = http_connection_get(http);
	if (!connection)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	transfer.easy = connection->easy;
	r = prepare(&transfer, wait_ms);
	if (r < 0)
		r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: the request cannot be sent: %s",
			     transfer.target.authority, strerror(-r));
	else
		r = exchange(&transfer, connection->multi, call, reply, reterr);
	http_connection_put(http, connection);
	transfer_end(&transfer);
	return r;
}
