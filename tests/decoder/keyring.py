# SPDX-License-Identifier: Apache-2.0
"""The embedded keyring (kms/PROTOCOL.md, "keyring"): opens slots, so that tests need no key bytes."""
import hashlib
import json
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Fault
from .keys import parse_uuid
from .records import open_slot, parse_slots
from .text import b64_decode


class Keyring:
    def __init__(self, path, passphrase=None):
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
        if content["type"] != "keyring" or content["format"] != 1:
            raise Fault("bad-version", "keyring")
        self.id = parse_uuid(content["keyring"])
        self._keys = {}
        derived = None
        if "scrypt" in content and passphrase is not None:
            spec = content["scrypt"]
            derived = hashlib.scrypt(passphrase, salt=b64_decode(spec["salt"], 16), n=spec["n"],
                                     r=spec["r"], p=spec["p"], maxmem=1 << 30, dklen=32)
        for key in content["keys"]:
            if key["state"] != "deleted":
                self._keys[key["id"]] = self._key_bytes(key, derived)

    def _key_bytes(self, key, derived):
        if "key" in key:
            return b64_decode(key["key"], 32)
        if derived is None:
            return None
        sealed = b64_decode(key["sealed"], 60)
        aad = b"snapcrypt/1/keyring" + self.id.bytes + key["id"].encode()
        return AESGCM(derived).decrypt(sealed[:12], sealed[12:], aad)

    def unwrap(self, header):
        """The slot secret of a slot header (its members), or None: not one of this keyring's."""
        prefix = f"keyring:{self.id}#"
        if header["provider"] != "keyring" or not header["key_id"].startswith(prefix):
            return None
        key = self._keys.get(header["key_id"][len(prefix):])
        if key is None:
            return None
        blob = b64_decode(header["wrapped"], 61)
        if blob[0] != 1:
            raise Fault("bad-version", "wrapped")
        aad = (b"snapcrypt/1" + uuid.UUID(header["volume"]).bytes
               + uuid.UUID(header["snapshot"]).bytes)
        try:
            return AESGCM(key).decrypt(blob[1:13], blob[13:], aad)
        except InvalidTag:
            raise Fault("bad-tag", "wrapped") from None

    def open(self, record):
        """Bytes of the DEK of a key record, or None."""
        for slot in parse_slots(record):
            secret = self.unwrap(slot[1])
            if secret is not None:
                return open_slot(slot, secret)
        return None
