/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to the audit log. */
#include "kms/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kms/audit_append.h"
#include "kms/metrics_internal.h"
#include "kms/text.h"
#include "meta/timestamp.h"

#define WORDS_MAX 1024

struct audit {
	char *path;
	char *state_dir;
	char *command;
	bool blocks;
	void (*warn)(void *arg, const char *text);
	void *arg;
	atomic_bool is_failing;
};

static const char *const operations[] = {
	[AUDIT_WRAP] = "wrap",
	[AUDIT_UNWRAP] = "unwrap",
	[AUDIT_REWRAP] = "rewrap",
	[AUDIT_SLOT_ADD] = "slot-add",
	[AUDIT_SLOT_REMOVE] = "slot-remove",
	[AUDIT_PROBE_FAILED] = "probe-failed",
	[AUDIT_REVOCATION] = "revocation",
	[AUDIT_RECOVERY] = "recovery",
	[AUDIT_RECOVERY_KEY_USED] = "recovery-key-used",
	[AUDIT_TRUST] = "trust",
	[AUDIT_SEAL] = "seal",
	[AUDIT_DELETE] = "delete",
	[AUDIT_SHRED] = "shred",
	[AUDIT_RESTORE] = "restore",
	[AUDIT_POLICY] = "policy",
};

static const char *const roles[] = {
	[SLOT_PRIMARY] = "primary",
	[SLOT_ALTERNATE] = "alternate",
	[SLOT_RECOVERY] = "recovery",
};

const char *audit_operation_name(enum audit_operation operation)
{
	return operations[operation];
}

int audit_open(const struct audit_options *options, struct audit **ret_audit)
{
	struct audit *audit = calloc(1, sizeof(*audit));

	if (!audit)
		return -ENOMEM;
	audit->path = strdup(options->path);
	audit->state_dir = strdup(options->state_dir);
	audit->command = options->command ? strdup(options->command) : NULL;
	audit->blocks = options->blocks;
	audit->warn = options->warn;
	audit->arg = options->arg;
	if (!audit->path || !audit->state_dir || (options->command && !audit->command)) {
		audit_close(audit);
		return -ENOMEM;
	}
	*ret_audit = audit;
	return 0;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	free(audit->path);
	free(audit->state_dir);
	free(audit->command);
	free(audit);
}

/* ---- One line ------------------------------------------------------------------------------------ */

/* What is not ASCII may not be UTF-8, and then the line would not be JSON. */
static void add_words(struct text *line, const char *name, const char *value)
{
	char shown[WORDS_MAX];
	size_t used = 0;

	if (!value || !value[0])
		return;
	for (; *value && used < sizeof(shown) - 1; value++)
		shown[used++] = (unsigned char)*value < 0x80 ? *value : '?';
	shown[used] = '\0';
	text_add_format(line, ",\"%s\":", name);
	text_add_json(line, shown);
}

static void add_uuid(struct text *line, const char *name, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	if (!uuid || uuid_is_zero(uuid))
		return;
	uuid_format(uuid, text);
	add_words(line, name, text);
}

static void add_who(struct text *line, const struct audit *audit)
{
	char host[256] = "";
	char time_text[TIMESTAMP_TEXT_SIZE] = "";
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (timestamp_format(now.tv_sec, time_text) < 0)
		time_text[0] = '\0';
	/* Milliseconds in the place of the Z. */
	if (time_text[0])
		text_add_format(line, ",\"time\":\"%.19s.%03ldZ\"", time_text,
				now.tv_nsec / 1000000);
	if (gethostname(host, sizeof(host) - 1) == 0)
		add_words(line, "host", host);
	text_add_format(line, ",\"pid\":%ld,\"uid\":%ld", (long)getpid(), (long)getuid());
	add_words(line, "command", audit->command);
}

static void add_slot(struct text *line, const struct audit_entry *entry)
{
	const struct slot *slot = entry->slot;

	add_uuid(line, "volume", &slot->volume);
	add_uuid(line, "snapshot", &slot->snapshot);
	add_uuid(line, "data_key", &slot->dek);
	add_uuid(line, "slot", &slot->slot);
	add_words(line, "role", roles[slot->role]);
	add_words(line, "provider", slot->provider);
	add_words(line, "key_id", slot->key_id[0] ? slot->key_id : entry->key_id);
	/* Of other operations it would say who once wrote the slot. */
	if (entry->operation == AUDIT_WRAP) {
		add_words(line, "principal", text_pairs_get(&slot->access, "principal"));
		add_words(line, "source", text_pairs_get(&slot->access, "source"));
	}
}

static void add_outcome(struct text *line, const struct kms_error *outcome)
{
	add_words(line, "outcome",
		  outcome ? metrics_outcome_name(outcome->code, outcome->state) : "ok");
	if (!outcome)
		return;
	add_words(line, "service_operation", outcome->operation);
	if (outcome->http_status)
		text_add_format(line, ",\"http_status\":%d", outcome->http_status);
	add_words(line, "request_id", outcome->request_id);
	if (outcome->code == 0)
		return;
	add_words(line, "service_code", outcome->service_code);
	add_words(line, "error", outcome->text);
}

static int append(const struct audit *audit, const struct audit_entry *entry)
{
	CLEANUP(text_free) struct text line = { 0 };
	int r;

	add_who(&line, audit);
	add_words(&line, "operation", operations[entry->operation]);
	if (entry->slot) {
		add_slot(&line, entry);
	} else {
		add_uuid(&line, "volume", entry->volume);
		add_uuid(&line, "snapshot", entry->snapshot);
		add_uuid(&line, "data_key", entry->data_key);
		add_words(&line, "key_id", entry->key_id);
	}
	add_outcome(&line, entry->outcome);
	add_words(&line, "detail", entry->detail);
	r = text_check(&line);
	return r < 0 ? r : audit_append_line(audit->path, audit->state_dir, line.data);
}

static void warn(struct audit *audit, int error)
{
	char text[512];

	if (atomic_exchange(&audit->is_failing, true) || !audit->warn)
		return;
	(void)snprintf(text, sizeof(text), "audit log %s cannot be written: %s", audit->path,
		       strerror(-error));
	audit->warn(audit->arg, text);
}

int audit_append(struct audit *audit, const struct audit_entry *entry)
{
	int r;

	if (!audit)
		return 0;
	r = append(audit, entry);
	if (r == 0) {
		atomic_store(&audit->is_failing, false);
		return 0;
	}
	warn(audit, r);
	return audit->blocks ? r : 0;
}
