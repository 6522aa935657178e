/* SPDX-License-Identifier: Apache-2.0 */
/* The passphrase of an embedded keyring. */
#include "kms/keyring_passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "kms/credentials/secret_source.h"

#define PASSPHRASE_MAX 1024

static void write_text(int fd, const char *text)
{
	/* A prompt that cannot be shown is no reason not to read the answer. */
	(void)!write(fd, text, strlen(text));
}

/* One line without echo, byte by byte straight into secret memory. */
static int read_hidden_line(int fd, const char *prompt, struct secret **ret_secret)
{
	CLEANUP(secret_cleanup) struct secret *line = NULL;
	struct termios before;
	struct termios hidden;
	size_t used = 0;
	int r = secret_new(PASSPHRASE_MAX, &line);

	if (r < 0)
		return r;
	if (tcgetattr(fd, &before) != 0)
		return -errno;
	hidden = before;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(fd, TCSAFLUSH, &hidden) != 0)
		return -errno;
	write_text(fd, prompt);
	while (used < PASSPHRASE_MAX && read(fd, secret_data(line) + used, 1) == 1 &&
	       secret_data(line)[used] != '\n')
		used++;
	write_text(fd, "\n");
	tcsetattr(fd, TCSAFLUSH, &before);
	if (used == 0 || used == PASSPHRASE_MAX)
		return -EINVAL;
	return secret_copy((struct bytes){ secret_data(line), used }, ret_secret);
}

static int ask_on_terminal(enum keyring_ask ask, struct secret **ret_secret,
			   struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *first = NULL;
	CLEANUP(secret_cleanup) struct secret *second = NULL;
	const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return kms_fail(
			reterr, -ENOENT, KEY_STATE_UNKNOWN,
			"the keyring needs a passphrase, and there is no terminal to ask on");
	r = read_hidden_line(fd, "Passphrase of the keyring: ", &first);
	if (r == 0 && ask == KEYRING_ASK_NEW)
		r = read_hidden_line(fd, "Once more: ", &second);
	close(fd);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "passphrase: %s",
				r == -EINVAL ? "it is empty or too long" : strerror(-r));
	if (second != NULL &&
	    (secret_bytes(first).size != secret_bytes(second).size ||
	     !secret_equal(secret_data(first), secret_data(second), secret_bytes(first).size)))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"passphrase: the two that were typed differ");
	*ret_secret = TAKE(first);
	return 0;
}

int keyring_access_open(const struct kms_config *config, enum keyring_ask ask,
			struct keyring_access *ret_access, struct kms_error *reterr)
{
	struct secret *passphrase = NULL;
	int r = secret_source_read(config, "passphrase", &passphrase, reterr);

	if (r == -ENOENT)
		r = secret_source_environment("SNAPCRYPT_KEYRING_PASSPHRASE", &passphrase);
	if (r == -ENOENT && ask == KEYRING_ASK_NEVER)
		return kms_fail(reterr, -ENOENT, KEY_STATE_UNKNOWN,
				"%s: no passphrase is configured", config->uri);
	if (r == -ENOENT)
		r = ask_on_terminal(ask, &passphrase, reterr);
	if (r < 0)
		return r;
	memset(ret_access, 0, sizeof(*ret_access));
	ret_access->passphrase = passphrase;
	ret_access->unlock.passphrase = passphrase;
	return 0;
}

void keyring_access_close(struct keyring_access *access)
{
	keyring_unlock_wipe(&access->unlock);
	secret_drop(access->passphrase);
	access->passphrase = NULL;
	access->unlock.passphrase = NULL;
}
