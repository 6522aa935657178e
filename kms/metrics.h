/* SPDX-License-Identifier: Apache-2.0 */
/* How often key services were asked, and how it ended. */
#ifndef SNAPCRYPT_KMS_METRICS_H
#define SNAPCRYPT_KMS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"

struct kms;

enum kms_operation {
	KMS_GENERATE,
	KMS_WRAP,
	KMS_UNWRAP,
	KMS_DESCRIBE,
	KMS_PROBE,
	KMS_OPERATION_COUNT,
};

/*
 *   outcome   "ok", a key state of meta/NAMES.md, "rejected" (the blob is not this key's), or "failed"
 *   total_ms  time of all of them together
 */
struct kms_metric {
	const char *provider;
	const char *operation;
	const char *outcome;
	uint64_t count;
	uint64_t total_ms;
};

/* Every attempt since kms_open(), retries included.  Fills at most CAPACITY, returns how many there are. */
size_t kms_metrics(struct kms *kms, struct kms_metric *list, size_t capacity);

#endif
