/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the PKCS#11 provider share. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_PKCS11_INTERNAL_H
#define SNAPCRYPT_KMS_PROVIDERS_PKCS11_INTERNAL_H

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kms/crypto/secret.h"
#include "kms/provider.h"
#include "kms/text.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define PKCS11_SERVICE     "PKCS#11"
#define PKCS11_ID_MAX      64
#define PKCS11_LABEL_SIZE  128
#define PKCS11_SERIAL_SIZE 33

/* What was being done when a token refused: some codes say more about a key than about a login. */
enum pkcs11_place {
	PKCS11_LOADING = 1,
	PKCS11_LOGIN = 2,
	PKCS11_FINDING = 4,
	PKCS11_WRAPPING = 8,
	PKCS11_UNWRAPPING = 16,
};

/* A key on a token that is there, and what it may do. */
struct pkcs11_key {
	CK_OBJECT_HANDLE handle;        /* AES, or the private half of RSA; 0: none */
	CK_OBJECT_HANDLE public_handle; /* RSA */
	bool is_rsa;
	bool may_encrypt, may_decrypt, may_wrap, may_unwrap;
	char key_id[KEY_ID_SIZE];
	char label[PKCS11_LABEL_SIZE];
};

/* The token that the URI names, while it is there.  Guarded by the lock of struct pkcs11. */
struct pkcs11_token {
	pid_t pid; /* that made all of this; modules do not survive a fork */
	CK_FUNCTION_LIST **modules;
	bool is_ready;
	CK_FUNCTION_LIST *module;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE
	session; /* never used for work: a token is logged in as long as a session is open */
	bool is_logged_in;
	bool needs_login;
	char label[PKCS11_SERIAL_SIZE];
	char serial[PKCS11_SERIAL_SIZE];
	struct pkcs11_key key;
	unsigned in_use; /* calls that are inside the module now */
};

/* One KEK.  Counted, since a call that hangs in a module outlives whoever asked. */
struct pkcs11 {
	atomic_uint references;
	atomic_uint hanging;
	P11KitUri *uri;
	struct kms_config *config; /* where the PIN is, and the module */
	char *pin_file;            /* of the URI; NULL: none */
	pthread_mutex_t lock;
	struct pkcs11_token token;
	struct secret *refused_pin; /* asking again with it would lock the token */
};

/* A session and the key, for one piece of work.  pkcs11_leave() */
struct pkcs11_visit {
	CK_FUNCTION_LIST *module;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session;
	struct pkcs11_key key;
	char token_label[PKCS11_SERIAL_SIZE];
	bool needs_login;
};

/* Parse the URI into ret_uri (p11_kit_uri_free()); *ret_pin_file: free(), NULL where it names none.  -EINVAL. */
MUST_CHECK int pkcs11_parse_uri(const char *text, P11KitUri **ret_uri, char **ret_pin_file,
				struct kms_error *reterr);

/* Attribute TYPE of the URI; no data: not there. */
struct bytes pkcs11_uri_attribute(P11KitUri *uri, CK_ATTRIBUTE_TYPE type);

/* pkcs11:serial=SERIAL;id=%XX%XX */
void pkcs11_format_id(const char *serial, struct bytes id, char key_id[static KEY_ID_SIZE]);

/* May the canonical KEY_ID be of what URI names?  Compares what the URI says about serial and id. */
bool pkcs11_uri_fits_id(P11KitUri *uri, const char *key_id);

/* Text of a field that is padded with blanks. */
void pkcs11_copy_field(const unsigned char *field, size_t size, char *text, size_t text_size);

/*
 * Have the token ready (module, login, key) and open a session.  Where the module lost its state, once more from the start.
 * The lock is not held.
 */
MUST_CHECK int pkcs11_enter(struct pkcs11 *pkcs11, struct pkcs11_visit *visit,
			    struct kms_error *error);

/* LOST: what the token said makes its sessions and handles useless; the next visit begins anew. */
void pkcs11_leave(struct pkcs11 *pkcs11, struct pkcs11_visit *visit, bool is_lost);

/* Log in where the token asks for it and there is a PIN.  With the lock held. */
MUST_CHECK int pkcs11_login(struct pkcs11 *pkcs11, struct kms_error *error);

/* Find the key that the URI names.  With the lock held. */
MUST_CHECK int pkcs11_find_key(struct pkcs11 *pkcs11, struct kms_error *error);

/* Sessions closed, modules given back.  With the lock held, and nobody inside. */
void pkcs11_forget_token(struct pkcs11_token *token);

/*
 * Wrap a slot secret into the slot's blob, and say in its parameters how; unwrap it.
 *
 *   ret_code   what the token said, for pkcs11_is_lost()
 */
MUST_CHECK int pkcs11_wrap(const struct pkcs11_visit *visit, const struct wrap_context *context,
			   const struct secret *secret, struct slot *slot, CK_RV *ret_code,
			   struct kms_error *error);
MUST_CHECK int pkcs11_unwrap(const struct pkcs11_visit *visit, const struct wrap_context *context,
			     const struct slot *slot, struct secret **ret_secret, CK_RV *ret_code,
			     struct kms_error *error);

/* An answer that says that sessions, handles or the login are gone. */
bool pkcs11_is_lost(CK_RV code);

/* Fill the error from what the token said.  KEY: the key or token, for messages. */
MUST_CHECK int pkcs11_fail(CK_RV code, enum pkcs11_place place, const char *operation,
			   const char *key, struct kms_error *error);

/*
 * A call that runs in a thread of its own, because modules know no deadlines.
 *
 *   work   with the inputs below; fills slot, secret or info.  0, or negative with the error
 */
struct pkcs11_job {
	struct pkcs11 *pkcs11;
	int (*work)(struct pkcs11_job *job);
	struct wrap_context context;
	struct slot slot;
	struct secret *secret;
	struct kms_key_info info;
	struct kms_error error;
	int result;
	bool is_done;
	bool is_abandoned;
	pthread_mutex_t lock;
	pthread_cond_t is_over;
};

/* NULL: out of memory. */
struct pkcs11_job *pkcs11_job_new(struct pkcs11 *pkcs11, int (*work)(struct pkcs11_job *job));
void pkcs11_job_free(struct pkcs11_job *job);

/*
 * Run it and wait for the call's deadline or cancellation.  Takes the job: on success and failure *RET_JOB is it, to read and
 * free; NULL: it still hangs in the module.
 */
MUST_CHECK int pkcs11_run(struct pkcs11_job *job, const struct kms_call *call,
			  struct pkcs11_job **ret_job, struct kms_error *reterr);

/* One owner less; the last one gives the modules back. */
void pkcs11_put(struct pkcs11 *pkcs11);

/* Which attributes the key must have. */
MUST_CHECK int pkcs11_policy(const struct kms_config *config, enum kms_use use, struct text *text,
			     struct kms_error *reterr);

#endif
