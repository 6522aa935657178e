/* SPDX-License-Identifier: Apache-2.0 */
/* Adding a line to the audit log, whatever state a crash or a stranger left it in. */
#ifndef SNAPCRYPT_KMS_AUDIT_APPEND_H
#define SNAPCRYPT_KMS_AUDIT_APPEND_H

#include "kms/audit.h"

/* MEMBERS: of the new line, each with a comma before it. */
MUST_CHECK int audit_append_line(const char *path, const char *state_dir, const char *members);

#endif
