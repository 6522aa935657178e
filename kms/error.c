/* SPDX-License-Identifier: Apache-2.0 */
/* What a key service answered. */
#include "kms/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int code;
	bool is_definite_no;
} states[] = {
	[KEY_STATE_UNKNOWN] = { "unknown", -EIO, false },
	[KEY_STATE_ENABLED] = { "enabled", 0, false },
	[KEY_STATE_DISABLED] = { "disabled", -EKEYREVOKED, true },
	[KEY_STATE_PENDING_DELETION] = { "pending-deletion", -EKEYREVOKED, true },
	[KEY_STATE_DELETED] = { "deleted", -ENOKEY, true },
	[KEY_STATE_DENIED] = { "denied", -EACCES, true },
	[KEY_STATE_UNREACHABLE] = { "unreachable", -EHOSTUNREACH, false },
	[KEY_STATE_CREDENTIALS_EXPIRED] = { "credentials-expired", -EKEYEXPIRED, false },
};

const char *key_state_name(enum key_state state)
{
	return states[state].name;
}

int key_state_errno(enum key_state state)
{
	return states[state].code;
}

bool key_state_is_definite_no(enum key_state state)
{
	return states[state].is_definite_no;
}

int kms_fail(struct kms_error *reterr, int code, enum key_state state, const char *format, ...)
{
	va_list arguments;

	if (!reterr)
		return code;
	memset(reterr, 0, sizeof(*reterr));
	reterr->code = code;
	reterr->state = state;
	va_start(arguments, format);
	(void)vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);
	return code;
}

void kms_advise(struct kms_error *reterr, const char *format, ...)
{
	va_list arguments;

	if (!reterr)
		return;
	va_start(arguments, format);
	(void)vsnprintf(reterr->advice, sizeof(reterr->advice), format, arguments);
	va_end(arguments);
}
