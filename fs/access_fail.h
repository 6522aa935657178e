/* SPDX-License-Identifier: Apache-2.0 */
/* How access.c and access_expected.c report. */
#ifndef SNAPCRYPT_FS_ACCESS_FAIL_H
#define SNAPCRYPT_FS_ACCESS_FAIL_H

#include "fs/store/store.h"

/* Fill RETERR and return CODE. */
__attribute__((format(printf, 4, 5))) int access_fail(struct store_error *reterr, int code,
						      int exit_code, const char *format, ...);
void access_advise(struct store_error *reterr, const char *advice);

#endif
