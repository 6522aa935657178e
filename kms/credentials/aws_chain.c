/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of AWS credentials, in the order in which the vendor's tools ask them. */
#include "kms/credentials/aws_chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/aws_metadata.h"
#include "kms/credentials/command.h"
#include "kms/credentials/secret_source.h"
#include "kms/retry.h"

#define PROFILE_DEPTH_MAX 5

/* One walk through the chain. */
struct walk {
	const struct aws_chain *chain;
	const struct kms_call *call;
	const struct aws_profiles *profiles;
	const char *profile; /* the one in use */
	struct kms_error *reterr;
};

static int fail(const struct walk *walk, const char *format, const char *what)
{
	/* The formats are this file's own. */
	return kms_fail(walk->reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, "%s%s", format,
			what);
}

/* Keys written in the section: the id in clear, the rest as secrets. */
static int from_section(const struct walk *walk, struct aws_keys **ret_keys)
{
	const struct kms_config *config = walk->chain->config;
	const char *id = kms_config_get(config, "access_key_id");
	CLEANUP(secret_cleanup) struct secret *secret_key = NULL;
	CLEANUP(secret_cleanup) struct secret *token = NULL;
	int r;

	if (!id)
		return -ENOENT;
	r = secret_source_read(config, "secret_access_key", &secret_key, walk->reterr);
	if (r == -ENOENT)
		return fail(walk, "access_key_id without secret_access_key_file or the like", "");
	if (r == 0)
		r = secret_source_read(config, "session_token", &token, walk->reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	r = aws_keys_new("static", id, secret_bytes(secret_key),
			 token ? secret_bytes(token) : (struct bytes){ NULL, 0 }, ret_keys);
	return r < 0 ? fail(walk, "the keys of the section are not usable", "") : 0;
}

static int from_environment(const struct walk *walk, struct aws_keys **ret_keys)
{
	const char *id = getenv("AWS_ACCESS_KEY_ID");
	const char *secret_key = getenv("AWS_SECRET_ACCESS_KEY");
	const char *token = getenv("AWS_SESSION_TOKEN");

	if (!id || !*id)
		return -ENOENT;
	if (!secret_key || !*secret_key)
		return fail(walk, "AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY", "");
	if (aws_keys_new("environment", id, bytes_from_text(secret_key),
			 bytes_from_text(token ? token : ""), ret_keys) < 0)
		return fail(walk, "the keys of the environment are not usable", "");
	return 0;
}

static const char *setting(const struct walk *walk, const char *name)
{
	return aws_profiles_get(walk->profiles, walk->profile, name);
}

static struct aws_role profile_role(const struct walk *walk)
{
	return (struct aws_role){ .role_arn = setting(walk, "role_arn"),
				  .external_id = setting(walk, "external_id"),
				  .session_name = setting(walk, "role_session_name"),
				  .duration_s = setting(walk, "duration_seconds") };
}

static int from_file(const struct walk *walk, enum aws_file file, struct aws_keys **ret_keys)
{
	const char *id = aws_profiles_get_from(walk->profiles, file, walk->profile,
					       "aws_access_key_id");
	const char *secret_key = aws_profiles_get_from(walk->profiles, file, walk->profile,
						       "aws_secret_access_key");
	const char *token = aws_profiles_get_from(walk->profiles, file, walk->profile,
						  "aws_session_token");

	if (!id)
		return -ENOENT;
	if (!secret_key || aws_keys_new("profile", id, bytes_from_text(secret_key),
					bytes_from_text(token ? token : ""), ret_keys) < 0)
		return fail(walk, "no usable keys in profile ", walk->profile);
	return 0;
}

static int from_credentials_file(const struct walk *walk, struct aws_keys **ret_keys)
{
	return from_file(walk, AWS_FILE_CREDENTIALS, ret_keys);
}

static int from_config_file(const struct walk *walk, struct aws_keys **ret_keys)
{
	return from_file(walk, AWS_FILE_CONFIG, ret_keys);
}

static int from_command(const struct walk *walk, struct aws_keys **ret_keys)
{
	const char *command = setting(walk, "credential_process");
	int64_t left_ms = walk->call->deadline_ms - retry_now_ms();
	struct command_output output = { 0 };
	int r;

	if (!command)
		return -ENOENT;
	if (left_ms <= 0)
		return fail(walk, "no time left for credential_process of profile ", walk->profile);
	r = command_run(command,
			(uint32_t)(left_ms < COMMAND_TIMEOUT_MS ? left_ms : COMMAND_TIMEOUT_MS),
			&output, walk->reterr);
	if (r < 0) {
		if (walk->reterr)
			walk->reterr->state = KEY_STATE_CREDENTIALS_EXPIRED;
		return -EKEYEXPIRED;
	}
	r = aws_keys_from_json((struct bytes){ output.data, output.size }, "credential-process",
			       "credential_process", ret_keys, walk->reterr);
	command_output_free(&output);
	return r;
}

static int from_container(const struct walk *walk, struct aws_keys **ret_keys)
{
	return aws_container_keys(walk->chain->sts.http, walk->call, ret_keys, walk->reterr);
}

static int from_instance(const struct walk *walk, struct aws_keys **ret_keys)
{
	return aws_instance_keys(walk->chain->sts.http, walk->call, ret_keys, walk->reterr);
}

static int from_web_identity_environment(const struct walk *walk, struct aws_keys **ret_keys)
{
	const char *file = getenv("AWS_WEB_IDENTITY_TOKEN_FILE");
	const struct aws_role role = { .role_arn = getenv("AWS_ROLE_ARN"),
				       .session_name = getenv("AWS_ROLE_SESSION_NAME") };

	if (!file || !*file || !role.role_arn || !*role.role_arn)
		return -ENOENT;
	return aws_sts_web_identity(&walk->chain->sts, walk->call, &role, file, ret_keys,
				    walk->reterr);
}

static int from_web_identity_profile(const struct walk *walk, struct aws_keys **ret_keys)
{
	const char *file = setting(walk, "web_identity_token_file");
	const struct aws_role role = profile_role(walk);

	if (!file || !role.role_arn)
		return -ENOENT;
	return aws_sts_web_identity(&walk->chain->sts, walk->call, &role, file, ret_keys,
				    walk->reterr);
}

static int from_credential_source(const struct walk *walk, const char *source,
				  struct aws_keys **ret_keys)
{
	static const struct {
		const char *name;
		int (*ask)(const struct walk *walk, struct aws_keys **ret_keys);
	} sources[] = { { "Environment", from_environment },
			{ "EcsContainer", from_container },
			{ "Ec2InstanceMetadata", from_instance } };

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int r;

		if (strcmp(source, sources[i].name) != 0)
			continue;
		r = sources[i].ask(walk, ret_keys);
		return r == -ENOENT ? fail(walk, "nothing there of credential_source ", source) : r;
	}
	return fail(walk, "unknown credential_source ", source);
}

static int from_own_keys(const struct walk *walk, struct aws_keys **ret_keys)
{
	static int (*const sources[])(const struct walk *walk, struct aws_keys **ret_keys) = {
		from_web_identity_profile, from_credentials_file, from_command, from_config_file
	};

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int r = sources[i](walk, ret_keys);

		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

/*
 * A role of a profile, with the keys of its source profile, which may itself be a role: so the roles are collected from the
 * outermost inwards, and assumed in the other order.
 */
static int from_role_profile(const struct walk *walk, struct aws_keys **ret_keys)
{
	struct walk steps[PROFILE_DEPTH_MAX];
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	struct walk step = *walk;
	size_t depth = 0;
	int r = -ENOENT;

	for (;;) {
		const char *source = setting(&step, "source_profile");
		const char *credential_source = setting(&step, "credential_source");
		bool is_self = source && !strcmp(source, step.profile);

		if (!setting(&step, "role_arn") || (!source && !credential_source))
			break;
		if (setting(&step, "mfa_serial"))
			return fail(&step, "mfa_serial needs somebody at a terminal: profile ",
				    step.profile);
		if (depth == PROFILE_DEPTH_MAX)
			return fail(walk, "too many source_profile behind profile ", walk->profile);
		steps[depth++] = step;
		if (!source) {
			r = from_credential_source(&step, credential_source, &keys);
			break;
		}
		step.profile = source;
		if (is_self)
			break;
	}
	if (!depth)
		return -ENOENT;
	if (r == -ENOENT)
		r = from_own_keys(&step, &keys);
	if (r == -ENOENT)
		return fail(walk, "no keys in profile ", step.profile);
	while (r == 0 && depth > 0) {
		const struct aws_role role = profile_role(&steps[--depth]);
		struct aws_keys *assumed = NULL;

		r = aws_sts_assume_role(&walk->chain->sts, walk->call, &role, keys, &assumed,
					walk->reterr);
		aws_keys_put(keys);
		keys = assumed;
	}
	if (r < 0)
		return r;
	*ret_keys = TAKE(keys);
	return 0;
}

/* The words are those of meta/NAMES.md, "Credential sources". */
static const struct {
	const char *name;
	int (*ask)(const struct walk *walk, struct aws_keys **ret_keys);
} sources[] = {
	{ "static", from_section },
	{ "environment", from_environment },
	{ "assume-role", from_role_profile },
	{ "web-identity", from_web_identity_environment },
	{ "web-identity", from_web_identity_profile },
	{ "profile", from_credentials_file },
	{ "credential-process", from_command },
	{ "profile", from_config_file },
	{ "container", from_container },
	{ "instance", from_instance },
};

int aws_chain_check(const struct kms_config *config, struct kms_error *reterr)
{
	const char *only = kms_config_get(config, "auth");

	for (size_t i = 0; only && i < ARRAY_SIZE(sources); i++)
		if (!strcmp(only, sources[i].name))
			return 0;
	if (!only)
		return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"auth = %s is not a source of AWS credentials", only);
}

static int walk_sources(const struct walk *walk, struct aws_keys **ret_keys)
{
	const char *only = kms_config_get(walk->chain->config, "auth");

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int r;

		if (only && strcmp(only, sources[i].name) != 0)
			continue;
		/* A profile that was asked for goes before what happens to be in the environment. */
		if (!only && walk->chain->profile && sources[i].ask == from_environment)
			continue;
		r = sources[i].ask(walk, ret_keys);
		if (r != -ENOENT)
			return r;
	}
	(void)kms_fail(
		walk->reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
		"no AWS credentials: tried %s",
		only ? only
		     : "the section, the environment, profiles, web identity, container and instance");
	kms_advise(walk->reterr,
		   "name a profile or a role; within a container raise the hop limit of the "
		   "instance metadata service to 2");
	return -EKEYEXPIRED;
}

int aws_chain_keys(const struct aws_chain *chain, const struct kms_call *call,
		   struct aws_keys **ret_keys, struct kms_error *reterr)
{
	CLEANUP(aws_profiles_cleanup) struct aws_profiles *profiles = NULL;
	const char *named = chain->profile ? chain->profile : aws_profile_from_environment();
	const struct walk walk = {
		.chain = chain, .call = call, .profile = named ? named : "default", .reterr = reterr
	};
	struct walk with_profiles = walk;
	int r;

	r = aws_profiles_load(&profiles, reterr);
	if (r < 0) {
		if (reterr)
			reterr->state = KEY_STATE_CREDENTIALS_EXPIRED;
		return -EKEYEXPIRED;
	}
	if (named && !aws_profiles_has(profiles, named))
		return fail(&walk, "no such AWS profile: ", named);
	with_profiles.profiles = profiles;
	return walk_sources(&with_profiles, ret_keys);
}
