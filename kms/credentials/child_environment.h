/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of commands that are run: ours without its secrets. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_CHILD_ENVIRONMENT_H
#define SNAPCRYPT_KMS_CREDENTIALS_CHILD_ENVIRONMENT_H

/* The variable NAME holds a secret, too.  Beyond 64 of them, none is run any more. */
void child_environment_hide(const char *name);

/* Borrowed variables in an array to free(), or NULL. */
char **child_environment(void);

#endif
