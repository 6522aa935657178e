/* SPDX-License-Identifier: Apache-2.0 */
/* What AWS must grant. */
#include <string.h>

#include "kms/providers/aws_call.h"

/* The key as an IAM policy names it.  An alias is not a resource, so the condition names it. */
static void add_resource(const struct aws *aws, struct text *text)
{
	struct aws_arn arn;

	if (aws_arn_parse(aws->uri.key, &arn) < 0)
		text_add_format(text, "arn:aws:kms:%s:*:key/%s", aws->endpoint.region,
				strncmp(aws->uri.key, "alias/", 6) ? aws->uri.key : "*");
	else if (aws_arn_is_key(&arn))
		text_add(text, aws->uri.key);
	else
		text_add_format(text, "arn:%s:kms:%s:%s:key/*", arn.partition, arn.region,
				arn.account);
}

/* `"kms:ResourceAliases": "alias/NAME"` where the URI names an alias. */
static const char *alias_of(const struct aws *aws)
{
	return strstr(aws->uri.key, "alias/");
}

static void add_statement(const struct aws *aws, const char *actions, bool has_context,
			  struct text *text)
{
	const char *alias = alias_of(aws);

	text_add_format(text,
			"    {\n      \"Effect\": \"Allow\",\n      \"Action\": [%s],\n"
			"      \"Resource\": \"",
			actions);
	add_resource(aws, text);
	text_add(text, "\"");
	if (has_context || alias)
		text_add(text, ",\n      \"Condition\": {");
	/* Our requests only: the permission is of no use for other data under the same key. */
	if (has_context)
		text_add(text, "\"StringEquals\": {\"kms:EncryptionContext:snapcrypt\": \"1\"}");
	if (alias)
		text_add_format(text,
				"%s\"ForAnyValue:StringEquals\": {\"kms:ResourceAliases\": \"%s\"}",
				has_context ? ", " : "", alias);
	text_add(text, has_context || alias ? "}\n    }" : "\n    }");
}

int aws_policy(const struct kms_config *config, enum kms_use use, struct text *text,
	       struct kms_error *reterr)
{
	static const char *const actions[] = {
		[KMS_USE_BOTH] = "\"kms:GenerateDataKey\", \"kms:Decrypt\"",
		[KMS_USE_MAKE] = "\"kms:GenerateDataKey\"",
		[KMS_USE_OPEN] = "\"kms:Decrypt\"",
	};
	void *state = NULL;
	int r;

	r = aws_open(config, &state, reterr);
	if (r < 0)
		return r;
	text_add(text, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n");
	add_statement(state, actions[use], true, text);
	text_add(text, ",\n");
	/* These carry no context; they tell why a key does not work, and when it rotates. */
	add_statement(state, "\"kms:DescribeKey\", \"kms:GetKeyRotationStatus\"", false, text);
	text_add(text, "\n  ]\n}\n");
	aws_close(state);
	return 0;
}
