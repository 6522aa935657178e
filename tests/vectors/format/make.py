#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the vectors of this folder anew, from meta/FORMAT.md and tests/decoder.

The same input gives the same files: nonces and ids are derived from the vectors' names.
"""
import hashlib
import os
import struct
import uuid

from fixed import (CONTENT, DEK, HERE, OBJECT, OTHER_DEK, OTHER_VOLUME, SNAPSHOT, VOLUME, fixed,
                   write)
from make_manifests import manifests

from decoder.files import sealed_size
from decoder.keys import AESGCM
from decoder.text import b64_encode, crc32c


def patch(data, offset, new):
    return data[:offset] + new + data[offset + len(new):]


def flip(data, offset, bit=1):
    return patch(data, offset, bytes([data[offset] ^ bit]))


# ---- Headers -------------------------------------------------------------------------------------

def header(algorithm=1, log2=12, flags=0, volume=VOLUME, dek=DEK, version=1, magic=b"SNPCRYPT",
           reserved=bytes(8), object_id=OBJECT, content_id=CONTENT):
    head = struct.pack("<8sHBBI", magic, version, algorithm, log2, flags)
    head += volume.bytes + dek.id.bytes + object_id + content_id + reserved
    return head + dek.mac("header", head)


def headers():
    good = header()
    common = {"algorithm": 1, "block_size_log2": 12, "object": OBJECT.hex(),
              "content": CONTENT.hex()}

    def put(name, expect, data, sparse=0, **fields):
        write("header", name, expect, data, **{**common, "sparse": sparse, **fields})

    put("plain", "ok", good)
    put("sparse", "ok", header(flags=1), sparse=1)
    put("chacha20", "ok", header(algorithm=2), algorithm=2)
    put("block-1m", "ok", header(log2=20), block_size_log2=20)
    put("followed-by-data", "ok", good + b"data")
    put("empty", "short", b"")
    put("127-bytes", "short", good[:127])
    put("cut-before-mac", "short", good[:96])
    put("magic-of-lower-case", "bad-magic", header(magic=b"snpcrypt"))
    put("all-zero", "bad-magic", bytes(128))
    put("version-0", "bad-version", header(version=0))
    put("version-2", "bad-version", header(version=2))
    put("version-257", "bad-version", header(version=257))
    put("algorithm-0", "bad-algorithm", patch(good, 10, b"\0"))
    put("algorithm-3", "bad-algorithm", patch(good, 10, b"\3"))
    put("algorithm-of-another-volume", "wrong-algorithm", header(algorithm=2))
    put("block-size-of-another-volume", "wrong-block-size", header(log2=16))
    put("block-size-2k", "wrong-block-size", header(log2=11))
    put("block-size-2m", "wrong-block-size", header(log2=21))
    put("flag-1", "bad-flags", header(flags=2))
    put("flag-31", "bad-flags", header(flags=1 << 31))
    put("flag-8", "bad-flags", header(flags=0x100))
    put("other-volume", "wrong-volume", header(volume=OTHER_VOLUME))
    put("other-dek", "bad-tag", patch(good, 32, OTHER_DEK.id.bytes))
    put("mac-of-other-dek", "bad-tag", header(dek=OTHER_DEK))
    put("reserved-first", "bad-padding", header(reserved=b"\1" + bytes(7)))
    put("reserved-last", "bad-padding", header(reserved=bytes(7) + b"\x80"))
    put("sparse-flag-set-later", "bad-tag", patch(good, 12, b"\1"), sparse=1)
    put("sparse-flag-cleared-later", "bad-tag", patch(header(flags=1), 12, b"\0"))
    put("object-id-changed", "bad-tag", flip(good, 48))
    put("content-id-changed", "bad-tag", flip(good, 87, 0x80))
    put("mac-first-byte", "bad-tag", flip(good, 96))
    put("mac-last-byte", "bad-tag", flip(good, 127, 0x80))
    put("mac-zero", "bad-tag", good[:96] + bytes(32))


# ---- Files ---------------------------------------------------------------------------------------

def seal_file(name, plain, algorithm=1, flags=0, holes=(), log2=12):
    content_id = fixed(f"content of {name}", 24)
    block = 1 << log2
    cipher = DEK.file_cipher(algorithm, log2, content_id)
    data = header(algorithm=algorithm, log2=log2, flags=flags, content_id=content_id)
    for index in range(len(plain) // block + 1):
        piece = plain[index * block:(index + 1) * block]
        if index in holes:
            data += bytes(block + 28)
            continue
        nonce = fixed(f"nonce {name} {index}", 12)
        data += nonce + cipher.encrypt(nonce, piece, struct.pack("<Q", index))
    assert len(data) == sealed_size(len(plain), block)
    return data


def file_vectors():
    def put(name, expect, data, plain=b"", algorithm=1):
        write("file", name, expect, data, algorithm=algorithm, block_size_log2=12,
              plain_size=len(plain), plain_sha256=hashlib.sha256(plain).hexdigest())

    text = fixed("text", 4096 * 2 + 100)
    two = seal_file("two-blocks-and-a-tail", text)
    step = 4096 + 28
    put("empty", "ok", seal_file("empty", b""))
    put("one-byte", "ok", seal_file("one-byte", b"x"), b"x")
    put("4095", "ok", seal_file("4095", text[:4095]), text[:4095])
    put("4096", "ok", seal_file("4096", text[:4096]), text[:4096])
    put("two-blocks-and-a-tail", "ok", two, text)
    put("chacha20", "ok", seal_file("chacha20", text, algorithm=2), text, algorithm=2)
    sparse = text[:4096] + bytes(4096) + text[8192:]
    put("hole-in-sparse-file", "ok", seal_file("hole", sparse, flags=1, holes=(1,)), sparse)
    put("hole-in-plain-file", "bad-tag", seal_file("hole", sparse, holes=(1,)))
    put("zeroed-last-block-of-sparse-file", "bad-tag",
        seal_file("hole", sparse, flags=1)[:-128] + bytes(128))
    put("header-only", "unterminated", two[:128])
    put("cut-at-block-boundary", "unterminated", two[:128 + step])
    put("cut-in-nonce", "unterminated", two[:128 + step + 5])
    put("cut-in-tag", "unterminated", two[:128 + 2 * step + 27])
    put("cut-in-last-block", "bad-tag", two[:-1])
    put("cut-in-full-block", "bad-tag", two[:128 + step + 1000])
    put("extended-by-a-byte", "bad-tag", two + b"\0")
    put("extended-by-a-block", "bad-tag", two + two[128:128 + step])
    put("blocks-swapped", "bad-tag",
        two[:128] + two[128 + step:128 + 2 * step] + two[128:128 + step] + two[128 + 2 * step:])
    put("block-of-another-file", "bad-tag",
        patch(two, 128, seal_file("another", text)[128:128 + step]))
    put("block-removed", "bad-tag", two[:128 + step] + two[128 + 2 * step:])
    put("block-duplicated", "bad-tag", two[:128 + step] + two[128:128 + step] + two[128 + step:])
    put("nonce-changed", "bad-tag", flip(two, 128))
    put("ciphertext-changed", "bad-tag", flip(two, 128 + step + 12 + 77))
    put("tag-changed", "bad-tag", flip(two, len(two) - 1, 0x80))
    put("header-of-another-file", "bad-tag", seal_file("another", text)[:128] + two[128:])


# ---- Names and sealed values ---------------------------------------------------------------------

def names():
    def put(name, expect, siv, plain=b""):
        text = b64_encode(siv)
        if len(text) > 255:
            text = "=" + b64_encode(hashlib.sha256(siv).digest())
        write("name", name, expect, siv, plain=plain.hex(), backing=text)

    for label, plain in (("one-byte", b"a"), ("base", b"base.tar.gz"), ("newline", b"a\nb"),
                         ("invalid-utf-8", b"\xff\xfe\x80"), ("175-bytes", b"n" * 175),
                         ("176-bytes", b"n" * 176), ("255-bytes", b"n" * 255)):
        put(label, "ok", DEK.seal_name(plain), plain)
    good = DEK.seal_name(b"base.tar.gz")
    put("empty", "bad-tag", b"")
    put("iv-only", "bad-tag", good[:16])
    put("iv-changed", "bad-tag", flip(good, 0))
    put("ciphertext-changed", "bad-tag", flip(good, len(good) - 1))
    put("cut", "bad-tag", good[:-1])
    put("extended", "bad-tag", good + b"\0")
    put("other-dek", "bad-tag", OTHER_DEK.seal_name(b"base.tar.gz"))
    put("plain-bytes", "bad-tag", b"this is not encrypted")
    put("all-zero", "bad-tag", bytes(27))


def sealed_value(label, plain, kind=b"x", object_id=OBJECT, name=b"user.comment", volume=VOLUME,
                 version=1, dek=DEK):
    nonce = fixed(f"nonce {label}", 12)
    aad = volume.bytes + kind + object_id + name
    return (bytes([version]) + dek.id.bytes + nonce
            + AESGCM(dek.subkey("meta")).encrypt(nonce, plain, aad))


def sealed_values():
    def put(name, expect, data, plain=b"", kind="x", object_id=OBJECT, attribute=b"user.comment"):
        write("sealed-value", name, expect, data, kind=kind, object=object_id.hex(),
              attribute=attribute.hex() or "-", plain=plain.hex() or "-")

    good = sealed_value("good", b"value")
    put("attribute", "ok", good, b"value")
    put("empty-value", "ok", sealed_value("empty", b""))
    put("target", "ok", sealed_value("target", b"../base", b"s", bytes(16), b""), b"../base", "s",
        bytes(16), b"")
    put("attribute-of-directory", "ok", sealed_value("directory", b"v", object_id=bytes(16)), b"v",
        object_id=bytes(16))
    put("nothing", "short", b"")
    put("version-only", "short", good[:1])
    put("44-bytes", "short", good[:44])
    put("65537-bytes", "long", good + bytes(65537 - len(good)))
    put("version-0", "bad-version", patch(good, 0, b"\0"))
    put("version-2", "bad-version", patch(good, 0, b"\2"))
    put("version-2-short", "bad-version", b"\2")
    put("other-dek", "wrong-key", patch(good, 1, OTHER_DEK.id.bytes))
    put("sealed-under-other-dek", "bad-tag",
        patch(sealed_value("good", b"value", dek=OTHER_DEK), 1, DEK.id.bytes))
    put("other-object", "bad-tag", good, object_id=fixed("another object", 16))
    put("other-attribute", "bad-tag", good, attribute=b"user.commenT")
    put("target-as-attribute", "bad-tag", sealed_value("target", b"../base", b"s", bytes(16), b""),
        object_id=bytes(16), attribute=b"")
    put("other-volume", "bad-tag", sealed_value("good", b"value", volume=OTHER_VOLUME))
    put("nonce-changed", "bad-tag", flip(good, 17))
    put("ciphertext-changed", "bad-tag", flip(good, 30))
    put("tag-changed", "bad-tag", flip(good, len(good) - 1))
    put("cut", "bad-tag", good[:-1])
    put("extended", "bad-tag", good + b"\0")


# ---- Journal -------------------------------------------------------------------------------------

def superblock(magic=b"SNPJRNL1", version=1, zero=bytes(6), start=16384, size=1 << 20):
    head = (struct.pack("<8sH6s", magic, version, zero) + VOLUME.bytes + fixed("mount", 16)
            + struct.pack("<QQQ", 7, start, size))
    return head + struct.pack("<I", crc32c(head)) + bytes(512 - 76)


def journals():
    good = superblock()

    def put(name, expect, data):
        write("superblock", name, expect, data, mount=uuid.UUID(bytes=fixed("mount", 16)), number=7,
              area_size=1 << 20)

    put("good", "ok", good)
    put("empty", "short", b"")
    put("511-bytes", "short", good[:511])
    put("magic", "bad-magic", superblock(magic=b"SNPJRNL2"))
    put("version-2", "bad-version", superblock(version=2))
    put("reserved", "bad-padding", superblock(zero=b"\0\0\0\0\0\1"))
    put("rest", "bad-padding", good[:511] + b"\1")
    put("crc", "bad-crc", flip(good, 72))
    put("number-changed", "bad-crc", flip(good, 48))
    put("area-elsewhere", "bad-offset", superblock(start=8192))
    put("area-too-large", "bad-length", superblock(size=(1 << 63) - 16384))

    body = struct.pack("<QQ", 5, 1000)
    checkpoint = body + struct.pack("<I", crc32c(body)) + bytes(512 - 20)

    def put_checkpoint(name, expect, data):
        write("checkpoint", name, expect, data, epoch=5, first_sequence=1000)

    put_checkpoint("good", "ok", checkpoint)
    put_checkpoint("empty", "short", b"")
    put_checkpoint("511-bytes", "short", checkpoint[:511])
    put_checkpoint("never-written", "bad-crc", bytes(512))
    put_checkpoint("epoch-changed", "bad-crc", flip(checkpoint, 0))
    put_checkpoint("sequence-changed", "bad-crc", flip(checkpoint, 15))
    put_checkpoint("rest", "bad-padding", checkpoint[:511] + b"\1")
    journal_records()


def journal_record(kind=1, flags=0, path=b"2026-11-24/abc", data=b"ciphertext", offset=128,
                   result=4252, magic=b"JREC", reserved=0, padding=None, epoch=5, sequence=1000,
                   data_size=None):
    head = struct.pack("<4sBBHIIQQ", magic, kind, flags, len(path),
                       len(data) if data_size is None else data_size, 0, epoch, sequence)
    head += SNAPSHOT.bytes + DEK.id.bytes + OBJECT + CONTENT
    head += struct.pack("<QQQ", offset, result, reserved)
    rest = path + data
    rest += bytes(-(128 + len(rest)) % 8) if padding is None else padding
    crc = crc32c(head + rest)
    head = patch(head, 12, struct.pack("<I", crc))
    return head + rest + DEK.mac("journal", head + rest)


def journal_records():
    def put(name, expect, data, kind=1, flags=0, plain_path=b"2026-11-24/abc",
            content=b"ciphertext", **fields):
        fields = {"offset": 128, "result": 4252, **fields}
        write("journal-record", name, expect, data, epoch=5, sequence=1000, kind=kind, flags=flags,
              path=plain_path.hex() or "-", content=content.hex() or "-",
              **fields)

    good = journal_record()
    body = header() + fixed("body", 28)
    put("write", "ok", good)
    put("followed-by-another", "ok", good + journal_record(sequence=1001))
    put("exact", "ok", journal_record(flags=1), flags=1)
    put("shrink-without-data", "ok", journal_record(flags=1, data=b"", offset=0, result=156),
        flags=1, content=b"", offset=0, result=156)
    put("with-header", "ok", journal_record(flags=3, data=body, offset=0, result=156), flags=3,
        content=body, offset=0, result=156)
    put("open", "ok", journal_record(flags=4, data=fixed("last", 28)), flags=4,
        content=fixed("last", 28))
    put("applied", "ok", journal_record(kind=2, data=b"", path=b"", offset=0, result=0), kind=2,
        content=b"", plain_path=b"", offset=0, result=0)
    put("empty", "short", b"")
    put("head-cut", "short", good[:127])
    put("mac-cut", "short", good[:-1])
    put("data-cut", "short", good[:140])
    put("never-written", "bad-magic", bytes(256))
    put("magic", "bad-magic", journal_record(magic=b"JREX"))
    put("data-over-8-mib", "bad-length", journal_record(data_size=(8 << 20) + 1))
    put("data-of-4-gib", "bad-length", journal_record(data_size=0xFFFFFFFF))
    put("epoch-before", "wrong-epoch", journal_record(epoch=4))
    put("sequence-before", "wrong-sequence", journal_record(sequence=999))
    put("sequence-after", "wrong-sequence", journal_record(sequence=1001))
    put("crc", "bad-crc", flip(good, 12))
    put("torn-in-data", "bad-crc", patch(good, 145, bytes(4)))
    put("kind-0", "bad-kind", journal_record(kind=0))
    put("kind-3", "bad-kind", journal_record(kind=3))
    put("flag-3", "bad-flags", journal_record(flags=8))
    put("flags-of-applied", "bad-flags", journal_record(kind=2, flags=1, data=b""))
    put("data-of-applied", "bad-length", journal_record(kind=2))
    put("header-elsewhere", "bad-offset", journal_record(flags=2, data=body))
    put("header-cut", "bad-length", journal_record(flags=2, data=body[:127], offset=0))
    put("open-without-last-block", "bad-length", journal_record(flags=4, data=bytes(27)))
    put("exact-before-end-of-data", "bad-length", journal_record(flags=1, result=130))
    put("offset-beyond-files", "bad-offset", journal_record(offset=(1 << 63) - 4))
    put("offset-overflow", "bad-offset", journal_record(offset=(1 << 64) - 4))
    put("result-beyond-files", "bad-length", journal_record(result=1 << 63))
    put("path-with-nul", "bad-name", journal_record(path=b"2026-11-24\0abc"))
    put("reserved", "bad-padding", journal_record(reserved=1))
    put("padding", "bad-padding", journal_record(data=b"ciphertex", padding=b"\1"))
    put("mac", "bad-tag", flip(good, len(good) - 1))
    put("mac-of-other-dek", "bad-tag", good[:-32] + OTHER_DEK.mac("journal", good[:-32]))


if __name__ == "__main__":
    for old in os.listdir(HERE):
        if old.endswith(".vec"):
            os.unlink(os.path.join(HERE, old))
    headers()
    file_vectors()
    names()
    sealed_values()
    journals()
    manifests()
