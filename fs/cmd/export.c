/* SPDX-License-Identifier: Apache-2.0 */
/* export: a snapshot out of its volume, decrypted or for another party's key. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/export_volume.h"
#include "fs/cmd/human.h"
#include "fs/export/archive.h"
#include "fs/export/digests.h"
#include "fs/export/output.h"

const struct option_spec options_export[] = {
	{ "to-key", 0, "URI", "DEST becomes a volume of its own, under this key" },
	{ "format", 0, "FORMAT", "dir (default) or tar; DEST - is tar on standard output" },
	{ "include", 0, "PATTERN", "only what it names and what is below; may be repeated" },
	{ "exclude", 0, "PATTERN", "without what it names; may be repeated" },
	{ "verify", 0, NULL, "dir: read everything back; tar: read every file before its header" },
	{ "unsealed", 0, NULL, "what is there of a snapshot that is not sealed" },
	{ "force", 0, NULL, "into a directory that is not empty" },
	{ "require-encryption", 0, NULL, "refuse a snapshot that is not encrypted" },
	{ "threads", 0, "N", "how many at a time; default as the machine has" },
	OPTION_DRY_RUN,
	{ NULL, 0, NULL, NULL },
};

enum export_format { EXPORT_DIRECTORY, EXPORT_TAR, EXPORT_VOLUME };

static const char *const format_names[] = { "dir", "tar", "volume" };

/*
 *   fd            of the archive
 *   skipped       sockets that it cannot hold
 *   is_complete   the marker is written
 */
struct exporting {
	struct restoring restoring;
	enum export_format format;
	const char *key;
	int fd;
	struct archive *archive;
	struct digests *digests;
	struct export_volume volume;
	uint64_t skipped;
	bool is_complete;
};

static struct invocation *invocation_of(struct exporting *exporting)
{
	return exporting->restoring.session.invocation;
}

/* ---- Where to ------------------------------------------------------------------------------- */

static bool is_stdout(struct exporting *exporting)
{
	return strcmp(operand(invocation_of(exporting), 2), "-") == 0;
}

static int choose_format(struct exporting *exporting)
{
	struct invocation *invocation = invocation_of(exporting);
	const char *format = option_value(invocation, "format");
	const bool is_tar = format == NULL ? is_stdout(exporting) : strcmp(format, "tar") == 0;

	exporting->key = option_value(invocation, "to-key");
	if (format != NULL && !is_tar && strcmp(format, "dir") != 0)
		return fail(invocation, EXIT_USAGE, "--format %s: dir or tar", format);
	if (exporting->key != NULL && (is_tar || format != NULL))
		return fail(invocation, EXIT_USAGE,
			    "--to-key makes a volume, which is a directory, and no %s",
			    is_tar ? "archive" : "plain one");
	if (exporting->key != NULL && option_is_set(invocation, "verify"))
		return fail(invocation, EXIT_USAGE, "--verify: 'snapcrypt verify' checks a volume");
	if (is_stdout(exporting) && !is_tar)
		return fail(invocation, EXIT_USAGE,
			    "standard output takes an archive only: "
			    "--format tar");
	exporting->format = exporting->key != NULL ? EXPORT_VOLUME
			    : is_tar               ? EXPORT_TAR
						   : EXPORT_DIRECTORY;
	return 0;
}

static int check_stdout(struct exporting *exporting)
{
	struct invocation *invocation = invocation_of(exporting);

	exporting->fd = STDOUT_FILENO;
	exporting->restoring.target.path = "-";
	if (option_is_set(invocation, "dry-run") || !isatty(STDOUT_FILENO))
		return 0;
	fail(invocation, EXIT_USAGE, "an archive is not for a terminal");
	advise(invocation, "write it to a file or a pipe: snapcrypt export ... - | tar -x ...");
	return EXIT_USAGE;
}

static int check_target(struct exporting *exporting)
{
	struct restoring *restoring = &exporting->restoring;
	struct invocation *invocation = invocation_of(exporting);
	const char *path = operand(invocation, 2);
	struct stat stat;

	if (is_stdout(exporting))
		return check_stdout(exporting);
	if (exporting->format == EXPORT_TAR && lstat(path, &stat) == 0) {
		fail(invocation, EXIT_USAGE, "%s is there already", path);
		advise(invocation, "name a new file for the archive");
		return EXIT_USAGE;
	}
	return restore_check_target(&restoring->session, restoring->snapshot, path,
				    &restoring->target);
}

/* ---- Lists and marker ------------------------------------------------------------------------ */

static char *path_beside(const char *near, const char *name)
{
	const char *slash = strrchr(near, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*s%s", slash == NULL ? 0 : (int)(slash + 1 - near), near, name) < 0)
		return NULL;
	return path;
}

/*
 * In an archive a long list stands in the directory whose files are being written: whoever unpacks it sets a directory's time when
 * what follows is outside of it.
 */
static int put_list(void *arg, const char *near, const char *name, const void *data, size_t size,
		    char **ret_path)
{
	struct exporting *exporting = arg;
	const bool is_tar = exporting->format == EXPORT_TAR;
	char *path = path_beside(is_tar ? near : "", name);
	int r = path == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = is_tar ? archive_add(exporting->archive, path, data, size)
			   : output_put(exporting->restoring.target.fd, name, data, size);
	if (r < 0) {
		free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}

static void add_seal(const struct sealed_view *view, struct json_object *object)
{
	const struct seal *seal = view == NULL ? NULL : sealed_view_seal(view);
	char root[SEAL_ROOT_TEXT_SIZE];

	if (seal != NULL)
		seal_root_format(seal->root, root);
	document_add_text(object, "root", seal == NULL ? NULL : root);
	document_add_time(object, "sealed", seal == NULL ? 0 : seal->record.sealed_s);
}

static struct json_object *marker_document(struct exporting *exporting)
{
	struct restoring *restoring = &exporting->restoring;
	struct json_object *object = document_new_output("snapcrypt.export-marker/1");
	struct json_object *source = document_new_object();

	document_add_text(object, "program", "snapcrypt " SNAPCRYPT_VERSION);
	document_add_uuid(object, "volume", &store_volume(restoring->session.store)->volume);
	document_add_path(source, "name", snapshot_name(restoring->snapshot));
	document_add_uuid(source, "id", snapshot_id(restoring->snapshot));
	document_add_time(source, "created", snapshot_created_s(restoring->snapshot));
	document_add_text(source, "state",
			  snapshot_state_name(snapshot_state(restoring->snapshot)));
	document_add_bool(source, "origin_verified", snapshot_is_trusted(restoring->snapshot));
	add_seal(restoring->view, source);
	document_add(object, "snapshot", source);
	document_add_text(object, "format", format_names[exporting->format]);
	document_add_bool(object, "is_selection",
			  restoring->filter.include_count + restoring->filter.exclude_count > 0);
	document_add_number(object, "files", restoring->done.files + restoring->done.resumed);
	document_add_number(object, "directories", restoring->done.directories);
	document_add_number(object, "symlinks", restoring->done.symlinks);
	document_add_number(object, "special", restoring->done.special);
	document_add_number(object, "links", restoring->done.links);
	document_add_number(object, "sockets_left_out", exporting->skipped);
	document_add_time(object, "finished", time(NULL));
	return object;
}

/* What is written last, as text with its end; free() it. */
static int make_marker(struct exporting *exporting, char **ret_text)
{
	CLEANUP(document_cleanup) struct json_object *object = marker_document(exporting);
	int r = 0;

	if (exporting->format == EXPORT_VOLUME) {
		document_add(object, "exported", export_volume_document(&exporting->volume));
	} else {
		r = digests_finish(exporting->digests);
		if (r == 0)
			r = digests_document(exporting->digests, object);
	}
	if (r < 0)
		return r;
	return asprintf(ret_text, "%s\n", document_line(object)) < 0 ? -ENOMEM : 0;
}

static int fail_marker(struct exporting *exporting, int error)
{
	return fail(invocation_of(exporting), EXIT_FAILED, "%s: completion marker: %s",
		    exporting->restoring.target.path, strerror(-error));
}

/* Only what is whole gets a marker. */
static int mark(struct exporting *exporting)
{
	struct restoring *restoring = &exporting->restoring;
	const struct restore_counts *done = &restoring->done;
	char *text = NULL;
	int r = 0;

	if (done->failures > 0 || done->hidden > 0)
		return 0;
	r = make_marker(exporting, &text);
	if (r == 0 && exporting->format == EXPORT_TAR)
		r = archive_add(exporting->archive, EXPORT_MARKER_NAME, text, strlen(text));
	else if (r == 0)
		r = output_mark(exporting->format == EXPORT_VOLUME ? exporting->volume.backing_fd
								   : restoring->target.fd,
				text);
	free(text);
	exporting->is_complete = r == 0;
	return r < 0 ? fail_marker(exporting, r) : 0;
}

/* ---- A directory ----------------------------------------------------------------------------- */

static int export_directory(struct exporting *exporting, struct restore_options *options)
{
	struct restoring *restoring = &exporting->restoring;
	const struct marker *marker = &restoring->target.marker;
	int r = restoring_make_target(restoring);

	if (r != 0)
		return r;
	options->target_fd = restoring->target.fd;
	options->replaces = marker->replaces || marker->is_there;
	options->resumes = marker->is_there && marker->can_skip;
	options->started = marker->started;
	r = output_clear(restoring->target.fd);
	if (r < 0)
		return fail_marker(exporting, r);
	r = restoring_run(restoring, options, "exported");
	if (r == 0)
		r = mark(exporting);
	return r != 0 ? r : restoring_finish_target(restoring);
}

/* ---- An archive ------------------------------------------------------------------------------ */

static void note_skipped(void *arg, const char *path)
{
	struct exporting *exporting = arg;

	exporting->skipped++;
	notice(invocation_of(exporting), "%s: a socket, which an archive cannot hold", path);
}

static int open_archive(struct exporting *exporting)
{
	struct invocation *invocation = invocation_of(exporting);
	const char *path = exporting->restoring.target.path;
	struct archive_options options = {
		.checks_first = option_is_set(invocation, "verify"),
		.skipped = note_skipped,
		.arg = exporting,
	};
	int r = 0;

	if (exporting->fd < 0)
		exporting->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	options.fd = exporting->fd;
	r = exporting->fd < 0 ? -errno : archive_open(&options, &exporting->archive);
	return r < 0 ? fail(invocation, EXIT_FAILED, "%s: %s", path, strerror(-r)) : 0;
}

/* What its header has promised is not there: an end would make half an archive look whole. */
static int fail_broken(struct exporting *exporting)
{
	struct restoring *restoring = &exporting->restoring;
	struct invocation *invocation = invocation_of(exporting);
	const bool has_findings = findings_total(&restoring->findings) > 0;

	fail(invocation, has_findings ? EXIT_FINDINGS : EXIT_FAILED,
	     "%s: the archive is broken off in a file that could not be read to its end",
	     snapshot_name(restoring->snapshot));
	advise(invocation, "--verify reads each file before its header and leaves such ones out, "
			   "and --exclude does without it");
	return invocation->failure.exit_code;
}

static int export_archive(struct exporting *exporting, struct restore_options *options)
{
	struct restoring *restoring = &exporting->restoring;
	int r = open_archive(exporting);

	if (r != 0)
		return r;
	options->sink = archive_sink(exporting->archive);
	options->threads = 1;
	options->verifies = false;
	r = restoring_run(restoring, options, "exported");
	if (archive_is_broken(exporting->archive) &&
	    restoring->findings.failures + findings_total(&restoring->findings) > 0)
		return fail_broken(exporting);
	if (r == 0)
		r = mark(exporting);
	if (r != 0)
		return r;
	r = archive_finish(exporting->archive);
	if (r < 0)
		exporting->is_complete = false;
	return r < 0 ? fail(invocation_of(exporting), EXIT_FAILED, "%s: %s", restoring->target.path,
			    strerror(-r))
		     : 0;
}

/* ---- Another volume -------------------------------------------------------------------------- */

static int export_volume(struct exporting *exporting, struct restore_options *options)
{
	struct restoring *restoring = &exporting->restoring;
	struct export_volume *volume = &exporting->volume;
	const struct restore_counts *done = &restoring->done;
	int r = export_volume_make(restoring, volume, exporting->key);

	if (r != 0)
		return r;
	options->sink = volume_copy_sink(volume->copy);
	r = restoring_run(restoring, options, "exported");
	if (r != 0 || done->failures > 0 || done->hidden > 0)
		return r;
	r = export_volume_seal(restoring, volume);
	return r != 0 ? r : mark(exporting);
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static void print_json(struct exporting *exporting, bool is_dry)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.export/1");
	struct restoring *restoring = &exporting->restoring;

	restoring_document(restoring, output);
	document_add_text(output, "format", format_names[exporting->format]);
	document_add_bool(output, "dry_run", is_dry);
	document_add_bool(output, "complete", exporting->is_complete);
	restoring_counts_document(is_dry ? &restoring->planned : &restoring->done, output);
	document_add_number(output, "sockets_left_out", exporting->skipped);
	if (exporting->is_complete && exporting->format == EXPORT_VOLUME)
		document_add(output, "exported", export_volume_document(&exporting->volume));
	else
		document_add_null(output, "exported");
	findings_json(&restoring->findings, output);
	/* Where standard output is the archive: one line among others. */
	if (is_stdout(exporting))
		fprintf(stderr, "%s\n", document_line(output));
	else
		document_print(output, stdout);
}

static void print_text(struct exporting *exporting, bool is_dry)
{
	const struct restoring *restoring = &exporting->restoring;
	const struct restore_counts *counts = is_dry ? &restoring->planned : &restoring->done;
	const struct export_volume *volume = &exporting->volume;
	FILE *stream = is_stdout(exporting) ? stderr : stdout;
	char bytes[HUMAN_SIZE];
	char root[SEAL_ROOT_TEXT_SIZE];

	fprintf(stream,
		"%s %" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " other objects, %s\n",
		is_dry ? "Would export" : "Exported", (uint64_t)(counts->files + counts->resumed),
		(uint64_t)counts->directories,
		(uint64_t)(counts->symlinks + counts->special + counts->links),
		human_bytes(counts->bytes, bytes));
	if (!exporting->is_complete || exporting->format != EXPORT_VOLUME)
		return;
	seal_root_format(volume->seal.root, root);
	fprintf(stream, "Encryption Key ID: %s\nRoot:              %s\nWriter:            %s\n",
		volume->key_id, root, volume->writer);
}

static int report(struct exporting *exporting)
{
	struct invocation *invocation = invocation_of(exporting);
	const bool is_dry = option_is_set(invocation, "dry-run");
	int exit_code = EXIT_OK;

	if (invocation->is_json)
		print_json(exporting, is_dry);
	else if (!invocation->is_quiet)
		print_text(exporting, is_dry);
	if (!is_dry)
		exit_code = restoring_outcome(&exporting->restoring);
	if (!is_dry && !exporting->is_complete)
		advise(invocation, "there is no completion marker; what is reported is missing");
	return exit_code;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int write_out(struct exporting *exporting, struct restore_options *options)
{
	const struct digests_options lists = { .put = put_list, .arg = exporting };
	int r = 0;

	if (exporting->format == EXPORT_VOLUME)
		return export_volume(exporting, options);
	r = digests_new(&lists, &exporting->digests);
	if (r < 0)
		return fail(invocation_of(exporting), EXIT_FAILED, "digests: %s", strerror(-r));
	options->digested = digests_add;
	options->digested_arg = exporting->digests;
	return exporting->format == EXPORT_TAR ? export_archive(exporting, options)
					       : export_directory(exporting, options);
}

static int run(struct exporting *exporting)
{
	struct restoring *restoring = &exporting->restoring;
	struct restore_options options;
	int r = choose_format(exporting);

	if (r == 0)
		r = restoring_open(restoring);
	if (r == 0)
		r = check_target(exporting);
	if (r == 0 && exporting->format == EXPORT_VOLUME)
		r = export_volume_check(restoring, &exporting->volume, exporting->key);
	if (r != 0)
		return r;
	options = restoring_options(restoring);
	r = restoring_plan(restoring, &options);
	if (r == 0 && !option_is_set(invocation_of(exporting), "dry-run"))
		r = write_out(exporting, &options);
	return r == 0 ? report(exporting) : r;
}

int cmd_export(struct invocation *invocation)
{
	struct exporting exporting = { .fd = -1 };
	int r = 0;

	restoring_init(&exporting.restoring, invocation);
	export_volume_init(&exporting.volume);
	r = run(&exporting);
	export_volume_close(&exporting.volume);
	digests_free(exporting.digests);
	archive_free(exporting.archive);
	if (exporting.fd > STDERR_FILENO)
		close(exporting.fd);
	restoring_close(&exporting.restoring);
	return r;
}
