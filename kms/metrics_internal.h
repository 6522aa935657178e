/* SPDX-License-Identifier: Apache-2.0 */
/* Counting, for kms/. */
#ifndef SNAPCRYPT_KMS_METRICS_INTERNAL_H
#define SNAPCRYPT_KMS_METRICS_INTERNAL_H

#include <stdatomic.h>

#include "kms/metrics.h"
#include "kms/provider.h"

#define METRIC_PROVIDERS_MAX 16
#define METRIC_OUTCOMES      12

struct metric_cell {
	atomic_ullong count;
	atomic_ullong total_ms;
};

/* By place of the provider in kms_providers, operation, outcome.  Zero-initialise. */
struct metrics {
	struct metric_cell cells[METRIC_PROVIDERS_MAX][KMS_OPERATION_COUNT][METRIC_OUTCOMES];
};

struct metric_event {
	const struct kms_provider *provider;
	enum kms_operation operation;
	int code;
	enum key_state state;
	int64_t took_ms;
};

/* The word of an outcome, as in struct kms_metric. */
const char *metrics_outcome_name(int code, enum key_state state);

/* Thread-safe. */
void metrics_count(struct metrics *metrics, const struct metric_event *event);

#endif
