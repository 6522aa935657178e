/* SPDX-License-Identifier: Apache-2.0 */
/* Running event_command. */
#include "fs/event.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/log.h"
#include "meta/words.h"

#define WAITING_MAX 64
#define TIMEOUT_MS  30000
#define CLOSING_MS  5000 /* for all that wait when the mount ends */
#define SLICE_MS    10
#define NAME_SIZE   64

struct event {
	struct event *next;
	char name[NAME_SIZE];
	char *json;
};

struct events {
	struct words words;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the queue */
	pthread_cond_t has_event;
	struct event *first;
	size_t count;
	bool is_closing;
	_Atomic int64_t closed_at_ms; /* INT64_MAX: not closing */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- One child ------------------------------------------------------------------------------- */

/* In the child, between fork and exec: nothing here may allocate or lock. */
static _Noreturn void exec_command(char *const *words, char *const *environment, int input)
{
	sigset_t none;
	const int null = open("/dev/null", O_WRONLY);

	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	umask(077);
	if (null >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    close_range(STDERR_FILENO + 1, ~0U, 0) == 0)
		execve(words[0], words, environment);
	_exit(127);
}

/* A pipe takes the whole event at once, so that a program which does not read it keeps nobody waiting. */
static int fill_pipe(const struct event *event, int *ret_input)
{
	const size_t size = strlen(event->json);
	int fds[2];
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	n = write(fds[1], event->json, size);
	close(fds[1]);
	if (n != (ssize_t)size || fcntl(fds[0], F_SETFL, 0) < 0) {
		close(fds[0]);
		return n < 0 ? -errno : -E2BIG;
	}
	*ret_input = fds[0];
	return 0;
}

static int start(struct events *events, const struct event *event, pid_t *ret_pid)
{
	char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char language[] = "LANG=C.UTF-8";
	char name[sizeof("SNAPCRYPT_EVENT=") + NAME_SIZE];
	char *const environment[] = { path, language, name, NULL };
	int input = -1;
	int r = fill_pipe(event, &input);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "SNAPCRYPT_EVENT=%s", event->name);
	pid_t pid = fork();

	if (pid == 0)
		exec_command(events->words.list, environment, input);
	r = pid < 0 ? -errno : 0;
	close(input);
	*ret_pid = pid;
	return r;
}

static bool is_time_over(const struct events *events, int64_t start_ms)
{
	const int64_t now = now_ms();

	return now - start_ms > TIMEOUT_MS ||
	       (events->closed_at_ms != INT64_MAX && now - events->closed_at_ms > CLOSING_MS);
}

/* The exit status of the child; -ETIMEDOUT: it and what it started were killed. */
static int wait_for(const struct events *events, pid_t pid)
{
	const int64_t start_ms = now_ms();
	int status = 0;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0 && !is_time_over(events, start_ms))
		nanosleep(&(struct timespec){ .tv_nsec = SLICE_MS * 1000000L }, NULL);
	if (r < 0)
		return -errno;
	if (r == pid)
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -ETIMEDOUT;
}

static void run(struct events *events, const struct event *event)
{
	char text[256] = "";
	pid_t pid;
	int r = start(events, event, &pid);

	if (r == 0)
		r = wait_for(events, pid);
	if (r == -ETIMEDOUT)
		(void)snprintf(text, sizeof(text), "event_command: killed at %s, it took too long",
			       event->name);
	else if (r < 0)
		(void)snprintf(text, sizeof(text), "event_command: not run for %s: %s", event->name,
			       strerror(-r));
	else if (r > 0)
		(void)snprintf(text, sizeof(text), "event_command: ended with %d for %s", r,
			       event->name);
	if (*text != '\0')
		log_line(LOG_WARNING, NULL, text);
}

/* ---- The queue ------------------------------------------------------------------------------- */

static void event_free(struct event *event)
{
	if (event)
		free(event->json);
	free(event);
}

/* The next event; NULL: closing, and nothing waits. */
static struct event *take(struct events *events)
{
	pthread_mutex_lock(&events->lock);
	while (!events->first && !events->is_closing)
		pthread_cond_wait(&events->has_event, &events->lock);
	struct event *event = events->first;

	if (event) {
		events->first = event->next;
		events->count--;
	}
	pthread_mutex_unlock(&events->lock);
	return event;
}

static void *events_main(void *arg)
{
	struct events *events = arg;
	struct event *event;

	while ((event = take(events)) != NULL) {
		run(events, event);
		event_free(event);
	}
	return NULL;
}

static struct event *event_new(const char *name, const char *json)
{
	struct event *event = calloc(1, sizeof(*event));

	if (!event)
		return NULL;
	(void)snprintf(event->name, sizeof(event->name), "%s", name);
	if (asprintf(&event->json, "%s\n", json) < 0) {
		free(event);
		return NULL;
	}
	return event;
}

void events_send(struct events *events, const char *name, const char *json)
{
	struct event *event = event_new(name, json);
	struct event **end = &events->first;

	pthread_mutex_lock(&events->lock);
	if (event && events->count < WAITING_MAX) {
		while (*end)
			end = &(*end)->next;
		*end = event;
		event = NULL;
		events->count++;
		pthread_cond_signal(&events->has_event);
	} else {
		log_line(LOG_WARNING, NULL, "event_command: too slow, an event is dropped");
	}
	pthread_mutex_unlock(&events->lock);
	event_free(event);
}

static int check_command(const struct words *words)
{
	if (words->list[0][0] != '/')
		return -EINVAL;
	return access(words->list[0], X_OK) < 0 ? -errno : 0;
}

int events_open(const char *command, struct events **ret_events)
{
	struct events *events = calloc(1, sizeof(*events));
	int r = events ? words_split(command, &events->words) : -ENOMEM;

	if (r == 0)
		r = check_command(&events->words);
	if (r == 0) {
		events->closed_at_ms = INT64_MAX;
		pthread_mutex_init(&events->lock, NULL);
		pthread_cond_init(&events->has_event, NULL);
		r = -pthread_create(&events->thread, NULL, events_main, events);
	}
	if (r < 0) {
		if (events)
			words_free(&events->words);
		free(events);
		return r;
	}
	*ret_events = events;
	return 0;
}

void events_close(struct events *events)
{
	if (!events)
		return;
	events->closed_at_ms = now_ms();
	pthread_mutex_lock(&events->lock);
	events->is_closing = true;
	pthread_cond_signal(&events->has_event);
	pthread_mutex_unlock(&events->lock);
	pthread_join(events->thread, NULL);
	pthread_cond_destroy(&events->has_event);
	pthread_mutex_destroy(&events->lock);
	words_free(&events->words);
	free(events);
}
