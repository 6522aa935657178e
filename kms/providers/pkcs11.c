/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on PKCS#11 tokens: pkcs11:token=T;object=O;id=%01 (RFC 7512).  What is done and stored: kms/PROTOCOL.md, "pkcs11". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/config_copy.h"
#include "kms/providers/pkcs11_internal.h"
#include "kms/providers/providers.h"

void pkcs11_put(struct pkcs11 *pkcs11)
{
	if (atomic_fetch_sub(&pkcs11->references, 1) > 1)
		return;
	pkcs11_forget_token(&pkcs11->token);
	if (pkcs11->uri)
		p11_kit_uri_free(pkcs11->uri);
	kms_config_free(pkcs11->config);
	free(pkcs11->pin_file);
	secret_drop(pkcs11->refused_pin);
	pthread_mutex_destroy(&pkcs11->lock);
	free(pkcs11);
}

static void pkcs11_close(void *state)
{
	pkcs11_put(state);
}

static int pkcs11_open(const struct kms_config *config, void **ret_state, struct kms_error *reterr)
{
	struct pkcs11 *pkcs11 = calloc(1, sizeof(*pkcs11));
	int r;

	if (!pkcs11)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	atomic_init(&pkcs11->references, 1);
	pthread_mutex_init(&pkcs11->lock, NULL);
	r = pkcs11_parse_uri(config->uri, &pkcs11->uri, &pkcs11->pin_file, reterr);
	if (r == 0 && kms_config_copy(config, &pkcs11->config) < 0)
		r = kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	if (r < 0) {
		pkcs11_put(pkcs11);
		return r;
	}
	*ret_state = pkcs11;
	return 0;
}

static int fill_slot(const struct pkcs11 *pkcs11, const struct pkcs11_visit *visit,
		     struct slot *slot)
{
	const char *section = pkcs11->config->section;
	int r;

	memcpy(slot->provider, "pkcs11", sizeof("pkcs11"));
	memcpy(slot->key_id, visit->key.key_id, sizeof(slot->key_id));
	/* So that another URI can be compared with the slot without asking a token. */
	r = text_pairs_set(&slot->parameters, "token", visit->token_label);
	if (r == 0 && visit->key.label[0])
		r = text_pairs_set(&slot->parameters, "object", visit->key.label);
	if (r == 0)
		r = text_pairs_set(&slot->access, "principal", "user");
	if (r == 0)
		r = text_pairs_set(&slot->access, "source", "pin");
	if (r == 0 && section)
		r = text_pairs_set(&slot->access, "section", section);
	return r;
}

/* Once more where the token lost what we had of it: a login, a session, handles. */
static int with_visit(struct pkcs11_job *job,
		      int (*work)(struct pkcs11_job *job, const struct pkcs11_visit *visit,
				  CK_RV *ret_code))
{
	int r = -EIO;

	for (int attempt = 0; attempt < 2; attempt++) {
		struct pkcs11_visit visit;
		CK_RV code = CKR_OK;

		r = pkcs11_enter(job->pkcs11, &visit, &job->error);
		if (r < 0)
			return r;
		r = work(job, &visit, &code);
		pkcs11_leave(job->pkcs11, &visit, r < 0 && pkcs11_is_lost(code));
		if (r == 0 || !pkcs11_is_lost(code))
			break;
	}
	return r;
}

/* For the audit log. */
static int succeed(struct pkcs11_job *job, const char *operation)
{
	job->error = (struct kms_error){ 0 };
	(void)snprintf(job->error.operation, sizeof(job->error.operation), "%s", operation);
	return 0;
}

static int wrap_here(struct pkcs11_job *job, const struct pkcs11_visit *visit, CK_RV *ret_code)
{
	int r;

	job->slot = (struct slot){ 0 };
	r = pkcs11_wrap(visit, &job->context, job->secret, &job->slot, ret_code, &job->error);
	if (r < 0)
		return r;
	r = fill_slot(job->pkcs11, visit, &job->slot);
	return r < 0 ? kms_fail(&job->error, r, KEY_STATE_UNKNOWN, "describing the slot: %s",
				strerror(-r))
		     : succeed(job, "wrap");
}

static int unwrap_here(struct pkcs11_job *job, const struct pkcs11_visit *visit, CK_RV *ret_code)
{
	int r = pkcs11_unwrap(visit, &job->context, &job->slot, &job->secret, ret_code,
			      &job->error);

	return r < 0 ? r : succeed(job, "unwrap");
}

static int describe_here(struct pkcs11_job *job, const struct pkcs11_visit *visit, CK_RV *ret_code)
{
	const struct pkcs11_key *key = &visit->key;

	*ret_code = CKR_OK;
	job->info = (struct kms_key_info){ .state = key->may_decrypt || key->may_unwrap
							    ? KEY_STATE_ENABLED
							    : KEY_STATE_DISABLED };
	memcpy(job->info.key_id, key->key_id, sizeof(job->info.key_id));
	return succeed(job, "describe");
}

static int do_wrap(struct pkcs11_job *job)
{
	return with_visit(job, wrap_here);
}

static int do_unwrap(struct pkcs11_job *job)
{
	return with_visit(job, unwrap_here);
}

/* What a token says of a key is read anew: a visit sees it as it was found. */
static int do_describe(struct pkcs11_job *job)
{
	struct pkcs11 *pkcs11 = job->pkcs11;

	pthread_mutex_lock(&pkcs11->lock);
	pkcs11->token.is_ready = pkcs11->token.is_ready && pkcs11->token.pid == getpid() &&
				 pkcs11_find_key(pkcs11, &job->error) == 0;
	pthread_mutex_unlock(&pkcs11->lock);
	return with_visit(job, describe_here);
}

static int pkcs11_wrap_slot(void *state, const struct kms_call *call,
			    const struct wrap_context *context, const struct secret *secret,
			    struct slot *slot, struct kms_error *reterr)
{
	struct pkcs11_job *job = pkcs11_job_new(state, do_wrap);
	int r;

	if (!job || secret_copy(secret_bytes(secret), &job->secret) < 0) {
		pkcs11_job_free(job);
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	}
	job->context = *context;
	r = pkcs11_run(job, call, &job, reterr);
	if (r == 0) {
		memcpy(slot->provider, job->slot.provider, sizeof(slot->provider));
		memcpy(slot->key_id, job->slot.key_id, sizeof(slot->key_id));
		memcpy(slot->wrapped, job->slot.wrapped, job->slot.wrapped_size);
		slot->wrapped_size = job->slot.wrapped_size;
		slot->parameters = job->slot.parameters;
		slot->access = job->slot.access;
	}
	pkcs11_job_free(job);
	return r;
}

static int pkcs11_unwrap_slot(void *state, const struct kms_call *call,
			      const struct wrap_context *context, const struct slot *slot,
			      struct secret **ret_secret, struct kms_error *reterr)
{
	struct pkcs11_job *job = pkcs11_job_new(state, do_unwrap);
	int r;

	if (!job)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	job->context = *context;
	job->slot = *slot;
	job->slot.header = NULL;
	r = pkcs11_run(job, call, &job, reterr);
	if (r == 0)
		*ret_secret = TAKE(job->secret);
	pkcs11_job_free(job);
	return r;
}

static int pkcs11_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			   struct kms_error *reterr)
{
	struct pkcs11_job *job = pkcs11_job_new(state, do_describe);
	int r;

	if (!job)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = pkcs11_run(job, call, &job, reterr);
	if (r == 0)
		*ret_info = job->info;
	pkcs11_job_free(job);
	return r;
}

static bool field_fits(const char *stored, struct bytes named)
{
	return !named.size ||
	       (stored && strlen(stored) == named.size && !memcmp(stored, named.data, named.size));
}

/* Without asking a token: by what the URI says, against the id of the slot and the labels that were stored with it. */
static bool pkcs11_owns(void *state, const struct slot *slot)
{
	const struct pkcs11 *pkcs11 = state;
	const CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(pkcs11->uri);
	char label[PKCS11_SERIAL_SIZE];

	pkcs11_copy_field(token->label, sizeof(token->label), label, sizeof(label));
	return pkcs11_uri_fits_id(pkcs11->uri, slot->key_id) &&
	       field_fits(text_pairs_get(&slot->parameters, "token"), bytes_from_text(label)) &&
	       (pkcs11_uri_attribute(pkcs11->uri, CKA_ID).size ||
		field_fits(text_pairs_get(&slot->parameters, "object"),
			   pkcs11_uri_attribute(pkcs11->uri, CKA_LABEL)));
}

int pkcs11_policy(const struct kms_config *config, enum kms_use use, struct text *text,
		  struct kms_error *reterr)
{
	P11KitUri *uri = NULL;
	char *pin_file = NULL;
	int r;

	r = pkcs11_parse_uri(config->uri, &uri, &pin_file, reterr);
	if (r < 0)
		return r;
	p11_kit_uri_free(uri);
	free(pin_file);
	text_add_format(text, "%s\n", config->uri);
	text_add(text, "  CKA_ID           1 to 64 bytes\n");
	text_add(text, "  CKA_SENSITIVE    true\n  CKA_EXTRACTABLE  false\n");
	if (use != KMS_USE_OPEN)
		text_add(text, "  CKA_ENCRYPT      true    AES-GCM, RSA-OAEP with SHA-256; else "
			       "CKA_WRAP\n");
	text_add(text, use == KMS_USE_MAKE
			       ? "  RSA: the public key alone; the private key stays elsewhere\n"
			       : "  CKA_DECRYPT      true    else CKA_UNWRAP\n");
	return 0;
}

static const char *const pkcs11_schemes[] = { "pkcs11", NULL };

const struct kms_provider provider_pkcs11 = {
	.name = "pkcs11",
	.schemes = pkcs11_schemes,
	.open = pkcs11_open,
	.wrap = pkcs11_wrap_slot,
	.unwrap = pkcs11_unwrap_slot,
	.describe = pkcs11_describe,
	.owns = pkcs11_owns,
	.close = pkcs11_close,
	.policy = pkcs11_policy,
};
