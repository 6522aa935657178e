/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does for a command: the requests that its socket knows. */
#ifndef SNAPCRYPT_FS_CONTROL_REQUESTS_H
#define SNAPCRYPT_FS_CONTROL_REQUESTS_H

#include "fs/control/control.h"
#include "fs/document.h"

/*
 * Run one request and fill the reply: {"ok": true, ...} or {"ok": false, "exit_code", "message",
 * "advice"}.  Called from several threads.
 */
void request_run(const struct control_options *options, const struct json_object *request,
		 struct json_object *reply);

/* Fill a reply that says no. */
__attribute__((format(printf, 3, 4))) void request_refuse(struct json_object *reply, int exit_code,
							  const char *format, ...);

#endif
