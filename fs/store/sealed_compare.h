/* SPDX-License-Identifier: Apache-2.0 */
/* What is below against what a manifest says, of one object, its content left out: for verify, restore and repair. */
#ifndef SNAPCRYPT_FS_STORE_SEALED_COMPARE_H
#define SNAPCRYPT_FS_STORE_SEALED_COMPARE_H

#include "fs/store/finding.h"
#include "fs/store/place.h"
#include "fs/store/sealed_view.h"
#include "meta/macros.h"

/* An object: BACKING in PARENT ("": PARENT's own directory), which the manifest has as INDEX. */
struct sealed_item {
	struct sealed_view *view;
	const struct place *parent;
	const char *backing;
	uint64_t index;
	const struct manifest_object *object;
};

/*
 *   class  FINDING_MISSING; FINDING_TAMPERED: something else is there; FINDING_METADATA: the object is, and what is said
 *          about it differs
 */
struct sealed_difference {
	enum finding_class class;
	char text[192];
};

/* 0: none; 1: one, the gravest; or a negative errno. */
MUST_CHECK int sealed_compare(const struct sealed_item *item,
			      struct sealed_difference *ret_difference);

#endif
