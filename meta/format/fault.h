/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decoder of this folder found wrong, as a word for logs and test vectors:
 *
 *   short  long  bad-magic  bad-version  bad-algorithm  bad-flags  bad-kind  bad-length
 *   bad-crc  bad-tag  bad-padding  bad-offset  bad-index  bad-order  bad-name  bad-type
 *   wrong-volume  wrong-snapshot  wrong-algorithm  wrong-block-size  wrong-epoch  wrong-sequence
 */
#ifndef SNAPCRYPT_META_FORMAT_FAULT_H
#define SNAPCRYPT_META_FORMAT_FAULT_H

/* Note FAULT, a static text, where the caller wants it, and return CODE. */
static inline int format_fault(const char **reterr_fault, int code, const char *fault)
{
	if (reterr_fault)
		*reterr_fault = fault;
	return code;
}

#endif
