/* SPDX-License-Identifier: Apache-2.0 */
/* How lines of the audit log hang together. */
#include "kms/audit_chain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/crypto/hash.h"
#include "kms/json_reader.h"
#include "meta/encoding.h"

#define HEAD_SIZE   128 /* three numbers of 20 digits, a hash, separators, newline */
#define HASH_MEMBER ",\"hash\":\""
#define HASH_END    "\"}"
#define HASH_DIGITS (AUDIT_HASH_SIZE - 1)

void audit_head_init(struct audit_head *head)
{
	*head = (struct audit_head){ .first = 1 };
	memset(head->hash, '0', HASH_DIGITS);
}

static bool is_hash(const char *text)
{
	return strlen(text) == HASH_DIGITS && strspn(text, "0123456789abcdef") == HASH_DIGITS;
}

bool audit_head_read(int fd, struct audit_head *ret_head)
{
	char text[HEAD_SIZE + 1] = "";
	struct audit_head head;

	if (pread(fd, text, HEAD_SIZE, 0) != HEAD_SIZE || text[HEAD_SIZE - 1] != '\n')
		return false;
	if (sscanf(text, "%20" SCNu64 " %20" SCNu64 " %20" SCNu64 " %64s", &head.sequence,
		   &head.first, &head.offset, head.hash) != 4 ||
	    !is_hash(head.hash))
		return false;
	*ret_head = head;
	return true;
}

int audit_head_write(int fd, const struct audit_head *head)
{
	char text[HEAD_SIZE + 1];

	(void)snprintf(text, sizeof(text), "%020" PRIu64 " %020" PRIu64 " %020" PRIu64 " %s\n",
		       head->sequence, head->first, head->offset, head->hash);
	if (pwrite(fd, text, HEAD_SIZE, 0) != HEAD_SIZE)
		return errno ? -errno : -EIO;
	return 0;
}

int audit_head_path(const char *state_dir, char **ret_path)
{
	return asprintf(ret_path, "%s/audit.head", state_dir) < 0 ? -ENOMEM : 0;
}

int audit_old_path(const char *path, uint64_t first, char **ret_path)
{
	return asprintf(ret_path, "%s.%012" PRIu64, path, first) < 0 ? -ENOMEM : 0;
}

struct bytes audit_span(const char *text, size_t size)
{
	return (struct bytes){ (const uint8_t *)text, size };
}

int audit_hash(struct bytes data, char hash[static AUDIT_HASH_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	int r = sha256(data, digest);

	if (r < 0)
		return r;
	hex_encode((struct bytes){ digest, sizeof(digest) }, hash);
	return 0;
}

static int read_members(struct bytes line, struct audit_link *link)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reader = NULL;
	int64_t sequence = 0;
	int64_t torn = 0;
	int r = json_reader_parse(line, &reader);

	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	if (!json_reader_number(reader, "sequence", &sequence) || sequence < 1 ||
	    !json_reader_copy_text(reader, "previous", link->previous, sizeof(link->previous)) ||
	    !json_reader_copy_text(reader, "hash", link->hash, sizeof(link->hash)) ||
	    !is_hash(link->previous) || !is_hash(link->hash))
		return -EBADMSG;
	if (json_reader_number(reader, "torn", &torn) && torn > 0)
		link->torn = (uint64_t)torn;
	link->head_lost = json_reader_is_true(reader, "head_lost");
	link->sequence = (uint64_t)sequence;
	return 0;
}

int audit_link_read(struct bytes line, struct audit_link *ret_link)
{
	const size_t end_size = strlen(HASH_MEMBER) + HASH_DIGITS + strlen(HASH_END);
	struct audit_link link = { 0 };
	size_t hashed;
	int r;

	if (line.size <= end_size || line.size > AUDIT_LINE_MAX)
		return -EBADMSG;
	hashed = line.size - end_size;
	if (memcmp(line.data + hashed, HASH_MEMBER, strlen(HASH_MEMBER)) != 0)
		return -EBADMSG;
	r = read_members(line, &link);
	if (r == 0)
		r = audit_hash((struct bytes){ line.data, hashed }, link.computed);
	if (r < 0)
		return r;
	/* A second member of that name before it would be read in its place. */
	if (memcmp(line.data + hashed + strlen(HASH_MEMBER), link.hash, HASH_DIGITS) != 0)
		return -EBADMSG;
	*ret_link = link;
	return 0;
}

bool audit_link_is_genuine(const struct audit_link *link)
{
	return !strcmp(link->hash, link->computed);
}

bool audit_link_follows(const struct audit_link *link, const struct audit_head *head)
{
	return link->sequence == head->sequence + 1 && !strcmp(link->previous, head->hash);
}
