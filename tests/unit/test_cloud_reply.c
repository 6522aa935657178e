/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of Azure, Google Cloud and Vault: the vectors azure-*, oauth-*, gcp-* and vault-* of tests/vectors/kms. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/credentials/oauth.h"
#include "kms/credentials/vault_internal.h"
#include "kms/crypto/secret.h"
#include "kms/providers/azure_internal.h"
#include "kms/providers/gcp_internal.h"
#include "kms/providers/vault_internal.h"
#include "meta/encoding.h"
#include "tests/unit/vector.h"

static char outcome[2048];

static int set_up(void **state)
{
	return secret_init();
}

static struct bytes body_of(const struct vector *vector)
{
	return (struct bytes){ vector->data, vector->size };
}

__attribute__((format(printf, 1, 2))) static const char *say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(outcome, sizeof(outcome), format, arguments);
	va_end(arguments);
	return outcome;
}

static const char *run_refusal(const struct vector *vector,
			       int (*classify)(const struct request_name *name,
					       const struct http_reply *reply,
					       struct kms_error *reterr))
{
	const struct request_name name = { "service", vector_field(vector, "operation"), "THE-ID" };
	struct http_reply reply = { .status = (int)vector_number(vector, "status"),
				    .size = vector->size };
	struct kms_error error = { 0 };
	int r;

	reply.body = calloc(1, vector->size + 1);
	reply.headers = strdup("HTTP/1.1 400 Bad Request\nX-Ms-Request-Id: 0123\n");
	assert_non_null(reply.body);
	memcpy(reply.body, vector->data, vector->size);
	r = classify(&name, &reply, &error);
	assert_int_equal(r, error.code);
	assert_int_equal(classify(&name, &reply, NULL), r);
	assert_int_equal(error.http_status, reply.status);
	assert_string_equal(error.request_id, "0123");
	assert_string_equal(error.operation, name.operation);
	assert_non_null(strstr(error.text, "THE-ID"));
	assert_null(strpbrk(error.text, "\r\n\t"));
	assert_null(strstr(error.advice, "KEY"));
	/* What condemns a key is never worth another attempt. */
	assert_false(error.is_retryable && key_state_is_definite_no(error.state));
	http_reply_free(&reply);
	return say("%s %s%s", strerrorname_np(-r), key_state_name(error.state),
		   error.is_retryable ? " retryable" : "");
}

static const char *run_azure_refusal(const struct vector *vector)
{
	return run_refusal(vector, azure_fail);
}

static const char *run_gcp_refusal(const struct vector *vector)
{
	return run_refusal(vector, gcp_fail);
}

static const char *run_vault_refusal(const struct vector *vector)
{
	return run_refusal(vector, vault_fail);
}

static const char *run_azure_operation(const struct vector *vector)
{
	uint8_t value[AZURE_BLOB_MAX];
	char text[HEX_TEXT_SIZE(AZURE_BLOB_MAX)];
	struct azure_key kid;
	size_t size;

	if (azure_decode_operation(body_of(vector), &kid, value, &size) < 0)
		return "malformed";
	hex_encode((struct bytes){ value, size }, text);
	return say("ok %s %s", kid.version, text);
}

static const char *run_azure_key(const struct vector *vector)
{
	struct kms_key_info info;

	if (azure_decode_key(body_of(vector), &info) < 0)
		return "malformed";
	return say("%s %" PRId64 " %" PRId64, key_state_name(info.state), info.created_s,
		   info.deletion_s);
}

static const char *run_azure_deleted(const struct vector *vector)
{
	struct kms_key_info info;

	if (azure_decode_deleted(body_of(vector), &info) < 0)
		return "malformed";
	return say("%s %" PRId64 " %" PRId64, key_state_name(info.state), info.created_s,
		   info.deletion_s);
}

static const char *run_oauth_token(const struct vector *vector)
{
	struct token token = { 0 };

	if (oauth_decode(body_of(vector), &token) < 0)
		return "malformed";
	say("ok %.*s %" PRId64 " %" PRId64, (int)secret_bytes(token.secret).size,
	    (const char *)secret_bytes(token.secret).data, token.lifetime_s, token.renew_after_s);
	secret_drop(token.secret);
	return outcome;
}

static const char *run_gcp_encrypt(const struct vector *vector)
{
	struct gcp_encrypted encrypted;
	char text[HEX_TEXT_SIZE(512)];
	int r = gcp_decode_encrypt(body_of(vector), &encrypted);

	if (r < 0)
		return r == -EIO ? "changed" : "malformed";
	assert_true(encrypted.size <= 512);
	hex_encode((struct bytes){ encrypted.blob, encrypted.size }, text);
	return say("ok %s %s", encrypted.version, text);
}

/* bytes 0 to 31 */
static void assert_is_secret(const uint8_t plain[static SLOT_SECRET_SIZE])
{
	for (uint8_t i = 0; i < SLOT_SECRET_SIZE; i++)
		assert_int_equal(plain[i], i);
}

static const char *run_gcp_decrypt(const struct vector *vector)
{
	uint8_t plain[SLOT_SECRET_SIZE] = { 0xff };
	bool is_primary;
	int r = gcp_decode_decrypt(body_of(vector), plain, &is_primary);

	if (r == 0) {
		assert_is_secret(plain);
		return is_primary ? "primary" : "older";
	}
	/* Nothing that was not verified is left behind. */
	assert_true(plain[0] == 0xff || bytes_are_zero((struct bytes){ plain, sizeof(plain) }));
	return r == -EIO ? "changed" : "malformed";
}

static const char *say_gcp(int r, const struct kms_key_info *info)
{
	if (r < 0)
		return "malformed";
	return say("%s %s %" PRId64 " %" PRId64 " %" PRId64, key_state_name(info->state),
		   info->version, info->created_s, info->next_rotation_s, info->deletion_s);
}

static const char *run_gcp_key(const struct vector *vector)
{
	struct kms_key_info info;
	int r = gcp_decode_key(body_of(vector), &info);

	return say_gcp(r, &info);
}

static const char *run_gcp_version(const struct vector *vector)
{
	struct kms_key_info info;
	int r = gcp_decode_version(body_of(vector), &info);

	return say_gcp(r, &info);
}

static const char *run_vault_encrypt(const struct vector *vector)
{
	static uint8_t wrapped[SLOT_WRAPPED_MAX];
	size_t size;

	if (vault_decode_encrypt(body_of(vector), wrapped, &size) < 0)
		return "malformed";
	return say("ok %" PRId64, vault_ciphertext_version((struct bytes){ wrapped, size }));
}

static const char *run_vault_decrypt(const struct vector *vector)
{
	uint8_t plain[SLOT_SECRET_SIZE] = { 0xff };

	if (vault_decode_decrypt(body_of(vector), plain) == 0) {
		assert_is_secret(plain);
		return "ok";
	}
	assert_true(bytes_are_zero((struct bytes){ plain, sizeof(plain) }));
	return "malformed";
}

static const char *run_vault_key(const struct vector *vector)
{
	struct vault_key key;

	if (vault_decode_key(body_of(vector), &key) < 0)
		return "malformed";
	return say("%s %s %s%s %" PRId64 " %" PRId64, key_state_name(key.info.state),
		   key.info.version, key.is_bindable ? "bindable" : "other",
		   key.is_derived ? " derived" : "", key.info.created_s, key.info.next_rotation_s);
}

static const char *run_vault_capabilities(const struct vector *vector)
{
	bool may_create;

	if (vault_decode_capabilities(body_of(vector), &may_create) < 0)
		return "malformed";
	return may_create ? "yes" : "no";
}

static const char *say_grant(int r, struct vault_grant *grant)
{
	struct bytes token = { (const uint8_t *)"-", 1 };

	if (r < 0)
		return "malformed";
	if (grant->token)
		token = secret_bytes(grant->token);
	say("ok %.*s %s %" PRId64 "%s", (int)token.size, (const char *)token.data, grant->accessor,
	    grant->lease_s, grant->is_renewable ? " renewable" : "");
	secret_drop(grant->token);
	return outcome;
}

static const char *run_vault_auth(const struct vector *vector)
{
	struct vault_grant grant = { 0 };
	int r = vault_decode_auth(body_of(vector), &grant);

	return say_grant(r, &grant);
}

static const char *run_vault_lookup(const struct vector *vector)
{
	struct vault_grant grant = { 0 };
	int r = vault_decode_lookup(body_of(vector), &grant);

	return say_grant(r, &grant);
}

static void replies_of_azure_are_read_strictly(void **state)
{
	vectors_run("kms", "azure-operation", run_azure_operation);
	vectors_run("kms", "azure-key", run_azure_key);
	vectors_run("kms", "azure-deleted", run_azure_deleted);
}

static void refusals_of_azure_are_classified(void **state)
{
	vectors_run("kms", "azure-refusal", run_azure_refusal);
}

static void tokens_are_read_strictly(void **state)
{
	vectors_run("kms", "oauth-token", run_oauth_token);
}

static void replies_of_google_are_read_strictly(void **state)
{
	vectors_run("kms", "gcp-encrypt", run_gcp_encrypt);
	vectors_run("kms", "gcp-decrypt", run_gcp_decrypt);
	vectors_run("kms", "gcp-key", run_gcp_key);
	vectors_run("kms", "gcp-version", run_gcp_version);
}

static void refusals_of_google_are_classified(void **state)
{
	vectors_run("kms", "gcp-refusal", run_gcp_refusal);
}

static void replies_of_vault_are_read_strictly(void **state)
{
	vectors_run("kms", "vault-encrypt", run_vault_encrypt);
	vectors_run("kms", "vault-decrypt", run_vault_decrypt);
	vectors_run("kms", "vault-key", run_vault_key);
	vectors_run("kms", "vault-capabilities", run_vault_capabilities);
	vectors_run("kms", "vault-auth", run_vault_auth);
	vectors_run("kms", "vault-lookup", run_vault_lookup);
}

static void refusals_of_vault_are_classified(void **state)
{
	vectors_run("kms", "vault-refusal", run_vault_refusal);
}

static void tokens_for_azure_are_for_the_vaults_own_domain(void **state)
{
	static const struct {
		const char *host;
		const char *resource;
	} hosts[] = {
		{ "a.vault.azure.net", "https://vault.azure.net" },
		{ "a.vault.azure.net:8443", "https://vault.azure.net" },
		{ "a.managedhsm.azure.net", "https://managedhsm.azure.net" },
		{ "a.vault.azure.cn", "https://vault.azure.cn" },
		{ "a.privatelink.vaultcore.azure.net", "https://vault.azure.net" },
	};
	char resource[AZURE_HOST_SIZE + 16];

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		azure_resource_of(hosts[i].host, resource, sizeof(resource));
		assert_string_equal(resource, hosts[i].resource);
	}
	assert_true(azure_resource_fits("https://vault.azure.net", "a.vault.azure.net"));
	assert_true(
		azure_resource_fits("https://vault.azure.net/.default", "A.Vault.azure.net:443"));
	assert_false(azure_resource_fits("https://vault.azure.net", "evilvault.azure.net"));
	assert_false(azure_resource_fits("https://vault.azure.net", "vault.azure.net"));
	assert_false(azure_resource_fits("https://vault.azure.net.evil.com", "a.vault.azure.net"));
	assert_false(azure_resource_fits("http://vault.azure.net", "a.vault.azure.net"));
	assert_false(azure_resource_fits("https://", "a.vault.azure.net"));
}

static void versions_belong_to_one_key_only(void **state)
{
	static const char key[] = "projects/p/locations/l/keyRings/r/cryptoKeys/k";

	assert_true(gcp_is_version_of(
		"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/12", key));
	assert_false(gcp_is_version_of(
		"projects/p/locations/l/keyRings/r/cryptoKeys/k2/cryptoKeyVersions/1", key));
	assert_false(gcp_is_version_of(
		"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/", key));
	assert_false(gcp_is_version_of(
		"projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1:x", key));
	assert_false(gcp_is_version_of(key, key));
	assert_false(gcp_is_version_of("", key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_of_azure_are_read_strictly),
		cmocka_unit_test(refusals_of_azure_are_classified),
		cmocka_unit_test(tokens_are_read_strictly),
		cmocka_unit_test(replies_of_google_are_read_strictly),
		cmocka_unit_test(refusals_of_google_are_classified),
		cmocka_unit_test(replies_of_vault_are_read_strictly),
		cmocka_unit_test(refusals_of_vault_are_classified),
		cmocka_unit_test(tokens_for_azure_are_for_the_vaults_own_domain),
		cmocka_unit_test(versions_belong_to_one_key_only),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
