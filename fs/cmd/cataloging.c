/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and the catalogue. */
#include "fs/cmd/cataloging.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "fs/store/need_scan.h"
#include "fs/store/state_dir.h"
#include "kms/password.h"

#define FILE_NAME     "catalog.db"
#define PASSWORD_NAME "catalog_password"

void cataloging_host(char host[static CATALOGING_HOST_SIZE])
{
	struct utsname name;

	snprintf(host, CATALOGING_HOST_SIZE, "%s", uname(&name) == 0 ? name.nodename : "localhost");
}

/* ---- Opening ----------------------------------------------------------------------------------- */

/* STATE/catalog.db, with its directory made. */
static int default_url(const struct config *config, char **ret_url)
{
	struct state_dir *state = NULL;
	char *path = NULL;
	int r = state_dir_open(config_state_dir(config), &state);

	if (r == 0)
		r = state_dir_make_path(state, FILE_NAME, &path);
	if (r == 0 && asprintf(ret_url, "sqlite:%s", path) < 0)
		r = -ENOMEM;
	free(path);
	state_dir_close(state);
	return r;
}

int cataloging_url(struct session *session, char **ret_url)
{
	const struct config *config = session->access.config;
	const char *configured = config_text(config, NULL, "catalog");
	int r = 0;

	if (configured == NULL)
		r = default_url(config, ret_url);
	else
		*ret_url = strdup(configured);
	if (r < 0)
		return fail(session->invocation, EXIT_FAILED, "state directory %s: %s",
			    config_state_dir(config), strerror(-r));
	return *ret_url == NULL ? fail(session->invocation, EXIT_FAILED, "out of memory") : 0;
}

/* As many settings as a secret may have sources. */
static size_t password_settings(const struct config *config, struct kms_setting settings[static 4])
{
	static const char *const names[] = {
		PASSWORD_NAME "_file",
		PASSWORD_NAME "_credential",
		PASSWORD_NAME "_command",
		PASSWORD_NAME "_env",
	};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = config_text(config, NULL, names[i]);

		if (value != NULL)
			settings[count++] = (struct kms_setting){ names[i], value };
	}
	return count;
}

static int read_password(struct session *session, char **ret_password)
{
	struct kms_setting settings[4];
	const struct kms_config config = {
		.settings = settings,
		.setting_count = password_settings(session->access.config, settings),
	};
	struct kms_error error = { 0 };
	int r = 0;

	if (config.setting_count == 0)
		return 0;
	/* Secrets are read into locked memory. */
	if (session->access.kms == NULL) {
		r = session_open_trust(session);
		if (r == 0)
			r = session_open_kms(session);
		if (r != 0)
			return r;
	}
	r = password_read(&config, PASSWORD_NAME, ret_password, &error);
	return r < 0 ? fail(session->invocation, EXIT_USAGE, "%s: %s", PASSWORD_NAME,
			    error.text[0] == '\0' ? strerror(-r) : error.text)
		     : 0;
}

static int exit_code_of(int error)
{
	switch (error) {
	case -EINVAL:
		return EXIT_USAGE;
	case -ENOTSUP:
		return EXIT_NEWER;
	case -EHOSTUNREACH:
		return EXIT_UNREACHABLE;
	default:
		return EXIT_FAILED;
	}
}

static const char *advice_of(int error)
{
	switch (error) {
	case -EBADMSG:
		return "'snapcrypt catalog rebuild' makes it anew from the volumes";
	case -EHOSTUNREACH:
	case -EACCES:
		return "see 'catalog' and 'catalog_password_file' of the configuration";
	case -EBUSY:
		return "try again";
	default:
		return NULL;
	}
}

int cataloging_fail(struct session *session, const struct catalog_error *error)
{
	const int exit_code = exit_code_of(error->code);

	fail(session->invocation, exit_code, "%s", error->text);
	if (advice_of(error->code) != NULL)
		advise(session->invocation, "%s", advice_of(error->code));
	return exit_code;
}

int cataloging_open(struct session *session, unsigned timeout_s, struct catalog **ret_catalog)
{
	struct catalog_options options = { .timeout_s = timeout_s };
	struct catalog_error error = { 0 };
	char *password = NULL;
	char *url = NULL;
	int r = cataloging_url(session, &url);

	if (r == 0)
		r = read_password(session, &password);
	options.url = url;
	options.password = password;
	if (r == 0 && catalog_open(&options, ret_catalog, &error) < 0)
		r = cataloging_fail(session, &error);
	password_free(password);
	free(url);
	return r;
}

/* ---- Entering ---------------------------------------------------------------------------------- */

/* What failed in the session becomes TEXT: it is no failure of the command. */
static void take_failure(struct invocation *invocation, char text[static 512])
{
	snprintf(text, 512, "%.500s", invocation->failure.text);
	memset(&invocation->failure, 0, sizeof(invocation->failure));
}

static int enter(struct session *session, const struct uuid *volume, struct catalog **ret_catalog,
		 int64_t *ret_number, char text[static 512])
{
	char host[CATALOGING_HOST_SIZE];
	const struct catalog_place place = {
		.volume = *volume,
		.host = host,
		.path = session->access.backing,
	};
	struct catalog_error error = { 0 };
	int r = 0;

	cataloging_host(host);
	/* What is known without the catalogue: it may be lost. */
	(void)!trust_see_backing(session->access.trust, volume, place.path);
	if (cataloging_open(session, CATALOGING_TIMEOUT_MOUNT_S, ret_catalog) != 0) {
		take_failure(session->invocation, text);
		return -EIO;
	}
	r = catalog_register(*ret_catalog, &place, time(NULL), ret_number, &error);
	if (r < 0)
		snprintf(text, 512, "%.500s", error.text);
	return r;
}

int cataloging_register(struct session *session, const struct uuid *volume, char text[static 512])
{
	struct catalog *catalog = NULL;
	int64_t number = 0;
	const int r = enter(session, volume, &catalog, &number, text);

	catalog_close(catalog);
	return r;
}

int cataloging_enter(struct session *session, const struct uuid *volume, char text[static 512])
{
	struct store_error store_error = { 0 };
	struct catalog_error error = { 0 };
	struct need_list list = { 0 };
	struct catalog *catalog = NULL;
	int64_t number = 0;
	int r = enter(session, volume, &catalog, &number, text);

	if (r == 0) {
		r = need_scan(session->access.backing_fd, session->access.trust, &list,
			      &store_error);
		if (r < 0)
			snprintf(text, 512, "%.500s", store_error.text);
	}
	if (r == 0) {
		r = catalog_store(catalog, number, &list, &error);
		if (r < 0)
			snprintf(text, 512, "%.500s", error.text);
	}
	need_list_free(&list);
	catalog_close(catalog);
	return r;
}

bool cataloging_is_here(const struct catalog_volume *volume)
{
	char host[CATALOGING_HOST_SIZE];

	cataloging_host(host);
	return strcmp(volume->host, host) == 0;
}

/* ---- Looking ----------------------------------------------------------------------------------- */

/* Open the backing directory of a place in a session of its own; false: TEXT says why not. */
static bool reach(struct session *session, const char *path, char text[static 512])
{
	if (session_open_volume(session, path) == 0)
		return true;
	take_failure(session->invocation, text);
	return false;
}

static bool is_it(const struct catalog_volume *volume, const struct uuid *found,
		  char text[static 512])
{
	if (uuid_equal(&volume->volume, found))
		return true;
	snprintf(text, 512, "another volume is there now");
	return false;
}

bool cataloging_identify(struct invocation *invocation, const char *path, struct uuid *ret_volume)
{
	struct store_description description = { 0 };
	struct store_error error = { 0 };
	struct session session;
	char text[512];
	bool is_found = false;

	session_init(&session, invocation);
	if (reach(&session, path, text) &&
	    store_describe(session.access.backing_fd, session.access.trust, &description, &error) ==
		    0) {
		*ret_volume = description.record.volume;
		is_found = true;
		volume_record_free(&description.record);
	}
	session_close(&session);
	return is_found;
}

enum key_check_look cataloging_look(struct invocation *invocation,
				    const struct catalog_volume *volume, char text[static 512])
{
	enum key_check_look look = LOOK_UNREACHABLE;
	struct need_fingerprint fingerprint;
	struct store_error error = { 0 };
	struct session session;

	text[0] = '\0';
	session_init(&session, invocation);
	if (reach(&session, volume->path, text)) {
		if (need_fingerprint(session.access.backing_fd, session.access.trust, &fingerprint,
				     &error) < 0)
			snprintf(text, 512, "%.500s", error.text);
		else if (is_it(volume, &fingerprint.volume, text))
			look = strcmp(volume->fingerprint, fingerprint.text) == 0 ? LOOK_SAME
										  : LOOK_CHANGED;
	}
	session_close(&session);
	return look;
}

/* 0, or 1 with TEXT. */
static int scan(struct invocation *invocation, const struct catalog_volume *volume,
		struct need_list *list, char text[static 512])
{
	struct store_error error = { 0 };
	struct session session;
	int r = 1;

	session_init(&session, invocation);
	if (reach(&session, volume->path, text)) {
		if (need_scan(session.access.backing_fd, session.access.trust, list, &error) < 0)
			snprintf(text, 512, "%.500s", error.text);
		else
			r = is_it(volume, &list->volume, text) ? 0 : 1;
	}
	session_close(&session);
	return r;
}

int cataloging_sync(struct session *session, struct catalog *catalog,
		    const struct catalog_volume *volume, char text[static 512])
{
	struct catalog_error error = { 0 };
	struct need_list list = { 0 };
	int result = 0;
	int r = 0;

	text[0] = '\0';
	result = scan(session->invocation, volume, &list, text);
	r = result == 0 ? catalog_store(catalog, volume->number, &list, &error)
			: catalog_store_failure(catalog, volume->number, time(NULL), text, &error);
	need_list_free(&list);
	return r < 0 ? -cataloging_fail(session, &error) : result;
}
