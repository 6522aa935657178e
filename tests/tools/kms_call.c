/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One key service from the command line, without a volume: for tests against servers that enforce a protocol.
 *
 *   kms_call [-s NAME=VALUE]... [-n SECTION] [-t TIMEOUT_MS] [-c CONTEXT] [-r REPEAT] [-p PAUSE_MS] URI COMMAND [FILE]
 *
 *   wrap FILE     draw a slot secret, have it wrapped, write the slot to FILE
 *   unwrap FILE   open it, and compare
 *   probe FILE    ask whether it may be opened
 *   owns FILE     would this key be asked about it?
 *   describe
 *
 * Prints one JSON object for each repetition.  Exit: 0, or 1 if the last one failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kms/crypto/hash.h"
#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"
#include "kms/provider.h"
#include "kms/retry.h"
#include "meta/encoding.h"

#define SETTINGS_MAX 32
#define LINE_SIZE    (2 * SLOT_WRAPPED_MAX + 64)

struct probe {
	const struct kms_provider *provider;
	void *state;
	struct wrap_context context;
	uint32_t timeout_ms;
	const char *file;
	struct slot slot;
	uint8_t digest[SHA256_SIZE]; /* of the secret that was wrapped */
};

static void print_text(const char *name, const char *value)
{
	printf(",\"%s\":\"", name);
	for (; *value; value++) {
		if ((unsigned char)*value < 0x20 || *value == '"' || *value == '\\')
			printf("\\u%04x", (unsigned char)*value);
		else
			putchar(*value);
	}
	putchar('"');
}

static void print_error(const struct kms_error *error)
{
	print_text("state", key_state_name(error->state));
	print_text("operation", error->operation);
	print_text("service_code", error->service_code);
	print_text("request_id", error->request_id);
	print_text("text", error->text);
	print_text("advice", error->advice);
	printf(",\"http_status\":%d,\"retryable\":%s", error->http_status,
	       error->is_retryable ? "true" : "false");
}

static void print_slot(const struct slot *slot)
{
	print_text("provider", slot->provider);
	print_text("key_id", slot->key_id);
	print_text("key_alias", slot->key_alias);
	printf(",\"wrapped_size\":%zu,\"access\":{\"\":0", slot->wrapped_size);
	for (size_t i = 0; i < slot->access.count; i++)
		print_text(slot->access.pairs[i].name, slot->access.pairs[i].value);
	printf("},\"parameters\":{\"\":0");
	for (size_t i = 0; i < slot->parameters.count; i++)
		print_text(slot->parameters.pairs[i].name, slot->parameters.pairs[i].value);
	printf("}");
}

static void write_hex(FILE *file, const char *name, struct bytes data)
{
	char text[HEX_TEXT_SIZE(SLOT_WRAPPED_MAX)];

	hex_encode(data, text);
	fprintf(file, "%s %s\n", name, text);
}

static int write_slot(const struct probe *probe)
{
	const struct slot *slot = &probe->slot;
	FILE *file = fopen(probe->file, "we");

	if (!file)
		return -errno;
	fprintf(file, "provider %s\nkey_id %s\n", slot->provider, slot->key_id);
	write_hex(file, "wrapped", (struct bytes){ slot->wrapped, slot->wrapped_size });
	write_hex(file, "digest", (struct bytes){ probe->digest, sizeof(probe->digest) });
	for (size_t i = 0; i < slot->parameters.count; i++)
		fprintf(file, "parameter %s=%s\n", slot->parameters.pairs[i].name,
			slot->parameters.pairs[i].value);
	return fclose(file) ? -EIO : 0;
}

static int read_line(struct probe *probe, char *line)
{
	char *value = strchr(line, ' ');
	struct slot *slot = &probe->slot;
	ssize_t size = 0;

	if (!value)
		return -EBADMSG;
	*value++ = 0;
	value[strcspn(value, "\n")] = 0;
	if (!strcmp(line, "provider"))
		(void)snprintf(slot->provider, sizeof(slot->provider), "%s", value);
	else if (!strcmp(line, "key_id"))
		(void)snprintf(slot->key_id, sizeof(slot->key_id), "%s", value);
	else if (!strcmp(line, "wrapped"))
		size = hex_decode(bytes_from_text(value), slot->wrapped, sizeof(slot->wrapped));
	else if (!strcmp(line, "digest"))
		return hex_decode(bytes_from_text(value), probe->digest, sizeof(probe->digest)) ==
				       SHA256_SIZE
			       ? 0
			       : -EBADMSG;
	else if (!strcmp(line, "parameter") && strchr(value, '=')) {
		char *end = strchr(value, '=');

		*end = 0;
		return text_pairs_set(&slot->parameters, value, end + 1);
	}
	if (size)
		slot->wrapped_size = (size_t)size;
	return size < 0 ? -EBADMSG : 0;
}

static int read_slot(struct probe *probe)
{
	FILE *file = fopen(probe->file, "re");
	char *line = malloc(LINE_SIZE);
	int r = 0;

	if (!file || !line) {
		fprintf(stderr, "kms_call: %s: %s\n", probe->file, strerror(errno));
		exit(2);
	}
	probe->slot = (struct slot){ .volume = probe->context.volume,
				     .snapshot = probe->context.snapshot };
	while (r == 0 && fgets(line, LINE_SIZE, file))
		r = read_line(probe, line);
	fclose(file);
	free(line);
	return r;
}

static int wrap(struct probe *probe, const struct kms_call *call, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	probe->slot = (struct slot){ .volume = probe->context.volume,
				     .snapshot = probe->context.snapshot };
	if (probe->provider->generate) {
		r = probe->provider->generate(probe->state, call, &probe->context, &probe->slot,
					      &secret, reterr);
	} else {
		r = secret_new(SLOT_SECRET_SIZE, &secret);
		if (r == 0)
			r = random_fill(secret_data(secret), SLOT_SECRET_SIZE);
		if (r == 0)
			r = probe->provider->wrap(probe->state, call, &probe->context, secret,
						  &probe->slot, reterr);
	}
	if (r == 0)
		r = sha256(secret_bytes(secret), probe->digest);
	return r == 0 ? write_slot(probe) : r;
}

static int unwrap(struct probe *probe, const struct kms_call *call, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	uint8_t digest[SHA256_SIZE];
	int r;

	r = probe->provider->unwrap(probe->state, call, &probe->context, &probe->slot, &secret,
				    reterr);
	if (r == 0)
		r = sha256(secret_bytes(secret), digest);
	if (r == 0 && memcmp(digest, probe->digest, sizeof(digest)) != 0) {
		fprintf(stderr, "kms_call: it unwrapped to something else\n");
		exit(3);
	}
	return r;
}

static int ask(struct probe *probe, const struct kms_call *call, struct kms_error *reterr)
{
	if (!probe->provider->probe)
		return unwrap(probe, call, reterr);
	return probe->provider->probe(probe->state, call, &probe->context, &probe->slot, reterr);
}

static int describe(struct probe *probe, const struct kms_call *call, struct kms_error *reterr)
{
	struct kms_key_info info = { 0 };
	int r = probe->provider->describe(probe->state, call, &info, reterr);

	if (r < 0)
		return r;
	printf("{\"code\":0");
	print_text("state", key_state_name(info.state));
	print_text("key_id", info.key_id);
	print_text("version", info.version);
	printf(",\"has_old_version\":%s,\"created\":%" PRId64 ",\"next_rotation\":%" PRId64
	       ",\"deletion\":%" PRId64 "}\n",
	       info.has_old_version ? "true" : "false", info.created_s, info.next_rotation_s,
	       info.deletion_s);
	return 0;
}

static int owns(struct probe *probe, const struct kms_call *call, struct kms_error *reterr)
{
	(void)call;
	return probe->provider->owns(probe->state, &probe->slot)
		       ? 0
		       : kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN, "not a slot of this key");
}

static const struct {
	const char *name;
	int (*run)(struct probe *probe, const struct kms_call *call, struct kms_error *reterr);
	bool reads_slot;
	bool prints_itself;
} commands[] = {
	{ "wrap", wrap, false, false },        { "unwrap", unwrap, true, false },
	{ "probe", ask, true, false },         { "owns", owns, true, false },
	{ "describe", describe, false, true },
};

static int run_once(struct probe *probe, size_t command)
{
	struct kms_error error = { 0 };
	struct retry retry;
	unsigned attempts = 0;
	int r;

	if (commands[command].reads_slot && read_slot(probe) < 0)
		return -EBADMSG;
	retry_begin(&retry, probe->timeout_ms, NULL);
	do {
		attempts++;
		r = commands[command].run(probe, &retry.call, &error);
	} while (r < 0 && retry_again(&retry, &error));
	if (r == 0 && commands[command].prints_itself)
		return 0;
	printf("{\"code\":%d,\"attempts\":%u", r, attempts);
	if (r < 0)
		print_error(&error);
	else
		print_slot(&probe->slot);
	printf("}\n");
	fflush(stdout);
	return r;
}

static void usage(void)
{
	fprintf(stderr, "usage: kms_call [-s NAME=VALUE]... [-n SECTION] [-t TIMEOUT_MS] "
			"[-c CONTEXT] [-r REPEAT] [-p PAUSE_MS] URI COMMAND [FILE]\n");
	exit(2);
}

static void open_provider(struct probe *probe, const struct kms_config *config)
{
	struct kms_error error = { 0 };
	int r;

	probe->provider = kms_provider_for_uri(config->uri);
	if (!probe->provider)
		usage();
	r = probe->provider->open(config, &probe->state, &error);
	if (r == 0)
		return;
	printf("{\"code\":%d", r);
	print_error(&error);
	printf("}\n");
	exit(1);
}

int main(int argc, char **argv)
{
	struct probe probe = { .timeout_ms = 10000, .context = { { { 1 } }, { { 2 } } } };
	struct kms_setting settings[SETTINGS_MAX];
	struct kms_config config = { .settings = settings };
	unsigned repeat = 1, pause_ms = 0;
	int option, r = 0;

	while ((option = getopt(argc, argv, "s:n:t:c:r:p:")) != -1) {
		char *value = optarg ? strchr(optarg, '=') : NULL;

		if (option == 's' && value && config.setting_count < SETTINGS_MAX) {
			*value++ = 0;
			settings[config.setting_count++] = (struct kms_setting){ optarg, value };
		} else if (option == 'n') {
			config.section = optarg;
		} else if (option == 't') {
			probe.timeout_ms = (uint32_t)strtoul(optarg, NULL, 10);
		} else if (option == 'c') {
			probe.context.snapshot.bytes[1] = (uint8_t)strtoul(optarg, NULL, 10);
		} else if (option == 'r') {
			repeat = (unsigned)strtoul(optarg, NULL, 10);
		} else if (option == 'p') {
			pause_ms = (unsigned)strtoul(optarg, NULL, 10);
		} else {
			usage();
		}
	}
	if (argc - optind < 2 || secret_init() < 0)
		usage();
	config.uri = argv[optind];
	probe.file = argv[optind + 2];
	open_provider(&probe, &config);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[optind + 1], commands[i].name) != 0)
			continue;
		for (unsigned k = 0; k < repeat; k++) {
			if (k)
				nanosleep(
					&(struct timespec){ .tv_sec = pause_ms / 1000,
							    .tv_nsec = pause_ms % 1000 * 1000000L },
					NULL);
			r = run_once(&probe, i);
		}
		probe.provider->close(probe.state);
		return r < 0;
	}
	usage();
}
