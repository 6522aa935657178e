/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking single values out of small XML replies: the text between <name> and </name>.  Not a parser: it knows no
 * attributes, namespaces, comments or nesting of a tag in itself, and what it does not know it does not find.
 */
#ifndef SNAPCRYPT_KMS_XML_TAG_H
#define SNAPCRYPT_KMS_XML_TAG_H

#include <stddef.h>

#include "meta/bytes.h"
#include "meta/macros.h"

/* What is between the first <name> of XML and the </name> that follows it, unescaped not yet.  -ENOENT. */
MUST_CHECK int xml_tag_find(struct bytes xml, const char *name, struct bytes *ret_inside);

/*
 * The text of a tag: no markup inside, &amp; &lt; &gt; &quot; &apos; and &#N; of printable ASCII undone.
 * -ENOENT: no such tag.  -EPROTO: markup, NUL, or an entity we do not know.  -ENOSPC.
 */
MUST_CHECK int xml_tag_text(struct bytes xml, const char *name, char *text, size_t size);

#endif
