/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes of the program: meta/NAMES.md, "Exit codes". */
#ifndef SNAPCRYPT_META_EXIT_CODE_H
#define SNAPCRYPT_META_EXIT_CODE_H

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_PARTIAL = 3,
	EXIT_FINDINGS = 4,
	EXIT_POLICY = 5,
	EXIT_NEEDED = 6,
	EXIT_UNKNOWN = 7,
	EXIT_NO_VOLUME = 10,
	EXIT_LOCKED = 11,
	EXIT_KEY_DISABLED = 12,
	EXIT_UNREACHABLE = 13,
	EXIT_STORAGE = 14,
	EXIT_NEWER = 15,
	EXIT_NOT_MOUNTED = 16,
	EXIT_KEY_DELETED = 17,
	EXIT_KEY_DENIED = 18,
	EXIT_CREDENTIALS = 19,
	EXIT_NOT_SEALED = 20,
	EXIT_ORIGIN = 21,
};

/* The word for a code, as in the table; "failed" for one that is not there. */
const char *exit_code_word(int code);

/* The code for a negative errno that says nothing more precise. */
int exit_code_from_errno(int error);

#endif
