/* SPDX-License-Identifier: Apache-2.0 */
/* How lines of the audit log hang together: what writing and reading share. */
#ifndef SNAPCRYPT_KMS_AUDIT_CHAIN_H
#define SNAPCRYPT_KMS_AUDIT_CHAIN_H

#include "kms/audit.h"
#include "kms/text.h"
#include "meta/bytes.h"

#define AUDIT_LINE_MAX      ((size_t)32 * 1024)
#define AUDIT_FILE_SIZE_MAX ((uint64_t)64 * 1024 * 1024)

/*
 * STATE/audit.head: the last line that is known to be whole.
 *
 *   sequence   its number; 0: there is none yet
 *   first      number of the first line of the file
 *   offset     where it ends
 */
struct audit_head {
	uint64_t sequence;
	uint64_t first;
	uint64_t offset;
	char hash[AUDIT_HASH_SIZE];
};

/* A chain that begins. */
void audit_head_init(struct audit_head *head);

/* false: there is none, or it is not one. */
bool audit_head_read(int fd, struct audit_head *ret_head);

/* In one sector, so that it is the old one or the new one. */
MUST_CHECK int audit_head_write(int fd, const struct audit_head *head);

/* PATH of the head; free() it. */
MUST_CHECK int audit_head_path(const char *state_dir, char **ret_path);

/* PATH of the file whose first line is FIRST; free() it. */
MUST_CHECK int audit_old_path(const char *path, uint64_t first, char **ret_path);

/* What a line says about its place.  computed: what its hash should be. */
struct audit_link {
	uint64_t sequence;
	uint64_t torn;
	bool head_lost;
	char previous[AUDIT_HASH_SIZE];
	char hash[AUDIT_HASH_SIZE];
	char computed[AUDIT_HASH_SIZE];
};

/* -EBADMSG: not a line of an audit log; -EIO, -ENOMEM. */
MUST_CHECK int audit_link_read(struct bytes line, struct audit_link *ret_link);

bool audit_link_is_genuine(const struct audit_link *link);

/* Is it the line after HEAD? */
bool audit_link_follows(const struct audit_link *link, const struct audit_head *head);

struct bytes audit_span(const char *text, size_t size);

MUST_CHECK int audit_hash(struct bytes data, char hash[static AUDIT_HASH_SIZE]);

#endif
