/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress on standard error.
 *
 * A thread of its own prints; it sleeps in poll(2) on a descriptor that the signal handler and progress_stop() write to.
 * The handler is the process's, so it does not matter which thread a signal comes to.
 */
#include "fs/cmd/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "fs/cmd/human.h"

#define BAR_INTERVAL_MS  250
#define LINE_INTERVAL_MS 30000
#define LINE_SIZE        512
#define CURRENT_SIZE     256
#define BAR_WIDTH_MAX    20

struct progress {
	const struct invocation *invocation;
	struct progress_options options;
	bool is_terminal;
	struct timespec started;
	atomic_uint_fast64_t total_items;
	atomic_uint_fast64_t total_bytes;
	atomic_uint_fast64_t items;
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t skipped_items;
	atomic_uint_fast64_t skipped_bytes;
	atomic_uint_fast64_t errors;
	pthread_mutex_t lock; /* guards `current` */
	char current[CURRENT_SIZE];
	atomic_bool has_ended;
	struct sigaction before;
	pthread_t thread;
};

static atomic_int wake_fd = -1;
static atomic_bool has_bar;

static void wake(void)
{
	const uint64_t one = 1;
	const int fd = atomic_load(&wake_fd);

	if (fd >= 0)
		(void)!write(fd, &one, sizeof(one));
}

static void take_signal(int number)
{
	const int saved = errno;

	(void)number;
	wake();
	errno = saved;
}

void progress_clear_line(void)
{
	if (atomic_exchange(&has_bar, false))
		fputs("\r\033[K", stderr);
}

/* ---- What is shown --------------------------------------------------------------------------- */

struct figures {
	uint64_t done;
	uint64_t total;
	double rate; /* a second */
};

static double elapsed_s(const struct progress *progress)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return 0;
	return (double)(now.tv_sec - progress->started.tv_sec) +
	       (double)(now.tv_nsec - progress->started.tv_nsec) / 1e9;
}

static struct figures read_figures(struct progress *progress)
{
	const bool has_bytes = progress->options.has_bytes;
	const uint64_t skipped = has_bytes ? progress->skipped_bytes : progress->skipped_items;
	struct figures figures = {
		.done = has_bytes ? progress->bytes : progress->items,
		.total = has_bytes ? progress->total_bytes : progress->total_items,
	};
	const double seconds = elapsed_s(progress);

	figures.rate = seconds > 0 ? (double)figures.done / seconds : 0;
	figures.done += skipped;
	return figures;
}

/* "1h02m", "3m20s", "12s" */
static void format_left(const struct figures *figures, char text[static HUMAN_SIZE])
{
	uint64_t seconds = 0;

	if (figures->rate <= 0 || figures->total < figures->done) {
		snprintf(text, HUMAN_SIZE, "?");
		return;
	}
	seconds = (uint64_t)((double)(figures->total - figures->done) / figures->rate);
	if (seconds >= 3600)
		snprintf(text, HUMAN_SIZE, "%" PRIu64 "h%02um", seconds / 3600,
			 (unsigned)(seconds / 60 % 60));
	else if (seconds >= 60)
		snprintf(text, HUMAN_SIZE, "%" PRIu64 "m%02us", seconds / 60,
			 (unsigned)(seconds % 60));
	else
		snprintf(text, HUMAN_SIZE, "%" PRIu64 "s", seconds);
}

static unsigned percent(const struct figures *figures)
{
	if (figures->total == 0)
		return 0;
	if (figures->done >= figures->total)
		return 100;
	return (unsigned)((double)figures->done * 100 / (double)figures->total);
}

static void format_amounts(struct progress *progress, const struct figures *figures, char *text,
			   size_t size)
{
	const uint64_t items = progress->items + progress->skipped_items;
	const uint64_t total_items = progress->total_items;
	char done[HUMAN_SIZE];
	char total[HUMAN_SIZE];
	char rate[HUMAN_SIZE];

	if (!progress->options.has_bytes) {
		snprintf(text, size, "%s %" PRIu64 "/%" PRIu64 " %s, %.0f/s",
			 progress->options.verb, items, total_items, progress->options.items,
			 figures->rate);
		return;
	}
	snprintf(text, size, "%s %s/%s, %" PRIu64 "/%" PRIu64 " %s, %s/s", progress->options.verb,
		 human_bytes(figures->done, done), human_bytes(figures->total, total), items,
		 total_items, progress->options.items, human_bytes((uint64_t)figures->rate, rate));
}

/* Without the current item.  Of a total that is not known only what is done. */
static void format_line(struct progress *progress, char line[static LINE_SIZE])
{
	const struct figures figures = read_figures(progress);
	const uint64_t errors = progress->errors;
	char amounts[LINE_SIZE / 2];
	char left[HUMAN_SIZE];
	char failed[HUMAN_SIZE * 2] = "";

	format_amounts(progress, &figures, amounts, sizeof(amounts));
	format_left(&figures, left);
	if (errors > 0)
		snprintf(failed, sizeof(failed), ", %" PRIu64 " errors", errors);
	snprintf(line, LINE_SIZE, "%3u%% %s, %s left%s", percent(&figures), amounts, left, failed);
}

static void copy_current(struct progress *progress, char current[static CURRENT_SIZE])
{
	pthread_mutex_lock(&progress->lock);
	memcpy(current, progress->current, CURRENT_SIZE);
	pthread_mutex_unlock(&progress->lock);
	/* A name must not write to the terminal what it likes. */
	for (char *byte = current; *byte != '\0'; byte++)
		if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
			*byte = '?';
}

static void print_line(struct progress *progress)
{
	char line[LINE_SIZE];
	char current[CURRENT_SIZE];

	format_line(progress, line);
	copy_current(progress, current);
	progress_clear_line();
	fprintf(stderr, "snapcrypt: %s%s%s\n", line, current[0] == '\0' ? "" : ": ", current);
}

static unsigned terminal_width(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
		return 80;
	return size.ws_col < LINE_SIZE ? size.ws_col : LINE_SIZE - 1;
}

static void draw_bar(struct progress *progress)
{
	const struct figures figures = read_figures(progress);
	const unsigned width = terminal_width();
	const unsigned filled = percent(&figures) * BAR_WIDTH_MAX / 100;
	char bar[BAR_WIDTH_MAX + 1];
	char line[LINE_SIZE];
	char current[CURRENT_SIZE];
	char whole[LINE_SIZE + CURRENT_SIZE + BAR_WIDTH_MAX + 8];

	format_line(progress, line);
	copy_current(progress, current);
	for (unsigned i = 0; i < BAR_WIDTH_MAX; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH_MAX] = '\0';
	snprintf(whole, sizeof(whole), "[%s] %s  %s", bar, line, current);
	fprintf(stderr, "\r%.*s\033[K", (int)width - 1, whole);
	fflush(stderr);
	atomic_store(&has_bar, true);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void *run(void *arg)
{
	struct progress *progress = arg;
	struct pollfd woken = { .fd = atomic_load(&wake_fd), .events = POLLIN };
	uint64_t count = 0;

	while (!atomic_load(&progress->has_ended)) {
		const int n = poll(&woken, 1,
				   progress->is_terminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);

		if (n > 0)
			(void)!read(woken.fd, &count, sizeof(count));
		if (atomic_load(&progress->has_ended) || n < 0)
			continue;
		if (n > 0 || !progress->is_terminal)
			print_line(progress);
		else
			draw_bar(progress);
	}
	return NULL;
}

static int start_thread(struct progress *progress)
{
	const struct sigaction action = { .sa_handler = take_signal, .sa_flags = SA_RESTART };
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = 0;

	if (fd < 0)
		return -errno;
	atomic_store(&wake_fd, fd);
	sigaction(SIGUSR1, &action, &progress->before);
	r = -pthread_create(&progress->thread, NULL, run, progress);
	if (r < 0) {
		sigaction(SIGUSR1, &progress->before, NULL);
		atomic_store(&wake_fd, -1);
		close(fd);
	}
	return r;
}

int progress_start(const struct invocation *invocation, const struct progress_options *options,
		   struct progress **ret_progress)
{
	struct progress *progress = calloc(1, sizeof(*progress));
	int r = 0;

	if (progress == NULL)
		return -ENOMEM;
	progress->invocation = invocation;
	progress->options = *options;
	progress->is_terminal = isatty(STDERR_FILENO) == 1;
	pthread_mutex_init(&progress->lock, NULL);
	clock_gettime(CLOCK_MONOTONIC, &progress->started);
	r = invocation->is_quiet ? 0 : start_thread(progress);
	if (r < 0) {
		pthread_mutex_destroy(&progress->lock);
		free(progress);
		return r;
	}
	*ret_progress = progress;
	return 0;
}

void progress_stop(struct progress *progress)
{
	if (progress == NULL)
		return;
	if (!progress->invocation->is_quiet) {
		atomic_store(&progress->has_ended, true);
		wake();
		pthread_join(progress->thread, NULL);
		sigaction(SIGUSR1, &progress->before, NULL);
		close(atomic_exchange(&wake_fd, -1));
		progress_clear_line();
	}
	pthread_mutex_destroy(&progress->lock);
	free(progress);
}

void progress_total(struct progress *progress, uint64_t items, uint64_t bytes)
{
	atomic_store(&progress->total_items, items);
	atomic_store(&progress->total_bytes, bytes);
}

void progress_add(struct progress *progress, uint64_t items, uint64_t bytes)
{
	atomic_fetch_add_explicit(&progress->items, items, memory_order_relaxed);
	atomic_fetch_add_explicit(&progress->bytes, bytes, memory_order_relaxed);
}

void progress_skip(struct progress *progress, uint64_t items, uint64_t bytes)
{
	atomic_fetch_add_explicit(&progress->skipped_items, items, memory_order_relaxed);
	atomic_fetch_add_explicit(&progress->skipped_bytes, bytes, memory_order_relaxed);
}

void progress_error(struct progress *progress)
{
	atomic_fetch_add_explicit(&progress->errors, 1, memory_order_relaxed);
}

void progress_current(struct progress *progress, const char *name)
{
	pthread_mutex_lock(&progress->lock);
	snprintf(progress->current, sizeof(progress->current), "%s", name);
	pthread_mutex_unlock(&progress->lock);
}
