/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of slots through the socket of a mount: what is asked, and what is answered. */
#ifndef SNAPCRYPT_FS_CONTROL_SLOT_REQUEST_H
#define SNAPCRYPT_FS_CONTROL_SLOT_REQUEST_H

#include "fs/control/requests.h"
#include "fs/control/slot_change.h"

#define SLOT_REQUEST "keys slots"

/* Data keys in one request: few, so that progress is seen and a mount that ends waits for little. */
#define SLOT_REQUEST_DEKS 8

/* How it went for one data key. */
struct slot_outcome {
	enum slot_work work;
	struct store_error error; /* code 0: well */
};

/*
 * {"command": SLOT_REQUEST, ...}: change the slots of DEKS; with SETTINGS those of new data keys, too; with FINISH write the
 * indexes again.
 */
struct json_object *slot_request_new(const struct slot_change *change, const struct uuid *deks,
				     size_t dek_count, bool settings, bool finish);

/* Read the outcome of the data key at INDEX of the request from its reply. */
void slot_request_outcome(const struct json_object *reply, size_t index,
			  struct slot_outcome *ret_outcome);

/* The mount's side. */
void slot_request_run(const struct control_options *options, const struct json_object *request,
		      struct json_object *reply);

#endif
