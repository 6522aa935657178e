# SPDX-License-Identifier: Apache-2.0
"""Azure Key Vault, Managed HSM and Entra ID, as far as snapcrypt talks to them, and strictly.

A key is wrapped even when it is disabled, and unwrapped even when it has expired, as the service does it.
"""

import base64
import hashlib
import json
import re
import secrets
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fakes.base import Fake, Reply

API = "7.4"
VAULT = "testvault.vault.azure.net"
RESOURCE = "https://vault.azure.net"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CLIENT = "0b1f1e8c-1f0f-4c1e-9a58-3a1a2b6b6a01"
SECRET = "s3cr~t/with+odd&signs="
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text):
    """Strict: no padding, no other alphabet, no set bits after the last byte."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url(data) != text:
        raise ValueError("not canonical base64url")
    return data


class Version:
    def __init__(self, kind):
        self.name = secrets.token_hex(16)
        self.kind = kind
        self.key = (rsa.generate_private_key(65537, 2048) if kind == "RSA" else secrets.token_bytes(32))
        self.enabled = True
        self.created = int(time.time())
        self.expires = None


class FakeAzure(Fake):
    """One vault with its login server; url is the endpoint and the authority."""

    def __init__(self, authority, vault=VAULT, resource=RESOURCE):
        super().__init__(authority)
        self.vault, self.resource = vault, resource
        self.challenge_resource = resource
        self.keys = {}
        self.deleted = {}
        self.permissions = {"wrapKey", "unwrapKey", "get"}
        self.firewalled = False
        self.secret = SECRET
        self.secret_expired = False
        self.certificate = None
        self.federated = None
        self.tokens = {}
        self.token_life = 3600
        self.seen_ids = set()

    # Control.

    def add_key(self, name, kind="RSA"):
        self.keys.setdefault(name, []).append(Version(kind))
        return self.kid(name)

    rotate = add_key

    def kid(self, name, index=-1):
        return f"https://{self.vault}/keys/{name}/{self.keys[name][index].name}"

    def disable(self, name, enabled=False):
        for version in self.keys[name]:
            version.enabled = enabled

    def delete(self, name):
        self.deleted[name] = self.keys.pop(name)

    def recover(self, name):
        self.keys[name] = self.deleted.pop(name)

    def expire_tokens(self):
        self.tokens.clear()

    # Protocol.

    def operation(self, request):
        last = request.path.rsplit("/", 1)[-1]
        if last in ("wrapkey", "unwrapkey"):
            return last
        if last == "token":
            return "login"
        return "get"

    def handle(self, request):
        if request.path == f"/{TENANT}/oauth2/v2.0/token":
            return self.log_in(request)
        if not self.is_authorized(request):
            return Reply(401, {"error": {"code": "Unauthorized", "message": "AKV10000: no valid token"}}, {
                "WWW-Authenticate": f'Bearer authorization="{self.url}/{TENANT}", '
                                    f'resource="{self.challenge_resource}"'})
        if request.query != {"api-version": API}:
            self.complain(f"query {request.query}")
            return self.error(400, "BadParameter", f"The specified version is not valid: {request.query}")
        if self.firewalled:
            return self.error(403, "Forbidden", "Client address is not authorized and caller is not a "
                              "trusted service.", "ForbiddenByFirewall")
        parts = request.path.strip("/").split("/")
        if request.method == "POST" and parts[0] == "keys" and len(parts) in (3, 4):
            return self.operate(request, parts[1], parts[2] if len(parts) == 4 else None, parts[-1])
        if request.method == "GET" and parts[0] in ("keys", "deletedkeys") and len(parts) in (2, 3):
            return self.get(parts)
        self.complain(f"{request.method} {request.path}")
        return self.error(404, "NotFound", "no such resource")

    def is_authorized(self, request):
        found = re.fullmatch(r"Bearer ([\x21-\x7e]+)", request.headers.get("Authorization", ""))
        token = self.tokens.get(found[1]) if found else None
        return bool(token) and token > time.time()

    @staticmethod
    def error(status, code, message, inner=None):
        error = {"code": code, "message": message}
        if inner:
            error["innererror"] = {"code": inner}
        return Reply(status, {"error": error}, {"x-ms-request-id": "b3c0f3a2-7d4c-4a7e-8a52-4b6b3c2f0d11"})

    def not_found(self, name):
        return self.error(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault. If "
                          "you recently deleted this key you may be able to recover it using the correct recovery "
                          "command.")

    def find(self, name, version):
        versions = self.keys.get(name, [])
        if version is None:
            return versions[-1] if versions else None
        return next((one for one in versions if one.name == version), None)

    def operate(self, request, name, version_name, operation):
        permission = {"wrapkey": "wrapKey", "unwrapkey": "unwrapKey"}.get(operation)
        version = self.find(name, version_name)
        if permission is None:
            self.complain(f"operation {operation}")
            return self.error(400, "BadParameter", "Method not supported")
        if permission not in self.permissions:
            return self.error(403, "Forbidden", f"The user, group or application does not have keys {permission} "
                              "permission on key vault.", "ForbiddenByPolicy")
        if version is None:
            return self.not_found(name)
        if permission == "unwrapKey" and version_name is None:
            self.complain("unwrapKey without a version")
        if not version.enabled and permission == "unwrapKey":
            return self.error(403, "Forbidden", "Operation unwrapKey is not allowed on a disabled key.",
                              "KeyDisabled")
        if version.expires and version.expires < time.time() and permission == "wrapKey":
            return self.error(403, "Forbidden", "Operation wrapKey is not allowed on an expired key.")
        if "json" not in request.headers.get("Content-Type", ""):
            self.complain("body is not declared as JSON")
        try:
            body = request.json()
            value = unb64url(body["value"])
        except (ValueError, KeyError, TypeError) as problem:
            self.complain(f"{permission}: {problem}")
            return self.error(400, "BadParameter", "Property value is not base64url")
        return self.apply(permission, name, version, body.get("alg"), value)

    def apply(self, permission, name, version, algorithm, value):
        if algorithm != {"RSA": "RSA-OAEP-256", "oct-HSM": "A256KW"}[version.kind]:
            return self.error(400, "BadParameter", f"Property alg has an invalid algorithm {algorithm} for the key")
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        try:
            if version.kind == "RSA":
                result = (version.key.public_key().encrypt(value, oaep) if permission == "wrapKey"
                          else version.key.decrypt(value, oaep))
            else:
                result = (keywrap.aes_key_wrap(version.key, value) if permission == "wrapKey"
                          else keywrap.aes_key_unwrap(version.key, value))
        except (ValueError, keywrap.InvalidUnwrap):
            return self.error(400, "BadParameter", "The parameter is incorrect.")
        return Reply(200, {"kid": f"https://{self.vault}/keys/{name}/{version.name}", "value": b64url(result)})

    def get(self, parts):
        if "get" not in self.permissions:
            return self.error(403, "Forbidden", "The user, group or application does not have keys get permission",
                              "ForbiddenByPolicy")
        if parts[0] == "deletedkeys":
            versions = self.deleted.get(parts[1])
            version = versions[-1] if versions else None
        else:
            version = self.find(parts[1], parts[2] if len(parts) == 3 else None)
        if version is None:
            return self.not_found(parts[1])
        reply = {"key": {"kid": f"https://{self.vault}/keys/{parts[1]}/{version.name}", "kty": version.kind,
                         "key_ops": ["wrapKey", "unwrapKey"]},
                 "attributes": {"enabled": version.enabled, "created": version.created, "updated": version.created,
                                "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}}
        if parts[0] == "deletedkeys":
            reply["scheduledPurgeDate"] = version.created + 90 * 86400
        return Reply(200, reply)

    # Logins.

    def grant(self, **more):
        token = secrets.token_urlsafe(40)
        self.tokens[token] = time.time() + self.token_life
        return Reply(200, {"token_type": "Bearer", "access_token": token, "expires_in": self.token_life, **more})

    @staticmethod
    def refuse(code, description, status=400):
        return Reply(status, {"error": code, "error_description": f"{description}\r\nTrace ID: 1234"})

    def log_in(self, request):
        if request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            self.complain("login is not a form")
        form = request.form()
        if form.get("grant_type") != "client_credentials" or form.get("scope") != f"{self.resource}/.default":
            self.complain(f"login: {form.get('grant_type')} {form.get('scope')}")
            return self.refuse("invalid_request", "AADSTS900144: wrong grant or scope")
        if form.get("client_id") != CLIENT:
            return self.refuse("unauthorized_client", "AADSTS700016: application not found")
        if "client_secret" in form:
            if self.secret_expired:
                return self.refuse("invalid_client", "AADSTS7000222: The provided client secret keys are expired.",
                                   401)
            if form["client_secret"] != self.secret:
                return self.refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.", 401)
            return self.grant(ext_expires_in=self.token_life)
        if form.get("client_assertion_type") != ASSERTION:
            self.complain("no client_assertion_type")
        if self.federated is not None:
            if form.get("client_assertion") == self.federated:
                return self.grant()
            return self.refuse("invalid_client", "AADSTS700024: Client assertion is not within its valid time range")
        return self.check_assertion(form.get("client_assertion", ""))

    def check_assertion(self, assertion):
        try:
            head, claims, signature = assertion.split(".")
            header, body = json.loads(unb64url(head)), json.loads(unb64url(claims))
            public = self.certificate.public_key()
            public.verify(unb64url(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature, AttributeError) as problem:
            self.complain(f"client assertion: {problem!r}")
            return self.refuse("invalid_client", "AADSTS700027: Client assertion failed signature validation.", 401)
        thumbprint = hashlib.sha1(self.certificate.public_bytes(serialization.Encoding.DER)).digest()
        now = time.time()
        good = (header.get("alg") == "RS256" and header.get("typ") == "JWT"
                and header.get("x5t") == b64url(thumbprint) and header.get("kid") == thumbprint.hex().upper()
                and body.get("aud") == f"{self.url}/{TENANT}/oauth2/v2.0/token"
                and body.get("iss") == body.get("sub") == CLIENT
                and body["nbf"] - 5 <= now < body["exp"] <= body["nbf"] + 600
                and body.get("jti") not in self.seen_ids)
        self.seen_ids.add(body.get("jti"))
        if not good:
            self.complain(f"client assertion: {header} {body}")
            return self.refuse("invalid_client", "AADSTS50027: JWT token is invalid or malformed.", 401)
        return self.grant()

    def load_certificate(self, path):
        self.certificate = x509.load_pem_x509_certificate(path.read_bytes())


class FakeAzureMetadata(Fake):
    """Instance metadata (plain http), and the identity endpoint of an App Service; tokens of AZURE are good."""

    def __init__(self, azure, header=None):
        super().__init__()
        self.azure, self.header = azure, header
        self.identity = True

    def operation(self, request):
        return "login"

    def handle(self, request):
        query = dict(request.query)
        version = query.pop("api-version", None)
        if self.header is None:
            good = (request.path == "/metadata/identity/oauth2/token" and version == "2018-02-01"
                    and request.headers.get("Metadata") == "true")
        else:
            good = version == "2019-08-01" and request.headers.get("X-IDENTITY-HEADER") == self.header
        if not good or query.pop("resource", None) != self.azure.resource or set(query) - {"client_id"}:
            self.complain(f"{request.path} {request.query}")
            return Reply(400, {"error": "invalid_request", "error_description": "Required metadata header missing"})
        if not self.identity:
            return Reply(400, {"error": "invalid_request", "error_description": "Identity not found"})
        reply = self.azure.grant()
        life = reply.body.pop("expires_in")
        reply.body["expires_on"] = str(int(time.time()) + life)
        if self.header is None:
            reply.body["expires_in"] = str(life)
        return reply
