/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Google Cloud. */
#include "kms/credentials/gcp_identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/credentials/gcp_internal.h"
#include "kms/credentials/public_file.h"
#include "kms/credentials/secret_source.h"

#define WELL_KNOWN_FILE "application_default_credentials.json"
#define IAM_URL                                                                  \
	"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/%s" \
	":generateAccessToken"
#define MARGIN_S 225

static const struct gcp_source *const sources[] = {
	&gcp_service_account,
	&gcp_external_account,
	&gcp_authorized_user,
	&gcp_metadata,
};

void gcp_set_renewal(struct token *token)
{
	if (token->lifetime_s > 2 * MARGIN_S)
		token->renew_after_s = token->lifetime_s - MARGIN_S;
}

void gcp_set_principal(struct gcp_identity *identity, const char *principal)
{
	pthread_mutex_lock(&identity->lock);
	(void)snprintf(identity->principal, sizeof(identity->principal), "%s", principal);
	pthread_mutex_unlock(&identity->lock);
}

int gcp_required(const struct gcp_identity *identity, const struct json_reader *file,
		 const char *path, const char **ret_text, struct kms_error *reterr)
{
	*ret_text = json_reader_text(file, path);
	if (*ret_text)
		return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: %s is missing", identity->path,
			path);
}

static const struct gcp_source *source_by_type(const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (sources[i]->type && type && !strcmp(sources[i]->type, type))
			return sources[i];
	return NULL;
}

static int parse_file(const struct gcp_identity *identity, struct bytes text,
		      const struct gcp_source **ret_source, struct json_reader **ret_file,
		      struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *file = NULL;
	const char *type;

	if (json_reader_parse(text, &file) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: not a JSON object",
				identity->path);
	type = json_reader_text(file, "type");
	*ret_source = source_by_type(type);
	if (!*ret_source)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: credentials of type %s are not supported", identity->path,
				type ? type : "(none)");
	*ret_file = TAKE(file);
	return 0;
}

/* Only a file with a secret in it has to be closed to others. */
static int read_file(const struct gcp_identity *identity, const struct gcp_source **ret_source,
		     struct json_reader **ret_file, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	char *text = NULL;
	int r;

	r = public_file_read(identity->path, &text, reterr);
	if (r < 0)
		return r;
	r = parse_file(identity, bytes_from_text(text), ret_source, ret_file, reterr);
	secret_wipe(text, strlen(text));
	free(text);
	if (r < 0 || !(*ret_source)->is_secret)
		return r;
	r = secret_source_file(identity->path, &secret, reterr);
	if (r < 0) {
		json_reader_free(*ret_file);
		*ret_file = NULL;
	}
	return r;
}

/* The file of gcloud, if there is one. */
static int well_known_path(char *path, size_t size)
{
	const char *directory = getenv("CLOUDSDK_CONFIG");
	const char *home = getenv("HOME");
	int len = -1;

	if (directory && *directory)
		len = snprintf(path, size, "%s/" WELL_KNOWN_FILE, directory);
	else if (home && *home)
		len = snprintf(path, size, "%s/.config/gcloud/" WELL_KNOWN_FILE, home);
	return len > 0 && (size_t)len < size && access(path, R_OK) == 0 ? 0 : -ENOENT;
}

static int find_file(struct gcp_identity *identity, struct kms_error *reterr)
{
	const char *auth = kms_config_get(identity->config, "auth");
	const char *path = kms_config_get(identity->config, "credentials_file");
	char well_known[4096];

	if (auth && !strcmp(auth, gcp_metadata.name))
		return 0;
	if (!path)
		path = getenv("GOOGLE_APPLICATION_CREDENTIALS");
	if ((!path || !*path) && well_known_path(well_known, sizeof(well_known)) == 0)
		path = well_known;
	if (!path || !*path)
		return auth ? kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				       "auth = %s: credentials_file is missing", auth)
			    : 0;
	identity->path = strdup(path);
	return identity->path ? 0 : kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
}

/* The login of the file's own account, then, where it is wanted, of the account that it may act as. */
static int fetch(void *arg, const struct kms_call *call, struct token *ret_token,
		 struct kms_error *reterr)
{
	struct gcp_identity *identity = arg;
	CLEANUP(json_reader_cleanup) struct json_reader *file = NULL;
	const struct gcp_source *source = &gcp_metadata;
	const char *account = kms_config_get(identity->config, "impersonate");
	const char *stored_url;
	struct token token = { 0 };
	char url[1024] = "";
	int r = 0;

	if (identity->path)
		r = read_file(identity, &source, &file, reterr);
	if (r < 0)
		return r;
	stored_url = json_reader_text(file, "service_account_impersonation_url");
	if (account)
		(void)snprintf(url, sizeof(url), IAM_URL, account);
	else if (stored_url)
		(void)snprintf(url, sizeof(url), "%s", stored_url);
	r = source->log_in(identity, call, file, url[0] ? GCP_SCOPE_IAM : GCP_SCOPE, &token,
			   reterr);
	if (r == 0 && url[0]) {
		struct secret *own = TAKE(token.secret);

		token = (struct token){ 0 };
		r = gcp_impersonate(identity, call, url, own, &token, reterr);
		secret_drop(own);
	}
	if (r < 0)
		return r;
	gcp_set_renewal(&token);
	*ret_token = token;
	return 0;
}

/* Who this will be, as far as the file says it. */
static int inspect(struct gcp_identity *identity, struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *file = NULL;
	const char *account = kms_config_get(identity->config, "impersonate");
	const char *auth = kms_config_get(identity->config, "auth");
	const char *text;
	char *suffix;
	int r = 0;

	identity->source = &gcp_metadata;
	if (identity->path)
		r = read_file(identity, &identity->source, &file, reterr);
	if (r < 0)
		return r;
	if (auth && strcmp(auth, identity->source->name) != 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"auth = %s, but %s holds credentials of another kind: %s", auth,
				identity->path ? identity->path : "this host",
				identity->source->name);
	text = json_reader_text(file, "quota_project_id");
	(void)snprintf(identity->quota_project, sizeof(identity->quota_project), "%.63s",
		       text ? text : "");
	text = account ? account : identity->source->principal(file);
	gcp_set_principal(identity, text ? text : "default");
	suffix = strstr(identity->principal, ":generateAccessToken");
	if (suffix)
		*suffix = 0;
	return 0;
}

static int open_parts(struct gcp_identity *identity, const struct kms_config *config,
		      struct kms_error *reterr)
{
	int r;

	r = kms_config_copy(config, &identity->config);
	if (r == 0)
		r = token_cache_open(fetch, identity, &identity->cache);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	r = find_file(identity, reterr);
	return r < 0 ? r : inspect(identity, reterr);
}

int gcp_identity_open(const struct kms_config *config, struct http *http,
		      struct gcp_identity **ret_identity, struct kms_error *reterr)
{
	struct gcp_identity *identity = calloc(1, sizeof(*identity));
	int r;

	if (!identity)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&identity->lock, NULL);
	identity->http = http;
	r = open_parts(identity, config, reterr);
	if (r < 0) {
		gcp_identity_close(identity);
		return r;
	}
	*ret_identity = identity;
	return 0;
}

void gcp_identity_close(struct gcp_identity *identity)
{
	if (!identity)
		return;
	token_cache_close(identity->cache);
	kms_config_free(identity->config);
	pthread_mutex_destroy(&identity->lock);
	free(identity->path);
	free(identity);
}

int gcp_identity_token(struct gcp_identity *identity, const struct kms_call *call,
		       struct secret **ret_token, struct kms_error *reterr)
{
	return token_cache_get(identity->cache, call, ret_token, reterr);
}

void gcp_identity_reject(struct gcp_identity *identity, const struct secret *token)
{
	token_cache_reject(identity->cache, token);
}

int gcp_identity_access(struct gcp_identity *identity, struct text_pairs *access)
{
	char principal[PRINCIPAL_SIZE];
	int r;

	pthread_mutex_lock(&identity->lock);
	memcpy(principal, identity->principal, sizeof(principal));
	pthread_mutex_unlock(&identity->lock);
	access->count = 0;
	r = text_pairs_set(access, "principal", principal);
	if (r == 0)
		r = text_pairs_set(access, "source", identity->source->name);
	if (r == 0 && identity->config->section)
		r = text_pairs_set(access, "section", identity->config->section);
	return r;
}

const char *gcp_identity_quota_project(const struct gcp_identity *identity)
{
	return identity->quota_project[0] ? identity->quota_project : NULL;
}
