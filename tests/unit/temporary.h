/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for one test. */
#ifndef SNAPCRYPT_TESTS_UNIT_TEMPORARY_H
#define SNAPCRYPT_TESTS_UNIT_TEMPORARY_H

/* Make one below TMPDIR; its descriptor (O_PATH), or the end of the program. */
int temporary_open(void);

/* Close it and remove everything in it. */
void temporary_remove(int fd);

#endif
