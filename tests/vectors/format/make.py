#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write the vectors of this folder anew, from meta/FORMAT.md and tests/decoder.

The same input gives the same files: nonces and ids are derived from the vectors' names.
"""
import hashlib
import os
import stat
import struct
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(os.path.dirname(HERE)))

from decoder.files import sealed_size  # noqa: E402
from decoder.keys import ALGORITHMS, AESGCM, Dek  # noqa: E402
from decoder.text import b64_encode, crc32c  # noqa: E402


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


# ---- Manifest ------------------------------------------------------------------------------------

class Manifest:
    """Builds a manifest whose every number can be wrong."""

    def __init__(self):
        self.heap = b""
        self.deks = [DEK.id.bytes]
        self.tags = [fixed(f"tag {i}", 16) for i in range(4)]
        self.magic, self.version, self.zero, self.rest = b"SNPMANIF", 1, bytes(6), bytes(112)
        self.volume, self.snapshot = VOLUME, SNAPSHOT
        self.sections = {}
        attributes = self.attribute(b"user.comment", b"value") + self.attribute(b"user.x", b"")
        self.objects = [
            dict(mode=stat.S_IFDIR | 0o755, directory=0, link_count=1),
            dict(mode=stat.S_IFREG | 0o640, dek=0, size=5, object_id=OBJECT, content_id=CONTENT,
                 tag_count=1, link_count=2, attributes=attributes, attribute_count=2),
            dict(mode=stat.S_IFLNK | 0o777, dek=0, target=b"../base", size=7, link_count=1),
            dict(mode=stat.S_IFDIR | 0o700, directory=1, link_count=1),
            dict(mode=stat.S_IFBLK | 0o600, major=8, minor=1, link_count=1),
            dict(mode=stat.S_IFREG | 0o600, dek=0, size=8192 + 1, first_tag=1, tag_count=3,
                 flags=1, object_id=fixed("object 2", 16), content_id=fixed("content 2", 24),
                 link_count=1, mtime_s=-1, mtime_ns=999999999),
        ]
        self.directories = [(0, 0, 4), (3, 4, 2)]
        self.entries = [(b"a", 1), (b"b.link", 2), (b"directory", 3), (b"sda1", 4), (b"hard", 1),
                        (b"sparse", 5)]

    @staticmethod
    def attribute(name, value, zero=0):
        return struct.pack("<HHI", len(name), zero, len(value)) + name + value

    def put(self, data):
        self.heap += data
        return len(self.heap) - len(data)

    def encode_object(self, mode=0, uid=1000, gid=100, dek=0xFFFFFFFF, major=0, minor=0, mtime_s=1,
                      mtime_ns=2, flags=0, size=0, object_id=bytes(16), content_id=bytes(24),
                      directory=0, target=b"", attributes=b"", attribute_count=0, first_tag=0,
                      tag_count=0, link_count=1, zero=bytes(12), **override):
        fields = dict(target_offset=self.put(target), target_size=len(target),
                      attributes_offset=self.put(attributes), attributes_size=len(attributes))
        fields.update(override)
        return struct.pack("<6IqIIQ16s24sQQIIQQQQI12s", mode, uid, gid, dek, major, minor, mtime_s,
                           mtime_ns, flags, size, object_id, content_id, directory,
                           fields["target_offset"], fields["target_size"], attribute_count,
                           fields["attributes_offset"], fields["attributes_size"], first_tag,
                           tag_count, link_count, zero)

    def encode_entry(self, entry):
        name, index = entry[0], entry[1]
        options = entry[2] if len(entry) > 2 else {}
        mode = self.objects[index]["mode"] if index < len(self.objects) else stat.S_IFREG
        return struct.pack("<QIIQ", options.get("offset", self.put(name)),
                           options.get("size", len(name)), options.get("type", stat.S_IFMT(mode)),
                           index)

    def encode(self):
        bodies = [b"".join(self.deks), b"".join(struct.pack("<QQQ", *d) for d in self.directories),
                  b"".join(self.encode_entry(e) for e in self.entries),
                  b"".join(self.encode_object(**o) for o in self.objects)]
        bodies += [self.heap, b"".join(self.tags)]
        counts = [len(self.deks), len(self.directories), len(self.entries), len(self.objects),
                  len(self.heap), len(self.tags)]
        data, table = b"", b""
        for i, body in enumerate(bodies):
            offset = 256 + len(data)
            offset, count = self.sections.get(i, lambda o, c: (o, c))(offset, counts[i])
            table += struct.pack("<QQ", offset, count)
            data += body + bytes(-len(body) % 8)
        head = (struct.pack("<8sH6s", self.magic, self.version, self.zero) + self.volume.bytes
                + self.snapshot.bytes + table + self.rest)
        return head + data


def manifests():
    def put(name, expect, change=None, edit=None):
        manifest = Manifest()
        if change:
            change(manifest)
        data = manifest.encode()
        write("manifest", name, expect, edit(data) if edit else data, snapshot=SNAPSHOT)

    def setting(name, value):
        return lambda m: setattr(m, name, value)

    def section(index, function):
        return lambda m: m.sections.__setitem__(index, function)

    def objects(index, **fields):
        return lambda m: m.objects[index].update(fields)

    def entries(index, entry):
        return lambda m: m.entries.__setitem__(index, entry)

    put("tree", "ok")
    put("empty-directory", "ok", lambda m: (m.entries.clear(), m.directories.__setitem__(
        slice(None), [(0, 0, 0)]), m.objects.__delitem__(slice(1, None)), m.tags.clear()))
    put("nothing", "short", edit=lambda d: b"")
    put("255-bytes", "short", edit=lambda d: d[:255])
    put("magic", "bad-magic", setting("magic", b"SNPMANIG"))
    put("version-2", "bad-version", setting("version", 2))
    put("reserved", "bad-padding", setting("zero", b"\1" + bytes(5)))
    put("rest", "bad-padding", setting("rest", bytes(111) + b"\1"))
    put("other-volume", "wrong-volume", setting("volume", OTHER_VOLUME))
    put("other-snapshot", "wrong-snapshot", setting("snapshot", fixed_uuid("another snapshot")))
    put("section-not-aligned", "bad-offset", section(2, lambda o, c: (o + 4, c)))
    put("section-in-header", "bad-order", section(0, lambda o, c: (248, c)))
    put("sections-overlap", "bad-order", section(3, lambda o, c: (o - 8, c)))
    put("sections-swapped", "bad-order", section(1, lambda o, c: (o + 400, 0)))
    put("count-beyond-end", "bad-length", section(5, lambda o, c: (o, c + 1)))
    put("count-overflow", "bad-length", section(3, lambda o, c: (o, (1 << 64) // 160 + 1)))
    put("offset-beyond-end", "bad-length", section(5, lambda o, c: (1 << 63, 0)))
    put("no-dek", "bad-index", section(0, lambda o, c: (o, 0)))
    put("no-directory", "bad-index", section(1, lambda o, c: (o, 0)))
    put("directory-object", "bad-index", lambda m: m.directories.__setitem__(0, (6, 0, 4)))
    put("directory-entries-beyond", "bad-index",
        lambda m: m.directories.__setitem__(1, (3, 4, 3)))
    put("directory-entries-overflow", "bad-index",
        lambda m: m.directories.__setitem__(1, (3, (1 << 64) - 1, 2)))
    put("entry-object", "bad-index", entries(3, (b"sda1", 6)))
    put("entry-type-0", "bad-type", entries(0, (b"a", 1, {"type": 0})))
    put("entry-type-with-mode", "bad-type", entries(0, (b"a", 1, {"type": 0o100644})))
    put("entry-type-of-another", "bad-type", entries(0, (b"a", 1, {"type": stat.S_IFIFO})))
    put("name-empty", "bad-name", entries(0, (b"", 1)))
    put("name-256-bytes", "bad-name", entries(0, (b"a" * 256, 1)))
    put("name-beyond-heap", "bad-name", entries(0, (b"a", 1, {"offset": 1 << 40})))
    put("name-overflow", "bad-name", entries(0, (b"a", 1, {"offset": (1 << 64) - 1, "size": 2})))
    put("name-with-slash", "bad-name", entries(0, (b"../a", 1)))
    put("name-with-nul", "bad-name", entries(0, (b"a\0b", 1)))
    put("name-dot", "bad-name", entries(0, (b".", 1)))
    put("name-dot-dot", "bad-name", entries(0, (b"..", 1)))
    put("names-out-of-order", "bad-order", entries(0, (b"z", 1)))
    put("names-equal", "bad-order", entries(1, (b"a", 2)))
    put("object-mode", "bad-type", objects(1, mode=0o644))
    put("object-mode-high-bits", "bad-type", objects(1, mode=stat.S_IFREG | 1 << 20))
    put("object-dek", "bad-index", objects(1, dek=1))
    put("object-flags", "bad-flags", objects(1, flags=2))
    put("object-padding", "bad-padding", objects(1, zero=bytes(11) + b"\1"))
    put("object-nanoseconds", "bad-length", objects(1, mtime_ns=1000000000))
    put("object-size", "bad-length", objects(1, size=1 << 63))
    put("object-directory", "bad-index", objects(3, directory=2))
    put("target-empty", "bad-length", objects(2, target=b""))
    put("target-4096-bytes", "bad-length", objects(2, target=b"t" * 4096))
    put("target-beyond-heap", "bad-length", objects(2, target_offset=1 << 40))
    put("target-with-nul", "bad-name", objects(2, target=b"a\0b"))
    put("attributes-beyond-heap", "bad-length", objects(1, attributes_size=1 << 20))
    put("attribute-cut", "bad-length", objects(1, attributes=b"\1\0\0"))
    put("attribute-value-beyond", "bad-length",
        objects(1, attributes=struct.pack("<HHI", 1, 0, 9) + b"a"))
    put("attribute-reserved", "bad-length",
        objects(1, attributes=Manifest.attribute(b"a", b"", 1), attribute_count=1))
    put("attribute-without-name", "bad-length",
        objects(1, attributes=Manifest.attribute(b"", b"v"), attribute_count=1))
    put("attribute-count", "bad-length", objects(1, attribute_count=3))
    put("attributes-out-of-order", "bad-order",
        objects(1, attributes=Manifest.attribute(b"user.b", b"") +
                Manifest.attribute(b"user.a", b"")))
    put("tags-beyond", "bad-tag", objects(5, tag_count=4))
    put("tags-overflow", "bad-tag", objects(5, first_tag=(1 << 64) - 1, tag_count=2))


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
