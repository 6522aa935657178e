# SPDX-License-Identifier: Apache-2.0
"""base64url without padding (canonical only), and CRC-32C."""
import base64
import re

from .errors import Fault

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*\Z")


def b64_encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def b64_decode(text, size=None):
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if not isinstance(text, str) or not _ALPHABET.match(text) or len(text) % 4 == 1:
        raise Fault("bad-encoding", repr(text)[:60])
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64_encode(data) != text:
        raise Fault("bad-encoding", "not canonical")
    if size is not None and len(data) != size:
        raise Fault("bad-length", f"{len(data)} bytes, not {size}")
    return data


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
