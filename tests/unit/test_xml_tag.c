/* SPDX-License-Identifier: Apache-2.0 */
/* xml_tag: what is found, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kms/xml_tag.h"

static int text_of(const char *xml, char *text, size_t size)
{
	return xml_tag_text(bytes_from_text(xml), "a", text, size);
}

static void xml_tag_undoes_entities(void **state)
{
	char text[32];

	assert_int_equal(text_of("<r><b>x</b><a>1&amp;2&lt;&gt;&quot;&apos;&#65;&#x2b;</a></r>",
				 text, sizeof(text)),
			 0);
	assert_string_equal(text, "1&2<>\"'A+");
	assert_int_equal(text_of("<a></a>", text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void xml_tag_refuses_what_it_does_not_know(void **state)
{
	static const char *const malformed[] = {
		"<a>&copy;</a>", "<a>&#0;</a>",
		"<a>&#200;</a>", "<a>&</a>",
		"<a>&amp</a>",   "<a>x<b/></a>",
		"<a>x>y</a>",    "<a>&#x;</a>",
		"<a>&#12x;</a>", "<a>&averylongname;</a>",
	};
	static const char *const absent[] = { "",       "a",        "<a>",
					      "<a>x",   "<b>x</b>", "<a x='1'>y</a>",
					      "</a><a>" };
	char text[32];

	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++)
		assert_int_equal(text_of(malformed[i], text, sizeof(text)), -EPROTO);
	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		assert_int_equal(text_of(absent[i], text, sizeof(text)), -ENOENT);
	assert_int_equal(xml_tag_text((struct bytes){ (const uint8_t *)"<a>\0</a>", 8 }, "a", text,
				      sizeof(text)),
			 -EPROTO);
}

static void xml_tag_does_not_write_past_the_buffer(void **state)
{
	char text[4] = { 0, 0, 0, 'z' };

	assert_int_equal(text_of("<a>abc</a>", text, 3), -ENOSPC);
	assert_int_equal(text[3], 'z');
	assert_int_equal(text_of("<a></a>", text, 0), -ENOSPC);
	assert_int_equal(text_of("<a>ab</a>", text, 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xml_tag_undoes_entities),
		cmocka_unit_test(xml_tag_refuses_what_it_does_not_know),
		cmocka_unit_test(xml_tag_does_not_write_past_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
