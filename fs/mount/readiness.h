/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the service manager, if there is one. */
#ifndef SNAPCRYPT_FS_MOUNT_READINESS_H
#define SNAPCRYPT_FS_MOUNT_READINESS_H

void readiness_serving(void);
void readiness_stopping(void);

#endif
