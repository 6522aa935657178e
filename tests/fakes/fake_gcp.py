# SPDX-License-Identifier: Apache-2.0
"""Google Cloud KMS with its logins, as far as snapcrypt talks to them, and strictly."""

import base64
import datetime
import json
import re
import secrets
import time

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fakes.base import Fake, Reply
from fakes.fake_azure import unb64url
from fakes.pki import key_pem, write_secret

KEY = "projects/p1/locations/europe-west1/keyRings/r1/cryptoKeys/k1"
EMAIL = "backup@p1.iam.gserviceaccount.com"
TARGET = "restore@p1.iam.gserviceaccount.com"
SCOPE_KMS = "https://www.googleapis.com/auth/cloudkms"
SCOPE_CLOUD = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/prov"
ALL = {"cloudkms.cryptoKeyVersions.useToEncrypt", "cloudkms.cryptoKeyVersions.useToDecrypt",
       "cloudkms.cryptoKeys.get", "cloudkms.cryptoKeyVersions.get"}

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 3808858755


def stamp(seconds):
    return datetime.datetime.utcfromtimestamp(seconds).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


def error(code, name, message, **detail):
    body = {"error": {"code": code, "status": name, "message": message}}
    if detail:
        body["error"]["details"] = [detail]
    return Reply(code, body)


class FakeGcp(Fake):
    """One key ring with its token services; url is the endpoint of all of them."""

    def __init__(self, authority):
        super().__init__(authority)
        self.versions = {}
        self.primary = 0
        self.permissions = set(ALL)
        self.is_known = True
        self.api_enabled = True
        self.tokens = {}             # token -> (end, scopes)
        self.token_life = 3600
        self.account_key = rsa.generate_private_key(65537, 2048)
        self.account_key_id = secrets.token_hex(20)
        self.subject = "subject-token-1"
        self.refresh_token = "1//refresh"
        self.rotate()

    # Control.

    def rotate(self):
        self.primary += 1
        self.versions[self.primary] = {"key": secrets.token_bytes(32), "state": "ENABLED", "created": time.time()}

    def set_state(self, state, number=None):
        self.versions[number or self.primary]["state"] = state

    def version_name(self, number=None):
        return f"{KEY}/cryptoKeyVersions/{number or self.primary}"

    def expire_tokens(self):
        self.tokens.clear()

    def account_file(self, path, **more):
        return write_secret(path, json.dumps({
            "type": "service_account", "project_id": "p1", "private_key_id": self.account_key_id,
            "private_key": key_pem(self.account_key).decode(), "client_email": EMAIL,
            "token_uri": f"{self.url}/token", **more}))

    def external_file(self, path, source, impersonate=False):
        credentials = {"type": "external_account", "audience": AUDIENCE,
                       "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                       "token_url": f"{self.url}/sts/v1/token", "credential_source": source}
        if impersonate:
            credentials["service_account_impersonation_url"] = (
                f"{self.url}/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken")
        path.write_text(json.dumps(credentials))
        return path

    def user_file(self, path):
        return write_secret(path, json.dumps({
            "type": "authorized_user", "client_id": "cid", "client_secret": "csec", "account": "me@example.com",
            "refresh_token": self.refresh_token, "token_uri": f"{self.url}/token", "quota_project_id": "p1"}))

    # Protocol.

    def operation(self, request):
        if request.path.endswith((":encrypt", ":decrypt")):
            return request.path.rsplit(":", 1)[1]
        if request.path.endswith(":generateAccessToken"):
            return "impersonate"
        if request.path in ("/token", "/sts/v1/token"):
            return "login"
        return "subject" if request.path == "/subject" else "get"

    def handle(self, request):
        if request.path == "/token":
            return self.log_in(request)
        if request.path == "/sts/v1/token":
            return self.exchange(request)
        if request.path == "/subject":
            if request.headers.get("X-Flavor") != "test":
                self.complain("subject token asked for without the header")
            return Reply(200, {"value": {"no": 1}, "token": self.subject})
        scopes = self.scopes_of(request)
        if request.path.endswith(":generateAccessToken"):
            return self.impersonate(request, scopes)
        if not scopes & {SCOPE_KMS, SCOPE_CLOUD}:
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if not self.api_enabled:
            return error(403, "PERMISSION_DENIED", "Cloud Key Management Service (KMS) API has not been used in "
                         "project 1 before or it is disabled.", **{
                             "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"})
        if request.path in (f"/v1/{KEY}:encrypt", f"/v1/{KEY}:decrypt") and request.method == "POST":
            return self.operate(request)
        if request.method == "GET":
            return self.get(request.path[len("/v1/"):])
        return self.missing(request.path)

    def scopes_of(self, request):
        found = re.fullmatch(r"Bearer ([\x21-\x7e]+)", request.headers.get("Authorization", ""))
        end, scopes = self.tokens.get(found[1], (0, set())) if found else (0, set())
        return scopes if end > time.time() else set()

    def denied(self, permission):
        return error(403, "PERMISSION_DENIED", f"Permission '{permission}' denied on resource '{KEY}' (or it may "
                     "not exist).")

    def missing(self, path):
        return error(404, "NOT_FOUND", f"{path} not found.")

    def check(self, body, name):
        """A member with its checksum, both as the protocol wants them."""
        data = base64.b64decode(body[name], validate=True)
        if base64.b64encode(data).decode() != body[name]:
            raise ValueError(f"{name} is not canonical base64")
        if not isinstance(body[f"{name}Crc32c"], str):
            raise ValueError(f"{name}Crc32c is not a string")
        if int(body[f"{name}Crc32c"]) != crc32c(data):
            raise ValueError(f"{name}Crc32c does not fit")
        return data

    def operate(self, request):
        encrypts = request.path.endswith(":encrypt")
        permission = "cloudkms.cryptoKeyVersions.useTo" + ("Encrypt" if encrypts else "Decrypt")
        if permission not in self.permissions:
            return self.denied(permission)
        if not self.is_known:
            return self.missing(KEY)
        try:
            body = request.json()
            data = self.check(body, "plaintext" if encrypts else "ciphertext")
            aad = self.check(body, "additionalAuthenticatedData")
            if len(body) != 4 or not data or not aad:
                raise ValueError(f"members {sorted(body)}")
        except (ValueError, KeyError, TypeError) as problem:
            self.complain(f"{request.path}: {problem!r}")
            return error(400, "INVALID_ARGUMENT", "The checksum in field crc32c did not match the data.")
        return self.encrypt(data, aad) if encrypts else self.decrypt(data, aad)

    def refuse_state(self, number):
        state = self.versions[number]["state"]
        if state == "ENABLED":
            return None
        kind = {"DISABLED": "KEY_DISABLED", "DESTROY_SCHEDULED": "KEY_DESTROY_SCHEDULED",
                "DESTROYED": "KEY_DESTROYED"}.get(state, "KEY_PENDING_GENERATION")
        return error(400, "FAILED_PRECONDITION", f"{self.version_name(number)} is not enabled, current state is: "
                     f"{state}.", **{"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                                     "violations": [{"type": kind, "subject": self.version_name(number)}]})

    def encrypt(self, data, aad):
        refusal = self.refuse_state(self.primary)
        if refusal:
            return refusal
        nonce = secrets.token_bytes(12)
        blob = (b"\x0a\x24" + self.primary.to_bytes(4, "big") + nonce
                + AESGCM(self.versions[self.primary]["key"]).encrypt(nonce, data, aad))
        return Reply(200, {"name": self.version_name(), "ciphertext": base64.b64encode(blob).decode(),
                           "ciphertextCrc32c": str(crc32c(blob)), "verifiedPlaintextCrc32c": True,
                           "verifiedAdditionalAuthenticatedDataCrc32c": True, "protectionLevel": "SOFTWARE"})

    def decrypt(self, blob, aad):
        failed = error(400, "INVALID_ARGUMENT",
                       "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
        number = int.from_bytes(blob[2:6], "big")
        if blob[:2] != b"\x0a\x24" or number not in self.versions:
            return failed
        refusal = self.refuse_state(number)
        if refusal:
            return refusal
        try:
            plain = AESGCM(self.versions[number]["key"]).decrypt(blob[6:18], blob[18:], aad)
        except InvalidTag:
            return failed
        reply = {"plaintext": base64.b64encode(plain).decode(), "plaintextCrc32c": str(crc32c(plain)),
                 "protectionLevel": "SOFTWARE"}
        if number == self.primary:   # proto3 leaves false out
            reply["usedPrimary"] = True
        return Reply(200, reply)

    def describe_version(self, number):
        version = self.versions[number]
        reply = {"name": self.version_name(number), "state": version["state"], "protectionLevel": "SOFTWARE",
                 "algorithm": "GOOGLE_SYMMETRIC_ENCRYPTION", "createTime": stamp(version["created"])}
        if version["state"] == "DESTROY_SCHEDULED":
            reply["destroyTime"] = stamp(version["created"] + 30 * 86400)
        return reply

    def get(self, name):
        found = re.fullmatch(re.escape(KEY) + r"/cryptoKeyVersions/(\d+)", name)
        permission = "cloudkms.cryptoKeyVersions.get" if found else "cloudkms.cryptoKeys.get"
        if permission not in self.permissions:
            return self.denied(permission)
        if not self.is_known or (name != KEY and not (found and int(found[1]) in self.versions)):
            return self.missing(name)
        if found:
            return Reply(200, self.describe_version(int(found[1])))
        return Reply(200, {"name": KEY, "primary": self.describe_version(self.primary),
                           "purpose": "ENCRYPT_DECRYPT", "createTime": stamp(self.versions[1]["created"]),
                           "nextRotationTime": stamp(self.versions[self.primary]["created"] + 7776000),
                           "rotationPeriod": "7776000s"})

    # Logins.

    def grant(self, *scopes):
        token = "ya29." + secrets.token_urlsafe(40)
        self.tokens[token] = (time.time() + self.token_life, set(scopes))
        return token

    def token_reply(self, *scopes):
        return Reply(200, {"access_token": self.grant(*scopes), "expires_in": self.token_life,
                           "token_type": "Bearer"})

    @staticmethod
    def refuse(code, description, status=400):
        return Reply(status, {"error": code, "error_description": description})

    def log_in(self, request):
        form = request.form()
        if form.get("grant_type") == "refresh_token":
            good = (form.get("client_id"), form.get("client_secret"), form.get("refresh_token"))
            if good != ("cid", "csec", self.refresh_token):
                return self.refuse("invalid_grant", "Token has been expired or revoked.")
            return self.token_reply(SCOPE_CLOUD)
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            self.complain(f"grant {form.get('grant_type')}")
            return self.refuse("unsupported_grant_type", "Invalid grant_type")
        try:
            head, claims, signature = form["assertion"].split(".")
            header, body = json.loads(unb64url(head)), json.loads(unb64url(claims))
            self.account_key.public_key().verify(unb64url(signature), f"{head}.{claims}".encode(),
                                                 padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, KeyError, InvalidSignature) as problem:
            self.complain(f"assertion: {problem!r}")
            return self.refuse("invalid_grant", "Invalid JWT Signature.")
        now = time.time()
        if (header != {"alg": "RS256", "typ": "JWT", "kid": self.account_key_id} or body.get("iss") != EMAIL
                or body.get("aud") != f"{self.url}/token" or body.get("scope") not in (SCOPE_KMS, SCOPE_CLOUD)
                or not body["iat"] - 5 <= now < body["exp"] <= body["iat"] + 3600):
            self.complain(f"assertion: {header} {body}")
            return self.refuse("invalid_grant", "Invalid JWT")
        return self.token_reply(body["scope"])

    def exchange(self, request):
        form = request.form()
        expected = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": AUDIENCE,
                    "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
        if any(form.get(name) != value for name, value in expected.items()) or form.get("scope") not in (
                SCOPE_KMS, SCOPE_CLOUD):
            self.complain(f"exchange: {form}")
            return self.refuse("invalid_request", "wrong exchange")
        if form.get("subject_token") != self.subject:
            return self.refuse("invalid_grant", "The subject token is expired or unknown.")
        return Reply(200, {"access_token": self.grant(form["scope"]), "expires_in": self.token_life,
                           "token_type": "Bearer",
                           "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})

    def impersonate(self, request, scopes):
        if SCOPE_CLOUD not in scopes:
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if f"/serviceAccounts/{TARGET}:" not in request.path:
            return error(403, "PERMISSION_DENIED", "Permission iam.serviceAccounts.getAccessToken denied")
        if request.json() != {"scope": [SCOPE_KMS], "lifetime": "3600s"}:
            self.complain(f"impersonation: {request.body}")
        return Reply(200, {"accessToken": self.grant(SCOPE_KMS), "expireTime": stamp(time.time() + self.token_life)})


class FakeGcpMetadata(Fake):
    """The metadata server (plain http); tokens of GCP are good."""

    def __init__(self, gcp):
        super().__init__()
        self.gcp = gcp
        self.flavor = "Google"

    def operation(self, request):
        return "login" if request.path.endswith("/token") else "email"

    def handle(self, request):
        headers = {"Metadata-Flavor": self.flavor} if self.flavor else {}
        if request.headers.get("Metadata-Flavor") != "Google":
            self.complain("no Metadata-Flavor")
            return Reply(403, b"", headers)
        if request.path == "/computeMetadata/v1/instance/service-accounts/default/token":
            reply = self.gcp.token_reply(SCOPE_CLOUD)
            reply.headers.update(headers)
            return reply
        if request.path == "/computeMetadata/v1/instance/service-accounts/default/email":
            return Reply(200, EMAIL.encode(), {"Content-Type": "text/plain", **headers})
        return Reply(404, b"", headers)
