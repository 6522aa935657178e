/* SPDX-License-Identifier: Apache-2.0 */
/* version: what this program is made of. */
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/libraries.h"
#include "fs/document.h"
#include "kms/provider.h"

#define FORMAT_VERSION 1

static const char *const algorithms[] = { "aes-256-gcm", "chacha20-poly1305" };

#ifdef HAVE_LIBPQ
#define HAS_POSTGRESQL true
#else
#define HAS_POSTGRESQL false
#endif
#ifdef HAVE_SYSTEMD
#define HAS_SYSTEMD true
#else
#define HAS_SYSTEMD false
#endif

static void print_json(void)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.version/1");
	struct json_object *list = document_new_array();
	struct json_object *providers = document_new_array();
	struct json_object *features = document_new_object();
	struct json_object *libraries = document_new_object();
	struct library found[LIBRARIES_MAX];
	const size_t count = libraries_list(found);

	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		document_append_text(list, algorithms[i]);
	for (size_t i = 0; kms_providers[i] != NULL; i++)
		document_append_text(providers, kms_providers[i]->name);
	document_add_bool(features, "postgresql", HAS_POSTGRESQL);
	document_add_bool(features, "systemd", HAS_SYSTEMD);
	for (size_t i = 0; i < count; i++)
		document_add_text(libraries, found[i].name, found[i].version);
	document_add_text(output, "version", SNAPCRYPT_VERSION);
	document_add_null(output, "revision");
	document_add_number(output, "format_version", FORMAT_VERSION);
	document_add(output, "algorithms", list);
	document_add(output, "providers", providers);
	document_add(output, "features", features);
	document_add(output, "libraries", libraries);
	document_print(output, stdout);
}

int cmd_version(struct invocation *invocation)
{
	struct library found[LIBRARIES_MAX];
	const size_t count = libraries_list(found);

	if (invocation->is_json) {
		print_json();
		return EXIT_OK;
	}
	printf("snapcrypt %s\nformat: %d\nalgorithms:", SNAPCRYPT_VERSION, FORMAT_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
		printf(" %s", algorithms[i]);
	printf("\nproviders:");
	for (size_t i = 0; kms_providers[i] != NULL; i++)
		printf(" %s", kms_providers[i]->name);
	printf("\nlibraries:");
	for (size_t i = 0; i < count; i++)
		printf(" %s %s", found[i].name, found[i].version);
	printf("\n");
	return EXIT_OK;
}
