#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the vectors of replies of Azure, Google Cloud and Vault, and seed the corpora of their fuzz targets.

One file, one fault, one outcome.  In a corpus the first byte chooses the decoder: its place in CODECS.
"""

import base64
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from fakes.fake_gcp import crc32c  # noqa: E402

CODECS = {
    "azure": ["azure-operation", "azure-key", "azure-deleted", "azure-refusal", "oauth-token"],
    "gcp": ["gcp-encrypt", "gcp-decrypt", "gcp-key", "gcp-version", "gcp-refusal"],
    "vault": ["vault-encrypt", "vault-decrypt", "vault-key", "vault-capabilities", "vault-refusal", "vault-auth",
              "vault-lookup"],
}
KID = "https://v.vault.azure.net/keys/k1/0123456789abcdef0123456789abcdef"
KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
VERSION = f"{KEY}/cryptoKeyVersions/3"
SECRET = bytes(range(32))


def b64(data):
    return base64.b64encode(data).decode()


def write(codec, word, expect, body, **fields):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"name: {codec}-{word}", f"codec: {codec}", f"expect: {expect}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    text = data.hex()
    lines += [""] + [text[at:at + 64] for at in range(0, len(text), 64)]
    (HERE / f"{codec}-{word}.vec").write_text("\n".join(lines) + "\n")
    for target, codecs in CODECS.items():
        if codec in codecs:
            corpus = HERE.parent.parent / "fuzz" / "corpus" / f"{target}_reply"
            corpus.mkdir(parents=True, exist_ok=True)
            (corpus / f"{codec}-{word}").write_bytes(bytes([codecs.index(codec)]) + data)


def azure():
    good = {"kid": KID, "value": "AQIDBA"}
    write("azure-operation", "ok", "ok 0123456789abcdef0123456789abcdef 01020304", good)
    write("azure-operation", "kid-with-port", "ok 0123456789abcdef0123456789abcdef 01020304",
          {**good, "kid": KID.replace(".net/", ".net:443/")})
    for word, change in {"padded": {"value": "AQIDBA=="}, "plain-base64": {"value": "+/8A"}, "empty": {"value": ""},
                         "bits-behind": {"value": "AQIDBB"}, "number": {"value": 5}, "long": {"value": "A" * 800},
                         "kid-without-version": {"kid": KID.rsplit("/", 1)[0]}, "kid-http": {"kid": "http" + KID[5:]},
                         "kid-null": {"kid": None}, "kid-with-query": {"kid": KID + "?x"},
                         "kid-with-user": {"kid": "https://a@b/keys/k/1"}, "kid-of-secret": {
                             "kid": "https://v.vault.azure.net/secrets/k1/01"}}.items():
        write("azure-operation", word, "malformed", {**good, **change})
    write("azure-operation", "html", "malformed", b"<html></html>")
    write("azure-operation", "rest", "malformed", json.dumps(good).encode() + b"{}")
    write("azure-operation", "array", "malformed", b"[" + json.dumps(good).encode() + b"]")
    write("azure-operation", "nul-in-kid", "malformed", {**good, "kid": KID + "\0x"})
    key = {"key": {"kid": KID, "kty": "RSA"}, "attributes": {"enabled": True, "created": 1700000000}}
    write("azure-key", "enabled", "enabled 1700000000 0", key)
    write("azure-key", "disabled", "disabled 1700000000 0",
          {**key, "attributes": {"enabled": False, "created": 1700000000}})
    write("azure-key", "expired-still-opens", "enabled 1 0", {**key, "attributes": {"enabled": True, "created": 1,
                                                                                    "exp": 2}})
    write("azure-key", "enabled-as-text", "disabled 0 0", {**key, "attributes": {"enabled": "true"}})
    write("azure-key", "no-attributes", "malformed", {"key": key["key"]})
    write("azure-key", "no-kid", "malformed", {**key, "key": {}})
    write("azure-deleted", "recoverable", "pending-deletion 1700000000 1707776000",
          {**key, "scheduledPurgeDate": 1707776000})
    write("azure-deleted", "without-date", "pending-deletion 1700000000 0", key)
    write("azure-deleted", "empty", "malformed", {})
    azure_refusals()
    oauth()


def azure_refusals():
    def refusal(word, expect, status, code=None, message="m", inner=None, operation="unwrapKey", spelling="innererror"):
        error = {"code": code, "message": message}
        if inner:
            error[spelling] = {"code": inner}
        write("azure-refusal", word, expect, {"error": error} if code else {}, status=status, operation=operation)

    refusal("disabled", "EKEYREVOKED disabled", 403, "Forbidden", inner="KeyDisabled")
    refusal("disabled-other-spelling", "EKEYREVOKED disabled", 403, "Forbidden", inner="KeyDisabled",
            spelling="innerError")
    refusal("disabled-in-words", "EKEYREVOKED disabled", 403, "Forbidden",
            "Operation unwrapKey is not allowed on a disabled key.")
    refusal("denied", "EACCES denied", 403, "Forbidden", inner="AccessDenied")
    refusal("denied-by-policy", "EACCES denied", 403, "Forbidden", inner="ForbiddenByPolicy")
    refusal("denied-by-firewall", "EACCES denied", 403, "Forbidden", inner="ForbiddenByFirewall")
    refusal("not-found", "ENOKEY deleted", 404, "KeyNotFound")
    refusal("deleted-but-recoverable", "EKEYREVOKED pending-deletion", 409, "Conflict",
            inner="ObjectIsDeletedButRecoverable")
    refusal("bad-blob", "EKEYREJECTED unknown", 400, "BadParameter", "The parameter is incorrect.")
    refusal("bad-blob-at-wrap", "EPROTO unreachable retryable", 400, "BadParameter", "?", operation="wrapKey")
    refusal("bad-algorithm", "EINVAL unknown", 400, "BadParameter", "Property alg has an invalid algorithm")
    refusal("unauthorized", "EKEYEXPIRED credentials-expired", 401, "Unauthorized")
    refusal("throttled", "EHOSTUNREACH unreachable retryable", 429, "Throttled")
    refusal("internal", "EHOSTUNREACH unreachable retryable", 500, "InternalError")
    refusal("timeout", "EHOSTUNREACH unreachable retryable", 408)
    refusal("redirect", "EPROTO unreachable", 307)
    refusal("forbidden-by-something-else", "EPROTO unreachable retryable", 403)
    write("azure-refusal", "html-502", "EHOSTUNREACH unreachable retryable", b"<html>", status=502,
          operation="unwrapKey")
    write("azure-refusal", "html-404", "EPROTO unreachable retryable", b"<html>", status=404, operation="unwrapKey")


def oauth():
    good = {"access_token": "a.b-c_d", "expires_in": 3600}
    write("oauth-token", "ok", "ok a.b-c_d 3600 0", good)
    write("oauth-token", "texts", "ok a.b-c_d 3599 1800", {**good, "expires_in": "3599", "refresh_in": "1800"})
    for word, change in {"no-token": {"access_token": None}, "empty": {"access_token": ""},
                         "space": {"access_token": "a b"}, "line-end": {"access_token": "a\r\nX: y"},
                         "ended": {"expires_in": 0}, "life-in-words": {"expires_in": "-5 expired"}, "negative": {"expires_in": -5}, "number": {"access_token": 5},
                         "long": {"access_token": "a" * 40000}}.items():
        write("oauth-token", word, "malformed", {**good, **change})
    write("oauth-token", "life-not-said", "ok a 300 0", {"access_token": "a"})
    write("oauth-token", "ended-at", "malformed", {"access_token": "a", "expires_on": "1700000000"})


def gcp():
    blob = b"\x0a\x24" + bytes(40)
    good = {"name": VERSION, "ciphertext": b64(blob), "ciphertextCrc32c": str(crc32c(blob)),
            "verifiedPlaintextCrc32c": True, "verifiedAdditionalAuthenticatedDataCrc32c": True}
    write("gcp-encrypt", "ok", f"ok {VERSION} {blob.hex()}", good)
    write("gcp-encrypt", "number", f"ok {VERSION} {blob.hex()}", {**good, "ciphertextCrc32c": crc32c(blob)})
    for word, change in {"crc": {"ciphertextCrc32c": "1"}, "crc-negative": {"ciphertextCrc32c": "-1"},
                         "crc-absent": {"ciphertextCrc32c": None}, "crc-hex": {"ciphertextCrc32c": "0x1"},
                         "plaintext-not-verified": {"verifiedPlaintextCrc32c": False},
                         "aad-as-text": {"verifiedAdditionalAuthenticatedDataCrc32c": "true"},
                         "aad-absent": {"verifiedAdditionalAuthenticatedDataCrc32c": None},
                         "flipped": {"ciphertext": b64(b"\x0b" + blob[1:])}}.items():
        write("gcp-encrypt", word, "changed", {**good, **change})
    for word, change in {"base64url": {"ciphertext": "-_8="}, "unpadded": {"ciphertext": "AAA"},
                         "empty": {"ciphertext": ""}, "no-name": {"name": None}, "long-name": {"name": "p" * 600},
                         "long": {"ciphertext": b64(bytes(9000))}}.items():
        write("gcp-encrypt", word, "malformed", {**good, **change})
    plain = {"plaintext": b64(SECRET), "plaintextCrc32c": str(crc32c(SECRET)), "usedPrimary": True}
    write("gcp-decrypt", "ok", "primary", plain)
    write("gcp-decrypt", "older", "older", {**plain, "usedPrimary": False})
    write("gcp-decrypt", "older-left-out", "older", {key: plain[key] for key in ("plaintext", "plaintextCrc32c")})
    write("gcp-decrypt", "crc", "changed", {**plain, "plaintextCrc32c": "7"})
    write("gcp-decrypt", "crc-absent", "changed", {"plaintext": plain["plaintext"]})
    write("gcp-decrypt", "short", "malformed", {**plain, "plaintext": b64(SECRET[:31])})
    write("gcp-decrypt", "long", "malformed", {**plain, "plaintext": b64(SECRET + b"x")})
    write("gcp-decrypt", "not-json", "malformed", b"{")
    gcp_descriptions()
    gcp_refusals()


def gcp_descriptions():
    version = {"name": VERSION, "state": "ENABLED", "createTime": "2026-01-02T03:04:05.123456789Z"}
    key = {"name": KEY, "primary": version, "purpose": "ENCRYPT_DECRYPT", "nextRotationTime": "2026-11-24T00:00:00Z"}
    write("gcp-key", "enabled", "enabled 3 1767323045 1795478400 0", key)
    for word, state in {"DISABLED": "disabled", "DESTROYED": "deleted", "PENDING_GENERATION": "unknown",
                        "NEW_STATE": "unknown"}.items():
        write("gcp-key", word.lower().replace("_", "-"), f"{state} 3 1767323045 1795478400 0",
              {**key, "primary": {**version, "state": word}})
    write("gcp-key", "without-primary", "disabled  0 0 0", {"name": KEY})
    write("gcp-key", "bad-time", "enabled 3 1767323045 0 0", {**key, "nextRotationTime": "tomorrow"})
    write("gcp-key", "no-name", "malformed", {"primary": version})
    write("gcp-version", "enabled", "enabled 3 1767323045 0 0", version)
    write("gcp-version", "scheduled", "pending-deletion 3 1767323045 0 1795478400",
          {**version, "state": "DESTROY_SCHEDULED", "destroyTime": "2026-11-24T00:00:00Z"})
    write("gcp-version", "no-state", "malformed", {"name": VERSION})


def gcp_refusals():
    def refusal(word, expect, code, status, message="m", details=None):
        error = {"code": code, "status": status, "message": message}
        if details is not None:
            error["details"] = details
        write("gcp-refusal", word, expect, {"error": error} if status else {}, status=code, operation="decrypt")

    def violation(kind):
        return [{"@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                 "violations": [{"type": kind, "subject": VERSION}]}]

    words = "is not enabled, current state is: "
    for kind, expect in {"DISABLED": "EKEYREVOKED disabled", "DESTROY_SCHEDULED": "EKEYREVOKED pending-deletion",
                         "DESTROYED": "ENOKEY deleted"}.items():
        name = kind.lower().replace("_", "-")
        refusal(name, expect, 400, "FAILED_PRECONDITION", details=violation(f"KEY_{kind}"))
        refusal(f"{name}-in-words", expect, 400, "FAILED_PRECONDITION", words + kind + ".")
    refusal("pending", "EHOSTUNREACH unreachable retryable", 400, "FAILED_PRECONDITION", words + "PENDING_GENERATION.")
    refusal("second-detail", "EKEYREVOKED disabled", 400, "FAILED_PRECONDITION", details=[{}, *violation("KEY_DISABLED")])
    refusal("details-not-a-list", "EINVAL unknown", 400, "FAILED_PRECONDITION", details={"violations": 1})
    refusal("api-disabled", "EINVAL unknown", 403, "PERMISSION_DENIED", details=[{"reason": "SERVICE_DISABLED"}])
    refusal("api-disabled-in-words", "EINVAL unknown", 403, "PERMISSION_DENIED",
            "Cloud KMS API has not been used in project 1")
    refusal("bad-blob", "EKEYREJECTED unknown", 400, "INVALID_ARGUMENT",
            "Decryption failed: verify that 'name' refers to the correct CryptoKey.")
    refusal("crc", "EPROTO unreachable retryable", 400, "INVALID_ARGUMENT", "The ciphertext_crc32c field ...")
    refusal("argument", "EINVAL unknown", 400, "INVALID_ARGUMENT", "wrong purpose")
    refusal("denied", "EACCES denied", 403, "PERMISSION_DENIED")
    refusal("unauthenticated", "EKEYEXPIRED credentials-expired", 401, "UNAUTHENTICATED")
    refusal("not-found", "ENOKEY deleted", 404, "NOT_FOUND")
    refusal("exhausted", "EHOSTUNREACH unreachable retryable", 429, "RESOURCE_EXHAUSTED")
    refusal("unavailable", "EHOSTUNREACH unreachable retryable", 503, "UNAVAILABLE")
    refusal("deadline", "EHOSTUNREACH unreachable retryable", 504, "DEADLINE_EXCEEDED")
    refusal("line-end-in-status", "EACCES denied", 403, "NEW\r\nforged")
    refusal("something-else-404", "EPROTO unreachable retryable", 404, None)


def vault():
    good = {"data": {"ciphertext": "vault:v12:AAAA", "key_version": 12}}
    write("vault-encrypt", "ok", "ok 12", good)
    for word, text in {"no-prefix": "v1:AAAA", "no-version": "vault:v:AAAA", "version-0": "vault:v0:AAAA",
                       "version-huge": "vault:v99999999999999999999:AAAA", "no-blob": "vault:v1:", "cut": "vault:v1",
                       "number": 5, "long": "vault:v1:" + "A" * 8200, "other-word": "vaults:v1:AAAA"}.items():
        write("vault-encrypt", word, "malformed", {"data": {"ciphertext": text}})
    write("vault-decrypt", "ok", "ok", {"data": {"plaintext": b64(SECRET)}})
    for word, text in {"short": b64(SECRET[:16]), "long": b64(SECRET + SECRET), "base64url": "_" * 43, "null": None,
                       "unpadded": b64(SECRET).rstrip("=")}.items():
        write("vault-decrypt", word, "malformed", {"data": {"plaintext": text}})
    key = {"type": "aes256-gcm96", "derived": False, "latest_version": 2, "keys": {"1": 1700000000, "2": 1710000000},
           "auto_rotate_period": 86400}
    write("vault-key", "ok", "enabled 2 bindable 1710000000 1710086400", {"data": key})
    write("vault-key", "rsa", "enabled 2 other 1767323045 0",
          {"data": {**key, "type": "rsa-2048", "keys": {"2": "2026-01-02T03:04:05Z"}, "auto_rotate_period": 0}})
    write("vault-key", "derived", "enabled 2 bindable derived 1710000000 1710086400", {"data": {**key, "derived": True}})
    write("vault-key", "soft-deleted", "disabled 2 bindable 1710000000 1710086400",
          {"data": {**key, "soft_deleted": True}})
    for word, change in {"no-type": {"type": None}, "version-0": {"latest_version": 0},
                         "version-huge": {"latest_version": 10 ** 12}, "no-version": {"latest_version": None}}.items():
        write("vault-key", word, "malformed", {"data": {**key, **change}})
    for word, expect, words in (("update", "no", ["update"]), ("create", "yes", ["create", "update"]),
                                ("root", "yes", ["root"]), ("deny", "no", ["deny"]), ("empty", "malformed", []),
                                ("not-words", "malformed", [1])):
        write("vault-capabilities", word, expect, {"data": {"capabilities": words}})
    write("vault-capabilities", "at-the-top", "yes", {"capabilities": ["sudo"]})
    auth = {"client_token": "hvs.1", "accessor": "acc", "lease_duration": 3600, "renewable": True}
    write("vault-auth", "ok", "ok hvs.1 acc 3600 renewable", {"auth": auth})
    write("vault-auth", "endless", "ok hvs.1 acc 0", {"auth": {**auth, "lease_duration": 0, "renewable": False}})
    for word, change in {"no-token": {"client_token": None}, "line-end": {"client_token": "a\nb"},
                         "empty": {"client_token": ""}, "no-lease": {"lease_duration": None},
                         "negative": {"lease_duration": -1}}.items():
        write("vault-auth", word, "malformed", {"auth": {**auth, **change}})
    write("vault-lookup", "ok", "ok - acc 3600 renewable", {"data": {"ttl": 3600, "accessor": "acc", "renewable": True}})
    write("vault-lookup", "no-ttl", "malformed", {"data": {"accessor": "acc"}})
    vault_refusals()


def vault_refusals():
    def refusal(word, expect, status, *texts):
        write("vault-refusal", word, expect, {"errors": list(texts)}, status=status, operation="decrypt")

    refusal("not-found", "ENOKEY deleted", 400, "encryption key not found")
    refusal("too-new", "ENOKEY deleted", 400, "invalid ciphertext: version is too new")
    refusal("too-old", "EKEYREVOKED disabled", 400, "ciphertext or signature version is disallowed by policy (too old)")
    refusal("soft-deleted", "EKEYREVOKED disabled", 400, "refusing to use soft-deleted key")
    refusal("authentication", "EKEYREJECTED unknown", 400, "cipher: message authentication failed")
    refusal("authentication-500", "EKEYREJECTED unknown", 500, "cipher: message authentication failed")
    refusal("no-prefix", "EKEYREJECTED unknown", 400, "invalid ciphertext: no prefix")
    refusal("context", "EINVAL unknown", 400, "missing 'context' for key derivation")
    refusal("denied", "EACCES denied", 403, "1 error occurred:\n\t* permission denied\n\n")
    refusal("no-mount", "EINVAL unknown", 404, 'no handler for route "x/decrypt/k"')
    refusal("no-key", "ENOKEY deleted", 404)
    refusal("quota", "EHOSTUNREACH unreachable retryable", 429, "request path quota exceeded")
    refusal("sealed", "EHOSTUNREACH unreachable retryable", 503, "Vault is sealed")
    refusal("standby", "EHOSTUNREACH unreachable retryable", 307)
    refusal("consistency", "EHOSTUNREACH unreachable retryable", 412)
    write("vault-refusal", "html-404", "EPROTO unreachable retryable", b"<html>", status=404, operation="decrypt")
    write("vault-refusal", "standby-without-errors", "EHOSTUNREACH unreachable retryable", b"{}", status=473,
          operation="decrypt")
    write("vault-refusal", "no-errors-403", "EPROTO unreachable retryable", b"{}", status=403, operation="decrypt")


azure()
gcp()
vault()
