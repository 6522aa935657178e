/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token: modules, which one has it, sessions.
 *
 * Nothing is loaded before the first call, which comes after the last fork of a mount.  Should a process fork later, its child
 * begins anew: handles of the parent mean nothing to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/providers/pkcs11_internal.h"

#define SLOTS_MAX 256

static void close_session(struct pkcs11_token *token)
{
	if (token->session)
		(void)token->module->C_CloseSession(token->session);
	token->session = 0;
	token->is_logged_in = false;
	token->is_ready = false;
}

static void unload(struct pkcs11_token *token)
{
	CK_FUNCTION_LIST **modules = token->modules;

	if (!modules)
		return;
	token->modules = NULL;
	p11_kit_modules_finalize(modules);
	p11_kit_modules_release(modules);
}

void pkcs11_forget_token(struct pkcs11_token *token)
{
	if (token->pid == getpid()) {
		close_session(token);
		unload(token);
	}
	*token = (struct pkcs11_token){ .pid = getpid() };
}

/* p11_kit_modules_release() frees the list, so it must be from malloc, as p11-kit's own are. */
static int load_one(struct pkcs11_token *token, const char *path, struct kms_error *error)
{
	CK_FUNCTION_LIST **modules = calloc(2, sizeof(*modules));
	CK_RV code;

	if (!modules)
		return kms_fail(error, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	modules[0] = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
	if (!modules[0]) {
		const char *message = p11_kit_message();

		free(modules);
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN, "module %s: %s", path,
				message ? message : "cannot be loaded");
	}
	code = p11_kit_module_initialize(modules[0]);
	if (code != CKR_OK) {
		p11_kit_modules_release(modules);
		return pkcs11_fail(code, PKCS11_LOADING, "C_Initialize", path, error);
	}
	token->modules = modules;
	return 0;
}

static int load_modules(struct pkcs11 *pkcs11, struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	const char *path = kms_config_get(pkcs11->config, "module");

	if (token->modules)
		return 0;
	p11_kit_be_quiet();
	if (path)
		return load_one(token, path, error);
	token->modules = p11_kit_modules_load_and_initialize(0);
	if (!token->modules) {
		const char *message = p11_kit_message();

		return kms_fail(error, -EHOSTUNREACH, KEY_STATE_UNREACHABLE,
				"the modules of p11-kit's configuration: %s",
				message ? message : "cannot be loaded");
	}
	return 0;
}

/* Is this slot's token the one of the URI?  The first one is kept; another one is ambiguous unless it has the same serial. */
static int consider_slot(struct pkcs11 *pkcs11, CK_FUNCTION_LIST *module, CK_SLOT_ID slot,
			 struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(pkcs11->uri);
	char serial[PKCS11_SERIAL_SIZE];
	CK_TOKEN_INFO info;

	if ((wanted != (CK_SLOT_ID)-1 && wanted != slot) ||
	    module->C_GetTokenInfo(slot, &info) != CKR_OK ||
	    !(info.flags & CKF_TOKEN_INITIALIZED) ||
	    !p11_kit_uri_match_token_info(pkcs11->uri, &info))
		return 0;
	pkcs11_copy_field(info.serialNumber, sizeof(info.serialNumber), serial, sizeof(serial));
	if (token->module && strcmp(serial, token->serial) != 0)
		return kms_fail(error, -EINVAL, KEY_STATE_UNKNOWN,
				"%s fits two tokens, serial %s and %s; name one with serial=",
				pkcs11->config->uri, token->serial, serial);
	if (token->module)
		return 0;
	token->module = module;
	token->slot = slot;
	token->needs_login = info.flags & CKF_LOGIN_REQUIRED;
	memcpy(token->serial, serial, sizeof(serial));
	pkcs11_copy_field(info.label, sizeof(info.label), token->label, sizeof(token->label));
	return 0;
}

static int find_in_module(struct pkcs11 *pkcs11, CK_FUNCTION_LIST *module, struct kms_error *error)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;
	int r = 0;

	if (module->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
		return 0;
	for (CK_ULONG i = 0; r == 0 && i < count; i++)
		r = consider_slot(pkcs11, module, slots[i], error);
	return r;
}

static int find_token(struct pkcs11 *pkcs11, struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	int r;

	token->module = NULL;
	for (size_t i = 0; token->modules[i]; i++) {
		r = find_in_module(pkcs11, token->modules[i], error);
		if (r < 0)
			return r;
	}
	if (!token->module) {
		r = kms_fail(error, -EHOSTUNREACH, KEY_STATE_UNREACHABLE,
			     "%s: no such token is present", pkcs11->config->uri);
		kms_advise(error, "insert the token, or name its library with `module`");
		error->is_retryable = true;
		return r;
	}
	return 0;
}

static int make_ready(struct pkcs11 *pkcs11, struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	CK_RV code;
	int r;

	if (token->pid != getpid())
		pkcs11_forget_token(token);
	if (token->is_ready)
		return 0;
	close_session(token);
	r = load_modules(pkcs11, error);
	if (r == 0)
		r = find_token(pkcs11, error);
	/* Some modules see a token that was inserted only when they are loaded anew. */
	if (r < 0) {
		if (!token->in_use)
			unload(token);
		return r;
	}
	code = token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL,
					    &token->session);
	if (code != CKR_OK) {
		token->session = 0;
		return pkcs11_fail(code, PKCS11_FINDING, "C_OpenSession", token->label, error);
	}
	r = pkcs11_login(pkcs11, error);
	if (r == 0)
		r = pkcs11_find_key(pkcs11, error);
	if (r < 0)
		close_session(token);
	token->is_ready = r == 0;
	return r;
}

/* With the lock held. */
static int enter(struct pkcs11 *pkcs11, struct pkcs11_visit *visit, CK_RV *ret_code,
		 struct kms_error *error)
{
	struct pkcs11_token *token = &pkcs11->token;
	int r;

	*ret_code = CKR_OK;
	r = make_ready(pkcs11, error);
	if (r < 0)
		return r;
	*visit = (struct pkcs11_visit){ .module = token->module,
					.slot = token->slot,
					.key = token->key,
					.needs_login = token->needs_login && !token->is_logged_in };
	memcpy(visit->token_label, token->label, sizeof(visit->token_label));
	*ret_code = token->module->C_OpenSession(token->slot, CKF_SERIAL_SESSION, NULL, NULL,
						 &visit->session);
	if (*ret_code != CKR_OK)
		return pkcs11_fail(*ret_code, PKCS11_FINDING, "C_OpenSession", token->label, error);
	token->in_use++;
	return 0;
}

int pkcs11_enter(struct pkcs11 *pkcs11, struct pkcs11_visit *visit, struct kms_error *error)
{
	CK_RV code;
	int r;

	pthread_mutex_lock(&pkcs11->lock);
	r = enter(pkcs11, visit, &code, error);
	if (r < 0 && pkcs11_is_lost(code)) {
		close_session(&pkcs11->token);
		r = enter(pkcs11, visit, &code, error);
	}
	pthread_mutex_unlock(&pkcs11->lock);
	return r;
}

void pkcs11_leave(struct pkcs11 *pkcs11, struct pkcs11_visit *visit, bool is_lost)
{
	struct pkcs11_token *token = &pkcs11->token;

	(void)visit->module->C_CloseSession(visit->session);
	pthread_mutex_lock(&pkcs11->lock);
	token->in_use--;
	if (is_lost)
		close_session(token);
	/* Sessions that others have open keep what the module holds of a token that is gone. */
	if (is_lost && !token->in_use)
		unload(token);
	pthread_mutex_unlock(&pkcs11->lock);
}
