/* SPDX-License-Identifier: Apache-2.0 */
/* Which seals this host has seen: so that one that was taken away or exchanged is missed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/state_dir.h"
#include "fs/store/trust_internal.h"
#include "meta/encoding.h"

#define LINE_SIZE (20 + 1 + UUID_TEXT_SIZE + HEX_TEXT_SIZE(KNOWN_SEAL_ROOT_SIZE) + 1)
#define NAME_SIZE 96

static void seals_file(const struct uuid *volume, const char *file, char name[static NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(volume, id);
	snprintf(name, NAME_SIZE, "volumes/%s%s", id, file);
}

/* sequence, snapshot and root, separated by one space each. */
static int parse_line(char *line, struct known_seal *seal)
{
	char *saved = NULL;
	const char *number = strtok_r(line, " ", &saved);
	const char *snapshot = strtok_r(NULL, " ", &saved);
	const char *root = strtok_r(NULL, " ", &saved);
	char *end = NULL;

	if (!number || !snapshot || !root)
		return -EBADMSG;
	errno = 0;
	seal->sequence = strtoull(number, &end, 10);
	if (errno || *end || seal->sequence == 0 || uuid_parse(snapshot, &seal->snapshot) < 0)
		return -EBADMSG;
	return hex_decode(bytes_from_text(root), seal->root, sizeof(seal->root)) ==
			       (ssize_t)sizeof(seal->root)
		       ? 0
		       : -EBADMSG;
}

int trust_known_seals(struct trust *trust, const struct uuid *volume, struct known_seal **ret_seals,
		      size_t *ret_count)
{
	struct known_seal *seals = NULL;
	char name[NAME_SIZE];
	char *text = NULL;
	char *saved = NULL;
	size_t size = 0;
	size_t count = 0;
	int r;

	seals_file(volume, "/seals", name);
	r = state_dir_read(trust->state, name, &text, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	seals = calloc(size / (UUID_TEXT_SIZE + 64) + 1, sizeof(*seals));
	r = seals ? 0 : -ENOMEM;
	for (char *line = text ? strtok_r(text, "\n", &saved) : NULL; r == 0 && line;
	     line = strtok_r(NULL, "\n", &saved))
		r = parse_line(line, &seals[count++]);
	free(text);
	if (r < 0) {
		free(seals);
		return r;
	}
	*ret_seals = seals;
	*ret_count = count;
	return 0;
}

static int write_seals(struct trust *trust, const struct uuid *volume,
		       const struct known_seal *seals, size_t count)
{
	char name[NAME_SIZE];
	char *text = calloc(count * LINE_SIZE + 1, 1);
	char *end = text;
	int r;

	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		char id[UUID_TEXT_SIZE];
		char root[HEX_TEXT_SIZE(KNOWN_SEAL_ROOT_SIZE)];

		uuid_format(&seals[i].snapshot, id);
		hex_encode((struct bytes){ seals[i].root, sizeof(seals[i].root) }, root);
		end += sprintf(end, "%" PRIu64 " %s %s\n", seals[i].sequence, id, root);
	}
	seals_file(volume, "/seals", name);
	r = state_dir_write(trust->state, name, text);
	free(text);
	return r;
}

int trust_set_known_seals(struct trust *trust, const struct uuid *volume,
			  const struct known_seal *seals, size_t count)
{
	char name[NAME_SIZE];
	int lock;
	int r;

	seals_file(volume, "", name);
	lock = state_dir_lock(trust->state, name);
	if (lock < 0)
		return lock;
	r = write_seals(trust, volume, seals, count);
	state_dir_unlock(trust->state, lock);
	return r;
}
