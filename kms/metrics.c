/* SPDX-License-Identifier: Apache-2.0 */
/* How often key services were asked, and how it ended. */
#include <errno.h>

#include "kms/kms_internal.h"

/* Outcomes behind those of the key states. */
enum { OUTCOME_OK = KEY_STATE_CREDENTIALS_EXPIRED + 1, OUTCOME_REJECTED, OUTCOME_FAILED };

_Static_assert(OUTCOME_FAILED < METRIC_OUTCOMES, "a cell for each outcome");

static const char *const operation_names[KMS_OPERATION_COUNT] = {
	"generate", "wrap", "unwrap", "describe", "probe",
};

static const char *outcome_name(unsigned outcome)
{
	switch (outcome) {
	case OUTCOME_OK:
		return "ok";
	case OUTCOME_REJECTED:
		return "rejected";
	case OUTCOME_FAILED:
		return "failed";
	default:
		return key_state_name((enum key_state)outcome);
	}
}

static unsigned outcome_of(int code, enum key_state state)
{
	if (code == 0)
		return OUTCOME_OK;
	if (code == -EKEYREJECTED)
		return OUTCOME_REJECTED;
	if (state == KEY_STATE_UNKNOWN || state == KEY_STATE_ENABLED)
		return OUTCOME_FAILED;
	return state;
}

const char *metrics_outcome_name(int code, enum key_state state)
{
	return outcome_name(outcome_of(code, state));
}

void metrics_count(struct metrics *metrics, const struct metric_event *event)
{
	for (size_t i = 0; i < METRIC_PROVIDERS_MAX && kms_providers[i]; i++) {
		const unsigned outcome = outcome_of(event->code, event->state);
		struct metric_cell *cell = &metrics->cells[i][event->operation][outcome];

		if (kms_providers[i] != event->provider)
			continue;
		atomic_fetch_add_explicit(&cell->count, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&cell->total_ms,
					  event->took_ms > 0 ? (uint64_t)event->took_ms : 0,
					  memory_order_relaxed);
		return;
	}
}

size_t kms_metrics(struct kms *kms, struct kms_metric *list, size_t capacity)
{
	size_t found = 0;

	for (size_t i = 0; i < METRIC_PROVIDERS_MAX && kms_providers[i]; i++)
		for (unsigned k = 0; k < KMS_OPERATION_COUNT; k++)
			for (unsigned m = 0; m < METRIC_OUTCOMES; m++) {
				struct metric_cell *cell = &kms->metrics.cells[i][k][m];
				uint64_t count = atomic_load(&cell->count);

				if (!count)
					continue;
				if (found < capacity)
					list[found] = (struct kms_metric){
						.provider = kms_providers[i]->name,
						.operation = operation_names[k],
						.outcome = outcome_name(m),
						.count = count,
						.total_ms = atomic_load(&cell->total_ms),
					};
				found++;
			}
	return found;
}
