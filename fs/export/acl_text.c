/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs as text.  The bytes: a version, then tag, permissions and id of each entry, little-endian. */
#include "fs/export/acl_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "meta/bytes.h"

#define ACL_VERSION    2
#define ACL_ENTRY_SIZE 8
#define ENTRY_TEXT_MAX 32

#define TAG_USER_OBJECT  0x01
#define TAG_USER         0x02
#define TAG_GROUP_OBJECT 0x04
#define TAG_GROUP        0x08
#define TAG_MASK         0x10
#define TAG_OTHER        0x20

static const char *tag_name(uint16_t tag)
{
	switch (tag) {
	case TAG_USER_OBJECT:
	case TAG_USER:
		return "user";
	case TAG_GROUP_OBJECT:
	case TAG_GROUP:
		return "group";
	case TAG_MASK:
		return "mask";
	case TAG_OTHER:
		return "other";
	default:
		return NULL;
	}
}

/* How long its text is, or -EBADMSG. */
static int format_entry(uint16_t tag, uint16_t permissions, uint32_t id,
			char text[static ENTRY_TEXT_MAX])
{
	const char *name = tag_name(tag);
	char id_text[16] = "";

	if (name == NULL || permissions > 7)
		return -EBADMSG;
	if (tag == TAG_USER || tag == TAG_GROUP)
		snprintf(id_text, sizeof(id_text), "%" PRIu32, id);
	return snprintf(text, ENTRY_TEXT_MAX, "%s:%s:%c%c%c", name, id_text,
			permissions & 4 ? 'r' : '-', permissions & 2 ? 'w' : '-',
			permissions & 1 ? 'x' : '-');
}

static int format(struct reader *reader, size_t count, char *text)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		const uint16_t tag = read_le16(reader);
		const uint16_t permissions = read_le16(reader);
		const uint32_t id = read_le32(reader);
		int length = 0;

		if (i > 0)
			text[used++] = ',';
		length = format_entry(tag, permissions, id, text + used);
		if (length < 0)
			return length;
		used += (size_t)length;
	}
	return reader_finished(reader) ? 0 : -EBADMSG;
}

int acl_text(const uint8_t *value, size_t size, char **ret_text)
{
	const size_t count = size / ACL_ENTRY_SIZE;
	struct reader reader;
	uint32_t version = 0;
	char *text = NULL;
	int r = 0;

	reader_init(&reader, (struct bytes){ value, size });
	version = read_le32(&reader);
	if (size < 4 || version != ACL_VERSION || size != 4 + count * ACL_ENTRY_SIZE)
		return -EBADMSG;
	text = calloc(count + 1, ENTRY_TEXT_MAX + 1);
	if (text == NULL)
		return -ENOMEM;
	r = format(&reader, count, text);
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	return 0;
}
