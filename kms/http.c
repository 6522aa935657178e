/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to one service, kept between exchanges.  One exchange is in http_exchange.c. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kms/http_internal.h"

#define IDLE_MAX 8

/*
 * libcurl's buffers see bodies and headers that hold secrets: all that it frees is wiped first.
 */
static void wipe_free(void *memory)
{
	if (memory)
		secret_wipe(memory, malloc_usable_size(memory));
	free(memory);
}

static void *wipe_realloc(void *memory, size_t size)
{
	size_t old_size = memory ? malloc_usable_size(memory) : 0;
	void *moved = malloc(size);

	if (!moved)
		return NULL;
	if (memory)
		memcpy(moved, memory, old_size < size ? old_size : size);
	wipe_free(memory);
	return moved;
}

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int init_result;

static void init(void)
{
	init_result = curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc,
					   strdup, calloc) == CURLE_OK
			      ? 0
			      : -ENOMEM;
}

int http_init(void)
{
	pthread_once(&init_once, init);
	return init_result;
}

void http_options_from_config(const struct kms_config *config, struct http_options *ret_options)
{
	*ret_options = (struct http_options){
		.ca_file = kms_config_get(config, "ca_file"),
		.proxy = kms_config_get(config, "proxy"),
		.no_proxy = kms_config_get(config, "no_proxy"),
		.client_certificate = kms_config_get(config, "client_certificate"),
		.client_key = kms_config_get(config, "client_key"),
		.tls_server_name = kms_config_get(config, "tls_server_name"),
	};
}

void http_connection_free(struct http_connection *connection)
{
	curl_easy_cleanup(connection->easy);
	curl_multi_cleanup(connection->multi);
	free(connection);
}

static int copy_text(const char *text, const char **ret_copy)
{
	if (!text)
		return 0;
	*ret_copy = strdup(text);
	return *ret_copy ? 0 : -ENOMEM;
}

static void free_text(const char *text)
{
	free((char *)(uintptr_t)text);
}

static int copy_options(const struct http_options *options, struct http *http)
{
	struct http_options *kept = &http->options;

	const char *bundle = getenv("SSL_CERT_FILE");

	/* As OpenSSL's own default, which libcurl does not ask for. */
	if (options->ca_file || !bundle || !*bundle)
		bundle = options->ca_file;
	if (copy_text(bundle, &kept->ca_file) < 0 || copy_text(options->proxy, &kept->proxy) < 0 ||
	    copy_text(options->no_proxy, &kept->no_proxy) < 0 ||
	    copy_text(options->client_certificate, &kept->client_certificate) < 0 ||
	    copy_text(options->client_key, &kept->client_key) < 0 ||
	    copy_text(options->tls_server_name, &kept->tls_server_name) < 0)
		return -ENOMEM;
	if (!options->client_key_passphrase)
		return 0;
	return http_secret_text(options->client_key_passphrase, &http->passphrase);
}

int http_secret_text(const struct secret *secret, struct secret **ret_text)
{
	struct bytes bytes = secret_bytes(secret);
	int r;

	r = secret_new(bytes.size + 1, ret_text);
	if (r == 0)
		memcpy(secret_data(*ret_text), bytes.data, bytes.size);
	return r;
}

int http_open(const struct http_options *options, struct http **ret_http, struct kms_error *reterr)
{
	struct http *http = calloc(1, sizeof(*http));
	int r = http ? http_init() : -ENOMEM;

	if (r == 0) {
		pthread_mutex_init(&http->lock, NULL);
		r = copy_options(options, http);
		if (r < 0)
			http_close(http);
	} else {
		free(http);
	}
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	*ret_http = http;
	return 0;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	while (http->idle) {
		struct http_connection *connection = http->idle;

		http->idle = connection->next;
		http_connection_free(connection);
	}
	free_text(http->options.ca_file);
	free_text(http->options.proxy);
	free_text(http->options.no_proxy);
	free_text(http->options.client_certificate);
	free_text(http->options.client_key);
	free_text(http->options.tls_server_name);
	secret_drop(http->passphrase);
	pthread_mutex_destroy(&http->lock);
	free(http);
}

uint64_t http_files_generation(const struct http_options *options)
{
	const char *const paths[] = { options->ca_file, options->client_certificate,
				      options->client_key };
	uint64_t hash = 14695981039346656037U;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct stat stat_buffer = { 0 };
		uint64_t facts[5] = { 0 };

		if (paths[i] && stat(paths[i], &stat_buffer) == 0) {
			facts[0] = (uint64_t)stat_buffer.st_dev;
			facts[1] = (uint64_t)stat_buffer.st_ino;
			facts[2] = (uint64_t)stat_buffer.st_size;
			facts[3] = (uint64_t)stat_buffer.st_mtim.tv_sec;
			facts[4] = (uint64_t)stat_buffer.st_mtim.tv_nsec;
		}
		for (size_t k = 0; k < ARRAY_SIZE(facts); k++)
			hash = (hash ^ facts[k]) * 1099511628211U;
	}
	return hash;
}

static struct http_connection *connection_new(void)
{
	struct http_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->easy = curl_easy_init();
	connection->multi = curl_multi_init();
	if (!connection->easy || !connection->multi) {
		http_connection_free(connection);
		return NULL;
	}
	return connection;
}

struct http_connection *http_connection_get(struct http *http)
{
	uint64_t generation = http_files_generation(&http->options);
	struct http_connection *connection;

	for (;;) {
		pthread_mutex_lock(&http->lock);
		connection = http->idle;
		if (connection) {
			http->idle = connection->next;
			http->idle_count--;
		}
		pthread_mutex_unlock(&http->lock);
		if (!connection || connection->generation == generation)
			break;
		http_connection_free(connection);
	}
	if (!connection)
		connection = connection_new();
	if (connection)
		connection->generation = generation;
	return connection;
}

void http_connection_put(struct http *http, struct http_connection *connection)
{
	bool is_kept;

	curl_easy_reset(connection->easy);
	pthread_mutex_lock(&http->lock);
	is_kept = http->idle_count < IDLE_MAX;
	if (is_kept) {
		connection->next = http->idle;
		http->idle = connection;
		http->idle_count++;
	}
	pthread_mutex_unlock(&http->lock);
	if (!is_kept)
		http_connection_free(connection);
}
