# SPDX-License-Identifier: Apache-2.0
"""Section 2: what is derived from a data key, and what is done with it."""
import functools
import hashlib
import hmac
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV, ChaCha20Poly1305

from .errors import Fault

ALGORITHMS = {1: AESGCM, 2: ChaCha20Poly1305}
LABELS = ("commitment", "content", "header", "name", "meta", "identity", "slots", "journal",
          "manifest", "seal")


def hkdf_extract(salt, key):
    return hmac.new(salt or bytes(32), key, hashlib.sha256).digest()


def hkdf_expand(prk, info, size):
    okm, block, counter = b"", b"", 1
    while len(okm) < size:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        okm += block
        counter += 1
    return okm[:size]


def open_capsule(slot_secret, slot_header, capsule):
    """The DEK in a slot; `slot_header` is its exact text as bytes."""
    material = hkdf_expand(hkdf_extract(b"", slot_secret), slot_header, 44)
    try:
        return AESGCM(material[:32]).decrypt(material[32:], capsule, b"")
    except InvalidTag:
        raise Fault("bad-tag", "capsule") from None


class Dek:
    """A data key: 32 bytes, its id and its volume (uuid.UUID)."""

    def __init__(self, volume, dek_id, key):
        if len(key) != 32:
            raise ValueError("a data key has 32 bytes")
        self.volume = volume
        self.id = dek_id
        self._prk = hkdf_extract(b"", key)

    @functools.lru_cache(maxsize=None)
    def subkey(self, label):
        info = b"snapcrypt/1/" + label.encode() + self.volume.bytes + self.id.bytes
        return hkdf_expand(self._prk, info, 64 if label == "name" else 32)

    def mac(self, label, data):
        return hmac.new(self.subkey(label), data, hashlib.sha256).digest()

    def check_mac(self, label, data, mac):
        if not hmac.compare_digest(self.mac(label, data), mac):
            raise Fault("bad-tag", f"MAC {label}")

    def check_commitment(self, commitment):
        if not hmac.compare_digest(self.subkey("commitment"), commitment):
            raise Fault("wrong-key", "commitment")

    def file_cipher(self, algorithm, block_size_log2, content_id):
        info = (b"file" + bytes([algorithm, block_size_log2]) + self.volume.bytes + self.id.bytes
                + content_id)
        return ALGORITHMS[algorithm](hkdf_expand(self.subkey("content"), info, 32))

    def open_meta(self, aad, sealed):
        return open_sealed(AESGCM(self.subkey("meta")), aad, sealed)

    def open_name(self, sealed):
        if len(sealed) <= 16:
            raise Fault("short", "name")
        try:
            return AESSIV(self.subkey("name")).decrypt(sealed, None)
        except InvalidTag:
            raise Fault("bad-tag", "name") from None

    def seal_name(self, name):
        return AESSIV(self.subkey("name")).encrypt(name, None)


def open_sealed(cipher, aad, sealed):
    """nonce 12 | ciphertext | tag 16"""
    if len(sealed) < 28:
        raise Fault("short", "sealed bytes")
    try:
        return cipher.decrypt(sealed[:12], sealed[12:], aad)
    except InvalidTag:
        raise Fault("bad-tag") from None


def parse_uuid(text):
    value = uuid.UUID(text)
    if str(value) != text:
        raise Fault("bad-encoding", f"not a canonical UUID: {text!r}")
    return value
