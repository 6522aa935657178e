/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of AWS KMS: the first byte chooses the status, the rest is the body. */
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/providers/aws_call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_refusal(struct http_reply *reply)
{
	struct aws_refusal refusal;
	struct kms_error error = { 0 };

	if (aws_refusal_read(reply, "Decrypt", "KEY", &refusal, &error) != error.code ||
	    !error.code)
		abort();
	if (strlen(error.text) >= sizeof(error.text) ||
	    strlen(error.service_code) >= sizeof(error.service_code))
		abort();
}

static void read_answer(const struct http_reply *reply)
{
	struct json_reader *answer = NULL;
	struct secret *secret = NULL;
	struct kms_key_info info;
	uint8_t blob[256];

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size },
			      &answer) < 0)
		return;
	if (json_reader_secret(answer, "Plaintext", JSON_BASE64, 32, &secret) == 0 &&
	    secret_bytes(secret).size != 32)
		abort();
	if (json_reader_bytes(answer, "CiphertextBlob", JSON_BASE64, blob, sizeof(blob)) >
	    (ssize_t)sizeof(blob))
		abort();
	(void)!aws_describe_read(answer, &info);
	secret_drop(secret);
	json_reader_free(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = { 200, 400, 403, 500, 503, 429, 307, 404 };
	struct http_reply reply = { 0 };

	if (secret_init() < 0 || !size)
		return 0;
	reply.status = statuses[data[0] % ARRAY_SIZE(statuses)];
	reply.size = size - 1;
	reply.body = malloc(size);
	if (!reply.body)
		return 0;
	memcpy(reply.body, data + 1, size - 1);
	reply.body[size - 1] = 0;
	if (reply.status == 200)
		read_answer(&reply);
	else
		read_refusal(&reply);
	http_reply_free(&reply);
	return 0;
}
