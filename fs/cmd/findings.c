/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of findings. */
#include "fs/cmd/findings.h"

#include <inttypes.h>
#include <string.h>

#include "fs/cmd/progress.h"

void findings_init(struct findings *findings, const struct invocation *invocation)
{
	*findings = (struct findings){
		.invocation = invocation,
		.stream = stdout,
		.list = document_new_array(),
	};
	pthread_mutex_init(&findings->lock, NULL);
	if (invocation->is_json)
		findings->stream = NULL;
}

void findings_free(struct findings *findings)
{
	document_free(findings->list);
	pthread_mutex_destroy(&findings->lock);
	findings->list = NULL;
}

/* A name must not write to the terminal what it likes. */
static void print_name(FILE *stream, const char *name)
{
	for (; *name != '\0'; name++) {
		const unsigned char byte = (unsigned char)*name;

		if (byte < 0x20 || byte == 0x7f)
			fprintf(stream, "\\x%02x", byte);
		else
			fputc(byte, stream);
	}
}

static void print(struct findings *findings, const char *class, const struct finding *finding)
{
	FILE *stream = findings->stream;
	const bool has_snapshot = finding->snapshot != NULL;
	const bool has_path = finding->path[0] != '\0';

	if (stream == NULL || (finding->is_notice && findings->invocation->verbosity == 0))
		return;
	progress_clear_line();
	fprintf(stream, "%s: ", class);
	if (has_snapshot)
		print_name(stream, finding->snapshot);
	if (has_snapshot && has_path)
		fputc('/', stream);
	print_name(stream, finding->path);
	if (finding->block != FINDING_NO_BLOCK)
		fprintf(stream, ": block %" PRIu64, finding->block);
	fprintf(stream, ": %s\n", finding->text);
}

static void keep(struct findings *findings, const char *class, const struct finding *finding)
{
	struct json_object *object = NULL;

	if (document_length(findings->list) >= FINDINGS_KEPT_MAX) {
		findings->dropped++;
		return;
	}
	object = document_new_object();
	document_add_text(object, "class", class);
	document_add_bool(object, "notice", finding->is_notice);
	if (finding->snapshot == NULL)
		document_add_null(object, "snapshot");
	else
		document_add_path(object, "snapshot", finding->snapshot);
	document_add_path(object, "path", finding->path);
	if (finding->block == FINDING_NO_BLOCK)
		document_add_null(object, "block");
	else
		document_add_number(object, "block", finding->block);
	document_add_text(object, "message", finding->text);
	document_append(findings->list, object);
}

void findings_add(struct findings *findings, const struct finding *finding)
{
	const char *class = finding_class_name(finding->class);

	pthread_mutex_lock(&findings->lock);
	if (finding->is_notice)
		findings->notices++;
	else
		findings->counts[finding->class]++;
	print(findings, class, finding);
	keep(findings, class, finding);
	pthread_mutex_unlock(&findings->lock);
}

void findings_add_failure(struct findings *findings, const char *snapshot, const char *path,
			  int error)
{
	const struct finding failure = {
		.snapshot = snapshot,
		.path = path,
		.block = FINDING_NO_BLOCK,
		.text = strerror(-error),
	};

	pthread_mutex_lock(&findings->lock);
	findings->failures++;
	print(findings, "failed", &failure);
	keep(findings, NULL, &failure);
	pthread_mutex_unlock(&findings->lock);
}

uint64_t findings_total(const struct findings *findings)
{
	uint64_t total = 0;

	for (size_t i = 0; i < FINDING_CLASS_COUNT; i++)
		total += findings->counts[i];
	return total;
}

void findings_json(struct findings *findings, struct json_object *output)
{
	struct json_object *counts = document_new_object();

	for (size_t i = 0; i < FINDING_CLASS_COUNT; i++)
		document_add_number(counts, finding_class_name((enum finding_class)i),
				    findings->counts[i]);
	document_add(output, "findings", TAKE(findings->list));
	document_add(output, "counts", counts);
	document_add_number(output, "notices", findings->notices);
	document_add_number(output, "not_listed", findings->dropped);
}
