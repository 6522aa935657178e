/* SPDX-License-Identifier: Apache-2.0 */
/* One thread that sends notifications to the kernel. */
#include "fs/mount/invalidate.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* An entry when it has a name, else an inode. */
struct notice {
	struct notice *next;
	uint64_t node;
	off_t offset;
	off_t size;
	fuse_req_t write;
	char name[];
};

struct notifier {
	struct fuse_session *session;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t is_queued;
	pthread_cond_t is_sent;
	struct notice *first;
	struct notice **end;
	uint64_t queued;
	uint64_t sent;
	bool is_ending;
};

static void send_notice(struct notifier *notifier, const struct notice *notice)
{
	/* The kernel may know nothing of it (ENOENT), or be gone (ENODEV): both are as good as forgotten. */
	if (*notice->name)
		(void)fuse_lowlevel_notify_inval_entry(notifier->session, notice->node,
						       notice->name, strlen(notice->name));
	else
		(void)fuse_lowlevel_notify_inval_inode(notifier->session, notice->node,
						       notice->offset, notice->size);
	if (notice->write)
		fuse_reply_write(notice->write, (size_t)notice->size);
}

static void *notifier_main(void *arg)
{
	struct notifier *notifier = arg;

	pthread_mutex_lock(&notifier->lock);
	while (notifier->first || !notifier->is_ending) {
		struct notice *notice = notifier->first;

		if (!notice) {
			pthread_cond_wait(&notifier->is_queued, &notifier->lock);
			continue;
		}
		notifier->first = notice->next;
		if (!notifier->first)
			notifier->end = &notifier->first;
		pthread_mutex_unlock(&notifier->lock);
		send_notice(notifier, notice);
		free(notice);
		pthread_mutex_lock(&notifier->lock);
		notifier->sent++;
		pthread_cond_broadcast(&notifier->is_sent);
	}
	pthread_mutex_unlock(&notifier->lock);
	return NULL;
}

int notifier_create(struct fuse_session *session, struct notifier **ret_notifier)
{
	struct notifier *notifier = calloc(1, sizeof(*notifier));

	if (!notifier)
		return -ENOMEM;
	notifier->session = session;
	notifier->end = &notifier->first;
	pthread_mutex_init(&notifier->lock, NULL);
	pthread_cond_init(&notifier->is_queued, NULL);
	pthread_cond_init(&notifier->is_sent, NULL);
	if (pthread_create(&notifier->thread, NULL, notifier_main, notifier) != 0) {
		free(notifier);
		return -EAGAIN;
	}
	*ret_notifier = notifier;
	return 0;
}

void notifier_free(struct notifier *notifier)
{
	if (!notifier)
		return;
	pthread_mutex_lock(&notifier->lock);
	notifier->is_ending = true;
	pthread_cond_signal(&notifier->is_queued);
	pthread_mutex_unlock(&notifier->lock);
	pthread_join(notifier->thread, NULL);
	pthread_cond_destroy(&notifier->is_sent);
	pthread_cond_destroy(&notifier->is_queued);
	pthread_mutex_destroy(&notifier->lock);
	free(notifier);
}

static struct notice *notice_new(uint64_t node, const char *name)
{
	struct notice *notice = calloc(1, sizeof(*notice) + strlen(name) + 1);

	if (!notice)
		return NULL;
	notice->node = node;
	memcpy(notice->name, name, strlen(name) + 1);
	return notice;
}

/* A stale page would be worse than a short stall: without memory it is tried again. */
static struct notice *notice_must(uint64_t node, const char *name)
{
	struct notice *notice = notice_new(node, name);

	while (!notice) {
		sched_yield();
		notice = notice_new(node, name);
	}
	return notice;
}

static void queue(struct notifier *notifier, struct notice *notice)
{
	pthread_mutex_lock(&notifier->lock);
	*notifier->end = notice;
	notifier->end = &notice->next;
	notifier->queued++;
	pthread_cond_signal(&notifier->is_queued);
	pthread_mutex_unlock(&notifier->lock);
}

void notifier_inode(struct notifier *notifier, uint64_t node, off_t offset, off_t size)
{
	struct notice *notice = notice_must(node, "");

	notice->offset = offset;
	notice->size = size;
	queue(notifier, notice);
}

void notifier_entry(struct notifier *notifier, uint64_t parent, const char *name)
{
	queue(notifier, notice_must(parent, name));
}

void notifier_reply_write(struct notifier *notifier, fuse_req_t req, uint64_t node, off_t offset,
			  size_t size)
{
	struct notice *notice = notice_must(node, "");

	notice->offset = offset;
	notice->size = (off_t)size;
	notice->write = req;
	queue(notifier, notice);
}

void notifier_drain(struct notifier *notifier)
{
	pthread_mutex_lock(&notifier->lock);
	uint64_t target = notifier->queued;

	while (notifier->sent < target)
		pthread_cond_wait(&notifier->is_sent, &notifier->lock);
	pthread_mutex_unlock(&notifier->lock);
}
