/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files of Ed25519 keys.
 *
 * PEM of PKCS #8 (RFC 8410) has one form and one length for a private key without attributes, so it
 * is written and read here, in secret memory, and passes through no buffers of a general parser.
 */
#include "kms/crypto/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/crypto/secret.h"
#include "kms/crypto/sign_seed.h"
#include "meta/encoding.h"

static const char pem_begin[] = "-----BEGIN PRIVATE KEY-----\n";
static const char pem_end[] = "\n-----END PRIVATE KEY-----\n";

/* SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING of 32 } } */
static const uint8_t der_prefix[] = { 0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
				      0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20 };

#define PEM_BEGIN_SIZE (sizeof(pem_begin) - 1)
#define PEM_END_SIZE   (sizeof(pem_end) - 1)
#define DER_SIZE       (sizeof(der_prefix) + SIGN_SEED_SIZE)
#define PEM_BODY_SIZE  (BASE64_TEXT_SIZE(DER_SIZE) - 1)
#define PEM_SIZE       (PEM_BEGIN_SIZE + PEM_BODY_SIZE + PEM_END_SIZE)

static void close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* PEM has PEM_SIZE bytes, in secret memory. */
static int encode_pem(const struct sign_key *key, uint8_t *pem)
{
	CLEANUP(secret_free_cleanup) uint8_t *der = secret_alloc(DER_SIZE);
	CLEANUP(secret_free_cleanup) uint8_t *body = secret_alloc(PEM_BODY_SIZE + 1);

	if (!der || !body)
		return -ENOMEM;
	memcpy(der, der_prefix, sizeof(der_prefix));
	memcpy(der + sizeof(der_prefix), sign_key_seed(key).data, SIGN_SEED_SIZE);
	base64_encode((struct bytes){ der, DER_SIZE }, (char *)body);
	memcpy(pem, pem_begin, PEM_BEGIN_SIZE);
	memcpy(pem + PEM_BEGIN_SIZE, body, PEM_BODY_SIZE);
	memcpy(pem + PEM_BEGIN_SIZE + PEM_BODY_SIZE, pem_end, PEM_END_SIZE);
	return 0;
}

static int decode_pem(const uint8_t *pem, struct sign_key **ret_key)
{
	CLEANUP(secret_free_cleanup) uint8_t *der = secret_alloc(DER_SIZE);
	const struct bytes body = { pem + PEM_BEGIN_SIZE, PEM_BODY_SIZE };

	if (!der)
		return -ENOMEM;
	if (memcmp(pem, pem_begin, PEM_BEGIN_SIZE) != 0 ||
	    memcmp(pem + PEM_BEGIN_SIZE + PEM_BODY_SIZE, pem_end, PEM_END_SIZE) != 0 ||
	    base64_decode(body, der, DER_SIZE) != (ssize_t)DER_SIZE ||
	    memcmp(der, der_prefix, sizeof(der_prefix)) != 0)
		return -EBADMSG;
	return sign_key_import((struct bytes){ der + sizeof(der_prefix), SIGN_SEED_SIZE }, ret_key);
}

/* -EPERM: somebody else could have read or written the file. */
static int check_owner(int fd, size_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
	    (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return -EPERM;
	*ret_size = (size_t)st.st_size;
	return 0;
}

static int read_all(int fd, uint8_t *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int sign_key_load(const char *path, struct sign_key **ret_key)
{
	/* O_NONBLOCK: a FIFO put there must not hold us up. */
	CLEANUP(close_cleanup)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	CLEANUP(secret_free_cleanup) uint8_t *pem = secret_alloc(PEM_SIZE);
	size_t size = 0;

	if (fd < 0)
		return -errno;
	if (!pem)
		return -ENOMEM;

	int r = check_owner(fd, &size);

	if (r < 0)
		return r;
	if (size != PEM_SIZE)
		return -EBADMSG;
	r = read_all(fd, pem, PEM_SIZE);
	if (r < 0)
		return r;
	return decode_pem(pem, ret_key);
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, data + done, size - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Give the finished file its name, unless that is taken.  NFS knows no RENAME_NOREPLACE. */
static int publish(const char *temporary, const char *path)
{
	if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (link(temporary, path) < 0)
		return -errno;
	return unlink(temporary) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int size = !slash ? snprintf(parent, sizeof(parent), ".")
			  : snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path + 1), path);

	if (size < 0 || (size_t)size >= sizeof(parent))
		return -ENAMETOOLONG;

	CLEANUP(close_cleanup) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int sign_key_save(const struct sign_key *key, const char *path)
{
	CLEANUP(secret_free_cleanup) uint8_t *pem = secret_alloc(PEM_SIZE);
	char temporary[PATH_MAX];
	int size = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);

	if (size < 0 || (size_t)size >= sizeof(temporary))
		return -ENAMETOOLONG;
	if (!pem)
		return -ENOMEM;

	int r = encode_pem(key, pem);

	if (r < 0)
		return r;

	CLEANUP(close_cleanup) int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return -errno;

	/* Whatever the umask took away. */
	r = fchmod(fd, S_IRUSR | S_IWUSR) < 0 ? -errno : write_all(fd, pem, PEM_SIZE);
	if (r == 0)
		r = publish(temporary, path);
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_parent(path);
}
