/* SPDX-License-Identifier: Apache-2.0 */
/* Who a snapshot-level directory is: the file .snapcrypt-id.  Format: meta/FORMAT.md, section 9.3. */
#ifndef SNAPCRYPT_META_RECORDS_IDENTITY_H
#define SNAPCRYPT_META_RECORDS_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define IDENTITY_FILE          ".snapcrypt-id"
#define IDENTITY_ROOT_PERIOD_S 86400

enum identity_kind { IDENTITY_SNAPSHOT, IDENTITY_STREAM, IDENTITY_ROOT };

struct identity {
	struct uuid volume;
	struct uuid snapshot;
	enum identity_kind kind;
	int64_t created_s;
	bool is_encrypted;
	struct uuid dek;  /* kind snapshot, encrypted; else zero */
	int64_t period_s; /* encrypted streams and root; else 0 */
	char *mac_input;  /* where there is a DEK: line 1 up to the MAC; owned */
	uint8_t mac[32];
};

void identity_free(struct identity *identity);

/* Set identity->mac_input from the other members (no-op without a DEK).  Then MAC it, then encode. */
MUST_CHECK int identity_encode_mac_input(struct identity *identity);

/* Line 1; free() it. */
MUST_CHECK int identity_encode(const struct identity *identity, char **ret_line);

/* Read line 1.  -EBADMSG: malformed, or members that do not fit the kind; -ENOTSUP. */
MUST_CHECK int identity_decode(struct bytes line, struct identity *ret_identity);

const char *identity_kind_name(enum identity_kind kind);

#endif
