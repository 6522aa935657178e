/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives one key service without a volume:
 *
 *   kms_probe URI [SETTING=VALUE ...]      section: the environment's KMS_PROBE_SECTION
 *
 * Each line of standard input is a command, each line of standard output its outcome as a JSON object.
 *
 *   wrap                       have the service make a secret
 *   encrypt                    have it wrap one of ours
 *   unwrap SLOT | probe SLOT | owns SLOT     SLOT: key_id,wrapped in hex[,alias[,principal]]
 *   describe
 *   context N                  what later commands are bound to (default 0)
 *   timeout MS                 of later commands, retries included
 *   test                       kms_test_key()
 *   create N                   kms_create_dek() N times, from several threads; then how often the service was asked
 *
 * A secret is shown as its SHA-256.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/hash.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"
#include "kms/json_text.h"
#include "kms/kms.h"
#include "kms/metrics.h"
#include "kms/retry.h"
#include "meta/encoding.h"

#define SETTINGS_MAX 32
#define COMMAND_MAX  40000

struct probe {
	const struct kms_provider *provider;
	void *state;
	struct kms *kms;
	const char *uri;
	struct wrap_context context;
	uint32_t timeout_ms;
	struct slot slot;
	struct json_text json;
};

static void show_secret(struct probe *probe, const struct secret *secret)
{
	uint8_t digest[SHA256_SIZE];
	char text[HEX_TEXT_SIZE(SHA256_SIZE)];

	if (sha256(secret_bytes(secret), digest) < 0)
		exit(1);
	hex_encode((struct bytes){ digest, sizeof(digest) }, text);
	json_text_string(&probe->json, "secret_sha256", text);
}

static void show_slot(struct probe *probe)
{
	static char wrapped[HEX_TEXT_SIZE(SLOT_WRAPPED_MAX)];
	const struct slot *slot = &probe->slot;

	hex_encode((struct bytes){ slot->wrapped, slot->wrapped_size }, wrapped);
	json_text_string(&probe->json, "provider", slot->provider);
	json_text_string(&probe->json, "key_id", slot->key_id);
	json_text_string(&probe->json, "key_alias", slot->key_alias);
	json_text_string(&probe->json, "wrapped", wrapped);
	json_text_open(&probe->json, "access");
	for (size_t i = 0; i < slot->access.count; i++)
		json_text_string(&probe->json, slot->access.pairs[i].name,
				 slot->access.pairs[i].value);
	json_text_close(&probe->json);
	json_text_open(&probe->json, "parameters");
	for (size_t i = 0; i < slot->parameters.count; i++)
		json_text_string(&probe->json, slot->parameters.pairs[i].name,
				 slot->parameters.pairs[i].value);
	json_text_close(&probe->json);
}

static void show_info(struct probe *probe, const struct kms_key_info *info)
{
	const char *notice = kms_notice(probe->kms);

	json_text_string(&probe->json, "key_id", info->key_id);
	json_text_string(&probe->json, "key_state", key_state_name(info->state));
	json_text_string(&probe->json, "version", info->version);
	json_text_number(&probe->json, "created_s", info->created_s);
	json_text_number(&probe->json, "next_rotation_s", info->next_rotation_s);
	json_text_number(&probe->json, "deletion_s", info->deletion_s);
	json_text_string(&probe->json, "notice", notice ? notice : "");
}

static void show_error(struct probe *probe, int code, const struct kms_error *error)
{
	json_text_number(&probe->json, "code", code);
	json_text_string(&probe->json, "errno", code < 0 ? strerrorname_np(-code) : "");
	json_text_string(&probe->json, "request_id", error->request_id);
	json_text_string(&probe->json, "operation", error->operation);
	json_text_number(&probe->json, "http_status", error->http_status);
	if (code >= 0)
		return;
	json_text_string(&probe->json, "state", key_state_name(error->state));
	json_text_bool(&probe->json, "is_retryable", error->is_retryable);
	json_text_string(&probe->json, "service_code", error->service_code);
	json_text_string(&probe->json, "text", error->text);
	json_text_string(&probe->json, "advice", error->advice);
}

static int do_wrap(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	probe->slot = (struct slot){ 0 };
	if (probe->provider->generate) {
		r = probe->provider->generate(probe->state, call, &probe->context, &probe->slot,
					      &secret, error);
	} else {
		r = secret_new(SLOT_SECRET_SIZE, &secret);
		if (r == 0)
			r = random_fill(secret_data(secret), SLOT_SECRET_SIZE);
		if (r == 0)
			r = probe->provider->wrap(probe->state, call, &probe->context, secret,
						  &probe->slot, error);
	}
	if (r == 0) {
		show_slot(probe);
		show_secret(probe, secret);
	}
	return r;
}

static int do_encrypt(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	probe->slot = (struct slot){ 0 };
	r = secret_new(SLOT_SECRET_SIZE, &secret);
	if (r == 0)
		r = random_fill(secret_data(secret), SLOT_SECRET_SIZE);
	if (r == 0)
		r = probe->provider->wrap(probe->state, call, &probe->context, secret, &probe->slot,
					  error);
	if (r == 0) {
		show_slot(probe);
		show_secret(probe, secret);
	}
	return r;
}

static int do_unwrap(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	r = probe->provider->unwrap(probe->state, call, &probe->context, &probe->slot, &secret,
				    error);
	if (r == 0)
		show_secret(probe, secret);
	return r;
}

static int do_probe(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	return probe->provider->probe ? probe->provider->probe(probe->state, call, &probe->context,
							       &probe->slot, error)
				      : do_unwrap(probe, call, error);
}

static int do_owns(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	(void)call;
	(void)error;
	json_text_bool(&probe->json, "owns", probe->provider->owns(probe->state, &probe->slot));
	return 0;
}

static int do_describe(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	struct kms_key_info info = { 0 };
	int r;

	r = probe->provider->describe(probe->state, call, &info, error);
	if (r == 0)
		show_info(probe, &info);
	return r;
}

static int do_test(struct probe *probe, const struct kms_call *call, struct kms_error *error)
{
	struct kms_key_info info = { 0 };
	int r;

	(void)call;
	r = kms_test_key(probe->kms, probe->uri, &info, error);
	if (r == 0)
		show_info(probe, &info);
	return r;
}

#define CREATE_THREADS 16

struct creation {
	struct probe *probe;
	atomic_int left;
	atomic_int failed;
};

static void *create_some(void *arg)
{
	struct creation *creation = arg;
	struct dek_request request = { .uri = creation->probe->uri };

	request.context.volume.bytes[0] = 1;
	while (atomic_fetch_sub(&creation->left, 1) > 0) {
		struct key_record record = { 0 };
		struct dek *dek = NULL;

		if (kms_create_dek(creation->probe->kms, &request, &record, &dek, NULL) < 0) {
			atomic_fetch_add(&creation->failed, 1);
			continue;
		}
		key_record_free(&record);
		dek_put(dek);
	}
	return NULL;
}

static void show_metrics(struct probe *probe)
{
	struct kms_metric metrics[64];
	size_t count = kms_metrics(probe->kms, metrics, ARRAY_SIZE(metrics));

	json_text_open(&probe->json, "metrics");
	for (size_t i = 0; i < count && i < ARRAY_SIZE(metrics); i++) {
		char name[128];

		(void)snprintf(name, sizeof(name), "%s %s %s", metrics[i].provider,
			       metrics[i].operation, metrics[i].outcome);
		json_text_number(&probe->json, name, (int64_t)metrics[i].count);
	}
	json_text_close(&probe->json);
}

static void run_create(struct probe *probe, int count)
{
	struct creation creation = { .probe = probe, .left = count };
	pthread_t threads[CREATE_THREADS];

	for (int i = 0; i < CREATE_THREADS; i++)
		if (pthread_create(&threads[i], NULL, create_some, &creation) != 0)
			exit(1);
	for (int i = 0; i < CREATE_THREADS; i++)
		pthread_join(threads[i], NULL);
	json_text_number(&probe->json, "failed", creation.failed);
	show_metrics(probe);
}

static const struct {
	const char *name;
	int (*run)(struct probe *probe, const struct kms_call *call, struct kms_error *error);
} commands[] = {
	{ "wrap", do_wrap },   { "encrypt", do_encrypt }, { "unwrap", do_unwrap },
	{ "probe", do_probe }, { "owns", do_owns },       { "describe", do_describe },
	{ "test", do_test },
};

static void read_slot(struct probe *probe, char *text)
{
	char *rest = text;
	const char *key_id = strsep(&rest, ",");
	const char *wrapped = rest ? strsep(&rest, ",") : "";
	const char *alias = rest ? strsep(&rest, ",") : "";
	const char *principal = rest ? rest : "";
	ssize_t size;

	probe->slot = (struct slot){ 0 };
	(void)snprintf(probe->slot.provider, sizeof(probe->slot.provider), "%s",
		       probe->provider->name);
	(void)snprintf(probe->slot.key_id, sizeof(probe->slot.key_id), "%s", key_id);
	(void)snprintf(probe->slot.key_alias, sizeof(probe->slot.key_alias), "%s", alias);
	size = hex_decode(bytes_from_text(wrapped), probe->slot.wrapped, SLOT_WRAPPED_MAX);
	probe->slot.wrapped_size = size < 0 ? 0 : (size_t)size;
	if (*principal && text_pairs_set(&probe->slot.access, "principal", principal) < 0)
		exit(1);
}

static void run_command(struct probe *probe, const char *name)
{
	struct kms_error error = { 0 };
	struct retry retry;
	int64_t attempts = 0;
	int r = -EINVAL;

	retry_begin(&retry, probe->timeout_ms, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		do {
			attempts++;
			r = commands[i].run(probe, &retry.call, &error);
		} while (r < 0 && retry_again(&retry, &error));
	}
	json_text_number(&probe->json, "attempts", attempts);
	show_error(probe, r, &error);
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static void run_line(struct probe *probe, char *line)
{
	static char buffer[200000];
	char *argument = line;
	const char *name;
	struct bytes text;

	line[strcspn(line, "\n")] = 0;
	name = strsep(&argument, " ");
	json_text_begin(&probe->json, buffer, sizeof(buffer));
	if (!strcmp(name, "context") && argument) {
		probe->context.snapshot.bytes[0] = (uint8_t)number(argument);
	} else if (!strcmp(name, "timeout") && argument) {
		probe->timeout_ms = (uint32_t)number(argument);
	} else if (!strcmp(name, "create") && argument) {
		run_create(probe, number(argument));
	} else {
		if (argument)
			read_slot(probe, argument);
		run_command(probe, name);
	}
	text = json_text_end(&probe->json);
	printf("%.*s\n", (int)text.size, (const char *)text.data);
	fflush(stdout);
}

static int open_probe(struct probe *probe, int argc, char **argv, struct kms_error *error)
{
	struct kms_setting settings[SETTINGS_MAX];
	struct kms_config config = { .uri = argv[1],
				     .section = getenv("KMS_PROBE_SECTION"),
				     .settings = settings };
	const struct kms_options options = { .key_timeout_ms = probe->timeout_ms };
	int r;

	for (int i = 2; i < argc && config.setting_count < SETTINGS_MAX; i++) {
		char *equals = strchr(argv[i], '=');

		if (!equals)
			return -EINVAL;
		*equals = 0;
		settings[config.setting_count++] = (struct kms_setting){ argv[i], equals + 1 };
	}
	probe->uri = argv[1];
	probe->provider = kms_provider_for_uri(argv[1]);
	if (!probe->provider)
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN, "no provider for %s", argv[1]);
	r = kms_open(&options, &probe->kms, error);
	if (r == 0)
		r = kms_add_key(probe->kms, &config, error);
	return r < 0 ? r : probe->provider->open(&config, &probe->state, error);
}

int main(int argc, char **argv)
{
	static char line[COMMAND_MAX];
	struct probe probe = { .timeout_ms = 10000 };
	struct kms_error error = { 0 };
	char buffer[4096];
	int r;

	if (argc < 2)
		return 2;
	r = open_probe(&probe, argc, argv, &error);
	json_text_begin(&probe.json, buffer, sizeof(buffer));
	show_error(&probe, r, &error);
	printf("%.*s\n", (int)json_text_end(&probe.json).size, buffer);
	fflush(stdout);
	while (r == 0 && fgets(line, sizeof(line), stdin))
		run_line(&probe, line);
	if (r == 0)
		probe.provider->close(probe.state);
	kms_close(probe.kms);
	return 0;
}
