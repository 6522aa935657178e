/* SPDX-License-Identifier: Apache-2.0 */
/* Single values of small XML replies. */
#include "kms/xml_tag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTITY_MAX 8

static const uint8_t *find(struct bytes where, const char *what, size_t len)
{
	return where.size < len ? NULL : memmem(where.data, where.size, what, len);
}

int xml_tag_find(struct bytes xml, const char *name, struct bytes *ret_inside)
{
	char tag[72];
	const uint8_t *start, *end;
	struct bytes rest;
	int len = snprintf(tag, sizeof(tag), "</%s>", name);

	if (len >= (int)sizeof(tag) || !xml.size)
		return -ENOENT;
	tag[1] = '<';
	start = find(xml, tag + 1, (size_t)len - 1);
	if (!start)
		return -ENOENT;
	start += len - 1;
	rest = (struct bytes){ start, xml.size - (size_t)(start - xml.data) };
	tag[1] = '/';
	end = find(rest, tag, (size_t)len);
	if (!end)
		return -ENOENT;
	*ret_inside = (struct bytes){ start, (size_t)(end - start) };
	return 0;
}

/* The character of an entity such as "amp"; -EPROTO. */
static int entity_character(const char *entity)
{
	static const struct {
		const char *name;
		char character;
	} known[] = {
		{ "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' }
	};
	char *end;
	unsigned long code;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(entity, known[i].name))
			return known[i].character;
	if (entity[0] != '#' || !entity[1])
		return -EPROTO;
	code = entity[1] == 'x' ? strtoul(entity + 2, &end, 16) : strtoul(entity + 1, &end, 10);
	return *end || code < 0x20 || code > 0x7e ? -EPROTO : (int)code;
}

/* Reads the entity at *INDEX, which is moved to its semicolon. */
static int read_entity(struct bytes inside, size_t *index)
{
	char entity[ENTITY_MAX + 1] = "";
	size_t start = *index + 1;

	for (size_t len = 0; len < ENTITY_MAX && start + len < inside.size; len++) {
		if (inside.data[start + len] == ';') {
			*index = start + len;
			return entity_character(entity);
		}
		entity[len] = (char)inside.data[start + len];
	}
	return -EPROTO;
}

int xml_tag_text(struct bytes xml, const char *name, char *text, size_t size)
{
	struct bytes inside;
	size_t used = 0;
	int r;

	r = xml_tag_find(xml, name, &inside);
	if (r < 0)
		return r;
	for (size_t i = 0; i < inside.size; i++) {
		int character = inside.data[i];

		if (character == '&')
			character = read_entity(inside, &i);
		else if (character == '<' || character == '>' || !character)
			return -EPROTO;
		if (character < 0)
			return character;
		if (used + 1 >= size)
			return -ENOSPC;
		text[used++] = (char)character;
	}
	if (!size)
		return -ENOSPC;
	text[used] = 0;
	return 0;
}
