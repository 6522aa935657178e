/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration, trust and KEKs of a mount or a command. */
#include "fs/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/access_fail.h"
#include "fs/log.h"
#include "meta/exit_code.h"

#define KEY_SETTINGS_MAX  64
#define HOST_SETTINGS_MAX 3

void access_init(struct access *access)
{
	memset(access, 0, sizeof(*access));
	access->backing_fd = -1;
}

void access_close(struct access *access)
{
	kms_close(access->kms);
	audit_close(access->audit);
	trust_close(access->trust);
	config_free(access->config);
	free(access->backing);
	if (access->backing_fd >= 0)
		close(access->backing_fd);
	access_init(access);
}

int access_fail(struct store_error *reterr, int code, int exit_code, const char *format, ...)
{
	va_list arguments;

	memset(reterr, 0, sizeof(*reterr));
	reterr->code = code;
	reterr->exit_code = exit_code;
	va_start(arguments, format);
	vsnprintf(reterr->text, sizeof(reterr->text), format, arguments);
	va_end(arguments);
	return code;
}

void access_advise(struct store_error *reterr, const char *advice)
{
	snprintf(reterr->advice, sizeof(reterr->advice), "%s", advice);
}

static int key_exit_code(int error, enum key_state state)
{
	switch (state) {
	case KEY_STATE_DISABLED:
	case KEY_STATE_PENDING_DELETION:
		return EXIT_KEY_DISABLED;
	case KEY_STATE_DELETED:
		return EXIT_KEY_DELETED;
	case KEY_STATE_DENIED:
		return EXIT_KEY_DENIED;
	case KEY_STATE_UNREACHABLE:
		return EXIT_UNREACHABLE;
	case KEY_STATE_CREDENTIALS_EXPIRED:
		return EXIT_CREDENTIALS;
	default:
		/* No service was asked: nothing on this host says how to reach the key. */
		if (error == -ENOKEY)
			return EXIT_CREDENTIALS;
		return error == -EACCES ? EXIT_KEY_DENIED : exit_code_from_errno(error);
	}
}

int access_key_error(int error, const struct kms_error *key_error, struct store_error *reterr)
{
	access_fail(reterr, error, key_exit_code(error, key_error->state), "%s",
		    key_error->text[0] == '\0' ? strerror(-error) : key_error->text);
	access_advise(reterr, key_error->advice);
	return error;
}

int access_open_config(struct access *access, const struct access_options *options,
		       struct store_error *reterr)
{
	struct config_error config_error = { "" };
	int r = config_load(options->config_file, &access->config, &config_error);

	if (r < 0)
		return access_fail(reterr, r, EXIT_USAGE, "%s", config_error.text);
	access->options = *options;
	for (size_t i = 0; i < options->setting_count; i++) {
		const struct access_setting *setting = &options->settings[i];

		r = config_set(access->config, setting->key, setting->value, &config_error);
		if (r < 0)
			return access_fail(reterr, r, EXIT_USAGE, "%s", config_error.text);
	}
	return 0;
}

int access_open_trust(struct access *access, struct store_error *reterr)
{
	const char *name = access->volume_name;
	struct trust_options options = {
		.state_dir = config_state_dir(access->config),
		.requires_trusted_origin = config_bool(access->config, name,
						       "require_trusted_origin"),
	};

	if (access->trust != NULL)
		return 0;
	options.trusted_writers = config_list(access->config, name, "trusted_writers",
					      &options.trusted_writer_count);
	return trust_open(&options, &access->trust, reterr);
}

int access_open_backing(struct access *access, const char *path, struct store_error *reterr)
{
	struct stat stat;

	access->backing = realpath(path, NULL);
	if (access->backing == NULL)
		return access_fail(reterr, -errno, EXIT_NO_VOLUME, "%s: %s", path, strerror(errno));
	access->backing_fd = open(access->backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (access->backing_fd < 0 || fstat(access->backing_fd, &stat) != 0)
		return access_fail(reterr, -errno, errno == ENOTDIR ? EXIT_NO_VOLUME : EXIT_STORAGE,
				   "%s: %s", path, strerror(errno));
	if (access->volume_name == NULL)
		access->volume_name = config_volume_by_backing(access->config, access->backing);
	return access_open_trust(access, reterr);
}

/* ---- KEKs --------------------------------------------------------------------------------- */

int access_check_key(const struct config *config, const char *volume_name, const char *uri,
		     struct store_error *reterr)
{
	if (strncmp(uri, "keyring:", strlen("keyring:")) != 0 ||
	    !config_bool(config, volume_name, "require_cmk"))
		return 0;
	access_fail(reterr, -EPERM, EXIT_POLICY, "%s: require_cmk refuses the embedded keyring",
		    uri);
	access_advise(reterr, "name a key of a key service with --key URI");
	return -EPERM;
}

/* How every key service is reached, where the section of the key does not say it. */
static size_t add_host_settings(const struct config *config, struct kms_setting *settings,
				size_t count)
{
	static const char *const names[] = { "ca_file", "proxy", "no_proxy" };
	const struct kms_config own = { .settings = settings, .setting_count = count };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = config_text(config, NULL, names[i]);

		if (value != NULL && kms_config_get(&own, names[i]) == NULL)
			settings[count++] = (struct kms_setting){ names[i], value };
	}
	return count;
}

/* SECTION may be NULL: the vendor's own chain. */
static int with_section(const struct config *config, const char *section, const char *uri,
			int (*use)(void *arg, const struct kms_config *kms_config,
				   struct kms_error *reterr),
			void *arg, struct kms_error *reterr)
{
	size_t count = 0;
	const struct config_setting *found = section == NULL
						     ? NULL
						     : config_key_settings(config, section, &count);
	struct kms_setting settings[KEY_SETTINGS_MAX + HOST_SETTINGS_MAX];
	struct kms_config kms_config = {
		.uri = uri,
		.section = section,
		.settings = settings,
	};

	if (count > KEY_SETTINGS_MAX)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"[key \"%s\"]: more than %d settings", section, KEY_SETTINGS_MAX);
	for (size_t i = 0; i < count; i++)
		settings[i] = (struct kms_setting){ found[i].name, found[i].value };
	kms_config.setting_count = add_host_settings(config, settings, count);
	return use(arg, &kms_config, reterr);
}

int access_with_key(const struct config *config, const char *uri,
		    int (*use)(void *arg, const struct kms_config *kms_config,
			       struct kms_error *reterr),
		    void *arg, struct kms_error *reterr)
{
	return with_section(config, config_key_by_uri(config, uri), uri, use, arg, reterr);
}

static int add_key(void *arg, const struct kms_config *kms_config, struct kms_error *reterr)
{
	return kms_add_key(arg, kms_config, reterr);
}

int access_add_key(const struct config *config, struct kms *kms, const char *uri,
		   struct kms_error *reterr)
{
	return access_with_key(config, uri, add_key, kms, reterr);
}

/* Keys that were named for this run: a mistake in one is an error. */
static int add_named_keys(struct access *access, struct kms_error *reterr)
{
	const struct config *config = access->config;
	const char *key = config_text(config, access->volume_name, "key");
	size_t count = 0;
	const char *const *alternates = config_list(config, access->volume_name, "alternate_key",
						    &count);
	int r = 0;

	for (size_t i = 0; r == 0 && i < config_key_count(config); i++) {
		const char *section = config_key_name(config, i);
		size_t setting_count = 0;
		const struct config_setting *settings = config_key_settings(config, section,
									    &setting_count);

		/* Several sections may name one key with credentials of their own. */
		if (setting_count > 0)
			r = with_section(config, section, settings[0].value, add_key, access->kms,
					 reterr);
	}
	if (r == 0 && key != NULL)
		r = access_add_key(config, access->kms, key, reterr);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = access_add_key(config, access->kms, alternates[i], reterr);
	for (size_t i = 0; r == 0 && i < access->options.key_count; i++)
		r = access_add_key(config, access->kms, access->options.keys[i], reterr);
	return r;
}

static enum key_state remembered_state(void *arg, const char *key_id, int64_t *ret_since_s)
{
	return trust_key_state(arg, key_id, ret_since_s);
}

static void forget_no(void *arg, const char *key_id)
{
	/* What cannot be written down keeps other slots closed, no more. */
	if (trust_key_state(arg, key_id, NULL) != KEY_STATE_UNKNOWN)
		(void)!trust_see_key_state(arg, key_id, KEY_STATE_ENABLED);
}

static bool file_exists(const char *path)
{
	struct stat stat;

	return lstat(path, &stat) == 0;
}

/*
 * Keys that this host remembers, and its keyring.  One that cannot be used any more (a keyring that
 * was moved, a provider that is no longer built in) must not keep the others from working: whoever
 * needs it gets the message that no key is configured for a slot.
 */
static void add_remembered_keys(struct access *access)
{
	struct kek_list keks = { 0 };
	struct kms_error ignored;
	char *keyring = NULL;
	char *absolute = NULL;
	char *uri = NULL;

	if (trust_list_keks(access->trust, &keks) == 0) {
		for (size_t i = 0; i < keks.count; i++)
			if (keks.entries[i].uri != NULL)
				(void)!access_add_key(access->config, access->kms,
						      keks.entries[i].uri, &ignored);
		kek_list_free(&keks);
	}
	if (config_state_path(access->config, access->volume_name, "keyring", "keyring",
			      &keyring) == 0) {
		/* An URI takes no path below the working directory; the command line does. */
		absolute = file_exists(keyring) ? realpath(keyring, NULL) : NULL;
		if (absolute != NULL && asprintf(&uri, "keyring://%s", absolute) >= 0) {
			(void)!access_add_key(access->config, access->kms, uri, &ignored);
			free(uri);
		}
		free(absolute);
		free(keyring);
	}
}

static uint32_t milliseconds(int64_t duration_s)
{
	return duration_s < 0 || duration_s > UINT32_MAX / 1000 ? UINT32_MAX
								: (uint32_t)duration_s * 1000;
}

static void warn_of_audit(void *arg, const char *text)
{
	(void)arg;
	log_line(LOG_WARNING, NULL, text);
}

int access_audit_options(const struct config *config, struct audit_options *ret_options,
			 char **ret_path, struct store_error *reterr)
{
	const char *on_failure = config_text(config, NULL, "audit_on_failure");
	int r = config_state_path(config, NULL, "audit_log", "audit.log", ret_path);

	if (r < 0)
		return access_fail(reterr, r, EXIT_FAILED, "out of memory");
	*ret_options = (struct audit_options){
		.path = *ret_path,
		.state_dir = config_state_dir(config),
		.blocks = on_failure != NULL && strcmp(on_failure, "block") == 0,
		.warn = warn_of_audit,
	};
	return 0;
}

int access_open_audit(struct access *access, struct store_error *reterr)
{
	struct audit_options options = { 0 };
	char *path = NULL;
	int r = 0;

	if (access->audit != NULL)
		return 0;
	r = access_audit_options(access->config, &options, &path, reterr);
	if (r < 0)
		return r;
	options.command = access->options.command;
	r = audit_open(&options, &access->audit);
	free(path);
	return r < 0 ? access_fail(reterr, r, EXIT_FAILED, "out of memory") : 0;
}

int access_open_kms(struct access *access, struct store_error *reterr)
{
	const struct config *config = access->config;
	const char *name = access->volume_name;
	const char *role = config_text(config, name, "role");
	struct kms_options options = {
		.key_timeout_ms = milliseconds(config_duration_s(config, name, "key_timeout")),
		.hedge_after_ms = milliseconds(config_duration_s(config, name, "hedge_after")),
		.is_write_only = role != NULL && strcmp(role, "write-only") == 0,
		.recovery_key = access->options.recovery_key,
		.remembered = access->trust == NULL ? NULL : remembered_state,
		.said_yes = access->trust == NULL ? NULL : forget_no,
		.memory_arg = access->trust,
	};
	struct kms_error key_error = { 0 };
	int r = access_open_audit(access, reterr);

	if (r < 0)
		return r;
	options.audit = access->audit;
	options.slot_order = config_list(config, name, "slot_order", &options.slot_order_count);
	r = kms_open(&options, &access->kms, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, reterr);
	r = add_named_keys(access, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, reterr);
	add_remembered_keys(access);
	return 0;
}

/*
 * The keys of new data that this host has pinned, be it by `volume trust` or from a trusted writer, may be
 * contacted.  Where it cannot be used here the message comes from whoever needs it.
 */
static void add_pinned_key(struct access *access, const struct uuid *volume)
{
	struct volume_pin pin = { 0 };
	struct kms_error ignored;

	if (trust_volume_pin(access->trust, volume, &pin) < 0)
		return;
	if (pin.record.default_key[0] != '\0')
		(void)!access_add_key(access->config, access->kms, pin.record.default_key,
				      &ignored);
	for (size_t i = 0; i < pin.record.alternate_key_count; i++)
		(void)!access_add_key(access->config, access->kms, pin.record.alternate_keys[i].uri,
				      &ignored);
	volume_pin_free(&pin);
}

/* Before the volume is opened, because data keys are made ahead from then on. */
static void add_key_pinned_before(struct access *access)
{
	struct store_description description = { 0 };
	struct store_error ignored = { 0 };

	if (store_describe(access->backing_fd, access->trust, &description, &ignored) < 0)
		return;
	add_pinned_key(access, &description.record.volume);
	volume_record_free(&description.record);
}

int access_open_store(struct access *access, const struct store_options *options,
		      struct store **ret_store, struct store_error *reterr)
{
	const char *role = config_text(access->config, access->volume_name, "role");
	struct volume_record expected = { 0 };
	unsigned fields = 0;
	struct store_options complete = *options;
	int r = access_expected(access, &expected, &fields, reterr);

	if (r == 0) {
		complete.trust = access->trust;
		complete.kms = access->kms;
		complete.is_write_only = role != NULL && strcmp(role, "write-only") == 0;
		complete.expected = fields == 0 ? NULL : &expected;
		complete.expected_fields = fields;
		complete.default_key = (fields & VOLUME_FIELD_DEFAULT_KEY) != 0
					       ? expected.default_key
					       : NULL;
		add_key_pinned_before(access);
		r = store_open(access->backing_fd, &complete, ret_store, reterr);
		/* Opening pins what a trusted writer has signed. */
		if (r == 0)
			add_pinned_key(access, &store_volume(*ret_store)->volume);
	}
	volume_record_free(&expected);
	return r;
}
