/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of retention as text, as JSON, and as the configuration has them. */
#include "fs/control/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER_SIZE 32

void policy_free(struct policy *policy)
{
	for (size_t i = 0; i < policy->tag_count; i++)
		free(policy->tags[i]);
	for (size_t i = 0; i < policy->group_count; i++)
		free(policy->groups[i]);
	*policy = (struct policy){ 0 };
}

void policy_cleanup(struct policy *policy)
{
	policy_free(policy);
}

static int add_word(char **words, size_t *count, const char *word)
{
	if (*count == POLICY_WORDS_MAX)
		return -E2BIG;
	words[*count] = strdup(word);
	if (words[*count] == NULL)
		return -ENOMEM;
	(*count)++;
	return 0;
}

/* The words are the policy's own: they move with it. */
static void point_to_tags(struct policy *policy)
{
	policy->rules.keep_tags = (const char *const *)policy->tags;
	policy->rules.keep_tag_count = policy->tag_count;
}

static bool is_group(const char *word)
{
	return strcmp(word, "prefix") == 0 || (strncmp(word, "tag:", 4) == 0 && word[4] != '\0');
}

/* ---- The configuration -------------------------------------------------------------------------- */

bool policy_is_configured(const struct config *config, const char *volume_name)
{
	static const char *const keys[] = { "keep_within",    "keep_last",   "keep_hourly",
					    "keep_daily",     "keep_weekly", "keep_monthly",
					    "keep_yearly",    "keep_tag",    "group_by",
					    "min_keep",       "policy_lock", "require_verified",
					    "policy_lock_min" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (config_is_set(config, volume_name, keys[i]))
			return true;
	return false;
}

static int64_t duration_of(const struct config *config, const char *volume, const char *key)
{
	return config_is_set(config, volume, key) ? config_duration_s(config, volume, key) : 0;
}

/* A bare number counts periods, a number with a unit says how far they reach back. */
static int read_keep(const char *text, struct retention_keep *keep)
{
	int64_t duration_s = 0;

	if (text == NULL)
		return 0;
	if (text[strspn(text, "0123456789")] == '\0') {
		keep->count = strtoull(text, NULL, 10);
		return 0;
	}
	if (config_parse_duration(text, &duration_s) < 0 || duration_s < 0)
		return -EINVAL;
	keep->duration_s = duration_s;
	return 0;
}

static int read_words(const struct config *config, const char *volume, const char *key,
		      char **words, size_t *count)
{
	size_t total = 0;
	const char *const *list = config_list(config, volume, key, &total);
	int r = 0;

	for (size_t i = 0; r == 0 && i < total; i++)
		if (strcmp(key, "group_by") != 0 || strcmp(list[i], "none") != 0)
			r = add_word(words, count, list[i]);
	return r;
}

static enum retention_lock lock_of(const char *word)
{
	for (int lock = RETENTION_LOCK_COMPLIANCE; word != NULL && lock > 0; lock--)
		if (strcmp(word, retention_lock_name((enum retention_lock)lock)) == 0)
			return (enum retention_lock)lock;
	return RETENTION_LOCK_NONE;
}

static int fill_from_config(const struct config *config, const char *volume, struct policy *policy,
			    struct store_error *reterr)
{
	struct retention *rules = &policy->rules;
	int r = 0;

	rules->keep_within_s = duration_of(config, volume, "keep_within");
	rules->lock_min_s = duration_of(config, volume, "policy_lock_min");
	rules->min_keep = config_number(config, volume, "min_keep");
	rules->requires_verified = config_bool(config, volume, "require_verified");
	rules->lock = lock_of(config_text(config, volume, "policy_lock"));
	if (config_is_set(config, volume, "keep_last"))
		rules->keep_last = config_number(config, volume, "keep_last");
	if (rules->keep_within_s < 0 || rules->lock_min_s < 0)
		return store_fail(reterr, -EINVAL, EXIT_USAGE,
				  "keep_within and policy_lock_min need a duration; leave them out "
				  "where there is to be none");
	for (unsigned period = 0; r == 0 && period < RETENTION_PERIODS; period++) {
		const char *key = retention_period_name((enum retention_period)period);

		r = read_keep(config_text(config, volume, key), &rules->keep[period]);
		if (r < 0)
			return store_fail(reterr, r, EXIT_USAGE,
					  "%s: a number, or a duration such as 30d", key);
	}
	r = read_words(config, volume, "keep_tag", policy->tags, &policy->tag_count);
	if (r == 0)
		r = read_words(config, volume, "group_by", policy->groups, &policy->group_count);
	for (size_t i = 0; r == 0 && i < policy->group_count; i++)
		if (!is_group(policy->groups[i]))
			return store_fail(reterr, -EINVAL, EXIT_USAGE,
					  "group_by: %s is none of tag:NAME, prefix, none",
					  policy->groups[i]);
	return r < 0 ? store_fail(reterr, r, EXIT_USAGE, "rules of retention: %s", strerror(-r))
		     : 0;
}

int policy_from_config(const struct config *config, const char *volume_name,
		       struct policy *ret_policy, struct store_error *reterr)
{
	const int r = fill_from_config(config, volume_name, ret_policy, reterr);

	if (r < 0)
		policy_free(ret_policy);
	else
		point_to_tags(ret_policy);
	return r;
}

/* ---- As stored ---------------------------------------------------------------------------------- */

static void add_amount(struct json_object *object, const char *name, uint64_t amount)
{
	if (amount > 0)
		document_add_number(object, name, amount);
}

static void add_words(struct json_object *object, const char *name, char *const *words,
		      size_t count)
{
	struct json_object *array = NULL;

	if (count == 0)
		return;
	array = document_new_array();
	for (size_t i = 0; i < count; i++)
		document_append_text(array, words[i]);
	document_add(object, name, array);
}

/* keep_daily: periods; keep_daily_s: seconds. */
static void seconds_member(const char *name, char member[static MEMBER_SIZE])
{
	snprintf(member, MEMBER_SIZE, "%s_s", name);
}

struct json_object *policy_document(const struct policy *policy)
{
	struct json_object *object = document_new_object();
	const struct retention *rules = &policy->rules;

	add_amount(object, "keep_within_s", (uint64_t)rules->keep_within_s);
	add_amount(object, "keep_last", rules->keep_last);
	for (unsigned period = 0; period < RETENTION_PERIODS; period++) {
		const char *name = retention_period_name((enum retention_period)period);
		char member[MEMBER_SIZE];

		seconds_member(name, member);
		add_amount(object, name, rules->keep[period].count);
		add_amount(object, member, (uint64_t)rules->keep[period].duration_s);
	}
	add_words(object, "keep_tag", policy->tags, policy->tag_count);
	add_words(object, "group_by", policy->groups, policy->group_count);
	document_add_number(object, "min_keep", rules->min_keep);
	document_add_bool(object, "require_verified", rules->requires_verified);
	document_add_text(object, "policy_lock", retention_lock_name(rules->lock));
	add_amount(object, "policy_lock_min_s", (uint64_t)rules->lock_min_s);
	return object;
}

static int take_words(const struct json_object *object, const char *name, char **words,
		      size_t *count)
{
	const struct json_object *array = document_member(object, name);
	int r = 0;

	for (size_t i = 0; r == 0 && array != NULL && i < document_length(array); i++) {
		const char *word = document_element_text(array, i);

		r = word == NULL ? -EBADMSG : add_word(words, count, word);
	}
	return r;
}

static int fill_from_document(const struct json_object *object, struct policy *policy)
{
	struct retention *rules = &policy->rules;
	int r = 0;

	rules->keep_within_s = (int64_t)document_number(object, "keep_within_s");
	rules->keep_last = document_number(object, "keep_last");
	rules->min_keep = document_number(object, "min_keep");
	rules->requires_verified = document_is_true(object, "require_verified");
	rules->lock = lock_of(document_text(object, "policy_lock"));
	rules->lock_min_s = (int64_t)document_number(object, "policy_lock_min_s");
	for (unsigned period = 0; period < RETENTION_PERIODS; period++) {
		const char *name = retention_period_name((enum retention_period)period);
		char member[MEMBER_SIZE];

		seconds_member(name, member);
		rules->keep[period].count = document_number(object, name);
		rules->keep[period].duration_s = (int64_t)document_number(object, member);
	}
	r = take_words(object, "keep_tag", policy->tags, &policy->tag_count);
	return r < 0 ? r : take_words(object, "group_by", policy->groups, &policy->group_count);
}

int policy_from_text(const char *text, struct policy *ret_policy)
{
	CLEANUP(document_cleanup) struct json_object *object = NULL;
	int r = 0;

	*ret_policy = (struct policy){ 0 };
	if (text == NULL)
		return 0;
	object = document_read(text, strlen(text));
	r = object == NULL ? -EBADMSG : fill_from_document(object, ret_policy);
	if (r < 0)
		policy_free(ret_policy);
	else
		point_to_tags(ret_policy);
	return r;
}

bool policy_is_same(const struct policy *volume, const struct policy *configured)
{
	CLEANUP(document_cleanup) struct json_object *left = NULL;
	CLEANUP(document_cleanup) struct json_object *right = NULL;
	struct policy copy = *configured;

	/* The words stay CONFIGURED's. */
	if (volume->rules.lock > copy.rules.lock)
		copy.rules.lock = volume->rules.lock;
	if (volume->rules.lock_min_s > copy.rules.lock_min_s)
		copy.rules.lock_min_s = volume->rules.lock_min_s;
	left = policy_document(volume);
	right = policy_document(&copy);
	return strcmp(document_line(left), document_line(right)) == 0;
}

int policy_of_store(struct store *store, struct policy *ret_policy, struct store_error *reterr)
{
	struct volume_record record = { 0 };
	int r = store_copy_volume(store, &record);

	if (r == 0) {
		r = policy_from_text(record.policy, ret_policy);
		volume_record_free(&record);
	}
	return r < 0 ? store_fail(reterr, r, EXIT_FAILED, "rules of retention in the volume: %s",
				  r == -EBADMSG ? "not readable" : strerror(-r))
		     : 0;
}
