/* SPDX-License-Identifier: Apache-2.0 */
/* What verify, restore and repair find, printed as it is found and kept for --json.  Thread-safe. */
#ifndef SNAPCRYPT_FS_CMD_FINDINGS_H
#define SNAPCRYPT_FS_CMD_FINDINGS_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "fs/cmd/command.h"
#include "fs/document.h"
#include "fs/store/finding.h"

#define FINDINGS_KEPT_MAX 100000

/*
 *   stream   where lines go; NULL: nowhere
 *   counts   of each class, without notices
 *   failures what failed for another reason than the snapshot's own
 */
struct findings {
	const struct invocation *invocation;
	FILE *stream;
	pthread_mutex_t lock;
	struct json_object *list;
	uint64_t counts[FINDING_CLASS_COUNT];
	uint64_t notices;
	uint64_t failures;
	uint64_t dropped; /* not kept for lack of room */
};

void findings_init(struct findings *findings, const struct invocation *invocation);
void findings_free(struct findings *findings);

void findings_add(struct findings *findings, const struct finding *finding);

/* An object that failed with an errno. */
void findings_add_failure(struct findings *findings, const char *snapshot, const char *path,
			  int error);

/* All that counts. */
uint64_t findings_total(const struct findings *findings);

/* Into OUTPUT: "findings", "counts", "notices", "not_listed". */
void findings_json(struct findings *findings, struct json_object *output);

#endif
