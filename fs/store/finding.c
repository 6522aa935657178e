/* SPDX-License-Identifier: Apache-2.0 */
/* The words for what verify finds. */
#include "fs/store/finding.h"

const char *finding_class_name(enum finding_class class)
{
	static const char *const names[FINDING_CLASS_COUNT] = {
		[FINDING_TAMPERED] = "tampered",
		[FINDING_MISSING] = "missing",
		[FINDING_ADDED] = "added",
		[FINDING_TORN] = "torn",
		[FINDING_UNTERMINATED] = "unterminated",
		[FINDING_METADATA] = "metadata",
		[FINDING_INDEX] = "index",
		[FINDING_ORIGIN] = "origin",
	};

	return names[class];
}
