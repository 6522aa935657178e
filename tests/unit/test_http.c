/* SPDX-License-Identifier: Apache-2.0 */
/* http: bounds, refusals and deadlines, against a server in this process.  TLS: tests/integration/test_aws.py. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/crypto/secret.h"
#include "kms/http.h"
#include "kms/retry.h"

/* Serves one reply per request on any number of connections, one after another. */
struct server {
	int fd;
	char url[64];
	pthread_t thread;
	const char *reply;
	size_t reply_size;
	bool is_silent;
	bool is_closing; /* after each reply */
	int connection_count;
	char request[8192];
};

static ssize_t read_request(int fd, char *buffer, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, buffer + used, size - 1 - used)) > 0) {
		used += (size_t)n;
		buffer[used] = 0;
		if (strstr(buffer, "\r\n\r\n"))
			return (ssize_t)used;
	}
	return 0;
}

static void *serve(void *arg)
{
	struct server *server = arg;
	int fd;

	while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
		server->connection_count++;
		while (read_request(fd, server->request, sizeof(server->request)) > 0) {
			if (server->is_silent)
				continue;
			if (send(fd, server->reply, server->reply_size, MSG_NOSIGNAL) < 0 ||
			    server->is_closing)
				break;
		}
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *server, const char *reply)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	server->reply = reply;
	server->reply_size = strlen(reply);
	server->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_return_code(bind(server->fd, (struct sockaddr *)&address, size), errno);
	assert_return_code(listen(server->fd, 8), errno);
	assert_return_code(getsockname(server->fd, (struct sockaddr *)&address, &size), errno);
	(void)snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d/x",
		       ntohs(address.sin_port));
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	close(server->fd);
	pthread_join(server->thread, NULL);
}

static struct http *http_new(void)
{
	struct http *http = NULL;

	assert_int_equal(http_open(&(struct http_options){ 0 }, &http, NULL), 0);
	return http;
}

static int get_within(struct http *http, const char *url, int timeout_ms, struct http_reply *reply,
		      struct kms_error *error)
{
	const struct kms_call call = { .deadline_ms = retry_now_ms() + timeout_ms };
	const struct http_request request = { .method = "GET", .url = url };

	return http_exchange(http, &call, &request, reply, error);
}

static void http_returns_status_headers_and_body(void **state)
{
	struct server server = { 0 };
	struct http_reply reply = { 0 };
	struct http *http = http_new();
	char value[64];

	server_start(&server, "HTTP/1.1 404 Nope\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
			      "X-Id:  a b \r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nhello");
	assert_int_equal(get_within(http, server.url, 2000, &reply, NULL), 0);
	assert_int_equal(reply.status, 404);
	assert_int_equal(reply.size, 5);
	assert_string_equal(reply.body, "hello");
	assert_true(http_reply_header(&reply, "x-ID", value, sizeof(value)));
	assert_string_equal(value, "a b");
	assert_false(http_reply_header(&reply, "x-ID", value, 3));
	assert_false(http_reply_header(&reply, "X-I", value, sizeof(value)));
	assert_int_equal(http_reply_date_s(&reply), 784111777);
	assert_int_equal(http_reply_retry_after_ms(&reply), 3000);
	http_reply_free(&reply);
	http_close(http);
	server_stop(&server);
}

static void http_sends_headers_and_body_and_reuses_the_connection(void **state)
{
	struct server server = { 0 };
	struct http_reply reply = { 0 };
	struct http *http = http_new();
	const struct kms_call call = { .deadline_ms = retry_now_ms() + 5000 };
	const struct http_header headers[] = { { "X-A", "1" } };
	const struct http_request request = {
		.method = "PUT", .url = NULL, .headers = headers, .header_count = 1
	};
	struct http_request put = request;

	server_start(&server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	put.url = server.url;
	for (int i = 0; i < 3; i++)
		assert_int_equal(http_exchange(http, &call, &put, &reply, NULL), 0);
	assert_int_equal(server.connection_count, 1);
	assert_non_null(strstr(server.request, "PUT /x HTTP/1.1\r\n"));
	assert_non_null(strstr(server.request, "\r\nX-A: 1\r\n"));
	assert_non_null(strstr(server.request, "\r\nContent-Length: 0\r\n"));
	assert_null(strstr(server.request, "Expect"));
	assert_null(strstr(server.request, "Content-Type"));
	http_reply_free(&reply);
	http_close(http);
	server_stop(&server);
}

static void http_does_not_follow_redirects(void **state)
{
	struct server server = { 0 };
	struct http_reply reply = { 0 };
	struct http *http = http_new();

	server_start(&server, "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\n"
			      "Content-Length: 0\r\n\r\n");
	assert_int_equal(get_within(http, server.url, 2000, &reply, NULL), 0);
	assert_int_equal(reply.status, 307);
	assert_string_equal(reply.body, "");
	http_reply_free(&reply);
	http_close(http);
	server_stop(&server);
}

static void http_refuses_replies_over_the_limit(void **state)
{
	struct server server = { .is_closing = true };
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	struct http *http = http_new();
	size_t size = HTTP_REPLY_MAX + 1000;
	char *text = malloc(size + 1);

	memset(text, 'x', size);
	text[size] = 0;
	memcpy(text, "HTTP/1.1 200 OK\r\n\r\n", 19);
	server_start(&server, text);
	assert_int_equal(get_within(http, server.url, 5000, &reply, &error), -EPROTO);
	assert_int_equal(error.state, KEY_STATE_UNREACHABLE);
	assert_null(reply.body);
	http_close(http);
	server_stop(&server);
	free(text);
}

static void http_refuses_half_a_body(void **state)
{
	struct server server = { .is_closing = true };
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	struct http *http = http_new();

	server_start(&server, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf");
	assert_int_equal(get_within(http, server.url, 5000, &reply, &error), -EHOSTUNREACH);
	assert_true(error.is_retryable);
	assert_null(reply.body);
	http_close(http);
	server_stop(&server);
}

static void http_gives_up_at_the_deadline(void **state)
{
	struct server server = { .is_silent = true };
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	struct http *http = http_new();
	int64_t start_ms = retry_now_ms();

	server_start(&server, "");
	assert_int_equal(get_within(http, server.url, 300, &reply, &error), -ETIMEDOUT);
	assert_in_range(retry_now_ms() - start_ms, 250, 2000);
	assert_int_equal(error.state, KEY_STATE_UNREACHABLE);
	http_close(http);
	server_stop(&server);
}

static void *cancel_soon(void *arg)
{
	atomic_bool *is_cancelled = arg;

	nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	atomic_store(is_cancelled, true);
	return NULL;
}

static void http_gives_up_when_cancelled(void **state)
{
	struct server server = { .is_silent = true };
	struct http_reply reply = { 0 };
	struct http *http = http_new();
	atomic_bool is_cancelled = false;
	int64_t start_ms = retry_now_ms();
	const struct kms_call call = { .deadline_ms = start_ms + 20000,
				       .is_cancelled = &is_cancelled };
	struct http_request request = { .method = "GET" };
	pthread_t thread;

	server_start(&server, "");
	request.url = server.url;
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &is_cancelled), 0);
	assert_int_equal(http_exchange(http, &call, &request, &reply, NULL), -EINTR);
	assert_in_range(retry_now_ms() - start_ms, 50, 5000);
	pthread_join(thread, NULL);
	http_close(http);
	server_stop(&server);
}

static void http_says_that_nobody_listens(void **state)
{
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	struct http *http = http_new();

	assert_int_equal(get_within(http, "http://127.0.0.1:1/", 2000, &reply, &error),
			 -EHOSTUNREACH);
	assert_int_equal(error.state, KEY_STATE_UNREACHABLE);
	assert_true(error.is_retryable);
	assert_non_null(strstr(error.text, "127.0.0.1:1"));
	http_close(http);
}

static void http_refuses_line_ends_in_headers(void **state)
{
	const struct http_header bad[] = { { "X-A", "1\r\nX-B: 2" },
					   { "X\nA", "1" },
					   { "X-A", "" } };
	const struct kms_call call = { .deadline_ms = retry_now_ms() + 2000 };
	struct http_reply reply = { 0 };
	struct http *http = http_new();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct http_request request = { .method = "GET",
						      .url = "http://127.0.0.1:1/",
						      .headers = &bad[i],
						      .header_count = 1 };

		assert_int_equal(http_exchange(http, &call, &request, &reply, NULL), -EINVAL);
	}
	http_close(http);
}

static void http_uses_plain_http_within_the_machine_and_its_link_only(void **state)
{
	static const char *const local[] = { "http://127.0.0.1/",
					     "http://localhost:80/",
					     "http://169.254.169.254",
					     "http://[::1]:8200/v1",
					     "http://[fd00:ec2::254]",
					     "http://[fe80::1]/",
					     "http://metadata.google.internal/x" };
	static const char *const other[] = {
		"http://10.0.0.1/",      "http://example.com/",
		"http://[2001:db8::1]/", "http://127.0.0.1.example.com/",
		"http://169.255.1.1/",   "http://[fd00::1]/"
	};
	struct http_reply reply = { 0 };
	struct http *http = http_new();

	for (size_t i = 0; i < ARRAY_SIZE(local); i++)
		assert_true(http_is_local_url(local[i]));
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		assert_false(http_is_local_url(other[i]));
		assert_int_equal(get_within(http, other[i], 1000, &reply, NULL), -EINVAL);
	}
	assert_int_equal(get_within(http, "ftp://127.0.0.1/", 1000, &reply, NULL), -EINVAL);
	assert_int_equal(get_within(http, "https://user:pw@127.0.0.1/", 1000, &reply, NULL),
			 -EINVAL);
	http_close(http);
}

static void http_escape_keeps_unreserved_characters_only(void **state)
{
	char escaped[32];

	assert_int_equal(http_escape("aZ9-._~/ +:\xc3", escaped, sizeof(escaped)), 0);
	assert_string_equal(escaped, "aZ9-._~%2F%20%2B%3A%C3");
	assert_int_equal(http_escape("abc", escaped, 3), -ENOSPC);
	assert_int_equal(http_escape("a/", escaped, 4), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_returns_status_headers_and_body),
		cmocka_unit_test(http_sends_headers_and_body_and_reuses_the_connection),
		cmocka_unit_test(http_does_not_follow_redirects),
		cmocka_unit_test(http_refuses_replies_over_the_limit),
		cmocka_unit_test(http_refuses_half_a_body),
		cmocka_unit_test(http_gives_up_at_the_deadline),
		cmocka_unit_test(http_gives_up_when_cancelled),
		cmocka_unit_test(http_says_that_nobody_listens),
		cmocka_unit_test(http_refuses_line_ends_in_headers),
		cmocka_unit_test(http_uses_plain_http_within_the_machine_and_its_link_only),
		cmocka_unit_test(http_escape_keeps_unreserved_characters_only),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
