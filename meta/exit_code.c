/* SPDX-License-Identifier: Apache-2.0 */
/* Words and default meanings of exit codes. */
#include "meta/exit_code.h"

#include <errno.h>
#include <stddef.h>

#include "meta/macros.h"

static const struct {
	int code;
	const char *word;
} words[] = {
	{ EXIT_OK, "ok" },
	{ EXIT_FAILED, "failed" },
	{ EXIT_USAGE, "usage" },
	{ EXIT_PARTIAL, "partial" },
	{ EXIT_FINDINGS, "findings" },
	{ EXIT_POLICY, "policy" },
	{ EXIT_NEEDED, "needed" },
	{ EXIT_UNKNOWN, "unknown" },
	{ EXIT_NO_VOLUME, "no-volume" },
	{ EXIT_LOCKED, "locked" },
	{ EXIT_KEY_DISABLED, "key-disabled" },
	{ EXIT_UNREACHABLE, "unreachable" },
	{ EXIT_STORAGE, "storage" },
	{ EXIT_NEWER, "newer" },
	{ EXIT_NOT_MOUNTED, "not-mounted" },
	{ EXIT_KEY_DELETED, "key-deleted" },
	{ EXIT_KEY_DENIED, "key-denied" },
	{ EXIT_CREDENTIALS, "credentials" },
	{ EXIT_NOT_SEALED, "not-sealed" },
	{ EXIT_ORIGIN, "origin" },
};

const char *exit_code_word(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].code == code)
			return words[i].word;
	return code > 128 ? "signal" : "failed";
}

int exit_code_from_errno(int error)
{
	switch (-error) {
	case 0:
		return EXIT_OK;
	case EINVAL:
		return EXIT_USAGE;
	case ENOMEDIUM:
		return EXIT_NO_VOLUME;
	case EWOULDBLOCK:
		return EXIT_LOCKED;
	case EUCLEAN:
		return EXIT_ORIGIN;
	case EKEYREVOKED:
		return EXIT_KEY_DISABLED;
	case ENOKEY:
		return EXIT_KEY_DELETED;
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return EXIT_UNREACHABLE;
	case EKEYEXPIRED:
		return EXIT_CREDENTIALS;
	case EIO:
	case ENOSPC:
	case EDQUOT:
	case ESTALE:
	case ENOTCONN:
		return EXIT_STORAGE;
	case ENOTSUP:
		return EXIT_NEWER;
	default:
		return EXIT_FAILED;
	}
}
