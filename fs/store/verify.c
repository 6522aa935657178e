/* SPDX-License-Identifier: Apache-2.0 */
/* One snapshot: a walk that looks at everything. */
#include "fs/store/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/verify_internal.h"

#define TEXT_SIZE 512

/*
 * What a run that goes on needs to know of a directory.
 *
 *   was_done      the content of its files was verified before
 *   has_findings  so it is looked at again by every run
 */
struct directory_note {
	bool was_done;
	atomic_bool has_findings;
};

/* Of the object that this thread is looking at. */
static _Thread_local struct directory_note *current;

bool verify_is_fatal(int error)
{
	static const int errors[] = { ENOMEM,       ECANCELED, EKEYREVOKED, EKEYEXPIRED, ENOKEY,
				      EHOSTUNREACH, ETIMEDOUT, EMFILE,      ENFILE,      ESHUTDOWN };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (error == -errors[i])
			return true;
	}
	return false;
}

void verify_report(const struct verifying *verifying, enum finding_class class, const char *path,
		   uint64_t block, const char *format, ...)
{
	const struct verify_observer *observer = verifying->options->observer;
	char text[TEXT_SIZE];
	const struct finding finding = {
		.class = class,
		.snapshot = verifying->name,
		.path = path,
		.block = block,
		.text = text,
	};
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (current)
		atomic_store(&current->has_findings, true);
	observer->found(observer->arg, &finding);
}

void verify_notice(const struct verifying *verifying, enum finding_class class, const char *path,
		   const char *text)
{
	const struct verify_observer *observer = verifying->options->observer;
	const struct finding finding = {
		.class = class,
		.is_notice = true,
		.snapshot = verifying->name,
		.path = path,
		.block = FINDING_NO_BLOCK,
		.text = text,
	};

	observer->found(observer->arg, &finding);
}

/* ---- The walk -------------------------------------------------------------------------------- */

static void mark_path(const struct walk_directory *directory, char path[static WALK_PATH_SIZE])
{
	/* No file has such a path. */
	walk_path(directory, "", path);
}

/* Of a sealed snapshot the manifest says all that has to be there. */
static int look_at_directory(struct verifying *verifying, const struct walk_directory *directory)
{
	const struct xattr_target target = { &directory->place, "", directory->stat.st_mode };
	const struct sealed_item item = {
		.view = verifying->view,
		.parent = &directory->place,
		.backing = "",
		.index = directory->index,
		.object = &directory->sealed,
	};
	int r;

	if (!verifying->view)
		return verify_attributes(verifying, &target, directory->path);
	r = verify_against_manifest(verifying, &item, directory->path);
	return r < 0 ? r : verify_added(verifying, directory);
}

static int enter(void *arg, struct walk_directory *directory)
{
	struct verifying *verifying = arg;
	const struct verify_observer *observer = verifying->options->observer;
	struct directory_note *note = calloc(1, sizeof(*note));
	char path[WALK_PATH_SIZE];
	int r;

	if (!note)
		return -ENOMEM;
	mark_path(directory, path);
	note->was_done = observer->is_done &&
			 observer->is_done(observer->arg, snapshot_id(verifying->snapshot), path);
	directory->data = note;
	current = note;
	r = look_at_directory(verifying, directory);
	current = NULL;
	if (r < 0)
		free(note);
	return r;
}

static void leave(void *arg, struct walk_directory *directory)
{
	struct verifying *verifying = arg;
	const struct verify_observer *observer = verifying->options->observer;
	struct directory_note *note = directory->data;
	char path[WALK_PATH_SIZE];

	mark_path(directory, path);
	if (observer->mark_done && !note->was_done && !atomic_load(&note->has_findings) &&
	    !walk_has_ended(directory->walk))
		observer->mark_done(observer->arg, snapshot_id(verifying->snapshot), path);
	free(note);
}

static int look_at(struct verifying *verifying, const struct walk_item *item, const char *path)
{
	const struct directory_note *note = item->directory->data;
	const struct xattr_target target = { &item->directory->place, item->backing,
					     item->stat.st_mode };
	const struct sealed_item sealed = {
		.view = verifying->view,
		.parent = &item->directory->place,
		.backing = item->backing,
		.index = item->index,
		.object = &item->sealed,
	};
	int r = verifying->view ? verify_against_manifest(verifying, &sealed, path) : 0;

	if (r != 0)
		return r < 0 ? r : 0;
	if (S_ISREG(item->stat.st_mode))
		r = verify_file(verifying, item, path, note->was_done);
	else if (S_ISLNK(item->stat.st_mode) && !verifying->view)
		r = verify_symlink(verifying, item, path);
	if (r < 0)
		return r;
	return verifying->view ? verify_index(verifying, &target, path)
			       : verify_attributes(verifying, &target, path);
}

static int visit(void *arg, const struct walk_item *item)
{
	struct verifying *verifying = arg;
	const struct verify_observer *observer = verifying->options->observer;
	char path[WALK_PATH_SIZE];
	int r;

	walk_path(item->directory, item->name, path);
	observer->current(observer->arg, path);
	current = item->directory->data;
	r = look_at(verifying, item, path);
	current = NULL;
	return r;
}

static int failed(void *arg, struct walk_directory *directory, const char *name, int error)
{
	const struct verifying *verifying = arg;
	char buffer[WALK_PATH_SIZE];
	const char *path = name ? walk_path(directory, name, buffer) : directory->path;

	if (verify_is_fatal(error))
		return error;
	if (verifying->view && error == -ENOENT)
		verify_report(verifying, FINDING_MISSING, path, FINDING_NO_BLOCK,
			      "it is gone, and all that was below it");
	else if (verifying->view && (error == -ENOTDIR || error == -ELOOP || error == -EXDEV))
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "something of another type is there");
	else
		/* A link, or another filesystem, where a directory was listed. */
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "cannot be looked at: %s", strerror(-error));
	return 0;
}

static int hidden(void *arg, struct walk_directory *directory, unsigned count)
{
	verify_report(arg, FINDING_TAMPERED, directory->path, FINDING_NO_BLOCK,
		      "%u names in it do not decrypt", count);
	return 0;
}

static int walk(struct verifying *verifying, int fd)
{
	const struct walk_visitor visitor = {
		.enter = enter,
		.visit = visit,
		.leave = leave,
		.failed = failed,
		.hidden = hidden,
		.arg = verifying,
	};

	const struct walk_options options = {
		.snapshot = verifying->snapshot,
		.fd = fd,
		.view = verifying->view,
		.threads = verifying->options->threads,
	};

	return walk_snapshot(&options, &visitor);
}

/* Whose identity it has: a snapshot that somebody else made in the place of one. */
static void check_origin(const struct verifying *verifying)
{
	static const char text[] = "origin not verified: its identity is of another writer";

	if (snapshot_is_trusted(verifying->snapshot))
		return;
	if (verify_knows_writer(verifying->options->store))
		verify_report(verifying, FINDING_ORIGIN, "", FINDING_NO_BLOCK, "%s", text);
	else
		verify_notice(verifying, FINDING_ORIGIN, "", text);
}

/* On the snapshot's directory, for those who look without us.  The root has none before its first data key. */
static void check_index(const struct verifying *verifying, int fd)
{
	const int r = snapshot_check_index(verifying->snapshot, fd);

	if (r == 0)
		verify_report(verifying, FINDING_INDEX, "", FINDING_NO_BLOCK,
			      "its index attribute names other keys");
	else if ((r == -ENODATA || r == -EOPNOTSUPP) &&
		 snapshot_kind(verifying->snapshot) == SNAPSHOT_PLAIN_DIRECTORY)
		verify_notice(verifying, FINDING_INDEX, "", "its index attribute is missing");
}

int verify_snapshot(const struct verify_options *options, struct snapshot *snapshot, int fd,
		    struct verify_counts *counts)
{
	struct verifying verifying = {
		.options = options,
		.snapshot = snapshot,
		.counts = counts,
		.name = snapshot_name(snapshot),
	};
	int r;

	switch (snapshot_state(snapshot)) {
	case SNAPSHOT_FOREIGN:
		verify_report(&verifying, FINDING_ADDED, "", FINDING_NO_BLOCK,
			      "a directory without a valid identity; it is not served");
		return 0;
	case SNAPSHOT_DUPLICATE:
		verify_report(&verifying, FINDING_TAMPERED, "", FINDING_NO_BLOCK,
			      "another directory has the same identity");
		break;
	default:
		break;
	}
	check_origin(&verifying);
	check_index(&verifying, fd);
	if (options->is_structure_only)
		return verify_structure(&verifying, fd);
	r = verify_seal(&verifying);
	/* Without its manifest, what is there is still looked at. */
	if (r >= 0)
		r = walk(&verifying, fd);
	sealed_view_put(verifying.view);
	return r;
}
