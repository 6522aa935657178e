/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of digests. */
#include "fs/export/digests.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/walk.h"
#include "meta/encoding.h"

#define LIST_SIZE ((size_t)1 << 20)
#define LIST_NAME ".snapcrypt-export.%u.sha256"
#define LINE_SIZE (1 + 2 * SHA256_SIZE + 2 + 2 * WALK_PATH_SIZE + 1)
#define NAME_SIZE 64

struct digests {
	struct digests_options options;
	pthread_mutex_t lock; /* guards what follows */
	struct hash *hash;    /* of all lists */
	struct json_object *paths;
	unsigned count;
	char *list;
	size_t used;
};

int digests_new(const struct digests_options *options, struct digests **ret_digests)
{
	struct digests *digests = calloc(1, sizeof(*digests));
	int r = 0;

	if (digests == NULL)
		return -ENOMEM;
	pthread_mutex_init(&digests->lock, NULL);
	digests->options = *options;
	digests->paths = document_new_array();
	digests->list = malloc(LIST_SIZE);
	r = digests->list == NULL ? -ENOMEM : hash_new(&digests->hash);
	if (r < 0) {
		digests_free(digests);
		return r;
	}
	*ret_digests = digests;
	return 0;
}

void digests_free(struct digests *digests)
{
	if (digests == NULL)
		return;
	document_free(digests->paths);
	hash_free(digests->hash);
	free(digests->list);
	pthread_mutex_destroy(&digests->lock);
	free(digests);
}

/* A name with a backslash or an end of line in it is written with backslashes, and the line begins with one. */
static size_t format_line(const char *path, const uint8_t *digest, char line[static LINE_SIZE])
{
	char *to = line;

	if (strpbrk(path, "\\\n\r") != NULL)
		*to++ = '\\';
	hex_encode((struct bytes){ digest, SHA256_SIZE }, to);
	to += 2 * SHA256_SIZE;
	*to++ = ' ';
	*to++ = ' ';
	for (; *path != '\0'; path++) {
		if (*path == '\\' || *path == '\n' || *path == '\r')
			*to++ = '\\';
		*to++ = *path == '\n' ? 'n' : *path == '\r' ? 'r' : *path;
	}
	*to++ = '\n';
	return (size_t)(to - line);
}

/* With the lock held. */
static int pass_on(struct digests *digests, const char *near)
{
	struct json_object *list = NULL;
	char name[NAME_SIZE];
	char *path = NULL;
	int r = 0;

	if (digests->used == 0)
		return 0;
	snprintf(name, sizeof(name), LIST_NAME, digests->count + 1);
	r = hash_update(digests->hash,
			(struct bytes){ (const uint8_t *)digests->list, digests->used });
	if (r == 0)
		r = digests->options.put(digests->options.arg, near, name, digests->list,
					 digests->used, &path);
	if (r < 0)
		return r;
	list = document_new_object();
	document_add_path(list, "path", path);
	document_append(digests->paths, list);
	free(path);
	digests->count++;
	digests->used = 0;
	return 0;
}

int digests_add(void *arg, const char *path, const uint8_t digest[static SHA256_SIZE])
{
	struct digests *digests = arg;
	char line[LINE_SIZE];
	const size_t size = format_line(path, digest, line);
	int r = 0;

	pthread_mutex_lock(&digests->lock);
	if (size > LIST_SIZE - digests->used)
		r = pass_on(digests, path);
	if (r == 0) {
		memcpy(digests->list + digests->used, line, size);
		digests->used += size;
	}
	pthread_mutex_unlock(&digests->lock);
	return r;
}

int digests_finish(struct digests *digests)
{
	int r = 0;

	pthread_mutex_lock(&digests->lock);
	r = pass_on(digests, "");
	pthread_mutex_unlock(&digests->lock);
	return r;
}

int digests_document(struct digests *digests, struct json_object *object)
{
	uint8_t digest[SHA256_SIZE];
	char text[HEX_TEXT_SIZE(SHA256_SIZE)];
	const int r = hash_final(digests->hash, digest);

	if (r < 0)
		return r;
	hex_encode((struct bytes){ digest, sizeof(digest) }, text);
	document_add(object, "digest_lists", document_share(digests->paths));
	document_add_text(object, "digest_lists_sha256", text);
	return 0;
}
