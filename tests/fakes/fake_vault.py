# SPDX-License-Identifier: Apache-2.0
"""Vault's Transit engine and its logins, as far as snapcrypt talks to them, and strictly.

Encrypting with a key that does not exist makes it where the policy says `create`, as the server does it.
"""

import base64
import re
import secrets
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fakes.base import Fake, Reply

ROLE_ID = "a1f0c1d2-role"
SECRET_ID = "b2e1-secret-id"
FULL = {"transit/keys/k1": {"read"}, "transit/encrypt/k1": {"update"}, "transit/decrypt/k1": {"update"}}


class Token:
    def __init__(self, policy, life, renewable=True, max_life=None):
        self.name = "hvs." + secrets.token_urlsafe(24)
        self.accessor = secrets.token_urlsafe(18)
        self.policy, self.renewable, self.life = policy, renewable, life
        now = time.time()
        self.end = now + life if life else float("inf")
        self.max_end = now + max_life if max_life else float("inf")


class FakeVault(Fake):
    """One server with one namespace."""

    def __init__(self, authority, namespace=None, client_ca=None):
        super().__init__(authority, client_ca=client_ca)
        self.namespace = namespace
        self.keys = {}
        self.tokens = {}
        self.policy = {path: set(words) for path, words in FULL.items()}
        self.life, self.max_life, self.renewable = 3600, None, True
        self.secret_ids = {SECRET_ID}
        self.jwt = "kubernetes.jwt.1"
        self.sealed = False
        self.may_look_up = True
        self.may_see_capabilities = True
        self.add_key("transit/k1")

    # Control.

    def add_key(self, path, kind="aes256-gcm96"):
        self.keys[path] = {"type": kind, "versions": [(secrets.token_bytes(32), int(time.time()))],
                           "min_decryption_version": 1, "derived": False, "soft_deleted": False}

    def rotate(self, path="transit/k1"):
        self.keys[path]["versions"].append((secrets.token_bytes(32), int(time.time())))

    def add_token(self, **more):
        token = Token(self.policy, **{"life": self.life, "renewable": self.renewable, "max_life": self.max_life,
                                      **more})
        self.tokens[token.name] = token
        return token

    def revoke_tokens(self):
        self.tokens.clear()

    # Protocol.

    def operation(self, request):
        parts = request.path.split("/")
        if request.path.endswith("/login"):
            return "login"
        if "renew-self" in parts or "lookup-self" in parts or "capabilities-self" in parts:
            return parts[-1]
        return parts[-2] if len(parts) > 3 else request.path

    @staticmethod
    def errors(status, *texts):
        return Reply(status, {"errors": list(texts)})

    def handle(self, request):
        if request.headers.get("X-Vault-Request") != "true":
            self.complain("no X-Vault-Request")
        if not request.path.startswith("/v1/"):
            self.complain(request.path)
            return self.errors(404)
        if self.sealed:
            return self.errors(503, "Vault is sealed")
        if request.headers.get("X-Vault-Namespace") != self.namespace:
            return self.errors(403, "permission denied")
        path = request.path[len("/v1/"):]
        if request.method == "POST" and "json" not in request.headers.get("Content-Type", ""):
            self.complain("body is not declared as JSON")
        if path.startswith("auth/") and path.endswith("/login"):
            return self.log_in(request, path.split("/")[1])
        token = self.tokens.get(request.headers.get("X-Vault-Token"))
        if token is None or token.end < time.time():
            return self.errors(403, "permission denied", "invalid token")
        return self.with_token(request, path, token)

    def with_token(self, request, path, token):
        if path == "auth/token/lookup-self" and request.method == "GET":
            if not self.may_look_up:
                return self.errors(403, "1 error occurred:\n\t* permission denied\n\n")
            ttl = 0 if token.end == float("inf") else int(token.end - time.time())
            return Reply(200, {"data": {"accessor": token.accessor, "ttl": ttl, "renewable": token.renewable,
                                        "policies": ["default"]}})
        if path == "auth/token/renew-self" and request.method == "POST":
            return self.renew(token)
        if path == "sys/capabilities-self" and request.method == "POST":
            if not self.may_see_capabilities:
                return self.errors(403, "permission denied")
            asked = request.json()["paths"]
            found = {one: sorted(token.policy.get(one, {"deny"})) for one in asked}
            return Reply(200, {"data": {"capabilities": found[asked[0]], **found}})
        return self.transit(request, path, token)

    def renew(self, token):
        if not token.renewable:
            return self.errors(400, "lease is not renewable")
        token.end = min(time.time() + token.life, token.max_end)
        return self.auth(token)

    @staticmethod
    def auth(token):
        lease = 0 if token.end == float("inf") else max(0, round(token.end - time.time()))
        return Reply(200, {"auth": {"client_token": token.name, "accessor": token.accessor, "policies": ["default"],
                                    "lease_duration": lease, "renewable": token.renewable}})

    def log_in(self, request, mount):
        body = request.json()
        if mount == "approle":
            if body.get("role_id") != ROLE_ID or body.get("secret_id") not in self.secret_ids:
                return self.errors(400, "invalid role or secret ID")
        elif mount == "kubernetes":
            if body.get("role") != "backup" or body.get("jwt") != self.jwt:
                return self.errors(403, "permission denied")
        elif mount == "cert":
            subject = dict(pair[0] for pair in request.client_certificate.get("subject", ()))
            if subject.get("commonName") != "backup-host":
                return self.errors(400, "invalid certificate or no client certificate supplied")
        else:
            return self.errors(404, f'no handler for route "auth/{mount}/login". route entry not found.')
        return self.auth(self.add_token())

    def transit(self, request, path, token):
        found = re.fullmatch(r"(.+)/(keys|encrypt|decrypt)/([A-Za-z0-9_.-]+)", path)
        if not found:
            return self.errors(404, f'no handler for route "{path}". route entry not found.')
        mount, operation, name = found.groups()
        if not any(key.startswith(f"{mount}/") for key in self.keys) and mount != "transit":
            return self.errors(404, f'no handler for route "{path}". route entry not found.')
        needed = {"keys": "read", "encrypt": "update", "decrypt": "update"}[operation]
        if operation == "encrypt" and f"{mount}/{name}" not in self.keys:
            needed = "create"
        if needed not in token.policy.get(path, ()) and "root" not in token.policy.get(path, ()):
            return self.errors(403, "1 error occurred:\n\t* permission denied\n\n")
        key = self.keys.get(f"{mount}/{name}")
        if operation == "keys":
            return self.describe(name, key) if key else self.errors(404)
        if key is None and operation == "encrypt":
            self.complain(f"a key was made silently: {mount}/{name}")
            self.add_key(f"{mount}/{name}")
            key = self.keys[f"{mount}/{name}"]
        if key is None:
            return self.errors(400, "encryption key not found")
        if key["soft_deleted"]:
            return self.errors(400, "refusing to use soft-deleted key")
        return self.encrypt(key, request.json()) if operation == "encrypt" else self.decrypt(key, request.json())

    def describe(self, name, key):
        latest = len(key["versions"])
        return Reply(200, {"data": {
            "name": name, "type": key["type"], "derived": key["derived"], "latest_version": latest,
            "min_decryption_version": key["min_decryption_version"], "min_encryption_version": 0,
            "keys": {str(number + 1): created for number, (_, created) in enumerate(key["versions"])},
            "soft_deleted": key["soft_deleted"], "auto_rotate_period": 86400, "supports_encryption": True}})

    def decode(self, body, name):
        data = base64.b64decode(body[name], validate=True)
        if base64.b64encode(data).decode() != body[name]:
            raise ValueError(name)
        return data

    def encrypt(self, key, body):
        if key["type"].startswith("rsa"):
            return self.errors(400, "associated_data not supported for this key type")
        if key["derived"]:
            return self.errors(400, "missing 'context' for key derivation; the key was created using a derived key")
        try:
            plain, aad = self.decode(body, "plaintext"), self.decode(body, "associated_data")
        except (ValueError, KeyError) as problem:
            self.complain(f"encrypt: {problem!r}")
            return self.errors(400, "failed to base64-decode plaintext")
        version = len(key["versions"])
        nonce = secrets.token_bytes(12)
        blob = nonce + AESGCM(key["versions"][-1][0]).encrypt(nonce, plain, aad)
        return Reply(200, {"request_id": "5f2c", "data": {
            "ciphertext": f"vault:v{version}:{base64.b64encode(blob).decode()}", "key_version": version}})

    def decrypt(self, key, body):
        found = re.fullmatch(r"vault:v(\d+):(.+)", body.get("ciphertext", ""))
        if not found:
            return self.errors(400, "invalid ciphertext: no prefix")
        version = int(found[1])
        if version > len(key["versions"]):
            return self.errors(400, "invalid ciphertext: version is too new")
        if version < key["min_decryption_version"]:
            return self.errors(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            blob, aad = base64.b64decode(found[2], validate=True), self.decode(body, "associated_data")
            plain = AESGCM(key["versions"][version - 1][0]).decrypt(blob[:12], blob[12:], aad)
        except (ValueError, KeyError):
            return self.errors(400, "invalid ciphertext: could not decode base64")
        except InvalidTag:
            return self.errors(400, "cipher: message authentication failed")
        return Reply(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})
