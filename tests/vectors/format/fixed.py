# SPDX-License-Identifier: Apache-2.0
"""Keys and ids that the vectors of this folder share, always the same, and how a vector is written."""
import hashlib
import os
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from decoder.keys import Dek  # noqa: E402


def fixed(label, size):
    """Bytes that look random and are always the same."""
    return hashlib.shake_128(b"snapcrypt vector " + label.encode()).digest(size)


def fixed_uuid(label):
    return uuid.UUID(bytes=fixed(label, 16), version=4)


VOLUME = fixed_uuid("volume")
OTHER_VOLUME = fixed_uuid("other volume")
SNAPSHOT = fixed_uuid("snapshot")
KEY = fixed("key", 32)
DEK = Dek(VOLUME, fixed_uuid("dek"), KEY)
OTHER_DEK = Dek(VOLUME, fixed_uuid("other dek"), fixed("other key", 32))
OBJECT = fixed("object", 16)
CONTENT = fixed("content", 24)


def hex_lines(data):
    text = data.hex()
    return "".join(text[i:i + 96] + "\n" for i in range(0, len(text), 96))


def write(codec, name, expect, data, **fields):
    fields = {"name": name, "codec": codec, "expect": expect, "volume": VOLUME, "dek": DEK.id,
              "key": KEY.hex(), **fields}
    with open(os.path.join(HERE, f"{codec}-{name}.vec"), "w", encoding="ascii") as stream:
        for field, value in fields.items():
            stream.write(f"{field.replace('_', '-')}: {value}\n")
        stream.write("\n" + hex_lines(data))
