# SPDX-License-Identifier: Apache-2.0
"""Section 9: records, their signatures and MACs."""
import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import Fault
from .keys import open_capsule
from .text import b64_decode

RECORD_MAX = 1 << 20
KNOWN_CRITICAL = frozenset()


class Record:
    """One record whose signature has been verified against the key that it carries."""

    def __init__(self, data):
        if len(data) > RECORD_MAX:
            raise Fault("long", "record")
        lines = data.split(b"\n")
        if len(lines) != 3 or lines[2] != b"":
            raise Fault("short", "a record has two lines")
        self.line = lines[0]
        self.members = _parse_object(lines[0])
        trailer = _parse_object(lines[1])
        self.public_key = b64_decode(trailer["key"], 32)
        signature = b64_decode(trailer["signature"], 64)
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(
                signature, b"snapcrypt/1/record\n" + self.line)
        except InvalidSignature:
            raise Fault("bad-signature") from None
        if self.members.get("format") != 1:
            raise Fault("bad-version", "record")
        unknown = set(self.members.get("critical", [])) - KNOWN_CRITICAL - set(self.members)
        if unknown:
            raise Fault("bad-flags", f"critical {sorted(unknown)}")
        self.root = hashlib.sha256(data).digest()

    @property
    def type(self):
        return self.members["type"]

    @property
    def fingerprint(self):
        return "writer:" + hashlib.sha256(self.public_key).hexdigest()

    def check_mac(self, dek, label):
        suffix_at = self.line.rfind(b',"mac":"')
        if suffix_at < 0 or len(self.line) - suffix_at != len(b',"mac":""}') + 43:
            raise Fault("bad-tag", "record without MAC")
        dek.check_mac(label, self.line[:suffix_at], b64_decode(self.members["mac"], 32))


def _parse_object(line):
    def refuse_duplicates(pairs):
        members = dict(pairs)
        if len(members) != len(pairs):
            raise Fault("bad-encoding", "duplicate member")
        return members

    try:
        value = json.loads(line.decode(), object_pairs_hook=refuse_duplicates)
    except ValueError as error:
        raise Fault("bad-encoding", str(error)) from None
    if not isinstance(value, dict):
        raise Fault("bad-encoding", "not an object")
    return value


def highest(records, trusted=None):
    """(generation, Record) pairs -> the record that counts, or None."""
    ordered = sorted(records, key=lambda pair: pair[0], reverse=True)
    if trusted:
        for _, record in ordered:
            if record.fingerprint in trusted:
                return record
    return ordered[0][1] if ordered else None


def parse_slots(record):
    """[(header text as bytes, header members, capsule)], checked against the record."""
    slots = []
    for slot in record.members["slots"]:
        text = slot["header"].encode()
        header = _parse_object(text)
        if header.get("format") != 1:
            raise Fault("bad-version", "slot")
        for member in ("volume", "snapshot", "dek"):
            if header[member] != record.members[member]:
                raise Fault(f"wrong-{member}", "slot")
        if len(b64_decode(header["wrapped"])) > 8192:
            raise Fault("long", "wrapped")
        slots.append((text, header, b64_decode(slot["capsule"], 48)))
    if not 1 <= len(slots) <= 16:
        raise Fault("bad-length", "slots")
    if sum(header["role"] == "primary" for _, header, _ in slots) != 1:
        raise Fault("bad-kind", "not exactly one primary")
    return slots


def open_slot(slot, slot_secret):
    text, _, capsule = slot
    return open_capsule(slot_secret, text, capsule)


def pem_body(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("-----")]
    return base64.b64decode("".join(lines))
