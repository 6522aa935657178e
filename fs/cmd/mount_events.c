/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount tells the operator's program. */
#include "fs/cmd/mount_events.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/document.h"

int mount_events_open(struct session *session, struct events **ret_events)
{
	const struct access *access = &session->access;
	const char *command = config_text(access->config, access->volume_name, "event_command");
	int r = 0;

	if (command == NULL || *command == '\0')
		return 0;
	r = events_open(command, ret_events);
	if (r == -EINVAL || r == -E2BIG)
		return fail(session->invocation, EXIT_USAGE,
			    "event_command '%s': not an absolute path with arguments", command);
	return r < 0 ? fail(session->invocation, EXIT_USAGE, "event_command '%s': %s", command,
			    strerror(-r))
		     : 0;
}

void mount_events_send(struct events *events, const struct session *session, const char *mountpoint,
		       const struct mount_event *event)
{
	const struct access *access = &session->access;
	const struct mount_key_status *key = event->key;
	char host[256] = "";

	if (events == NULL)
		return;
	CLEANUP(document_cleanup)
	struct json_object *object = document_new_output("snapcrypt.event/1");

	(void)gethostname(host, sizeof(host) - 1);
	document_add_text(object, "event", event->name);
	document_add_time(object, "time", time(NULL));
	document_add_text(object, "host", host);
	document_add_uuid(object, "volume", &store_volume(session->store)->volume);
	document_add_text(object, "name", access->volume_name);
	document_add_path(object, "backing", access->backing);
	document_add_path(object, "mountpoint", mountpoint);
	document_add_text(object, "key_id", key->key_id);
	document_add_text(object, "provider", key->provider);
	document_add_text(object, "state", key_state_name(key->state));
	document_add_time(object, "since", key->since_s);
	document_add_time(object, "last_ok", key->last_ok_s);
	document_add_text(object, "message", key->message[0] == '\0' ? NULL : key->message);
	document_add_text(object, "advice", key->advice[0] == '\0' ? NULL : key->advice);
	document_add_text(object, "on_revoke",
			  config_text(access->config, access->volume_name, "on_revoke"));
	document_add_number(object, "data_keys", key->data_keys);
	events_send(events, event->name, document_line(object));
}
