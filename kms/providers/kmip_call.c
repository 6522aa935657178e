/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges with a KMIP server: connections that are kept, the version in common, who we are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/secret_source.h"
#include "kms/providers/kmip_internal.h"

#define IDLE_MAX          8
#define VERSION_LOWEST    12
#define STATUS_SUCCESS    0
#define REASON_NOT_KNOWN  0x05
#define REASON_UNREADABLE 0x04
#define REASON_FIELD      0x07

void kmip_exchange_free(struct kmip_exchange *exchange)
{
	secret_free(exchange->message);
	*exchange = (struct kmip_exchange){ 0 };
}

static struct http_stream *take_idle(struct kmip *kmip)
{
	struct kmip_connection *connection;
	struct http_stream *stream;

	pthread_mutex_lock(&kmip->lock);
	connection = kmip->idle;
	if (connection) {
		kmip->idle = connection->next;
		kmip->idle_count--;
	}
	pthread_mutex_unlock(&kmip->lock);
	if (!connection)
		return NULL;
	stream = connection->stream;
	free(connection);
	return stream;
}

static void keep_idle(struct kmip *kmip, struct http_stream *stream)
{
	struct kmip_connection *connection = malloc(sizeof(*connection));
	bool is_kept = false;

	pthread_mutex_lock(&kmip->lock);
	if (connection && kmip->idle_count < IDLE_MAX) {
		*connection = (struct kmip_connection){ stream, kmip->idle };
		kmip->idle = connection;
		kmip->idle_count++;
		is_kept = true;
	}
	pthread_mutex_unlock(&kmip->lock);
	if (!is_kept) {
		free(connection);
		http_stream_close(stream);
	}
}

void kmip_close_connections(struct kmip *kmip)
{
	struct http_stream *stream;

	while ((stream = take_idle(kmip)))
		http_stream_close(stream);
}

/* One that was open before and still seems to be, or NULL. */
static struct http_stream *reuse(struct kmip *kmip)
{
	struct http_stream *stream;

	while ((stream = take_idle(kmip)) && http_stream_is_stale(stream))
		http_stream_close(stream);
	return stream;
}

static int receive(struct http_stream *stream, const struct kms_call *call, uint8_t **ret_message,
		   size_t *ret_size, struct kms_error *reterr)
{
	uint8_t header[TTLV_HEADER_SIZE];
	uint8_t *message;
	size_t size;
	int r;

	r = http_stream_receive(stream, call, header, sizeof(header), reterr);
	if (r < 0)
		return r;
	size = ttlv_message_size(header, KMIP_REPLY_MAX);
	if (!size)
		return kms_fail(reterr, -EBADMSG, KEY_STATE_UNREACHABLE, "not a message of KMIP");
	message = secret_alloc(size);
	if (!message)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	memcpy(message, header, sizeof(header));
	r = http_stream_receive(stream, call, message + sizeof(header), size - sizeof(header),
				reterr);
	if (r < 0) {
		secret_free(message);
		return r;
	}
	*ret_message = message;
	*ret_size = size;
	return 0;
}

static int send_and_receive(struct kmip *kmip, const struct kms_call *call, struct bytes request,
			    uint8_t **ret_message, size_t *ret_size, struct kms_error *reterr)
{
	struct http_stream *stream = reuse(kmip);
	bool is_reused = stream != NULL;
	int r = 0;

	for (;;) {
		if (!stream)
			r = http_stream_open(kmip->http, call, kmip->uri.server, &stream, reterr);
		if (r == 0)
			r = http_stream_send(stream, call, request, reterr);
		if (r == 0)
			r = receive(stream, call, ret_message, ret_size, reterr);
		if (r == 0) {
			keep_idle(kmip, stream);
			return 0;
		}
		http_stream_close(TAKE(stream));
		/* A server may close a connection that nobody used while we begin to; nothing that we ask for harms twice. */
		if (!is_reused || (r != -EPROTO && r != -EHOSTUNREACH))
			return r;
		is_reused = false;
		r = 0;
	}
}

static int exchange(struct kmip *kmip, const struct kms_call *call,
		    const struct kmip_request *request, struct kmip_exchange *ret_exchange,
		    struct kms_error *reterr)
{
	CLEANUP(secret_free_cleanup) uint8_t *buffer = secret_alloc(KMIP_REQUEST_MAX);
	struct ttlv_writer writer = { .data = buffer, .capacity = KMIP_REQUEST_MAX };
	struct kmip_exchange made = { 0 };
	struct bytes message;
	size_t size = 0;
	int r;

	if (!buffer)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	if (kmip_encode(request, &writer, &message) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: the request is too large",
				kmip->key_id);
	r = send_and_receive(kmip, call, message, &made.message, &size, reterr);
	if (r == -EBADMSG)
		return kmip_fail_malformed(kmip, request->operation, "it is not KMIP", reterr);
	if (r < 0)
		return r;
	if (kmip_decode_reply((struct bytes){ made.message, size }, &made.reply) < 0 ||
	    (made.reply.operation && made.reply.operation != (uint32_t)request->operation)) {
		kmip_exchange_free(&made);
		return kmip_fail_malformed(kmip, request->operation, "it is not KMIP", reterr);
	}
	*ret_exchange = made;
	return 0;
}

/* The password is read anew for each request: its source may have changed. */
static int with_credentials(struct kmip *kmip, struct kmip_request *request,
			    struct secret **ret_password, struct kms_error *reterr)
{
	int r = 0;

	request->username = kms_config_get(kmip->config, "username");
	if (!request->username)
		return 0;
	r = secret_source_read(kmip->config, "password", ret_password, reterr);
	request->password = r == 0 ? *ret_password : NULL;
	return r == -ENOENT ? 0 : r;
}

static int ask_at_version(struct kmip *kmip, const struct kms_call *call,
			  struct kmip_request *request, struct kmip_exchange *ret_exchange,
			  struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *password = NULL;
	int r;

	r = with_credentials(kmip, request, &password, reterr);
	if (r == 0)
		r = exchange(kmip, call, request, ret_exchange, reterr);
	request->password = NULL;
	return r;
}

/* Servers of 1.2 know DiscoverVersions; one that refuses it has the lowest version or none of ours. */
static int negotiate(struct kmip *kmip, const struct kms_call *call, kmip_version *ret_version,
		     struct kms_error *reterr)
{
	struct kmip_request request = { .version = VERSION_LOWEST,
					.operation = KMIP_DISCOVER_VERSIONS };
	struct kmip_exchange exchanged = { 0 };
	int r;

	r = ask_at_version(kmip, call, &request, &exchanged, reterr);
	if (r < 0)
		return r;
	if (exchanged.reply.status == STATUS_SUCCESS) {
		r = kmip_decode_versions(exchanged.reply.payload, ret_version);
		if (r < 0) {
			r = kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				     "%s: %s has none of the versions 1.2, 1.3, 1.4, 2.0",
				     KMIP_SERVICE, kmip->uri.server);
			kms_advise(reterr, "name the version with kmip_version if it has one");
		}
	} else if (exchanged.reply.reason == REASON_NOT_KNOWN) {
		*ret_version = VERSION_LOWEST;
	} else {
		r = kmip_fail(kmip, KMIP_DISCOVER_VERSIONS, &exchanged.reply, reterr);
	}
	kmip_exchange_free(&exchanged);
	return r;
}

int kmip_find_version(struct kmip *kmip, const struct kms_call *call, kmip_version *ret_version,
		      struct kms_error *reterr)
{
	kmip_version version;
	int r;

	pthread_mutex_lock(&kmip->lock);
	version = kmip->version;
	pthread_mutex_unlock(&kmip->lock);
	if (!version) {
		r = negotiate(kmip, call, &version, reterr);
		if (r < 0)
			return r;
		pthread_mutex_lock(&kmip->lock);
		kmip->version = version;
		pthread_mutex_unlock(&kmip->lock);
	}
	*ret_version = version;
	return 0;
}

int kmip_ask(struct kmip *kmip, const struct kms_call *call, struct kmip_request *request,
	     struct kmip_exchange *ret_exchange, struct kms_error *reterr)
{
	int r;

	request->uid = kmip->uri.uid;
	r = kmip_find_version(kmip, call, &request->version, reterr);
	if (r == 0)
		r = ask_at_version(kmip, call, request, ret_exchange, reterr);
	if (r < 0)
		return r;
	if (ret_exchange->reply.status == STATUS_SUCCESS)
		return 0;
	r = kmip_fail(kmip, request->operation, &ret_exchange->reply, reterr);
	/* A server that was replaced may have other versions: ask again before the next request. */
	if (!kmip->uri.version && (ret_exchange->reply.reason == REASON_UNREADABLE ||
				   ret_exchange->reply.reason == 0x3f)) {
		pthread_mutex_lock(&kmip->lock);
		kmip->version = 0;
		pthread_mutex_unlock(&kmip->lock);
	}
	return r;
}

int kmip_read_facts(struct kmip *kmip, const struct kms_call *call, struct kmip_facts *ret_facts,
		    struct kms_error *reterr)
{
	struct kmip_request request = { .operation = KMIP_GET_ATTRIBUTES };
	struct kmip_exchange exchanged = { 0 };
	int r;

	r = kmip_ask(kmip, call, &request, &exchanged, reterr);
	if (r == 0 && kmip_decode_attributes(exchanged.reply.payload, kmip->uri.uid, ret_facts) < 0)
		r = kmip_fail_malformed(kmip, request.operation, "it has no state of the key",
					reterr);
	kmip_exchange_free(&exchanged);
	return r;
}
