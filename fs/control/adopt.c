/* SPDX-License-Identifier: Apache-2.0 */
/* Adopting a foreign directory as a plaintext snapshot. */
#include "fs/control/adopt.h"

#include <errno.h>
#include <unistd.h>

#include "fs/store/adopt.h"

int change_check_plaintext(const struct change_target *target, struct store_error *reterr)
{
	if (!config_is_set(target->config, target->volume_name, "plaintext_snapshots"))
		return 0;
	store_fail(reterr, -EINVAL, EXIT_USAGE,
		   "the configuration says plaintext_snapshots, which counts");
	store_advise(reterr,
		     "take that line out: the signed list of the volume, as it is pinned on "
		     "this host, counts then");
	return -EINVAL;
}

int change_adopt(const struct change_target *target, const char *name, struct uuid *ret_id,
		 struct store_error *reterr)
{
	struct snapshot *snapshot = NULL;
	int fd = -1;
	int r = change_check_plaintext(target, reterr);

	if (r == 0)
		r = change_find_snapshot(target->store, name, &snapshot, &fd, reterr);
	if (r < 0)
		return r;
	r = snapshot_adopt(snapshot, fd, ret_id, reterr);
	close(fd);
	snapshot_put(snapshot);
	return r;
}
