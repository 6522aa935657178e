/* SPDX-License-Identifier: Apache-2.0 */
/* init: prepare a backing directory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd/cataloging.h"
#include "fs/cmd/commands.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/session.h"
#include "fs/document.h"
#include "kms/crypto/aead.h"
#include "kms/keyring_file.h"

#define BLOCK_SIZE_DEFAULT 16384

const struct option_spec options_init[] = {
	{ "key", 0, "URI", "key of new snapshots; default: the embedded keyring" },
	{ "recovery-key", 0, "FILE", "public key (PEM) that can also open them; may be repeated" },
	{ "block-size", 0, "SIZE", "4K to 1M, a power of two; default 16K" },
	{ "algorithm", 0, "NAME", "aes-256-gcm (default) or chacha20-poly1305" },
	{ "names", 0, "MODE", "encrypted (default) or plain" },
	{ "snapshot-depth", 0, "N", "snapshots are directories at this depth, 1 to 8; default 1" },
	{ "encryption", 0, "on|off", "off: a volume without encryption" },
	{ NULL, 0, NULL, NULL },
};

/* What init has decided and made. */
struct init {
	struct session session;
	struct volume_record settings;
	struct volume_record made;
	char *key;
	char *keyring; /* path of the embedded keyring in use, or NULL */
	char provider[KEY_PROVIDER_SIZE];
	char writer[WRITER_FINGERPRINT_SIZE];
	bool is_new_keyring;
};

static int make_backing(struct init *init, const char *volume)
{
	struct session *session = &init->session;
	struct store_error error = { 0 };
	const char *path = volume;
	int r = session_open_config(session);

	if (r != 0)
		return r;
	if (strchr(volume, '/') == NULL && config_has_volume(session->access.config, volume)) {
		session->access.volume_name = volume;
		path = config_text(session->access.config, volume, "backing");
	}
	if (path == NULL)
		return fail(session->invocation, EXIT_USAGE,
			    "[volume \"%s\"] has no backing directory", volume);
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		return fail(session->invocation, EXIT_FAILED, "%s: %s", path, strerror(errno));
	if (access_open_backing(&session->access, path, &error) < 0)
		return session_fail(session, &error);
	return 0;
}

/* ---- Settings ----------------------------------------------------------------------------- */

/* Options stand for configuration keys; those of [volume] need a section to be set in. */
static const char *setting(const struct init *init, const char *option, const char *key)
{
	const struct access *access = &init->session.access;
	const char *value = option_value(init->session.invocation, option);

	if (value != NULL)
		return value;
	return access->volume_name == NULL ||
			       !config_is_set(access->config, access->volume_name, key)
		       ? NULL
		       : config_text(access->config, access->volume_name, key);
}

static int read_word(struct init *init, const char *option, const char *value, const char *yes,
		     const char *no, bool *ret_is_yes)
{
	*ret_is_yes = value == NULL || strcmp(value, yes) == 0;
	if (value == NULL || strcmp(value, yes) == 0 || strcmp(value, no) == 0)
		return 0;
	return fail(init->session.invocation, EXIT_USAGE, "%s %s: %s or %s", option, value, yes,
		    no);
}

static int read_block_size(struct init *init)
{
	const char *text = setting(init, "block-size", "block_size");
	uint64_t size = BLOCK_SIZE_DEFAULT;
	struct layout layout;

	if (text != NULL && (config_parse_size(text, &size) < 0 || layout_init(size, &layout) < 0))
		return fail(init->session.invocation, EXIT_USAGE,
			    "block size %s: a power of two from 4K to 1M", text);
	init->settings.block_size = (uint32_t)size;
	return 0;
}

static int read_depth(struct init *init)
{
	const char *text = setting(init, "snapshot-depth", "snapshot_depth");
	char *end = NULL;
	unsigned long depth = text == NULL ? 1 : strtoul(text, &end, 10);

	if (depth < 1 || depth > VOLUME_DEPTH_MAX || (end != NULL && *end != '\0'))
		return fail(init->session.invocation, EXIT_USAGE,
			    "snapshot depth %s: a number from 1 to %d", text, VOLUME_DEPTH_MAX);
	init->settings.snapshot_depth = (unsigned)depth;
	return 0;
}

static int read_settings(struct init *init)
{
	struct invocation *invocation = init->session.invocation;
	const struct access *access = &init->session.access;
	struct volume_record *settings = &init->settings;
	const char *algorithm = option_value(invocation, "algorithm");
	const char *seal_on = setting(init, "", "seal_on");
	const char *delete_sealed = setting(init, "", "delete_sealed");
	bool is_gcm = true;
	int r = read_word(init, "--encryption", setting(init, "encryption", "encryption"), "on",
			  "off", &settings->is_encrypted);

	if (r == 0)
		r = read_word(init, "--names", setting(init, "names", "names"), "encrypted",
			      "plain", &settings->has_encrypted_names);
	if (r == 0)
		r = read_word(init, "--algorithm", algorithm, "aes-256-gcm", "chacha20-poly1305",
			      &is_gcm);
	if (r == 0)
		r = read_block_size(init);
	if (r == 0)
		r = read_depth(init);
	if (r != 0)
		return r;
	settings->algorithm = is_gcm ? AEAD_AES_256_GCM : AEAD_CHACHA20_POLY1305;
	settings->seal_on = seal_on == NULL                   ? SEAL_ON_COMMAND
			    : strcmp(seal_on, "rename") == 0  ? SEAL_ON_RENAME
			    : strcmp(seal_on, "unmount") == 0 ? SEAL_ON_UNMOUNT
							      : SEAL_ON_COMMAND;
	settings->delete_sealed = delete_sealed != NULL && strcmp(delete_sealed, "mount") == 0
					  ? DELETE_SEALED_MOUNT
					  : DELETE_SEALED_COMMAND;
	if (gethostname(settings->host, sizeof(settings->host) - 1) != 0)
		strcpy(settings->host, "unknown");
	if (!settings->is_encrypted &&
	    config_bool(access->config, access->volume_name, "require_encryption"))
		return fail(invocation, EXIT_POLICY,
			    "%s: require_encryption refuses a volume without encryption",
			    access->backing);
	return 0;
}

/* ---- What must not lie inside the backing directory ------------------------------------------ */

static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash != NULL)
		slash[slash == path ? 1 : 0] = '\0';
}

/* Is PATH, or the place where it would be made, inside the backing directory?  Unsure means yes. */
static bool is_inside_backing(const struct init *init, const char *path)
{
	char *place = NULL;
	char *real = NULL;
	struct stat backing;
	struct stat here;
	bool is_inside = fstat(init->session.access.backing_fd, &backing) != 0;

	if (asprintf(&place, "%s%s", path[0] == '/' ? "" : "./", path) < 0)
		return true;
	while (stat(place, &here) != 0 && strcmp(place, "/") != 0 && strcmp(place, ".") != 0)
		go_up(place);
	real = realpath(place, NULL);
	free(place);
	if (real == NULL)
		return true;
	for (;;) {
		if (stat(real, &here) != 0 ||
		    (here.st_dev == backing.st_dev && here.st_ino == backing.st_ino))
			is_inside = true;
		if (is_inside || strcmp(real, "/") == 0)
			break;
		go_up(real);
	}
	free(real);
	return is_inside;
}

static int refuse_inside(const struct init *init, const char *what, const char *path,
			 const char *option)
{
	struct invocation *invocation = init->session.invocation;

	fail(invocation, EXIT_USAGE, "%s %s is inside the backing directory %s", what, path,
	     init->session.access.backing);
	advise(invocation, "whoever gets the volume would get it too; name another place with %s",
	       option);
	return EXIT_USAGE;
}

/* ---- The key ------------------------------------------------------------------------------- */

/* The keyring with the key "default", made if there is none. */
static int use_keyring(struct init *init)
{
	struct access *access = &init->session.access;
	struct invocation *invocation = init->session.invocation;
	struct kms_error error = { 0 };
	struct store_error store_error = { 0 };
	struct keyring_unlock no_passphrase = { 0 };
	char *path = NULL;
	int r = config_state_path(access->config, access->volume_name, "keyring", "keyring", &path);

	if (r == 0) {
		init->keyring = key_uri_absolute_path(path);
		if (init->keyring == NULL)
			init->keyring = TAKE(path);
		free(path);
	}
	if (r < 0 || asprintf(&init->key, "keyring://%s#%s", init->keyring, KEY_URI_DEFAULT_ID) < 0)
		return fail(invocation, EXIT_FAILED, "out of memory");
	if (is_inside_backing(init, init->keyring))
		return refuse_inside(init, "keyring", init->keyring, "--keyring");
	if (access_check_key(access->config, access->volume_name, init->key, &store_error) < 0)
		return session_fail(&init->session, &store_error);
	r = keyring_file_init(init->keyring, KEY_URI_DEFAULT_ID, &no_passphrase, &error);
	if (r < 0 && r != -EEXIST)
		return fail_key(invocation, r, &error);
	init->is_new_keyring = r == 0;
	return 0;
}

static int choose_key(struct init *init)
{
	struct access *access = &init->session.access;
	struct invocation *invocation = init->session.invocation;
	const char *key = option_value(invocation, "key");
	struct kms_key_info info = { 0 };
	struct kms_error error = { 0 };
	struct store_error store_error = { 0 };
	int r = 0;

	if (key == NULL)
		key = config_text(access->config, access->volume_name, "key");
	if (key != NULL)
		init->key = strdup(key);
	if (key != NULL &&
	    access_check_key(access->config, access->volume_name, key, &store_error) < 0)
		return session_fail(&init->session, &store_error);
	if (key == NULL)
		r = use_keyring(init);
	if (r != 0)
		return r;
	if (init->key == NULL || strlen(init->key) >= sizeof(init->settings.default_key))
		return fail(invocation, EXIT_USAGE, "the URI of the key is too long");
	if (access_add_key(access->config, access->kms, init->key, &error) < 0 ||
	    kms_test_key(access->kms, init->key, &info, &error) < 0)
		return fail_key(invocation, error.code, &error);
	snprintf(init->provider, sizeof(init->provider), "%s",
		 kms_provider_for_uri(init->key)->name);
	strcpy(init->settings.default_key, init->key);
	strcpy(init->settings.default_key_id, info.key_id);
	return 0;
}

static int add_recovery_keys(struct init *init)
{
	struct access *access = &init->session.access;
	struct store_error error = { 0 };
	size_t configured_count = 0;
	const char *const *configured = config_list(access->config, access->volume_name,
						    "recovery_key", &configured_count);
	const char *file = NULL;

	for (size_t i = 0; (file = option_nth(init->session.invocation, "recovery-key", i)) != NULL;
	     i++)
		if (access_add_recovery_key(access->config, access->kms, file, &init->settings,
					    &error) < 0)
			return session_fail(&init->session, &error);
	if (option_is_set(init->session.invocation, "recovery-key"))
		return 0;
	for (size_t i = 0; i < configured_count; i++)
		if (access_add_recovery_key(access->config, access->kms, configured[i],
					    &init->settings, &error) < 0)
			return session_fail(&init->session, &error);
	return 0;
}

/* ---- Output --------------------------------------------------------------------------------- */

static void keep(struct json_object *list, const char *what, const char *where, const char *why)
{
	struct json_object *item = document_new_object();

	document_add_text(item, "what", what);
	document_add_text(item, "where", where);
	document_add_text(item, "why", why);
	document_append(list, item);
}

static struct json_object *keep_list(const struct init *init)
{
	struct json_object *list = document_new_array();

	if (init->keyring != NULL)
		keep(list, "keyring", init->keyring,
		     "copy this file off this host, or the backups are lost with it");
	else if (init->key != NULL)
		keep(list, "key", init->made.default_key_id,
		     "a key that is deleted makes every backup under it unreadable for ever");
	for (size_t i = 0; i < init->made.recovery_key_count; i++)
		keep(list, "recovery-key", init->made.recovery_keys[i].id,
		     "keep its private key offline");
	keep(list, "writer", init->writer,
	     "list it in trusted_writers of hosts that restore or verify");
	return list;
}

static void print_json(const struct init *init)
{
	const struct volume_record *made = &init->made;
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.init/1");
	struct json_object *recovery_keys = document_new_array();
	struct json_object *plaintext = document_new_array();

	document_add_uuid(output, "volume", &made->volume);
	document_add_path(output, "backing", init->session.access.backing);
	document_add_text(output, "name", init->session.access.volume_name);
	document_add_text(output, "encryption", made->is_encrypted ? "on" : "off");
	document_add_text(output, "encryption_key_id",
			  made->is_encrypted ? made->default_key_id : NULL);
	document_add_text(output, "provider", init->key == NULL ? NULL : init->provider);
	for (size_t i = 0; i < made->recovery_key_count; i++) {
		struct json_object *key = document_new_object();

		document_add_text(key, "id", made->recovery_keys[i].id);
		document_add_text(key, "file",
				  option_nth(init->session.invocation, "recovery-key", i));
		document_append(recovery_keys, key);
	}
	document_add(output, "recovery_keys", recovery_keys);
	document_add_text(output, "writer", init->writer);
	document_add_number(output, "block_size", made->block_size);
	document_add_text(output, "algorithm", volume_algorithm_name(made->algorithm));
	document_add_text(output, "names", made->has_encrypted_names ? "encrypted" : "plain");
	document_add_number(output, "snapshot_depth", made->snapshot_depth);
	for (size_t i = 0; i < made->plaintext_snapshot_count; i++) {
		struct json_object *snapshot = document_new_object();

		document_add_uuid(snapshot, "id", &made->plaintext_snapshots[i].id);
		document_add_path(snapshot, "name", made->plaintext_snapshots[i].name);
		document_append(plaintext, snapshot);
	}
	document_add(output, "plaintext_snapshots", plaintext);
	document_add_time(output, "created", made->created_s);
	document_add_path(output, "keyring", init->keyring);
	document_add(output, "keep", keep_list(init));
	document_print(output, stdout);
}

static void print_text(const struct init *init)
{
	const struct volume_record *made = &init->made;
	CLEANUP(document_cleanup) struct json_object *list = keep_list(init);
	char volume[UUID_TEXT_SIZE];

	if (init->session.invocation->is_quiet)
		return;
	uuid_format(&made->volume, volume);
	printf("Volume:            %s\n", volume);
	printf("Backing directory: %s\n", init->session.access.backing);
	printf("Encryption Key ID: %s\n",
	       made->is_encrypted ? made->default_key_id : "Not enabled");
	printf("Writer:            %s\n", init->writer);
	for (size_t i = 0; i < made->plaintext_snapshot_count; i++)
		printf("Not enabled:       %s (was there before; read-only)\n",
		       made->plaintext_snapshots[i].name);
	printf("\nTo be able to restore, keep:\n");
	for (size_t i = 0; i < document_length(list); i++) {
		const struct json_object *item = document_element(list, i);

		printf("  %s: %s\n", document_text(item, "where"), document_text(item, "why"));
	}
	if (init->keyring != NULL)
		printf("\nA local keyring is not customer key management: whoever gets this host gets "
		       "the key.\n");
}

/* ---- The command ----------------------------------------------------------------------------- */

static int make_volume(struct init *init)
{
	struct access *access = &init->session.access;
	struct invocation *invocation = init->session.invocation;
	const struct store_init_options options = {
		.trust = access->trust,
		.settings = &init->settings,
		.backing = access->backing,
	};
	struct store_error error = { 0 };
	int r = store_init(access->backing_fd, &options, &init->made, &error);

	if (r < 0)
		return session_fail(&init->session, &error);
	if (init->key != NULL)
		r = trust_add_kek(access->trust, init->key, init->made.default_key_id);
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "state directory %s: %s",
			    trust_state_dir(access->trust), strerror(-r));
	return 0;
}

/* A catalogue that cannot be reached is no reason against the volume. */
static void enter_catalog(struct init *init)
{
	char text[512];

	if (cataloging_enter(&init->session, &init->made.volume, text) != 0)
		notice(init->session.invocation,
		       "not entered into the catalogue: %s; 'snapcrypt catalog register' does it",
		       text);
}

static int make_writer(struct init *init)
{
	struct trust *trust = init->session.access.trust;
	const int r = trust_own_fingerprint(trust, init->writer);

	if (r < 0)
		return fail(init->session.invocation, EXIT_FAILED, "state directory %s: %s",
			    trust_state_dir(trust), strerror(-r));
	return 0;
}

static int run(struct init *init, const char *volume)
{
	const struct access *access = &init->session.access;
	struct store_error error = { 0 };
	int r = make_backing(init, volume);

	if (r == 0)
		r = read_settings(init);
	if (r == 0 && is_inside_backing(init, config_state_dir(access->config)))
		r = refuse_inside(init, "state directory", config_state_dir(access->config),
				  "--state-dir");
	if (r == 0)
		r = session_open_kms(&init->session);
	/* Makes the state directory, in which the keyring will lie. */
	if (r == 0)
		r = make_writer(init);
	if (r == 0 && init->settings.is_encrypted)
		r = choose_key(init);
	if (r == 0 && init->settings.is_encrypted &&
	    access_add_alternate_keys(&init->session.access, true, &init->settings, &error) < 0)
		r = session_fail(&init->session, &error);
	if (r == 0 && init->settings.is_encrypted)
		r = add_recovery_keys(init);
	if (r == 0)
		r = make_volume(init);
	return r;
}

int cmd_init(struct invocation *invocation)
{
	struct init init = { 0 };
	int r = 0;

	session_init(&init.session, invocation);
	r = run(&init, operand(invocation, 0));
	if (r == 0)
		enter_catalog(&init);
	if (r == 0 && invocation->is_json)
		print_json(&init);
	else if (r == 0)
		print_text(&init);
	volume_record_free(&init.settings);
	volume_record_free(&init.made);
	free(init.key);
	free(init.keyring);
	session_close(&init.session);
	return r;
}
