# SPDX-License-Identifier: Apache-2.0
"""AWS KMS with STS, and the metadata services that hand out credentials.

FakeAws recomputes every signature with botocore, refuses skew, another region or service, foreign and expired
credentials, and keeps EncryptionContext and the state of every key.
"""

import base64
import calendar
import dataclasses
import json
import re
import secrets
import time
import urllib.parse
import xml.sax.saxutils

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fakes.base import Fake, Reply, change

ACCOUNT = "111122223333"
REGION = "eu-central-1"
SKEW_S = 300
AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                           r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})")
MUST_SIGN = {"host", "x-amz-date", "content-type"}


class Refusal(Exception):
    def __init__(self, name, message="", status=400):
        super().__init__(name)
        self.name, self.message, self.status = name, message, status


# Faults beside those of base.py.

def error(name, message="", code=400):
    """Any exception of KMS."""
    return lambda request, answer: Reply(code, {"__type": name, "message": message})


def throttle():
    return error("ThrottlingException", "Rate exceeded")


def sts_error(name, code=400):
    return lambda request, answer: Reply(code, sts_refusal(name, "no", "0"), XML)


def wrong_key():
    """An answer about another key."""
    return change(lambda body: body.update(KeyId=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/ffffffff-0000-0000-0000-000000000000"))


def flip(member):
    """One bit of a blob in the answer."""
    def function(body):
        raw = bytearray(base64.b64decode(body[member]))
        raw[len(raw) // 2] ^= 1
        body[member] = base64.b64encode(raw).decode()
    return change(function)


XML = {"Content-Type": "text/xml"}


def sts_refusal(name, message, request_id):
    return (f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
            f"<Code>{name}</Code><Message>{xml.sax.saxutils.escape(message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>").encode()


@dataclasses.dataclass
class Key:
    key_id: str
    region: str
    secret: bytes
    account: str = ACCOUNT
    state: str = "Enabled"
    created: float = dataclasses.field(default_factory=time.time)
    deletion: float = None
    rotates: float = None

    @property
    def arn(self):
        return f"arn:aws:kms:{self.region}:{self.account}:key/{self.key_id}"


@dataclasses.dataclass
class Identity:
    access_key_id: str
    secret: str
    principal: str
    token: str = None
    expires: float = None


@dataclasses.dataclass
class Role:
    arn: str
    external_id: str = None
    web_identity: str = None  # the token that may assume it
    duration_s: int = 3600


class FakeAws(Fake):
    def __init__(self, authority, *names, region=REGION):
        super().__init__(authority, *names)
        self.region = region
        self.keys = {}  # (region, id)
        self.aliases = {}  # (region, alias/NAME) -> Key
        self.identities = {}
        self.roles = {}
        self.denied = set()  # (principal or None, operation or None)
        self.signed_as = []
        self.contexts = []

    # ---- What a test sets up ----

    def add_key(self, alias=None, key_id=None, region=None, secret=None):
        key_id = key_id or "%08x-1111-2222-3333-%012x" % (secrets.randbits(32), secrets.randbits(48))
        key = Key(key_id, region or self.region, secret or secrets.token_bytes(32))
        self.keys[key.region, key_id] = key
        if alias:
            self.aliases[key.region, f"alias/{alias}"] = key
        return key

    def replicate(self, key, region):
        """The same multi-Region key elsewhere."""
        assert key.key_id.startswith("mrk-")
        return self.add_key(key_id=key.key_id, region=region, secret=key.secret)

    def add_user(self, principal="arn:aws:iam::111122223333:user/backup", kind="AKIA", **more):
        identity = Identity(kind + secrets.token_hex(8).upper(), secrets.token_urlsafe(30), principal, **more)
        self.identities[identity.access_key_id] = identity
        return identity

    def add_session(self, principal, seconds=3600):
        token = base64.b64encode(secrets.token_bytes(300)).decode()
        return self.add_user(principal, "ASIA", token=token, expires=self.now() + seconds)

    def add_role(self, name, **more):
        role = Role(f"arn:aws:iam::{ACCOUNT}:role/{name}", **more)
        self.roles[role.arn] = role
        return role

    @property
    def tokens(self):
        """Everything that must not be found anywhere."""
        return [word for one in self.identities.values() for word in (one.secret, one.token) if word]

    def deny(self, operation=None, principal=None):
        self.denied.add((principal, operation))

    # ---- Requests ----

    def operation(self, request):
        target = request.headers.get("X-Amz-Target", "")
        if target.startswith("TrentService."):
            return target.partition(".")[2]
        form = urllib.parse.parse_qs(request.body.decode("latin1"))
        return form.get("Action", ["?"])[0]

    def handle(self, request):
        operation = self.operation(request)
        is_sts = operation.startswith("AssumeRole")
        request_id = secrets.token_hex(8)
        try:
            if request.method != "POST" or request.path != "/" or request.query:
                raise Refusal("UnknownOperationException", f"{request.method} {request.path}")
            if is_sts:
                return self._sts(request, operation, request_id)
            return self._kms(request, operation, request_id)
        except Refusal as refusal:
            if is_sts:
                return Reply(refusal.status, sts_refusal(refusal.name, refusal.message, request_id), XML)
            return self._reply({"__type": refusal.name, "message": refusal.message}, request_id, refusal.status)

    @staticmethod
    def _reply(body, request_id, status=200):
        return Reply(status, body, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id})

    # ---- Signatures ----

    def _authenticate(self, request, service):
        header = request.headers.get("Authorization")
        if not header:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        found = AUTHORIZATION.fullmatch(header)
        if not found:
            raise Refusal("IncompleteSignatureException", "Authorization cannot be read")
        access_key_id, day, region, scope_service, signed, signature = found.groups()
        date = request.headers.get("X-Amz-Date", "")
        self._check_scope(date, day, region, scope_service, service)
        identity = self._identity(access_key_id, request.headers.get("X-Amz-Security-Token"))
        names = signed.split(";")
        self._check_signed(request, names, identity)
        if self._signature(request, names, identity, region, service, date) != signature:
            raise Refusal("InvalidSignatureException", "The request signature we calculated does not match "
                          "the signature you provided.")
        if identity.expires and identity.expires <= self.now():
            raise Refusal("ExpiredTokenException", "The security token included in the request is expired")
        self.signed_as.append(identity.principal)
        return identity

    def _check_scope(self, date, day, region, scope_service, service):
        if not re.fullmatch(r"\d{8}T\d{6}Z", date) or not date.startswith(day):
            raise Refusal("IncompleteSignatureException", "Date must be in ISO-8601 basic format")
        if scope_service != service:
            raise Refusal("InvalidSignatureException", f"Credential should be scoped to correct service: '{service}'.")
        if not any(key_region == region for key_region, _ in self.keys) and region != self.region:
            raise Refusal("InvalidSignatureException", "Credential should be scoped to a valid region.")
        told = time.strptime(date, "%Y%m%dT%H%M%SZ")
        if abs(calendar.timegm(told) - self.now()) > SKEW_S:
            raise Refusal("InvalidSignatureException", f"Signature expired: {date} is now out of range")

    def _identity(self, access_key_id, token):
        identity = self.identities.get(access_key_id)
        if not identity or identity.token != token:
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        return identity

    def _check_signed(self, request, names, identity):
        must = MUST_SIGN | ({"x-amz-target"} if request.headers.get("X-Amz-Target") else set())
        must |= {"x-amz-security-token"} if identity.token else set()
        missing = must - set(names)
        if missing or names != sorted(names):
            raise Refusal("InvalidSignatureException", f"headers that must be signed: {sorted(missing)}")

    def _signature(self, request, names, identity, region, service, date):
        signed = AWSRequest("POST", self.url + "/", {name: request.headers[name] for name in names}, request.body)
        signed.context["timestamp"] = date
        auth = SigV4Auth(Credentials(identity.access_key_id, identity.secret, identity.token), service, region)
        canonical = auth.canonical_request(signed)
        return auth.signature(auth.string_to_sign(signed, canonical), signed)

    # ---- STS ----

    def _sts(self, request, operation, request_id):
        form = {name: values[0] for name, values in urllib.parse.parse_qs(request.body.decode()).items()}
        role = self.roles.get(form.get("RoleArn"))
        if form.get("Version") != "2011-06-15" or not re.fullmatch(r"[\w+=,.@-]{2,64}", form.get("RoleSessionName", "")):
            raise Refusal("ValidationError", "RoleSessionName or Version")
        if operation == "AssumeRoleWithWebIdentity":
            if request.headers.get("Authorization"):
                raise Refusal("ValidationError", "must not be signed")
            if not role or not role.web_identity or form.get("WebIdentityToken") != role.web_identity:
                raise Refusal("InvalidIdentityToken", "Couldn't retrieve verification key")
        else:
            identity = self._authenticate(request, "sts")
            if not role or role.external_id != form.get("ExternalId"):
                raise Refusal("AccessDenied", f"User: {identity.principal} is not authorized to perform: "
                              f"sts:AssumeRole on resource: {form.get('RoleArn')} & more", 403)
        session = self.add_session(role.arn, int(form.get("DurationSeconds", role.duration_s)))
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(session.expires))
        escape = xml.sax.saxutils.escape
        body = (f"<{operation}Response><{operation}Result><Credentials><AccessKeyId>{session.access_key_id}</AccessKeyId>"
                f"<SecretAccessKey>{escape(session.secret)}</SecretAccessKey>"
                f"<SessionToken>{escape(session.token)}</SessionToken><Expiration>{expiration}</Expiration>"
                f"</Credentials></{operation}Result><ResponseMetadata><RequestId>{request_id}</RequestId>"
                f"</ResponseMetadata></{operation}Response>")
        return Reply(200, body.encode(), XML)

    # ---- KMS ----

    def _kms(self, request, operation, request_id):
        identity = self._authenticate(request, "kms")
        for denied in ((None, None), (identity.principal, None), (None, operation), (identity.principal, operation)):
            if denied in self.denied:
                raise Refusal("AccessDeniedException", f"User: {identity.principal} is not authorized to perform: "
                              f"kms:{operation}")
        if request.headers.get("Content-Type") != "application/x-amz-json-1.1":
            raise Refusal("ValidationException", "Content-Type")
        region = AUTHORIZATION.fullmatch(request.headers["Authorization"])[3]
        return self._reply(getattr(self, "_do_kms_" + operation, self._unknown)(request.json(), region), request_id)

    def _unknown(self, body, region):
        raise Refusal("UnknownOperationException")

    def _key(self, name, region, usable=True):
        if name.startswith("arn:"):
            parts = name.split(":", 5)
            if parts[3] != region:
                raise Refusal("NotFoundException", f"Invalid arn {parts[3]}")
            name = parts[5].removeprefix("key/")
        key = self.aliases.get((region, name)) or self.keys.get((region, name))
        if not key:
            raise Refusal("NotFoundException", f"Key '{name}' does not exist")
        if usable and key.state == "Disabled":
            raise Refusal("DisabledException", f"{key.arn} is disabled.")
        if usable and key.state == "PendingDeletion":
            raise Refusal("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        if usable and key.state not in ("Enabled", "Updating"):
            raise Refusal("KMSInvalidStateException", f"{key.arn} is {key.state}.")
        return key

    def _encrypt(self, key, plain, context):
        self.contexts.append(context)
        nonce = secrets.token_bytes(12)
        sealed = AESGCM(key.secret).encrypt(nonce, plain, json.dumps(context, sort_keys=True).encode())
        name = key.key_id.encode()
        return base64.b64encode(b"\1" + bytes([len(name)]) + name + nonce + sealed).decode()

    def _do_kms_GenerateDataKey(self, body, region):
        key = self._key(body["KeyId"], region)
        if body.get("KeySpec") != "AES_256" or "NumberOfBytes" in body:
            raise Refusal("ValidationException", "KeySpec")
        plain = secrets.token_bytes(32)
        return {"KeyId": key.arn, "Plaintext": base64.b64encode(plain).decode(),
                "CiphertextBlob": self._encrypt(key, plain, body.get("EncryptionContext", {}))}

    def _do_kms_Encrypt(self, body, region):
        key = self._key(body["KeyId"], region)
        plain = base64.b64decode(body["Plaintext"], validate=True)
        return {"KeyId": key.arn, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "CiphertextBlob": self._encrypt(key, plain, body.get("EncryptionContext", {}))}

    def _do_kms_Decrypt(self, body, region):
        if "KeyId" not in body:
            raise Refusal("ValidationException", "this fake wants KeyId sent")
        key = self._key(body["KeyId"], region)
        blob = base64.b64decode(body["CiphertextBlob"], validate=True)
        if len(blob) < 2 or blob[0] != 1:
            raise Refusal("InvalidCiphertextException")
        name, sealed = blob[2:2 + blob[1]].decode("latin1"), blob[2 + blob[1]:]
        if name != key.key_id:
            raise Refusal("IncorrectKeyException", "The key ID in the request does not identify a CMK that can "
                          "perform this operation.")
        context = json.dumps(body.get("EncryptionContext", {}), sort_keys=True).encode()
        try:
            plain = AESGCM(key.secret).decrypt(sealed[:12], sealed[12:], context)
        except InvalidTag:
            raise Refusal("InvalidCiphertextException") from None
        return {"KeyId": key.arn, "Plaintext": base64.b64encode(plain).decode(),
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}

    def _do_kms_DescribeKey(self, body, region):
        key = self._key(body["KeyId"], region, usable=False)
        metadata = {"AWSAccountId": key.account, "KeyId": key.key_id, "Arn": key.arn, "KeyState": key.state,
                    "CreationDate": key.created, "Enabled": key.state == "Enabled", "KeyManager": "CUSTOMER",
                    "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": "SYMMETRIC_DEFAULT", "Origin": "AWS_KMS"}
        if key.deletion:
            metadata["DeletionDate"] = key.deletion
        return {"KeyMetadata": metadata}

    def _do_kms_GetKeyRotationStatus(self, body, region):
        key = self._key(body["KeyId"], region)
        value = {"KeyRotationEnabled": key.rotates is not None, "KeyId": key.arn}
        if key.rotates:
            value["NextRotationDate"] = key.rotates
        return value


class FakeMetadata(Fake):
    """IMDSv2 and a container's endpoint, over plain HTTP on loopback."""

    def __init__(self, role="backup-role"):
        super().__init__()
        self.role = role
        self.credentials = None  # an Identity
        self.reply = None  # a whole JSON value instead
        self.container_token = None  # expected in Authorization
        self.token = secrets.token_urlsafe(40)

    def operation(self, request):
        return f"{request.method} {request.path}"

    def _json(self):
        if self.reply is not None:
            return self.reply
        identity = self.credentials
        expires = time.gmtime(identity.expires or time.time() + 6 * 3600)
        return {"Code": "Success", "AccessKeyId": identity.access_key_id, "SecretAccessKey": identity.secret,
                "Token": identity.token or "", "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", expires)}

    def handle(self, request):
        base = "/latest/meta-data/iam/security-credentials/"
        if request.path == "/creds":
            if request.headers.get("Authorization") != self.container_token:
                return Reply(401)
            return Reply(200, self._json())
        if request.path == "/latest/api/token":
            if request.method != "PUT" or not request.headers.get("x-aws-ec2-metadata-token-ttl-seconds"):
                return Reply(400)
            return Reply(200, self.token.encode())
        if request.headers.get("x-aws-ec2-metadata-token") != self.token:
            return Reply(401)
        if request.path == base:
            return Reply(200, self.role.encode())
        if request.path == base + self.role:
            return Reply(200, self._json())
        return Reply(404)
