/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control directory of a volume, .snapcrypt: finding, verifying and publishing records.  Names are paths below it.
 * Thread-safe.
 */
#ifndef SNAPCRYPT_FS_STORE_CONTROL_H
#define SNAPCRYPT_FS_STORE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/trust.h"
#include "meta/macros.h"
#include "meta/records/record.h"

#define CONTROL_DIRECTORY ".snapcrypt"
#define CONTROL_NAME_SIZE 160

/* A record file as found: signature good, payload not yet decoded. */
struct signed_record {
	char *data;
	struct record record; /* points into data */
	enum trust_origin origin;
};

/* -ENOENT; -EBADMSG: no whole record, or its signature is not good. */
MUST_CHECK int signed_record_load(struct trust *trust, int dir_fd, const char *name,
				  struct signed_record *ret_record);
void signed_record_free(struct signed_record *record);

/*
 * The record that counts among DIRECTORY/<generation>: the highest whose signature is trusted, only where none is, the highest
 * well-formed.
 *
 *   decode   takes line 1 of one generation; 0, -EBADMSG (not this one), -ENOTSUP.  When it is called again, what it took
 *            before is to be dropped
 *
 * -ENOENT: there is none; -EBADMSG: none is usable; -ENOTSUP: the one that would count is of a newer format.
 */
struct record_choice {
	const char *directory;
	int (*decode)(void *arg, struct bytes line, uint64_t generation);
	void (*ignored)(void *arg, const char *name,
			int error); /* a file that does not count, and why */
	void *arg;
};
struct chosen_record {
	uint64_t generation;
	uint64_t highest; /* of all file names */
	enum trust_origin origin;
	uint8_t public_key[RECORD_PUBLIC_KEY_SIZE];
};
MUST_CHECK int control_choose(struct trust *trust, int control_fd,
			      const struct record_choice *choice, struct chosen_record *ret_chosen);

/* Numbers among the names in DIRECTORY, highest first; free() the array.  -ENOENT. */
MUST_CHECK int control_numbers(int control_fd, const char *directory, uint64_t **ret_numbers,
			       size_t *ret_count);

/* Make DIRECTORY (with what is missing above it), durable. */
MUST_CHECK int control_make_directory(int control_fd, const char *directory);

/*
 * Publish a file: written to tmp/, synced, renamed to DIRECTORY/NAME without replacing, DIRECTORY synced.  DIRECTORY is made if
 * it is missing.  -EEXIST.
 */
MUST_CHECK int record_publish(int control_fd, const char *directory, const char *name,
			      const char *text);

/* NAME as a generation or sequence: decimal, from 1, no leading zeros.  false: it is none. */
bool number_from_name(const char *name, uint64_t *ret_number);

/* Rename without replacing, also where the filesystem cannot do it in one step (files only). */
MUST_CHECK int rename_noreplace(int from_fd, const char *from, int to_fd, const char *to);

#endif
