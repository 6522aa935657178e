/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes as they are stored below: found, taken apart and sealed.  For fs/store only.
 *
 * Every attribute names its DEK in its value, and its own name is sealed under that DEK.  Nearly
 * always this is one DEK for all of an object's attributes, so a scan remembers the last one and
 * reads values only where it does not fit.
 */
#ifndef SNAPCRYPT_FS_STORE_XATTR_STORED_H
#define SNAPCRYPT_FS_STORE_XATTR_STORED_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/xattr.h"
#include "kms/crypto/dek.h"
#include "kms/crypto/siv.h"
#include "meta/bytes.h"
#include "meta/format/header.h"

#define XATTR_STORED_MAX 65536

/* Is NAME ours, and so neither to be set nor listed: user.snapcrypt.*, trusted.snapcrypt.* */
bool xattr_is_ours(const char *name);

/* Lower calls; sizes as in getxattr(2), negative errno. */
MUST_CHECK ssize_t xattr_get_below(const struct xattr_target *target, const char *stored,
				   uint8_t *value, size_t size);
MUST_CHECK ssize_t xattr_list_below(const struct xattr_target *target, char *names, size_t size);
MUST_CHECK int xattr_set_below(const struct xattr_target *target, const char *stored,
			       struct bytes value, int flags);
MUST_CHECK int xattr_remove_below(const struct xattr_target *target, const char *stored);

/* A list of names or a value, in place while it is small. */
struct xattr_buffer {
	uint8_t small[1024];
	uint8_t *large; /* owned */
	struct bytes bytes;
};
void xattr_buffer_free(struct xattr_buffer *buffer);
MUST_CHECK int xattr_read_below(const struct xattr_target *target, const char *stored,
				struct xattr_buffer *ret_value);

/* One pass over the attributes of an object. */
struct xattr_scan {
	const struct xattr_target *target;
	struct xattr_buffer names;
	size_t position;
	struct dek *dek;
	struct siv_key *key;
};
MUST_CHECK int xattr_scan_begin(struct xattr_scan *scan, const struct xattr_target *target);
void xattr_scan_end(struct xattr_scan *scan);

/* The next name below, or NULL.  Of an encrypted attribute: xattr_is_ours() and xattr_encoded(). */
const char *xattr_scan_next(struct xattr_scan *scan);

/* What follows the prefix of an encrypted attribute's stored name; NULL: it is not one. */
const char *xattr_encoded(const struct xattr_target *target, const char *stored);

/*
 * The plain name of an encrypted attribute; scan->dek is then the DEK that it is under.
 * -EBADMSG: it does not verify.  -EAGAIN and the key's errors: see store.h.
 */
MUST_CHECK int xattr_scan_decode(struct xattr_scan *scan, const char *stored,
				 char plain[static XATTR_NAME_MAX + 1]);

/* Find an attribute by its plain name, from the scan's place on.  -ENODATA: there is none. */
MUST_CHECK int xattr_scan_find(struct xattr_scan *scan, const char *name, const char **ret_stored);

/* The name under which an attribute is stored. */
MUST_CHECK int xattr_stored_name(const struct xattr_target *target, const struct dek *dek,
				 const char *name, char stored[static XATTR_NAME_MAX + 1]);

/* What an attribute belongs to.  Of a file: its header, as read; of what has none: zeros. */
struct xattr_object {
	uint8_t id[16];
	struct uuid dek;
	uint8_t header[HEADER_SIZE];
};
MUST_CHECK int xattr_object(const struct xattr_target *target, struct xattr_object *ret_object);

/* Open a stored value under DEK: bytes of plaintext, -ERANGE, or -EBADMSG. */
MUST_CHECK ssize_t xattr_open_value(const struct xattr_target *target, const struct dek *dek,
				    const char *name, struct bytes stored, uint8_t *value,
				    size_t size);

/* Seal VALUE under DEK and store it. */
struct xattr_plain {
	const char *name;
	struct bytes value;
};
MUST_CHECK int xattr_store(const struct xattr_target *target, const struct dek *dek,
			   const uint8_t object_id[static 16], const struct xattr_plain *plain);

/* Call VISIT for the DEK of every attribute, the same one several times; non-zero stops. */
MUST_CHECK int xattr_each_dek(const struct xattr_target *target,
			      int (*visit)(void *arg, const struct uuid *dek_id), void *arg);

#endif
