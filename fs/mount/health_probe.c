/* SPDX-License-Identifier: Apache-2.0 */
/* Asking key services about many KEKs. */
#include "fs/mount/health_probe.h"

#include <pthread.h>
#include <string.h>

#include "fs/mount/session.h"
#include "meta/key_id.h"

#define AT_ONCE 8

struct probing {
	struct kms *kms;
	struct probe *probes;
	size_t count;
	_Atomic size_t next;
	const atomic_bool *is_cancelled;
};

static void *ask_next(void *arg)
{
	struct probing *probing = arg;
	size_t index;

	while ((index = probing->next++) < probing->count) {
		struct probe *probe = &probing->probes[index];

		memset(&probe->error, 0, sizeof(probe->error));
		int r = kms_probe(probing->kms, &probe->kek->record, probing->is_cancelled,
				  &probe->error);

		probe->state = r == 0 ? KEY_STATE_ENABLED : probe->error.state;
		if (r == 0)
			memset(&probe->error, 0, sizeof(probe->error));
	}
	return NULL;
}

/* At once, or a service that does not answer would keep us from hearing what another one says. */
void probe_all(struct kms *kms, struct probe *probes, size_t count, const atomic_bool *is_cancelled)
{
	struct probing probing = {
		.kms = kms, .probes = probes, .count = count, .is_cancelled = is_cancelled
	};
	pthread_t threads[AT_ONCE - 1];
	size_t started = 0;

	while (started < AT_ONCE - 1 && started + 1 < count &&
	       pthread_create(&threads[started], NULL, ask_next, &probing) == 0)
		started++;
	ask_next(&probing);
	while (started > 0)
		pthread_join(threads[--started], NULL);
}

const char *probe_event_name(enum key_state state)
{
	switch (state) {
	case KEY_STATE_ENABLED:
		return "recovered";
	case KEY_STATE_DENIED:
		return "denied";
	case KEY_STATE_UNREACHABLE:
		return "unreachable";
	case KEY_STATE_CREDENTIALS_EXPIRED:
		return "credentials-expired";
	default:
		return "revoked";
	}
}

bool probe_shows_old_version(const struct watched_kek *kek, const struct kms_key_info *info)
{
	return info->has_old_version ||
	       (key_id_version(kek->status.key_id) && key_id_version(info->key_id) &&
		strcmp(kek->status.key_id, info->key_id) != 0);
}

/* It has happened: nothing is kept from it by a log that cannot be written. */
void probe_write_down(const struct mount *mount, const struct watched_kek *kek,
		      const struct kms_error *outcome)
{
	const struct audit_entry entry = {
		.operation = outcome->code == 0 ? AUDIT_RECOVERY : AUDIT_REVOCATION,
		.outcome = outcome,
		.volume = &store_volume(mount->store)->volume,
		.key_id = kek->status.key_id,
	};

	(void)!kms_audit(mount->options->kms, &entry);
}
