/* SPDX-License-Identifier: Apache-2.0 */
/* Asking one KEK: every request to a key service goes through here, with its deadline, retries, bounds and counters. */
#include <errno.h>
#include <string.h>

#include "kms/kms_internal.h"
#include "kms/retry.h"

static int attempt(struct kek *kek, const struct kms_call *call, const struct kek_request *request,
		   struct kms_error *error)
{
	const struct kms_provider *provider = kek->provider;

	switch (request->operation) {
	case KMS_GENERATE:
		return provider->generate(kek->state, call, request->context, request->new_slot,
					  request->ret_secret, error);
	case KMS_WRAP:
		return provider->wrap(kek->state, call, request->context, request->secret,
				      request->new_slot, error);
	case KMS_UNWRAP:
		return provider->unwrap(kek->state, call, request->context, request->slot,
					request->ret_secret, error);
	case KMS_DESCRIBE:
		return provider->describe(kek->state, call, request->ret_info, error);
	case KMS_PROBE:
		return provider->probe(kek->state, call, request->context, request->slot, error);
	default:
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN, "no such operation");
	}
}

static int guarded_attempt(struct kms *kms, struct kek *kek, const struct kms_call *call,
			   const struct kek_request *request, bool *ret_was_asked,
			   struct kms_error *error)
{
	int64_t start_ms;
	int r;

	r = guard_enter(&kek->guard, call, error);
	*ret_was_asked = r == 0;
	if (r < 0)
		return r;
	start_ms = retry_now_ms();
	*error = (struct kms_error){ 0 };
	r = attempt(kek, call, request, error);
	guard_leave(&kek->guard, r, error);
	metrics_count(&kms->metrics,
		      &(struct metric_event){ .provider = kek->provider,
					      .operation = request->operation,
					      .code = r,
					      .state = error->state,
					      .took_ms = retry_now_ms() - start_ms });
	return r;
}

/* What the network says names a host; whoever reads it wants to know for which key that was asked. */
static void name_key(const struct kek *kek, const struct slot *slot, struct kms_error *error)
{
	const char *name = slot ? slot->key_id : kek->uri;
	const struct kms_error said = *error;

	if (said.state != KEY_STATE_UNREACHABLE || said.http_status != 0 || strstr(said.text, name))
		return;
	(void)kms_fail(error, said.code, said.state, "%s: %.400s", name, said.text);
	kms_advise(error, "%s", said.advice);
	memcpy(error->operation, said.operation, sizeof(error->operation));
}

/* No connection, or none that held: what a service that is there does not do twice in a row. */
static bool is_absent(const struct kms_error *error, unsigned failures)
{
	return failures > 1 && error->http_status == 0 && error->state == KEY_STATE_UNREACHABLE;
}

/* Waiting for the end of a pause costs the service nothing, so it takes nothing from the budget either. */
static bool may_ask_again(struct kek *kek, bool was_asked, const struct kms_error *error)
{
	return error->is_retryable && (!was_asked || guard_may_retry(&kek->guard, error));
}

int kek_ask(struct kms *kms, struct kek *kek, const struct kek_request *request,
	    struct kms_error *error)
{
	struct retry retry;
	unsigned failures = 0;
	bool was_asked;
	int r;

	retry_begin(&retry, request->timeout_ms ? request->timeout_ms : kms->options.key_timeout_ms,
		    request->is_cancelled ? request->is_cancelled : &kms->is_cancelled);
	do {
		r = guarded_attempt(kms, kek, &retry.call, request, &was_asked, error);
		if (r == -EHOSTUNREACH && is_absent(error, ++failures)) {
			if (request->ret_is_absent)
				atomic_store(request->ret_is_absent, true);
			if (request->timeout_ms)
				break;
		}
	} while (r < 0 && may_ask_again(kek, was_asked, error) && retry_again(&retry, error));
	error->code = r;
	if (r < 0)
		name_key(kek, request->slot, error);
	return r;
}
