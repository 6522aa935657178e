/* SPDX-License-Identifier: Apache-2.0 */
/* Replies: their headers, and wiping them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "kms/http_internal.h"

#define RETRY_AFTER_MAX_MS 60000

void http_reply_free(struct http_reply *reply)
{
	if (reply->body)
		secret_wipe(reply->body, reply->size);
	if (reply->headers)
		secret_wipe(reply->headers, strlen(reply->headers));
	free(reply->body);
	free(reply->headers);
	*reply = (struct http_reply){ 0 };
}

bool http_reply_header(const struct http_reply *reply, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	for (const char *line = reply->headers; line && *line; line = strchr(line, '\n') + 1) {
		const char *text = line + len + 1;
		size_t text_len;

		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		text += strspn(text, " \t");
		text_len = strcspn(text, "\n");
		while (text_len && strchr(" \t\r", text[text_len - 1]))
			text_len--;
		return snprintf(value, size, "%.*s", (int)text_len, text) < (int)size;
	}
	return false;
}

int64_t http_reply_date_s(const struct http_reply *reply)
{
	char text[64];
	time_t date;

	if (!http_reply_header(reply, "Date", text, sizeof(text)))
		return 0;
	date = curl_getdate(text, NULL);
	return date > 0 ? (int64_t)date : 0;
}

uint32_t http_reply_retry_after_ms(const struct http_reply *reply)
{
	char text[64];
	int64_t wait_s;
	char *end;

	if (!http_reply_header(reply, "Retry-After", text, sizeof(text)))
		return 0;
	wait_s = strtol(text, &end, 10);
	if (end == text || *end) {
		time_t date = curl_getdate(text, NULL);

		wait_s = date > 0 ? (int64_t)date - (int64_t)time(NULL) : 0;
	}
	if (wait_s <= 0)
		return 0;
	return wait_s > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : (uint32_t)wait_s * 1000;
}
