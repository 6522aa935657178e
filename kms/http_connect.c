/* SPDX-License-Identifier: Apache-2.0 */
/* Connections of any kind: TLS, proxies, waiting, and what failed. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "kms/http_internal.h"

void http_set_tls(const struct http *http, CURL *easy)
{
	const struct http_options *options = &http->options;

	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* A CA that was taken out of its file must not be believed for another day. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (options->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
	if (options->client_certificate)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, options->client_certificate);
	if (options->client_key)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, options->client_key);
	if (http->passphrase)
		curl_easy_setopt(easy, CURLOPT_KEYPASSWD,
				 (const char *)secret_bytes(http->passphrase).data);
}

void http_set_proxy(const struct http *http, CURL *easy, bool is_plain)
{
	const struct http_options *options = &http->options;

	/* Credentials of this machine go to nobody between. */
	if (is_plain) {
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		return;
	}
	if (options->proxy)
		curl_easy_setopt(easy, CURLOPT_PROXY, options->proxy);
	if (options->no_proxy)
		curl_easy_setopt(easy, CURLOPT_NOPROXY, options->no_proxy);
}

/* A connection that broke must not end the process: TLS writes without MSG_NOSIGNAL. */
void http_sigpipe_block(struct http_sigpipe *sigpipe)
{
	sigset_t pipe_set, pending;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	sigpipe->was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_set, &sigpipe->old_set);
}

void http_sigpipe_restore(const struct http_sigpipe *sigpipe)
{
	sigset_t pipe_set;

	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	if (!sigpipe->was_pending)
		while (sigtimedwait(&pipe_set, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &sigpipe->old_set, NULL);
}

static int perform(CURLM *multi, const struct kms_call *call, CURLcode *ret_result)
{
	int running = 1;
	int queued;
	const CURLMsg *message;

	while (running) {
		if (call->is_cancelled && atomic_load(call->is_cancelled))
			return -EINTR;
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return -EIO;
		if (running &&
		    curl_multi_poll(multi, NULL, 0, HTTP_CANCEL_POLL_MS, NULL) != CURLM_OK)
			return -EIO;
	}
	message = curl_multi_info_read(multi, &queued);
	if (!message || message->msg != CURLMSG_DONE)
		return -EIO;
	*ret_result = message->data.result;
	return 0;
}

int http_perform(CURLM *multi, const struct kms_call *call, CURLcode *ret_result)
{
	struct http_sigpipe sigpipe;
	int r;

	http_sigpipe_block(&sigpipe);
	r = perform(multi, call, ret_result);
	http_sigpipe_restore(&sigpipe);
	return r;
}

static bool is_tls_refusal(CURLcode result)
{
	return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
	       result == CURLE_SSL_CERTPROBLEM || result == CURLE_SSL_ISSUER_ERROR;
}

static bool is_garbage(CURLcode result)
{
	return result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_UNSUPPORTED_PROTOCOL ||
	       result == CURLE_HTTP2 || result == CURLE_BAD_CONTENT_ENCODING;
}

int http_fail(CURL *easy, CURLcode result, const char *where, const char *message,
	      struct kms_error *reterr)
{
	const char *why = message[0] ? message : curl_easy_strerror(result);
	curl_off_t connected_us = 0;
	int r = -EHOSTUNREACH;

	curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
	if (result == CURLE_OPERATION_TIMEDOUT && connected_us > 0) {
		r = kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
			     "%s: no answer before the deadline", where);
	} else if (is_tls_refusal(result)) {
		r = kms_fail(reterr, r, KEY_STATE_UNREACHABLE, "%s: TLS: %s", where, why);
		kms_advise(reterr, "check ca_file, tls_server_name and the clocks of both sides");
	} else if (is_garbage(result)) {
		r = kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE, "%s: %s", where, why);
	} else {
		r = kms_fail(reterr, r, KEY_STATE_UNREACHABLE, "%s: %s%s", where,
			     result == CURLE_SSL_CONNECT_ERROR ? "TLS: " : "", why);
		kms_advise(reterr, "check network, DNS, proxy and the endpoint");
	}
	if (reterr)
		reterr->is_retryable = !is_tls_refusal(result);
	return r;
}
