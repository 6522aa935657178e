/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Versions of libraries.
 *
 * Each library may be included by its own few files only, and what counts is what was loaded, not
 * what was there at build time: so they are asked through the dynamic linker.
 */
#include "fs/cmd/libraries.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "meta/macros.h"

static const struct {
	const char *name;
	const char *function;
} questions[] = {
	{ "fuse", "fuse_pkgversion" },      { "openssl", "OpenSSL_version" },
	{ "curl", "curl_version" },         { "json-c", "json_c_version" },
	{ "sqlite", "sqlite3_libversion" }, { "smartcols", "scols_get_library_version" },
};

/* "libcurl/7.88.1 OpenSSL/..." is 7.88.1. */
static void copy_number(const char *text, char version[static 32])
{
	text += strcspn(text, "0123456789");
	snprintf(version, 32, "%.*s", (int)strcspn(text, " "), text);
}

size_t libraries_list(struct library libraries[static LIBRARIES_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(questions) && count < LIBRARIES_MAX; i++) {
		void *symbol = dlsym(RTLD_DEFAULT, questions[i].function);
		const char *version = NULL;

		if (symbol == NULL)
			continue;
		if (strcmp(questions[i].name, "smartcols") == 0) {
			int (*ask)(const char **) = NULL;

			memcpy(&ask, &symbol, sizeof(ask));
			ask(&version);
		} else {
			/* OpenSSL takes a number, 0 for the whole text; the others ignore it. */
			const char *(*ask)(int) = NULL;

			memcpy(&ask, &symbol, sizeof(ask));
			version = ask(0);
		}
		if (version == NULL)
			continue;
		libraries[count].name = questions[i].name;
		copy_number(version, libraries[count++].version);
	}
	return count;
}
