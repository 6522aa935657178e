/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Google Cloud provider share. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_GCP_INTERNAL_H
#define SNAPCRYPT_KMS_PROVIDERS_GCP_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kms/credentials/gcp_identity.h"
#include "kms/http.h"
#include "kms/outcome.h"
#include "kms/provider.h"
#include "kms/text.h"

#define GCP_SERVICE  "Google Cloud KMS"
#define GCP_ENDPOINT "https://cloudkms.googleapis.com"
#define GCP_BLOB_MAX (SLOT_WRAPPED_MAX - 1)
#define GCP_VERSIONS "/cryptoKeyVersions/"

struct gcp {
	char key[KEY_ID_SIZE]; /* projects/P/locations/L/keyRings/R/cryptoKeys/K */
	char endpoint[512];
	struct http *http;
	struct gcp_identity *identity;
	atomic_bool has_old_version; /* an unwrap here was not under the primary version */
};

/* Reply of encrypt. */
struct gcp_encrypted {
	char version[KEY_ID_SIZE]; /* resource name of the version that was used */
	uint8_t blob[GCP_BLOB_MAX];
	size_t size;
};

/* gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K.  -EINVAL. */
MUST_CHECK int gcp_parse_uri(const char *uri, char key[static KEY_ID_SIZE],
			     struct kms_error *reterr);

/* Is VERSION a version of KEY: KEY, "/cryptoKeyVersions/" and a number? */
bool gcp_is_version_of(const char *version, const char *key);

/*
 * Read a reply of encrypt: the service must say that it saw our checksums, and its ciphertext must have its own.
 *
 * -EBADMSG: malformed; -EIO: a checksum says that something was changed on the way.
 */
MUST_CHECK int gcp_decode_encrypt(struct bytes body, struct gcp_encrypted *ret_encrypted);

/* Read a reply of decrypt into PLAIN, wiped on failure.  Errors as above. */
MUST_CHECK int gcp_decode_decrypt(struct bytes body, uint8_t plain[static SLOT_SECRET_SIZE],
				  bool *ret_is_primary);

/* Read the description of a key: state and name of its primary version, next rotation.  -EBADMSG. */
MUST_CHECK int gcp_decode_key(struct bytes body, struct kms_key_info *ret_info);

/* Read the description of a version: its state, and when it is or was destroyed.  -EBADMSG. */
MUST_CHECK int gcp_decode_version(struct bytes body, struct kms_key_info *ret_info);

/* A refusal into the error. */
MUST_CHECK int gcp_fail(const struct request_name *name, const struct http_reply *reply,
			struct kms_error *reterr);

/*
 * One request with a token; when the service refuses the token, once more with a new one.
 *
 *   path   resource name, and ":operation" where there is one
 *   body   NULL: a GET
 *
 * 0: the service said 200.
 */
MUST_CHECK int gcp_request(struct gcp *gcp, const struct kms_call *call,
			   const struct request_name *name, const char *path,
			   const struct text *body, struct http_reply *reply,
			   struct kms_error *reterr);

/* What the service must grant. */
MUST_CHECK int gcp_policy(const struct kms_config *config, enum kms_use use, struct text *text,
			  struct kms_error *reterr);

#endif
