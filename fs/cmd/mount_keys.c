/* SPDX-License-Identifier: Apache-2.0 */
/* Are the keys of a mount usable? */
#include "fs/cmd/mount_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/key_list.h"

/* One that works: what is stored can be read and written on, while the primary is unreachable. */
static bool has_working_alternate(struct session *session)
{
	const struct volume_record *volume = store_volume(session->store);

	for (size_t i = 0; i < volume->alternate_key_count; i++) {
		struct kms_key_info info = { 0 };
		struct kms_error error = { 0 };

		if (kms_test_key(session->access.kms, volume->alternate_keys[i].uri, &info,
				 &error) == 0)
			return true;
	}
	return false;
}

static int test_default(struct session *session, const char *uri)
{
	struct access *access = &session->access;
	const bool has_alternates = store_volume(session->store)->alternate_key_count > 0;
	struct kms_key_info info = { 0 };
	struct kms_error error = { 0 };
	/* As when a data key is opened: a first service that is dead does not cost its whole timeout. */
	const int r = kms_test_key_within(access->kms, uri,
					  has_alternates ? kms_hedge_after_ms(access->kms) : 0,
					  &info, &error);

	if (r == 0)
		return 0;
	if (!has_alternates || error.state != KEY_STATE_UNREACHABLE ||
	    !has_working_alternate(session))
		return fail_key(session->invocation, r, &error);
	notice(session->invocation,
	       "primary unreachable: %s; new snapshots cannot be made until it answers",
	       error.text);
	return 0;
}

int mount_keys_test_default(struct session *session)
{
	struct access *access = &session->access;
	const char *configured = config_is_set(access->config, access->volume_name, "key")
					 ? config_text(access->config, access->volume_name, "key")
					 : NULL;
	const char *uri = configured != NULL ? configured
					     : store_volume(session->store)->default_key;
	struct kms_error key_error = { 0 };
	struct store_error error = { 0 };
	int r = 0;

	if (!store_is_encrypted(session->store))
		return 0;
	if (access_check_key(access->config, access->volume_name, uri, &error) < 0)
		return session_fail(session, &error);
	r = access_add_key(access->config, access->kms, uri, &key_error);
	return r < 0 ? fail_key(session->invocation, r, &key_error) : test_default(session, uri);
}

/* Primary keys met so far; one data key of each is opened. */
struct testing {
	struct session *session;
	char **key_ids;
	size_t count;
	size_t working;
	int error;
	struct kms_error key_error; /* of the last one that failed */
};

static bool is_known(const struct testing *testing, const char *key_id)
{
	for (size_t i = 0; i < testing->count; i++)
		if (strcmp(testing->key_ids[i], key_id) == 0)
			return true;
	return false;
}

static int remember(struct testing *testing, const char *key_id)
{
	char **more = reallocarray(testing->key_ids, testing->count + 1, sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	testing->key_ids = more;
	more[testing->count] = strdup(key_id);
	if (more[testing->count] == NULL)
		return -ENOMEM;
	testing->count++;
	return 0;
}

static int test_record(void *arg, const struct uuid *dek_id, const struct key_record *record,
		       enum trust_origin origin, int error)
{
	struct testing *testing = arg;
	struct kms_error key_error = { 0 };
	struct dek *dek = NULL;
	int r = 0;

	(void)origin;
	if (error < 0 || is_known(testing, key_record_primary(record)->key_id))
		return 0;
	r = remember(testing, key_record_primary(record)->key_id);
	if (r < 0)
		return r;
	r = dek_ring_get(store_deks(testing->session->store), dek_id, &dek, &key_error);
	dek_put(dek);
	if (r == 0 && key_error.text[0] != '\0')
		notice(testing->session->invocation, "primary unreachable: %s", key_error.text);
	if (r == 0) {
		testing->working++;
		return 0;
	}
	notice(testing->session->invocation, "%s%s%s",
	       key_error.text[0] == '\0' ? strerror(-r) : key_error.text,
	       key_error.advice[0] == '\0' ? "" : "; ", key_error.advice);
	testing->error = r;
	testing->key_error = key_error;
	return 0;
}

int mount_keys_test_all(struct session *session)
{
	struct testing testing = { .session = session };
	int r = key_list_each(session->store, test_record, &testing);

	for (size_t i = 0; i < testing.count; i++)
		free(testing.key_ids[i]);
	free(testing.key_ids);
	if (r < 0)
		return fail(session->invocation, EXIT_STORAGE, "key records: %s", strerror(-r));
	if (testing.count > 0 && testing.working == 0)
		return fail_key(session->invocation, testing.error, &testing.key_error);
	return 0;
}
