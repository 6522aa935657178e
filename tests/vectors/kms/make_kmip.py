#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the vectors of replies of KMIP servers, and seed the corpus of their fuzz target.

One file, one fault, one outcome.  In the corpus the first byte chooses what is asked of the reply: its place in CODECS.
"""

import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from fakes.fake_kmip import (BYTES, ENUMERATION, INTEGER, STRUCTURE, TEXT, item, message, refuse,  # noqa: E402
                             state, succeed, uid, version)

CODECS = ["kmip-reply", "kmip-versions", "kmip-encrypt", "kmip-decrypt", "kmip-state", "kmip-key"]
GET, ATTRIBUTES, DISCOVER, ENCRYPT, DECRYPT = 0x0a, 0x0b, 0x1e, 0x1f, 0x20
DATE_TIME = 9
DATA, IV, TAG = 0x4200c2, 0x42003d, 0x4200ff
SECRET = bytes(range(32))


def write(codec, word, expect, data):
    lines = [f"name: {codec}-{word}", f"codec: {codec}", f"expect: {expect}", ""]
    text = data.hex()
    (HERE / f"{codec}-{word}.vec").write_text(
        "\n".join(lines + [text[at:at + 64] for at in range(0, len(text), 64)]) + "\n")
    corpus = HERE.parent.parent / "fuzz" / "corpus" / "kmip_reply"
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / f"{codec}-{word}").write_bytes(bytes([CODECS.index(codec)]) + data)


def replies():
    good = succeed(uid())(ENCRYPT, b"")
    write("kmip-reply", "ok", "14 operation 31 status 0 reason 0", good)
    write("kmip-reply", "refused", "14 operation 31 status 1 reason 12", refuse(12)(ENCRYPT, b""))
    write("kmip-reply", "large-type", "14 operation 31 status 0 reason 0",
          message(ENCRYPT, [item(0x42007f, ENUMERATION, 0), item(0x420001, 11, bytes(8))]))
    for word, data in {
            "empty": b"", "header-only": good[:8], "cut": good[:-8], "cut-in-header": good[:-12], "behind": good + bytes(8),
            "no-status": message(ENCRYPT, []), "two-items": message(ENCRYPT, [item(0x42007f, ENUMERATION, 0)], batch=2),
            "request": b"\x42\x00\x78" + good[3:], "text": good[:3] + b"\7" + good[4:],
            "no-header": item(0x42007b, STRUCTURE, [item(0x42000f, STRUCTURE, [item(0x42007f, ENUMERATION, 0)])]),
            "status-as-integer": message(ENCRYPT, [item(0x42007f, INTEGER, 0)]),
            "enumeration-of-8": message(ENCRYPT, [item(0x42007f, ENUMERATION, 0), item(0x420001, 5 + 0, 0)[:4] +
                                                  b"\0\0\0\x08" + bytes(8)]),
            "boolean-of-4": message(ENCRYPT, [item(0x42007f, ENUMERATION, 0), item(0x420001, 6, bytes(4))]),
            "inner-too-long": good[:12] + b"\xff\xff\xff\xf8" + good[16:],
            "inner-beyond": good[:12] + struct.pack(">I", len(good)) + good[16:],
            "deep": message(ENCRYPT, [item(0x42007f, ENUMERATION, 0), deep(12)])}.items():
        write("kmip-reply", word, "malformed", data)
    write("kmip-reply", "not-so-deep", "14 operation 31 status 0 reason 0",
          message(ENCRYPT, [item(0x42007f, ENUMERATION, 0), deep(9)]))


def deep(levels):
    inner = b""
    for _ in range(levels):
        inner = item(0x420001, STRUCTURE, [inner])
    return inner


def versions():
    for word, expect, offered in (
            ("all", "20", [(2, 0), (1, 4), (1, 3), (1, 2), (1, 1), (1, 0)]), ("old-first", "14", [(1, 2), (1, 4)]),
            ("newer", "20", [(3, 0), (2, 1), (2, 0)]), ("lowest", "12", [(1, 2), (1, 0)]),
            ("too-old", "malformed", [(1, 1), (1, 0)]), ("none", "malformed", []),
            ("huge", "malformed", [(0x7fffffff, 2), (1, 0x80000000)])):
        write("kmip-versions", word, expect, succeed(*[version(*one) for one in offered])(DISCOVER, b""))


def encrypted():
    def reply(*items):
        return succeed(*items)(ENCRYPT, b"")
    data, iv, tag = item(DATA, BYTES, SECRET), item(IV, BYTES, bytes(12)), item(TAG, BYTES, bytes(16))
    write("kmip-encrypt", "ok", "data 32 iv 0 tag 16", reply(uid(), data, tag))
    write("kmip-encrypt", "own-iv", "data 32 iv 12 tag 16", reply(uid(), data, iv, tag))
    write("kmip-encrypt", "cbc", "data 32 iv 0 tag 0", reply(uid(), data))
    write("kmip-encrypt", "other-key", "rejected", reply(uid("other"), data, tag))
    write("kmip-encrypt", "longer-uid", "rejected", reply(uid("kk"), data, tag))
    write("kmip-encrypt", "no-uid", "malformed", reply(data, tag))
    write("kmip-encrypt", "no-data", "malformed", reply(uid(), tag))
    write("kmip-encrypt", "data-as-text", "malformed", reply(uid(), item(DATA, TEXT, "x" * 32), tag))
    write("kmip-encrypt", "empty-data", "malformed", reply(uid(), item(DATA, BYTES, b""), tag))
    write("kmip-decrypt", "ok", "plain 32", succeed(uid(), data)(DECRYPT, b""))
    write("kmip-decrypt", "other-key", "rejected", succeed(uid("K"), data)(DECRYPT, b""))
    write("kmip-decrypt", "no-data", "malformed", succeed(uid())(DECRYPT, b""))
    write("kmip-decrypt", "no-payload", "malformed", message(DECRYPT, [item(0x42007f, ENUMERATION, 0)]))


def states():
    def reply(*items):
        return succeed(*items)(ATTRIBUTES, b"")
    date = item(0x420008, STRUCTURE, [item(0x42000a, TEXT, "Initial Date"),
                                      item(0x42000b, DATE_TIME, struct.pack(">q", 1710000000))])
    for value in range(1, 7):
        write("kmip-state", f"{value}", f"{value} created 1710000000", reply(uid(), date, state(value)))
    write("kmip-state", "of-2-0", "3 created 1710000000", reply(uid(), item(0x420125, STRUCTURE, [
        item(0x42008d, ENUMERATION, 3), item(0x420039, DATE_TIME, struct.pack(">q", 1710000000))])))
    write("kmip-state", "without-date", "2 created 0", reply(uid(), state(2)))
    for word, items in {"0": [state(0)], "7": [state(7)], "huge": [state(0xffffffff)], "none": [],
                        "as-text": [item(0x420008, STRUCTURE, [item(0x42000a, TEXT, "State"),
                                                               item(0x42000b, TEXT, "Active")])],
                        "other-name": [item(0x420008, STRUCTURE, [item(0x42000a, TEXT, "State "),
                                                                  item(0x42000b, ENUMERATION, 2)])]}.items():
        write("kmip-state", word, "malformed", reply(uid(), *items))
    write("kmip-state", "other-key", "rejected", reply(uid("x"), state(2)))


def keys():
    def block(material=item(0x420043, BYTES, SECRET), kind=1, algorithm=3, length=256):
        return item(0x42008f, STRUCTURE, [item(0x420040, STRUCTURE, [
            item(0x420042, ENUMERATION, kind), item(0x420045, STRUCTURE, [material]),
            item(0x420028, ENUMERATION, algorithm), item(0x42002a, INTEGER, length)])])

    def reply(key, kind=2, who="k"):
        return succeed(item(0x420057, ENUMERATION, kind), uid(who), key)(GET, b"")
    write("kmip-key", "ok", "key", reply(block()))
    write("kmip-key", "transparent", "key", reply(block(item(0x420043, STRUCTURE, [item(0x42003f, BYTES, SECRET)]), 7)))
    write("kmip-key", "other-key", "rejected", reply(block(), who="l"))
    for word, data in {"short": reply(block(item(0x420043, BYTES, SECRET[:16]))), "secret-data": reply(block(), 7),
                       "des": reply(block(algorithm=2)), "pkcs8": reply(block(kind=4)), "wrapped": reply(
                           item(0x42008f, STRUCTURE, [])), "raw-structure": reply(
                               block(item(0x420043, STRUCTURE, []))), "transparent-empty": reply(
                                   block(item(0x420043, STRUCTURE, []), 7))}.items():
        write("kmip-key", word, "malformed", data)


replies()
versions()
encrypted()
states()
keys()
