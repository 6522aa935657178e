/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the KMIP provider share. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_KMIP_INTERNAL_H
#define SNAPCRYPT_KMS_PROVIDERS_KMIP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kms/crypto/secret.h"
#include "kms/http_stream.h"
#include "kms/provider.h"
#include "kms/text.h"
#include "kms/ttlv.h"

#define KMIP_SERVICE     "KMIP"
#define KMIP_SERVER_SIZE 200
#define KMIP_UID_SIZE    128
#define KMIP_REQUEST_MAX 4096
#define KMIP_REPLY_MAX   ((size_t)16 * 1024)
#define KMIP_KEY_SIZE    32

/* Operations of the specification that we ask for. */
enum kmip_operation {
	KMIP_GET = 0x0a,
	KMIP_GET_ATTRIBUTES = 0x0b,
	KMIP_DISCOVER_VERSIONS = 0x1e,
	KMIP_ENCRYPT = 0x1f,
	KMIP_DECRYPT = 0x20,
};

/* How a slot secret is wrapped; stored in the blob. */
enum kmip_scheme {
	KMIP_NO_SCHEME = 0,
	KMIP_GCM = 1,
	KMIP_CBC = 2,
	KMIP_LOCAL = 3, /* the key was fetched */
};

/* States of an object, KMIP 1.4 section 9.1.3.2.18. */
enum kmip_state {
	KMIP_PRE_ACTIVE = 1,
	KMIP_ACTIVE = 2,
	KMIP_DEACTIVATED = 3,
	KMIP_COMPROMISED = 4,
	KMIP_DESTROYED = 5,
	KMIP_DESTROYED_COMPROMISED = 6,
};

/* MAJOR * 10 + MINOR, 12 to 20; 0: not known. */
typedef uint32_t kmip_version;

struct kmip_uri {
	char server[KMIP_SERVER_SIZE]; /* HOST:PORT */
	char uid[KMIP_UID_SIZE];
	char mode[16];        /* empty: not said */
	kmip_version version; /* 0: negotiate */
};

/* What a request says.  All borrowed; `uid` NULL for DiscoverVersions, `username` NULL: the certificate alone. */
struct kmip_request {
	kmip_version version;
	enum kmip_operation operation;
	const char *uid;
	const char *username;
	const struct secret *password;
	enum kmip_scheme scheme;
	struct bytes data, iv, aad, tag;
};

/* Borrowed from the message. */
struct kmip_reply {
	kmip_version version;
	uint32_t operation;
	uint32_t status;
	uint32_t reason;
	struct bytes message;
	struct bytes payload;
};

struct kmip_sealed {
	struct bytes data, iv, tag;
};

struct kmip_facts {
	enum kmip_state state;
	int64_t created_s;
};

/* The request's bytes, borrowed from the writer.  -ENOBUFS. */
MUST_CHECK int kmip_encode(const struct kmip_request *request, struct ttlv_writer *writer,
			   struct bytes *ret_message);

/* Replies.  -EBADMSG: malformed; -EKEYREJECTED: about another key than UID. */
MUST_CHECK int kmip_decode_reply(struct bytes message, struct kmip_reply *ret_reply);
MUST_CHECK int kmip_decode_versions(struct bytes payload, kmip_version *ret_version);
MUST_CHECK int kmip_decode_encrypt(struct bytes payload, const char *uid,
				   struct kmip_sealed *ret_sealed);
MUST_CHECK int kmip_decode_decrypt(struct bytes payload, const char *uid, struct bytes *ret_plain);
MUST_CHECK int kmip_decode_attributes(struct bytes payload, const char *uid,
				      struct kmip_facts *ret_facts);
MUST_CHECK int kmip_decode_key(struct bytes payload, const char *uid, struct bytes *ret_key);

/* A connection that waits for its next use. */
struct kmip_connection {
	struct http_stream *stream;
	struct kmip_connection *next;
};

struct kmip {
	struct kmip_uri uri;
	char server[KMIP_SERVER_SIZE]; /* word for the server in Encryption Key IDs */
	char key_id[KEY_ID_SIZE];
	bool is_fetching; /* mode = get */
	struct kms_config *config;
	struct http *http;
	pthread_mutex_t lock; /* guards what follows */
	struct kmip_connection *idle;
	unsigned idle_count;
	kmip_version version;    /* negotiated */
	enum kmip_scheme scheme; /* that the server was found to have */
};

/* kmip://HOST:PORT/UID[?mode=encrypt|get&version=1.4].  -EINVAL. */
MUST_CHECK int kmip_parse_uri(const char *text, struct kmip_uri *ret_uri, struct kms_error *reterr);

/* 1.2, 1.3, 1.4, 2.0; 0: none of them. */
kmip_version kmip_parse_version(const char *text, size_t len);

/* A reply's bytes in secret memory. */
struct kmip_exchange {
	uint8_t *message;
	struct kmip_reply reply;
};
void kmip_exchange_free(struct kmip_exchange *exchange);

/*
 * One request and its reply, at the version that server and we have in common; on a connection that was open before, if there is
 * one.  0: the server did it.
 */
MUST_CHECK int kmip_ask(struct kmip *kmip, const struct kms_call *call,
			struct kmip_request *request, struct kmip_exchange *ret_exchange,
			struct kms_error *reterr);

/* The version that is used, negotiated at first. */
MUST_CHECK int kmip_find_version(struct kmip *kmip, const struct kms_call *call,
				 kmip_version *ret_version, struct kms_error *reterr);

/* State of the key. */
MUST_CHECK int kmip_read_facts(struct kmip *kmip, const struct kms_call *call,
			       struct kmip_facts *ret_facts, struct kms_error *reterr);

void kmip_close_connections(struct kmip *kmip);

/*
 * Wrap into slot->wrapped; unwrap.  kmip_unwrap() with is_probe believes a state that is a definite no over an unwrap that
 * still works.
 */
MUST_CHECK int kmip_wrap(struct kmip *kmip, const struct kms_call *call,
			 const struct wrap_context *context, const struct secret *secret,
			 struct slot *slot, struct kms_error *reterr);
MUST_CHECK int kmip_unwrap(struct kmip *kmip, const struct kms_call *call,
			   const struct wrap_context *context, const struct slot *slot,
			   struct secret **ret_secret, struct kms_error *reterr);

/* What a refusal means.  OPERATION was refused as REPLY says. */
MUST_CHECK int kmip_fail(const struct kmip *kmip, enum kmip_operation operation,
			 const struct kmip_reply *reply, struct kms_error *reterr);
MUST_CHECK int kmip_fail_malformed(const struct kmip *kmip, enum kmip_operation operation,
				   const char *what, struct kms_error *reterr);

/* 0: active.  Else the error that the state means. */
MUST_CHECK int kmip_check_state(const struct kmip *kmip, enum kmip_state state,
				struct kms_error *reterr);
enum key_state kmip_key_state(enum kmip_state state);
const char *kmip_operation_name(enum kmip_operation operation);

/* Is it worth asking for another cipher mode? */
bool kmip_is_unsupported_mode(uint32_t reason);

/* Does the reason leave open what is wrong with the key? */
bool kmip_is_ambiguous(uint32_t reason);

#endif
