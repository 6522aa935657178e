/* SPDX-License-Identifier: Apache-2.0 */
/* One line for the operator. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/store/store.h"

int store_fail(struct store_error *reterr, int code, enum exit_code exit_code, const char *format,
	       ...)
{
	va_list args;

	if (!reterr)
		return code;
	reterr->code = code;
	reterr->exit_code = (int)exit_code;
	reterr->advice[0] = '\0';
	va_start(args, format);
	vsnprintf(reterr->text, sizeof(reterr->text), format, args);
	va_end(args);
	return code;
}

void store_advise(struct store_error *reterr, const char *format, ...)
{
	va_list args;

	if (!reterr)
		return;
	va_start(args, format);
	vsnprintf(reterr->advice, sizeof(reterr->advice), format, args);
	va_end(args);
}
