/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS connection that carries bytes of any protocol, made and bounded as those of kms/http.h are. */
#ifndef SNAPCRYPT_KMS_HTTP_STREAM_H
#define SNAPCRYPT_KMS_HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/http.h"
#include "meta/bytes.h"
#include "meta/macros.h"

/* One connection.  Used by one thread at a time. */
struct http_stream;

/*
 * Connect to SERVER (HOST:PORT), with TLS 1.2 or newer, verified, through a proxy where one is configured.  Outcomes as those of
 * http_exchange(); -EKEYEXPIRED (state credentials-expired): the server does not accept our certificate.
 */
MUST_CHECK int http_stream_open(struct http *http, const struct kms_call *call, const char *server,
				struct http_stream **ret_stream, struct kms_error *reterr);

/* Accepts NULL. */
void http_stream_close(struct http_stream *stream);

/* The other side has closed it, or a file of the options was replaced since it was made. */
bool http_stream_is_stale(const struct http_stream *stream);

/* All of DATA, by the call's deadline. */
MUST_CHECK int http_stream_send(struct http_stream *stream, const struct kms_call *call,
				struct bytes data, struct kms_error *reterr);

/* Exactly SIZE bytes.  -EPROTO: it ended before. */
MUST_CHECK int http_stream_receive(struct http_stream *stream, const struct kms_call *call,
				   uint8_t *data, size_t size, struct kms_error *reterr);

#endif
