/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files, without libFuzzer: so that corpora are tests under every compiler.
 *
 * Each argument is a file or a directory of files.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint64_t replayed_count;

static bool replay_stream(FILE *stream, size_t size)
{
	/* Allocated to the byte, so that a sanitizer sees every read past the end. */
	uint8_t *data = malloc(size);
	bool is_read = (data || size == 0) && fread(data, 1, size, stream) == size;

	if (is_read) {
		LLVMFuzzerTestOneInput(data, size);
		replayed_count++;
	}
	free(data);
	return is_read;
}

static bool replay_file(const char *path, off_t size)
{
	FILE *stream = fopen(path, "rb");
	bool is_done = stream && replay_stream(stream, (size_t)size);

	if (!is_done)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (stream)
		fclose(stream);
	return is_done;
}

static bool replay_path(const char *path);

static bool replay_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	bool is_done = directory != NULL;

	while (directory && (entry = readdir(directory))) {
		char *child = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&child, "%s/%s", path, entry->d_name) < 0)
			abort();
		is_done = replay_path(child) && is_done;
		free(child);
	}
	if (directory)
		closedir(directory);
	return is_done;
}

static bool replay_path(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	return S_ISDIR(st.st_mode) ? replay_directory(path) : replay_file(path, st.st_size);
}

int main(int argc, char **argv)
{
	bool is_done = true;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		is_done = replay_path(argv[i]) && is_done;
	printf("%" PRIu64 " inputs replayed\n", replayed_count);
	return is_done && replayed_count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
