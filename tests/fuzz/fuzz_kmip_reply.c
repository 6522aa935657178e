/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of a KMIP server: the first byte chooses what is asked of it, as in tests/vectors/kms/make_kmip.py. */
#include <stdlib.h>
#include <string.h>

#include "kms/providers/kmip_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_inside(struct bytes part, struct bytes whole)
{
	return !part.size || (part.data >= whole.data && part.size <= whole.size &&
			      part.data <= whole.data + whole.size - part.size);
}

static void read_refusal(const struct kmip_reply *reply)
{
	static const enum kmip_operation operations[] = { KMIP_GET, KMIP_GET_ATTRIBUTES,
							  KMIP_ENCRYPT, KMIP_DECRYPT };
	static const struct kmip kmip = { .key_id = "kmip:h:5696/k" };

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		struct kms_error error = { 0 };

		if (kmip_fail(&kmip, operations[i], reply, &error) >= 0 ||
		    strpbrk(error.text, "\r\n") || strpbrk(error.service_code, "\r\n"))
			abort();
	}
}

static void read_sealed(struct bytes payload)
{
	struct kmip_sealed sealed;

	if (kmip_decode_encrypt(payload, "k", &sealed) == 0 &&
	    (!is_inside(sealed.data, payload) || !is_inside(sealed.iv, payload) ||
	     !is_inside(sealed.tag, payload)))
		abort();
}

static void read_facts(struct bytes payload)
{
	static const struct kmip kmip = { .key_id = "kmip:h:5696/k" };
	struct kmip_facts facts;
	struct kms_error error = { 0 };

	if (kmip_decode_attributes(payload, "k", &facts) == 0 &&
	    (kmip_check_state(&kmip, facts.state, &error) == 0) !=
		    (kmip_key_state(facts.state) == KEY_STATE_ENABLED))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes message = { data + 1, size - 1 };
	struct kmip_reply reply;
	kmip_version version;
	struct bytes found;

	if (!size || kmip_decode_reply(message, &reply) < 0)
		return 0;
	if (!is_inside(reply.payload, message) || !is_inside(reply.message, message))
		abort();
	if (data[0] % 6 == 0)
		read_refusal(&reply);
	else if (data[0] % 6 == 1)
		(void)!kmip_decode_versions(reply.payload, &version);
	else if (data[0] % 6 == 2)
		read_sealed(reply.payload);
	else if (data[0] % 6 == 3 && kmip_decode_decrypt(reply.payload, "k", &found) == 0 &&
		 !is_inside(found, message))
		abort();
	else if (data[0] % 6 == 4)
		read_facts(reply.payload);
	else if (data[0] % 6 == 5 && kmip_decode_key(reply.payload, "k", &found) == 0 &&
		 found.size != KMIP_KEY_SIZE)
		abort();
	return 0;
}
